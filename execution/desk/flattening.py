"""Flatten: no open order and no position left, as far as the broker confirms it.

1. Every open order is cancelled, and its confirmed end awaited.
2. The broker is asked for its positions.
3. Each position without an unconfirmed order in its symbol is closed by a market order, through the rules
   and the journal like any other. The rest is reported with its reason, never skipped silently.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from execution.desk.cancellation import Cancellation
from execution.desk.desk import Desk
from execution.desk.submission import Submission
from execution.errors import ExecutionError
from execution.ibkr.session import BrokerPosition
from execution.models import Order, OrderRequest, OrderType, Side


@dataclass(slots=True)
class Flattened:
    """What flattening did.

    `cancelled` are the client order ids whose end is confirmed, `closing` the orders that close positions and
    are at work, `left` what could not be flattened, by client order id or symbol, with the reason.
    """

    cancelled: list[str] = field(default_factory=list)
    closing: list[Order] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every order ended and every position has an order that closes it."""
        return not self.left


class Flattening:
    """Cancels everything and closes what is held."""

    def __init__(self, desk: Desk, cancellation: Cancellation, submission: Submission) -> None:
        self._desk = desk
        self._cancellation = cancellation
        self._submission = submission

    async def run(self, account: str | None, timeout: float) -> Flattened:  # noqa: ASYNC109 - passed on
        """Flatten one account, or all of the login; see `IBKROrderExecutor.flatten`."""
        entries = [
            entry
            for entry in self._desk.blotter.open_entries()
            if account is None or entry.request.account in (None, account)
        ]
        result = Flattened(left=await self._cancellation.cancel_all(entries, "flatten", timeout))
        result.cancelled = [e.client_order_id for e in entries if e.client_order_id not in result.left]
        unsure = {e.request.symbol for e in entries if e.client_order_id in result.left}
        for position in await self._desk.manager.session.positions():
            if account not in (None, position.account):
                continue
            symbol = position.symbol
            if symbol in unsure:
                result.left[symbol] = "an order for it may still trade; flatten again once that has ended"
                continue
            if not position.is_ours:
                result.left[symbol] = "no instrument was given for it"
                continue
            try:
                result.closing.append(self._submission.submit(self._closing(position)))
            except ExecutionError as error:
                result.left[symbol] = str(error)
        return result

    def _closing(self, position: BrokerPosition) -> OrderRequest:
        return OrderRequest(
            symbol=position.symbol,
            quantity=abs(position.quantity),
            order_type=OrderType.MARKET,
            side=Side.SELL if position.quantity > 0 else Side.BUY,
            account=position.account if len(self._desk.manager.session.accounts) > 1 else None,
            client_order_id=self._desk.new_id(),
        )
