"""Each signal is counted under its name, and pays by the round trips that its orders opened."""

from __future__ import annotations

from decimal import Decimal

from backtesting.ledgers import LedgerTables
from backtesting.signal_figures import SignalFigures, signal_figures
from execution.clocks import timestamp
from execution.models import Fill, Order, OrderStatus, OrderType, Side
from strategies.signals import Direction, Signal, StatedSignal

D = Decimal
DAY = 86_400_000_000_000
LONG, SHORT, FLAT = Direction


def stated(count: int, direction: Direction, name: str = "") -> StatedSignal:
    return StatedSignal(f"ma-SPY-{count}-s1", "ma", count * DAY, Signal("SPY", direction, name=name))


def order(name: str, day: int, side: Side, size: int = 10) -> Order:
    kind, moment = OrderType.MARKET, timestamp(day * DAY)
    return Order("7", name, "SPY", D(size), kind, side, None, None, OrderStatus.SUBMITTED, moment)


def fill(name: str, day: int, side: Side, price: str, size: int = 10) -> Fill:
    moment = timestamp((day + 1) * DAY)
    return Fill(f"{name}-1", "7", "SPY", D(size), D(price), side, moment, D(1), client_order_id=name)


def test_signals_are_counted_by_name_and_pay_by_the_trips_their_orders_opened() -> None:
    # Long at 100, out at 104: a hit of 40 less 2. Long again, turned short by one order, out: two misses.
    orders = [
        order("a", 1, Side.BUY), order("b", 2, Side.SELL), order("c", 3, Side.BUY),
        order("d", 4, Side.SELL, 20), order("e", 5, Side.BUY), order("f", 6, Side.BUY),
    ]  # fmt: skip
    fills = [
        fill("a", 1, Side.BUY, "100"), fill("b", 2, Side.SELL, "104"), fill("c", 3, Side.BUY, "104"),
        fill("d", 4, Side.SELL, "103", 20), fill("e", 5, Side.BUY, "105"),
    ]  # fmt: skip
    signals = [
        stated(1, LONG, "in"), stated(2, FLAT), stated(3, LONG, "in"), stated(4, SHORT, "turn"),
        stated(5, FLAT), stated(6, LONG, "in"), stated(7, LONG, "in"),
    ]  # fmt: skip
    placed = {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6}
    tables = LedgerTables.from_result(
        orders, fills, [], (), signals, {name: f"ma-SPY-{count}-s1" for name, count in placed.items()}
    )
    assert signal_figures(tables) == (
        SignalFigures("ma", "in", 4, 4, 0, 0, 3, 2, 2, 1, 0.5, D(38) + D("-11.5")),
        SignalFigures("ma", "ma", 2, 0, 0, 2, 2, 2, 0, 0, None, D(0)),
        SignalFigures("ma", "turn", 1, 0, 1, 0, 1, 1, 1, 0, 0.0, D("-21.5")),
    )
    tenfold = signal_figures(tables, {"SPY": D(10)})
    assert tenfold[0].profit == D(398) + D("-101.5")


def test_trips_that_no_signal_opened_are_in_no_row() -> None:
    fills = [fill("a", 1, Side.BUY, "100"), fill("b", 2, Side.SELL, "104")]
    orders = [order("a", 1, Side.BUY), order("b", 2, Side.SELL)]
    assert signal_figures(LedgerTables.from_result(orders, fills, [])) == ()
    only_out = LedgerTables.from_result(orders, fills, [], (), [stated(2, FLAT)], {"b": "ma-SPY-2-s1"})
    assert [(row.filled, row.round_trips) for row in signal_figures(only_out)] == [(1, 0)]
