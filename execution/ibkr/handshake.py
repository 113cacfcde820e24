"""The handshake: from a socket to a session that TWS has accepted, or the reason why there is none."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import ib_insync

from execution.errors import NotConnectedError
from execution.ibkr.keepalive import watch_socket
from execution.link.connection_errors import ClientIdInUseError
from execution.orders.codes import CLIENT_ID_IN_USE
from execution.orders.evidence import ErrorSeen


class Handshake:
    """Opens a session over the client library's connection.

    Parameters
    ----------
    client
        The client library's connection.
    """

    def __init__(self, client: ib_insync.Client) -> None:
        self._client = client
        self._refused: asyncio.Future[None] | None = None
        self._said: list[ErrorSeen] = []
        self.offered_id = 0
        """The next order id that TWS offered at the login; 0 before it."""
        # eventkit keeps handlers weakly: hold it here
        self._closed_handler = self._closed
        client.conn.disconnected += self._closed_handler

    @property
    def is_under_way(self) -> bool:
        """Whether what TWS says now is its answer to the login."""
        return self._refused is not None

    def take(self, seen: ErrorSeen) -> None:
        """Remember what TWS said instead of accepting."""
        self._said.append(seen)

    async def shake(self, host: str, port: int, client_id: int, timeout: float) -> None:  # noqa: ASYNC109 - the library's own
        """Connect and log in; see `IBSession.open`."""
        client = self._client
        where = f"no session with TWS or the gateway at {host}:{port} as client {client_id}"
        self._refused = asyncio.get_running_loop().create_future()
        connecting = asyncio.ensure_future(client.connectAsync(host, port, client_id, timeout))
        try:
            # The library sits out the timeout when TWS refuses the login and closes: do not.
            await asyncio.wait({connecting, self._refused}, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                raise self.refusal(where)
            await connecting
        except (OSError, TimeoutError) as error:
            if isinstance(error, NotConnectedError):
                raise
            detail = "no answer in time" if isinstance(error, TimeoutError) else str(error)
            raise NotConnectedError(
                f"{where}: {detail}; check "
                "that it runs, that its API port is this one, and that no other program uses this client id"
            ) from error
        finally:
            self._refused = None
            if not connecting.done():
                connecting.cancel()
                with suppress(asyncio.CancelledError):
                    await connecting
        transport = client.conn.transport
        if not client.isReady() or transport is None or transport.is_closing():
            raise self.refusal(where)
        self.offered_id = int(client._reqIdSeq)
        watch_socket(transport)

    def refusal(self, where: str) -> NotConnectedError:
        """Return the error that says why there is no session."""
        said = "; ".join(f"{seen.code}: {seen.text}" for seen in self._said)
        if any(seen.code == CLIENT_ID_IN_USE for seen in self._said):
            return ClientIdInUseError(f"{where}: {said}; it is waited for, another id would lose our orders")
        return NotConnectedError(
            f"{where}: it closed the connection ({said or 'without a word'}); check that it is logged in, "
            "that this address is trusted there, and that no other program uses this client id"
        )

    def facts(self) -> dict[str, Any]:
        """Return what the login agreed on, for the record."""
        client = self._client
        return {
            "server_version": client.serverVersion(),
            "accounts": list(client.getAccounts()),
            "next_valid_id": int(client._reqIdSeq),
        }

    def _closed(self, _reason: str) -> None:
        if self._refused is not None and not self._refused.done():
            self._refused.set_result(None)
