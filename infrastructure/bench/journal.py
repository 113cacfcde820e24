"""The journal's speed, and whether it keeps what it acknowledged when its writer is killed.

`measure` writes events in groups, each made durable by one commit, and verifies the chain; beside it stand
bare commits of the same rows without chain. `kill` writes in a process that says which event it knows to be
durable, kills it at random moments, and looks for what it had said. Killing proves nothing about a loss of
power: that the machine keeps what was synchronised is taken on trust.
"""

from __future__ import annotations

import contextlib
import random
import select
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from execution.clocks import SystemClock
from execution.journal import AnchorFile, AnchorSchedule, Rotation, SqliteJournal, read, verify
from execution.journal.chain import canonical
from execution.journal.segments import SCHEMA, segments_of

KEY = b"a key for measurements only"
_ORDERS = 997
_LONGEST_WAIT = 0.05
"""Seconds within which a writer is killed, once it has come far enough."""


def body(number: int) -> dict[str, Any]:
    """Return a body as it is written for an execution; its numbers tell which one it is."""
    order = number % _ORDERS
    return {
        "message": "execution",
        "client_order_id": f"ma_crossover-SPY-20200102-{order}",
        "strategy": "ma_crossover",
        "session_order_id": order,
        "exec_id": f"0000e0d5.5e0c2d5b.{number:08d}.01",
        "order_id": order,
        "client_id": 42,
        "perm_id": 1_000_000 + order,
        "order_ref": f"ma_crossover-SPY-20200102-{order}",
        "account": "DU1234567",
        "symbol": "SPY",
        "side": "BUY",
        "quantity": "100",
        "price": "321.55",
        "time": 1_577_975_400_000_000_000 + number,
    }


def measure(folder: Path, *, events: int = 200_000, group: int = 100) -> dict[str, float]:
    """Return events a second: durable in groups, bare rows in the same groups, one by one, and verified."""
    path = folder / "journal.db"
    journal = open_for_measuring(path)
    durable = _write(journal, events, group)
    began = time.perf_counter()
    single = min(events, 500)
    for number in range(single):
        journal.append("broker_message", body(number))
        journal.commit()
    alone = single / (time.perf_counter() - began)
    journal.close()
    anchors = AnchorFile(folder / "anchors" / "journal.jsonl", KEY)
    began = time.perf_counter()
    report = verify(path, anchors)
    verified = report.events / (time.perf_counter() - began)
    if not report.ok or report.events != events + single:
        raise RuntimeError(f"the journal of the measurement does not verify: {report}")
    floor = _bare(folder / "bare.db", events, group)
    return {
        "events": float(events),
        "group": float(group),
        "durable_events_s": durable,
        "bare_rows_s": floor,
        "of_bare": durable / floor,
        "single_commits_s": alone,
        "verified_events_s": verified,
        "segments": float(len(segments_of(path))),
        "anchors": float(report.anchors),
    }


def open_for_measuring(path: Path) -> SqliteJournal:
    """Open a journal with segments of 16 MiB and an anchor every 10,000 events."""
    schedule = AnchorSchedule(AnchorFile(path.parent / "anchors" / "journal.jsonl", KEY), every_events=10_000)
    return SqliteJournal(
        path, SystemClock().now_ns, rotation=Rotation(16 * 1024 * 1024, daily=False), anchors=schedule
    )


def _write(journal: SqliteJournal, events: int, group: int) -> float:
    began = time.perf_counter()
    for number in range(1, events + 1):
        journal.append("broker_message", body(number))
        if number % group == 0:
            journal.commit()
            journal.maintain()
    journal.commit()
    return events / (time.perf_counter() - began)


def _bare(path: Path, events: int, group: int) -> float:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript(SCHEMA)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        digest, text = "0" * 64, canonical(body(1))
        began = time.perf_counter()
        for first in range(1, events + 1, group):
            last = min(first + group, events + 1)
            rows = ((number, number, "broker_message", text, digest, digest) for number in range(first, last))
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)
            db.execute("COMMIT")
        return events / (time.perf_counter() - began)


