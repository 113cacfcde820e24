"""The account desk: accounts, their values and their holdings."""

from __future__ import annotations

from collections.abc import Collection

from backtesting.gateway.desks.account_book import AccountBook
from backtesting.gateway.errors import RequestRefusedError
from backtesting.gateway.session import ClientSession
from backtesting.gateway.state import GatewayState, Handlers, no_answer, send_all
from backtesting.gateway.wire import requests as ask
from backtesting.gateway.wire.codec import message


class AccountDesk:
    """Managed accounts, positions, account values."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._values = AccountBook(state.book)
        self.handlers: Handlers = {
            ask.ManagedAccounts: self._managed_accounts,
            ask.Positions: self._positions,
            ask.AccountSummary: self._summary,
            ask.CancelAccountSummary: self._cancel_summary,
            ask.AccountUpdates: self._updates,
            ask.AccountUpdatesMulti: self._updates_multi,
            ask.CancelAccountUpdatesMulti: no_answer,  # later values are not sent under a request id
        }

    def welcome(self, session: ClientSession) -> None:
        """Tell a client that has just joined its accounts."""
        self._managed_accounts(session, None)

    def tell(self, touched: Collection[str]) -> None:
        """Tell subscribers of the symbols that were traded and of what the account is worth now."""
        now_ns = self._state.now_ns
        for session in self._state.sessions.values():
            if session.wants_positions:
                send_all(session, self._values.positions(now_ns, touched))
            if session.wants_account:
                send_all(session, self._values.updates(now_ns, touched))
            for request_id, tags in session.summaries.items():
                send_all(session, self._values.summary(request_id, tags))

    def _managed_accounts(self, session: ClientSession, _wish: ask.ManagedAccounts | None) -> None:
        session.send(message(15, 1, self._state.book.account))

    def _positions(self, session: ClientSession, wish: ask.Positions) -> None:
        session.wants_positions = wish.subscribe
        if wish.subscribe:
            send_all(session, self._values.positions(self._state.now_ns))
            session.send(message(62, 1))

    def _summary(self, session: ClientSession, wish: ask.AccountSummary) -> None:
        session.summaries[wish.request_id] = wish.tags
        send_all(session, self._values.summary(wish.request_id, wish.tags))
        session.send(message(64, 1, wish.request_id))

    def _cancel_summary(self, session: ClientSession, wish: ask.CancelAccountSummary) -> None:
        session.summaries.pop(wish.request_id, None)

    def _updates(self, session: ClientSession, wish: ask.AccountUpdates) -> None:
        self._require_account(wish.account)
        session.wants_account = wish.subscribe
        if wish.subscribe:
            send_all(session, self._values.updates(self._state.now_ns))
            session.send(message(54, 1, self._state.book.account))

    def _updates_multi(self, session: ClientSession, wish: ask.AccountUpdatesMulti) -> None:
        self._require_account(wish.account)
        send_all(session, self._values.multi(wish.request_id))
        session.send(message(74, 1, wish.request_id))

    def _require_account(self, account: str) -> None:
        if account not in ("", "All", self._state.book.account):
            raise RequestRefusedError(321, "Error validating request.-'bC' : cause - Invalid account code")
