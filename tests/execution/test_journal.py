"""The journal: durable, chained, held by one writer."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from execution.errors import JournalCorruptError, JournalError, JournalLockedError
from execution.journal import GENESIS, MemoryJournal, SqliteJournal, read, verify, verify_events
from execution.journal.chain import canonical, parsed
from execution.models import Side


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "journal.db"


def write(path: Path, count: int = 5) -> None:
    journal = SqliteJournal(path, lambda: 7)
    for i in range(count):
        journal.append("fill", {"n": i, "price": "100.5"})
    journal.close()


def tamper(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path)
    db.execute("DROP TRIGGER events_are_never_changed")
    db.execute("DROP TRIGGER events_are_never_deleted")
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def test_what_was_committed_is_read_back_in_a_chain_that_verifies(path: Path) -> None:
    write(path)
    events = list(read(path))
    assert [e.body["n"] for e in events] == [0, 1, 2, 3, 4]
    assert events[0].prev_hash == GENESIS
    report = verify(path)
    assert (report.ok, report.events, report.head) == (True, 5, events[-1].hash)
    assert [e.seq for e in read(path, after_seq=3)] == [4, 5]


def test_a_running_trader_is_read_without_being_disturbed(path: Path) -> None:
    journal = SqliteJournal(path, lambda: 7)
    journal.append("a", {})
    journal.commit()
    journal.append("b", {})
    assert [e.kind for e in read(path)] == ["a"]
    journal.close()
    assert [e.kind for e in read(path)] == ["a", "b"]


def test_a_restart_appends_to_the_same_chain(path: Path) -> None:
    write(path, 2)
    write(path, 3)
    assert verify(path).events == 5


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        (["UPDATE events SET body = replace(body, '100.5', '101.5') WHERE seq = 3"], "event 3 was altered"),
        (["UPDATE events SET time_ns = 8 WHERE seq = 2"], "event 2 was altered"),
        (["UPDATE events SET kind = 'x' WHERE seq = 2"], "event 2 was altered"),
        (["DELETE FROM events WHERE seq = 2"], "event 2 is missing"),
        (["DELETE FROM events WHERE seq = 1"], "event 1 is missing"),
        (
            ["INSERT INTO events SELECT 6, time_ns, kind, body, prev_hash, hash FROM events WHERE seq = 5"],
            "event 6 does not follow",
        ),
        (
            [
                "UPDATE events SET seq = 90 WHERE seq = 2",
                "UPDATE events SET seq = 2 WHERE seq = 3",
                "UPDATE events SET seq = 3 WHERE seq = 90",
            ],
            "event 2 does not follow",
        ),
        (["UPDATE events SET body = '{' WHERE seq = 4"], "event 4 is not readable"),
    ],
    ids=["flip", "time", "kind", "delete", "delete-first", "insert", "swap", "garbage"],
)
def test_every_tampering_is_found(path: Path, statements: list[str], problem: str) -> None:
    write(path)
    tamper(path, *statements)
    report = verify(path)
    assert not report.ok
    assert problem in (report.problem or "")


@given(st.integers(0, 200), st.integers(1, 127))
def test_no_flipped_character_of_a_body_goes_unseen(position: int, mask: int) -> None:
    journal = MemoryJournal(lambda: 7)
    journal.append("note", {"text": "x" * 201})
    journal.commit()
    (event,) = journal.events()
    text = list(event.body["text"])
    text[position] = chr(ord(text[position]) ^ mask)
    event.body["text"] = "".join(text)
    assert not verify_events([event]).ok


def test_events_can_be_neither_changed_nor_deleted_by_mistake(path: Path) -> None:
    write(path)
    db = sqlite3.connect(path)
    for statement in ("UPDATE events SET kind = 'x'", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(statement)
    db.close()


def test_a_journal_whose_last_event_was_altered_is_not_continued(path: Path) -> None:
    write(path)
    tamper(path, "UPDATE events SET time_ns = 8 WHERE seq = 5")
    with pytest.raises(JournalCorruptError, match="event 5"):
        SqliteJournal(path, lambda: 7)


def test_a_second_process_is_refused(path: Path) -> None:
    journal = SqliteJournal(path, lambda: 7)
    with pytest.raises(JournalLockedError, match="trade stop"):
        SqliteJournal(path, lambda: 7)
    code = (
        "import sys, pathlib; from execution.journal import SqliteJournal\n"
        f"try: SqliteJournal(pathlib.Path({str(path)!r}), lambda: 7)\n"
        "except Exception as e: print(type(e).__name__)"
    )
    root = Path(__file__).parents[2]
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=60, check=True
    )
    assert found.stdout.strip() == "JournalLockedError"
    journal.close()
    SqliteJournal(path, lambda: 7).close()


def test_a_failed_commit_raises_and_keeps_its_events_for_the_next(path: Path) -> None:
    journal = SqliteJournal(path, lambda: 7)
    journal._db.execute("PRAGMA busy_timeout=0")
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    journal.append("fill", {"n": 1})
    with pytest.raises(JournalError, match="cannot be written"):
        journal.commit()
    journal.append("fill", {"n": 2})
    assert journal.last_seq == 2
    blocker.execute("ROLLBACK")
    blocker.close()
    journal.close()
    assert [e.body["n"] for e in read(path)] == [1, 2]
    assert verify(path).ok


def test_a_file_that_cannot_be_a_journal_is_refused_with_its_name(tmp_path: Path) -> None:
    text = tmp_path / "journal.db"
    text.write_text("this is not a database, and it is long enough to look like none " * 20)
    with pytest.raises(JournalError, match=r"journal\.db"):
        SqliteJournal(text, lambda: 7)
    with pytest.raises(JournalError, match="cannot be read"):
        list(read(text))
    with pytest.raises(JournalError, match="does not exist"):
        list(read(tmp_path / "none.db"))
    with pytest.raises(JournalError, match="cannot be opened"):
        SqliteJournal(text / "below", lambda: 7)
    folder = tmp_path / "folder.db"
    folder.mkdir()
    with pytest.raises(JournalError, match="cannot be opened"):
        SqliteJournal(folder, lambda: 7)


@pytest.mark.parametrize(
    "make",
    [lambda p: MemoryJournal(lambda: 7), lambda p: SqliteJournal(p, lambda: 7)],
    ids=["memory", "file"],
)
def test_both_journals_give_the_same_chain(path: Path, make: Callable[[Path], MemoryJournal]) -> None:
    journal = make(path)
    journal.append("a", {"x": 1, "é": None})
    assert list(journal.events()) == []
    journal.commit()
    journal.commit()
    (event,) = journal.events()
    assert journal.head == event.hash
    assert verify_events([event]).ok
    journal.close()


def test_a_journal_appears_whole_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("execution.journal.segments.SCHEMA", "CREATE TABLE half (a); no SQL")
    with pytest.raises(JournalError, match="cannot be opened"):
        SqliteJournal(path, lambda: 1)
    assert not path.exists()  # a reader that looks meanwhile finds nothing rather than half of it
    monkeypatch.undo()
    SqliteJournal(path, lambda: 1).close()
    assert list(read(path)) == []


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FLAT = st.none() | st.booleans() | st.integers() | st.text() | st.text('\x00\x1f\x7f"\\/ \ud800aé')


@given(st.dictionaries(st.text(), PLAIN) | st.dictionaries(st.text("aB\x7f\x00é\udfff"), FLAT))
@example({"n": 2**63, "m": -(2**63), "o": 2**64 - 1, "p": 2**64, "q": -(2**63) - 1})
@example({"text": "".join(map(chr, range(0x250)))})
@example({"side": Side.BUY, "half": "\ud83d", "float": 1e16, "deleted": "\x7f"})
@example({1: "a number as a key"})
def test_a_body_is_spelt_as_the_standard_encoder_spells_it_and_read_as_it_reads(
    body: dict[str, object],
) -> None:
    expected = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    assert canonical(body) == expected
    assert repr(parsed(expected)) == repr(json.loads(expected))


@pytest.mark.parametrize(
    "text",
    ['{"n":18446744073709551616}', '{"n":-0}', '{"n":1E2}', '{"n":NaN}', ' {"n":1, "n":2}', "[1]", "7"],
)
def test_a_text_that_nothing_here_wrote_is_read_as_the_standard_library_reads_it(text: str) -> None:
    assert repr(parsed(text)) == repr(json.loads(text))


@pytest.mark.parametrize("stored", ["'{'", "'no json'", "x'FF00'", "NULL", "7"])
def test_a_body_that_is_no_json_text_is_told_as_corrupt(path: Path, stored: str) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE events (seq, time_ns, kind, body, prev_hash, hash)")
        db.execute(f"INSERT INTO events VALUES (1, 1, 'fill', {stored}, '', '')")  # noqa: S608 - literals above
    with pytest.raises(JournalCorruptError, match="event 1 is not readable"):
        list(read(path))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1}])
def test_a_body_that_has_no_plain_spelling_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical({"value": value})


@pytest.mark.parametrize("count", [1, 2])
def test_a_commit_that_fails_keeps_everything_and_the_next_one_writes_it(path: Path, count: int) -> None:
    journal = SqliteJournal(path, lambda: 7)
    for number in range(count):
        journal.append("fill", {"n": number})
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'disk'); END")
        with pytest.raises(JournalError, match="no order is sent"):
            journal.commit()
        assert list(journal.events()) == []
        other.execute("DROP TRIGGER full")
    journal.commit()
    assert [event.body["n"] for event in journal.events()] == list(range(count))
    assert verify_events(journal.events()).ok
    journal.close()
