"""kill -9 of the trader at random moments; the same command then goes on to the same ledgers.

`CRASH_KILLS` sets the number of kills, `CRASH_END` the last day of the bars, `CRASH_SEED` the moments:
`make crash` runs it over the whole demo.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

KILLS = int(os.environ.get("CRASH_KILLS", "4"))
END = os.environ.get("CRASH_END", "2001-12-31")
SEED = int(os.environ.get("CRASH_SEED", str(random.SystemRandom().randrange(10**6))))
COMMAND = [
    sys.executable,
    "-m",
    "infrastructure.cli",
    "live",
    "--profile",
    "demo",
    "--set",
    f"data.end={END}",
]
LONGEST = 300.0


def launch(runs: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "--runs-dir", str(runs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def summaries(runs: Path) -> list[dict[str, object]]:
    """Return the summary of every run; a kill after a run's end lets the next command begin another."""
    return [json.loads(path.read_text()) for path in runs.glob("*/summary.json")]


def recorded(runs: Path) -> int:
    """Number of durable journal events of the newest run."""
    for path in runs.glob("*/journal.db"):
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
                return int(db.execute("SELECT COALESCE(MAX(seq), 0) FROM events").fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # not created completely yet
    return 0


def kill_once(runs: Path, moments: random.Random, events: int, seconds: float) -> bool:
    """Start the command and kill it; return False if it ended before its moment came."""
    process = launch(runs)
    so_far = recorded(runs)
    by_progress = so_far < events and moments.random() < 0.75
    target = so_far + moments.randrange(1, 2 + 2 * events // KILLS)
    deadline = time.monotonic() + (LONGEST if by_progress else moments.uniform(0.1, seconds))
    while process.poll() is None and time.monotonic() < deadline:
        if by_progress and recorded(runs) >= min(target, events):
            time.sleep(moments.uniform(0.0, 0.05))
            break
        time.sleep(0.001)
    if process.poll() is not None:
        output, _ = process.communicate()
        assert process.returncode == 0, output
        return False
    process.kill()
    process.communicate()
    return True


@pytest.mark.slow
def test_a_killed_trader_resumes_to_the_ledgers_of_an_undisturbed_run(tmp_path: Path) -> None:
    print(f"CRASH_SEED={SEED}")
    moments = random.Random(SEED)
    started = time.monotonic()
    calm = launch(tmp_path / "calm")
    output, _ = calm.communicate(timeout=LONGEST)
    assert calm.returncode == 0, output
    seconds = time.monotonic() - started
    events = recorded(tmp_path / "calm")
    (undisturbed,) = summaries(tmp_path / "calm")
    expected = undisturbed["ledger_hashes"]

    killed = rounds = 0
    while killed < KILLS:
        runs = tmp_path / f"killed-{rounds}"
        while killed < KILLS and kill_once(runs, moments, events, seconds):
            killed += 1
            print(f"kill {killed}: {recorded(runs)} of {events} events recorded")
        if not any(runs.glob("*/summary.json")) or killed == KILLS:
            last = launch(runs)
            output, _ = last.communicate(timeout=LONGEST)
            assert last.returncode == 0, output
        outcomes = summaries(runs)
        assert outcomes
        for outcome in outcomes:
            assert outcome["ledger_hashes"] == expected
            assert outcome["verdict"]["ok"], outcome["verdict"]  # type: ignore[index]
            assert outcome["parity"]["identical"], outcome["parity"]  # type: ignore[index]
        rounds += 1
