"""How many orders were approved within the last minute of trading time."""

from __future__ import annotations

from collections import deque

from execution.clocks import NANOS

WINDOW_NS = 60 * NANOS


class OrderRate:
    """Counts each order once, however often it is reserved anew: a change of it is no new order."""

    def __init__(self) -> None:
        self._line: deque[tuple[int, str]] = deque()
        self._counted: set[str] = set()

    def add(self, client_order_id: str, now_ns: int) -> None:
        """Take an order."""
        self._forget(now_ns)
        if client_order_id not in self._counted:
            self._counted.add(client_order_id)
            self._line.append((now_ns, client_order_id))

    def count(self, now_ns: int, client_order_id: str | None = None) -> int:
        """Return how many others there were in the minute before a moment, UTC nanoseconds."""
        self._forget(now_ns)
        return len(self._line) - (client_order_id in self._counted)

    def _forget(self, now_ns: int) -> None:
        while self._line and self._line[0][0] <= now_ns - WINDOW_NS:
            self._counted.discard(self._line.popleft()[1])
