"""Aggregates of bars: equal to numpy on every server, late data, half days and changed sessions included."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import delete, event, insert, text

from data.aggregation import Refreshed, mark_everything, refresh
from data.calendars import ExchangeClock
from data.database import Database
from data.inspection import check, status
from data.reference.instruments import register
from data.schema import MinuteBarRow
from data.schema.aggregates import Span, mark_changed
from execution.models import Instrument

MINUTE = pd.Timedelta(minutes=1).value
START = pd.Timestamp("2024-11-27 09:00", tz="UTC").value
"""Before the open of a Wednesday; Thursday is a holiday, Friday a half day."""


def minutes(count: int, seed: int = 7, symbol: str = "SPY", start: int = START) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = 100 + np.round(rng.normal(0, 0.1, count).cumsum(), 2)
    opens = np.round(close + rng.normal(0, 0.05, count), 2)
    return pd.DataFrame(
        {
            "symbol": symbol,
            "ts": start + np.arange(count) * MINUTE,
            "open": opens,
            "high": np.maximum(opens, close) + 0.01,
            "low": np.minimum(opens, close) - 0.01,
            "close": close,
            "volume": rng.integers(0, 1000, count).astype(float),
            "known_at": start,
        }
    )


def records(bars: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in bars.to_dict("records")]


def write(database: Database, bars: pd.DataFrame) -> None:
    spans = [Span(str(s), int(g["ts"].min()), int(g["ts"].max())) for s, g in bars.groupby("symbol")]
    with database.connection() as connection:
        connection.execute(insert(MinuteBarRow), records(bars))
        mark_changed(connection, spans)


def read(database: Database, table: str) -> pd.DataFrame:
    with database.connection() as connection:
        query = text(f"SELECT * FROM {table} ORDER BY symbol, ts")  # noqa: S608  # names of this test
        rows = connection.execute(query).mappings().all()
    frame = pd.DataFrame([dict(row) for row in rows])
    if len(frame) and not isinstance(frame["ts"].iloc[0], int | np.integer):
        frame["ts"] = [pd.Timestamp(ts).tz_convert("UTC").as_unit("ns").value for ts in frame["ts"]]
    return frame


def folded(bars: pd.DataFrame, bucket: Any) -> pd.DataFrame:
    ordered = bars.sort_values("ts")
    groups = ordered.groupby(["symbol", bucket], sort=True)
    result = groups.agg(
        open=("open", lambda v: v.to_numpy()[0]), high=("high", "max"), low=("low", "min"),
        close=("close", lambda v: v.to_numpy()[-1]), volume=("volume", "sum"), bars=("open", "size"),
    )  # fmt: skip
    result.index.names = ["symbol", "ts"]
    return result.reset_index()


def expected_days(bars: pd.DataFrame, calendar: str = "XNYS") -> pd.DataFrame:
    days, one = pd.to_datetime(bars["ts"]), pd.Timedelta(days=1)
    clock = ExchangeClock(calendar, (days.min() - one).date(), (days.max() + one).date())
    parts = []
    for opens, closes in zip(clock.opens_ns, clock.closes_ns, strict=True):
        inside = bars[(bars["ts"] >= opens) & (bars["ts"] < closes)]
        if len(inside):
            parts.append(folded(inside, np.full(len(inside), opens)))
    return pd.concat(parts).sort_values(["symbol", "ts"]).reset_index(drop=True)


def assert_equal(database: Database, bars: pd.DataFrame, calendar: str = "XNYS") -> None:
    columns = ["symbol", "ts", "open", "high", "low", "close", "volume", "bars"]
    for name, width in (("bars_5m", 5), ("bars_15m", 15), ("bars_1h", 60)):
        ordered = bars.sort_values("ts")
        bucket = ordered["ts"] // (width * MINUTE) * (width * MINUTE)
        pd.testing.assert_frame_equal(
            read(database, name)[columns],
            folded(ordered, bucket)[columns],
            check_dtype=False,
            check_exact=True,
        )
    pd.testing.assert_frame_equal(
        read(database, "bars_1d")[columns],
        expected_days(bars, calendar)[columns],
        check_dtype=False,
        check_exact=True,
    )


def test_aggregates_equal_numpy_whatever_the_order_in_which_bars_come(database: Database) -> None:
    register(database, [Instrument("SPY"), Instrument("QQQ")])
    bars = pd.concat([minutes(3 * 1440), minutes(3 * 1440, seed=8, symbol="QQQ")], ignore_index=True)
    late = bars.sample(frac=0.3, random_state=1)
    write(database, bars.drop(late.index))
    assert refresh(database).changes == 2
    write(database, late)
    assert status(database).pending == 2
    assert "trade db refresh" in check(database)[-1].problem
    refresh(database)
    assert_equal(database, bars)
    assert not any(finding.problem for finding in check(database))
    days = read(database, "bars_1d")
    assert days[days["symbol"] == "SPY"]["bars"].tolist() == [390, 210]  # Thanksgiving, then a half day


def test_a_corrected_bar_and_a_removed_one_are_followed(database: Database) -> None:
    register(database, [Instrument("SPY")])
    bars = minutes(1440)
    write(database, bars)
    refresh(database)
    moment = int(bars["ts"].iloc[400])
    bars.loc[400, ["high", "close"]] = [999.0, 998.0]
    bars = bars.drop(index=401)
    with database.session() as session:
        row = session.get(MinuteBarRow, ("SPY", pd.Timestamp(moment, tz="UTC")))
        gone = session.get(MinuteBarRow, ("SPY", pd.Timestamp(moment + MINUTE, tz="UTC")))
        assert row is not None
        row.high, row.close = 999.0, 998.0
        session.delete(gone)
        mark_changed(session.connection(), [Span("SPY", moment, moment + MINUTE)])
    refresh(database)
    assert_equal(database, bars)


def test_an_instrument_registered_after_its_bars_gets_its_daily_bars(database: Database) -> None:
    bars = minutes(1440)
    write(database, bars)
    assert refresh(database).without_calendar == ("SPY",)
    assert read(database, "bars_1d").empty
    assert register(database, [Instrument("SPY")]) == 1
    assert register(database, [Instrument("SPY")]) == 0
    refresh(database)
    assert_equal(database, bars)


def test_a_session_that_changes_cuts_the_day_anew(database: Database) -> None:
    register(database, [Instrument("SPY")])
    write(database, minutes(1440))
    refresh(database)
    whole = read(database, "bars_1d")["bars"].tolist()
    with database.connection() as connection:  # as an older calendar had it: closing at noon
        noon = pd.Timestamp("2024-11-27 17:00", tz="UTC")
        value = noon.value if connection.dialect.name == "sqlite" else noon.to_pydatetime()
        connection.execute(
            text("UPDATE exchange_sessions SET closes_at = :at WHERE session_date = '2024-11-27'"),
            {"at": value},
        )
    mark_everything(database)
    refresh(database)
    assert read(database, "bars_1d")["bars"].tolist() == whole == [390]


def test_aggregates_missing_a_bar_are_found_and_made_whole(database: Database) -> None:
    register(database, [Instrument("SPY")])
    bars = minutes(120)
    with database.connection() as connection:
        connection.execute(insert(MinuteBarRow), records(bars))  # nobody noted the change
    if not status(database).edition.is_community:  # which computes them when asked
        assert "refresh --all" in check(database)[-1].problem
    mark_everything(database)
    refresh(database)
    assert check(database)[-1].problem == ""


def test_aggregates_of_minutes_that_are_gone_go_when_everything_is_refreshed(database: Database) -> None:
    register(database, [Instrument("SPY"), Instrument("QQQ")])
    bars = minutes(3 * 1440)
    write(database, pd.concat([bars, minutes(1440, symbol="QQQ")]))
    refresh(database)
    kept = bars[bars["ts"] < START + 1440 * MINUTE]
    with database.connection() as connection:  # nobody noted it
        connection.execute(delete(MinuteBarRow).where(MinuteBarRow.symbol == "QQQ"))
        later = pd.Timestamp(START + 1440 * MINUTE, tz="UTC")
        connection.execute(delete(MinuteBarRow).where(MinuteBarRow.ts >= later))
    if not status(database).edition.is_community:  # whose policies may have seen it
        assert "refresh --all" in check(database)[-1].problem
    mark_everything(database)
    refresh(database)
    assert check(database)[-1].problem == ""
    assert_equal(database, kept)


@pytest.mark.parametrize("years", [9, 11])
def test_rows_past_their_retention_go_and_others_stay(database: Database, years: int) -> None:
    now = pd.Timestamp("2034-06-01", tz="UTC")
    moment = now - pd.DateOffset(years=years)
    value = moment.value if database.url.drivername == "sqlite" else moment.to_pydatetime()
    with database.connection() as connection:
        connection.execute(
            text("INSERT INTO audit_events VALUES ('j', 1, :at, 1, 'fill', NULL, '{}', '', '')"),
            {"at": value},
        )
    if status(database).edition.is_community:
        pytest.skip("a policy removes them, by the server's own clock: test_community")
    removed = refresh(database, now).removed
    with database.connection() as connection:
        left = connection.scalar(text("SELECT count(*) FROM audit_events"))
    assert (left, removed["audit_events"]) == ((1, 0) if years == 9 else (0, 1))


@pytest.mark.parametrize("weekend", ["2024-03-08", "2024-11-01"])
def test_sessions_over_midnight_are_whole_in_weeks_when_the_clocks_change(
    database: Database, weekend: str
) -> None:
    register(database, [Instrument("ES")], calendar="CMES")
    bars = minutes(5 * 1440, symbol="ES", start=pd.Timestamp(weekend, tz="UTC").value)[::3]
    late = bars.sample(frac=0.3, random_state=1)
    write(database, bars.drop(late.index))
    refresh(database)
    write(database, late)
    refresh(database)
    assert_equal(database, bars, "CMES")
    opens = pd.to_datetime(read(database, "bars_1d")["ts"], utc=True).dt.hour
    assert {22, 23} == set(opens)  # 17:00 in Chicago, in winter and in summer
    ends = [pd.Timestamp(at) for at in read(database, "bars_1d")["ends_at"]]
    assert len(set(ends)) == len(ends)


def test_an_instrument_that_gets_another_calendar_is_cut_by_that(database: Database) -> None:
    bars = minutes(3 * 1440)
    write(database, bars)
    for calendar in ("XNYS", "CMES", "24/7", "XNYS"):
        register(database, [Instrument("SPY")], calendar=calendar)
        refresh(database)
        assert_equal(database, bars, calendar)


class _OlderClock(ExchangeClock):
    """The calendar before two announcements: no session on the 27th, a whole one on the 29th."""

    def __init__(self, calendar: str, start: dt.date, end: dt.date) -> None:
        super().__init__(calendar, start, end)
        stay = [day != dt.date(2024, 11, 27) for day in self.dates]
        half = np.array([day == dt.date(2024, 11, 29) for day in self.dates])[stay]
        self.dates = tuple(day for day, kept in zip(self.dates, stay, strict=True) if kept)
        self.opens_ns = self.opens_ns[stay]
        self.closes_ns = self.closes_ns[stay] + half * 3 * 60 * MINUTE


def test_a_changed_calendar_cuts_the_days_of_every_symbol_anew_when_one_of_them_is_written(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(database, [Instrument("SPY"), Instrument("QQQ")])
    spy, qqq = minutes(3 * 1440), minutes(3 * 1440, seed=8, symbol="QQQ")
    holiday = (qqq["ts"] >= START + 1440 * MINUTE) & (qqq["ts"] < START + 2 * 1440 * MINUTE)
    with monkeypatch.context() as patched:
        patched.setattr("data.sessions.ExchangeClock", _OlderClock)
        write(database, pd.concat([spy, qqq[~holiday]]))
        refresh(database)
        assert read(database, "bars_1d")["bars"].tolist() == [390, 390]
    write(database, qqq[holiday].head(5))
    refresh(database)
    assert_equal(database, pd.concat([spy, qqq[~holiday], qqq[holiday].head(5)]))


def test_a_late_minute_after_the_new_close_of_a_session_does_not_lose_its_day(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(database, [Instrument("SPY")])
    bars = minutes(3 * 1440).query("ts >= @START + 1440 * @MINUTE")
    late = bars[bars["ts"] == pd.Timestamp("2024-11-29 19:00", tz="UTC").value]
    with monkeypatch.context() as patched:
        patched.setattr("data.sessions.ExchangeClock", _OlderClock)
        write(database, bars.drop(late.index))
        refresh(database)
    write(database, late)
    refresh(database)
    assert_equal(database, bars)


def test_migrations_taken_back_and_done_again_lose_no_aggregate(database: Database) -> None:
    register(database, [Instrument("SPY")])
    bars = minutes(1440)
    write(database, bars)
    refresh(database)
    database.downgrade("0004")
    database.upgrade()
    refresh(database)
    assert_equal(database, bars)


@pytest.fixture
def shared(database: Database, request: pytest.FixtureRequest) -> Iterator[Database]:
    """The same database on connections of its own, of a server that has several."""
    kind = request.node.callspec.params["database"]
    if kind != "sqlite" and not request.getfixturevalue(f"{kind}_server").whole:
        pytest.skip("needs a server with sessions side by side")
    with closing(Database(database.url.render_as_string(hide_password=False))) as other:
        yield other


@pytest.mark.parametrize("database", ["postgres", "timescale"], indirect=True)
def test_minutes_that_come_while_a_refresh_runs_are_left_to_the_next(
    database: Database, shared: Database
) -> None:
    register(database, [Instrument("SPY")])
    bars, later = minutes(1440), minutes(1440, start=START + 7 * 1440 * MINUTE)
    write(database, bars)
    came: list[str] = []

    def come(_c: object, _u: object, statement: str, *_: object) -> None:
        if "FROM instruments" in statement and not came:
            came.append(statement)
            write(shared, later)

    event.listen(database.engine, "before_cursor_execute", come)
    refresh(database)
    assert came
    refresh(database)
    assert_equal(database, pd.concat([bars, later]))


def test_two_refreshes_at_once_do_the_work_once_and_neither_fails(
    database: Database, shared: Database
) -> None:
    register(database, [Instrument("SPY")])
    bars = minutes(1440)
    write(database, bars)
    with ThreadPoolExecutor(1) as threads:
        second: list[Future[Refreshed]] = []

        def join(_c: object, _u: object, statement: str, *_: object) -> None:
            if statement.startswith("INSERT INTO exchange_sessions") and not second:
                second.append(threads.submit(refresh, shared))
                wait(second, timeout=1)  # until it is done or, more likely, waits for this one

        event.listen(database.engine, "after_cursor_execute", join)
        refresh(database)
        second[0].result()
    assert_equal(database, bars)
    assert status(database).pending == 0
