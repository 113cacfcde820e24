"""The control interface for other processes: a Unix socket of mode 0600 that only its owner may use.

A line of JSON with `command` and its arguments in, a line out; a connection may ask many times. The peer's
user is checked where the system tells it, on both sides, so that a folder others can write to gives them
nothing. `ask` is the client.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from backtesting.gateway.control import Answer, GatewayControl
from backtesting.gateway.errors import ControlError, GatewayError
from execution import local_socket
from execution.local_socket import LONGEST_PATH

if TYPE_CHECKING:
    from types import TracebackType

_LIMIT: Final = 1 << 20

_log = logging.getLogger(__name__)


class ControlServer:
    """Offers a gateway's control on a Unix socket while its block runs.

    Parameters
    ----------
    control
        Who obeys.
    path
        The socket; its folder is made for the user alone if it is missing.
    """

    def __init__(self, control: GatewayControl, path: Path) -> None:
        self._control = control
        self._path = path
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def start(self) -> None:
        """Listen.

        Raises
        ------
        ControlError
            If the path cannot be listened on, or another gateway does.
        """
        if len(os.fsencode(self._path)) > LONGEST_PATH:
            raise ControlError(
                f"control socket {self._path}: a path of {LONGEST_PATH} bytes at most: choose another"
            )
        if local_socket.answers(self._path):
            raise ControlError(f"control socket {self._path}: another gateway has it: choose another path")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _clear(self._path)
            mask = os.umask(0o177)
            try:
                self._server = await asyncio.start_unix_server(self._serve, path=self._path, limit=_LIMIT)
            finally:
                os.umask(mask)
        except OSError as error:
            raise ControlError(f"control socket {self._path}: {error}: choose another path") from error

    async def stop(self) -> None:
        """Stop listening; a second call does nothing."""
        if self._server is not None:
            self._server.close()
            self._server = None
            await asyncio.sleep(0)  # lets connections begin that were accepted before
            for writer in self._open.values():
                writer.close()
            await asyncio.gather(*self._open, return_exceptions=True)
            await asyncio.sleep(0)  # lets them end before the loop does
            self._path.unlink(missing_ok=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  this is a coroutine
        self._open[task] = writer
        try:
            if not local_socket.same_user(writer.get_extra_info("socket")):
                _log.warning("a control request of another user was refused")
                return
            while line := await reader.readline():
                writer.write(json.dumps(self._answer(line), default=str).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError) as error:
            _log.warning("a control connection was dropped: %s", error)
        finally:
            del self._open[task]
            writer.close()

    def _answer(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
            if not isinstance(request, dict) or not isinstance(request.get("command"), str):
                raise ControlError('write a line such as {"command": "status"}')
            arguments = {str(key): value for key, value in request.items() if key != "command"}
            return self._control.obey(request["command"], **arguments)
        except GatewayError as error:
            return {"error": str(error), "code": error.code}
        except (ValueError, RecursionError) as error:
            return {"error": f"the line is no JSON: {error}", "code": ControlError.code}


def ask(path: Path, command: str, **arguments: object) -> Answer:
    """Send a running gateway one command and return its answer.

    Raises
    ------
    ControlError
        If no gateway answers there, or it refuses; `code` is then the gateway's.
    """
    line = json.dumps({"command": command, **arguments}).encode() + b"\n"
    try:
        received = local_socket.exchange(path, line)
    except OSError as error:
        raise ControlError(
            f"no gateway answers at {path} ({error}): start one with `trade gateway --control {path}`"
        ) from error
    if not received:
        raise ControlError(f"the gateway at {path} closed without an answer: ask again")
    answer: Answer = json.loads(received)
    if "error" in answer:
        refusal = ControlError(str(answer["error"]))
        refusal.code = str(answer.get("code", ControlError.code))
        raise refusal
    return answer


def _clear(path: Path) -> None:
    """Remove the socket of a gateway that is gone, and nothing else.

    Raises
    ------
    ControlError
        If something stands there that is no socket.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ControlError(f"control socket {path}: a file of another kind stands there: choose another path")
    path.unlink()
