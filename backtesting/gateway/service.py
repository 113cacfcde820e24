"""The gateway behind its connections: who is connected, which desk answers, and how a step is played.

A step tells, in this order: what happened to orders; changed positions and account values; bars; quotes; the
time. Everything a client gets of one step is one write.

Simulated time moves in one of three ways, which can be changed at any time: in lockstep with the clients,
flat out from one end of bars to the next, or running some seconds a second. A running market is played in
parts of bars; it stops at the close of a session and at midnight in New York on its way, so that what ends
there ends then. Time goes on after the last bar for as long as the calendar knows sessions, then it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from math import isfinite
from typing import Any, Final

from backtesting.gateway.config import GatewayConfig, parse_speed
from backtesting.gateway.desks.accounts import AccountDesk
from backtesting.gateway.desks.book import OrderBook
from backtesting.gateway.desks.contracts import ContractDesk
from backtesting.gateway.desks.data import DataDesk
from backtesting.gateway.desks.orders import OrderDesk
from backtesting.gateway.desks.quotes import QuoteDesk
from backtesting.gateway.errors import RequestRefusedError
from backtesting.gateway.line import Line
from backtesting.gateway.market.bars import Step
from backtesting.gateway.market.corporate_action_file import CorporateAction
from backtesting.gateway.market.lockstep import LockstepBarrier
from backtesting.gateway.market.market import Market
from backtesting.gateway.session import CLIENT_ID_IN_USE, ClientSession
from backtesting.gateway.state import GatewayState, Handler, no_answer
from backtesting.gateway.wire import requests as ask
from backtesting.gateway.wire.codec import message, midnight_ns, time_text
from execution.clocks import NANOS, MonotonicClock, SteppedClock, utc_ns

MAX_CONNECTIONS: Final = 64
"""Clients that have named themselves."""

MAX_UNNAMED: Final = 32
"""Connections that have not; beyond it the oldest of them is closed."""

_LONGEST_DAY_NS: Final = 26 * 3600 * NANOS
"""More than the longest day and less than two of the shortest."""

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
    config
        How the gateway is run.
    wall
        Wall time, for the pacing of historical requests; None does not limit them.
    corporate_actions
        Splits and dividends, by date; those before the start are history.
    """

    def __init__(
        self,
        book: OrderBook,
        market: Market,
        config: GatewayConfig | None = None,
        *,
        wall: MonotonicClock | None = None,
        corporate_actions: Iterable[CorporateAction] = (),
    ) -> None:
        config = config or GatewayConfig()
        if config.start is not None:
            start_ns = utc_ns(config.start)
        else:
            opened = book.sessions.session_at(market.first_start_ns)
            start_ns = opened.open_ns if opened else market.first_start_ns
        market.skip_to(start_ns)
        for symbol in market.series:
            if (price := market.last_price(symbol)) is not None:
                book.broker.set_mark(symbol, Decimal(repr(price)))
        for action in corporate_actions:
            market.adjust(action)
            if action.ex_ns > start_ns:
                book.ex_dates.append(action)
        self.clock = SteppedClock(start_ns)
        self.state = GatewayState(self.clock, book, market, book.sessions, config=config)
        self.orders = OrderDesk(self.state)
        self.accounts = AccountDesk(self.state)
        self.contracts = ContractDesk(self.state)
        limits = config.historical_pacing and wall is not None
        self.data = DataDesk(self.state, wall.monotonic if limits and wall is not None else None)
        self.quotes = QuoteDesk(self.state)
        self.connections: set[ClientSession] = set()
        self.line = Line()
        """What stands between the connections and this service."""
        self.after_step: list[Callable[[], None]] = []
        """Called when a step has been played, before anybody is told of it."""
        self.on_idle: Callable[[bool], None] = _ignore
        """Called with True when the last connection has gone and with False when one comes."""
        self.on_flow: Callable[[], None] = _nothing
        """Called when time begins to pass by itself, stops, or changes its pace."""
        self.paused = config.paused
        """Whether time stands until `resume`."""
        self.pace: float | None = None
        """Simulated seconds a second: None in lockstep, infinity flat out."""
        self._lockstep: LockstepBarrier | None = None
        self._midnight_ns = _next_midnight(start_ns)
        self._handlers: dict[type[Any], Handler] = {
            ask.CurrentTime: self._current_time,
            ask.Ignored: no_answer,
            **self.orders.handlers,
            **self.accounts.handlers,
            **self.contracts.handlers,
            **self.data.handlers,
            **self.quotes.handlers,
            ask.NothingToList: _empty_list,
        }
        self.set_speed(config.speed)

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
        unnamed = [other for other in self.connections if other.client_id is None and other.is_open]
        if len(unnamed) > MAX_UNNAMED:
            min(unnamed, key=lambda other: other.number).cut("too many connections have not named themselves")
        return len(self.sessions) < MAX_CONNECTIONS

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
            self.accounts.forget(session)
            self.end_subscriptions(session)
            if self._lockstep is not None:
                self._lockstep.leave(client_id)
                self._play_if_ready()
        if not self.connections:
            self.on_idle(True)

    def excuse(self, session: ClientSession) -> None:
        """Let time in lockstep go on without a client until it asks for the time again."""
        if self._lockstep is not None and session.client_id is not None:
            self._lockstep.leave(session.client_id)
            self._play_if_ready()

    def end_subscriptions(self, session: ClientSession) -> None:
        """Forget what a client has subscribed to in the market."""
        self.data.forget(session)
        self.quotes.forget(session)

    def handle(self, session: ClientSession, request: ask.Request) -> None:
        """Answer one request of a client that has named itself."""
        handler = self._handlers.get(type(request))
        if handler is None:
            raise RequestRefusedError(
                321, f"Error validating request.-'bC' : cause - {type(request).__name__} is not served here"
            )
        handler(session, request)

    def apply(self, action: CorporateAction) -> None:
        """Apply a split or dividend now, and tell everybody."""
        self.market.adjust(action)
        self.book.apply(action)
        self.accounts.tell(self.orders.touched())
        self._flush()

    # time

    def _current_time(self, session: ClientSession, _wish: ask.CurrentTime) -> None:
        if self._lockstep is None or self._lockstep.ask(session.named_id):
            session.send(message(49, 1, self.clock.now_ns() // NANOS))
        else:
            self._play_if_ready()

    def _play_if_ready(self) -> None:
        if self._lockstep is None or self.paused or not self._lockstep.ready:
            return
        self.play_step(flush=False)
        self._release(self._lockstep)
        self._flush()

    def _release(self, lockstep: LockstepBarrier) -> None:
        """Answer everybody who waits for the time."""
        answer = message(49, 1, self.clock.now_ns() // NANOS)
        for client_id, owed in lockstep.release().items():
            self.sessions[client_id].send(answer * owed)

    @property
    def flows(self) -> bool:
        """Whether time passes by itself."""
        return self.pace is not None and not self.paused

    def set_speed(self, text: str) -> None:
        """Let time pass in lockstep, flat out (``max``) or at so many seconds a second, from now on.

        Raises
        ------
        GatewayError
            If it is none of these; nothing changed.
        """
        pace = parse_speed(text)
        if pace is not None and self._lockstep is not None:
            self._release(self._lockstep)
            self._lockstep = None
        elif pace is None and self._lockstep is None:
            self._lockstep = LockstepBarrier()
        self.pace = pace
        self.state.running = pace is not None and isfinite(pace)
        self.accounts.follows_prices = pace is not None
        if self.state.running:
            for step in self.market.advance_to(self.clock.now_ns()):
                self._play(step)
        self._flush()
        self.on_flow()

    def pause(self) -> None:
        """Let time stand until `resume`; in lockstep too."""
        self.paused = True
        self.on_flow()

    def resume(self) -> None:
        """Let time pass again."""
        self.paused = False
        self.on_flow()
        self._play_if_ready()

    def step(self, count: int = 1) -> int:
        """Play so many steps, each up to the next end of bars, paused or not; return how many there were."""
        for played in range(count):
            if not self.play_step():
                return played
        return count

    def jump_to(self, ns: int) -> None:
        """Play everything up to a later moment at once; orders fill and expire on the way."""
        for _ in self.play_until(ns):
            pass

    def play_step(self, *, flush: bool = True) -> bool:
        """Play the next step and tell everybody; return False at the end of the data."""
        step = self.market.next_step()
        if step is None:
            return False
        self._play(step)
        if flush:
            self._flush()
        return True

    def play_until(self, target_ns: int) -> Iterator[None]:
        """Let time pass up to a moment; yield after each step. It may be left early, at any yield."""
        market = self.market
        while (now_ns := self.clock.now_ns()) < target_ns:
            session = self.state.calendar.session_closing_after(now_ns)
            if session is None and now_ns >= market.last_end_ns:
                return
            stop_ns = min(target_ns, self._midnight_ns)
            if session is not None:
                stop_ns = min(stop_ns, session.close_ns)
            steps = market.advance_to(stop_ns) if self.state.running else self._whole_steps(stop_ns)
            for step in steps:
                self._play(step)
                self._flush()
                yield

    def _whole_steps(self, until_ns: int) -> Iterator[Step]:
        while (end_ns := self.market.next_end_ns) is not None and end_ns <= until_ns:
            step = self.market.next_step()
            if step is not None:
                yield step
        if self.clock.now_ns() < until_ns:
            yield Step(until_ns, (), ())

    def _play(self, step: Step) -> None:
        end_ns = step.end_ns
        if end_ns >= self._midnight_ns:
            self._midnight_ns = _next_midnight(end_ns)
        self.clock.advance_to(end_ns)
        self.accounts.before_step(end_ns)
        touched = self.orders.advance(end_ns, step.bars)
        if touched:
            self.accounts.tell(touched)
        self.data.tell(step)
        self.quotes.tell(step)
        self.accounts.on_step()
        for hook in self.after_step:
            hook()

    def _flush(self) -> None:
        for session in self.sessions.values():
            session.flush()


def _next_midnight(ns: int) -> int:
    """Return the first New York midnight after a moment."""
    return midnight_ns(midnight_ns(ns) + _LONGEST_DAY_NS)


def _empty_list(session: ClientSession, wish: ask.NothingToList) -> None:
    session.send(wish.answer)


def _nothing() -> None:
    """Nobody waits for time to pass."""


def _ignore(_idle: bool) -> None:
    """Nobody waits for the gateway to be idle."""
