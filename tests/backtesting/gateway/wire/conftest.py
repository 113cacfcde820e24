"""What clients send, as ib_insync writes it, and orders of a real simulated broker to tell of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import ib_insync as ibi
import pytest
from ib_insync.decoder import Decoder

from backtesting.broker import SimulatedBroker
from backtesting.gateway.tickets import Execution, Ticket
from backtesting.gateway.wire.codec import split
from backtesting.gateway.wire.gates import SERVED
from backtesting.gateway.wire.requests import PlaceOrder, decode
from data.calendars import ExchangeClock
from execution.models import Instrument, OrderRequest
from strategies.spec import CostSpec

Asked = Callable[[int, Callable[[Any], None]], list[list[str]]]

STOCK = ibi.Stock("AAA", "SMART", "USD")
VERSIONS = [version for version in SERVED if version <= ibi.client.Client.MaxClientVersion]
"""The versions this client speaks."""


def sent(version: int, ask: Callable[[Any], None]) -> list[list[str]]:
    """Return the fields of the messages a client sends at a server version."""
    messages: list[list[str]] = []
    client: Any = ibi.IB().client
    client.connState = client.CONNECTED
    client._serverVersion = version
    client.sendMsg = lambda text: messages.append(text[:-1].split("\0"))
    ask(client)
    client.connState = client.DISCONNECTED
    return messages


class Listener:
    """Takes whatever the client's decoder calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.ib = ibi.IB()
        self.defaultTimezone = dt.UTC

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: self.calls.append((name, args))


def heard(data: bytes, version: int = 176) -> tuple[str, tuple[Any, ...]]:
    """Decode one message with the client's own decoder: the name of the callback and its arguments."""
    listener: Any = Listener()
    decoder = Decoder(listener, version)
    fields = split(data[4:])
    with patch.object(decoder.logger, "exception", _fail):  # else it logs what it cannot read and goes on
        decoder.handlers[int(fields[0])](fields)
    calls: list[tuple[str, tuple[Any, ...]]] = listener.calls
    assert len(calls) == 1, calls
    return calls[0]


def _fail(text: str, *_: object) -> None:
    raise AssertionError(text)


@pytest.fixture(scope="session")
def asked() -> Asked:
    """The fields of what a client asks: `asked(version, lambda client: client.reqIds(1))`."""
    return sent


@pytest.fixture(scope="session")
def hear() -> Callable[..., tuple[str, tuple[Any, ...]]]:
    """What a client's decoder makes of a message: `hear(data, version)`."""
    return heard


@pytest.fixture(scope="session")
def read_order() -> Callable[..., PlaceOrder]:
    """An order as it is decoded from what a client sends for it."""

    def read(what: ibi.Order, contract: ibi.Contract = STOCK, version: int = 176) -> PlaceOrder:
        (fields,) = sent(version, lambda client: client.placeOrder(1, contract, what))
        decoded = decode(fields, version)
        assert isinstance(decoded, PlaceOrder)
        return decoded

    return read


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> int:
    """Every version that the client and the gateway share."""
    chosen: int = request.param
    return chosen


@pytest.fixture(scope="session")
def ticket_of(read_order: Callable[..., PlaceOrder]) -> Callable[..., Ticket]:
    """A live order of a simulated broker: `ticket_of(ib_order, request, contract=..., **ticket fields)`."""
    sessions = ExchangeClock("XNYS", dt.date(2018, 1, 2), dt.date(2018, 1, 31))
    now_ns = int(sessions.opens_ns[0])

    def place(
        what: ibi.Order,
        request: OrderRequest,
        *,
        instrument: Instrument | None = None,
        contract: ibi.Contract = STOCK,
        **more: Any,
    ) -> Ticket:
        traded = instrument or Instrument(request.symbol, con_id=5, primary_exchange="NASDAQ")
        broker = SimulatedBroker([traded], CostSpec(), sessions, Decimal(1_000_000))
        fields: dict[str, Any] = {"client_id": 3, "order_id": 1, "perm_id": 1_500_000_001, "account": "DU1"}
        fields["quantity"] = request.quantity
        wish = read_order(what, contract)
        fields |= {"order_ref": what.orderRef, "order_type": what.orderType, "status": "Submitted"}
        return Ticket(order=broker.place(request, now_ns), wish=wish, **(fields | more))

    return place


@pytest.fixture(scope="session")
def execution_of() -> Callable[..., Execution]:
    """An execution of an order: `execution_of(ticket, quantity=..., price=...)`."""

    def make(ticket: Ticket, **more: Any) -> Execution:
        fields: dict[str, Any] = {
            "exec_id": "0000e0d5.59682f01.01.01",
            "quantity": Decimal(10),
            "price": Decimal("101.5"),
            "time_ns": 1_514_903_400_000_000_000,
            "booked_ns": 1_514_903_400_000_000_000,
            "commission": Decimal(1),
            "realized_pnl": None,
            "cumulative": Decimal(10),
            "average_price": Decimal("101.5"),
            "charged_before": None,
        }
        return Execution(ticket=ticket, **(fields | more))

    return make
