"""Measure ``trade --help`` against a bare typer application with as many commands."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = """import typer
app = typer.Typer()
{commands}
app()
"""
COMMANDS = 20
ROUNDS = 15


def seconds(command: list[str]) -> float:
    """Return the wall time of one run of a command."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Print both medians and their ratio; runs alternate, so that a busy machine slows both."""
    body = "\n".join(f"@app.command()\ndef command{n}() -> None:\n    'Do it.'" for n in range(COMMANDS))
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "bare.py"
        script.write_text(BARE.format(commands=body), encoding="utf-8")
        trade = [str(Path(sys.executable).parent / "trade"), "--help"]
        bare = [sys.executable, str(script), "--help"]
        pairs = [(seconds(bare), seconds(trade)) for _ in range(ROUNDS)]
    plain, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"bare typer {plain * 1000:.0f} ms, trade --help {ours * 1000:.0f} ms, ratio {ours / plain:.2f}")


if __name__ == "__main__":
    main()
