"""The gateway behind its connections: answers requests, plays steps and tells clients what happened.

What a step sends, in this order: for each execution 11, then 5 and 3 with the new status, 5 and 3 again with
the commission, and 59; for each order that ended 3 and a 202; changed positions and account values; the
completed bars (90); the time (49). Everything a client gets of one step is one write.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any, Final

from backtesting.gateway import replies
from backtesting.gateway import requests as ask
from backtesting.gateway.accounts import AccountBook
from backtesting.gateway.broker import BrokerDesk, Execution, Ticket
from backtesting.gateway.clock import LockstepBarrier
from backtesting.gateway.codec import message, moment, parse_time, time_text
from backtesting.gateway.errors import RequestRefusedError
from backtesting.gateway.market import EPOCH_DATES, Market, Subscription, updates
from backtesting.gateway.session import CLIENT_ID_IN_USE, ClientSession
from execution.clocks import NANOS, SteppedClock

MAX_CONNECTIONS: Final = 64

_NOTICES: Final = (
    (2104, "Market data farm connection is OK:usfarm"),
    (2106, "HMDS data farm connection is OK:ushmds"),
    (2158, "Sec-def data farm connection is OK:secdefnj"),
)
_HOURS_DAYS: Final = 6


class GatewayService:
    """State shared by all connections.

    Parameters
    ----------
    desk
        Orders and executions.
    market
        Bars.
    lockstep
        Whether requests for the time end a step; else they only tell the time.
    """

    def __init__(self, desk: BrokerDesk, market: Market, *, lockstep: bool = True) -> None:
        session = desk.sessions.session_at(market.first_start_ns)
        self.clock = SteppedClock(session.open_ns if session else market.first_start_ns)
        self.desk = desk
        self.market = market
        self.book = AccountBook(desk)
        self.sessions: dict[int, ClientSession] = {}
        """Connected clients by client id."""
        self.connections: set[ClientSession] = set()
        self.on_idle: Callable[[bool], None] = _ignore
        """Called with True when the last connection has gone and with False when one comes."""
        self._lockstep = LockstepBarrier() if lockstep else None
        self._touched: set[str] = set()
        self._handlers: dict[type[Any], Callable[[ClientSession, Any], None]] = {
            ask.PlaceOrder: self._place_order,
            ask.CancelOrder: self._cancel_order,
            ask.OpenOrders: self._open_orders,
            ask.CompletedOrders: self._completed_orders,
            ask.Executions: self._executions,
            ask.NextId: self._next_id,
            ask.ManagedAccounts: self._managed_accounts,
            ask.CurrentTime: self._current_time,
            ask.ContractDetails: self._contract_details,
            ask.History: self._history,
            ask.CancelHistory: self._cancel_history,
            ask.GlobalCancel: self._global_cancel,
            ask.Positions: self._positions,
            ask.AccountSummary: self._account_summary,
            ask.CancelAccountSummary: self._cancel_account_summary,
            ask.AccountUpdates: self._account_updates,
            ask.AccountUpdatesMulti: self._account_updates_multi,
            # Nothing follows these: later values are not sent under a request id, data has one kind.
            ask.CancelAccountUpdatesMulti: _no_answer,
            ask.MarketDataType: _no_answer,
            ask.Ignored: _no_answer,
        }

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
        self._managed_accounts(session, None)
        self._next_id(session, None)
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

    # orders

    def _place_order(self, session: ClientSession, wish: ask.PlaceOrder) -> None:
        assert session.client_id is not None  # noqa: S101  a session is handled only once it has joined
        ticket = self.desk.place(session.client_id, wish, self.clock.now_ns())
        self._send_order(session, ticket, ticket.status)

    def _send_order(self, session: ClientSession, ticket: Ticket, status: str) -> None:
        session.send(replies.open_order(session.version, self.desk.account, ticket, status))
        session.send(replies.order_status(ticket, status))

    def _cancel_order(self, session: ClientSession, wish: ask.CancelOrder) -> None:
        assert session.client_id is not None  # noqa: S101  a session is handled only once it has joined
        ticket = self.desk.cancel(session.client_id, wish.order_id, self.clock.now_ns())
        self._tell_cancelled(ticket)

    def _tell_cancelled(self, ticket: Ticket) -> None:
        """Send 3 PendingCancel (only in a session and only if a client asked), 3 Cancelled and 202."""
        owner = self.sessions.get(ticket.client_id)
        if owner is None:
            return
        if not ticket.reason and self.desk.sessions.session_at(self.clock.now_ns()):
            owner.send(replies.order_status(ticket, "PendingCancel"))
        owner.send(replies.order_status(ticket, ticket.status))
        owner.send_error(ticket.order_id, 202, f"Order Canceled - reason:{ticket.reason}")

    def _global_cancel(self, session: ClientSession, _wish: ask.GlobalCancel) -> None:
        now_ns = self.clock.now_ns()
        ended = [t for t in self.desk.completed_today(now_ns) if t.client_id == session.client_id]
        for ticket in self.desk.open_tickets():
            self.desk.cancel(ticket.client_id, ticket.order_id, now_ns)
            self._tell_cancelled(ticket)
        for ticket in ended:
            text = "Cancel attempted when order is not in a cancellable state.  Order permId ="
            session.send_error(ticket.order_id, 161, f"{text}{ticket.perm_id}")
        self._flush()

    def _open_orders(self, session: ClientSession, wish: ask.OpenOrders) -> None:
        if not wish.bind:
            owner = None if wish.everyone else session.client_id
            for ticket in self.desk.open_tickets(owner):
                self._send_order(session, ticket, self.desk.shown_status(ticket, self.clock.now_ns()))
        session.send(message(53, 1))

    def _completed_orders(self, session: ClientSession, _wish: ask.CompletedOrders) -> None:
        for ticket in self.desk.completed_today(self.clock.now_ns()):
            session.send(replies.completed_order(session.version, self.desk.account, ticket))
        session.send(message(102))

    def _executions(self, session: ClientSession, wish: ask.Executions) -> None:
        since_ns = parse_time(wish.since) if wish.since else 0
        found = self.desk.filtered_executions(wish, since_ns, self.clock.now_ns())
        for execution in found:
            session.send(replies.execution_details(self.desk.account, execution, wish.request_id))
        for execution in found:
            session.send(replies.commission_report(execution))
        session.send(message(55, 1, wish.request_id))

    # account and contracts

    def _next_id(self, session: ClientSession, _wish: ask.NextId | None) -> None:
        session.send(message(9, 1, self.desk.next_id(session.client_id or 0)))

    def _managed_accounts(self, session: ClientSession, _wish: ask.ManagedAccounts | None) -> None:
        session.send(message(15, 1, self.desk.account))

    def _positions(self, session: ClientSession, wish: ask.Positions) -> None:
        session.wants_positions = wish.subscribe
        if wish.subscribe:
            _send_all(session, self.book.positions(self.clock.now_ns()))
            session.send(message(62, 1))

    def _account_summary(self, session: ClientSession, wish: ask.AccountSummary) -> None:
        session.summaries[wish.request_id] = wish.tags
        _send_all(session, self.book.summary(wish.request_id, wish.tags))
        session.send(message(64, 1, wish.request_id))

    def _cancel_account_summary(self, session: ClientSession, wish: ask.CancelAccountSummary) -> None:
        session.summaries.pop(wish.request_id, None)

    def _account_updates(self, session: ClientSession, wish: ask.AccountUpdates) -> None:
        self._require_account(wish.account)
        session.wants_account = wish.subscribe
        if wish.subscribe:
            _send_all(session, self.book.updates(self.clock.now_ns()))
            session.send(message(54, 1, self.desk.account))

    def _account_updates_multi(self, session: ClientSession, wish: ask.AccountUpdatesMulti) -> None:
        self._require_account(wish.account)
        _send_all(session, self.book.multi(wish.request_id))
        session.send(message(74, 1, wish.request_id))

    def _require_account(self, account: str) -> None:
        if account not in ("", "All", self.desk.account):
            raise RequestRefusedError(321, "Error validating request.-'bC' : cause - Invalid account code")

    def _contract_details(self, session: ClientSession, wish: ask.ContractDetails) -> None:
        instrument = self.desk.find(wish.contract)
        hours = self._hours()
        session.send(replies.contract_details(session.version, wish.request_id, instrument, hours, hours))
        session.send(message(52, 1, wish.request_id))

    def _hours(self) -> str:
        """Return the sessions of the coming days as contract details spell them."""
        today = moment(self.clock.now_ns()).date()
        days = []
        for offset in range(_HOURS_DAYS):
            date = today + dt.timedelta(days=offset)
            session = self.desk.sessions.session_on(date)
            if session is None:
                days.append(f"{date:%Y%m%d}:CLOSED")
            else:
                opens, closes = moment(session.open_ns), moment(session.close_ns)
                days.append(f"{opens:%Y%m%d:%H%M}-{closes:%Y%m%d:%H%M}")
        return ";".join(days)

    # market data

    def _history(self, session: ClientSession, wish: ask.History) -> None:
        instrument = self.desk.find(wish.contract)
        if wish.request_id in session.histories:
            raise RequestRefusedError(
                322, "Error processing request.-'bO' : cause - Duplicate historical data request id"
            )
        session.send(self.market.history(wish, instrument, self.clock.now_ns()))
        if wish.keep_up_to_date:
            session.histories[wish.request_id] = Subscription(
                wish.request_id, instrument.symbol, wish.date_format == EPOCH_DATES
            )

    def _cancel_history(self, session: ClientSession, wish: ask.CancelHistory) -> None:
        if session.histories.pop(wish.request_id, None) is None:
            raise RequestRefusedError(366, f"No historical data query found for ticker id:{wish.request_id}")
        text = "Historical Market Data Service error message:API historical data query cancelled: "
        session.send_error(wish.request_id, 162, f"{text}{wish.request_id}")

    # time

    def _current_time(self, session: ClientSession, _wish: ask.CurrentTime) -> None:
        assert session.client_id is not None  # noqa: S101  a session is handled only once it has joined
        if self._lockstep is None or self._lockstep.ask(session.client_id):
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
        self.desk.advance(end_ns, bars, self)
        if self._touched:
            self._tell_account()
            self._touched.clear()
        cache: dict[object, bytes] = {}
        for session in self.sessions.values():
            if session.histories:
                wishes = tuple(session.histories.values())
                _send_all(session, updates(self.market, bars, wishes, cache))
        if flush:
            self._flush()
        return True

    def on_execution(self, execution: Execution) -> None:
        """Tell the order's owner of an execution."""
        ticket = execution.ticket
        self._touched.add(ticket.instrument.symbol)
        owner = self.sessions.get(ticket.client_id)
        if owner is None:
            return
        owner.send(replies.execution_details(self.desk.account, execution))
        charged, ticket.commission = ticket.commission, execution.charged_before
        self._send_order(owner, ticket, ticket.status)
        ticket.commission = charged
        self._send_order(owner, ticket, ticket.status)
        owner.send(replies.commission_report(execution))

    def on_cancelled(self, ticket: Ticket) -> None:
        """Tell the owner of an order that it has ended."""
        self._tell_cancelled(ticket)

    def _tell_account(self) -> None:
        now_ns = self.clock.now_ns()
        for session in self.sessions.values():
            if session.wants_positions:
                _send_all(session, self.book.positions(now_ns, self._touched))
            if session.wants_account:
                _send_all(session, self.book.updates(now_ns, self._touched))
            for request_id, tags in session.summaries.items():
                _send_all(session, self.book.summary(request_id, tags))

    def _flush(self) -> None:
        for session in self.sessions.values():
            session.flush()


def _send_all(session: ClientSession, messages: Iterable[bytes]) -> None:
    for data in messages:
        session.send(data)


def _no_answer(_session: ClientSession, _wish: object) -> None:
    """Take a request that TWS does not answer."""


def _ignore(_idle: bool) -> None:
    """Nobody waits for the gateway to be idle."""
