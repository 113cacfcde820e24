"""What we send, read back by ib_insync's decoder and held against frames recorded from real gateways."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ib_insync as ibi
import pytest
from ib_insync.decoder import Decoder

from backtesting.gateway.desks.book import OrderBook
from backtesting.gateway.tickets import Execution, Ticket
from backtesting.gateway.wire import replies
from backtesting.gateway.wire.codec import split
from backtesting.gateway.wire.requests import PlaceOrder, decode
from data.bars import BarSeries, steps
from data.calendars import ExchangeClock
from execution.models import Instrument
from strategies.spec import CostSpec

VERSIONS = (157, 159, 160, 162, 163, 164, 166, 169, 170, 176)


class Listener:
    """Takes whatever the decoder calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.ib = ibi.IB()

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: self.calls.append((name, args))


def read(data: bytes, version: int = 176) -> tuple[Any, ...]:
    """Decode one message and return what the wrapper was called with."""
    listener: Any = Listener()
    decoder = Decoder(listener, version)
    fields = split(data[4:])
    decoder.handlers[int(fields[0])](fields)
    calls: list[tuple[str, tuple[Any, ...]]] = listener.calls
    assert len(calls) == 1
    return calls[0][1]


class Collected:
    def __init__(self) -> None:
        self.executions: list[Execution] = []

    def on_execution(self, execution: Execution) -> None:
        self.executions.append(execution)

    def on_cancelled(self, ticket: Ticket) -> None:
        """Nothing is cancelled here."""


