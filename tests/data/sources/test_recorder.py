"""What streams in becomes minutes in a store, and waits where the store is away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from data.database import Database
from data.schema import OptionBarRow
from data.sources import recorder
from data.sources.recorder import MinuteRecorder, OptionRecorder
from data.stores import ParquetBarStore
from execution.clocks import NANOS, timestamp
from execution.ibkr.tick import Entitlement, QuoteTick, read_tick
from execution.models import Bar
from execution.timeframes import Timeframe

START = 1_514_989_800 * NANOS  # 2018-01-03 14:30 UTC
CALL = "AAA 180119C100"


def part(i: int, price: float, volume: float = 10.0) -> Bar:
    start = START + i * 5 * NANOS
    return Bar("AAA", start, start + 5 * NANOS, price, price + 0.5, price - 0.5, price, volume)


def test_parts_of_five_seconds_become_minutes_once_they_are_over(tmp_path: Path) -> None:
    store = ParquetBarStore(tmp_path)
    minutes = MinuteRecorder(store)
    for i, price in enumerate([100.0, 103.0, 98.0, 101.0]):
        minutes.on_bar(part(i, price))
    minutes.on_bar(part(3, 500.0))  # told twice
    assert minutes.snapshot(START + 600 * NANOS) == 0
    minutes.on_bar(part(13, 102.0))
    assert minutes.snapshot(START + 65 * NANOS) == 1
    assert minutes.snapshot(START + 65 * NANOS) == 0
    (bar,) = store.read("AAA", Timeframe.MINUTE).to_series()["AAA"]
    assert bar == Bar("AAA", START, START + 60 * NANOS, 100.0, 103.5, 97.5, 101.0, 40.0)
    minutes.on_bar(part(23, 102.0))
    assert minutes.snapshot(START + 120 * NANOS) == 1
    assert (minutes.written, minutes.lost) == (2, 0)


def test_a_minute_that_nobody_saw_whole_is_a_gap(tmp_path: Path) -> None:
    store = ParquetBarStore(tmp_path)
    minutes = MinuteRecorder(store)
    for i in (*range(3, 30), *range(40, 50)):  # begins in the first minute, breaks off in the third
        if i == 40:
            assert minutes.snapshot(START + 600 * NANOS) == 1
            minutes.broken_off(START + 600 * NANOS)
        minutes.on_bar(part(i, 100.0 + i))
    assert minutes.snapshot(START + 600 * NANOS) == 0
    starts = store.read("AAA", Timeframe.MINUTE).to_series()["AAA"].start_ns.tolist()
    assert starts == [START + 60 * NANOS]
    minutes.broken_off(START + 600 * NANOS)
    for i in range(48, 60):
        minutes.on_bar(part(i, 100.0))
    assert minutes.snapshot(START + 600 * NANOS) == 0


def test_a_future_may_be_worth_less_than_nothing(tmp_path: Path) -> None:
    store = ParquetBarStore(tmp_path)
    minutes = MinuteRecorder(store, signed=["AAA"])
    minutes.on_bar(part(0, -37.63))
    minutes.on_bar(Bar("AAA", START + 5 * NANOS, START + 10 * NANOS, -37.0, -38.0, -39.0, -37.0))
    minutes.on_bar(part(11, -37.0))
    assert minutes.snapshot(START + 60 * NANOS) == 1
    (bar,) = store.read("AAA", Timeframe.MINUTE).to_series()["AAA"]
    assert (bar.low, bar.close) == (-38.13, -37.0)


def test_a_bar_that_is_none_is_left_out(tmp_path: Path) -> None:
    minutes = MinuteRecorder(ParquetBarStore(tmp_path))
    minutes.on_bar(Bar("AAA", START, START + 5 * NANOS, 100.0, 90.0, 95.0, 100.0, 1.0))
    minutes.on_bar(part(12, 100.0))
    assert minutes.snapshot(START + 600 * NANOS) == 0


def test_minutes_wait_for_a_store_that_is_away_and_the_oldest_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bars"
    folder.write_text("a file where the folder should be")
    store = ParquetBarStore(folder)
    minutes = MinuteRecorder(store)
    for i in range(3):
        minutes.on_bar(part(12 * i, 100.0 + i))
    minutes.on_bar(part(35, 102.0))
    assert minutes.snapshot(START + 600 * NANOS) == 0
    monkeypatch.setattr(recorder, "MOST_MINUTES", 2)
    assert minutes.snapshot(START + 600 * NANOS) == 0
    assert minutes.lost == 1
    folder.unlink()
    assert minutes.snapshot(START + 600 * NANOS) == 2
    assert store.read("AAA", Timeframe.MINUTE).to_series()["AAA"].close.tolist() == [101.0, 102.0]


def wire(*fields: object) -> QuoteTick | None:
    return read_tick([str(field) for field in fields], CALL)


def test_ticks_are_read_from_the_wire_and_what_is_no_figure_is_left_out() -> None:
    assert wire(1, 6, 3, 1, "2.45", 10, 1) == QuoteTick(CALL, {"bid": 2.45})
    assert wire(1, 6, 3, 67, "2.55", 10, 1) == QuoteTick(CALL, {"ask": 2.55}, delayed=True)
    assert wire(1, 6, 3, 1, "-1", 0, 1) is None
    assert wire(1, 6, 3, 14, "2.45", 0, 1) is None
    assert wire(2, 6, 3, 27, "1200") == QuoteTick(CALL, {"open_interest": 1200.0})
    assert wire(45, 6, 3, 45, "1514989800") is None
    greeks = wire(21, 3, 13, 0, "0.31", "0.52", "2.5", "0.0", "0.04", "0.11", "-0.03", "100.25")
    assert greeks == QuoteTick(
        CALL,
        {
            "implied_volatility": 0.31, "delta": 0.52, "gamma": 0.04, "vega": 0.11, "theta": -0.03,
            "underlying_price": 100.25,
        },
    )  # fmt: skip
    assert wire(21, 3, 83, 0, "-1", "-2", "-1", "-1", "-2", "-2", "-2", "-1") == QuoteTick(
        CALL, {}, delayed=True
    )
    assert wire(21, 3, 10, 0, "0.31", "0.52", "2.5", "0.0", "0.04", "0.11", "-0.03", "100.25") is None


@pytest.mark.parametrize(("kind", "live"), [(0, False), (1, True), (2, True), (3, False), (4, False)])
def test_only_live_kinds_are_live(kind: int, live: bool) -> None:
    assert Entitlement("AAA", kind).is_live is live


def rows(database: Database) -> list[dict[str, Any]]:
    with database.session() as session:
        found = session.scalars(select(OptionBarRow).order_by(OptionBarRow.ts)).all()
        names = [column.name for column in OptionBarRow.__table__.columns]
        return [{name: getattr(row, name) for name in names} for row in found]


def test_option_minutes_hold_trades_and_the_greeks_at_their_end(file_database: Database) -> None:
    options = OptionRecorder(file_database)
    greeks = {"implied_volatility": 0.3, "delta": 0.5, "gamma": 0.04, "vega": 0.1, "theta": -0.02}
    for second, values in enumerate(
        [
            {"bid": 2.4, "ask": 2.6, "volume": 100.0, "open_interest": 1200.0},
            {"last": 2.5},
            {"last": 2.7, "volume": 130.0},
            greeks,
            {"last": 2.4, "delta": 0.55, "underlying_price": 100.25},
        ]
    ):
        options.on_tick(QuoteTick(CALL, values), START + second * NANOS)
    options.on_tick(QuoteTick(CALL, {"bid": 2.3}), START + 150 * NANOS)
    options.on_tick(QuoteTick(CALL, {"bid": 9.9}, delayed=True), START + 151 * NANOS)
    assert options.snapshot(START + 59 * NANOS) == 0
    assert options.snapshot(START + 180 * NANOS) == 2
    first, third = rows(file_database)
    assert (first["open"], first["high"], first["low"], first["close"]) == (2.5, 2.7, 2.4, 2.4)
    assert (first["volume"], first["delta"], first["theta"], first["bid"]) == (30.0, 0.55, -0.02, 2.4)
    assert (third["ts"], third["close"], third["bid"]) == (timestamp(START + 120 * NANOS), None, 2.3)
    assert (third["delta"], options.delayed) == (0.55, 1)


def test_option_minutes_wait_for_a_database_that_is_away(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(sqlite_url)  # without tables
    options = OptionRecorder(database, allow_delayed=True)
    for minute in range(3):
        options.on_tick(QuoteTick(CALL, {"last": 2.5 + minute}, delayed=True), START + minute * 60 * NANOS)
    assert options.snapshot(START + 600 * NANOS) == 0
    monkeypatch.setattr(recorder, "MOST_MINUTES", 2)
    assert options.snapshot(START + 600 * NANOS) == 0
    database.upgrade()
    assert options.snapshot(START + 600 * NANOS) == 2
    assert [row["close"] for row in rows(database)] == [3.5, 4.5]
    assert (options.written, options.lost) == (2, 1)
    database.close()


def test_quotes_of_before_a_stream_broke_off_do_not_stand_after_it(file_database: Database) -> None:
    options = OptionRecorder(file_database)
    options.on_tick(QuoteTick(CALL, {"bid": 2.0, "ask": 2.2}), START + 20 * NANOS)  # in the first minute
    options.on_tick(QuoteTick(CALL, {"bid": 2.1}), START + 70 * NANOS)
    options.on_tick(QuoteTick(CALL, {"bid": 2.2}), START + 130 * NANOS)
    assert options.snapshot(START + 150 * NANOS) == 1
    options.broken_off(START + 150 * NANOS)
    options.on_tick(QuoteTick(CALL, {"delta": 0.5}), START + 170 * NANOS)
    options.on_tick(QuoteTick(CALL, {"delta": 0.6}), START + 190 * NANOS)
    assert options.snapshot(START + 600 * NANOS) == 1
    found = [(row["ts"], row["bid"], row["ask"], row["delta"]) for row in rows(file_database)]
    assert found == [
        (timestamp(START + 60 * NANOS), 2.1, 2.2, None),
        (timestamp(START + 180 * NANOS), None, None, 0.6),
    ]
