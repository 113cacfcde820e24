"""One-minute bars in lockstep: how many a second reach a client that asks for the next step at once.

Beside it the floor: a server that answers each request for the time with the bytes of one such step. The two
take turns in one run.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from infrastructure.bench import processes, stranger, wire
from infrastructure.bench.servers import write_answers
from infrastructure.bench.wire import BlockingClient

CLIENT_ID = 6


def measure(folder: Path, *, rounds: int = 3, with_ib_insync: bool = True) -> dict[str, float]:
    """Return bars a second: raw client, floor, ib_insync; medians over rounds that take turns."""
    bars = folder / "bars"
    symbols = processes.symbols_of(bars)
    steps = sum(1 for _ in (bars / f"{symbols[0]}.csv").open(encoding="utf-8")) - 1
    raw: list[float] = []
    floor: list[float] = []
    library: list[float] = []
    for number in range(rounds):
        with processes.gateway(bars, "--port", "0") as server:
            raw.append(_play(server.port, symbols, steps - 1, folder if not number else None))
        with processes.running(processes.prepared(folder / "step.json")) as server:
            floor.append(_play(server.port, symbols, steps - 1, None))
        if with_ib_insync:
            with processes.gateway(bars, "--port", "0") as server:
                library.append(stranger.bars_a_second(server.port, steps - 1, symbols))
    figures = {
        "steps": float(steps),
        "symbols": float(len(symbols)),
        "gateway_bars_s": statistics.median(raw),
        "floor_bars_s": statistics.median(floor),
    }
    figures["of_floor"] = figures["gateway_bars_s"] / figures["floor_bars_s"]
    if library:
        figures["ib_insync_bars_s"] = statistics.median(library)
    return figures


def _play(port: int, symbols: list[str], steps: int, record: Path | None) -> float:
    """Play all steps and return bars a second; write one step's bytes for the floor if asked."""
    with BlockingClient(port, CLIENT_ID) as client:
        for number, symbol in enumerate(symbols, start=1):
            client.send(wire.minute_bars(number, symbol))
        client.ask(wire.CURRENT_TIME, wire.TIME)
        client.ask(wire.CURRENT_TIME, wire.TIME)
        if record is not None:
            write_answers(record / "step.json", {b"49\0": bytes(client.received)})
        began = time.perf_counter()
        for _ in range(steps):
            client.ask(wire.CURRENT_TIME, wire.TIME)
        return steps * len(symbols) / (time.perf_counter() - began)
