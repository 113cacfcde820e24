"""Pruning: nothing younger than seven years goes, and the chain, recovery and anchors hold after it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from execution.audit import AuditLogger
from execution.clocks import SteppedClock
from execution.errors import AnchorError, JournalCorruptError, JournalLockedError, RetentionError
from execution.events import RiskDecision
from execution.journal import AnchorFile, AnchorSchedule, SqliteJournal, read, segments_of, verify
from execution.models import OrderRequest, OrderType, Side
from execution.orders.blotter import Blotter, Entry
from execution.orders.evidence import CommissionSeen, ExecutionSeen
from execution.orders.inbox import Inbox
from execution.orders.recovery import recover
from execution.retention import cutoff_of, prune

KEY = b"a secret of the tests"
NOW = pd.Timestamp("2026-06-01", tz="UTC")


class Years:
    """A journal with a segment a year, each with one order that fills."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.db"
        self.anchors = AnchorFile(folder / "there" / "anchors.jsonl", KEY)
        self.now = 0

    def now_ns(self) -> int:
        return self.now

    def write(self, *years: int, open_in: int = 0) -> None:
        journal = SqliteJournal(self.path, self.now_ns, anchors=AnchorSchedule(self.anchors))
        clock = SteppedClock()
        audit = AuditLogger(journal, clock)
        blotter = Blotter()
        inbox = Inbox(blotter, audit, None)
        recover(journal.events(), blotter)
        for year in years:
            self.now = int(pd.Timestamp(year=year, month=1, day=2, tz="UTC").value)
            clock.advance_to(self.now)
            journal.maintain()
            if journal.last_seq == 0:
                audit.log("opening", positions={}, cash="1000", trading_time=self.now)
            name = f"o-{year}"
            request = OrderRequest("AAA", Decimal(10), OrderType.MARKET, Side.BUY, client_order_id=name)
            entry = Entry(request, year, self.now)
            audit.log_intent(entry, RiskDecision(approved=True))
            blotter.submitted(entry)
            if year != open_in:
                self.fill(inbox, year, name)
            inbox.close()
        if open_in:
            self.fill(inbox, open_in, f"o-{open_in}")
            inbox.close()
        journal.close()

    def fill(self, inbox: Inbox, year: int, name: str) -> None:
        shares, price = Decimal(10), Decimal(2)
        inbox.take(
            ExecutionSeen(f"{year}.01", year, 1, 10 * year, name, "", "AAA", "BUY", shares, price, self.now)
        )
        inbox.take(CommissionSeen(f"{year}.01", Decimal(1), "USD"))

    def prune(self, older_than: str = "7y") -> int:
        self.now = int(NOW.value)
        return prune(self.path, older_than, self.now_ns, self.anchors).through_seq


@pytest.fixture
def years(tmp_path: Path) -> Years:
    return Years(tmp_path)


@pytest.mark.parametrize("span", ["6y", "1d", "2555d", "2556d"])
def test_what_is_younger_than_seven_years_is_refused(years: Years, span: str) -> None:
    years.write(2015, 2016)
    with pytest.raises(RetentionError, match="must be kept 7 years"):
        years.prune(span)
    assert len(list(read(years.path))) > 0


@pytest.mark.parametrize("span", ["7", "0y", "-7y", "7 y", "seven", "7y7d", "\u0667y", "7m"])
def test_what_is_no_span_is_refused(span: str) -> None:
    with pytest.raises(RetentionError, match="write 7y"):
        cutoff_of(span, NOW)


def test_the_cut_off_counts_calendar_years() -> None:
    assert cutoff_of("7y", NOW) == pd.Timestamp("2019-06-01", tz="UTC")
    assert cutoff_of("2557d", NOW) == pd.Timestamp("2019-06-01", tz="UTC")
    assert cutoff_of("10y", NOW) == pd.Timestamp("2016-06-01", tz="UTC")


