"""The data desk: history, and subscriptions to what the market does."""

from __future__ import annotations

from collections.abc import Sequence

from backtesting.gateway.errors import RequestRefusedError
from backtesting.gateway.market.bars import EPOCH_DATES, Subscription, updates
from backtesting.gateway.session import ClientSession
from backtesting.gateway.state import GatewayState, Handlers, no_answer, send_all
from backtesting.gateway.wire import requests as ask
from execution.models import Bar


class DataDesk:
    """Historical bars and their updates."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self.handlers: Handlers = {
            ask.History: self._history,
            ask.CancelHistory: self._cancel_history,
            ask.MarketDataType: no_answer,  # data has one kind
        }

    def tell(self, bars: Sequence[Bar]) -> None:
        """Send the bars a step has completed to who subscribed to them."""
        cache: dict[object, bytes] = {}
        for session in self._state.sessions.values():
            if session.histories:
                wishes = tuple(session.histories.values())
                send_all(session, updates(self._state.market, bars, wishes, cache))

    def _history(self, session: ClientSession, wish: ask.History) -> None:
        instrument = self._state.book.find(wish.contract)
        if wish.request_id in session.histories:
            raise RequestRefusedError(
                322, "Error processing request.-'bO' : cause - Duplicate historical data request id"
            )
        session.send(self._state.market.history(wish, instrument, self._state.now_ns))
        if wish.keep_up_to_date:
            session.histories[wish.request_id] = Subscription(
                wish.request_id, instrument.symbol, wish.date_format == EPOCH_DATES
            )

    def _cancel_history(self, session: ClientSession, wish: ask.CancelHistory) -> None:
        if session.histories.pop(wish.request_id, None) is None:
            raise RequestRefusedError(366, f"No historical data query found for ticker id:{wish.request_id}")
        text = "Historical Market Data Service error message:API historical data query cancelled: "
        session.send_error(wish.request_id, 162, f"{text}{wish.request_id}")
