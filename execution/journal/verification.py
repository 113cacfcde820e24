"""Check a journal: its chain over all segments, its checkpoint, and the anchors of its heads.

1. The chain is recomputed from the first event, or from the signed checkpoint of a pruned journal. Each hash
   covers the text of its event as stored, so nothing is parsed: whatever was changed changes the hash.
2. Each anchor must name an event that is there, with the hash that it had: a chain rewritten as a whole
   differs, and of one whose tail was cut an anchored event is missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from execution.errors import AnchorError, JournalCorruptError
from execution.journal.anchor import CHECKPOINTS, Anchor, AnchorFile
from execution.journal.chain import GENESIS, ChainReport
from execution.journal.reader import Row, rows
from execution.journal.segments import folder_of, segments_of

_NEVER = 2**63


def verify(path: Path, anchors: AnchorFile | None = None) -> ChainReport:
    """Recompute the hash chain of a journal, and compare it with its anchors where they are given.

    The key of the anchors also checks the checkpoint of a pruned journal, which does not verify without it.

    Raises
    ------
    JournalError
        If the journal cannot be read.
    """
    key = anchors.key if anchors else None
    try:
        checkpoints = AnchorFile(folder_of(path) / CHECKPOINTS, key).read()
        marks = sorted(anchors.read() if anchors else [], key=lambda anchor: anchor.seq)
    except AnchorError as error:
        return ChainReport(ok=False, events=0, head=GENESIS, problem=str(error))
    head, count, removed = GENESIS, 0, 0
    if checkpoints:
        if key is None:
            why = f"the record was pruned; give the key that signed {folder_of(path) / CHECKPOINTS}"
            return ChainReport(ok=False, events=0, head=GENESIS, problem=why)
        head, count = checkpoints[-1].head, checkpoints[-1].seq
        removed = count
        marks = [*checkpoints[-1:], *marks]
    with closing(rows(path, count)) as stored:
        report = verify_rows(stored, head, count, [anchor for anchor in marks if anchor.seq >= count])
    if report.ok and report.problem is None:
        report = _beginnings(path, report)
    return replace(report, anchors=len(marks) - bool(checkpoints), removed=removed)


def verify_rows(stored: Iterable[Row], head: str, count: int, marks: Sequence[Anchor] = ()) -> ChainReport:
    """Recompute a chain of stored events that follows `head`, the hash of event `count`.

    Parameters
    ----------
    stored
        Events in order.
    head, count
        Where they begin.
    marks
        Anchors in order of their numbers, none before `count`.
    """
    before, sha256 = head.encode(), hashlib.sha256
    pending = list(reversed(marks))
    while pending and pending[-1].seq == count:
        mark = pending.pop()
        if mark.head != head:
            return _failed(count, before, f"event {count} is not the one that was anchored")
    anchored = pending[-1].seq if pending else _NEVER
    row: Row | None = None
    try:
        for row in stored:
            seq, time_ns, kind, text, prev_hash, digest = row
            found = sha256(b"%b\n%d\n%d\n%b\n%b" % (before, seq, time_ns, kind, text)).hexdigest().encode()
            if digest != found or seq != count + 1 or prev_hash != before:
                return _failed(count, before, _problem(row, count, before))
            before, count = digest, seq
            while count == anchored:
                if pending.pop().head != digest.decode():
                    return _failed(count, before, f"event {count} is not the one that was anchored")
                anchored = pending[-1].seq if pending else _NEVER
    except TypeError:  # a value of a kind that is never written
        return _failed(count, before, f"event {row[0] if row else count + 1} was altered")
    if pending:
        return _failed(
            count,
            before,
            f"the record ends at event {count}, event {pending[0].seq} was anchored: its tail was cut",
        )
    return ChainReport(ok=True, events=count, head=before.decode())


def _problem(row: Row, count: int, before: bytes) -> str:
    seq, _, _, text, prev_hash, _ = row
    if seq != count + 1:
        return f"event {count + 1} is missing: found {seq}"
    if prev_hash != before:
        return f"event {seq} does not follow the one before it"
    try:
        json.loads(text)
    except ValueError as error:
        return f"event {seq} is not readable: {error}"
    return f"event {seq} was altered"


def _failed(count: int, head: bytes, problem: str) -> ChainReport:
    return ChainReport(ok=False, events=count, head=head.decode("ascii", "replace"), problem=problem)


def _beginnings(path: Path, report: ChainReport) -> ChainReport:
    """Find a cut before the newest segment while that one is still empty: its name says where it begins."""
    newest = segments_of(path)[-1]
    if newest.first_seq > report.events + 1:
        why = f"event {report.events + 1} is missing: segment {newest.path.name} begins later"
        return replace(report, ok=False, problem=why)
    return report


def require_sound(report: ChainReport, path: Path) -> None:
    """Raise `JournalCorruptError` unless a verification found nothing."""
    if not report.ok:
        raise JournalCorruptError(f"journal {path}: {report.problem}")
