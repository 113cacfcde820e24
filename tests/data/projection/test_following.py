"""Following a journal: catching up, a database that is away, and which journal it is."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from data.database import Database
from data.errors import ProjectionError
from data.inspection import check
from data.projection.events import Entry, Lag, batches_of, behind, head_of, read_events
from data.projection.following import JournalFollower, ProjectionState, identity
from data.projector import Projector
from data.repositories import Repository
from data.testing import LocalServer
from execution.errors import JournalCorruptError, JournalError
from execution.journal import SqliteJournal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    ticks = iter(range(1_000_000_000, 2**62, 1_000_000_000))
    opened = SqliteJournal(tmp_path / "journal.db", lambda: next(ticks))
    yield opened
    opened.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def begin(journal: SqliteJournal, run: str = "r") -> None:
    journal.append("run_started", {"run_id": run})
    journal.commit()


def test_what_is_not_known_yet_is_told_as_nothing() -> None:
    assert ProjectionState().as_dict() == {
        "database_behind_events": None, "database_behind_seconds": None, "database_problem": None,
    }  # fmt: skip
    told = ProjectionState(Lag(3, 1.23456), 2, "the server is away").as_dict()
    assert list(told.values()) == [3, 1.235, "the server is away"]


def test_an_empty_journal_has_no_name_and_nothing_to_project(
    journal: SqliteJournal, path: Path, sqlite_url: str
) -> None:
    follower = JournalFollower(Database(sqlite_url), path, "r")
    assert follower.advance() == 0
    assert follower.attempt().problem == ""
    assert head_of(path) == (0, 0)
    assert follower.lag() == Lag(0, 0.0)
    begin(journal)
    assert (follower.lag(), follower.advance(), follower.lag()) == (Lag(1, 0.0), 1, Lag(0, 0.0))
    follower.close()


async def test_it_follows_while_the_journal_grows_and_says_what_is_behind(
    journal: SqliteJournal, path: Path, sqlite_url: str
) -> None:
    states: asyncio.Queue[ProjectionState] = asyncio.Queue()
    database = Database(sqlite_url)
    follower = JournalFollower(database, path, "r", interval=0.0, observe=states.put_nowait)
    begin(journal)
    task = asyncio.create_task(follower.run())
    state = await states.get()
    assert (state.problem, state.failures, state.lag and state.lag.events) == ("", 0, 0)
    journal.append("barrier", {})
    journal.commit()
    while (lag := follower.lag()) is None or lag.events:
        await states.get()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert Repository(database).runs()["run_id"].tolist() == ["r"]
    follower.close()


async def test_a_database_that_is_away_is_tried_ever_less_often_and_caught_up_with(
    journal: SqliteJournal, path: Path, postgres_server: LocalServer, postgres_url: str
) -> None:
    begin(journal)
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            postgres_server.stop()
            journal.append("barrier", {})
            journal.commit()
        elif len(pauses) == 7:
            postgres_server.start()
        elif len(pauses) == 8:
            raise asyncio.CancelledError

    seen: list[ProjectionState] = []
    follower = JournalFollower(
        Database(postgres_url), path, "r", observe=seen.append, sleep=sleep, interval=2.0, longest_pause=30.0
    )
    task = asyncio.create_task(follower.run())
    await asyncio.gather(task, return_exceptions=True)
    assert pauses == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 2.0]
    assert [state.failures for state in seen] == [0, 1, 2, 3, 4, 5, 6, 0]
    assert [seen[i].lag for i in (0, 3)] == [Lag(0, 0.0), Lag(1, 0.0)]  # the journal goes on meanwhile
    assert "whether the server runs" in seen[3].problem
    assert seen[-1].lag is not None
    assert seen[-1].lag.events == 0
    follower.close()


def test_the_lag_is_counted_from_the_first_event_that_is_not_projected(
    journal: SqliteJournal, path: Path
) -> None:
    for _ in range(5):  # one a second
        begin(journal)
    assert behind(path, 0) == Lag(5, 4.0)
    assert behind(path, 4) == Lag(1, 0.0)  # it was quiet before, nobody waited
    assert behind(path, 5) == Lag(0, 0.0)


def continued(path: Path, name: str, events: int) -> None:
    """Go on with a journal, each event by another name."""
    with closing(SqliteJournal(path, lambda: 7)) as journal:
        for number in range(events):
            journal.append("barrier", {"name": f"{name}-{number}"})
        journal.commit()


def test_a_journal_put_back_to_an_older_copy_is_refused_before_anything_is_mixed(
    path: Path, tmp_path: Path, database: Database
) -> None:
    with closing(SqliteJournal(path, lambda: 7)) as journal:
        begin(journal)
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    continued(path, "lost", 3)
    follower = JournalFollower(database, path, "r")
    assert follower.advance() == 4
    shutil.copy(copy, path)
    with pytest.raises(ProjectionError, match="ends 3 events before what was projected of it"):
        follower.advance()
    state = follower.attempt()
    assert (state.failures, state.lag) == (1, Lag(-3, 0.0))
    continued(path, "new", 3)  # as many: what is different shows with the next
    assert follower.advance() == 0
    continued(path, "more", 1)
    for again in (follower, JournalFollower(database, path, "r")):
        with pytest.raises(ProjectionError, match="event 5 does not follow event 4 as it was projected"):
            again.advance()
    name = identity(path, database)
    assert name is not None
    assert Projector(database, name, "r").rebuild(read_events(path)) == 5
    assert follower.advance() == 0
    assert [finding.problem for finding in check(database) if finding.what == "audit chain"] == [""]


def test_events_that_were_pruned_before_they_were_projected_are_missed(
    journal: SqliteJournal, path: Path, file_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a backup of the database was restored that is older than the pruning."""
    for _ in range(4):
        begin(journal)
    entries = list(read_events(path))
    projector = Projector(file_database, entries[0][5], "r")
    projector.project(entries[:2])
    left = entries[2:]
    monkeypatch.setattr("data.projection.following.read_events", lambda _: iter_of(left))
    assert identity(path, file_database) == projector.journal_id  # pruned up to where the database stands
    left = entries[3:]
    with pytest.raises(ProjectionError, match="the database does not know it"):
        identity(path, file_database)
    with pytest.raises(ProjectionError, match="event 3 is missing, the journal goes on with 4"):
        projector.project(left)
    with pytest.raises(ProjectionError, match="begins with event 4"):
        projector.rebuild(left)
    assert projector.cursor() == 2


