"""A simulated broker on real sessions, and short ways to write its orders and bars."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest

from backtesting.broker import AccountTerms, BrokerEvent, BrokerFill, SimulatedBroker, WorkingOrder
from data.calendars import ExchangeClock, Session
from execution.clocks import NANOS
from execution.models import Bar, Instrument, OrderRequest, OrderType, Side
from strategies.spec import CostSpec

CLOCK = ExchangeClock("XNYS", dt.date(2024, 1, 2), dt.date(2024, 1, 31))
FREE = CostSpec(slippage_bps=Decimal(0), commission_per_share=Decimal(0), commission_minimum=Decimal(0))
MINUTE = 60 * NANOS


class BrokerDesk:
    """A broker whose market is one-minute bars of SPY (and IWM), from the first session of 2024 on."""

    def __init__(self, costs: CostSpec = FREE, accounts: dict[str, AccountTerms] | None = None) -> None:
        instruments = [
            Instrument("SPY"),
            Instrument("IWM"),
            Instrument("ESM4", security_type="FUT", tick=Decimal("0.25"), multiplier=Decimal(50)),
            Instrument(
                "SPY C100", security_type="OPT", multiplier=Decimal(100), strike=Decimal(100), right="C"
            ),
        ]
        self.broker = SimulatedBroker(instruments, costs, CLOCK, Decimal(100_000), accounts=accounts)
        self.sessions: list[Session] = CLOCK.sessions(dt.date(2024, 1, 2), dt.date(2024, 1, 31))
        self.now = self.sessions[0].open_ns

    def request(
        self, side: str = "BUY", quantity: int = 100, kind: str = "MARKET", symbol: str = "SPY", **fields: Any
    ) -> OrderRequest:
        """Build a request; prices may be plain numbers."""
        priced: dict[str, Any] = {
            name: Decimal(str(value)) if isinstance(value, int | float) and name in _PRICES else value
            for name, value in fields.items()
        }
        return OrderRequest(symbol, Decimal(quantity), OrderType(kind), Side(side), **priced)

    def place(
        self, *args: Any, parent: int | None = None, transmit: bool = True, **fields: Any
    ) -> WorkingOrder:
        """Place an order now."""
        return self.broker.place(self.request(*args, **fields), self.now, parent=parent, transmit=transmit)

    def bar(
        self, *ohlc: float, volume: float = 10_000.0, symbol: str = "SPY", minutes: int = 1
    ) -> list[BrokerEvent]:
        """Play the bar that starts now; one price stands for all four."""
        open_, high, low, close = ohlc if len(ohlc) > 1 else ohlc * 4
        end = self.now + minutes * MINUTE
        bar = Bar(symbol, self.now, end, open_, high, low, close, volume)
        self.now = end
        return self.broker.advance(end, [bar])

    def told(self, events: Sequence[BrokerEvent]) -> list[tuple[Any, ...]]:
        """Put events in few words: (number, size, price) of a fill, (number, what happened) of the rest."""
        return [
            (event.order.perm_id, int(event.quantity), float(event.price))
            if isinstance(event, BrokerFill)
            else (event.order.perm_id, getattr(event, "what", None) or getattr(event, "reason", ""))
            for event in events
        ]

    def play(self, *ohlc: float, **more: Any) -> list[tuple[Any, ...]]:
        """Play a bar and put what happened in few words."""
        return self.told(self.bar(*ohlc, **more))


_PRICES = frozenset(
    (
        "limit_price",
        "stop_price",
        "trail_amount",
        "trail_percent",
        "trail_stop",
        "limit_offset",
    )
)


@pytest.fixture
def desk() -> BrokerDesk:
    """Return a broker without costs or limits at the open of 2024-01-02."""
    return BrokerDesk()


@pytest.fixture(scope="session")
def make_desk() -> Callable[..., BrokerDesk]:
    """Return the way to make a broker with costs and accounts."""
    return BrokerDesk
