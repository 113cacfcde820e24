"""What the simulated broker and the event engine refuse: the consequence, and the next step."""

from __future__ import annotations

UNKNOWN_CONTRACT = 200
PRICE_INCREMENT = 110
REJECTED = 201
CANCEL_NOT_POSSIBLE = 161
CANCEL_NOT_FOUND = 10147
CANCEL_WRONG_STATE = 10148


class BacktestError(Exception):
    """A backtest cannot be put together or go on; no ledger is written. Correct what the message names."""

    code = "BACKTEST_ERROR"


class BrokerRejection(Exception):  # noqa: N818 - a broker's answer, not a fault of the program
    """The simulated broker refused a request, as TWS would: nothing changed at the broker.

    Read `text` before sending another; `code` is the number TWS uses for the same refusal.

    Parameters
    ----------
    code
        TWS error code, for example 200 (unknown contract), 110 (price increment), 201 (rejected).
    text
        TWS's wording of it.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
