"""What every store of bars promises, asked of each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.bars import BarSeries
from data.errors import BarConflictError, BarDataError
from data.stores import BarStore, WriteReport
from data.stores.rows import SCHEMA
from execution.timeframes import Timeframe

Minutes = Callable[..., pa.Table]
Fresh = Callable[[], BarStore]
MINUTE = Timeframe.MINUTE


def day(number: int) -> pd.Timestamp:
    return pd.Timestamp("2024-04-01", tz="UTC") + pd.Timedelta(days=number)


def closes(table: pa.Table) -> dict[tuple[str, int], float]:
    starts = table["start"].cast(pa.int64()).to_pylist()
    names = table["symbol"].cast(pa.string()).to_pylist()
    first = pd.Timestamp("2024-03-04 14:30", tz="UTC").value // 1_000
    keys = [(name, (start - first) // 60_000_000) for name, start in zip(names, starts, strict=True)]
    assert keys == sorted(keys)
    return dict(zip(keys, table["close"].to_pylist(), strict=True))


def test_what_is_written_is_read_back_in_order(store: BarStore, minutes: Minutes) -> None:
    report = store.write(minutes({"BBB": {1: 11.0, 0: 10.0}, "AAA": {5: 7.0}}), known_at=day(1))
    assert report == WriteReport(3, 0, 0)
    table = store.read(None, MINUTE).to_arrow()
    assert table.schema == SCHEMA
    assert closes(table) == {("AAA", 5): 7.0, ("BBB", 0): 10.0, ("BBB", 1): 11.0}
    assert set(table["known_at"].to_pylist()) == {day(1).to_pydatetime()}
    assert table["end"][0].as_py() - table["start"][0].as_py() == pd.Timedelta(minutes=1).to_pytimedelta()


def test_a_future_may_be_worth_less_than_nothing_and_a_stock_may_not(
    store: BarStore, minutes: Minutes
) -> None:
    bars = minutes({"AAA": {0: 10.0}, "CLK0": {0: -37.63, 1: 0.0}})
    low = pa.array([5.0, -40.32, -1.0])
    bars = bars.set_column(bars.column_names.index("low"), "low", low)
    with pytest.raises(BarDataError, match=r"row 2, CLK0 .*not positive"):
        store.write(bars, known_at=day(1))
    assert store.symbols() == []
    assert store.write(bars, known_at=day(1), signed=["CLK0"]) == WriteReport(3, 0, 0)
    assert store.write(bars, known_at=day(2), signed=["CLK0"]) == WriteReport(0, 0, 3)
    stored = store.read("CLK0", MINUTE).to_series()["CLK0"]
    assert (stored.close.tolist(), stored.low.tolist()) == ([-37.63, 0.0], [-40.32, -1.0])
    with pytest.raises(BarDataError, match=r"row 1, AAA .*open is not positive"):
        store.write(minutes({"AAA": {0: -10.0}}), known_at=day(3), signed=["CLK0"])
    beyond = minutes({"CLK0": {0: -37.63}})
    beyond = beyond.set_column(beyond.column_names.index("low"), "low", pa.array([-2e9]))
    with pytest.raises(BarDataError, match="low is beyond 1,000,000,000"):
        store.write(beyond, known_at=day(3), signed=["CLK0"])
    assert store.write(minutes({"CL 20200519": {0: 0.0}}), known_at=day(4)) == WriteReport(1, 0, 0)


def test_writing_the_same_again_changes_nothing(store: BarStore, minutes: Minutes) -> None:
    bars = minutes({"AAA": {0: 10.0, 1: 11.0}})
    store.write(bars, known_at=day(1))
    before = store.read(None, MINUTE).to_arrow()
    assert store.write(bars, known_at=day(2)) == WriteReport(0, 0, 2)
    assert store.read(None, MINUTE).to_arrow().equals(before)


def test_a_revision_holds_and_the_past_is_remembered(store: BarStore, minutes: Minutes) -> None:
    store.write(minutes({"AAA": {0: 10.0, 1: 11.0}}), known_at=day(1))
    assert store.write(minutes({"AAA": {1: 12.0, 2: 13.0}}), known_at=day(3)) == WriteReport(1, 1, 0)
    assert closes(store.read("AAA", MINUTE).to_arrow()) == {
        ("AAA", 0): 10.0,
        ("AAA", 1): 12.0,
        ("AAA", 2): 13.0,
    }
    then = store.read("AAA", MINUTE, as_of=day(2)).to_arrow()
    assert closes(then) == {("AAA", 0): 10.0, ("AAA", 1): 11.0}
    assert store.read("AAA", MINUTE, as_of=day(0)).to_arrow().num_rows == 0
    assert closes(store.read("AAA", MINUTE, as_of=day(3)).to_arrow())[("AAA", 1)] == 12.0


def test_it_says_what_changed_since_a_backtest(store: BarStore, minutes: Minutes) -> None:
    store.write(minutes({"AAA": {0: 10.0, 1: 11.0}, "BBB": {0: 5.0}}), known_at=day(1))
    store.write(minutes({"AAA": {1: 12.0, 2: 13.0}}), known_at=day(3))
    changed = store.changed_since(day(2), MINUTE)
    assert closes(changed) == {("AAA", 1): 12.0, ("AAA", 2): 13.0}
    assert changed["revised"].to_pylist() == [True, False]
    assert store.changed_since(day(3), MINUTE).num_rows == 0
    assert store.changed_since(day(2), MINUTE, "BBB").num_rows == 0


def test_older_knowledge_that_comes_later_is_put_in_its_place(store: BarStore, minutes: Minutes) -> None:
    store.write(minutes({"AAA": {0: 12.0}}), known_at=day(5))
    assert store.write(minutes({"AAA": {0: 10.0}}), known_at=day(1)) == WriteReport(0, 1, 0)
    assert store.write(minutes({"AAA": {0: 11.0}}), known_at=day(3)) == WriteReport(0, 1, 0)
    seen = [closes(store.read("AAA", MINUTE, as_of=day(n)).to_arrow()) for n in range(7)]
    key = ("AAA", 0)
    assert seen == [{}, {key: 10.0}, {key: 10.0}, {key: 11.0}, {key: 11.0}, {key: 12.0}, {key: 12.0}]
    for number, close in ((1, 10.0), (3, 11.0), (5, 12.0)):
        assert store.write(minutes({"AAA": {0: close}}), known_at=day(number)) == WriteReport(0, 0, 1)


def test_the_same_values_known_earlier_move_the_moment_back(store: BarStore, minutes: Minutes) -> None:
    store.write(minutes({"AAA": {0: 12.0}}), known_at=day(5))
    assert store.write(minutes({"AAA": {0: 12.0}}), known_at=day(1)) == WriteReport(0, 1, 0)
    assert closes(store.read("AAA", MINUTE, as_of=day(2)).to_arrow()) == {("AAA", 0): 12.0}
    assert store.changed_since(day(2), MINUTE).num_rows == 0


def test_other_values_learnt_at_the_same_moment_are_refused(store: BarStore, minutes: Minutes) -> None:
    store.write(minutes({"AAA": {0: 10.0, 1: 10.0}}), known_at=day(1))
    with pytest.raises(BarConflictError, match=r"AAA 2024-03-04 14:31.*later moment"):
        store.write(minutes({"AAA": {1: 11.0, 2: 9.0}}), known_at=day(1))
    assert closes(store.read(None, MINUTE).to_arrow()) == {("AAA", 0): 10.0, ("AAA", 1): 10.0}


def test_a_conflict_with_a_superseded_version_is_refused(store: BarStore, minutes: Minutes) -> None:
    store.write(minutes({"AAA": {0: 10.0}}), known_at=day(1))
    store.write(minutes({"AAA": {0: 11.0}}), known_at=day(2))
    with pytest.raises(BarConflictError, match="AAA 2024-03-04 14:30"):
        store.write(minutes({"AAA": {0: 9.0}}), known_at=day(1))


def test_an_unsound_row_leaves_the_store_as_it_was(store: BarStore, minutes: Minutes) -> None:
    store.write(minutes({"AAA": {0: 10.0}}), known_at=day(1))
    with pytest.raises(BarDataError, match=r"row 2, AAA .*: open is not positive"):
        store.write(minutes({"AAA": {1: 10.0, 2: -1.0}}), known_at=day(2))
    assert store.read(None, MINUTE).to_arrow().num_rows == 1


def test_a_span_of_time_and_several_symbols_can_be_read(store: BarStore, minutes: Minutes) -> None:
    store.write(minutes({s: dict.fromkeys(range(5), 10.0) for s in ("AAA", "BBB", "CCC")}), known_at=day(1))
    first = pd.Timestamp("2024-03-04 14:31", tz="UTC")
    table = store.read(["CCC", "AAA", "ZZZ"], MINUTE, first, first + pd.Timedelta(minutes=2)).to_arrow()
    assert list(closes(table)) == [("AAA", 1), ("AAA", 2), ("CCC", 1), ("CCC", 2)]
    assert store.read("ZZZ", MINUTE).to_arrow().num_rows == 0
    assert store.read("'; DROP TABLE bars_1m; --", MINUTE).to_arrow().num_rows == 0
    assert store.read([], MINUTE).to_arrow().num_rows == 0
    assert store.read(None, Timeframe.DAY).to_arrow().num_rows == 0


def test_pandas_polars_and_series_show_the_same_bars(store: BarStore, minutes: Minutes) -> None:
    store.write(minutes({"AAA": {0: 10.0, 1: 11.0}, "BBB": {0: 5.0}}), known_at=day(1))
    reader = store.read(None, MINUTE)
    frame, lazy, series = reader.to_pandas(), reader.to_polars(), reader.to_series()
    assert isinstance(lazy, pl.DataFrame)
    assert frame["close"].tolist() == lazy["close"].to_list() == [10.0, 11.0, 5.0]
    assert frame["symbol"].astype(str).tolist() == lazy["symbol"].cast(pl.String).to_list()
    assert str(frame["start"].dt.tz) == "UTC"
    assert list(series) == ["AAA", "BBB"]
    assert [bar.close for bar in series["AAA"]] == [10.0, 11.0]
    assert series["AAA"].end_ns[0] == pd.Timestamp("2024-03-04 14:31", tz="UTC").value
    assert store.read("ZZZ", MINUTE).to_series() == {}


def test_daily_bars_keep_the_ends_of_their_sessions(store: BarStore) -> None:
    opens = pd.to_datetime(["2024-07-02 13:30", "2024-07-03 13:30"], utc=True)
    ends = pd.to_datetime(["2024-07-02 20:00", "2024-07-03 17:00"], utc=True)
    prices = np.array([10.0, 11.0])
    bars = BarSeries(
        "SPY",
        Timeframe.DAY,
        np.array([t.value for t in opens]),
        np.array([t.value for t in ends]),
        prices,
        prices,
        prices,
        prices,
        prices,
    )
    store.write(bars, known_at=day(1))
    again = store.read("SPY", Timeframe.DAY).to_series()["SPY"]
    for name in ("start_ns", "end_ns", "open", "high", "low", "close", "volume"):
        assert (getattr(again, name) == getattr(bars, name)).all()
    assert store.write({"SPY": bars}, known_at=day(2)) == WriteReport(0, 0, 2)
    more = prices + 1
    higher = BarSeries("SPY", Timeframe.DAY, bars.start_ns, bars.end_ns, more, more, more, more, prices)
    assert store.write(higher, known_at=day(2)) == WriteReport(0, 2, 0)
    assert store.read("SPY", Timeframe.DAY, as_of=day(1)).to_pandas()["close"].tolist() == [10.0, 11.0]
    assert store.read("SPY", Timeframe.HOUR).to_arrow().num_rows == 0


def test_it_tells_what_it_holds(store: BarStore, minutes: Minutes) -> None:
    assert store.symbols() == []
    assert store.holdings() == []
    store.write(minutes({"BBB": {0: 10.0, 9: 11.0}, "A.B": {3: 7.0}}), known_at=day(1))
    assert store.symbols() == store.symbols(MINUTE) == ["A.B", "BBB"]
    assert store.symbols(Timeframe.DAY) == []
    held = store.holdings()
    assert [(h.symbol, h.timeframe, h.bars) for h in held] == [("A.B", MINUTE, 1), ("BBB", MINUTE, 2)]
    assert held[1].first == pd.Timestamp("2024-03-04 14:30", tz="UTC")
    assert held[1].last == pd.Timestamp("2024-03-04 14:40", tz="UTC")


def test_the_first_and_last_bars_are_found(store: BarStore, minutes: Minutes) -> None:
    store.write(minutes({"AAA": dict(enumerate([1.0, 2.0, 3.0, 4.0]))}), known_at=day(1))
    assert closes(store.head("AAA", MINUTE, 2)) == {("AAA", 0): 1.0, ("AAA", 1): 2.0}
    assert closes(store.last("AAA", MINUTE, 2)) == {("AAA", 2): 3.0, ("AAA", 3): 4.0}
    assert store.last("AAA", MINUTE)["close"].to_pylist() == [4.0]
    assert store.head("ZZZ", MINUTE).num_rows == 0


@pytest.mark.parametrize("minutes_off", [-30, 30, 600])
def test_a_day_that_lies_over_a_stored_one_of_another_start_is_refused(
    store: BarStore, minutes_off: int
) -> None:
    """The same session cut by two calendars would be two bars, and count twice."""
    opens = pd.to_datetime(["2024-03-04 14:30Z", "2024-03-05 14:30Z", "2024-03-06 14:30Z"])

    def days(starts: pd.DatetimeIndex, symbol: str = "SPY") -> pd.DataFrame:
        prices = dict.fromkeys(("open", "high", "low", "close", "volume"), 10.0)
        times = {"start": starts, "end": starts + pd.Timedelta(hours=6.5)}
        return pd.DataFrame({"symbol": symbol, **times, **prices})

    store.write(days(opens), known_at=day(1), timeframe=Timeframe.DAY)
    shifted = pd.concat([days(opens, "AAA"), days(opens[1:2] + pd.Timedelta(minutes=minutes_off))])
    if minutes_off == 600:  # a session of its own
        assert store.write(shifted, known_at=day(2), timeframe=Timeframe.DAY) == WriteReport(4, 0, 0)
        return
    with pytest.raises(
        BarConflictError, match=r"SPY 2024-03-05 .*lies over the stored bar that starts at 2024-03-05"
    ):
        store.write(shifted, known_at=day(2), timeframe=Timeframe.DAY)
    assert store.symbols() == ["SPY"]
    assert store.write(days(opens), known_at=day(2), timeframe=Timeframe.DAY) == WriteReport(0, 0, 3)


def test_nothing_written_is_nothing_done(store: BarStore, minutes: Minutes) -> None:
    assert store.write(minutes({}), known_at=day(1)) == WriteReport(0, 0, 0)
    assert store.write({}, known_at=day(1)) == WriteReport(0, 0, 0)


def test_a_table_can_carry_when_its_rows_were_learnt(fresh: Fresh, minutes: Minutes) -> None:
    first = fresh()
    first.write(minutes({"AAA": {0: 10.0}}), known_at=day(1))
    first.write(minutes({"AAA": {1: 11.0}}), known_at=day(2))
    table = first.read(None, MINUTE).to_arrow()
    second = fresh()
    second.write(table, known_at=None)
    assert second.read(None, MINUTE).to_arrow().equals(table)


def test_bounds_between_two_microseconds_and_far_away_are_kept(store: BarStore, minutes: Minutes) -> None:
    store.write(minutes({"AAA": dict.fromkeys(range(3), 10.0)}), known_at=day(1))
    second = pd.Timestamp("2024-03-04 14:31", tz="UTC").as_unit("ns")
    after = second + pd.Timedelta(1, "ns")
    assert list(closes(store.read("AAA", MINUTE, end=after).to_arrow())) == [("AAA", 0), ("AAA", 1)]
    assert list(closes(store.read("AAA", MINUTE, start=after).to_arrow())) == [("AAA", 2)]
    for far in (pd.Timestamp.max.tz_localize("UTC"), pd.Timestamp("9999-12-31", tz="UTC").as_unit("us")):
        assert store.read("AAA", MINUTE, end=far, as_of=far).to_arrow().num_rows == 3
        assert store.read("AAA", MINUTE, start=far).to_arrow().num_rows == 0
        assert store.changed_since(far, MINUTE).num_rows == 0
    for far in (pd.Timestamp.min.tz_localize("UTC"), pd.Timestamp("0001-01-01", tz="UTC").as_unit("us")):
        assert store.read("AAA", MINUTE, start=far).to_arrow().num_rows == 3
        assert store.read("AAA", MINUTE, end=far).to_arrow().num_rows == 0
        assert store.read("AAA", MINUTE, as_of=far).to_arrow().num_rows == 0
        assert store.changed_since(far, MINUTE).num_rows == 3


def test_no_bars_are_none_whoever_asks_for_them(store: BarStore, minutes: Minutes) -> None:
    store.write(minutes({"AAA": {0: 10.0}}), known_at=day(1))
    for count in (0, -1):
        assert store.head("AAA", MINUTE, count).num_rows == 0
        assert store.last("AAA", MINUTE, count).num_rows == 0
    for name in ("", "..", "x" * 300, "\N{SNOWMAN}", "aaa", "AAA\0"):
        assert store.read(name, MINUTE).to_arrow().num_rows == 0
        assert store.read(name, Timeframe.DAY, as_of=day(9)).to_arrow().num_rows == 0
        assert store.last(name, MINUTE).num_rows == 0


def test_a_bar_that_ends_anew_may_not_reach_into_the_next_one(store: BarStore) -> None:
    opens = pd.to_datetime(["2024-03-04 14:30Z", "2024-03-04 15:00Z"])

    def hours(ends: list[str]) -> pd.DataFrame:
        prices = dict.fromkeys(("open", "high", "low", "close", "volume"), 10.0)
        times = {"start": opens[: len(ends)], "end": pd.to_datetime(ends)}
        return pd.DataFrame({"symbol": "SPY", **times, **prices})

    store.write(hours(["2024-03-04 15:00Z", "2024-03-04 16:00Z"]), known_at=day(1), timeframe=Timeframe.HOUR)
    with pytest.raises(BarConflictError, match=r"SPY 2024-03-04 14:30.*lies over the stored bar .* 15:00"):
        store.write(hours(["2024-03-04 15:30Z"]), known_at=day(2), timeframe=Timeframe.HOUR)
    shorter = hours(["2024-03-04 14:45Z"])
    assert store.write(shorter, known_at=day(2), timeframe=Timeframe.HOUR) == WriteReport(0, 1, 0)


def test_history_stands_still_while_bars_are_revised(store: BarStore, minutes: Minutes) -> None:
    """A bar goes from those that hold to the versions: a reader sees it in one of the two places."""
    count = 60
    expected = [("AAA", n) for n in range(count)]
    store.write(minutes({"AAA": dict.fromkeys(range(count), 10.0)}), known_at=day(1))
    seen: list[Any] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            table = store.read("AAA", MINUTE, as_of=day(2)).to_arrow()
            seen.append(table["close"].to_pylist() == [10.0] * count)

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(count):
        store.write(minutes({"AAA": {n: 11.0}}), known_at=day(3))
    done.set()
    reader.join()
    assert all(seen)
    assert list(closes(store.read("AAA", MINUTE, as_of=day(2)).to_arrow())) == expected


# -- properties ---------------------------------------------------------------------------------------

_VERSIONS = st.lists(
    st.tuples(st.sampled_from(["AAA", "B"]), st.integers(0, 3), st.integers(0, 4)), unique=True, max_size=9
)
"""What was learnt: symbol, minute, day. A version's value differs from those of all other days."""


