"""The gateway behind its connections: who is connected, which desk answers, and how a step is played.

A step tells, in this order: what happened to orders; changed positions and account values; the completed
bars; the time. Everything a client gets of one step is one write.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from backtesting.gateway.desks.accounts import AccountDesk
from backtesting.gateway.desks.book import OrderBook
from backtesting.gateway.desks.contracts import ContractDesk
from backtesting.gateway.desks.data import DataDesk
from backtesting.gateway.desks.orders import OrderDesk
from backtesting.gateway.market.bars import Market
from backtesting.gateway.market.lockstep import LockstepBarrier
from backtesting.gateway.session import CLIENT_ID_IN_USE, ClientSession
from backtesting.gateway.state import GatewayState, Handler, no_answer
from backtesting.gateway.wire import requests as ask
from backtesting.gateway.wire.codec import message, time_text
from execution.clocks import NANOS, SteppedClock

MAX_CONNECTIONS: Final = 64

_NOTICES: Final = (
    (2104, "Market data farm connection is OK:usfarm"),
    (2106, "HMDS data farm connection is OK:ushmds"),
    (2158, "Sec-def data farm connection is OK:secdefnj"),
)


class GatewayService:
    """One gateway, whatever its sockets are.

    Parameters
    ----------
    book
        Orders and executions.
    market
        Bars.
    lockstep
        Whether requests for the time end a step; else they only tell the time.
    """

    def __init__(self, book: OrderBook, market: Market, *, lockstep: bool = True) -> None:
        opened = book.sessions.session_at(market.first_start_ns)
        self.clock = SteppedClock(opened.open_ns if opened else market.first_start_ns)
        self.state = GatewayState(self.clock, book, market, book.sessions)
        self.orders = OrderDesk(self.state)
        self.accounts = AccountDesk(self.state)
        self.contracts = ContractDesk(self.state)
        self.data = DataDesk(self.state)
        self.connections: set[ClientSession] = set()
        self.on_idle: Callable[[bool], None] = _ignore
        """Called with True when the last connection has gone and with False when one comes."""
        self._lockstep = LockstepBarrier() if lockstep else None
        self._handlers: dict[type[Any], Handler] = {
            ask.CurrentTime: self._current_time,
            ask.Ignored: no_answer,
            **self.orders.handlers,
            **self.accounts.handlers,
            **self.contracts.handlers,
            **self.data.handlers,
        }

    @property
    def book(self) -> OrderBook:
        """Orders and executions."""
        return self.state.book

    @property
    def market(self) -> Market:
        """Bars."""
        return self.state.market

    @property
    def sessions(self) -> dict[int, ClientSession]:
        """Connected clients by client id."""
        return self.state.sessions

    # connections

    def greeting_time(self) -> str:
        """Return the time told in the handshake."""
        return time_text(self.clock.now_ns())

    def connected(self, session: ClientSession) -> bool:
        """Note a connection; return False if there are too many."""
        self.connections.add(session)
        self.on_idle(False)
        return len(self.connections) <= MAX_CONNECTIONS

    def joined(self, session: ClientSession, client_id: int) -> None:
        """Welcome a client, or refuse it if its id is in use by a session that has not been fully read."""
        if client_id in self.sessions:
            session.send_error(-1, *CLIENT_ID_IN_USE)
            session.close()
            return
        session.client_id = client_id
        self.sessions[client_id] = session
        self.accounts.welcome(session)
        self.orders.welcome(session)
        for code, text in _NOTICES:
            session.send_error(-1, code, text)

    def left(self, session: ClientSession) -> None:
        """Forget a connection; the others no longer wait for it."""
        self.connections.discard(session)
        client_id = session.client_id
        if client_id is not None and self.sessions.get(client_id) is session:
            del self.sessions[client_id]
            if self._lockstep is not None:
                self._lockstep.leave(client_id)
                self._play_if_ready()
        if not self.connections:
            self.on_idle(True)

    def handle(self, session: ClientSession, request: ask.Request) -> None:
        """Answer one request of a client that has named itself."""
        self._handlers[type(request)](session, request)

    # time

    def _current_time(self, session: ClientSession, _wish: ask.CurrentTime) -> None:
        if self._lockstep is None or self._lockstep.ask(session.named_id):
            session.send(message(49, 1, self.clock.now_ns() // NANOS))
        else:
            self._play_if_ready()

    def _play_if_ready(self) -> None:
        if self._lockstep is None or not self._lockstep.ready:
            return
        self.play_step(flush=False)
        answer = message(49, 1, self.clock.now_ns() // NANOS)
        for client_id, owed in self._lockstep.release().items():
            self.sessions[client_id].send(answer * owed)
        self._flush()

    def play_step(self, *, flush: bool = True) -> bool:
        """Play the next step and tell everybody; return False at the end of the data."""
        step = self.market.next_step()
        if step is None:
            return False
        end_ns, bars = step
        self.clock.advance_to(end_ns)
        touched = self.orders.advance(end_ns, bars)
        if touched:
            self.accounts.tell(touched)
        self.data.tell(bars)
        if flush:
            self._flush()
        return True

    def _flush(self) -> None:
        for session in self.sessions.values():
            session.flush()


def _ignore(_idle: bool) -> None:
    """Nobody waits for the gateway to be idle."""
