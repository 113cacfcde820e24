"""Servers under measurement as processes of their own, and the bars they serve."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.calendars import ExchangeClock
from execution.clocks import NANOS, timestamp

_FIRST = dt.date(2018, 1, 2)
_MINUTE_NS = 60 * NANOS
_LISTENING = re.compile(r"listening on [^ ]*:([0-9]+)")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    port: int
    pid: int

    def resident_bytes(self) -> int:
        """Return the memory it holds."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """Return the processor time it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(arguments: Sequence[str]) -> Iterator[Server]:
    """Run ``python ARGUMENTS`` while the block runs; it says ``listening on HOST:PORT`` first.

    Raises
    ------
    RuntimeError
        If it ends without saying so.
    """
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None  # noqa: S101  asked for above
    try:
        for line in process.stdout:
            found = _LISTENING.search(line)
            if found:
                break
        else:
            raise RuntimeError(f"{' '.join(arguments)} left with {process.wait()}; its error stands above")
        yield Server(int(found[1]), process.pid)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


@contextmanager
def gateway(bars: Path, *options: str, profile: Path | None = None) -> Iterator[Server]:
    """Run a gateway over a folder of bars, in lockstep unless `options` say otherwise."""
    arguments = ["-m", "infrastructure.cli", "gateway", "--bars", str(bars), "--idle-exit", "0"]
    if "--speed" not in options:
        arguments += ["--speed", "lockstep"]
    if profile is not None:
        arguments = ["-m", "cProfile", "-o", str(profile), *arguments]
    with running([*arguments, *options]) as server:
        yield server


def prepared(answers: Path) -> list[str]:
    """Return the arguments of the server that answers with prepared bytes."""
    return ["-m", "infrastructure.bench.servers", str(answers)]


def cores() -> list[int]:
    """Return the processors this program may use; empty where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pin(pid: int, allowed: Sequence[int]) -> None:
    """Let a process (0: this one) run on these processors only, where the system can do that."""
    if allowed:
        os.sched_setaffinity(pid, allowed)


def write_minute_bars(folder: Path, symbols: int, days: int, seed: int = 1) -> None:
    """Write one-minute bars of so many symbols (AAA, AAB, …) over whole sessions, a random walk from 100."""
    clock = ExchangeClock("XNYS", _FIRST, _FIRST + dt.timedelta(days=2 * days + 10))
    opens = [int(ns) for ns in clock.opens_ns[:days]]
    ends = np.array([start + _MINUTE_NS * (i + 1) for start in opens for i in range(390)])
    texts = [timestamp(int(ns)).strftime("%Y-%m-%dT%H:%M:%SZ") for ns in ends]
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for number in range(symbols):
        close = np.round(100 + np.cumsum(random.integers(-2, 3, len(ends))) / 100, 2)
        opened = np.concatenate(([100.0], close[:-1]))
        high, low = np.maximum(opened, close) + 0.02, np.minimum(opened, close) - 0.02
        volume = random.integers(1_000_000, 2_000_000, len(ends))
        rows = ["end,open,high,low,close,volume"]
        rows += [
            f"{text},{o:.2f},{h:.2f},{lo:.2f},{c:.2f},{v}"
            for text, o, h, lo, c, v in zip(texts, opened, high, low, close, volume, strict=True)
        ]
        name = f"AA{chr(ord('A') + number)}.csv"
        (folder / name).write_text("\n".join(rows) + "\n", encoding="utf-8")


def session_date(number: int) -> str:
    """Return the date of a session of the bars written above, the first being 0."""
    clock = ExchangeClock("XNYS", _FIRST, _FIRST + dt.timedelta(days=2 * number + 10))
    return str(timestamp(int(clock.opens_ns[number])).date())


def symbols_of(folder: Path) -> list[str]:
    """Return the symbols of a folder written above."""
    return sorted(path.stem for path in folder.glob("*.csv"))


def machine() -> dict[str, str | int]:
    """Return what the figures were measured on."""
    import platform

    cpu = "unknown"
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = re.search(r"^model name\s*: (.+)$", info.read_text(encoding="utf-8"), re.M)
        cpu = found[1] if found else cpu
    load = os.getloadavg()[0]
    return {
        "cpu": cpu,
        "cores": os.cpu_count() or 1,
        "python": platform.python_version(),
        "system": platform.system(),
        "load": f"{load:.1f}",
    }


def to_json(value: object) -> str:
    """Return figures as JSON."""
    return json.dumps(value, indent=2)
