from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtesting.ledgers import NAMES, SCHEMAS, LedgerTables
from backtesting.run_errors import LedgerContentError
from execution.clocks import timestamp, utc_ns
from execution.models import Fill, Order, OrderStatus, OrderType, PortfolioSnapshot, Position, Side
from strategies.signals import Direction, Signal, StatedSignal

D = Decimal
START = 1_577_912_400_000_000_000  # 2020-01-01 21:00 UTC
DAY = 86_400_000_000_000


@dataclass(frozen=True)
class Event:
    seq: int
    kind: str
    body: dict[str, Any]


def numbered(records: Iterable[tuple[str, dict[str, Any]]]) -> list[Event]:
    return [Event(seq, kind, body) for seq, (kind, body) in enumerate(records, 1)]


def an_order(
    name: str,
    status: OrderStatus = OrderStatus.SUBMITTED,
    *,
    day: int = 0,
    quantity: str = "100",
    side: Side = Side.BUY,
    reason: str | None = None,
) -> Order:
    return Order(
        order_id=f"perm-{name}",
        client_order_id=name,
        symbol="SPY",
        quantity=D(quantity),
        order_type=OrderType.LIMIT,
        side=side,
        limit_price=D("101.25"),
        stop_price=None,
        status=status,
        submitted_at=timestamp(START + day * DAY),
        average_fill_price=D("9999"),
        strategy="ma_crossover",
        reason=reason,
    )


def a_fill(
    order: str,
    number: int = 1,
    *,
    day: int = 1,
    quantity: str = "100",
    price: str = "101.25",
    commission: str | None = "1",
) -> Fill:
    return Fill(
        fill_id=f"{order}-{number}",
        order_id=f"perm-{order}",
        symbol="SPY",
        quantity=D(quantity),
        price=D(price),
        side=Side.BUY,
        timestamp=timestamp(START + day * DAY),
        commission=None if commission is None else D(commission),
        client_order_id=order,
    )


def a_snapshot(day: int, equity: str = "1000000.25", *symbols: str) -> PortfolioSnapshot:
    moment = timestamp(START + day * DAY)
    held = tuple(Position(s, D(100), D("101.25"), D("10125"), D("-0.1234567"), moment) for s in symbols)
    return PortfolioSnapshot(
        moment, D("989875.25"), D(equity), D("-0.1234567"), D("12.5"), D("1.5"), D("10125"), positions=held
    )


def a_signal(count: int, symbol: str = "SPY", day: int = 0) -> StatedSignal:
    signal = Signal(
        symbol, Direction.LONG, 0.1 + 0.2, D("10.0"), {"z": (1.5, None), "a": "\u00e9"}, "breakout"
    )
    return StatedSignal(f"ma-x-{symbol}-s{count}", "ma-x", START + day * DAY, signal)


def text(value: Decimal | None) -> str | None:
    return None if value is None else str(value)


def submitted(order: Order, attempt: int = 1, *, dry_run: bool = False) -> tuple[str, dict[str, Any]]:
    return "order_submitted", {
        "client_order_id": order.client_order_id,
        "attempt": attempt,
        "order_id": 17 + attempt,
        "symbol": order.symbol,
        "side": str(order.side),
        "quantity": str(order.quantity),
        "order_type": str(order.order_type),
        "limit_price": text(order.limit_price),
        "stop_price": text(order.stop_price),
        "time_in_force": str(order.time_in_force),
        "outside_rth": False,
        "account": "DU1",
        "strategy": order.strategy,
        "trading_time": utc_ns(order.submitted_at),
        "decision": {"approved": True, "rule": "", "reason": "", "checks": []},
        "dry_run": dry_run,
    }


def status(name: str | None, new: OrderStatus, reason: str | None = None) -> tuple[str, dict[str, Any]]:
    return "order_status", {
        "client_order_id": name,
        "order_id": "900",
        "old": "PENDING",
        "new": str(new),
        "filled": "1",
        "average_price": "1.23",
        "reason": reason,
        "trading_time": START,
    }


