"""Flatten: no open order and no position left, as far as the broker confirms it.

1. Every open order is cancelled, and its confirmed end awaited.
2. The broker is asked for its open orders, executions and positions, a few times until positions and
   executions agree: a list that an execution is not in yet would have its size traded twice.
3. Each position that agrees, without an unconfirmed order in its symbol, is closed by a market order, through
   the rules and the journal like any other. The rest is reported with its reason, never skipped silently.

One runs at a time: the next finds what the one before it sent.

Orders that others have in the account (by hand, by another client, by another journal) are theirs and stay:
they may trade against the flattening, or build a position after it, so each is named. Where the account is
shared by symbols, positions in those of others are theirs as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal

import structlog

from execution.desk.cancellation import Cancellation
from execution.desk.desk import Desk
from execution.desk.submission import Submission
from execution.errors import ExecutionError, JournalError
from execution.ibkr.session import BrokerPosition
from execution.models import ZERO, Order, OrderRequest, OrderType, Side
from execution.numbers import format_decimal, own_arithmetic

Book = Mapping[str, Decimal]
_LOOKS = 4
_BETWEEN_LOOKS = 0.5


@dataclass(slots=True)
class Flattened:
    """What flattening did.

    `cancelled` are the client order ids whose end is confirmed, `closing` the orders that close positions and
    are at work, `left` what could not be flattened, by client order id or symbol, with the reason. `others`
    are the open orders of somebody else in the account, with what they are: nothing was done about them.
    """

    cancelled: list[str] = field(default_factory=list)
    closing: list[Order] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every order ended and every position has an order that closes it."""
        return not self.left


class Flattening:
    """Cancels everything and closes what is held.

    Parameters
    ----------
    desk, cancellation, submission
        Parts of the executor.
    ours
        The signed positions by symbol that the journal amounts to.
    """

    def __init__(
        self, desk: Desk, cancellation: Cancellation, submission: Submission, ours: Callable[[], Book]
    ) -> None:
        self._desk = desk
        self._ours = ours
        self._one_at_a_time = asyncio.Lock()
        self._cancellation = cancellation
        self._submission = submission
        self._log = structlog.get_logger("flattening")

    async def run(self, account: str | None, timeout: float) -> Flattened:  # noqa: ASYNC109 - passed on
        """Flatten one account, or all of the login; see `IBKROrderExecutor.flatten`."""
        async with self._one_at_a_time:
            with own_arithmetic():
                return await self._run(account, timeout)

    async def _run(self, account: str | None, timeout: float) -> Flattened:  # noqa: ASYNC109 - passed on
        entries = [
            entry
            for entry in self._desk.blotter.open_entries()
            if account is None or entry.request.account in (None, account)
        ]
        result = Flattened(left=await self._cancellation.cancel_all(entries, "flatten", timeout))
        result.cancelled = [e.client_order_id for e in entries if e.client_order_id not in result.left]
        unsure = {e.request.symbol for e in entries if e.client_order_id in result.left}
        positions, differing = await self._held()
        result.others = {
            order.key: order.describe()
            for order in self._desk.blotter.externals.open()
            if account in (None, order.account)
        }
        shown = {one.symbol for one in positions}
        result.left |= {symbol: why for symbol, why in differing.items() if symbol not in shown}
        for position in positions:
            if account not in (None, position.account):
                continue
            symbol = position.symbol
            if symbol in unsure:
                result.left[symbol] = "an order for it may still trade; flatten again once that has ended"
            elif not position.is_ours:
                result.left[symbol] = "no instrument was given for it"
            elif symbol in differing:
                result.left[symbol] = differing[symbol]
            else:
                self._close(position, result)
        self._tell(result)
        return result

    async def _held(self) -> tuple[list[BrokerPosition], dict[str, str]]:
        """Ask what is held; return the positions that are ours to close, and why some symbols are unsure."""
        for look in range(_LOOKS):
            if look:
                await self._desk.answers.pause(_BETWEEN_LOOKS)
            positions, differing = await self._look()
            if not differing:
                break
        return positions, differing

    async def _look(self) -> tuple[list[BrokerPosition], dict[str, str]]:
        session, claim = self._desk.manager.session, self._desk.blotter.claim
        await session.open_orders()
        await session.executions()
        positions = [one for one in await session.positions() if claim is None or claim.covers(one.symbol)]
        with suppress(JournalError):  # it is held, and follows; nothing is submitted before it has
            self._desk.inbox.close()
        ours, theirs = self._ours(), dict[str, Decimal]()
        for one in positions:
            theirs[one.symbol] = theirs.get(one.symbol, ZERO) + one.quantity
        return positions, {
            symbol: f"the broker shows {format_decimal(theirs.get(symbol, ZERO))} of it and the journal "
            f"{format_decimal(ours.get(symbol, ZERO))}; reconcile, then flatten again"
            for symbol in sorted(set(ours) | set(theirs))
            if theirs.get(symbol, ZERO) != ours.get(symbol, ZERO) and (claim is None or claim.covers(symbol))
        }

    def _close(self, position: BrokerPosition, result: Flattened) -> None:
        symbol = position.symbol
        try:
            order = self._submission.submit(self._closing(position))
        except ExecutionError as error:
            result.left[symbol] = str(error)
            return
        result.closing.append(order)
        rest = abs(position.quantity) - order.quantity
        if rest:
            result.left[symbol] = f"{format_decimal(rest)} of it are less than a lot; close them in TWS"

    def _tell(self, result: Flattened) -> None:
        self._log.warning(
            "flattening",
            cancelled=result.cancelled,
            closing=[
                f"{order.side} {format_decimal(order.quantity)} {order.symbol}" for order in result.closing
            ],
            left=result.left,
        )
        if result.others:
            self._log.warning(
                "others have open orders here, which may trade against the flattening",
                orders=list(result.others.values()),
            )

    def _closing(self, position: BrokerPosition) -> OrderRequest:
        return OrderRequest(
            symbol=position.symbol,
            quantity=abs(position.quantity),
            order_type=OrderType.MARKET,
            side=Side.SELL if position.quantity > 0 else Side.BUY,
            account=position.account if len(self._desk.manager.session.accounts) > 1 else None,
            client_order_id=self._desk.new_id(),
        )
