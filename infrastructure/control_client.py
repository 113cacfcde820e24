"""Asking a running trader over its control socket; light, because a person waits for the answer."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from execution import local_socket
from execution.errors import ExecutionError
from infrastructure.errors import ConfigError, TraderUnreachableError
from infrastructure.settings import Settings


def socket_path(settings: Settings) -> Path:
    """Return where the trader of these settings listens; short, because a Unix path holds 107 bytes."""
    name = f"{settings.profile}|{settings.var_dir.resolve()}|{settings.runs_dir.resolve()}"
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    bases = [runtime] if runtime and Path(runtime).is_dir() else []
    shared = "/tmp"  # noqa: S108  # nosec B108
    for base in (*bases, tempfile.gettempdir(), shared):
        path = Path(base) / f"alphec-{os.getuid()}" / f"{settings.profile}-{digest}.sock"
        if len(os.fsencode(path)) <= local_socket.LONGEST_PATH:
            return path
    raise ConfigError(f"no folder is short enough for the control socket {path.name}: set XDG_RUNTIME_DIR")


class ControlClient:
    """Asks a running trader."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def for_settings(cls, settings: Settings) -> ControlClient:
        """Return the client of the trader that runs with these settings."""
        return cls(socket_path(settings))

    def request(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Send one command and return its answer.

        Raises
        ------
        TraderUnreachableError
            If no trader answers.
        ExecutionError
            If the trader refuses; the code is the trader's.
        """
        line = json.dumps({"command": command, **arguments}).encode() + b"\n"
        try:
            received = local_socket.exchange(self._path, line)
        except OSError as error:
            raise TraderUnreachableError(
                f"no running trader answers at {self._path} ({error}); start one with `trade live`, give the "
                "same --profile and --config here"
            ) from error
        if not received:
            raise TraderUnreachableError(f"the trader at {self._path} closed without an answer; ask again")
        answer: dict[str, Any] = json.loads(received)
        if "error" in answer:
            refusal = ExecutionError(answer["error"])
            refusal.code = answer.get("code", ExecutionError.code)
            raise refusal
        return answer