def filled(fill: Fill) -> tuple[str, dict[str, Any]]:
    return "fill", {
        "client_order_id": fill.client_order_id,
        "fill_id": fill.fill_id,
        "exec_id": f"0000e0d5.{fill.fill_id}",
        "symbol": fill.symbol,
        "side": str(fill.side),
        "quantity": str(fill.quantity),
        "price": str(fill.price),
        "time": utc_ns(fill.timestamp),
        "commission": text(fill.commission),
        "account": "DU1",
    }


def snapshotted(snapshot: PortfolioSnapshot) -> tuple[str, dict[str, Any]]:
    names = ("cash", "equity", "unrealized_pnl", "realized_pnl", "fees", "gross_exposure")
    held = ("quantity", "average_cost", "market_value", "unrealized_pnl")
    return "snapshot", {
        "trading_time": utc_ns(snapshot.timestamp),
        **{name: str(getattr(snapshot, name)) for name in names},
        "positions": [
            {"symbol": p.symbol, **{name: str(getattr(p, name)) for name in held}} for p in snapshot.positions
        ],
    }


PLACED_FOR = {"a": "ma-x-SPY-s9", "b": "ma-x-SPY-s9", "lost": "of-another-run"}


def a_run() -> LedgerTables:
    return LedgerTables.from_result(
        [an_order("a", OrderStatus.FILLED), an_order("b", day=1, reason="waiting")],
        [a_fill("a", 1, quantity="40"), a_fill("a", 2, quantity="60", price="101")],
        [a_snapshot(0), a_snapshot(1, "1000001.5", "SPY")],
        [("x", "MAX_GROSS"), ("y", "LONG_ONLY"), ("z", "MAX_GROSS")],
        [a_signal(10, "QQQ"), a_signal(10), a_signal(9), a_signal(1, "SPY", 1)],
        PLACED_FOR,
    )


def test_the_average_price_is_recomputed_from_the_fills() -> None:
    orders = a_run().orders.to_pylist()
    assert orders[0]["average_fill_price"] == D("101.1")
    assert orders[0]["filled_quantity"] == D(100)
    assert orders[1]["average_fill_price"] is None


def test_signals_come_by_time_symbol_and_count_and_name_the_orders_placed_for_them() -> None:
    rows = a_run().signals.to_pylist()
    assert [row["signal_id"] for row in rows] == [
        "ma-x-QQQ-s10",
        "ma-x-SPY-s9",
        "ma-x-SPY-s10",
        "ma-x-SPY-s1",
    ]
    assert [row["orders"] for row in rows] == [[], ["a", "b"], [], []]
    assert rows[0] | {"orders": None} == {
        "signal_id": "ma-x-QQQ-s10", "strategy": "ma-x", "name": "breakout", "symbol": "QQQ",
        "time": timestamp(START), "direction": "LONG", "strength": 0.1 + 0.2, "target": D(10),
        "features": '{"a":"\\u00e9","z":[1.5,null]}', "orders": None,
    }  # fmt: skip


def test_a_journal_tells_the_same_signals_once_however_often_they_are_in_it() -> None:
    stated = [a_signal(9), replace(a_signal(10), replayed=True), a_signal(9)]
    bodies = [json.loads(json.dumps(signal.to_body())) for signal in stated]
    kind, body = submitted(an_order("a"))
    events = [*(("signal", one) for one in bodies), (kind, body | {"signal_id": "ma-x-SPY-s9"})]
    told = LedgerTables.from_journal(numbered([*events, submitted(an_order("b"))]))
    expected = LedgerTables.from_result([], [], [], (), [a_signal(9), a_signal(10)], {"a": "ma-x-SPY-s9"})
    assert told.signals.equals(expected.signals)


def test_a_run_of_a_version_without_signals_is_read_and_has_none(tmp_path: Path) -> None:
    a_run().write(tmp_path)
    (tmp_path / "signals.parquet").unlink()
    assert LedgerTables.read(tmp_path).signals.num_rows == 0


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    tables = a_run()
    hashes = tables.write(tmp_path / "run")
    back = LedgerTables.read(tmp_path / "run")
    assert all(back.table(name).equals(tables.table(name)) for name in NAMES)
    assert back.hashes() == tables.hashes() == hashes
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(f"{n}.parquet" for n in NAMES)