# -- killing ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Killing:
    """What was found: kills, events in the end, how many were checked, and what was lost (nothing)."""

    events: int = 0
    kills: int = 0
    verified: int = 0
    durable_beyond_acknowledged: int = 0
    lost: int = 0
    problem: str = ""
    segments: int = 0
    anchors: int = 0
    seconds: float = 0.0


def kill(folder: Path, *, events: int, kills: int, group: int = 100, seed: int = 1) -> Killing:
    """Write events while the writer is killed again and again; verify all of them after each kill."""
    path, found, chance = folder / "journal.db", Killing(), random.Random(seed)  # noqa: S311 - moments, no secrets
    began = time.perf_counter()
    acknowledged, digest = 0, ""
    while not found.problem and (acknowledged < events or found.kills < kills):
        share = acknowledged + max(group, (events - acknowledged) // max(1, kills - found.kills))
        dies = found.kills < kills
        known = (acknowledged, digest)
        acknowledged, digest, killed = _one_life(path, events, group, share if dies else None, chance, known)
        found.kills += killed
        _examine(path, acknowledged, digest, found)
        if dies and acknowledged >= events:
            events += group  # there is always something to be killed in
    found.seconds = time.perf_counter() - began
    return found


def _one_life(
    path: Path, events: int, group: int, until: int | None, chance: random.Random, known: tuple[int, str]
) -> tuple[int, str, bool]:
    """Run a writer and kill it a random time after it passed `until`.

    Returns
    -------
    tuple of int, str and bool
        Number and hash of what it acknowledged last, and whether it was killed.
    """
    command = [sys.executable, "-m", "infrastructure.bench.journal", str(path), str(events), str(group)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None  # noqa: S101 - for the type checker
        moment: float | None = None
        while True:
            if moment is not None:
                left = moment - time.monotonic()
                if left <= 0 or not select.select([writer.stdout], [], [], left)[0]:
                    writer.kill()
                    moment = None
            line = writer.stdout.readline()
            if not line.endswith("\n"):
                break
            seq, digest = line.split()
            known = (int(seq), digest)
            if until is not None and known[0] >= until and writer.poll() is None and moment is None:
                until = None
                moment = time.monotonic() + chance.uniform(0, _LONGEST_WAIT)
    return (*known, writer.returncode == -signal.SIGKILL)


def _examine(path: Path, acknowledged: int, digest: str, found: Killing) -> None:
    report = verify(path, AnchorFile(path.parent / "anchors" / "journal.jsonl", KEY))
    found.events, found.anchors, found.segments = report.events, report.anchors, len(segments_of(path))
    found.verified += report.events
    found.durable_beyond_acknowledged += max(0, report.events - acknowledged)
    if not report.ok:
        found.problem = report.problem or "does not verify"
    elif report.events < acknowledged:
        found.lost += acknowledged - report.events
        found.problem = f"event {acknowledged} was acknowledged, the record ends at {report.events}"
    elif acknowledged:
        event = next(read(path, acknowledged - 1))
        if event.hash != digest or event.body != body(acknowledged):
            found.problem = f"event {acknowledged} is not the one that was acknowledged"


def write_and_acknowledge(path: Path, events: int, group: int) -> None:
    """Write what is missing, and say after each commit up to where it is durable, and its hash."""
    journal = open_for_measuring(path)
    while journal.last_seq < events:
        for number in range(journal.last_seq + 1, min(journal.last_seq + group, events) + 1):
            journal.append("broker_message", body(number))
        journal.commit()
        sys.stdout.write(f"{journal.last_seq} {journal.head}\n")
        sys.stdout.flush()
        journal.maintain()
    journal.close()


if __name__ == "__main__":
    write_and_acknowledge(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