def test_old_segments_go_and_the_chain_still_verifies(years: Years) -> None:
    years.write(2015, 2016, 2020, 2021)
    before = {event.seq: event.hash for event in read(years.path)}
    through = years.prune()
    assert through
    first, *rest = read(years.path)
    assert (first.kind, first.seq, first.hash) == ("checkpoint", through, before[through])
    assert [event.seq for event in rest][:2] == [through + 1, through + 2]
    assert rest[-1].kind == "pruned"
    report = verify(years.path, years.anchors)
    assert (report.ok, report.removed) == (True, through)
    assert "give the key" in (verify(years.path).problem or "")
    assert next(event.seq for event in read(years.path, through)) == through + 1
    years.write(2022)
    assert verify(years.path, years.anchors).ok


def test_recovery_after_pruning_knows_the_positions_and_the_last_order_id(years: Years) -> None:
    years.write(2015, 2016, 2020)
    whole = recover(read(years.path), Blotter())
    years.prune()
    blotter = Blotter()
    recovered = recover(read(years.path), blotter)
    assert recovered.opening is not None
    held = Decimal(recovered.opening["positions"]["AAA"]["quantity"])
    assert held + recovered.net()["AAA"] == whole.net()["AAA"] == 30
    assert recovered.opening["cash"] == "958"  # 1000 - 2 * (10 * 2 + 1)
    assert (set(blotter.entries), blotter.last_order_id) == ({"o-2020"}, 2020)


def test_a_second_pruning_carries_on_from_the_first(years: Years) -> None:
    years.write(2010, 2011, 2016, 2017, 2020)
    first = years.prune("12y")
    second = years.prune()
    assert second > first
    recovered = recover(read(years.path), blotter := Blotter())
    assert recovered.opening is not None
    assert recovered.opening["positions"]["AAA"] == {"quantity": "40", "average_cost": "2"}
    assert recovered.opening["cash"] == "916"
    assert set(blotter.entries) == {"o-2020"}
    assert verify(years.path, years.anchors).ok
    assert years.prune() == 0  # nothing more to do
    assert verify(years.path, years.anchors).ok


def test_no_segment_goes_while_one_of_its_orders_is_open_later(years: Years) -> None:
    years.write(2015, 2016, 2020, open_in=2016)
    years.prune()
    _, *rest = read(years.path)
    assert [e.body["client_order_id"] for e in rest if e.kind == "order_submitted"] == ["o-2016", "o-2020"]
    assert recover(read(years.path), Blotter()).net() == {"AAA": Decimal(20)}


def test_a_crash_between_checkpoint_and_removal_is_finished_by_the_next_pruning(
    years: Years, monkeypatch: pytest.MonkeyPatch
) -> None:
    years.write(2015, 2016, 2020)

    def crash(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("execution.retention._remove", crash)
        with pytest.raises(KeyboardInterrupt):
            years.prune()
    assert next(read(years.path)).kind == "checkpoint"  # what was removed by word is not read
    assert verify(years.path, years.anchors).ok
    segments = len(segments_of(years.path))
    assert years.prune() == 0
    assert len(segments_of(years.path)) < segments
    assert verify(years.path, years.anchors).ok
    assert recover(read(years.path), Blotter()).net() == {"AAA": Decimal(10)}


def test_a_forged_checkpoint_is_found(years: Years) -> None:
    years.write(2015, 2016, 2020)
    years.prune()
    file = years.path.with_name("journal.segments") / "checkpoints.jsonl"
    file.write_text(file.read_text().replace('"958"', '"958000"').replace('"979"', '"979000"'))
    assert "altered" in (verify(years.path, years.anchors).problem or "")


def test_nothing_is_removed_from_a_journal_that_is_held_altered_or_without_a_key(years: Years) -> None:
    years.write(2015, 2016, 2020)
    count = len(list(read(years.path)))
    with pytest.raises(AnchorError, match="no key"):
        prune(years.path, "7y", lambda: int(NOW.value), AnchorFile(years.anchors.path, None))
    held = SqliteJournal(years.path, years.now_ns)
    with pytest.raises(JournalLockedError):
        years.prune()
    held.close()
    segments_of(years.path)[1].path.unlink()
    with pytest.raises(JournalCorruptError, match="missing"):
        years.prune()
    assert len(list(read(years.path))) < count
    assert not (years.path.with_name("journal.segments") / "checkpoints.jsonl").exists()