def test_the_files_carry_nothing_but_the_declared_columns(tmp_path: Path) -> None:
    a_run().write(tmp_path)
    for name in NAMES:
        schema = pq.read_schema(tmp_path / f"{name}.parquet")
        assert schema.equals(SCHEMAS[name])
        assert not schema.metadata


def test_the_bytes_do_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    code = (
        "import importlib.util, sys; s = importlib.util.spec_from_file_location('m', sys.argv[1]);"
        "m = importlib.util.module_from_spec(s); sys.modules['m'] = m; s.loader.exec_module(m);"
        "print(m.a_run().hashes())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code, __file__],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert seen == {f"{a_run().hashes()}\n"}


def test_no_identity_of_broker_or_session_enters_the_files() -> None:
    one = a_run().hashes()
    other = LedgerTables.from_result(
        [replace(an_order("a", OrderStatus.FILLED), order_id="4711", account="U9"), an_order("b", day=1)],
        [replace(a_fill("a", 1, quantity="40"), order_id="4711"), a_fill("a", 2, quantity="60", price="101")],
        [a_snapshot(0), a_snapshot(1, "1000001.5", "SPY")],
        signals=[
            a_signal(1, "SPY", 1),
            a_signal(9),
            a_signal(10, "QQQ"),
            replace(a_signal(10), replayed=True),
        ],
        placed_for=PLACED_FOR,
    )
    assert other.hashes() == one


def test_refused_orders_are_counted_by_rule_and_kept_out_of_the_orders() -> None:
    assert a_run().refusals == {"LONG_ONLY": 1, "MAX_GROSS": 2}
    refused = {
        "client_order_id": "x",
        "decision": {"approved": False, "rule": "MAX_GROSS", "reason": "", "checks": []},
    }
    # A step that is repeated after a restart refuses the same order again.
    tables = LedgerTables.from_journal(numbered([("order_refused", refused), ("order_refused", refused)]))
    assert tables.refusals == {"MAX_GROSS": 1}
    assert tables.orders.num_rows == 0


@pytest.mark.parametrize(
    ("seen", "shown"),
    [
        (OrderStatus.PENDING, "SUBMITTED"),
        (OrderStatus.SUBMITTED, "SUBMITTED"),
        (OrderStatus.PARTIALLY_FILLED, "SUBMITTED"),
        (OrderStatus.PENDING_CANCEL, "SUBMITTED"),
        (OrderStatus.UNKNOWN, "UNKNOWN"),
        (OrderStatus.FILLED, "UNKNOWN"),  # called filled, but the executions were not seen
        (OrderStatus.CANCELLED, "CANCELLED"),
        (OrderStatus.REJECTED, "REJECTED"),
        (OrderStatus.NOT_SENT, "NOT_SENT"),
    ],
)
def test_statuses_are_normalised_alike_on_both_paths(seen: OrderStatus, shown: str) -> None:
    engine = LedgerTables.from_result([an_order("a", seen, reason="why")], [], [])
    journal = LedgerTables.from_journal(numbered([submitted(an_order("a")), status("a", seen, "why")]))
    assert engine.orders.to_pylist() == journal.orders.to_pylist()
    assert engine.orders["status"].to_pylist() == [shown]
    assert engine.orders["reason"].to_pylist() == ["why" if shown == "REJECTED" else None]


def test_an_order_whose_fills_add_up_is_filled_whatever_was_said_last() -> None:
    events = numbered(
        [submitted(an_order("a")), filled(a_fill("a")), status("a", OrderStatus.PENDING_CANCEL)]
    )
    assert LedgerTables.from_journal(events).orders["status"].to_pylist() == ["FILLED"]


def test_a_commission_that_came_late_joins_its_fill() -> None:
    late = ("commission", {"client_order_id": "a", "fill_id": "a-1", "exec_id": "e", "commission": "1.25"})
    events = numbered([submitted(an_order("a")), filled(a_fill("a", commission=None)), late])
    assert LedgerTables.from_journal(events).fills["commission"].to_pylist() == [D("1.25")]


def test_a_fill_that_is_recorded_twice_counts_once_and_keeps_its_commission() -> None:
    fill = a_fill("a")
    events = numbered([submitted(an_order("a")), filled(fill), filled(replace(fill, commission=None))])
    tables = LedgerTables.from_journal(events)
    assert tables.fills["commission"].to_pylist() == [D(1)]
    assert tables.orders["filled_quantity"].to_pylist() == [D(100)]


def test_an_order_that_was_never_sent_and_sent_again_is_one_row_in_its_first_place() -> None:
    events = numbered(
        [
            submitted(an_order("a")),
            submitted(an_order("b")),
            ("order_released", {"client_order_id": "a", "evidence": "absent"}),
            submitted(an_order("a"), attempt=2),
            status("a", OrderStatus.SUBMITTED),
        ]
    )
    orders = LedgerTables.from_journal(events).orders.to_pylist()
    assert [(row["client_order_id"], row["status"]) for row in orders] == [
        ("a", "SUBMITTED"),
        ("b", "SUBMITTED"),
    ]


def test_released_and_dry_run_orders_were_not_sent() -> None:
    released = ("order_released", {"client_order_id": "a", "evidence": "absent"})
    events = numbered([submitted(an_order("a")), released, submitted(an_order("b"), dry_run=True)])
    assert LedgerTables.from_journal(events).orders["status"].to_pylist() == ["NOT_SENT", "NOT_SENT"]


def test_events_of_orders_placed_elsewhere_do_not_disturb() -> None:
    events = numbered(
        [
            ("run_started", {"run_id": "r"}),
            status("foreign", OrderStatus.SUBMITTED),
            ("order_released", {"client_order_id": "foreign", "evidence": ""}),
            filled(replace(a_fill("x"), client_order_id=None)),
        ]
    )
    tables = LedgerTables.from_journal(events)
    assert tables.orders.num_rows == 0
    assert tables.fills["client_order_id"].to_pylist() == [None]


def test_the_last_snapshot_of_a_moment_counts() -> None:
    events = numbered([snapshotted(a_snapshot(0, "1", "SPY")), snapshotted(a_snapshot(0, "2"))])
    tables = LedgerTables.from_journal(events)
    assert tables.equity["equity"].to_pylist() == [D(2)]
    assert tables.positions.num_rows == 0


def test_money_is_rounded_once_and_times_are_utc() -> None:
    positions = a_run().positions.to_pylist()
    assert positions[0]["unrealized_pnl"] == D("-0.123457")
    assert positions[0]["time"] == pd.Timestamp("2020-01-02 21:00", tz="UTC")


def test_the_tenth_fill_comes_after_the_ninth() -> None:
    fills = [a_fill("a", number, quantity="10") for number in (10, 9, 2, 1)]
    tables = LedgerTables.from_result([an_order("a", quantity="100")], fills, [])
    assert tables.fills["fill_id"].to_pylist() == ["a-1", "a-2", "a-9", "a-10"]


def test_fills_of_one_moment_follow_the_order_of_their_orders() -> None:
    tables = LedgerTables.from_result([an_order("z"), an_order("b")], [a_fill("b"), a_fill("z")], [])
    assert tables.fills["fill_id"].to_pylist() == ["z-1", "b-1"]


def test_a_price_that_would_have_to_be_rounded_is_refused() -> None:
    with pytest.raises(LedgerContentError, match=r"fills\.price"):
        LedgerTables.from_result([], [a_fill("a", price="1.00000000001")], [])


def test_an_order_without_identity_is_refused() -> None:
    with pytest.raises(LedgerContentError, match=r"orders\.client_order_id"):
        LedgerTables.from_result([replace(an_order("a"), client_order_id=None)], [], [])


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("fill", {"fill_id": "a-1"}),
        ("order_refused", {"client_order_id": "a"}),
        ("commission", {"fill_id": "nobody-1", "commission": "1"}),
        ("snapshot", {"trading_time": "noon"}),
    ],
)
def test_a_damaged_event_is_named(kind: str, body: dict[str, Any]) -> None:
    with pytest.raises(LedgerContentError, match=f"event 1 \\({kind}\\)"):
        LedgerTables.from_journal(numbered([(kind, body)]))


