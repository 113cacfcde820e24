"""The demo's gateway as a process of its own, which outlives the trader.

Its address file names host, port and process id; a lock file tells whether it is alive. Simulated time stands
while nobody is connected, so a trader that was killed finds it where it left it.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

from backtesting.gateway.config import LOCKSTEP
from backtesting.gateway.server import ADDRESS_FILE
from backtesting.gateway.statement import STATEMENT
from execution.errors import NotConnectedError
from execution.numbers import format_decimal
from infrastructure.settings import Settings

LOCK_FILE = "gateway.lock"
IDLE_EXIT_SECONDS = 600.0
ACCOUNT = "DU0000001"
"""The simulated account, unless the settings name one."""

_HANDED_ON = ("data.", "symbols", "timeframe", "broker.", "execution.")
_KEPT_BACK = ("data.ib.", "data.cache_dir", "data.source", "broker.paper", "broker.live")


class GatewayProcess:
    """The gateway of one run.

    Parameters
    ----------
    folder
        Where its address, lock, log and statement lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def statement(self) -> Path:
        """The statement it writes when it leaves."""
        return self.folder / STATEMENT

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.folder / "gateway.log"

    def is_alive(self) -> bool:
        """Return whether a gateway holds the folder."""
        try:
            handle = os.open(self.folder / LOCK_FILE, os.O_RDONLY)  # of an ended run it is read-only
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def launch(self, settings: Settings) -> None:
        """Start it, unless it is alive; do not wait for it."""
        if not self.is_alive():
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / ADDRESS_FILE).unlink(missing_ok=True)
            self._child = self._spawn(settings)

    def address(self, *, timeout: float = 60.0) -> tuple[str, int]:
        """Return host and port once it listens.

        Raises
        ------
        NotConnectedError
            If it did not come up; the message ends with what it said.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            address = self._read_address()
            if address is not None and self.is_alive():
                return address
            if self._child is not None and self._child.poll() is not None:
                break
            time.sleep(0.02)
        raise NotConnectedError(f"the simulated gateway did not come up: {self._last_words()}")

    def stop(self, *, timeout: float = 30.0) -> None:
        """Ask it to write its statement and leave; wait until it has."""
        if not self.is_alive():
            return
        with suppress(ProcessLookupError):  # it left by itself just now
            os.kill(self._pid(), signal.SIGTERM)
        deadline = time.monotonic() + timeout
        while self.is_alive():
            if time.monotonic() > deadline:
                raise NotConnectedError(
                    f"the simulated gateway (process {self._pid()}) does not leave; see {self.log}"
                )
            time.sleep(0.02)
        if self._child is not None:
            self._child.wait(timeout)

    def _spawn(self, settings: Settings) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "infrastructure.cli", "gateway", "--port", "0"]
        command += ["--state-dir", str(self.folder.resolve()), "--idle-exit", str(IDLE_EXIT_SECONDS)]
        # As the backtest beside it: every order is affordable, limits are the risk engine's.
        command += ["--speed", LOCKSTEP, "--account", f"{settings.broker.account or ACCOUNT}::unchecked"]
        for key, value in settings.flat().items():
            if value in (None, []) or not key.startswith(_HANDED_ON) or key.startswith(_KEPT_BACK):
                continue
            if key == "timeframe" and not settings.is_set("timeframe"):
                continue
            text = ",".join(value) if isinstance(value, list) else _text(value)
            command += ["--set", f"{key}={text}"]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _read_address(self) -> tuple[str, int] | None:
        try:
            content = json.loads((self.folder / ADDRESS_FILE).read_text())
        except FileNotFoundError:
            return None
        return content["host"], content["port"]

    def _pid(self) -> int:
        return int(json.loads((self.folder / ADDRESS_FILE).read_text())["pid"])

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.is_file() else []
        return lines[-1] if lines else "it said nothing"


def _text(value: object) -> str:
    return format_decimal(value) if isinstance(value, Decimal) else str(value)  # no exponents


def hold(folder: Path) -> int:
    """Take the lock that shows a gateway alive in its folder; it is let go when the process ends.

    Raises
    ------
    NotConnectedError
        If another gateway holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise NotConnectedError(f"another gateway runs in {folder}; use another --state-dir") from error
    return handle
