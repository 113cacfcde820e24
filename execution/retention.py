"""Remove what the law no longer asks to keep, and leave a signed checkpoint in its place.

1. The journal is held, so that no trader writes it, and verified with its anchors.
2. Whole segments are removed, oldest first, up to the last one that ends before the cut-off and leaves no
   order open: what happens to an order later would not be understood without its intent.
3. The checkpoint is made durable: number and hash of the last event removed, signed, with what recovery needs
   of the removed ones (positions, cash, the last order id, a tripped kill switch).
4. The segments are removed, and the removal is recorded in the journal and anchored. A crash after 3 leaves
   segments that nobody reads any more; the next run removes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from execution.book.adjustments import Adjustment
from execution.book.ledger import Holding, Ledger
from execution.clocks import timestamp
from execution.errors import RetentionError
from execution.journal import AnchorFile, AnchorSchedule, JournalEvent, Rotation, SqliteJournal, read, verify
from execution.journal.anchor import CHECKPOINT, CHECKPOINTS, last_checkpoint
from execution.journal.reader import events_of, open_read_only
from execution.journal.segments import create_segment, folder_of, segments_of, sync_folder
from execution.journal.verification import require_sound
from execution.models import Fill, Side
from execution.numbers import format_decimal
from execution.orders.blotter import Blotter
from execution.orders.recovery import fold

if TYPE_CHECKING:
    import pandas as pd
else:
    from execution.lazily import pd

RETENTION_YEARS = 7
_SPAN = re.compile(r"([1-9]\d{0,3})(y|d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went: through which event (0: nothing), how many events and segments, and before which moment."""

    through_seq: int
    events: int
    segments: int
    cutoff: pd.Timestamp


def cutoff_of(older_than: str, now: pd.Timestamp) -> pd.Timestamp:
    """Return the moment before which records may go.

    Parameters
    ----------
    older_than
        A span such as ``7y`` or ``3000d``.
    now
        The present.

    Raises
    ------
    RetentionError
        If it is not a span, or shorter than the retention period.
    """
    match = _SPAN.fullmatch(older_than)
    if match is None:
        raise RetentionError(f"{older_than!r} is not a span of years or days; write 7y or 3000d")
    count = int(match[1])
    cutoff = now - (pd.DateOffset(years=count) if match[2] == "y" else pd.Timedelta(days=count))
    youngest = now - pd.DateOffset(years=RETENTION_YEARS)
    if cutoff > youngest:
        raise RetentionError(
            f"{older_than} would remove records of after {youngest.date()}: they must be kept "
            f"{RETENTION_YEARS} years; ask for {RETENTION_YEARS}y or more. Nothing was removed"
        )
    return cutoff


def prune(journal: Path, older_than: str, now_ns: Callable[[], int], anchors: AnchorFile) -> Pruned:
    """Remove the segments of a journal that are older than a span.

    Parameters
    ----------
    journal
        The journal; no trader may hold it.
    older_than
        The span, at least seven years; see `cutoff_of`.
    now_ns
        Wall time, UTC nanoseconds.
    anchors
        The journal's anchors, with the key that also signs the checkpoint.

    Raises
    ------
    RetentionError
        If the span is too short.
    JournalCorruptError
        If the journal does not verify; nothing is removed.
    AnchorError
        If there is no key.
    """
    cutoff = cutoff_of(older_than, timestamp(now_ns()))
    held = SqliteJournal(
        journal, now_ns, rotation=Rotation(max_bytes=None, daily=False), anchors=AnchorSchedule(anchors)
    )
    try:
        require_sound(verify(journal, anchors), journal)
        before = last_checkpoint(folder_of(journal))
        known = before.seq if before else 0
        cut = _last_cut(journal, int(cutoff.value))
        if cut is not None:
            AnchorFile(folder_of(journal) / CHECKPOINTS, anchors.key).append(
                cut.seq, cut.head, now_ns(), "pruned", cut.carried
            )
        through = cut.seq if cut else known
        segments = _remove(journal, through, cut.head if cut else (before.head if before else ""))
        if cut is not None:
            body = {
                "through": cut.seq,
                "head": cut.head,
                "cutoff": int(cutoff.value),
                "older_than": older_than,
            }
            held.append("pruned", {**body, "events": cut.seq - known, "segments": segments})
            held.commit()
    finally:
        held.close()
    return Pruned(cut.seq if cut else 0, cut.seq - known if cut else 0, segments, cutoff)


