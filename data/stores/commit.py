"""Replace several files of a folder together: all of them, or none, whatever stops the program.

1. New contents are written beside their targets' folder, under ``.pending``, and made durable.
2. A list of the replacements, ``.pending/commit.json``, is put in place by one rename: from here on the write
   has happened.
3. Each file is renamed to its target, then the list is removed.

Whoever opens the folder and finds a list carries out step 3 for the one who died there; files without a list
are thrown away. Writers exclude each other by ``.lock``; readers hold the folder's own lock shared, which a
writer takes for step 3 alone, so no reader sees half of a write.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from data.errors import BarStoreError

_PENDING = ".pending"
_LIST = "commit.json"


class ReplacedTogether:
    """A folder whose files are replaced in groups.

    Parameters
    ----------
    root
        The folder; made by the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._pending = root / _PENDING
        self._list = self._pending / _LIST

    @contextmanager
    def writing(self) -> Iterator[Replacement]:
        """Exclude other writers; what the block stages is put in place at its end, unless it raises.

        Raises
        ------
        BarStoreError
            If the disk is full or a folder cannot be written; nothing was changed.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with _locked(self.root / ".lock", fcntl.LOCK_EX):
                self._recover()
                self._pending.mkdir(exist_ok=True)
                replacement = Replacement(self.root, self._pending)
                try:
                    yield replacement
                    self._put_in_place(replacement.targets)
                finally:
                    if not self._list.exists():
                        shutil.rmtree(self._pending, ignore_errors=True)
        except OSError as error:
            if isinstance(error, BarStoreError):
                raise
            done = "the next command finishes the write" if self._list.exists() else "nothing was written"
            raise BarStoreError(f"{self.root}: {done}; {_reason(error)}") from error

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep writers from renaming while the block looks for files and opens them.

        Raises
        ------
        BarStoreError
            If a file or folder cannot be read, or the write of somebody who died cannot be finished.
        """
        try:
            with contextlib.ExitStack() as stack:
                while self.root.is_dir():
                    held = stack.enter_context(contextlib.ExitStack())
                    held.enter_context(_locked(self.root, fcntl.LOCK_SH))
                    if not self._list.exists():
                        break
                    held.close()
                    with _locked(self.root / ".lock", fcntl.LOCK_EX):  # a writer died in step 3
                        self._recover()
                yield
        except OSError as error:
            if isinstance(error, BarStoreError):
                raise
            what = "an interrupted write must be finished first, and " if self._list.exists() else ""
            raise BarStoreError(f"{self.root}: {what}{_reason(error)}") from error

    def _put_in_place(self, targets: Sequence[str]) -> None:
        if not targets:
            return
        folders = {(self.root / target).parent for target in targets}
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        draft = self._pending / (_LIST + ".draft")
        with draft.open("x") as file:
            json.dump(list(targets), file)
            file.flush()
            os.fsync(file.fileno())
        for folder in (*folders, *{folder.parent for folder in folders}, self.root, self._pending):
            _sync_folder(folder)
        draft.rename(self._list)
        _sync_folder(self._pending)
        self._rename()

    def _recover(self) -> None:
        if self._list.exists():
            self._rename()
        if self._pending.exists():
            shutil.rmtree(self._pending)

    def _rename(self) -> None:
        targets = [self.root / target for target in json.loads(self._list.read_text())]
        with _locked(self.root, fcntl.LOCK_EX):
            for number, target in enumerate(targets):
                replacement = self._pending / str(number)
                if replacement.exists():  # else it was renamed before the interruption
                    target.parent.mkdir(parents=True, exist_ok=True)  # removed by somebody since
                    replacement.rename(target)
            for folder in {target.parent for target in targets}:
                _sync_folder(folder)
            self._list.unlink()


class Replacement:
    """Files staged for one write; `targets` are their places under the root."""

    def __init__(self, root: Path, pending: Path) -> None:
        self._root = root
        self._pending = pending
        self.targets: list[str] = []

    def stage(self, target: Path, content: memoryview) -> None:
        """Make new content of a target durable, without touching the target."""
        with (self._pending / str(len(self.targets))).open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self.targets.append(str(target.relative_to(self._root)))


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[None]:
    """Hold the lock of a folder or file that ends with the process, whatever ends it."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        handle = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, kind)
        yield
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _reason(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full: free some space and run the same command again"
    if error.errno == errno.EFBIG:
        return (
            "a file would be larger than this process may write: raise the limit (ulimit -f) and run it again"
        )
    return f"{error.strerror or error}: check the folder and its permissions, then run the same command again"
