"""The audit trail as it is configured: a journal with its segments, its anchors and their key."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from execution.clocks import NANOS, SystemClock
from execution.errors import AnchorError
from execution.journal import AnchorFile, AnchorSchedule, Rotation, SqliteJournal
from infrastructure.settings import Settings

KEY_FILE = "anchor.key"
_KEY_BYTES = 32
_MEGABYTE = 1024 * 1024


def open_journal(path: Path, settings: Settings) -> SqliteJournal:
    """Open a journal for writing, with rotation and anchors as the settings say.

    A key is made where none is configured and none was made before.
    """
    audit = settings.audit
    schedule = AnchorSchedule(
        AnchorFile(anchor_path(path, settings), anchor_key(settings, make=True)),
        every_events=audit.anchor_events,
        every_ns=int(audit.anchor_seconds * NANOS),
    )
    limit = audit.segment_megabytes * _MEGABYTE or None
    return SqliteJournal(
        path, SystemClock().now_ns, rotation=Rotation(limit, daily=audit.segment_daily), anchors=schedule
    )


def anchors_of(
    path: Path, settings: Settings, file: Path | None = None, *, make_key: bool = False
) -> AnchorFile:
    """Return a journal's anchors; without a key they are compared, but not authenticated."""
    return AnchorFile(file or anchor_path(path, settings), anchor_key(settings, make=make_key))


def anchor_path(journal: Path, settings: Settings) -> Path:
    """Return the file of a journal's anchors: in `audit.anchor_dir`, or in a folder beside the journal."""
    journal = journal.resolve()
    if settings.audit.anchor_dir is None:
        return journal.parent / "anchors" / f"{journal.stem}.jsonl"
    folder = journal.parent
    return settings.audit.anchor_dir / f"{folder.parent.name}-{folder.name}.jsonl"


def anchor_key(settings: Settings, *, make: bool = False) -> bytes | None:
    """Return the configured key, or that of `var_dir`, which is made if asked for; None if there is none.

    Raises
    ------
    AnchorError
        If the key's file cannot be read or made.
    """
    if settings.audit.anchor_key is not None:
        return settings.audit.anchor_key.get_secret_value().encode()
    path = settings.var_dir / KEY_FILE
    try:
        if path.exists():
            return path.read_text(encoding="ascii").strip().encode()
        if not make:
            return None
        path.parent.mkdir(parents=True, exist_ok=True)
        text = secrets.token_hex(_KEY_BYTES)
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # two traders that start at once agree on the first one's
        except FileExistsError:
            text = path.read_text(encoding="ascii").strip()
        finally:
            draft.unlink()
    except (OSError, UnicodeDecodeError) as error:
        raise AnchorError(f"the key of the anchors {path}: {error}; set audit.anchor_key") from error
    return text.encode()
