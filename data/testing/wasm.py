"""Throw-away TimescaleDB of the community edition, compiled to WebAssembly: each database a process of node.

``infrastructure/deploy/install-timescaledb-community.sh`` puts it into a folder. It runs migrations,
continuous aggregates, compression, and policies called by hand; it has one session at a time, files in
memory, no COPY, and no jobs in the background. It stands in where no whole server is at hand; its speed says
nothing.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from sqlalchemy import URL

from data.errors import ServerNotInstalledError
from data.testing.servers import DatabaseServer

PROGRAM = "serve.mjs"
"""Serves one database on a free port of this machine, which it prints, until its input ends."""

_ADDRESS = URL.create(
    "postgresql", "postgres", "any", "127.0.0.1", database="postgres",
    query={"sslmode": "disable", "gssencmode": "disable"},
)  # fmt: skip
"""It asks for a password and takes any."""


class WasmServer(DatabaseServer):
    """Databases of their own, each in a process.

    Parameters
    ----------
    folder
        Where the installer put it.

    Raises
    ------
    ServerNotInstalledError
        If it is not there, or this machine has no node.
    """

    whole = False

    def __init__(self, folder: Path) -> None:
        node = shutil.which("node") or shutil.which("nodejs")
        if node is None or not (folder / PROGRAM).is_file():
            raise ServerNotInstalledError(
                f"{folder}: no TimescaleDB to run; infrastructure/deploy/install-timescaledb-community.sh"
            )
        super().__init__(_ADDRESS, timescale=True)
        self._command = [node, str(folder / PROGRAM)]
        self._running: dict[str, tuple[subprocess.Popen[str], int]] = {}

    def create_database(self, name: str, template: str | None = None) -> str:
        """Start a process with an empty database, which a template is not copied to; return its URL."""
        del template
        self.drop_database(name)
        process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert process.stdout is not None  # noqa: S101  # it is a pipe
        said = process.stdout.readline().strip()
        if not said.rpartition(":")[2].isdigit():
            with process:
                process.kill()
            raise ServerNotInstalledError(f"{self._command[1]} did not start; install it again")
        self._running[name] = (process, int(said.rpartition(":")[2]))
        return self.url(name)

    def freeze(self, name: str) -> None:
        """Do nothing: there are no copies."""

    def drop_database(self, name: str) -> None:
        """End the process of a database, if there is one."""
        process, _ = self._running.pop(name, (None, 0))
        if process is not None:
            with process:  # its input ends
                pass

    def close(self) -> None:
        """End all."""
        for name in list(self._running):
            self.drop_database(name)

    def place(self, database: str) -> URL:
        """Return the address of a database's process."""
        return self.address.set(port=self._running[database][1])