def test_a_status_that_does_not_exist_is_refused() -> None:
    _, body = status("a", OrderStatus.FILLED)
    events = numbered([submitted(an_order("a")), ("order_status", {**body, "new": "LOST"})])
    with pytest.raises(LedgerContentError, match="event 2"):
        LedgerTables.from_journal(events)


def test_reading_says_which_file_is_missing_damaged_or_of_another_version(tmp_path: Path) -> None:
    tables = a_run()
    with pytest.raises(LedgerContentError, match=r"orders\.parquet is missing"):
        LedgerTables.read(tmp_path)
    tables.write(tmp_path)
    (tmp_path / "fills.parquet").write_bytes(b"no parquet")
    with pytest.raises(LedgerContentError, match=r"fills\.parquet is not a Parquet file"):
        LedgerTables.read(tmp_path)
    (tmp_path / "fills.parquet").write_bytes((tmp_path / "equity.parquet").read_bytes())
    with pytest.raises(LedgerContentError, match="other columns"):
        LedgerTables.read(tmp_path)


PRICES = st.integers(1, 10**7).map(lambda ticks: D(ticks) / 100)
SIZES = st.integers(1, 10**6).map(D)


@st.composite
def trades(draw: st.DrawFn) -> tuple[list[Order], list[Fill]]:
    orders, fills = [], []
    for number in range(draw(st.integers(0, 6))):
        name, day = f"o-{number}", draw(st.integers(0, 3))
        parts = draw(st.lists(st.tuples(SIZES, PRICES), max_size=3))
        total = sum((size for size, _ in parts), D(0))
        complete = bool(parts) and draw(st.booleans())
        ended = draw(st.sampled_from((OrderStatus.SUBMITTED, OrderStatus.CANCELLED)))
        orders.append(
            replace(
                an_order(name, OrderStatus.FILLED if complete else ended, day=day),
                quantity=total if complete else total + 1,
            )
        )
        fills += [
            replace(a_fill(name, count, day=day + 1), quantity=size, price=price)
            for count, (size, price) in enumerate(parts, 1)
        ]
    return orders, fills


