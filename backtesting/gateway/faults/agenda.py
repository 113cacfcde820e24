"""What is to happen later: after steps, at a simulated time, or after wall time."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable

from backtesting.gateway.faults.action import Span
from execution.clocks import NANOS

Later = Callable[[], None]

_log = logging.getLogger(__name__)


class Agenda:
    """Keeps appointments in steps, simulated time and wall time, each in order of time, then of making.

    Parameters
    ----------
    now_ns
        Tells the simulated time.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._by_step: list[tuple[int, int, Later]] = []
        self._by_time: list[tuple[int, int, Later]] = []
        self._wall: dict[int, asyncio.TimerHandle] = {}
        self._made = 0
        self.step = 0
        """Steps played so far."""

    def at(self, ns: int, what: Later) -> None:
        """Do something at the end of the first step that ends at `ns` or later."""
        self._made += 1
        heapq.heappush(self._by_time, (ns, self._made, what))

    def after(self, span: Span, what: Later) -> None:
        """Do something that much later; at once if that is no time at all."""
        if span.steps:
            self._made += 1
            heapq.heappush(self._by_step, (self.step + span.steps, self._made, what))
        elif span.seconds:
            self.at(self._now_ns() + round(span.seconds * NANOS), what)
        elif span.wall:
            self._made += 1
            loop = asyncio.get_running_loop()
            self._wall[self._made] = loop.call_later(span.wall, self._ring, self._made, what)
        else:
            what()

    def _ring(self, made: int, what: Later) -> None:
        del self._wall[made]
        _keep(what)

    def on_step(self) -> None:
        """Note a step and do what has become due."""
        self.step += 1
        now_ns = self._now_ns()
        while self._by_step and self._by_step[0][0] <= self.step:
            _keep(heapq.heappop(self._by_step)[2])
        while self._by_time and self._by_time[0][0] <= now_ns:
            _keep(heapq.heappop(self._by_time)[2])

    def clear(self) -> None:
        """Forget all appointments."""
        self._by_step.clear()
        self._by_time.clear()
        for handle in self._wall.values():
            handle.cancel()
        self._wall.clear()


def _keep(what: Later) -> None:
    """Keep an appointment; one that breaks must not stop time for everybody."""
    try:
        what()
    except Exception:  # noqa: BLE001  the boundary of what goes wrong on purpose: the gateway goes on
        _log.exception("what a fault had left for later broke and was left out; report it")
