from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from backtesting.ledgers import LedgerTables
from backtesting.parity import compare
from execution.clocks import timestamp
from execution.models import Fill, Order, OrderStatus, OrderType, PortfolioSnapshot, Side
from strategies.signals import Direction, Signal, StatedSignal

D = Decimal
START = 1_577_912_400_000_000_000
DAY = 86_400_000_000_000
SIGNAL = StatedSignal("ma-SPY-1-s1", "ma", START, Signal("SPY", Direction.LONG, 0.5))


def orders(count: int = 3) -> list[Order]:
    return [
        Order(
            str(number),
            f"o{number}",
            "SPY",
            D(100),
            OrderType.MARKET,
            Side.BUY,
            None,
            None,
            OrderStatus.FILLED,
            timestamp(START + number * DAY),
        )
        for number in range(count)
    ]


def fills(count: int = 3) -> list[Fill]:
    return [
        Fill(
            f"o{number}-1",
            str(number),
            "SPY",
            D(100),
            D("101.25"),
            Side.BUY,
            timestamp(START + (number + 1) * DAY),
            D(1),
            client_order_id=f"o{number}",
        )
        for number in range(count)
    ]


def equity(*values: str) -> list[PortfolioSnapshot]:
    return [
        PortfolioSnapshot(timestamp(START + number * DAY), D(1), D(value), D(0), D(0))
        for number, value in enumerate(values)
    ]


def tables(
    made: Sequence[Order] | None = None,
    filled: Sequence[Fill] | None = None,
    values: tuple[str, ...] = ("1000", "1001.5"),
    signal: StatedSignal | None = None,
) -> LedgerTables:
    return LedgerTables.from_result(
        made or orders(), filled or fills(), equity(*values), (), [signal or SIGNAL], {"o0": "ma-SPY-1-s1"}
    )


def test_the_same_run_is_identical() -> None:
    report = compare(tables(), tables(), ("live", "backtest"))
    assert report.identical
    rows = {"orders": (3, 3), "fills": (3, 3), "positions": (0, 0), "equity": (2, 2), "signals": (1, 1)}
    assert report.counts == rows
    assert report.final_equity == (D("1001.5"), D("1001.5"))
    assert report.equity_gap == 0
    assert report.text().startswith("parity live | backtest: identical")


@pytest.mark.parametrize(
    ("change", "column", "left", "right"),
    [
        ({"price": D("101.26")}, "price", "101.25", "101.26"),
        ({"commission": D("1.01")}, "commission", "1", "1.01"),
        (
            {"timestamp": timestamp(START + DAY + 10**9)},
            "time",
            "2020-01-02 21:00:00+00:00",
            "2020-01-02 21:00:01+00:00",
        ),
    ],
)
def test_one_value_of_one_fill_is_found(
    change: dict[str, object], column: str, left: str, right: str
) -> None:
    other = fills()
    other[0] = replace(other[0], **change)  # type: ignore[arg-type] # the fields are those of the parameter list
    found = [d for d in compare(tables(), tables(filled=other)).differences if d.table == "fills"]
    assert [(d.key, d.column, d.left, d.right, d.order) for d in found] == [
        ("o0-1", column, left, right, "o0")
    ]


def test_a_signal_that_wants_another_side_is_found_and_one_that_was_replayed_is_not() -> None:
    other = replace(SIGNAL, signal=Signal("SPY", Direction.FLAT, 0.5))
    (found,) = compare(tables(), tables(signal=other)).differences
    assert str(found) == "signals ma-SPY-1-s1: direction LONG | FLAT"
    assert compare(tables(), tables(signal=replace(SIGNAL, replayed=True))).identical


def test_an_order_that_one_side_lacks_is_one_difference() -> None:
    report = compare(tables(), tables(orders(2), fills(2)))
    assert [(d.table, d.key, d.column, d.right) for d in report.differences] == [
        ("orders", "o2", "row", None),
        ("fills", "o2-1", "row", None),
    ]
    assert compare(tables(orders(2), fills(2)), tables()).differences[0].left is None


def test_the_gap_of_equity_is_the_largest_at_a_common_time() -> None:
    report = compare(tables(values=("1000", "900", "1100")), tables(values=("1000", "925.5", "1101", "5")))
    assert report.equity_gap == D("25.5")
    assert report.final_equity == (D(1100), D(5))
    assert "largest gap 25.5" in report.text()


def test_a_run_without_snapshots_has_no_final_equity() -> None:
    report = compare(tables(values=()), tables())
    assert report.final_equity == (None, D("1001.5"))
    assert not report.identical
    assert "final equity none | 1001.5" in report.text()


def test_the_reason_of_a_rejection_is_prose_and_not_compared() -> None:
    def rejected(reason: str) -> LedgerTables:
        order = replace(orders(1)[0], status=OrderStatus.REJECTED, reason=reason)
        return LedgerTables.from_result([order], [], [])

    assert compare(rejected("201: no"), rejected("Order rejected")).identical


def test_the_text_explains_the_first_orders_and_counts_the_rest() -> None:
    many = [replace(order, quantity=D(90)) for order in orders(8)]
    lines = compare(tables(orders(8), fills(8)), tables(many, fills(8))).text(orders=2).splitlines()
    assert lines[3:] == [
        "  order o0",
        "    orders o0: quantity 100 | 90",
        "  order o1",
        "    orders o1: quantity 100 | 90",
        "  and 6 more orders",
    ]


def test_differences_of_equity_are_cut_in_the_text_too() -> None:
    left = tables(values=tuple("1" * 9))
    right = tables(values=tuple("2" * 9))
    assert "and 7 more values of positions and equity" in compare(left, right).text(orders=2)


def test_the_same_rows_in_another_sequence_are_not_identical() -> None:
    other = [replace(order, submitted_at=timestamp(START)) for order in orders()]
    left = LedgerTables.from_result(other, [], [])
    right = LedgerTables.from_result(other[::-1], [], [])
    assert [d.column for d in compare(left, right).differences] == ["sequence of rows"]


def test_the_dict_is_plain_json() -> None:
    shown = json.loads(json.dumps(compare(tables(), tables(orders(2), fills(2))).as_dict()))
    assert shown["identical"] is False
    assert shown["differences_total"] == 2
    assert shown["final_equity"] == ["1001.5", "1001.5"]
    assert shown["differences"][0]["left"] == "SPY BUY 100 FILLED"