def _value(fact: tuple[str, int, int]) -> float:
    return 10.0 + fact[2]


def _write(store: BarStore, minutes: Minutes, facts: list[tuple[str, int, int]]) -> None:
    """Write facts in their order, in batches of neighbours that were learnt on the same day."""
    while facts:
        taken = [fact for fact in facts if fact[2] == facts[0][2]]
        table: dict[str, dict[int, float]] = {}
        for fact in taken:
            table.setdefault(fact[0], {})[fact[1]] = _value(fact)
        store.write(minutes(table), known_at=day(facts[0][2]))
        facts = [fact for fact in facts if fact not in taken]


def _history(store: BarStore) -> list[Any]:
    return [store.read(None, MINUTE, as_of=day(n)).to_arrow().to_pylist() for n in range(6)]


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_and_any_batches_give_the_same_content(
    fresh: Fresh, minutes: Minutes, data: st.DataObject
) -> None:
    facts = data.draw(_VERSIONS)
    shuffled = data.draw(st.permutations(facts))
    one, other = fresh(), None
    _write(one, minutes, sorted(facts, key=lambda fact: fact[2]))
    expected = (_history(one), one.read(None, MINUTE).to_arrow().to_pylist())
    other = fresh()
    for fact in shuffled[: len(shuffled) // 2]:  # one by one, then in batches
        _write(other, minutes, [fact])
    _write(other, minutes, shuffled[len(shuffled) // 2 :])
    assert (_history(other), other.read(None, MINUTE).to_arrow().to_pylist()) == expected


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts=_VERSIONS)
def test_history_as_of_a_day_only_grows_and_is_what_was_then_known(
    fresh: Fresh, minutes: Minutes, facts: list[tuple[str, int, int]]
) -> None:
    store, facts = fresh(), sorted(facts, key=lambda fact: fact[2])
    seen = []
    for number in range(5):
        _write(store, minutes, [fact for fact in facts if fact[2] == number])
        seen.append(store.read(None, MINUTE).to_arrow().to_pylist())
    for number in range(5):
        assert store.read(None, MINUTE, as_of=day(number)).to_arrow().to_pylist() == seen[number]
    keys = [{(row["symbol"], row["start"]) for row in rows} for rows in seen]
    assert all(earlier <= later for earlier, later in pairwise(keys))
