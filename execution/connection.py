"""The connection to TWS or the IB Gateway, with reconnection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from execution.audit import AuditLogger
from execution.errors import NotConnectedError
from execution.events import ConnectionEventHandler
from execution.evidence import Evidence
from execution.ibkr.session import IBSession
from execution.models import Bar


class IBKRConnectionManager:
    """Manages the session with TWS or the gateway, and makes a new one when it is lost.

    Parameters
    ----------
    host, port, client_id
        Where to connect; 7497 is TWS's paper port, 7496 its live one.
    readonly
        Refuse to send orders over this connection.
    timeout
        Seconds for the handshake and for each request.
    reconnect_max_attempts, reconnect_backoff
        Tries within one outage, and seconds before the second; the wait doubles each time up to a minute.
    throttled
        Keep below 45 messages a second. Only lockstep with the simulated gateway lifts it.
    time_zone
        Zone of the times that TWS sends without one.
    handlers
        Receivers of connection events.
    audit
        Records connection events.
    sleep
        Waits between tries (injected in tests and simulation).
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 7497,
        client_id: int = 1,
        readonly: bool = False,
        *,
        timeout: float = 30.0,
        reconnect_max_attempts: int = 5,
        reconnect_backoff: float = 5.0,
        throttled: bool = True,
        time_zone: str = "America/New_York",
        handlers: Sequence[ConnectionEventHandler] = (),
        audit: AuditLogger | None = None,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self.host = host
        self.port = port
        self.client_id = client_id
        self.readonly = readonly
        self.audit = audit
        self.epoch = 0
        self.on_evidence: Callable[[Evidence], None] = lambda _: None
        self.on_data: Callable[[], None] = lambda: None
        self.on_session: Callable[[], None] = lambda: None
        self.first_id: Callable[[], int] = lambda: 0
        self.on_bar: Callable[[Bar], None] = lambda _: None
        self._timeout = timeout
        self._max_attempts = max(1, reconnect_max_attempts)
        self._backoff = reconnect_backoff
        self._throttled = throttled
        self._time_zone = time_zone
        self._handlers = list(handlers)
        self._sleep = sleep
        self._session: IBSession | None = None
        self._connecting = asyncio.Lock()
        self._log = structlog.get_logger("connection")

    def add_handler(self, handler: ConnectionEventHandler) -> None:
        """Tell another receiver of connection events."""
        self._handlers.append(handler)

    @property
    def session(self) -> IBSession:
        """The session in use; raise `NotConnectedError` if there is none."""
        if self._session is None or not self._session.is_open:
            raise NotConnectedError(
                f"not connected to {self.host}:{self.port}; call connect() or ensure_connected() first"
            )
        return self._session

    def is_connected(self) -> bool:
        """Return whether a session stands."""
        return self._session is not None and self._session.is_open

    async def connect(self) -> None:
        """Establish a session, trying again with growing pauses.

        Raises
        ------
        NotConnectedError
            If every try failed; the last reason is in the message.
        """
        async with self._connecting:
            if not self.is_connected():
                await self._try_repeatedly()

    async def ensure_connected(self) -> None:
        """Connect if there is no session."""
        await self.connect()

    async def disconnect(self) -> None:
        """Close the session; open orders stay at the broker."""
        session, self._session = self._session, None
        if session is not None:
            session.close()
            self._tell("disconnected", {"reason": "asked for"})

    async def _try_repeatedly(self) -> None:
        pause = self._backoff
        for attempt in range(1, self._max_attempts + 1):
            try:
                await self._open()
            except NotConnectedError as error:
                self._log.warning("connection failed", attempt=attempt, of=self._max_attempts, why=str(error))
                self._record("connect_failed", {"attempt": attempt, "reason": str(error)})
                if attempt == self._max_attempts:
                    raise
                await self._sleep(pause)
                pause = min(60.0, pause * 2)
            else:
                return

    async def _open(self) -> None:
        if self._session is not None:
            self._session.close()
        session = IBSession(
            on_evidence=self._pass_evidence,
            on_data=self._pass_data,
            on_bar=self._pass_bar,
            on_disconnected=self._lost,
            throttled=self._throttled,
            time_zone=self._time_zone,
        )
        session.timeout = self._timeout
        await session.open(self.host, self.port, self.client_id, first_id=self.first_id())
        self._session = session
        self.epoch += 1
        self.on_session()
        self._tell("connected", {"host": self.host, "port": self.port, "client_id": self.client_id})

    # The receivers are set after the manager is built, so the session calls through these.

    def _pass_evidence(self, evidence: Evidence) -> None:
        self.on_evidence(evidence)

    def _pass_data(self) -> None:
        self.on_data()

    def _pass_bar(self, bar: Bar) -> None:
        self.on_bar(bar)

    def _lost(self) -> None:
        self._session = None
        self._tell("disconnected", {"reason": "connection lost"})

    def _tell(self, event: str, details: dict[str, Any]) -> None:
        self._log.info(event, **details)
        self._record(event, details)
        for handler in self._handlers:
            try:
                if event == "connected":
                    handler.on_connected()
                else:
                    handler.on_disconnected()
            except Exception:  # noqa: BLE001 - one receiver's bug must not keep the others from being told
                self._log.exception("handler raised", handler=type(handler).__name__, hook=f"on_{event}")

    def _record(self, event: str, details: dict[str, Any]) -> None:
        if self.audit is not None:
            self.audit.log_connection_event(event, details)
