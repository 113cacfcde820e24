"""Forty-five orders a second for minutes: every one filled, and the memory that stays behind.

The orders go out at an even pace with the limit of messages a second in force, as live; each is acknowledged,
executed and charged. Memory is read every second. The newest 2,000 orders that have ended stay in memory
and the others leave it, so that memory is flat once those are full: its slope is taken past the first 4,000
orders and told by the order. A run that is no longer than that has none to tell.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Final

import numpy as np

from infrastructure.bench import processes, venue
from infrastructure.bench.orders import Report, quantile, settle_memory, settled
from infrastructure.bench.seat import Seat

ORDERS_A_SECOND: Final = 45
WARM_UP: Final = 4_000
"""Orders that fill what is filled once: the window of ended orders, twice over."""
_CLIENT_ID: Final = 6
_KIB: Final = 1024


def measure(folder: Path, *, seconds: float = 300.0, report: Report = lambda _: None) -> dict[str, float]:
    """Return orders a second, times, and memory gained.

    Parameters
    ----------
    folder
        An empty folder for the journal.
    seconds
        How long.
    report
        Told how many seconds have passed.
    """
    with processes.running(venue.arguments()) as server:
        return asyncio.run(_play(server.port, folder / "journal.db", seconds, report))


async def _play(port: int, path: Path, seconds: float, report: Report) -> dict[str, float]:
    seat = Seat(port, _CLIENT_ID, path)
    await seat.executor.ensure_ready()
    settle_memory()
    orders = int(ORDERS_A_SECOND * seconds)
    memory: list[tuple[int, int]] = []
    calls = np.full(orders, 0.0)  # whole from the start: what is measured is not to grow by its measuring
    late = 0.0
    began = time.perf_counter()
    for number in range(orders):
        due = began + number / ORDERS_A_SECOND
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        late = max(late, time.perf_counter() - due)
        called = time.perf_counter()
        seat.executor.submit(seat.request())
        calls[number] = (time.perf_counter() - called) * 1e6
        if number % ORDERS_A_SECOND == 0:
            memory.append((number, resident_bytes()))
            report(number // ORDERS_A_SECOND)
    took = time.perf_counter() - began
    await settled(seat.is_settled)
    fills = seat.book.fills
    await seat.close()
    figures = {
        "orders": float(orders),
        "orders_a_second": orders / took,
        "unfilled": float(orders - fills),
        "latest_s": late,
        "submit_p50_us": quantile(calls.tolist(), 0.5),
        "submit_p99_us": quantile(calls.tolist(), 0.99),
        "memory_mib": memory[-1][1] / _KIB**2,
    }
    return figures | growth(memory)


def resident_bytes() -> int:
    """Return the memory that this process holds."""
    return processes.Server(0, os.getpid()).resident_bytes()


def growth(readings: list[tuple[int, int]], warm_up: int = WARM_UP) -> dict[str, float]:
    """Return what memory gained past the warm-up, by least squares; nothing if the run was not longer.

    Parameters
    ----------
    readings
        Orders sent and bytes held, in order.
    warm_up
        Orders before which memory may grow.
    """
    settled_in = [reading for reading in readings if reading[0] >= warm_up]
    if len(settled_in) < 2:  # noqa: PLR2004  two points make a line
        return {}
    orders, held = np.array(settled_in, dtype=float).T
    slope = float(np.polyfit(orders, held, 1)[0])
    return {
        "memory_from_order": orders[0],
        "memory_bytes_an_order": slope,
        "memory_kib_a_minute": slope * ORDERS_A_SECOND * 60 / _KIB,
    }
