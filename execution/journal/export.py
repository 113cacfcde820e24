"""Export a journal as JSON lines or CSV, with a digest file that ``sha256sum --check`` reads.

The chain is checked on the way: what does not verify is not exported. Lines keep the hashes, so that an
export of consecutive events can be checked against the journal and its anchors for itself.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal

from execution.clocks import timestamp
from execution.errors import JournalError
from execution.journal.anchor import AnchorFile
from execution.journal.event import JournalEvent
from execution.journal.reader import read
from execution.journal.verification import require_sound, verify

Format = Literal["jsonl", "csv"]
IDENTITIES = ("client_order_id", "order_id", "perm_id", "exec_id")
_COLUMNS = ("seq", "time_ns", "time_utc", "kind", *IDENTITIES, "body", "prev_hash", "hash")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: the file, its digest file, the number of events and the SHA-256 of the file."""

    path: Path
    digest_path: Path
    events: int
    sha256: str


def export(
    journal: Path,
    target: Path,
    form: Format,
    *,
    chosen: Callable[[JournalEvent], bool] = lambda _: True,
    anchors: AnchorFile | None = None,
) -> Exported:
    """Write a journal's events to a file, and its digest beside it.

    Parameters
    ----------
    journal
        The journal.
    target
        The file; it must not exist.
    form
        ``jsonl`` or ``csv``.
    chosen
        Which events are written.
    anchors
        What the chain is compared with.

    Raises
    ------
    JournalCorruptError
        If the journal does not verify; nothing is written.
    JournalError
        If the file exists or cannot be written.
    """
    report = verify(journal, anchors)
    require_sound(report, journal)
    if target.exists():
        raise JournalError(f"{target} exists; an export never replaces a file, name another")
    draft = target.with_name(target.name + ".part")
    digest, count = hashlib.sha256(), 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file, closing(read(journal)) as events:
            checked = takewhile(lambda event: event.seq <= report.events, events)  # a trader may write on
            for number, line in enumerate(_lines(filter(chosen, checked), form)):
                file.write(line)
                digest.update(line)
                count = number + (form == "jsonl")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
        digest_path = target.with_name(target.name + ".sha256")
        digest_path.write_text(f"{digest.hexdigest()}  {target.name}\n", encoding="utf-8")
    except OSError as error:
        raise JournalError(f"{target} cannot be written: {error.strerror}") from error
    return Exported(target, digest_path, count, digest.hexdigest())


def format_of(target: Path) -> Format:
    """Return the form that a file's name asks for; raise `JournalError` if it asks for neither."""
    if target.suffix == ".csv":
        return "csv"
    if target.suffix in (".jsonl", ".ndjson"):
        return "jsonl"
    raise JournalError(f"{target}: name a file that ends in .jsonl or .csv")


def _lines(events: Iterator[JournalEvent], form: Format) -> Iterator[bytes]:
    if form == "jsonl":
        for event in events:
            yield (json.dumps(_record(event), sort_keys=True, separators=(",", ":")) + "\n").encode()
        return
    yield _csv_line(_COLUMNS)
    for event in events:
        body = event.body
        identities = ["" if body.get(name) is None else str(body[name]) for name in IDENTITIES]
        text = json.dumps(body, sort_keys=True, separators=(",", ":"))
        moment = timestamp(event.time_ns).isoformat()
        first = (event.seq, event.time_ns, moment, event.kind)
        yield _csv_line((*first, *map(_harmless, identities), text, event.prev_hash, event.hash))


def _record(event: JournalEvent) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "time_ns": event.time_ns,
        "kind": event.kind,
        "body": event.body,
        "prev_hash": event.prev_hash,
        "hash": event.hash,
    }


def _csv_line(values: tuple[object, ...]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode()


def _harmless(text: str) -> str:
    """Keep a spreadsheet from running a text that came from outside as a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
