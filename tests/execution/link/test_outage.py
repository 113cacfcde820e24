"""What of an outage was planned, and how long is waited between tries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from execution.link.gateway_week import Downtime
from execution.link.outage import Backoff, ConnectionChange, ConnectionEvent, Outage

NIGHT = Downtime("night", 0, 1)


def test_a_planned_absence_that_runs_out_is_an_incident_from_then_on() -> None:
    outage = Outage(10.0, "lost")
    seen = [
        (outage.look(planned, now), outage.incident_since)
        for planned, now in ((NIGHT, 10.0), (None, 50.0), (None, 60.0), (NIGHT, 70.0))
    ]
    assert seen == [(False, None), (True, 50.0), (False, 50.0), (False, None)]


def test_only_downtime_that_nobody_planned_is_an_incident() -> None:
    assert ConnectionEvent(ConnectionChange.DISCONNECTED).is_incident
    assert not ConnectionEvent(ConnectionChange.DISCONNECTED, "night").is_incident
    assert not ConnectionEvent(ConnectionChange.DISCONNECTED, details={"asked_for": True}).is_incident
    for change in (ConnectionChange.CONNECTED, ConnectionChange.RESTORED, ConnectionChange.THAWED):
        assert not ConnectionEvent(change).is_incident


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff(5.0, 60.0, lambda: 0.0)
    assert [backoff.after(n) for n in (0, 1, 2, 3, 4, 5, 10_000)] == [5, 5, 10, 20, 40, 60, 60]


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True))
def test_jitter_takes_away_at_most_half(failures: int, drawn: float) -> None:
    full, jittered = Backoff(2.0, 60.0, lambda: 0.0), Backoff(2.0, 60.0, lambda: drawn)
    assert full.after(failures) / 2 <= jittered.after(failures) <= full.after(failures)
