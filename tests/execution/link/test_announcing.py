"""What happens to a connection is told to all who should hear of it; a listener that fails stops nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from execution.audit import AuditLogger
from execution.clocks import SteppedClock
from execution.errors import JournalError
from execution.journal import MemoryJournal
from execution.link.announcing import Announcer
from execution.link.gateway_week import Downtime
from execution.link.outage import ConnectionChange, ConnectionEvent, Outage

HOUR_NS = 3_600 * 10**9


class Listener:
    """Hears of the connection, and raises where that is wanted."""

    def __init__(self, error: Exception | None = None) -> None:
        self.heard: list[str] = []
        self.events: list[ConnectionEvent] = []
        self._error = error

    def on_connected(self) -> None:
        self.heard.append("connected")

    def on_disconnected(self) -> None:
        self.heard.append("disconnected")

    def on_connection_event(self, event: ConnectionEvent) -> None:
        self.events.append(event)
        if self._error is not None:
            raise self._error


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal(lambda: 1)


@pytest.fixture
def announce(journal: MemoryJournal) -> Callable[..., Announcer]:
    def make(*listeners: Listener, recorded: bool = True) -> Announcer:
        audit = AuditLogger(journal, SteppedClock(1)) if recorded else None
        return Announcer(lambda: audit, listeners)

    return make


def window(end_ns: int) -> Downtime:
    return Downtime("reset", 0, end_ns)


def test_a_change_is_told_logged_and_recorded(
    announce: Callable[..., Announcer], journal: MemoryJournal
) -> None:
    first, second = Listener(), Listener()
    announcer = announce(first)
    announcer.add(second)
    with capture_logs() as logs:
        announcer.tell(ConnectionChange.CONNECTED, host="here")
        announcer.tell(ConnectionChange.DISCONNECTED, window(HOUR_NS), reason="gone")
    for listener in (first, second):
        assert listener.heard == ["connected", "disconnected"]
        assert [event.planned for event in listener.events] == ["", "reset"]
    assert [entry["log_level"] for entry in logs] == ["info", "info"]  # planned: nobody has to look
    bodies = [event.body for event in journal.events()]
    assert bodies[0] == {**bodies[0], "event": "connected", "details": {"host": "here"}}
    assert bodies[1]["details"] == {"reason": "gone", "planned": "reset"}


def test_what_needs_a_person_is_logged_as_an_error(announce: Callable[..., Announcer]) -> None:
    announcer, outage = announce(), Outage(0.0, "gone", failures=3)
    with capture_logs() as logs:
        announcer.alarm(outage, "five tries failed")
        announcer.alarm(outage, "six tries failed")
        announcer.read_only("321: read-only")
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("alarm", "error"),
        ("read only api", "error"),
    ]
    assert "untick Read-Only API" in logs[1]["remedy"]


def test_a_planned_absence_is_told_once_for_each_window_and_logged_now_and_then(
    announce: Callable[..., Announcer],
) -> None:
    listener = Listener()
    announcer, outage = announce(listener), Outage(0.0, "not connected yet")
    announcer.waiting(outage, 0.0, 0)
    assert listener.events == []  # nothing is planned
    outage.planned = window(HOUR_NS)
    with capture_logs() as logs:
        for now in (0.0, 1.0, 299.0, 300.0, 301.0):
            announcer.waiting(outage, now, int(now * 10**9))
    assert [event.change for event in listener.events] == [ConnectionChange.WAITING]
    assert listener.events[0].details["minutes_left"] == 60
    assert [entry["event"] for entry in logs] == ["waiting as planned", "gateway away as planned"]
    assert logs[1]["minutes_left"] == 55
    outage.planned = window(2 * HOUR_NS)
    announcer.waiting(outage, 302.0, HOUR_NS)
    assert len(listener.events) == 2


@pytest.mark.parametrize("recorded", [True, False])
def test_a_listener_that_raises_is_reported_and_the_others_are_told(
    announce: Callable[..., Announcer], journal: MemoryJournal, recorded: bool
) -> None:
    last = Listener()
    announcer = announce(Listener(ValueError("broken")), last, recorded=recorded)
    with capture_logs() as logs:
        announcer.tell(ConnectionChange.CONNECTED)
    assert last.heard == ["connected"]
    assert len(last.events) == 1
    kinds = [event.kind for event in journal.events()]
    assert kinds == (["connection", "handler_failed"] if recorded else [])
    assert any("handler raised" in entry["event"] for entry in logs)


def test_a_journal_that_cannot_be_written_keeps_nobody_from_hearing(
    announce: Callable[..., Announcer], journal: MemoryJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise JournalError("disk full")

    monkeypatch.setattr(journal, "commit", full)
    listener = Listener()
    with capture_logs() as logs:
        announce(listener).tell(ConnectionChange.DISCONNECTED, reason="gone")
    assert listener.heard == ["disconnected"]
    assert logs[-1]["event"] == "the event is not on record yet"
    monkeypatch.undo()
    journal.commit()
    assert [event.kind for event in journal.events()] == ["connection"]
