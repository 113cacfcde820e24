"""Segments: the chain goes through them, and no crash in the middle of a rotation loses anything."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from execution.errors import JournalCorruptError, JournalError
from execution.journal import Rotation, SqliteJournal, read, segments_of, verify
from execution.orders.blotter import Blotter
from execution.orders.recovery import recover

DAY_NS = 86_400_000_000_000
STEPS = (
    "committed",
    "folder made",
    "segment made",
    "segment opened",
    "old segment emptied",
    "old segment closed",
)


class Cut(SqliteJournal):
    """A journal whose process is killed at a step of the rotation."""

    step = ""

    def _passed(self, step: str) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def write(path: Path, count: int, *, every: int, now_ns: Callable[[], int] = lambda: 7) -> None:
    """Append events, with a new segment after so many."""
    journal = SqliteJournal(path, now_ns)
    for number in range(1, count + 1):
        journal.append("fill", {"n": number})
        if number % every == 0:
            journal.rotate()
    journal.close()


def test_the_chain_goes_through_the_segments(path: Path) -> None:
    write(path, 10, every=3)
    assert [segment.first_seq for segment in segments_of(path)] == [1, 4, 7, 10]
    report = verify(path)
    assert (report.ok, report.events) == (True, 10)
    assert [event.seq for event in read(path)] == list(range(1, 11))
    assert [event.seq for event in read(path, 5)] == [6, 7, 8, 9, 10]
    assert not list(path.parent.rglob("*-wal"))


def test_a_restart_goes_on_in_the_newest_segment_even_if_it_is_empty(path: Path) -> None:
    write(path, 6, every=3)
    write(path, 1, every=3)
    assert [segment.first_seq for segment in segments_of(path)] == [1, 4, 7]
    assert verify(path).events == 7


def test_an_empty_segment_is_not_rotated(path: Path) -> None:
    journal = SqliteJournal(path, lambda: 7)
    journal.rotate()
    journal.append("a", {})
    journal.rotate()
    journal.rotate()
    journal.close()
    assert [segment.first_seq for segment in segments_of(path)] == [1, 2]


def test_a_segment_ends_with_its_utc_day_and_at_its_size(path: Path) -> None:
    now = [5 * DAY_NS]
    journal = SqliteJournal(path, lambda: now[0], rotation=Rotation(max_bytes=20_000))
    for moment, text in (
        (5 * DAY_NS, ""),
        (6 * DAY_NS - 1, ""),
        (6 * DAY_NS, ""),
        (6 * DAY_NS, "x" * 20_000),
    ):
        now[0] = moment
        journal.append("note", {"text": text})
        journal.commit()
        journal.maintain()
    journal.append("note", {})
    journal.close()
    # The event that finds the day over ends it: the next one begins the segment.
    assert [segment.first_seq for segment in segments_of(path)] == [1, 4, 5]
    assert verify(path).ok
    again = SqliteJournal(path, lambda: now[0] + DAY_NS)
    again.maintain()  # the day of the newest segment is known after a restart as well
    again.close()
    assert len(segments_of(path)) == 4


def test_a_failed_rotation_is_tried_again_later_and_stops_nothing(path: Path) -> None:
    now = [0]
    journal = SqliteJournal(path, lambda: now[0], rotation=Rotation(max_bytes=1))
    obstacle = path.parent / "journal.segments"
    obstacle.write_text("a file where the folder should be")
    journal.append("a", {})
    journal.commit()
    journal.maintain()
    obstacle.unlink()
    journal.maintain()  # not yet: a minute has not passed
    assert len(segments_of(path)) == 1
    now[0] = 61_000_000_000
    journal.maintain()
    assert len(segments_of(path)) == 2
    journal.close()
    assert verify(path).ok


def test_a_reader_follows_a_journal_that_is_rotated_meanwhile(path: Path) -> None:
    journal = SqliteJournal(path, lambda: 7)
    journal.append("a", {"n": 1})
    journal.commit()
    events = read(path)
    assert next(events).seq == 1
    for number in range(2, 6):
        journal.append("a", {"n": number})
        journal.rotate()
    assert [event.seq for event in events] == [2, 3, 4, 5]
    journal.close()


def test_recovery_reads_all_segments(path: Path) -> None:
    journal = SqliteJournal(path, lambda: 7)
    for run in ("r-1", "r-2"):
        journal.append("run_started", {"run_id": run})
        journal.rotate()
    recovered = recover(journal.events(), Blotter())
    assert (recovered.events, recovered.started) == (2, {"run_id": "r-2"})
    journal.close()


def test_a_journal_of_before_segments_still_opens(path: Path) -> None:
    write(path, 3, every=99)
    db = sqlite3.connect(path)
    db.execute("DROP TABLE beginning")  # the layout that came before
    db.commit()
    db.close()
    assert verify(path).events == 3
    write(path, 3, every=2)
    assert [segment.first_seq for segment in segments_of(path)] == [1, 6]
    assert verify(path).events == 6


@pytest.mark.parametrize(
    ("gone", "problem"),
    [(1, "event 4 is missing"), (0, "event 1 is missing")],
    ids=["middle", "first emptied"],
)
def test_a_segment_that_was_taken_away_is_found(path: Path, gone: int, problem: str) -> None:
    write(path, 10, every=3)
    taken = segments_of(path)[gone].path
    taken.unlink()
    if gone == 0:
        SqliteJournal(path.with_name("other.db"), lambda: 7).close()
        path.with_name("other.db").rename(path)
    assert problem in (verify(path).problem or "")


def test_events_cut_from_before_an_empty_segment_are_found(path: Path) -> None:
    write(path, 6, every=3)  # 1-3, 4-6, and an empty one that begins with 7
    db = sqlite3.connect(segments_of(path)[1].path)
    db.execute("DROP TRIGGER events_are_never_deleted")
    db.execute("DELETE FROM events WHERE seq = 6")
    db.commit()
    db.close()
    assert "event 6 is missing" in (verify(path).problem or "")
    with pytest.raises(JournalCorruptError, match="event 6 is missing"):
        SqliteJournal(path, lambda: 7)


def test_a_journal_without_its_first_segment_is_not_begun_anew(path: Path) -> None:
    write(path, 6, every=3)
    path.unlink()
    with pytest.raises(JournalCorruptError, match="first segment"):
        SqliteJournal(path, lambda: 7)
    with pytest.raises(JournalError, match="does not exist"):
        list(read(path))


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_of_a_rotation_loses_nothing(path: Path, step: str) -> None:
    code = (
        "import sys, pathlib, importlib.util\n"
        f"spec = importlib.util.spec_from_file_location('cutting', {__file__!r})\n"
        "module = importlib.util.module_from_spec(spec); sys.modules['cutting'] = module\n"
        "spec.loader.exec_module(module)\n"
        f"journal = module.Cut(pathlib.Path({str(path)!r}), lambda: 7)\n"
        "for n in range(1, 4): journal.append('fill', {'n': n})\n"
        "journal.commit()\n"
        "journal.append('fill', {'n': 4})\n"
        f"journal.step = {step!r}\n"
        "journal.rotate()\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    begun = STEPS.index(step) >= STEPS.index("segment made")
    for _ in range(2):  # as the crash left it, and after a restart
        assert [event.body["n"] for event in read(path)] == [1, 2, 3, 4]
        assert verify(path).ok
        assert [segment.first_seq for segment in segments_of(path)] == ([1, 5] if begun else [1])
        SqliteJournal(path, lambda: 7).close()
    write(path, 2, every=1)
    assert (verify(path).ok, verify(path).events) == (True, 6)
    assert not list(path.parent.rglob("*-wal"))
