"""The risk of a book rests on stored bars, follows what is added to them, and says what it lacks."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import structlog

from data.bars import BarSeries
from data.calendars import ExchangeClock
from data.samples import sample_bars
from data.stores import ParquetBarStore
from execution.clocks import SteppedClock
from execution.timeframes import Timeframe
from infrastructure.daily_returns import StoredReturns, returns_of
from infrastructure.risk_inputs import RiskInputs
from infrastructure.settings import Settings, load_settings

LEARNT = pd.Timestamp("2026-01-02", tz="UTC")
BARS = sample_bars(end=dt.date(1999, 3, 31))
AFTER = int(BARS["SPXSIM"].end_ns[-1]) + 1


def settings(folder: Path, **more: str) -> Settings:
    return load_settings("demo", None, {"var_dir": str(folder), **more}, {}, None)


def keep(folder: Path, bars: Mapping[str, BarSeries], timeframe: Timeframe | None = None) -> None:
    with closing(ParquetBarStore(folder / "bars")) as store:
        store.write(dict(bars), known_at=LEARNT, timeframe=timeframe)


def stored(folder: Path, symbols: list[str], now_ns: int = AFTER, **more: str) -> StoredReturns:
    found = StoredReturns(settings(folder, **more), symbols, SteppedClock(now_ns))
    found.refresh()
    return found


def test_stored_bars_give_the_returns_of_the_bars_themselves(tmp_path: Path) -> None:
    keep(tmp_path, BARS)
    found, direct = stored(tmp_path, [*BARS, "NONE"]), returns_of(settings(tmp_path), BARS)
    assert set(found) == set(direct) == set(BARS)
    assert len(found) == len(BARS)
    for symbol, expected in direct.items():
        assert found[symbol].end_ns.tolist() == expected.end_ns.tolist()
        assert found[symbol].values.tolist() == pytest.approx(expected.values.tolist())
        assert len(expected.values) > 50


def test_new_daily_bars_are_followed_in_a_long_run(tmp_path: Path) -> None:
    whole = BARS["SPXSIM"]
    keep(tmp_path, {"SPXSIM": whole.slice(0, len(whole) - 2)})
    clock = SteppedClock(int(whole.end_ns[-3]) + 1)
    inputs = RiskInputs(settings(tmp_path), ["SPXSIM"], clock)
    found = inputs.returns
    assert found.refresh() == ["SPXSIM"]
    assert found.refresh() == []  # nothing new: nothing is read
    count = len(found["SPXSIM"].values)
    clock.advance_to(AFTER)
    keep(tmp_path, {"SPXSIM": whole})

    async def run() -> None:
        following = asyncio.ensure_future(inputs.follow(every_seconds=0.01))
        for _ in range(3_000):
            await asyncio.sleep(0.01)
            if len(found["SPXSIM"].values) > count:
                break
        following.cancel()

    asyncio.run(run())
    expected = returns_of(settings(tmp_path), BARS)["SPXSIM"]
    assert found["SPXSIM"].values.tolist() == pytest.approx(expected.values.tolist())
    assert len(expected.values) == count + 2


def hours(calendar: ExchangeClock, prices: list[float]) -> BarSeries:
    """One bar an hour from the first session's open on, a price each."""
    starts = [
        ns for a, b in zip(calendar.opens_ns, calendar.closes_ns, strict=True)
        for ns in range(int(a), int(b), Timeframe.HOUR.nanos)
    ][: len(prices)]  # fmt: skip
    ends = [
        min(ns + Timeframe.HOUR.nanos, int(calendar.closes_ns[calendar.closes_ns > ns][0])) for ns in starts
    ]
    close = np.array(prices)
    return BarSeries(
        "SPY",
        Timeframe.HOUR,
        np.array(starts),
        np.array(ends),
        close,
        close,
        close,
        close,
        np.ones(len(close)),
    )


def test_a_session_that_still_runs_gives_no_return(tmp_path: Path) -> None:
    calendar = ExchangeClock("XNYS", dt.date(2018, 1, 2), dt.date(2018, 1, 31))
    bars = hours(calendar, [100.0] * 7 + [110.0] * 7 + [50.0, 60.0])
    keep(tmp_path, {"SPY": bars})
    now_ns = int(bars.end_ns[-1]) + 1
    assert stored(tmp_path, ["SPY"], now_ns)["SPY"].values.tolist() == pytest.approx([0.1])
    later = stored(tmp_path, ["SPY"], int(calendar.closes_ns[2]))["SPY"]
    assert later.values.tolist() == pytest.approx([0.1, 60 / 110 - 1])


def test_smaller_bars_carry_on_where_the_daily_ones_end(tmp_path: Path) -> None:
    calendar = ExchangeClock("XNYS", dt.date(2018, 1, 2), dt.date(2018, 1, 31))
    close = np.array([90.0, 100.0, 110.0])
    days = BarSeries(
        "SPY",
        Timeframe.DAY,
        calendar.opens_ns[:3],
        calendar.closes_ns[:3],
        close,
        close,
        close,
        close,
        np.ones(3),
    )
    keep(tmp_path, {"SPY": days}, Timeframe.DAY)
    keep(tmp_path, {"SPY": hours(calendar, [1.0] * 14 + [110.0] * 7 + [121.0] * 7 + [133.1] * 7)})
    found = stored(tmp_path, ["SPY"], int(calendar.closes_ns[4]))["SPY"]
    assert found.values.tolist() == pytest.approx([100 / 90 - 1, 0.1, 0.1, 0.1])
    assert (np.diff(found.end_ns) > 0).all()


def test_a_symbol_that_the_corporate_actions_do_not_cover_is_left_out_and_told(tmp_path: Path) -> None:
    actions = tmp_path / "actions"
    actions.mkdir()
    (actions / "SPXSIM.csv").write_text("date,kind,value\n1999-02-01,split,4\n")
    keep(tmp_path, BARS)
    named = {"data.corporate_actions": str(actions)}
    for find in (
        lambda: returns_of(settings(tmp_path, **named), BARS),
        lambda: stored(tmp_path, [*BARS], AFTER, **named),
    ):
        with structlog.testing.capture_logs() as told:
            found = find()
        assert set(found) == {"SPXSIM"}
        assert found["SPXSIM"].values.max() > 2.0  # the sample has no such split
        assert [line["symbol"] for line in told] == ["COMPSIM"]


def test_a_store_that_cannot_be_read_leaves_what_is_known_and_a_line_in_the_log(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as told:
        assert dict(stored(tmp_path, ["SPY"], AFTER, **{"database.url": "sqlite:////proc/none/x.db"})) == {}
    assert "x.db" in told[0]["why"]
    keep(tmp_path, BARS)
    clock = SteppedClock(AFTER - 2 * 86_400 * 10**9)
    found = StoredReturns(settings(tmp_path), ["SPXSIM"], clock)
    found.refresh()
    count = len(found["SPXSIM"].values)
    (tmp_path / "bars" / "1D" / "SPXSIM" / "all.parquet").write_bytes(b"damaged")
    clock.advance_to(AFTER)
    with structlog.testing.capture_logs() as told:
        assert found.refresh() == []
    assert "all.parquet" in told[0]["why"]
    assert len(found["SPXSIM"].values) == count
