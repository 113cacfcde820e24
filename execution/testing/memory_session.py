"""A session without a wire: the faces of `execution.ibkr.session.IBSession`, before a broker in memory.

It is made by the connection manager in place of the real one, so everything above it is the real thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from execution.errors import NotConnectedError
from execution.ibkr import translate
from execution.ibkr.bars import SessionCalendar
from execution.ibkr.contract_terms import ContractTerms
from execution.ibkr.session import BrokerPosition, BrokerValue, IBSession
from execution.models import ZERO, Bar, Instrument, OrderRequest
from execution.orders.evidence import CompletedOrderSeen, Evidence
from execution.testing.memory_broker import MemoryBroker
from execution.timeframes import Timeframe

_INITIAL, _MAINTENANCE = Decimal("0.5"), Decimal("0.25")


class MemorySession(IBSession):
    """A connection's life from `open` to `close`; a new one is made for each connection.

    Parameters
    ----------
    broker
        What stands on the other side.
    callbacks
        As for `IBSession`.
    """

    def __init__(self, broker: MemoryBroker, **callbacks: Any) -> None:
        super().__init__(**callbacks)
        self._broker = broker
        self._hear: Callable[[Evidence], None] = callbacks["on_evidence"]
        self._heard: Callable[[], None] = callbacks["on_data"]
        self._take_bar: Callable[[Bar], None] = callbacks["on_bar"]
        self._tell_lost: Callable[[str], None] = callbacks["on_disconnected"]
        self._stands = False
        self._client_id = 0
        self._next_id = 1

    async def open(self, host: str, port: int, client_id: int, *, first_id: int = 0) -> None:
        """Connect; raise `NotConnectedError` where the script refuses it."""
        if self._broker.refusals:
            self._broker.refusals -= 1
            raise NotConnectedError(f"no session at {host}:{port} as client {client_id}: refused as scripted")
        self._client_id = client_id
        self._offered_id = max([1, *(order.order_id + 1 for order in self._broker.orders)])
        self._next_id = max(first_id, self._offered_id)
        self._stands = True
        self._broker.attach(self)

    def close(self) -> None:
        """Close the connection."""
        self._stands = False
        if self._broker.session is self:
            self._broker.session = None

    def abort(self, why: str) -> None:  # noqa: ARG002 - there is nobody to tell it
        """Close the connection."""
        self.close()

    def lose(self, why: str) -> None:
        """Be cut off by the other side."""
        if self._stands:
            self._stands = False
            self._tell_lost(why)

    def hear(self, facts: Iterable[Evidence]) -> None:
        """Take facts as they arrive."""
        for fact in facts:
            self._hear(fact)
        self._heard()

    def push(self, bar: Bar) -> None:
        """Take an update of a subscribed bar."""
        self._take_bar(bar)

    @property
    def is_open(self) -> bool:
        """Whether the session stands."""
        return self._stands

    @property
    def accounts(self) -> list[str]:
        """Accounts this login may trade."""
        return list(self._broker.accounts)

    @property
    def next_order_id(self) -> int:
        """The smallest order id that the broker will accept."""
        return self._next_id

    @property
    def offered_order_id(self) -> int:
        """The next order id that the broker offered at the login."""
        return self._offered_id

    @property
    def bytes_received(self) -> int:
        """Nothing: there is no wire."""
        return 0

    def ask(self) -> None:
        """Send no heartbeat: a session in memory is lost only where the script says so."""

    def login(self) -> dict[str, Any]:
        """Return what the login agreed on, for the record."""
        return {"accounts": self.accounts, "next_valid_id": self._next_id}

    def tally(self) -> dict[str, int]:
        """Return what has passed in this session: nothing goes over a wire."""
        return {}

    def place(
        self,
        order_id: int,
        instrument: Instrument,
        request: OrderRequest,
        *,
        parent_id: int = 0,
        transmit: bool = True,
        following: int = 0,
        wire: object | None = None,
    ) -> None:
        """Hand over an order, or a change of one, after the checks the wire would make."""
        if wire is None:
            translate.to_wire_order(request, instrument, order_id, parent_id=parent_id, transmit=transmit)
        self.require_open_lane(messages=1 + following)
        self._next_id = max(self._next_id, order_id + 1)
        self._broker.take(
            order_id,
            instrument,
            request,
            client_id=self._client_id,
            parent_id=parent_id,
            transmit=transmit,
        )

    def require_open_lane(self, *, reserve: int = 0, messages: int = 1) -> None:  # noqa: ARG002 - the faces are the real one's
        """Raise `NotConnectedError` if there is no session; there is no pacing."""
        if not self._stands:
            raise NotConnectedError("there is no session with the broker; nothing was sent")

    def cancel(self, order_id: int) -> None:
        """Ask for the cancellation of an order."""
        self.require_open_lane()
        self._broker.cancel(order_id)

    async def open_orders(self) -> None:
        """Tell every open order."""
        self.require_open_lane()
        self.hear(self._broker.open_facts())

    async def executions(self) -> None:
        """Tell every execution."""
        self.require_open_lane()
        self.hear(self._broker.execution_facts())

    async def completed_orders(self) -> list[CompletedOrderSeen]:
        """Return the orders that are over."""
        self.require_open_lane()
        return self._broker.completed()

    async def positions(self) -> list[BrokerPosition]:
        """Return all positions."""
        self.require_open_lane()
        return [
            BrokerPosition(
                account,
                symbol,
                holding.quantity,
                holding.average_cost,
                self._broker.instruments[symbol].security_type
                if symbol in self._broker.instruments
                else "STK",
            )
            for account, ledger in self._broker.ledgers.items()
            for symbol, holding in sorted(ledger.holdings.items())
            if holding.quantity
        ]

    async def account_summary(self, account: str | None = None) -> dict[str, Decimal]:
        """Return net liquidation value and cash."""
        self.require_open_lane()
        ledger = self._broker.ledgers[account or self._broker.accounts[0]]
        value = ledger.cash
        for symbol, holding in ledger.holdings.items():
            price = self._broker.prices.get(symbol)
            value += holding.cost if price is None else holding.quantity * price * holding.multiplier
        return {"NetLiquidation": value, "TotalCashValue": ledger.cash}

    async def values(self, account: str) -> list[BrokerValue]:
        """Return what positions are worth at the last prices; None where there was none."""
        self.require_open_lane()
        told = []
        for symbol, holding in sorted(self._broker.ledgers[account].holdings.items()):
            price, listed = self._broker.prices.get(symbol), self._broker.instruments.get(symbol)
            value = None if price is None else holding.quantity * price * holding.multiplier
            gain = None if value is None else value - holding.cost
            kind = "STK" if listed is None else listed.security_type
            told.append(BrokerValue(account, symbol, kind, holding.quantity, value, gain))
        return told

    async def what_if(
        self, instrument: Instrument, request: OrderRequest, *, least_id: int = 0
    ) -> tuple[dict[str, Decimal | None], str]:
        """Return round figures: half of the order's value as initial margin, a quarter to maintain it."""
        self._next_id = max(self._next_id, least_id) + 1
        summary = await self.account_summary(request.account)
        price = request.limit_price or self._broker.prices.get(request.symbol) or ZERO
        value = request.quantity * price * instrument.multiplier
        figures: dict[str, Decimal | None] = {"commission": self._broker.commission}
        for name, share in (("initial", _INITIAL), ("maintenance", _MAINTENANCE)):
            figures |= {
                f"{name}_before": ZERO,
                f"{name}_change": value * share,
                f"{name}_after": value * share,
            }
        equity = summary["NetLiquidation"]
        cost = self._broker.commission
        figures |= {"equity_before": equity, "equity_change": -cost, "equity_after": equity - cost}
        return figures, ""

    async def current_time(self) -> int:
        """Return the broker's time in UTC nanoseconds."""
        self.require_open_lane()
        return self._broker.clock.now_ns()

    async def contract_details(self, instrument: Instrument) -> list[Any]:  # noqa: ARG002 - it knows none
        """Return nothing: the broker in memory trades what it is given."""
        self.require_open_lane()
        return []

    async def contract_terms(self, instrument: Instrument) -> list[ContractTerms]:  # noqa: ARG002
        """Return nothing, as for an unknown contract."""
        self.require_open_lane()
        return []

    async def subscribe_bars(
        self,
        instrument: Instrument,  # noqa: ARG002 - bars come as the test pushes them
        timeframe: Timeframe,  # noqa: ARG002
        calendar: SessionCalendar,  # noqa: ARG002
        *,
        duration: str,  # noqa: ARG002
        regular_hours: bool = True,  # noqa: ARG002
    ) -> tuple[int, list[Bar]]:
        """Return the time and no history; updates come as the test pushes them."""
        self.require_open_lane()
        return self._broker.clock.now_ns(), []