@dataclass(frozen=True, slots=True)
class _Cut:
    seq: int
    head: str
    carried: dict[str, Any]


def _last_cut(journal: Path, cutoff_ns: int) -> _Cut | None:
    """Fold the events before the cut-off; return the last end of a segment where no order is open."""
    ends = {segment.first_seq - 1 for segment in segments_of(journal)[1:]}
    blotter, book, cut = Blotter(), _Book(), None
    for event in read(journal):
        if event.time_ns >= cutoff_ns and event.kind != CHECKPOINT:
            break
        fold(event.kind, event.body, blotter)
        book.take(event)
        if event.seq in ends and event.kind != CHECKPOINT and not blotter.open_entries():
            cut = _Cut(event.seq, event.hash, book.carried(blotter.last_order_id))
    return cut


class _Book:
    """Cash and positions by the journal: the last snapshot, and what was booked after it."""

    def __init__(self) -> None:
        self._ledger = Ledger(history={})
        self._kill_switch: dict[str, Any] | None = None
        self._trading_time = 0
        self._known = False

    def take(self, event: JournalEvent) -> None:
        """Fold one event."""
        body = event.body
        match event.kind:
            case "checkpoint":
                self._kill_switch = body["kill_switch"]
                if body["opening"] is not None:
                    self._start(body["opening"])
            case "opening":
                self._start(body)
            case "snapshot":
                positions = {held["symbol"]: held for held in body["positions"]}
                self._start({**body, "positions": positions})
            case "fill" | "external_fill":
                self._ledger.apply(_fill(body))
            case "fill_corrected":
                self._ledger.revise(_fill({**body, **body["old"]}), _fill(body))
            case "commission" | "external_commission":
                self._ledger.charge(Decimal(body["commission"]))
            case "adjustment":
                self._ledger.adjust(Adjustment.from_body(body))
            case "kill_switch":
                self._kill_switch = body
            case "kill_switch_reset":
                self._kill_switch = None
            case _:
                pass

    def carried(self, last_order_id: int) -> dict[str, Any]:
        """Return what recovery needs of the events so far."""
        opening = {
            "positions": {
                symbol: {
                    "quantity": format_decimal(holding.quantity),
                    "average_cost": format_decimal(holding.average_cost),
                }
                for symbol, holding in sorted(self._ledger.holdings.items())
                if holding.quantity
            },
            "cash": format_decimal(self._ledger.cash),
            "trading_time": self._trading_time,
        }
        return {
            "opening": opening if self._known else None,
            "kill_switch": self._kill_switch,
            "last_order_id": last_order_id,
        }

    def _start(self, body: dict[str, Any]) -> None:
        self._known, self._trading_time = True, body["trading_time"]
        self._ledger = Ledger(cash=Decimal(body["cash"]), history={})
        for symbol, held in body["positions"].items():
            quantity, cost = Decimal(held["quantity"]), Decimal(held["average_cost"])
            self._ledger.holdings[symbol] = Holding(quantity, quantity * cost)


def _fill(body: dict[str, Any]) -> Fill:
    commission = None if body["commission"] is None else Decimal(body["commission"])
    quantity, price = Decimal(body["quantity"]), Decimal(body["price"])
    moment = timestamp(body["time"])
    return Fill(body["fill_id"], "", body["symbol"], quantity, price, Side(body["side"]), moment, commission)


def _remove(journal: Path, through: int, head: str) -> int:
    """Remove the segments that hold nothing beyond an event; the first stays as an empty file."""
    segments = segments_of(journal)
    removed = 0
    for segment, following in pairwise(segments):
        if following.first_seq > through + 1:
            break
        if segment.path == journal:
            if _is_empty(journal):
                continue
            create_segment(journal, through + 1, head)
        else:
            segment.path.unlink()
        removed += 1
    if removed:
        sync_folder(folder_of(journal))
    return removed


def _is_empty(path: Path) -> bool:
    with closing(open_read_only(path)) as db:
        return next(events_of(db, 0), None) is None
