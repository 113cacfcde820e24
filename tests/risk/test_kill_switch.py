from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.clocks import NANOS, timestamp
from execution.events import KillSwitchEvent
from execution.models import ZERO, PortfolioSnapshot
from risk.errors import KillSwitchResetError, LimitsError
from risk.kill_switch import KillSwitch, session_day_of

if TYPE_CHECKING:
    from .conftest import MakeDesk

DAY = 86_400 * NANOS


def snapshot(day: int, equity: int | str, hour: int = 16) -> PortfolioSnapshot:
    ns = day * DAY + hour * 3600 * NANOS
    return PortfolioSnapshot(timestamp(ns), Decimal(equity), Decimal(equity), ZERO, ZERO)


def switch(limit: str | None = "1000", **more: Decimal) -> KillSwitch:
    return KillSwitch(None if limit is None else Decimal(limit), lambda ns: ns // DAY, **more)


def test_it_trips_when_the_days_loss_reaches_the_limit_and_says_so_once() -> None:
    kill = switch()
    assert kill.on_snapshot(snapshot(1, 10_000)) is None
    assert kill.on_snapshot(snapshot(1, "9000.01")) is None
    event = kill.on_snapshot(snapshot(1, 9_000))
    assert event is not None
    assert event == KillSwitchEvent(snapshot(1, 0).timestamp, Decimal(1_000), Decimal(1_000))
    assert kill.tripped
    assert kill.on_snapshot(snapshot(1, 8_000)) is None
    assert kill.event == event


def test_the_days_base_is_the_last_equity_of_the_day_before() -> None:
    kill = switch()
    kill.on_snapshot(snapshot(1, 10_000))
    kill.on_snapshot(snapshot(1, 9_500))
    assert kill.on_snapshot(snapshot(2, 8_600, hour=10)) is None
    assert kill.daily_loss == 900
    assert kill.on_snapshot(snapshot(2, 8_500)) is not None


def test_a_gain_within_the_day_is_no_new_base() -> None:
    kill = switch()
    for equity in (10_000, 12_000, 9_001):
        assert kill.on_snapshot(snapshot(1, equity)) is None


def test_it_stays_tripped_on_the_following_days() -> None:
    kill = switch(initial_equity=Decimal(10_000))
    assert kill.on_snapshot(snapshot(1, 8_000)) is not None
    assert kill.on_snapshot(snapshot(2, 12_000)) is None
    assert kill.tripped


def test_a_reset_needs_a_reason_and_counts_from_the_last_snapshot() -> None:
    kill = switch(initial_equity=Decimal(10_000))
    with pytest.raises(KillSwitchResetError, match="not tripped"):
        kill.reset("why not")
    kill.on_snapshot(snapshot(1, 9_000))
    with pytest.raises(KillSwitchResetError, match="reason"):
        kill.reset("  ")
    kill.reset("bad print on AAA")
    assert not kill.tripped
    assert kill.on_snapshot(snapshot(1, 8_500)) is None
    assert kill.on_snapshot(snapshot(1, 8_000)) is not None


def test_without_a_limit_it_never_trips() -> None:
    kill = switch(None)
    kill.on_snapshot(snapshot(1, 10_000))
    assert kill.on_snapshot(snapshot(1, 0)) is None
    assert repr(kill) == "KillSwitch(armed, daily_loss=10000, limit=none)"


def test_before_the_first_snapshot_there_is_no_loss() -> None:
    assert switch().daily_loss == 0


@pytest.mark.parametrize("limit", ["0", "-5", "NaN"])
def test_a_limit_that_is_not_positive_is_refused(limit: str) -> None:
    with pytest.raises(LimitsError, match="max_daily_loss"):
        switch(limit)


def test_a_moment_at_the_close_belongs_to_the_session_that_closes(desk: MakeDesk) -> None:
    day_of = session_day_of(desk(days=2).sessions)
    hour = 3600 * NANOS
    first, second = 16 * hour, 40 * hour
    assert [day_of(ns) for ns in (12 * hour, first, first + 1, second)] == [first, first, second, second]
    assert day_of(second + 1) == -1


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(5_000, 12_000)), max_size=30))
def test_the_same_snapshots_always_give_the_same_outcome(rows: list[tuple[int, int]]) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    first, again = switch(), switch()
    events = [first.on_snapshot(snapshot(*row)) for row in rows]
    assert events == [again.on_snapshot(snapshot(*row)) for row in rows]
    assert sum(event is not None for event in events) == int(first.tripped)
    assert repr(first) == repr(again)


def test_what_was_recorded_before_keeps_it_tripped_whatever_the_snapshots_say() -> None:
    kill = switch()
    event = KillSwitchEvent(snapshot(1, 0).timestamp, Decimal(1_200), Decimal(1_000))
    kill.restore(event)
    assert kill.tripped
    for day, equity in ((1, 10_000), (2, 11_000), (2, 1_000)):
        assert kill.on_snapshot(snapshot(day, equity)) is None
    assert kill.event == event
    kill.reset("checked")
    assert kill.event is None


def test_a_replay_does_not_trip_again_on_what_was_reset() -> None:
    """A reset after the second snapshot: replaying the day must come to what the live switch came to."""
    rows = [(1, 10_000, 10), (1, 8_500, 11), (1, 8_000, 12), (1, 7_400, 13)]
    live = switch()
    outcomes = [live.on_snapshot(snapshot(day, equity, hour)) for day, equity, hour in rows[:2]]
    assert outcomes[1] is not None
    live.reset("checked")
    again = switch()
    again.pardon(1 * DAY + 11 * 3600 * NANOS)
    for day, equity, hour in rows[:2]:
        assert again.on_snapshot(snapshot(day, equity, hour)) is None
    for row in rows[2:]:
        moment = snapshot(row[0], row[1], row[2])
        assert again.on_snapshot(moment) == live.on_snapshot(moment)
    assert again.tripped
    assert again.daily_loss == live.daily_loss == 1_100
