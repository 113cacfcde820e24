"""A stranger's program: ib_insync as its users call it, run as ``python -c``; no import of this package."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Final

_PROGRAM: Final = """
import asyncio, sys, time
import ib_insync as ibi

async def play(port, steps, symbols):
    ib = ibi.IB()
    ib.client.MaxRequests = 0  # its throttle has no meaning where time stands
    await ib.connectAsync("127.0.0.1", port, clientId=7, timeout=30)
    received = []
    try:
        await ib.reqCurrentTimeAsync()
        await ib.reqCurrentTimeAsync()  # ib_insync ignores updates of a history that began empty
        for symbol in symbols:
            bars = await ib.reqHistoricalDataAsync(
                ibi.Stock(symbol, "SMART", "USD"), "", "1 D", "1 min", "TRADES",
                useRTH=True, formatDate=2, keepUpToDate=True,
            )
            bars.updateEvent += lambda bars, new: received.append(new)
        began = time.perf_counter()
        for _ in range(steps):
            await ib.reqCurrentTimeAsync()
        seconds = time.perf_counter() - began
    finally:
        ib.disconnect()
    if len(received) < steps * len(symbols):
        raise SystemExit(f"{len(received)} bars arrived instead of {steps * len(symbols)}")
    return len(received) / seconds

print(asyncio.run(play(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])))
"""


def bars_a_second(port: int, steps: int, symbols: Sequence[str]) -> float:
    """Play one step, subscribe to the minute bars of all symbols, play the steps; return bars a second.

    Raises
    ------
    subprocess.CalledProcessError
        If it fails, or bars are missing; its error stands on stderr.
    """
    command = [sys.executable, "-c", _PROGRAM, str(port), str(steps), *symbols]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
