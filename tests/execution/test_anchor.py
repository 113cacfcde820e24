"""Anchors: a cut tail and a rewritten chain are found, and anchors themselves cannot be altered."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from execution.errors import AnchorError, JournalCorruptError
from execution.journal import AnchorFile, AnchorSchedule, SqliteJournal, segments_of, verify

KEY = b"a secret of the tests"
SECOND = 1_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "here" / "journal.db"


@pytest.fixture
def anchors(tmp_path: Path) -> AnchorFile:
    return AnchorFile(tmp_path / "there" / "anchors.jsonl", KEY)


def write(path: Path, anchors: AnchorFile | None, count: int = 10, *, every: int = 4) -> None:
    schedule = None if anchors is None else AnchorSchedule(anchors, every_events=every)
    journal = SqliteJournal(path, lambda: 7, anchors=schedule)
    for number in range(count):
        journal.append("fill", {"n": number})
        journal.commit()
        journal.maintain()
    journal.close()


def cut(path: Path, after: int) -> None:
    db = sqlite3.connect(path)
    db.execute("DROP TRIGGER events_are_never_deleted")
    db.execute("DELETE FROM events WHERE seq > ?", (after,))
    db.commit()
    db.close()


def test_the_head_is_anchored_on_schedule_and_at_shutdown(path: Path, anchors: AnchorFile) -> None:
    write(path, anchors)
    assert [(mark.seq, mark.reason) for mark in anchors.read()] == [
        (4, "schedule"),
        (8, "schedule"),
        (10, "shutdown"),
    ]
    report = verify(path, anchors)
    assert (report.ok, report.events, report.anchors) == (True, 10, 3)
    write(path, anchors, 0)
    assert len(anchors.read()) == 3  # nothing new, nothing to anchor


def test_time_makes_an_anchor_due_as_well(path: Path, anchors: AnchorFile) -> None:
    now = [0]
    schedule = AnchorSchedule(anchors, every_ns=60 * SECOND)
    journal = SqliteJournal(path, lambda: now[0], anchors=schedule)
    journal.append("a", {})
    journal.maintain()
    assert anchors.read() == []  # not durable yet: only what is durable is anchored
    journal.commit()
    now[0] = 59 * SECOND
    journal.maintain()
    assert anchors.read() == []
    now[0] = 60 * SECOND
    journal.maintain()
    journal.maintain()
    assert [mark.seq for mark in anchors.read()] == [1]
    journal.close()


@pytest.mark.parametrize("after", [0, 5, 9])
def test_a_cut_tail_is_found_by_verification_and_before_trading(
    path: Path, anchors: AnchorFile, after: int
) -> None:
    write(path, anchors)
    cut(path, after)
    assert verify(path).ok  # the chain alone cannot know
    report = verify(path, anchors)
    assert not report.ok
    assert "its tail was cut" in (report.problem or "")
    with pytest.raises(JournalCorruptError, match="was anchored"):
        write(path, anchors)


def test_a_newest_segment_that_was_taken_away_is_found(path: Path, anchors: AnchorFile) -> None:
    write(path, anchors, 5)
    journal = SqliteJournal(path, lambda: 7, anchors=AnchorSchedule(anchors))
    journal.rotate()
    journal.append("a", {})
    journal.close()
    segments_of(path)[-1].path.unlink()
    assert "its tail was cut" in (verify(path, anchors).problem or "")


def test_a_chain_rewritten_as_a_whole_is_found(path: Path, anchors: AnchorFile) -> None:
    write(path, anchors)
    path.unlink()
    journal = SqliteJournal(path, lambda: 8)  # the same events, another time
    for number in range(10):
        journal.append("fill", {"n": number})
    journal.close()
    assert verify(path).ok
    assert verify(path, anchors).problem == "event 4 is not the one that was anchored"


@pytest.mark.parametrize(
    ("line", "change"),
    [
        (0, {"seq": 3}),
        (1, {"head": "0" * 64}),
        (1, {"time_ns": 9}),
        (2, {"reason": "x"}),
        (2, {"mac": "0" * 64}),
    ],
)
def test_an_altered_anchor_is_found(
    path: Path, anchors: AnchorFile, line: int, change: dict[str, object]
) -> None:
    write(path, anchors)
    lines = anchors.path.read_text().splitlines()
    lines[line] = json.dumps({**json.loads(lines[line]), **change})
    anchors.path.write_text("\n".join(lines) + "\n")
    assert "altered" in (verify(path, anchors).problem or "")


def test_an_anchor_taken_out_of_the_middle_is_found(path: Path, anchors: AnchorFile) -> None:
    write(path, anchors)
    lines = anchors.path.read_text().splitlines(keepends=True)
    anchors.path.write_text(lines[0] + lines[2])
    assert "anchor before number 2 was removed" in (verify(path, anchors).problem or "")


def test_another_key_verifies_nothing(path: Path, anchors: AnchorFile) -> None:
    write(path, anchors)
    assert "another key" in (verify(path, AnchorFile(anchors.path, b"not that secret at all")).problem or "")
    with pytest.raises(AnchorError, match="16 or more"):
        AnchorFile(anchors.path, b"short")
    unchecked = AnchorFile(anchors.path, None)
    assert verify(path, unchecked).anchors == 3
    with pytest.raises(AnchorError, match="no key"):
        unchecked.append(1, "0", 7, "x")


def test_a_line_torn_by_a_crash_is_passed_over(path: Path, anchors: AnchorFile) -> None:
    write(path, anchors)
    with anchors.path.open("a") as file:
        file.write('{"seq": 11, "head"')
    assert verify(path, anchors).ok
    write(path, anchors, 4)
    assert verify(path, anchors).ok
    assert [mark.seq for mark in anchors.read()] == [4, 8, 10, 14]


def test_a_long_file_is_appended_to_by_its_end(anchors: AnchorFile) -> None:
    anchors.append(1, "0" * 64, 7, "x", {"text": "y" * 200_000})
    for seq in range(2, 500):
        anchors.append(seq, "0" * 64, 7, "x")
    last = anchors.last()
    assert last is not None
    assert last.seq == len(anchors.read()) == 499


def test_a_second_place_that_fails_is_reported_and_stops_nothing(path: Path, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("a file where the folder should be")
    write(path, None, 1)
    now = [0]
    schedule = AnchorSchedule(AnchorFile(tmp_path / "elsewhere" / "a.jsonl", KEY), every_events=1)
    journal = SqliteJournal(path, lambda: now[0], anchors=schedule)
    schedule.file.path = tmp_path / "there" / "a.jsonl"
    journal.append("a", {})
    journal.commit()
    journal.maintain()
    (tmp_path / "there").unlink()
    journal.maintain()  # left alone for a minute
    assert schedule.file.read() == []
    now[0] = 60 * SECOND
    journal.maintain()
    assert [mark.seq for mark in schedule.file.read()] == [2]
    shutil.rmtree(tmp_path / "there")
    (tmp_path / "there").write_text("again")
    journal.append("a", {})
    journal.close()
    assert verify(path).events == 3


def test_a_folder_in_place_of_the_anchors_is_an_error(tmp_path: Path) -> None:
    file = AnchorFile(tmp_path, KEY)
    for act in (file.read, file.last):
        with pytest.raises(AnchorError, match="cannot be read"):
            act()
