"""What the simulated broker and the event engine refuse: the consequence, and the next step."""

from __future__ import annotations

UNKNOWN_CONTRACT = 200
PRICE_INCREMENT = 110
REJECTED = 201
INVALID = 321
TOO_SMALL = 388
FRACTION = 10243
SIZE_INCREMENT = 10250
MODIFY_FILLED = 104
MODIFY_OTHER_ORDER = 105
MODIFY_NOT_FOUND = 135
MISSING_PARENT = 10006
CANCEL_NOT_POSSIBLE = 161
CANCEL_NOT_FOUND = 10147
CANCEL_WRONG_STATE = 10148

NO_CONTRACT_TEXT = "No security definition has been found for the request"
FRACTION_TEXT = (
    "Fractional-sized order cannot be placed via API. Please use desktop version to place this order."
)
SIZE_INCREMENT_TEXT = "The size does not conform to the minimum variation of {lot} for this contract"
TOO_SMALL_TEXT = "Order size {size} is smaller than the minimum required size of {lot}."
PRICE_INCREMENT_TEXT = "The price does not conform to the minimum price variation for this contract."
MODIFY_FILLED_TEXT = "Can't modify a filled order."
MODIFY_OTHER_TEXT = "Order being modified does not match original order"
MISSING_PARENT_TEXT = "Missing parent order."
EXCHANGE_CLOSED = "Order rejected - reason:Exchange is closed."
GTD_PAST = "Order rejected - reason:The good till date has passed."
TOO_LATE = "Order rejected - reason:Order has been cancelled already, too late to replace"
BELOW_FILLED = "Order rejected - reason:The size is not above what has been filled already."
NO_ACCOUNT = "Order rejected - reason:Invalid or missing IBCustAcctNo"
BAD_ACCOUNT = "Error validating request.-'bC' : cause - Invalid account code"
NO_MARKET_PRICE = "Order rejected - reason:The contract has no market price yet."
NO_SHORT_IN_CASH = "Order rejected - reason:SHORT STOCK POSITIONS CAN ONLY BE HELD IN A MARGIN ACCOUNT"
MINIMUM_EQUITY = (
    "Order rejected - reason:YOUR ORDER IS NOT ACCEPTED. MINIMUM OF 2000 USD (OR EQUIVALENT IN OTHER "
    "CURRENCIES) REQUIRED IN ORDER TO PURCHASE ON MARGIN, SELL SHORT, TRADE CURRENCY OR FUTURE"
)
INSUFFICIENT = (
    "Order rejected - reason:YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR "
    "EQUITY WITH LOAN VALUE [{equity:.2f} {currency}] MUST EXCEED THE INITIAL MARGIN "
    "[{initial:.2f} {currency}]"
)


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
