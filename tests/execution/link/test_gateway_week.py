"""When the gateway is expected to be away."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from execution.clocks import NANOS
from execution.link.gateway_week import GatewayWeek, Window

NEW_YORK = ZoneInfo("America/New_York")


def ns(text: str, zone: ZoneInfo = NEW_YORK) -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()) * NANOS


@pytest.mark.parametrize(
    ("moment", "name"),
    [
        ("2026-11-24 23:39:59", None),  # a Tuesday
        ("2026-11-24 23:40:00", "nightly-restart"),
        ("2026-11-25 00:09:59", "nightly-restart"),
        ("2026-11-25 00:10:00", None),
        ("2026-11-25 01:00:00", "server-reset"),
        ("2026-11-25 10:00:00", None),
        ("2026-11-20 23:30:00", "saturday-maintenance"),  # Friday night
        ("2026-11-21 02:59:00", "saturday-maintenance"),
        ("2026-11-21 03:00:00", None),
        ("2026-11-22 12:00:00", "sunday-login"),
        ("2026-11-22 17:00:00", None),
        ("2026-11-23 09:30:00", None),
    ],
)
def test_the_usual_week(moment: str, name: str | None) -> None:
    found = GatewayWeek().at(ns(moment))
    assert (found.name if found else None) == name


def test_of_several_windows_the_one_that_ends_last_counts() -> None:
    found = GatewayWeek(["short daily 10:00-11:00", "long mon 09:00-12:00"]).at(ns("2026-11-23 10:30"))
    assert found is not None
    assert (found.name, found.end_ns) == ("long", ns("2026-11-23 12:00"))


def test_the_hours_are_those_of_the_wall_when_the_clocks_change() -> None:
    week = GatewayWeek(["restart daily 23:45-00:15"])
    for day in ("2026-03-07", "2026-03-08", "2026-10-31", "2026-11-01"):
        assert week.at(ns(f"{day} 23:50")) is not None
        assert week.at(ns(f"{day} 22:50")) is None
    login = GatewayWeek(["login sun 01:00-04:00"])
    for day, hours in (("2026-03-08", 2), ("2026-11-01", 4), ("2026-11-08", 3)):
        found = login.at(ns(f"{day} 03:30"))
        assert found is not None
        assert found.end_ns - found.start_ns == hours * 3600 * NANOS


def test_another_zone_is_another_time() -> None:
    week = GatewayWeek(["restart daily 23:45-00:15"], "Europe/Zurich")
    assert week.at(ns("2026-11-24 23:50", ZoneInfo("Europe/Zurich"))) is not None
    assert week.at(ns("2026-11-24 23:50")) is None


def test_the_next_absence_is_known_ahead() -> None:
    following = GatewayWeek().next_after(ns("2026-11-25 10:00"))
    assert following is not None
    assert (following.name, following.start_ns) == ("nightly-restart", ns("2026-11-25 23:40"))
    weekly = GatewayWeek(["login sun 01:00-17:00"]).next_after(ns("2026-11-22 01:00"))
    assert weekly is not None
    assert weekly.start_ns == ns("2026-11-29 01:00")


def test_without_windows_nothing_is_expected() -> None:
    assert GatewayWeek([]).at(ns("2026-11-22 12:00")) is None
    assert GatewayWeek([]).next_after(ns("2026-11-22 12:00")) is None


def test_a_range_of_days_may_pass_the_end_of_the_week() -> None:
    assert Window.parse("x sat-mon 01:00-02:00").days == {5, 6, 0}
    assert Window.parse("x wed-wed 01:00-02:00").days == {2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("restart 23:45-00:15", "NAME DAYS"),
        ("restart daily 23.45-00.15", "NAME DAYS"),
        ("restart mox 23:45-00:15", "range"),
        ("restart mon-mox 23:45-00:15", "range"),
        ("restart daily 24:10-00:15", "00:00 to 23:59"),
        ("", "NAME DAYS"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused_with_the_form(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        GatewayWeek([text])


@pytest.mark.parametrize("zone", ["Mars/Base", "", "../etc/passwd"])
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="time zone"):
        GatewayWeek([], zone)
