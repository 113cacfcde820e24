"""From the call to the bytes at the venue: our way of an order beside the bare ways.

The modes take turns order by order in one run, so that a busy machine slows all alike:

- ``raw``: ``ib.placeOrder`` of ib_insync, nothing recorded;
- ``commit``: one bare row of 400 bytes made durable in a database like the journal's, nothing sent;
- ``ours``: `IBKROrderExecutor.submit` with the limits and the journal on the folder's disk;
- ``ours_memory``: the same with the journal in memory (tmpfs), so that only our own time is left.

The venue notes when an order's bytes were read, on the clock that all processes share. What it answers (an
acknowledgement, an execution, its commission, the end) is handled before the next order goes out.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sqlite3
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Final

import ib_insync

from infrastructure.bench import processes, venue
from infrastructure.bench.seat import PRICE, SIZE, SYMBOL, Seat

_WARM_UP: Final = 200
_ROW_BYTES: Final = 400
_RAW_ID, _DISK_ID, _MEMORY_ID = 1, 2, 3
_BETWEEN_LOOKS: Final = 0.0002

Once = Callable[[], Awaitable[float]]
Report = Callable[[int], None]


async def settled(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Let the loop run until the condition holds.

    Raises
    ------
    TimeoutError
        If it does not within so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the venue's answers did not come")
        await asyncio.sleep(_BETWEEN_LOOKS)


class RawOrders:
    """Orders as a user of ib_insync sends them."""

    def __init__(self, port: int, stamps: venue.Stamps) -> None:
        self._port = port
        self._stamps = stamps
        self._ib = ib_insync.IB()  # type: ignore[no-untyped-call]  # the library has no types here
        self._ib.client.MaxRequests = 0  # as for ours: the throttle is not what is measured
        self._contract = ib_insync.Stock(SYMBOL, "SMART", "USD")
        self._number = 0

    async def __aenter__(self) -> RawOrders:
        await self._ib.connectAsync("127.0.0.1", self._port, clientId=_RAW_ID, timeout=30)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ib.disconnect()  # type: ignore[no-untyped-call]

    async def once(self) -> float:
        """Send one order; return microseconds from the call to the bytes at the venue."""
        self._number += 1
        order = ib_insync.LimitOrder(
            "BUY" if self._number % 2 else "SELL",
            float(SIZE),
            float(PRICE),
            orderRef=f"raw-{self._number:07d}",
            account=venue.ACCOUNT,
        )
        began = time.monotonic_ns()
        trade = self._ib.placeOrder(self._contract, order)
        took = self._stamps.next() - began
        await settled(trade.isDone)
        return took / 1000


class BareCommits:
    """One row, one durable transaction."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("CREATE TABLE e (seq INTEGER PRIMARY KEY, body BLOB)")
        self._body = os.urandom(_ROW_BYTES)

    def close(self) -> None:
        """Let the file go."""
        self._db.close()

    async def once(self) -> float:
        """Make one row durable; return microseconds."""
        began = time.monotonic_ns()
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("INSERT INTO e (body) VALUES (?)", (self._body,))
        self._db.execute("COMMIT")
        return (time.monotonic_ns() - began) / 1000


class OurOrders:
    """Orders through the executor, with the time that its commit takes told apart."""

    def __init__(self, port: int, stamps: venue.Stamps, client_id: int, path: Path) -> None:
        self.seat = Seat(port, client_id, path)
        self.own_us: list[float] = []
        """Microseconds of each call without its commit."""
        self.is_inside = False
        """Whether a call is under way."""
        self._stamps = stamps
        self._commit_ns = 0
        self._commit = self.seat.journal.commit
        self.seat.journal.commit = self._timed_commit  # type: ignore[method-assign]  # it goes on to the real one

    async def __aenter__(self) -> OurOrders:
        await self.seat.executor.ensure_ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.seat.close()

    def _timed_commit(self) -> None:
        began = time.perf_counter_ns()
        self._commit()
        self._commit_ns += time.perf_counter_ns() - began

    async def once(self) -> float:
        """Submit one order; return microseconds from the call to the bytes at the venue."""
        request, submit = self.seat.request(), self.seat.executor.submit
        self._commit_ns, self.is_inside = 0, True
        began = time.monotonic_ns()
        submit(request)
        ended = time.monotonic_ns()
        self.is_inside = False
        own = ended - began - self._commit_ns
        took = self._stamps.next() - began
        await settled(self.seat.is_settled)
        self.own_us.append(own / 1000)
        return took / 1000


def memory_folder() -> Path | None:
    """Return a folder of this machine whose files lie in memory; None if there is none."""
    folder = Path("/dev/shm")  # noqa: S108  # nosec B108  # the files are made in a folder of our own inside
    return folder if folder.is_dir() and os.access(folder, os.W_OK) else None


def measure(
    folder: Path, memory: Path | None, *, orders: int = 3000, report: Report = lambda _: None
) -> dict[str, float]:
    """Return median microseconds of each mode, and what ours comes to against the bare ones.

    Parameters
    ----------
    folder
        An empty folder on the disk that is measured.
    memory
        An empty folder in memory; None leaves that mode out.
    orders
        How many of each mode.
    report
        Told how many of them are done.
    """
    with processes.running(venue.arguments()) as server:
        _place_apart(server.pid)
        allowed = processes.cores()
        try:
            return asyncio.run(_take_turns(server.port, folder, memory, orders, report))
        finally:
            processes.pin(0, allowed)


def _place_apart(server: int) -> None:
    cores = processes.cores()
    if len(cores) > 1:
        processes.pin(server, [cores[1]])


async def _take_turns(
    port: int, folder: Path, memory: Path | None, orders: int, report: Report
) -> dict[str, float]:
    async with AsyncExitStack() as stack:
        stamps = stack.enter_context(venue.Stamps(port))
        disk = OurOrders(port, stamps, _DISK_ID, folder / "journal.db")
        bare = stack.enter_context(closing(BareCommits(folder / "bare.db")))
        raw = await stack.enter_async_context(RawOrders(port, stamps))
        await stack.enter_async_context(disk)
        modes: dict[str, Once] = {"raw": raw.once, "commit": bare.once, "ours": disk.once}
        if memory is not None:
            ours = OurOrders(port, stamps, _MEMORY_ID, memory / "journal.db")
            modes["ours_memory"] = (await stack.enter_async_context(ours)).once
        times: dict[str, list[float]] = {name: [] for name in modes}
        names = list(modes)
        settle_memory()
        for number in range(_WARM_UP + orders):
            names.append(names.pop(0))  # each mode follows each other one equally often
            for name in names:
                took = await modes[name]()
                if number >= _WARM_UP:
                    times[name].append(took)
            report(number - _WARM_UP + 1)
        return _figures(times)


def settle_memory() -> None:
    """Put what is loaded out of the collector's sight, as the programs do once they have started."""
    gc.collect()
    gc.freeze()


def _figures(times: dict[str, list[float]]) -> dict[str, float]:
    figures: dict[str, float] = {"orders": float(len(times["raw"]))}
    for name, values in times.items():
        figures[f"{name}_us"] = statistics.median(values)
        figures[f"{name}_p99_us"] = quantile(values, 0.99)
    figures["ratio"] = figures["ours_us"] / (figures["raw_us"] + figures["commit_us"])
    if "ours_memory_us" in figures:
        figures["memory_ratio"] = figures["ours_memory_us"] / figures["raw_us"]
    return figures


def quantile(values: list[float], share: float) -> float:
    """Return the value below which that share lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
