"""The files of a run: its lock, its `run.json`, and writing that leaves a whole file or none."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backtesting.run_errors import RunLockedError, RunUnreadableError
from backtesting.run_identity import plain

_LOCK_ATTEMPTS = 3  # a list of runs holds each lock for an instant to see whether it is free


def acquire(path: Path) -> int:
    """Take the lock of a run's folder and return its descriptor; raise RunLockedError if another has it."""
    lock = os.open(path / "run.lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    for attempt in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if attempt + 1 == _LOCK_ATTEMPTS:
                os.close(lock)
                raise RunLockedError(
                    f"run {path.name}: another process works in {path}; wait for it or stop it"
                ) from error
            time.sleep(0.02)
        else:
            break
    return lock


def is_locked(path: Path) -> bool:
    """Return whether a process works in a run's folder now."""
    with _probe(path / "run.lock") as lock:
        if lock is None:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


@contextmanager
def _probe(path: Path) -> Iterator[int | None]:
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield lock
    finally:
        os.close(lock)


def load(path: Path) -> dict[str, Any]:
    """Return what `run.json` of a folder says; raise RunUnreadableError where it is missing or damaged."""
    try:
        content = json.loads((path / "run.json").read_bytes())
    except (OSError, ValueError) as error:
        raise RunUnreadableError(f"{path / 'run.json'}: {error}; restore it or remove the folder") from error
    if not isinstance(content, dict):
        raise RunUnreadableError(
            f"{path / 'run.json'}: is not a JSON object; restore it or remove the folder"
        )
    return content


def json_text(value: Any) -> str:
    """Return plain values as JSON with sorted keys; decimals become text."""
    return json.dumps(plain(value), sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file that appears whole or not at all; return its path."""
    partial = path.with_name(f".{path.name}.tmp")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return path
