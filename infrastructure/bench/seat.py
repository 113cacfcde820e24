"""One seat at a venue: an executor with validator, book and journal, put together as a trader's are.

The limits are those of an installation that nobody has changed; the clock stands inside a session, so that
the hours refuse nothing.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Final

from data.calendars import ExchangeClock
from execution.audit import AuditLogger
from execution.book.ledger import Holding, Ledger
from execution.book.portfolio import LedgerPortfolio
from execution.clocks import SteppedClock, SystemClock
from execution.connection import IBKRConnectionManager
from execution.executor import IBKROrderExecutor
from execution.journal import SqliteJournal
from execution.models import Fill, Order, OrderRequest, OrderType, Side
from infrastructure.bench.venue import ACCOUNT
from infrastructure.settings import load_settings
from risk.engine import RiskEngine
from risk.kill_switch import KillSwitch, session_day_of
from risk.limits import RiskLimits

SYMBOL: Final = "AAA"
SIZE: Final = Decimal(10)
PRICE: Final = Decimal("100.00")
_HELD: Final = Decimal(100)
"""Held from the start, so that a sale is not refused while the purchase before it is still on its way."""
_FIRST, _LAST = dt.date(2018, 1, 2), dt.date(2018, 1, 31)
_INTO_SESSION_NS: Final = 3_600_000_000_000


@lru_cache(maxsize=1)
def _sessions() -> ExchangeClock:
    return ExchangeClock("XNYS", _FIRST, _LAST)


class Book:
    """Takes fills into a ledger, as the step of a trader does."""

    def __init__(self, portfolio: LedgerPortfolio) -> None:
        self.portfolio = portfolio
        self.fills = 0

    def on_order_status(self, order: Order) -> None:
        """Take no note of a status."""

    def on_order_rejected(self, order: Order, reason: str) -> None:
        """Fail: no order of a measurement is to be refused."""
        raise RuntimeError(f"order {order.client_order_id} was refused: {reason}")

    def on_fill(self, fill: Fill) -> None:
        """Book an execution."""
        self.fills += 1
        self.portfolio.ledger.apply(fill)

    def on_commission(self, fill: Fill) -> None:
        """Book a commission that came late."""
        self.portfolio.ledger.charge(fill.commission or Decimal(0))


class Seat:
    """An executor that is ready to be connected.

    Parameters
    ----------
    port, client_id
        Of the venue or gateway on the loopback.
    path
        The journal.
    throttled
        Keep the limit of messages a second.
    limited
        Hold orders to the limits; without it no rule is asked.
    """

    def __init__(
        self, port: int, client_id: int, path: Path, *, throttled: bool = False, limited: bool = True
    ) -> None:
        sessions = _sessions()
        self.clock = SteppedClock(int(sessions.opens_ns[1]) + _INTO_SESSION_NS)
        self.journal = SqliteJournal(path, SystemClock().now_ns)
        audit = AuditLogger(self.journal, self.clock)
        self.manager = IBKRConnectionManager(
            "127.0.0.1", port, client_id, throttled=throttled, audit=audit, timeout=60.0
        )
        ledger = Ledger(cash=Decimal(1_000_000))
        ledger.holdings[SYMBOL] = Holding(_HELD, _HELD * PRICE)
        self.book = Book(LedgerPortfolio(ledger))
        limits = RiskLimits(**load_settings("demo").risk.limits())
        switch = KillSwitch(
            limits.max_daily_loss, session_day_of(sessions), initial_equity=Decimal(1_000_000)
        )
        self.executor = IBKROrderExecutor(
            self.manager,
            validator=RiskEngine(limits, self.book.portfolio, sessions, self.clock, switch)
            if limited
            else None,
            audit=audit,
            clock=self.clock,
            handlers=[self.book],
            account=ACCOUNT,
            quarantine=0.0,
        )
        self._number = 0
        self._name = f"bench-{client_id}"

    def request(
        self, symbol: str = SYMBOL, *, buy: bool | None = None, quantity: Decimal = SIZE
    ) -> OrderRequest:
        """Return the next order: a limit order that buys and, the next time, sells what was bought."""
        self._number += 1
        return OrderRequest(
            symbol=symbol,
            quantity=quantity,
            order_type=OrderType.LIMIT,
            side=Side.BUY if (self._number % 2 if buy is None else buy) else Side.SELL,
            limit_price=PRICE,
            client_order_id=f"{self._name}-{self._number:07d}",
            strategy="bench",
        )

    def is_settled(self) -> bool:
        """Whether every order is final and its executions are booked."""
        return not self.executor.blotter.open_entries()

    def acknowledged(self) -> int:
        """Return how many orders the venue has answered."""
        return sum(entry.acknowledged for entry in self.executor.blotter.entries.values())

    async def close(self) -> None:
        """Disconnect and let the journal go."""
        await self.manager.disconnect()
        self.journal.close()
