"""Forty-five orders a second for minutes: every one filled, and the memory that stays behind.

The orders go out at an even pace with the limit of messages a second in force, as live; each is acknowledged,
executed and charged. Memory is read every second; its slope over the second half of the run, after the first
half has filled what is filled once, is told by the second and by the order.
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
    memory: list[tuple[float, int]] = []
    calls: list[float] = []
    late = 0.0
    began = time.perf_counter()
    for number in range(orders):
        due = began + number / ORDERS_A_SECOND
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        late = max(late, time.perf_counter() - due)
        called = time.perf_counter()
        seat.executor.submit(seat.request())
        calls.append((time.perf_counter() - called) * 1e6)
        if number % ORDERS_A_SECOND == 0:
            memory.append((time.perf_counter() - began, resident_bytes()))
            report(number // ORDERS_A_SECOND)
    took = time.perf_counter() - began
    await settled(seat.is_settled)
    fills = seat.book.fills
    await seat.close()
    slope = _slope(memory[len(memory) // 2 :])
    return {
        "orders": float(orders),
        "orders_a_second": orders / took,
        "unfilled": float(orders - fills),
        "latest_s": late,
        "submit_p50_us": quantile(calls, 0.5),
        "submit_p99_us": quantile(calls, 0.99),
        "memory_mib": memory[-1][1] / _KIB**2,
        "memory_kib_a_minute": slope * 60 / _KIB,
        "memory_bytes_an_order": slope / ORDERS_A_SECOND,
    }


def resident_bytes() -> int:
    """Return the memory that this process holds."""
    return processes.Server(0, os.getpid()).resident_bytes()


def _slope(readings: list[tuple[float, int]]) -> float:
    """Return bytes a second, by least squares."""
    if len(readings) < 2:  # noqa: PLR2004  two points make a line
        return 0.0
    moments, values = np.array(readings, dtype=float).T
    return float(np.polyfit(moments, values, 1)[0])
