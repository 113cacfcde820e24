"""What interrupts an order: pauses of the garbage collector, and the longest of our own times.

Many orders, one after the other, each filled. `gc.callbacks` times every collection and notes whether it fell
inside a call of `submit`, or between that call and the booking of the order's execution.
"""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path
from typing import Any

from infrastructure.bench import processes, venue
from infrastructure.bench.orders import OurOrders, Report, quantile, settle_memory

_CLIENT_ID = 5


class Collections:
    """Times the collector's pauses while its block runs, in milliseconds."""

    def __init__(self) -> None:
        self.calls = 0
        self.longest_ms = 0.0
        """Of all, wherever they fell."""
        self.longest_inside_ms = 0.0
        """Of those inside a call."""
        self.orders: OurOrders | None = None
        self._began = 0

    def note(self, phase: str, _info: dict[str, Any]) -> None:
        """Take a call of the collector."""
        if phase == "start":
            self._began = time.perf_counter_ns()
            return
        took = (time.perf_counter_ns() - self._began) / 1e6
        self.calls += 1
        self.longest_ms = max(self.longest_ms, took)
        if self.orders is not None and self.orders.is_inside:
            self.longest_inside_ms = max(self.longest_inside_ms, took)

    def __enter__(self) -> Collections:
        gc.callbacks.append(self.note)
        return self

    def __exit__(self, *_: object) -> None:
        gc.callbacks.remove(self.note)


def measure(folder: Path, *, orders: int = 20_000, report: Report = lambda _: None) -> dict[str, float]:
    """Return the longest pauses in milliseconds, and our own time without the commit.

    Parameters
    ----------
    folder
        An empty folder for the journal.
    orders
        How many.
    report
        Told how many are done.
    """
    with processes.running(venue.arguments()) as server:
        return asyncio.run(_play(server.port, folder / "journal.db", orders, report))


async def _play(port: int, path: Path, count: int, report: Report) -> dict[str, float]:
    with venue.Stamps(port) as stamps:
        orders = OurOrders(port, stamps, _CLIENT_ID, path)
        async with orders:
            settle_memory()
            with Collections() as collections:
                collections.orders = orders
                began = time.perf_counter()
                for number in range(count):
                    await orders.once()
                    report(number + 1)
                took = time.perf_counter() - began
    own = orders.own_us
    return {
        "orders": float(count),
        "orders_a_second": count / took,
        "collections": float(collections.calls),
        "longest_pause_ms": collections.longest_ms,
        "longest_pause_inside_ms": collections.longest_inside_ms,
        "own_p50_us": quantile(own, 0.5),
        "own_p99_us": quantile(own, 0.99),
        "own_p999_us": quantile(own, 0.999),
        "own_longest_us": max(own),
    }
