"""Sessions of an exchange: half days, holidays, borders and the range."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.calendars import ExchangeClock, Session
from data.errors import CalendarError, CalendarRangeError, CalendarRecordsError

CLOCK = ExchangeClock("XNYS", dt.date(2012, 11, 1), dt.date(2012, 12, 31))


def ns(text: str) -> int:
    return pd.Timestamp(text, tz="UTC").value


def test_a_half_day_closes_early() -> None:
    session = CLOCK.session_on(dt.date(2012, 11, 23))
    assert session == Session(ns("2012-11-23 14:30"), ns("2012-11-23 18:00"), dt.date(2012, 11, 23))
    assert not CLOCK.is_bar_in_session(ns("2012-11-23 17:30"), ns("2012-11-23 18:30"))


def test_a_holiday_has_no_session() -> None:
    assert CLOCK.session_on(dt.date(2012, 11, 22)) is None
    assert CLOCK.session_at(ns("2012-11-22 16:00")) is None


def test_the_open_belongs_to_the_session_and_the_close_does_not() -> None:
    session = CLOCK.session_on(dt.date(2012, 11, 21))
    assert session is not None
    assert CLOCK.session_at(session.open_ns) == session
    assert CLOCK.session_at(session.open_ns - 1) is None
    assert CLOCK.session_at(session.close_ns - 1) == session
    assert CLOCK.session_at(session.close_ns) is None


def test_a_decision_at_the_close_belongs_to_the_next_session() -> None:
    session = CLOCK.session_on(dt.date(2012, 11, 21))
    assert session is not None
    assert CLOCK.session_closing_after(session.close_ns - 1) == session
    after = CLOCK.session_closing_after(session.close_ns)
    assert after is not None
    assert after.date == dt.date(2012, 11, 23)


def test_next_open_skips_the_weekend_and_the_open_itself() -> None:
    friday = pd.Timestamp("2012-11-30 20:00", tz="UTC")
    monday = pd.Timestamp("2012-12-03 14:30", tz="UTC")
    assert CLOCK.next_session_open(friday) == monday
    assert CLOCK.next_session_open(monday) == pd.Timestamp("2012-12-04 14:30", tz="UTC")
    assert CLOCK.is_session_open(monday)
    assert not CLOCK.is_session_open(pd.Timestamp("2012-12-01 16:00", tz="America/New_York"))


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no timezone"):
        CLOCK.is_session_open(pd.Timestamp("2012-12-03 14:30"))


def test_outside_the_range_it_does_not_guess() -> None:
    later = pd.Timestamp("2013-01-02 16:00", tz="UTC")
    assert CLOCK.session_at(later.value) is None
    assert CLOCK.session_closing_after(later.value) is None
    assert CLOCK.session_closing_after(ns("2012-10-01")) is None
    with pytest.raises(CalendarRangeError, match="widen its range"):
        CLOCK.is_session_open(later)
    with pytest.raises(CalendarRangeError, match="no session opening after"):
        CLOCK.next_session_open(pd.Timestamp("2012-12-31 15:00", tz="UTC"))


def test_a_range_without_sessions_is_legal_and_empty() -> None:
    christmas = dt.date(2012, 12, 25)
    clock = ExchangeClock("XNYS", christmas, christmas)
    assert len(clock) == 0
    assert clock.session_closing_after(ns("2012-12-25 12:00")) is None
    assert not clock.is_session_open(pd.Timestamp("2012-12-25 16:00", tz="UTC"))
    assert not clock.is_bar_in_session(ns("2012-12-25 16:00"), ns("2012-12-25 17:00"))


@pytest.mark.parametrize(
    ("name", "first", "last", "fault"),
    [
        ("XNYZ", "2012-01-01", "2012-02-01", "not known; did you mean"),
        ("!!", "2012-01-01", "2012-02-01", "not known$"),
        ("XNYS", "2012-02-01", "2012-01-01", "precedes its start"),
        ("XKRX", "1950-01-01", "1951-01-01", "cannot be built for 1950-01-01"),
    ],
)
def test_a_wrong_calendar_is_named(name: str, first: str, last: str, fault: str) -> None:
    with pytest.raises(CalendarError, match=fault):
        ExchangeClock(name, dt.date.fromisoformat(first), dt.date.fromisoformat(last))


def test_the_first_days_on_record_are_known_though_nothing_is_known_before_them() -> None:
    clock = ExchangeClock("XTKS", dt.date(1997, 1, 1), dt.date(1997, 1, 31))
    assert clock.dates[0] == dt.date(1997, 1, 6)
    with pytest.raises(CalendarRecordsError, match=r"1997.*leave out what lies beyond"):
        ExchangeClock("XTKS", dt.date(1996, 12, 31), dt.date(1997, 1, 31))


@pytest.mark.parametrize(
    "closed",
    ["2001-09-11", "2001-09-14", "2012-10-29", "2012-10-30", "2018-12-05", "2025-01-09", "2022-06-20"],
)
def test_days_on_which_new_york_did_not_open_have_no_session(closed: str) -> None:
    day = dt.date.fromisoformat(closed)
    clock = ExchangeClock("XNYS", day - dt.timedelta(days=7), day + dt.timedelta(days=7))
    assert clock.session_on(day) is None
    assert clock.session_closing_after(ns(f"{closed} 16:00")) is not None


def test_a_plain_datetime_is_a_moment_too() -> None:
    moment = dt.datetime(2012, 12, 3, 14, 30, tzinfo=dt.UTC)
    assert CLOCK.is_session_open(moment)
    wake = CLOCK.next_session_open(moment) + dt.timedelta(seconds=2)
    assert wake == pd.Timestamp("2012-12-04 14:30:02", tz="UTC")
    with pytest.raises(ValueError, match="no timezone"):
        CLOCK.is_session_open(moment.replace(tzinfo=None))


def test_sessions_and_repr_state_the_range() -> None:
    days = [s.date.day for s in CLOCK.sessions(dt.date(2012, 11, 21), dt.date(2012, 11, 26))]
    assert days == [21, 23, 26]
    assert repr(CLOCK) == "ExchangeClock('XNYS', 2012-11-01, 2012-12-31)"


def test_midnight_is_that_of_the_exchange() -> None:
    assert CLOCK.midnight_ns(dt.date(2012, 11, 21)) == ns("2012-11-21 05:00")


@given(st.integers(ns("2012-11-01"), ns("2013-01-01")))
def test_lookups_agree_with_a_plain_search(moment: int) -> None:
    every = CLOCK.sessions(dt.date(2012, 1, 1), dt.date(2013, 1, 1))
    assert CLOCK.session_at(moment) == next((s for s in every if s.open_ns <= moment < s.close_ns), None)
    assert CLOCK.session_closing_after(moment) == next((s for s in every if s.close_ns > moment), None)


def test_daylight_saving_moves_the_session_in_utc_and_not_at_the_exchange() -> None:
    clock = ExchangeClock("XNYS", dt.date(2024, 3, 1), dt.date(2024, 11, 30))
    for friday, monday, before, after in (
        (dt.date(2024, 3, 8), dt.date(2024, 3, 11), "14:30", "13:30"),
        (dt.date(2024, 11, 1), dt.date(2024, 11, 4), "13:30", "14:30"),
    ):
        winter, summer = clock.session_on(friday), clock.session_on(monday)
        assert winter is not None
        assert summer is not None
        assert winter.open_ns == ns(f"{friday} {before}")
        assert summer.open_ns == ns(f"{monday} {after}")
        assert summer.close_ns - summer.open_ns == winter.close_ns - winter.open_ns
        at_the_exchange = pd.Timestamp(f"{monday} 09:30", tz="America/New_York")
        assert clock.next_session_open(pd.Timestamp(f"{friday} 23:00", tz="UTC")) == at_the_exchange
        assert clock.is_session_open(at_the_exchange)
        assert not clock.is_session_open(at_the_exchange - pd.Timedelta(nanoseconds=1))


@pytest.mark.parametrize(
    ("name", "date", "opens", "closes"),
    [
        ("XNYS", "2024-07-03", "13:30", "17:00"),  # the day before Independence Day
        ("XNYS", "2024-11-29", "14:30", "18:00"),  # the day after Thanksgiving
        ("XNYS", "2024-12-24", "14:30", "18:00"),
        ("XLON", "2024-12-24", "08:00", "12:30"),
        ("XLON", "2024-07-03", "07:00", "15:30"),  # no holiday there
    ],
)
def test_half_days_close_early_and_nothing_is_open_after(
    name: str, date: str, opens: str, closes: str
) -> None:
    day = dt.date.fromisoformat(date)
    clock = ExchangeClock(name, day, day + dt.timedelta(days=7))
    session = clock.session_on(day)
    assert session is not None
    assert (session.open_ns, session.close_ns) == (ns(f"{date} {opens}"), ns(f"{date} {closes}"))
    close = pd.Timestamp(f"{date} {closes}", tz="UTC")
    assert clock.is_session_open(close - pd.Timedelta(minutes=1))
    assert not clock.is_session_open(close)
    minute = 60 * 10**9
    assert clock.is_bar_in_session(session.close_ns - minute, session.close_ns)
    assert not clock.is_bar_in_session(session.close_ns, session.close_ns + minute)
