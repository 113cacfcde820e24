"""What subscribers are told of their accounts: only what differs from what they were told last."""

from __future__ import annotations

from collections.abc import Collection

from backtesting.gateway.desks.account_book import AccountBook
from backtesting.gateway.desks.watch import HoldingsWatch, ValuesWatch, Watch
from backtesting.gateway.session import ClientSession
from backtesting.gateway.state import GatewayState, send_all
from backtesting.gateway.wire import replies
from backtesting.gateway.wire.codec import moment


class AccountNews:
    """Sends the news of a subscription; of a new one everything is news."""

    def __init__(self, state: GatewayState, book: AccountBook) -> None:
        self._state = state
        self._book = book

    def held(self, watch: HoldingsWatch) -> Collection[str]:
        """Return the symbols that the accounts of a subscription have or had."""
        return {
            symbol for account in watch.accounts for symbol in self._book.values.ledgers[account].holdings
        }

    def tell_holdings(
        self,
        session: ClientSession,
        watch: HoldingsWatch,
        symbols: Collection[str],
        request_id: int | None = None,
    ) -> None:
        """Tell of the holdings in some symbols: 61, or 71 under a request id."""
        for account in watch.accounts:
            held = self._book.values.ledgers[account].holdings
            for symbol in sorted(symbols):
                if symbol not in held:
                    continue
                if request_id is None:
                    data = self._book.position(account, symbol)
                else:
                    data = self._book.position_multi(request_id, account, symbol)
                if watch.is_news(account, symbol, data):
                    session.send(data)

    def tell_values(self, session: ClientSession, watch: Watch, symbols: Collection[str]) -> None:
        """Tell of account updates, values under request ids and summaries."""
        self.tell_updates(session, watch, symbols)
        for request_id, values in watch.values_multi.items():
            self.tell_multi(session, request_id, values)
        for request_id, summary in watch.summaries.items():
            self.tell_summary(session, request_id, summary)

    def tell_updates(self, session: ClientSession, watch: Watch, symbols: Collection[str]) -> None:
        """Tell of account updates (6, 7, 8), with the holdings in some symbols."""
        if watch.updates is None:
            return
        now_ns, book = self._state.now_ns, self._book
        (account,) = watch.updates.accounts
        send_all(
            session, book.update(account, watch.updates.news(account, book.every_value(account, now_ns)))
        )
        self.tell_portfolio(session, watch.portfolio, symbols)
        session.send(replies.account_time(moment(now_ns).strftime("%H:%M")))

    def tell_portfolio(self, session: ClientSession, watch: HoldingsWatch, symbols: Collection[str]) -> None:
        """Tell of the value of the holdings in some symbols (7)."""
        for account in watch.accounts:
            held = self._book.values.ledgers[account].holdings
            for symbol in sorted(symbols):
                if symbol in held:
                    data = self._book.portfolio(account, symbol, self._state.now_ns)
                    if watch.is_news(account, symbol, data):
                        session.send(data)

    def tell_multi(self, session: ClientSession, request_id: int, watch: ValuesWatch) -> None:
        """Tell of the values of one request (73)."""
        choose = self._book.ledger_and_net if watch.ledger_only else self._book.every_value
        for account in watch.accounts:
            news = watch.news(account, choose(account, self._state.now_ns))
            send_all(session, self._book.multi(request_id, account, news))

    def tell_summary(self, session: ClientSession, request_id: int, watch: ValuesWatch) -> None:
        """Tell of the values of one summary (63)."""
        for account in watch.accounts:
            values = self._book.summary_values(account, watch.tags, self._state.now_ns)
            send_all(session, self._book.summary(request_id, account, watch.news(account, values)))

    def tell_profits(self, session: ClientSession, watch: Watch) -> None:
        """Tell of profit (94, 95)."""
        now_ns = self._state.now_ns
        for request_id, wish in watch.profits.items():
            if wish.symbol is None:
                data = self._book.profit(request_id, wish.account, now_ns)
            else:
                data = self._book.profit_single(request_id, wish.account, wish.symbol, now_ns)
            if data != wish.told:
                wish.told = data
                session.send(data)