@given(trades(), st.randoms(use_true_random=False))
def test_engine_and_journal_give_the_same_bytes(made: tuple[list[Order], list[Fill]], random: Any) -> None:
    orders, fills = made
    snapshots = [a_snapshot(day, "1000", "SPY", "IWM") for day in range(3)]
    engine = LedgerTables.from_result(list(orders), list(fills), snapshots)
    records = [submitted(order) for order in orders]
    shuffled = list(fills)
    random.shuffle(shuffled)
    records += [filled(fill) for fill in shuffled]
    records += [status(order.client_order_id, order.status) for order in orders]
    records += [snapshotted(snapshot) for snapshot in snapshots]
    assert LedgerTables.from_journal(numbered(records)).hashes() == engine.hashes()


def test_a_busted_fill_keeps_its_row_at_nothing_and_its_order_stays_filled() -> None:
    order = an_order("a", OrderStatus.FILLED)
    fill = a_fill("a")
    bust = {**filled(fill)[1], "quantity": "0", "commission": "0"}
    records = [submitted(order), filled(fill), status("a", OrderStatus.FILLED), ("fill_corrected", bust)]
    elsewhere = ("fill_corrected", {**bust, "fill_id": "other-1"})
    tables = LedgerTables.from_journal(numbered([*records, elsewhere]))
    (row,) = tables.fills.to_pylist()
    assert (row["quantity"], row["commission"]) == (0, 0)
    (found,) = tables.orders.to_pylist()
    assert (found["status"], found["filled_quantity"]) == ("FILLED", 0)
