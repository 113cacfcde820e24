"""The contract desk: what can be traded, and when."""

from __future__ import annotations

import datetime as dt
from typing import Final

from backtesting.gateway.session import ClientSession
from backtesting.gateway.state import GatewayState, Handlers
from backtesting.gateway.wire import replies
from backtesting.gateway.wire import requests as ask
from backtesting.gateway.wire.codec import message, moment

_HOURS_DAYS: Final = 6


class ContractDesk:
    """Contract details and trading hours."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self.handlers: Handlers = {ask.ContractDetails: self._details}

    def _details(self, session: ClientSession, wish: ask.ContractDetails) -> None:
        instrument = self._state.book.find(wish.contract)
        hours = self._hours()
        session.send(replies.contract_details(session.version, wish.request_id, instrument, hours, hours))
        session.send(message(52, 1, wish.request_id))

    def _hours(self) -> str:
        """Return the sessions of the coming days as contract details spell them."""
        today = moment(self._state.now_ns).date()
        days = []
        for offset in range(_HOURS_DAYS):
            date = today + dt.timedelta(days=offset)
            session = self._state.calendar.session_on(date)
            if session is None:
                days.append(f"{date:%Y%m%d}:CLOSED")
            else:
                opens, closes = moment(session.open_ns), moment(session.close_ns)
                days.append(f"{opens:%Y%m%d:%H%M}-{closes:%Y%m%d:%H%M}")
        return ";".join(days)