@pytest.fixture
def traded(
    bars: dict[str, BarSeries], sessions: ExchangeClock, placed: Callable[..., list[str]]
) -> tuple[Ticket, Execution]:
    """A stop-limit order that is filled by the second bar."""
    desk = OrderBook([Instrument("AAA"), Instrument("BBB")], CostSpec(), sessions, Decimal(10_000), "DU1")
    order = ibi.StopLimitOrder("BUY", 10, 101.5, 100.5, orderRef="ref 1", outsideRth=True)
    wish = decode(placed(ibi.Stock("AAA", "SMART", "USD"), order), 176)
    assert isinstance(wish, PlaceOrder)
    ticket = desk.place(3, wish, int(sessions.closes_ns[0]))
    events = Collected()
    for end_ns, step in steps(bars):
        desk.advance(end_ns, step, events)
    return ticket, events.executions[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_open_order_is_read_whole_at_every_version(version: int, traded: tuple[Ticket, Execution]) -> None:
    order_id, contract, order, state = read(replies.open_order(version, "DU1", traded[0], "Filled"), version)
    assert (order_id, contract.symbol, contract.secType) == (1, "AAA", "STK")
    assert (order.action, order.totalQuantity, order.orderType) == ("BUY", 10, "STP LMT")
    assert (order.lmtPrice, order.auxPrice, order.tif, order.outsideRth) == (101.5, 100.5, "DAY", True)
    assert (order.orderRef, order.permId, order.clientId) == ("ref 1", 1_500_000_001, 3)
    assert (order.clearingIntent, order.dontUseAutoPriceForHedge, order.trailStopPrice) == ("IB", True, 102.5)
    assert (state.status, state.commission, state.commissionCurrency) == ("Filled", 1.0, "USD")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_completed_order_is_read_whole_at_every_version(
    version: int, traded: tuple[Ticket, Execution]
) -> None:
    contract, order, state = read(replies.completed_order(version, "DU1", traded[0]), version)
    assert (contract.symbol, order.orderType, order.permId) == ("AAA", "STP LMT", 1_500_000_001)
    assert (order.totalQuantity, order.filledQuantity, order.orderRef) == (0, 10, "ref 1")
    assert (state.status, state.completedStatus) == ("Filled", "Filled Size: 10")
    assert state.completedTime == "20180103 09:30:00 US/Eastern"


@pytest.mark.parametrize("version", VERSIONS)
def test_contract_details_are_read_whole_at_every_version(version: int) -> None:
    instrument = Instrument("AAA", con_id=5, primary_exchange="ARCA", name="A fund", multiplier=Decimal(50))
    request_id, details = read(replies.contract_details(version, 9, instrument, "h1", "h2"), version)
    assert (request_id, details.contract.conId, details.contract.primaryExchange) == (9, 5, "ARCA")
    assert (details.minTick, details.longName, details.contract.multiplier) == (0.01, "A fund", "50")
    assert (details.tradingHours, details.liquidHours, details.stockType) == ("h1", "h2", "COMMON")
    assert details.validExchanges == "SMART,ARCA"


@pytest.mark.parametrize("version", [157, 165, 166, 176])
def test_an_error_is_read_at_every_version(version: int) -> None:
    assert read(replies.error(version, 4, 202, "why"), version) == (4, 202, "why", "")


def test_an_execution_and_its_commission_are_read_whole(traded: tuple[Ticket, Execution]) -> None:
    request_id, contract, execution = read(replies.execution_details("DU1", traded[1], 12))
    (report,) = read(replies.commission_report(traded[1]))
    assert (request_id, contract.symbol, execution.side, execution.shares) == (12, "AAA", "BOT", 10)
    assert (execution.execId, execution.orderRef) == ("0000e0d5.59682f01.01.01", "ref 1")
    assert (execution.cumQty, execution.avgPrice) == (10, float(traded[1].price))
    assert execution.time.isoformat() == "2018-01-03T14:30:00+00:00"
    assert (report.execId, report.commission) == (execution.execId, 1.0)
    assert report.realizedPNL > 1e300  # unset: the trade opened a position


def test_holdings_are_read_whole() -> None:
    instrument = Instrument("AAA", con_id=5)
    _, contract, size, cost = read(replies.position("DU1", instrument, Decimal(-3), Decimal("1.5")))
    assert (contract.conId, size, cost) == (5, -3.0, 1.5)
    numbers = map(Decimal, ("10", "2", "1.5", "5", "0"))
    values = read(replies.portfolio_value("DU1", instrument, *numbers))
    assert values[1:] == (10.0, 2.0, 20.0, 1.5, 5.0, 0.0, "DU1")


@pytest.mark.parametrize(("message_id", "version"), [(5, 164), (5, 176), (101, 164), (11, 176), (3, 176)])
def test_our_frames_have_the_shape_of_recorded_ones(
    message_id: int,
    version: int,
    recorded_frames: list[dict[str, Any]],
    traded: tuple[Ticket, Execution],
) -> None:
    ticket, execution = traded
    ours = {
        3: lambda: replies.order_status(ticket, "Filled"),
        5: lambda: replies.open_order(version, "DU1", ticket, "Filled"),
        11: lambda: replies.execution_details("DU1", execution),
        101: lambda: replies.completed_order(version, "DU1", ticket),
    }[message_id]()
    fields = split(ours[4:])[1:]
    like = [
        frame["fields"]
        for frame in recorded_frames
        if frame["msg_id"] == message_id
        and (frame["server_version"] == version or message_id == 3)
        and frame["dir"] == "in"
        and frame["fields"][:2] != ["", ""]
    ]
    assert like
    assert min(abs(len(fields) - len(theirs)) for theirs in like) == 0
    closest = [theirs for theirs in like if len(theirs) == len(fields)]
    for place, mine in enumerate(fields):
        assert any(_kind(mine) == _kind(theirs[place]) for theirs in closest) or _varies(message_id, place), (
            place,
            mine,
            [theirs[place] for theirs in closest],
        )


def _kind(text: str) -> str:
    """Tell empty, unset, number and text apart."""
    if text in ("", "None", "?"):
        return text
    if "E308" in text:
        return "unset"
    try:
        float(text)
    except ValueError:
        return "text"
    return "number"


def _varies(message_id: int, place: int) -> bool:
    """Say whether a field depends on the order: its reference, margins and commission, trailing stop."""
    varying = {5: {22, *range(88, 106), 113}, 101: {21, 80}, 11: {26}, 3: set[int]()}
    return place in varying[message_id]
