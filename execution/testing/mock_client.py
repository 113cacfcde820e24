"""A client whose broker is in memory: the real executor over a session without a wire.

Everything a caller sees (states, errors, identities, what handlers are told and when) is the real executor's
own. Only the broker is played; what it does is scripted, and its ids, times and order of events are the same
in every run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import partial
from itertools import count
from typing import Any

from execution.audit import AuditLogger
from execution.connection import IBKRConnectionManager
from execution.errors import UnknownOrderError
from execution.events import ConnectionEventHandler, OrderEventHandler
from execution.executor import IBKROrderExecutor
from execution.journal import MemoryJournal
from execution.models import Bar, Instrument
from execution.testing.fakes import FixedClock
from execution.testing.memory_broker import MemoryBroker
from execution.testing.memory_orders import BrokerOrder
from execution.testing.memory_session import MemorySession
from execution.testing.script import Answer, Reply

REJECTED, CHANGE_REJECTED, CANCEL_REJECTED = 201, 105, 10148


async def _at_once(_seconds: float) -> None:
    await asyncio.sleep(0)


class MockIBKRClient(IBKROrderExecutor):
    """An `IBKROrderExecutor` that needs no TWS; use it inside a running event loop.

    Orders fill when `trade` names a price they take; a market order fills as soon as its symbol has one.
    The broker plays no calendar: what the end of a day brings comes with `end_day`.

    Parameters
    ----------
    cash, commission
        Opening cash of each account, and the commission of each execution.
    accounts
        Accounts of the login.
    instruments
        Contracts that may be traded; others are taken as US stocks.
    handlers
        Receivers of order events; those with connection hooks too are told of the connection.
    clock
        Time of the broker; it stands until it is moved.
    acknowledgement_timeout
        Seconds after which an order without an answer is UNKNOWN.
    options
        As for `IBKROrderExecutor`: `risk_check_callback`, `validator`, `audit`, `account`, `unfilled`, …

    Examples
    --------
    ::

        client = MockIBKRClient(handlers=[mine])
        await client.ensure_ready()
        client.reject_next("no trading permission")
        with pytest.raises(OrderRejectedError):
            await client.submit_order(OrderRequest("SPY", Decimal(10), OrderType.MARKET, Side.BUY))
    """

    def __init__(
        self,
        *,
        cash: Decimal = Decimal(1_000_000),
        commission: Decimal = Decimal(1),
        accounts: Sequence[str] = ("DU0000001",),
        instruments: Iterable[Instrument] = (),
        handlers: Sequence[OrderEventHandler] = (),
        clock: FixedClock | None = None,
        acknowledgement_timeout: float = 0.25,
        **options: Any,
    ) -> None:
        self.clock = clock or FixedClock()
        self.broker = MemoryBroker(self.clock, tuple(accounts), cash, commission)
        numbers = count(1)
        audit = options.pop("audit", None) or AuditLogger(MemoryJournal(self.clock.now_ns), self.clock)
        manager = IBKRConnectionManager(
            "memory",
            audit=audit,
            heartbeat=None,
            sleep=_at_once,
            reconnect_max_attempts=options.pop("reconnect_max_attempts", 1),
            readonly=options.pop("readonly", False),
            handlers=[handler for handler in handlers if isinstance(handler, ConnectionEventHandler)],
            clock=self.clock,
            wall=self.clock,
            randomness=lambda: 0.0,
            contract_details=False,
            make_session=partial(MemorySession, self.broker),
        )
        defaults: dict[str, Any] = {"quarantine": 0.0, "new_id": lambda: f"mock-{next(numbers)}"}
        super().__init__(
            manager,
            instruments=instruments,
            audit=audit,
            clock=self.clock,
            handlers=handlers,
            acknowledgement_timeout=acknowledgement_timeout,
            **{**defaults, **options},
        )

    # -- the market ----------------------------------------------------------------------------------------

    def trade(self, symbol: str, price: Decimal) -> None:
        """Let the market trade at a price: what takes it fills."""
        self.broker.trade(symbol, price)

    def fill(self, order_id: str, quantity: Decimal | None = None, price: Decimal | None = None) -> None:
        """Execute an order whatever the market: all that is left of it, at its limit or the last price.

        Raises
        ------
        UnknownOrderError
            If the broker has no such order at work, or neither gives a price.
        """
        order = self._at_broker(order_id)
        symbol = order.request.symbol
        price = price or self.broker.prices.get(symbol) or order.request.limit_price
        if price is None:
            raise UnknownOrderError(f"{symbol} has no price: give one, or let the market trade first")
        self.broker.fill(order, min(quantity or order.remaining, order.remaining), price)

    def end_day(self) -> None:
        """Close the market: on-close orders fill at the last price, orders of the day are cancelled."""
        self.broker.end_day()

    def push_bar(self, bar: Bar) -> None:
        """Send an update of a subscribed bar."""
        if self.broker.session is not None:
            self.broker.session.push(bar)

    # -- the script ----------------------------------------------------------------------------------------

    def reject_next(self, reason: str = "rejected as scripted", *, code: int = REJECTED) -> None:
        """Have the broker refuse the next order."""
        self.broker.script.append(Reply(Answer.REJECT, code, f"Order rejected - reason:{reason}"))

    def partial_next(self, quantity: Decimal) -> None:
        """Let only so much of the next order trade by itself; `fill` does the rest."""
        self.broker.script.append(Reply(quantity=quantity))

    def delay_next(self) -> None:
        """Hold the next order back: no answer and no fill before `release`."""
        self.broker.script.append(Reply(Answer.DELAY))

    def release(self, order_id: str) -> None:
        """Let an order that was held back arrive."""
        order = self._at_broker(order_id)
        order.held = False
        self.broker.announce(order)

    def ignore_next(self) -> None:
        """Have the next order taken without a word: it becomes UNKNOWN, and reconciling finds it."""
        self.broker.script.append(Reply(Answer.IGNORE))

    def lose_next(self) -> None:
        """Lose the next order on its way: it becomes UNKNOWN, and the broker has never heard of it."""
        self.broker.script.append(Reply(Answer.LOSE))

    def cut_next(self) -> None:
        """Lose the connection after the next order was taken and before it was answered."""
        self.broker.script.append(Reply(Answer.CUT))

    def reject_change_next(self, reason: str = "refused as scripted", *, code: int = CHANGE_REJECTED) -> None:
        """Have the broker refuse the next change of an order."""
        self.broker.changes.append(Reply(Answer.REJECT, code, reason))

    def reject_cancel_next(self, reason: str = "refused as scripted", *, code: int = CANCEL_REJECTED) -> None:
        """Have the broker refuse the next cancellation."""
        self.broker.cancels.append(Reply(Answer.REJECT, code, reason))

    def disconnect(self, why: str = "cut off as scripted") -> None:
        """Lose the connection now; `ensure_ready` makes another one and reconciles."""
        self.broker.drop(why)

    def refuse_connections(self, times: int = 1) -> None:
        """Have the next tries to connect fail."""
        self.broker.refusals = times

    async def settle(self) -> None:
        """Return when everything that the broker has said was heard and handled."""
        await asyncio.sleep(0)
        while self.broker.unheard:  # noqa: ASYNC110 - each pass is one turn of the loop, not a wait
            await asyncio.sleep(0)

    def _at_broker(self, order_id: str) -> BrokerOrder:
        entry = self._rooms.desk.find(order_id)
        order = self.broker.find(entry.order_id)
        if order is None or order.over:
            raise UnknownOrderError(f"the broker has no order {order_id} at work")
        return order
