"""A folder for the files of a measurement, that does not outlive it.

It goes with its block, also when the program is asked to end by SIGTERM. What one that was killed outright
left behind is removed by the next: whoever works in a folder holds a lock in it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

_LOCK = "in-use.lock"


@contextmanager
def folder(prefix: str, parent: Path) -> Iterator[Path]:
    """Make a folder while the block runs; first remove those of its kind that nobody works in any more."""
    for older in parent.glob(f"{prefix}*"):
        if older.is_dir() and not _in_use(older):
            shutil.rmtree(older, ignore_errors=True)
    with _ending_in_order():
        own = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        try:
            lock = os.open(own / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield own
            finally:
                os.close(lock)
        finally:
            shutil.rmtree(own, ignore_errors=True)


def _in_use(path: Path) -> bool:
    """Return whether somebody works in a folder; one without a lock was just made, or is not ours."""
    try:
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Take SIGTERM as an exit, so that what is open is closed; where signals are not ours, change nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        with suppress(ValueError, TypeError):  # one that was not set from Python cannot be put back
            signal.signal(signal.SIGTERM, before)