def iter_of(entries: list[Entry]) -> Iterator[Entry]:
    yield from entries


def test_a_journal_keeps_its_name_wherever_it_lies(path: Path, file_database: Database) -> None:
    journal = SqliteJournal(path, lambda: 7)
    begin(journal)
    journal.close()
    name = identity(path, file_database)
    assert name is not None
    moved = path.rename(path.with_name("elsewhere.db"))
    assert identity(moved, file_database) == name


def test_a_pruned_journal_is_known_by_what_was_projected(
    journal: SqliteJournal, path: Path, file_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(journal)
    begin(journal, "s")
    with monkeypatch.context() as patch:
        later = list(read_events(path, 1))
        patch.setattr("data.projection.following.read_events", lambda _: (event for event in later))
        with pytest.raises(ProjectionError, match="begins with event 2 and the database does not know it"):
            identity(path, file_database)
    follower = JournalFollower(Database(str(file_database.url)), path, "r")
    follower.advance()
    name = identity(path, file_database)
    monkeypatch.setattr("data.projection.following.read_events", lambda _: (event for event in later))
    assert identity(path, file_database) == name
    follower.close()


def test_events_are_read_in_batches_in_order_and_a_reader_may_leave_early(
    journal: SqliteJournal, path: Path
) -> None:
    for _ in range(50):
        begin(journal)
    batches = list(batches_of(path, 3, 7))
    assert [len(batch) for batch in batches] == [7] * 6 + [5]
    assert [entry[0] for batch in batches for entry in batch] == list(range(4, 51))
    with closing(batches_of(path, 0, 1)) as few:
        assert next(few)[0][0] == 1


def test_a_fault_of_the_program_is_told_and_tried_again(
    journal: SqliteJournal, path: Path, file_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(journal)
    follower = JournalFollower(file_database, path, "r")
    with monkeypatch.context() as patch:
        patch.setattr(Projector, "project_batches", lambda *_: 1 / 0)
        state = follower.attempt()
    assert (state.problem, state.failures, state.lag) == (
        "ZeroDivisionError: division by zero",
        1,
        Lag(1, 0.0),
    )
    assert follower.attempt() == ProjectionState(Lag(0, 0.0))


def test_a_body_without_fields_is_no_event(file_database: Database) -> None:
    with pytest.raises(JournalCorruptError, match="event 1 is not readable: it holds no fields"):
        Projector(file_database, "j", "r").project([(1, 7, "barrier", "[1]", "", "")])


def test_what_cannot_be_read_is_told_to_the_reader(
    tmp_path: Path, path: Path, journal: SqliteJournal, file_database: Database
) -> None:
    with pytest.raises(JournalError, match="does not exist"):
        next(batches_of(tmp_path / "no.db", 0, 5))
    begin(journal)
    journal._db.execute("DROP TRIGGER IF EXISTS events_are_final")
    journal.append("barrier", {})
    journal._pending = [(*row[:3], "not json", *row[4:]) for row in journal._pending]
    journal.commit()
    with pytest.raises(JournalCorruptError, match="event 2 is not readable"):
        Projector(file_database, "j", "r").project(read_events(path))
    assert Projector(file_database, "j", "r").cursor() == 0
