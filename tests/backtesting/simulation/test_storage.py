"""A journal on a simulated disk behaves as one in a file: what was committed is there after any end."""

from __future__ import annotations

import pytest

from backtesting.simulation.storage import Fate, KilledError, SimulatedDisk, SimulatedJournal
from execution.errors import JournalError, JournalLockedError
from execution.journal import JournalEvent
from execution.journal.chain import GENESIS, canonical, chain_hash


def journal_on(disk: SimulatedDisk) -> SimulatedJournal:
    return SimulatedJournal(disk, lambda: 1_000)


def require_chain(events: list[JournalEvent]) -> None:
    head = GENESIS
    for number, event in enumerate(events, start=1):
        assert event.seq == number
        assert event.hash == chain_hash(head, event.seq, event.time_ns, event.kind, canonical(event.body))
        head = event.hash


def fated(disk: SimulatedDisk, *fates: Fate) -> None:
    left = list(fates)
    disk.fate = lambda _: left.pop(0) if left else Fate.STORE


def test_what_was_committed_survives_and_the_rest_does_not() -> None:
    disk = SimulatedDisk()
    first = journal_on(disk)
    first.append("a", {"n": 1})
    first.commit()
    first.append("b", {"n": 2})
    assert first.cut() == 1
    second = journal_on(disk)
    assert [event.kind for event in second.events()] == ["a"]
    second.append("c", {"n": 3})
    second.close()
    assert [event.kind for event in disk.events] == ["a", "c"]
    require_chain(disk.read())


def test_a_commit_that_fails_keeps_everything_for_the_next() -> None:
    disk = SimulatedDisk()
    journal = journal_on(disk)
    fated(disk, Fate.FAIL)
    journal.append("a", {})
    with pytest.raises(JournalError, match="cannot be written"):
        journal.commit()
    assert not disk.events
    journal.append("b", {})
    journal.commit()
    assert [event.kind for event in disk.events] == ["a", "b"]
    require_chain(disk.read())


def test_a_commit_whose_answer_is_lost_is_stored_once() -> None:
    disk = SimulatedDisk()
    stored: list[str] = []
    disk.stored = lambda events: stored.extend(event.kind for event in events)
    journal = journal_on(disk)
    fated(disk, Fate.LOSE_ANSWER)
    journal.append("a", {})
    with pytest.raises(JournalError, match="no answer"):
        journal.commit()
    assert [event.kind for event in disk.events] == ["a"]
    journal.append("b", {})
    journal.commit()
    assert stored == ["a", "b"]
    require_chain(disk.read())


@pytest.mark.parametrize(("fate", "kept"), [(Fate.KILL_BEFORE, []), (Fate.KILL_AFTER, ["a"])])
def test_a_kill_at_a_commit_is_before_or_after_the_moment_of_durability(fate: Fate, kept: list[str]) -> None:
    disk = SimulatedDisk()
    journal = journal_on(disk)
    fated(disk, fate)
    journal.append("a", {})
    with pytest.raises(KilledError):
        journal.commit()
    journal.cut()
    assert [event.kind for event in disk.events] == kept
    with pytest.raises(KilledError):
        journal.append("b", {})
    with pytest.raises(KilledError):
        journal.commit()


def test_one_process_holds_it_at_a_time() -> None:
    disk = SimulatedDisk()
    journal = journal_on(disk)
    with pytest.raises(JournalLockedError):
        journal_on(disk)
    journal.close()
    journal.close()
    journal_on(disk)


def test_a_disk_that_cannot_be_opened_says_so() -> None:
    disk = SimulatedDisk()

    def refuse() -> None:
        raise disk.error("it cannot be opened")

    disk.opens = refuse
    with pytest.raises(JournalError, match="cannot be opened"):
        journal_on(disk)
    assert disk.holder is None


def test_bodies_come_back_as_text_made_them() -> None:
    disk = SimulatedDisk()
    journal = journal_on(disk)
    journal.append("a", {"pair": (1, 2)})
    journal.commit()
    assert next(journal.events()).body == {"pair": [1, 2]}
