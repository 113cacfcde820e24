"""How long it takes until orders may be sent again: connect, ask for everything, compare, be ready.

1. An executor submits so many orders, which the venue acknowledges; then it leaves.
2. The venue executes each order in parts while nobody is connected.
3. A new executor on the same journal restores it, which is timed apart, and gets ready: it learns all open
   orders and all executions for the first time (`missed`).
4. It leaves and gets ready again: now all of it is on record already (`known`).
"""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from typing import Final

from infrastructure.bench import processes, venue, wire
from infrastructure.bench.orders import Report, settle_memory, settled
from infrastructure.bench.seat import Seat

_CLIENT_ID: Final = 4
_SYMBOLS: Final = 50
_AT_ONCE: Final = 100


def measure(
    folder: Path, *, orders: int = 5000, fills: int = 50_000, report: Report = lambda _: None
) -> dict[str, float]:
    """Return seconds of each part, and whether books and positions came out right.

    Parameters
    ----------
    folder
        An empty folder.
    orders, fills
        Open orders, and their executions in all.
    report
        Told how many orders were submitted.

    Raises
    ------
    RuntimeError
        If a fill is missing or counted twice afterwards.
    """
    parts = max(1, fills // orders)
    options = ("--rest", "--fills-while-away", str(parts))
    with processes.running(venue.arguments(*options)) as server:
        return asyncio.run(_play(server.port, folder / "journal.db", orders, parts, report))


async def _play(port: int, path: Path, orders: int, parts: int, report: Report) -> dict[str, float]:
    size = Decimal(venue.PART * parts * 2)
    first = Seat(port, _CLIENT_ID, path, limited=False)
    await first.executor.ensure_ready()
    for number in range(orders):
        request = first.request(f"S{number % _SYMBOLS}", buy=True, quantity=size)
        first.executor.submit(request)
        if number % _AT_ONCE == 0:
            await settled(lambda: first.acknowledged() >= number - _AT_ONCE)  # noqa: B023  awaited right here
            report(number)
    await settled(lambda: first.acknowledged() == orders)
    await first.close()
    with wire.BlockingClient(port, _CLIENT_ID):
        """The venue lets the next client in once it has executed what the one before left."""

    seat = Seat(port, _CLIENT_ID, path, limited=False)
    settle_memory()
    began = time.perf_counter()
    seat.executor.restore()
    restored = time.perf_counter()
    await seat.executor.ensure_ready()
    missed = time.perf_counter()
    filled = seat.book.fills
    await seat.manager.disconnect()
    again = time.perf_counter()
    await seat.executor.ensure_ready()
    known = time.perf_counter()
    if not filled == seat.book.fills == orders * parts:
        raise RuntimeError(f"{filled} and then {seat.book.fills} fills were told, not {orders * parts}")
    figures = {
        "open_orders": float(len(seat.executor.blotter.open_entries())),
        "fills": float(filled),
        "restore_s": restored - began,
        "missed_s": missed - restored,
        "known_s": known - again,
        "journal_events": float(seat.journal.last_seq),
    }
    await seat.close()
    return figures
