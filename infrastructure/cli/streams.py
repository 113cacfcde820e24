"""Standard streams that may fail: a reader that has left, a full disk, a stream that was never opened.

1. What a command prints is lost with its reader; the status says so (141), and nothing is shown of it.
2. A disk that is full is said in one line, even where it shows only when the interpreter ends.
3. A trader does not end because nobody looks: its display goes quiet and it trades on (`LastingStream`).
"""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

READER_LEFT = 141
"""Status of a program whose output nobody reads any more; shells give it for SIGPIPE."""


class LastingStream(io.TextIOBase):
    """Writes to a stream until that fails, then to nowhere.

    Parameters
    ----------
    stream
        Where to write; a failure closes it to what others write as well, since the rest of its buffer would
        fail again at the end of the process.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lost = False

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute there
        """The encoding of the stream."""
        return self._stream.encoding

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the descriptor of the stream."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write if that still works."""
        if not self._lost:
            try:
                return self._stream.write(text)
            except OSError:
                self._lose()
        return len(text)

    def flush(self) -> None:
        """Write out what is held back if that still works."""
        if not self._lost:
            try:
                self._stream.flush()
            except OSError:
                self._lose()

    def _lose(self) -> None:
        self._lost = True
        silence(self._stream)


def open_missing() -> None:
    """Give a process that was started without standard output or error ones that lead nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123  # for good


def silence(stream: TextIO) -> None:
    """Let a stream whose far end has gone lead nowhere, so that the rest of its buffer is no error."""
    try:
        descriptor = stream.fileno()
    except OSError:
        return  # made in memory: nothing is left to be written
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def drop_unwritable(stream: TextIO) -> None:
    """Let go of what a stream holds back and cannot write, once that has been said."""
    try:
        stream.flush()
    except OSError:
        silence(stream)


def settle(status: int) -> int:
    """Write out what is held back, and return the status to leave with."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            silence(stream)
            status = status or READER_LEFT
        except OSError as error:
            silence(stream)
            print(
                f"error: the output could not be written: {error.strerror}; free space or name another file",
                file=sys.stderr,
            )
            status = status or 2
    return status
