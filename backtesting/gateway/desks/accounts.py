"""The account desk: accounts, their holdings, values and profit, once and as they change.

A client hears of a change in the step that made it; a message that would say what was said last is not sent.
Where simulated time flows by itself, account values, holdings' values and summaries also follow the prices,
every three minutes of simulated time as with TWS; in lockstep they are told after trades only. Profit follows
every step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from backtesting.gateway.desks.account_book import AccountBook
from backtesting.gateway.desks.account_news import AccountNews
from backtesting.gateway.desks.watch import HoldingsWatch, ProfitWatch, ValuesWatch, Watch
from backtesting.gateway.errors import RequestRefusedError
from backtesting.gateway.session import ClientSession
from backtesting.gateway.state import GatewayState, Handlers
from backtesting.gateway.wire import replies
from backtesting.gateway.wire import requests as ask
from execution.clocks import NANOS

UPDATE_NS: Final = 180 * NANOS
MAX_SUMMARIES: Final = 2

_UNSUBSCRIBED: Final = "API client has been unsubscribed from account data."
_TOO_MANY_SUMMARIES: Final = (
    "Error processing request.-'cF' : cause - Maximum number of account summary requests exceeded"
)


class AccountDesk:
    """Managed accounts, positions, account values, profit and loss."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._book = AccountBook(state.book, state.now_ns)
        self._news = AccountNews(state, self._book)
        self._watches: dict[ClientSession, Watch] = {}
        self._updated_ns = state.now_ns
        self.follows_prices = False
        """Whether values are told as prices change, and not after trades only: outside lockstep."""
        self.handlers: Handlers = {
            ask.ManagedAccounts: self._managed_accounts,
            ask.Positions: self._positions,
            ask.PositionsMulti: self._positions_multi,
            ask.CancelPositionsMulti: self._cancel_positions_multi,
            ask.AccountSummary: self._summary,
            ask.CancelAccountSummary: self._cancel_summary,
            ask.AccountUpdates: self._updates,
            ask.AccountUpdatesMulti: self._values_multi,
            ask.CancelAccountUpdatesMulti: self._cancel_values_multi,
            ask.PnL: self._profit,
            ask.CancelPnL: self._cancel_profit,
            ask.PnLSingle: self._profit_single,
            ask.CancelPnLSingle: self._cancel_profit,
            ask.FamilyCodes: self._family_codes,
            ask.SoftDollarTiers: self._soft_dollar_tiers,
            ask.UserInfo: self._user_info,
        }

    def welcome(self, session: ClientSession) -> None:
        """Tell a client that has just joined its accounts."""
        self._managed_accounts(session, None)

    def forget(self, session: ClientSession) -> None:
        """Release what a client that has left had subscribed to."""
        self._watches.pop(session, None)

    @property
    def watched(self) -> int:
        """How many clients have subscriptions here."""
        return len(self._watches)

    # changes

    def tell(self, touched: Collection[str]) -> None:
        """Tell subscribers of the symbols whose holdings have changed and of what the accounts are worth."""
        self._book.values.fresh()
        for session, watch in self._watches.items():
            if watch.positions is not None:
                self._news.tell_holdings(session, watch.positions, touched)
            for request_id, holdings in watch.positions_multi.items():
                self._news.tell_holdings(session, holdings, touched, request_id)
            self._news.tell_values(session, watch, touched)

    def before_step(self, end_ns: int) -> None:
        """Note what everything is worth at a close that the coming step goes past."""
        self._book.values.day.before_step(end_ns)

    def on_step(self) -> None:
        """Follow prices after a step: profit always, values every three minutes where time flows."""
        now_ns = self._state.now_ns
        due = self.follows_prices and now_ns - self._updated_ns >= UPDATE_NS
        if due:
            self._updated_ns = now_ns
        if self._watches:
            self._book.values.fresh()
            for session, watch in self._watches.items():
                if due:
                    self._news.tell_values(session, watch, self._news.held(watch.portfolio))
                if watch.profits:
                    self._news.tell_profits(session, watch)
        self._book.values.day.on_step(now_ns)

    # requests

    def _watch(self, session: ClientSession) -> Watch:
        self._book.values.fresh()
        return self._watches.setdefault(session, Watch())

    def _released(self, session: ClientSession) -> None:
        """Forget a client without subscriptions, so that it costs nothing."""
        if not self._watches.get(session, True):
            del self._watches[session]

    def _managed_accounts(self, session: ClientSession, _wish: ask.ManagedAccounts | None) -> None:
        session.send(replies.managed_accounts(self._book.accounts))

    def _positions(self, session: ClientSession, wish: ask.Positions) -> None:
        watch = self._watch(session)
        watch.positions = HoldingsWatch(self._book.accounts) if wish.subscribe else None
        if watch.positions is None:
            self._released(session)
            return
        for account in watch.positions.accounts:
            self._news.tell_holdings(session, watch.positions, self._rows(account))
        session.send(replies.position_end())

    def _rows(self, account: str) -> list[str]:
        return [item.symbol for item, _ in self._book.holdings(account, self._state.now_ns)]

    def _positions_multi(self, session: ClientSession, wish: ask.PositionsMulti) -> None:
        accounts = self._accounts(wish.account, wish.model)
        watch = self._watch(session)
        _require_new(wish.request_id, watch.positions_multi)
        rows = watch.positions_multi[wish.request_id] = HoldingsWatch(accounts)
        for account in accounts:
            self._news.tell_holdings(session, rows, self._rows(account), wish.request_id)
        session.send(replies.position_multi_end(wish.request_id))

    def _cancel_positions_multi(self, session: ClientSession, wish: ask.CancelPositionsMulti) -> None:
        _end(wish.request_id, self._watch(session).positions_multi)
        self._released(session)

    def _summary(self, session: ClientSession, wish: ask.AccountSummary) -> None:
        accounts = self._accounts("" if wish.group == "All" else wish.group, "")
        tags = frozenset(tag.strip() for tag in wish.tags.split(",")) - {""}
        if not tags:
            raise _invalid("Please enter at least one tag")
        watch = self._watch(session)
        if len({wish.request_id, *watch.summaries}) > MAX_SUMMARIES:
            raise RequestRefusedError(322, _TOO_MANY_SUMMARIES)
        watch.summaries[wish.request_id] = ValuesWatch(accounts, tags)
        self._news.tell_summary(session, wish.request_id, watch.summaries[wish.request_id])
        session.send(replies.account_summary_end(wish.request_id))

    def _cancel_summary(self, session: ClientSession, wish: ask.CancelAccountSummary) -> None:
        _end(wish.request_id, self._watch(session).summaries)
        self._released(session)

    def _updates(self, session: ClientSession, wish: ask.AccountUpdates) -> None:
        watch = self._watch(session)
        if not wish.subscribe:
            if watch.updates is not None:
                watch.updates = None
                session.send_error(-1, 2100, _UNSUBSCRIBED)
            self._released(session)
            return
        if not wish.account and len(self._book.accounts) > 1:
            raise _invalid("You must specify an account.")
        account = self._accounts(wish.account, "")[0]
        if watch.updates is not None and watch.updates.accounts != (account,):
            session.send_error(-1, 2100, f"New account data requested from TWS.  {_UNSUBSCRIBED}")
        watch.updates, watch.portfolio = ValuesWatch((account,)), HoldingsWatch((account,))
        symbols = [s for s, held in self._book.values.ledgers[account].holdings.items() if held.quantity]
        self._news.tell_updates(session, watch, symbols)
        session.send(replies.account_download_end(account))

    def _values_multi(self, session: ClientSession, wish: ask.AccountUpdatesMulti) -> None:
        accounts = self._accounts(wish.account, wish.model)
        watch = self._watch(session)
        _require_new(wish.request_id, watch.values_multi)
        values = watch.values_multi[wish.request_id] = ValuesWatch(accounts, ledger_only=wish.ledger_only)
        self._news.tell_multi(session, wish.request_id, values)
        session.send(replies.account_update_multi_end(wish.request_id))

    def _cancel_values_multi(self, session: ClientSession, wish: ask.CancelAccountUpdatesMulti) -> None:
        _end(wish.request_id, self._watch(session).values_multi)
        self._released(session)

    def _profit(self, session: ClientSession, wish: ask.PnL) -> None:
        self._subscribe_profit(session, wish, None)

    def _profit_single(self, session: ClientSession, wish: ask.PnLSingle) -> None:
        instrument = self._state.book.contracts.by_id(wish.con_id)
        if instrument is None:
            raise _invalid("Invalid contract id")
        self._subscribe_profit(session, wish, instrument.symbol)

    def _subscribe_profit(
        self, session: ClientSession, wish: ask.PnL | ask.PnLSingle, symbol: str | None
    ) -> None:
        if wish.account not in self._book.accounts:
            raise _invalid("Invalid account code")
        self._accounts(wish.account, wish.model)
        watch = self._watch(session)
        _require_new(wish.request_id, watch.profits)
        watch.profits[wish.request_id] = ProfitWatch(wish.account, symbol)
        self._news.tell_profits(session, watch)

    def _cancel_profit(self, session: ClientSession, wish: ask.CancelPnL | ask.CancelPnLSingle) -> None:
        _end(wish.request_id, self._watch(session).profits)
        self._released(session)

    def _family_codes(self, session: ClientSession, _wish: ask.FamilyCodes) -> None:
        session.send(replies.family_codes())

    def _soft_dollar_tiers(self, session: ClientSession, wish: ask.SoftDollarTiers) -> None:
        session.send(replies.soft_dollar_tiers(wish.request_id))

    def _user_info(self, session: ClientSession, wish: ask.UserInfo) -> None:
        session.send(replies.user_info(wish.request_id))

    def _accounts(self, account: str, model: str) -> tuple[str, ...]:
        """Return the accounts a request means."""
        if model:
            raise _invalid("Invalid model code")
        if account in ("", "All"):
            return self._book.accounts
        if account not in self._book.accounts:
            raise _invalid("Invalid account code")
        return (account,)


def _require_new(request_id: int, known: Iterable[int]) -> None:
    if request_id in known:
        raise RequestRefusedError(322, "Error processing request.-'bO' : cause - Duplicate ticker id")


def _end(
    request_id: int, known: dict[int, ValuesWatch] | dict[int, HoldingsWatch] | dict[int, ProfitWatch]
) -> None:
    if known.pop(request_id, None) is None:
        raise RequestRefusedError(300, f"Can't find EId with tickerId:{request_id}")


def _invalid(cause: str) -> RequestRefusedError:
    return RequestRefusedError(321, f"Error validating request.-'cq' : cause - {cause}")
