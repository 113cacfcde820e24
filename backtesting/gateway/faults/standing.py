"""Faults that last: lost connectivity, broken farms, read-only, pacing, refused logins, latency."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from backtesting.gateway.faults.action import Span
from backtesting.gateway.faults.outlet import DueAt, Item
from backtesting.gateway.session import CLIENT_ID_IN_USE
from backtesting.gateway.wire.requests import request_id_of
from execution.clocks import NANOS

if TYPE_CHECKING:
    from backtesting.gateway.faults.engine import FaultEngine
    from backtesting.gateway.session import ClientSession

START_API: Final = 71
ORDER_REQUESTS: Final = frozenset((3, 4, 58))
ORDER_QUERIES: Final = frozenset((5, 7, 15, 16, 99))
ORDER_EVENTS: Final = frozenset((3, 5, 11, 59))
MARKET_MESSAGES: Final = frozenset((1, 2, 12, 13, 21, 45, 46, 47, 50, 57, 81, 84, 90, 99))
HISTORY_REQUESTS: Final = frozenset((20, 87, 88, 96))

READ_ONLY: Final = (
    321,
    "Error validating request.-'bO' : cause - The API interface is currently in Read-Only mode.",
)
NO_HISTORY: Final = (162, "Historical Market Data Service error message:HMDS server disconnect occurred.")
NOT_CONNECTED: Final = (504, "Not connected")

Refusing = Literal["hang", "close", "reset", "unreachable"]


@dataclass(slots=True)
class Outage:
    """The gateway has lost its server: what becomes of orders sent and of events meanwhile."""

    orders: Literal["queue", "reject", "drop"]
    events: Literal["late", "lost"]
    queued: list[tuple[ClientSession, bytes]] = field(default_factory=list)
    held: list[tuple[ClientSession, bytes]] = field(default_factory=list)


@dataclass(slots=True)
class Pacing:
    """How many messages a second a client may send, and how often it may send more."""

    limit: int
    strikes: int
    time: Literal["wall", "simulated"]
    windows: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    """By connection: the second, messages in it, seconds with too many so far."""


@dataclass(slots=True)
class Standing:
    """What is wrong for a while, and what it does to each message."""

    engine: FaultEngine
    latency_in: float = 0.0
    latency_out: float = 0.0
    read_only: bool = False
    outage: Outage | None = None
    market_down: bool = False
    history_down: bool = False
    pacing: Pacing | None = None
    refusing: Refusing | None = None
    refusals_left: int | None = None
    """Connections still to be refused; None for all."""
    ids_kept: bool = False
    """Whether the id of a client that leaves stays in use."""
    ids_taken: dict[int, int | None] = field(default_factory=dict)
    """Ids still in use, and how often they are still to be refused; None until released."""
    id_attempts: int | None = None
    id_span: Span | None = None
    login_message: tuple[int, str, bool] | None = None
    hung: set[int] = field(default_factory=set)
    """Connections by number that are not answered."""

    # connections

    def admit(self, session: ClientSession) -> bool:
        """Return whether a new connection is taken up."""
        if self.refusing is None:
            return True
        how = self.refusing
        if self.refusals_left is not None:
            self.refusals_left -= 1
            if self.refusals_left <= 0:
                self.refusing = self.refusals_left = None
        if how == "hang":
            self.engine.peer(session).deaf = True
            self.hung.add(session.number)
        elif how in ("close", "unreachable"):  # it was accepted before the gateway stopped listening
            session.finish()
        else:
            session.reset()
        return False

    def on_lost(self, session: ClientSession) -> None:
        """Note a closed connection; its client id may stay in use."""
        self.hung.discard(session.number)
        if self.pacing is not None:
            self.pacing.windows.pop(session.number, None)
        client_id = session.client_id
        if client_id is not None and self.ids_kept:
            self.ids_taken[client_id] = self.id_attempts
            if self.id_span is not None:
                self.engine.agenda.after(self.id_span, lambda: self._release_id(client_id))

    def _release_id(self, client_id: int) -> None:
        self.ids_taken.pop(client_id, None)

    # inwards

    @property
    def hears(self) -> bool:
        """Whether there are messages of clients that do not just pass."""
        return bool(
            self.pacing is not None
            or self.ids_taken
            or self.login_message is not None
            or self.read_only
            or self.history_down
            or self.outage is not None
        )

    def lets_in(self, session: ClientSession, number: int, fields: list[str]) -> bool:
        """Return whether a message reaches the rules; answer it if not."""
        if number == START_API and not self._lets_join(session, fields):
            return False
        return self.pacing is None or self._in_pace(session, self.pacing)

    def _lets_join(self, session: ClientSession, fields: list[str]) -> bool:
        text = fields[2] if len(fields) > 2 else ""  # noqa: PLR2004  after number and version
        client_id = int(text) if text.isascii() and text.isdecimal() else -1
        if client_id in self.ids_taken:
            left = self.ids_taken[client_id]
            if left is not None:
                if left <= 1:
                    del self.ids_taken[client_id]
                else:
                    self.ids_taken[client_id] = left - 1
            self.engine.tell(session, self.engine.error(session, -1, *CLIENT_ID_IN_USE))
            session.close()
            return False
        if self.login_message is not None:
            code, told, blocks = self.login_message
            self.engine.tell(session, self.engine.error(session, -1, code, told))
            if blocks:
                session.close()
                return False
        return True

    def _in_pace(self, session: ClientSession, pacing: Pacing) -> bool:
        if pacing.time == "wall":
            second = int(asyncio.get_running_loop().time())
        else:
            second = self.engine.service.clock.now_ns() // NANOS
        since, count, strikes = pacing.windows.get(session.number, (second, 0, 0))
        if since != second:
            since, count = second, 0
        count += 1
        if count == pacing.limit + 1:
            strikes += 1
        pacing.windows[session.number] = (since, count, strikes)
        if count <= pacing.limit:
            return True
        text = f"Max rate of messages per second has been exceeded:max={pacing.limit} rec={count} ({strikes})"
        self.engine.tell(session, self.engine.error(session, -1, 100, text))
        if strikes >= pacing.strikes:
            session.close()
        return False

    def serves(self, session: ClientSession, payload: bytes, number: int, fields: list[str]) -> bool:
        """Return whether a message that the rules let through reaches the gateway; answer it if not."""
        refusal: tuple[int, str] | None = None
        if self.read_only and number in ORDER_REQUESTS | ORDER_QUERIES - {7}:
            refusal = READ_ONLY
        elif number in HISTORY_REQUESTS and (self.history_down or self.outage is not None):
            refusal = NO_HISTORY
        elif self.outage is not None and number in ORDER_REQUESTS:
            if self.outage.orders == "queue":
                self.outage.queued.append((session, payload))
                return False
            if self.outage.orders == "drop":
                return False
            refusal = NOT_CONNECTED
        if refusal is None:
            return True
        self.engine.tell(session, self.engine.error(session, request_id_of(fields), *refusal))
        return False

    # outwards

    def lets_out(self, session: ClientSession, number: int, data: bytes, *, asked: bool) -> bool:
        """Return whether a message to a client reaches the rules now; `asked` says it answers a query."""
        if number in MARKET_MESSAGES and (self.market_down or self.outage is not None):
            return False
        if self.outage is not None and number in ORDER_EVENTS and not asked:
            if self.outage.events == "late":
                self.outage.held.append((session, data))
            return False
        return True

    @property
    def keeps_some(self) -> bool:
        """Whether there are messages to clients that do not leave now."""
        return self.outage is not None or self.market_down

    def outward_delay(self) -> tuple[Item, ...]:
        """Return the instruction that delays what leaves now."""
        if not self.latency_out:
            return ()
        return (DueAt(asyncio.get_running_loop().time() + self.latency_out),)

    # ends

    def refuse(self, how: Refusing, connections: int | None = None) -> None:
        """Take up no more connections, or not so many."""
        self.refusing, self.refusals_left = how, connections
        if how == "unreachable":
            self.engine.server.stop_listening()

    def restore(self) -> None:
        """End an outage: what was held is told, what was queued is served."""
        outage, self.outage = self.outage, None
        if outage is None:
            return
        for session, data in outage.held:
            self.engine.resend(session, "out", data)
        for session, payload in outage.queued:
            self.engine.resend(session, "in", payload)

    def accept(self) -> None:
        """Take up connections again; those that hang are closed, so that their clients try anew."""
        self.refusing = self.refusals_left = None
        self.engine.server.listen_again()
        for session in self.engine.sessions():
            if session.number in self.hung:
                session.finish()
