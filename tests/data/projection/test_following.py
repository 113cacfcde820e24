"""Following a journal: catching up, a database that is away, and which journal it is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from data.database import Database
from data.errors import ProjectionError
from data.projection.events import batches_of, head_of, read_events
from data.projection.following import JournalFollower, ProjectionState, identity
from data.projector import Lag, Projector
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
    begin(journal)
    assert (follower.lag().events, follower.advance(), follower.lag().events) == (1, 1, 0)
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
    while follower.lag().events:
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
    assert seen[3].lag == seen[0].lag
    assert "whether the server runs" in seen[3].problem
    assert seen[-1].lag is not None
    assert seen[-1].lag.events == 0
    follower.close()


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
