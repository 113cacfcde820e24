"""The client processes of the matrix, and the table of what passed.

With ``CONFORMANCE_TABLE`` set to a file the whole table is printed and written there (`make conformance`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .process import CELLS, Cell, ClientProcess, python_of
from .runner import ScriptRun
from .script import read_script
from .table import render

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.txt"))


@pytest.fixture(scope="session")
def follow(root: Path) -> Iterator[Callable[[Path, Cell], None]]:
    """Run a script against a cell, with client processes that serve every script of the session."""
    loop = asyncio.new_event_loop()
    processes: dict[str, ClientProcess] = {}

    async def run(path: Path, cell: Cell) -> None:
        process = processes.get(cell.library)
        if process is None:
            python = python_of(cell.library, root)
            assert python is not None
            process = processes[cell.library] = await ClientProcess.start(python, cell.library)
        await ScriptRun(read_script(path), cell, process).run()

    async def stop() -> None:
        for process in processes.values():
            await process.stop()

    yield lambda path, cell: loop.run_until_complete(run(path, cell))
    loop.run_until_complete(stop())
    loop.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    target = os.environ.get("CONFORMANCE_TABLE")
    if not target:
        return
    followed: set[tuple[str, Cell]] = set()
    for report in terminalreporter.getreports("passed"):
        known = dict(report.user_properties)
        if "script" in known and "library" in known:
            cell = Cell(str(known["library"]), int(str(known["version"])))
            followed.add((str(known["script"]), cell))
    page = render(
        [read_script(path) for path in SCRIPTS],
        {(path.stem, cell) for path in SCRIPTS for cell in CELLS} - followed,
    )
    Path(target).write_text(page, encoding="utf-8")
    terminalreporter.section("CONFORMANCE", bold=True)
    terminalreporter.write_line(page.split("\n## ", 1)[1].rsplit("\n## ", 1)[0])
