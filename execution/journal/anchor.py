"""Anchors: signed copies of the chain's head, kept in a second place.

A chain alone shows what was changed inside it. That its tail was cut, or that it was rewritten as a whole, is
seen only against heads that were noted elsewhere. An anchor file holds one JSON object a line, is only ever
appended to, and each line is signed (HMAC-SHA256) over its content and the signature before it, so that lines
can be neither altered nor taken out of the middle. What a crash leaves of a half-written line is passed over.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO

from execution.errors import AnchorError

CHECKPOINT = "checkpoint"
"""Kind of the event that stands for those that were pruned."""

CHECKPOINTS = "checkpoints.jsonl"
_SHORTEST_KEY = 16
_TAIL = 65_536
_NANOS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Anchor:
    """The head of a journal at one moment: number and hash of its last durable event, and why it was noted.

    `facts` holds what a checkpoint carries of the events that were removed; it is empty otherwise.
    """

    seq: int
    head: str
    time_ns: int
    reason: str
    prev: str = ""
    mac: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def signed(self, key: bytes) -> str:
        """Return the signature of the content."""
        content = {name: value for name, value in asdict(self).items() if name != "mac"}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class AnchorFile:
    """An append-only file of anchors.

    Parameters
    ----------
    path
        The file; best on another volume or machine than the journal.
    key
        The secret that signs, of 16 bytes or more; None reads without checking signatures.

    Raises
    ------
    AnchorError
        If the key is too short.
    """

    def __init__(self, path: Path, key: bytes | None) -> None:
        if key is not None and len(key) < _SHORTEST_KEY:
            raise AnchorError(f"the key of the anchors has {len(key)} bytes; use {_SHORTEST_KEY} or more")
        self.path = path
        self.key = key

    def append(
        self, seq: int, head: str, time_ns: int, reason: str, facts: Mapping[str, Any] | None = None
    ) -> Anchor:
        """Sign and write one anchor, durably.

        Raises
        ------
        AnchorError
            If there is no key or the file cannot be written.
        """
        if self.key is None:
            raise AnchorError(f"{self.path}: an anchor is signed, and there is no key; name one")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # a command may anchor while a trader does
                text = _tail(file)
                before = _parse(text)
                prev = before[-1].mac if before else ""
                unsigned = Anchor(seq, head, time_ns, reason, prev, "", facts or {})
                line = {**asdict(unsigned), "mac": unsigned.signed(self.key)}
                broken = b"" if not text or text.endswith(b"\n") else b"\n"
                file.write(broken + json.dumps(line, sort_keys=True).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise AnchorError(f"{self.path} cannot be written: {error.strerror}") from error
        return Anchor(**line)

    def last(self) -> Anchor | None:
        """Return the newest anchor, checked if there is a key; None if there is none.

        Raises
        ------
        AnchorError
            If it was altered, or the file cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                found = _parse(_tail(file))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise AnchorError(f"{self.path} cannot be read: {error.strerror}") from error
        if (
            found
            and self.key is not None
            and not hmac.compare_digest(found[-1].signed(self.key), found[-1].mac)
        ):
            raise AnchorError(f"{self.path}: its last anchor was altered, or signed with another key")
        return found[-1] if found else None

    def read(self) -> list[Anchor]:
        """Return the anchors, checked if there is a key; a missing file has none.

        Raises
        ------
        AnchorError
            If one was altered or removed, or the file cannot be read.
        """
        try:
            found = _parse(self.path.read_bytes())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise AnchorError(f"{self.path} cannot be read: {error.strerror}") from error
        before = ""
        for number, anchor in enumerate(found, start=1):
            if anchor.prev != before:
                raise AnchorError(f"{self.path}: an anchor before number {number} was removed or altered")
            if self.key is not None and not hmac.compare_digest(anchor.signed(self.key), anchor.mac):
                raise AnchorError(f"{self.path}: anchor {number} was altered, or signed with another key")
            before = anchor.mac
        return found


@dataclass(slots=True)
class AnchorSchedule:
    """When the head is anchored while a journal is written: after so many events or nanoseconds."""

    file: AnchorFile
    every_events: int = 1_000
    every_ns: int = 60 * _NANOS
    last_seq: int = 0
    last_ns: int = 0

    def due(self, seq: int, now_ns: int) -> bool:
        """Return whether the head is to be anchored now."""
        fresh = seq - self.last_seq
        return fresh >= self.every_events or (fresh > 0 and now_ns - self.last_ns >= self.every_ns)

    def note(self, seq: int, head: str, now_ns: int, reason: str) -> None:
        """Anchor a head that has not been anchored yet."""
        if seq == self.last_seq:
            return
        self.file.append(seq, head, now_ns, reason)
        self.last_seq, self.last_ns = seq, now_ns


def last_checkpoint(folder: Path) -> Anchor | None:
    """Return what stands for the events that were pruned, unchecked; None if none were."""
    return AnchorFile(folder / CHECKPOINTS, None).last()


def _tail(file: BinaryIO) -> bytes:
    """Return the end of a file that holds its last whole line, or all of it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TAIL))
    text = file.read()
    if size > _TAIL and not _parse(text):
        file.seek(0)
        text = file.read()
    return text


_FIELDS = {f.name for f in fields(Anchor)}


def _parse(text: bytes) -> list[Anchor]:
    found = []
    for line in text.split(b"\n"):
        try:
            content = json.loads(line)
        except ValueError:
            continue  # torn by a crash before it counted; were it whole once, the next would not follow
        if isinstance(content, dict) and set(content) == _FIELDS:
            found.append(Anchor(**content))
    return found
