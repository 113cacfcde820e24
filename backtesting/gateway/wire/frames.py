"""Length-prefixed frames: cutting a stream of bytes into messages, whatever the segments were."""

from __future__ import annotations

from collections.abc import Iterator

from backtesting.gateway.errors import FrameError

LIMIT = 1 << 20
"""Longest frame a client may send, in bytes."""

GREETING = b"API\0"
_PREFIX = 4


class FrameReader:
    """Collects received bytes and hands out complete frames in order.

    Parameters
    ----------
    limit
        Longest frame accepted, in bytes.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._rest = b""
        self._greeted = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take received bytes and yield the frames they complete, the handshake's offer being the first.

        Raises
        ------
        FrameError
            If the stream does not start with the greeting, or a frame is empty or too long; the frames before
            it have been yielded. Neither then nor when it is left early can the reader be used any more.
        """
        buffer = self._rest + data if self._rest else data
        start = 0
        if not self._greeted:
            if not GREETING.startswith(buffer[: len(GREETING)]):
                raise FrameError(
                    f"the stream starts with {buffer[: len(GREETING)]!r} instead of the API greeting"
                )
            if len(buffer) < len(GREETING):
                self._rest = buffer
                return
            self._greeted = True
            start = len(GREETING)
        end = len(buffer)
        while end - start >= _PREFIX:
            size = int.from_bytes(buffer[start : start + _PREFIX], "big")
            if not 0 < size <= self._limit:
                raise FrameError(f"a frame of {size} bytes (allowed: 1 to {self._limit})")
            if end - start - _PREFIX < size:
                break
            yield buffer[start + _PREFIX : start + _PREFIX + size]
            start += _PREFIX + size
        self._rest = buffer[start:]


def frame(payload: bytes) -> bytes:
    """Put the length in front of a payload."""
    return len(payload).to_bytes(4, "big") + payload
