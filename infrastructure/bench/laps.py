"""Speed at the beginning and at the end of a long run, in time and in processor time of both sides.

Others use the machine, so a rate alone says little: work that grows with the table shows as processor time an
event that is higher in the last fifth than in the first, whoever else is at work.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_PARTS = 5


@dataclass(frozen=True, slots=True)
class _Mark:
    events: int
    seconds: float
    client: float
    server: float


class Laps:
    """Notes time and processor time at each fifth of a run.

    Parameters
    ----------
    total
        Events of the run.
    postmaster
        Process of the server; the processes it started count with it.
    """

    def __init__(self, total: int, postmaster: int) -> None:
        self._postmaster = postmaster
        self._step = max(1, total // _PARTS)
        self._marks = [self._mark(0)]
        self._events = 0

    def note(self, events: int) -> None:
        """Take note that so many more events are done."""
        self._events += events
        if self._events >= len(self._marks) * self._step:
            self._marks.append(self._mark(self._events))

    def figures(self, name: str) -> dict[str, float]:
        """Return the figures of the run so far, their keys beginning with `name`."""
        if self._marks[-1].events != self._events:
            self._marks.append(self._mark(self._events))
        first, last = self._marks[0], self._marks[-1]
        told = {f"{name}, events/s": _rate(first, last)}
        ends = {"first fifth": self._marks[:2], "last fifth": self._marks[-2:]}
        for part, (start, end) in ends.items():
            events = end.events - start.events
            told |= {
                f"{name}, {part}, events/s": _rate(start, end),
                f"{name}, {part}, client CPU us/event": 1e6 * (end.client - start.client) / events,
                f"{name}, {part}, server CPU us/event": 1e6 * (end.server - start.server) / events,
            }
        return told

    def _mark(self, events: int) -> _Mark:
        server = processor_seconds(self._postmaster)
        return _Mark(events, time.perf_counter(), time.process_time(), server)


def _rate(start: _Mark, end: _Mark) -> float:
    return (end.events - start.events) / (end.seconds - start.seconds)


def processor_seconds(parent: int) -> float:
    """Return the processor time of a process and its children, those that have ended included."""
    ticks = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (
                (folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            )
        except OSError:  # it has ended
            continue
        if int(folder.name) == parent:
            ticks += sum(map(int, fields[11:15]))
        elif int(fields[1]) == parent:
            ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")
