"""Client programs in environments of their own: which there are, and how they are driven and heard."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

CLIENT: Final = Path(__file__).with_name("client.py")
PROCESS: Final = -1
"""In place of a client: what concerns the whole client process."""
ANSWER_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Cell:
    """A library at a server version."""

    library: str
    version: int

    @property
    def name(self) -> str:
        """What the table calls it."""
        return f"{self.library} {self.version}"


CELLS: Final = (
    Cell("ib_insync", 157),
    Cell("ib_insync", 176),
    Cell("ib_async", 157),
    Cell("ib_async", 176),
    Cell("ib_async", 178),
)
"""Every library at every server version that both it and the gateway speak; ib_insync ends at 176."""


def python_of(library: str, root: Path) -> Path | None:
    """Return the interpreter of the environment that has a library; None if it has not been made."""
    if library == "ib_insync":
        return Path(sys.executable)
    python = root / f".venv-{library}" / "bin" / "python"
    return python if python.is_file() else None


class ClientProcess:
    """A library's process, and what its clients have heard."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._reader = asyncio.create_task(self._read())
        self._fences: dict[int, asyncio.Future[None]] = {}
        self._number = 0
        self._changed = asyncio.Condition()
        self.heard: dict[int, deque[dict[str, Any]]] = {}
        self.library = ""
        self.gone = False
        """Whether the process has ended."""

    @classmethod
    async def start(cls, python: Path, library: str) -> Self:
        """Start the client program with an environment's interpreter."""
        own = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}
        process = await asyncio.create_subprocess_exec(
            *(str(python), str(CLIENT), library),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=own,
            limit=2**22,
        )
        client = cls(process)
        event = await client.wait_for(PROCESS, "library", seconds=60)
        client.library = f"{event['args']['name']} {event['args']['version']}"
        return client

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            event = json.loads(line)
            if event["name"] == "fence":
                future = self._fences.pop(event["args"]["number"], None)
                if future is not None and not future.done():
                    future.set_result(None)
                continue
            async with self._changed:
                self.heard.setdefault(event["client"], deque()).append(event)
                self._changed.notify_all()
        self.gone = True
        for future in self._fences.values():
            if not future.done():
                future.set_exception(ConnectionError("the client process has ended"))
        async with self._changed:
            self._changed.notify_all()

    def command(self, **command: object) -> None:
        """Send one command."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def wait_for(self, client: int, *names: str, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """Take the first event of these names, leaving what came before it."""
        async with asyncio.timeout(seconds), self._changed:
            while True:
                queue = self.heard.setdefault(client, deque())
                for event in queue:
                    if event["name"] in names:
                        queue.remove(event)
                        return event
                if self.gone:
                    raise ConnectionError(
                        "the client process has ended; its last words are on standard error"
                    )
                await self._changed.wait()

    async def next(self, client: int, seconds: float) -> None:
        """Wait until a client has heard something, or for so many seconds."""
        queue = self.heard.setdefault(client, deque())
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: bool(queue))
        except TimeoutError:
            return

    async def fence(self, client: int) -> None:
        """Wait until everything that is under way to a client has been heard."""
        self._number += 1
        future = self._fences[self._number] = asyncio.get_running_loop().create_future()
        self.command(do="fence", client=client, number=self._number)
        async with asyncio.timeout(ANSWER_SECONDS):
            await future

    async def reset(self) -> None:
        """Close every connection and forget everything."""
        self.command(do="reset")
        await self.wait_for(PROCESS, "reset")
        self.heard.clear()
        self._fences.clear()

    async def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._reader
