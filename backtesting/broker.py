"""The simulated broker: working orders, the one matching module and the one ledger, and nothing else.

The event engine calls it directly; the simulated gateway serves it over the wire. It has no clock: every call
is told the time. `advance` processes one step, all bars with the same end:

1. Bars are visited in symbol order, a symbol's open orders in order of acceptance. An order fills no earlier
   than the first bar that starts at or after its placement or last modification, and not in a bar that starts
   after its expiry. A bar wholly outside the sessions fills only orders that allow it (`outside_rth`).
2. `execution.book.matching` decides on whole ticks. A stop that was triggered and not filled in full goes on
   as a market order; a triggered stop-limit as a limit order. What orders of a limited life do:
   `backtesting.filling`.
3. Where a participation cap is set, the orders of a symbol share the bar's capacity; the rest keeps working.
4. Each fill is charged (`backtesting.costs`) and booked in its account's ledger (`backtesting.accounts`). It
   is stamped with the bar's start (filled at the open) or its end (filled within), floored to whole seconds
   as on the wire.
5. A fill of one order of an OCA group reduces or ends its mates at once (`backtesting.oca`). An order whose
   parent was filled in full takes part from the next bar on.
6. After all matching, orders whose life is over are cancelled (`backtesting.lives`), also those of symbols
   without a bar.

An order ends its children with it if it ends unfilled; if it was filled in part they go on, in proportion. A
client that cancels one order of an OCA group cancels its mates. An order that is not transmitted is held and
does nothing until a later order of its family is transmitted; then the whole family is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from math import inf
from typing import Final

from backtesting import corporate_actions
from backtesting.accounts import UNNAMED, Accounts
from backtesting.corporate_actions import Ratio
from backtesting.drafting import draft
from backtesting.errors import (
    BELOW_FILLED,
    CANCEL_NOT_FOUND,
    CANCEL_WRONG_STATE,
    MODIFY_FILLED,
    MODIFY_FILLED_TEXT,
    MODIFY_NOT_FOUND,
    MODIFY_OTHER_ORDER,
    MODIFY_OTHER_TEXT,
    NO_CONTRACT_TEXT,
    REJECTED,
    TOO_LATE,
    UNKNOWN_CONTRACT,
    BrokerRejection,
)
from backtesting.lives import Sessions
from backtesting.margin import AccountTerms, Balance, MarginImpact
from backtesting.matcher import Matcher
from backtesting.orders import BrokerCancel, BrokerChange, BrokerEvent, BrokerFill, WorkingOrder
from backtesting.working import DAY_EXPIRED, group
from execution.models import Bar, Instrument, OrderRequest, OrderStatus
from execution.numbers import to_lots
from strategies.spec import CostSpec

__all__ = [
    "CANCELLED_BY_CLIENT",
    "DAY_EXPIRED",
    "AccountTerms",
    "BrokerCancel",
    "BrokerChange",
    "BrokerEvent",
    "BrokerFill",
    "Sessions",
    "SimulatedBroker",
    "WorkingOrder",
]

CANCELLED_BY_CLIENT: Final = "cancelled by the client"
MATE_CANCELLED: Final = "another order of its OCA group was cancelled"


class SimulatedBroker:
    """Accepts, fills, cancels and expires orders against completed bars.

    Parameters
    ----------
    instruments
        What can be traded.
    costs
        Slippage, commission and participation.
    sessions
        The market calendar: lives of orders, regular hours, settlement.
    cash
        Opening balance of the only account, if `accounts` names none.
    accounts
        Accounts by name with their terms; by default one that goes by any name and may owe anything.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        costs: CostSpec,
        sessions: Sessions,
        cash: Decimal,
        *,
        accounts: Mapping[str, AccountTerms] | None = None,
    ) -> None:
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self.accounts = Accounts(
            self.instruments, costs, sessions, dict(accounts) if accounts else {UNNAMED: AccountTerms(cash)}
        )
        self.ledgers = self.accounts.ledgers
        self.ledger = next(iter(self.ledgers.values()))
        """The first account's."""
        self._matcher = Matcher(self.instruments, costs, sessions, self.accounts)
        self._working = self._matcher.working
        self.orders = self._working.by_number
        """Orders by number, those that have ended too until they are released."""
        self._sessions = sessions
        self._open = self._working.at_work
        self._expiries = self._working.expiries
        self._closes = self.accounts.closes

    # -- requests --------------------------------------------------------------------------------------

    def place(
        self, request: OrderRequest, now_ns: int, *, parent: int | None = None, transmit: bool = True
    ) -> WorkingOrder:
        """Accept an order at trading time `now_ns` (UTC nanoseconds).

        Parameters
        ----------
        request
            What to trade.
        now_ns
            When.
        parent
            The `perm_id` of the order that must be filled first. Children of one parent form an OCA group of
            type 3, named by that number, unless they name one themselves.
        transmit
            False holds the order until one of its family is transmitted.

        Raises
        ------
        BrokerRejection
            200: no such contract; 110: a price off the tick; 10243, 10250, 388: a size off the lot; 201: a
            closed exchange, no margin, no account named among several; 321: no such account; 10006: no such
            parent. Nothing changed.
        """
        order = self._draft(request, now_ns)
        if parent is None and transmit:
            order.classify()
            self.accounts.check((order,), self._working, now_ns)
            self._working.accept(order)
            return order
        family = [order]
        if parent is not None:
            above = self._working.parent_of(order, parent)
            family = [*self._working.untransmitted(above), order]
        group(order)
        if transmit:
            self._working.require_alive(family, now_ns)
            self.accounts.check(family, self._working, now_ns)
        self._working.add(order)
        if transmit:
            self._working.transmit(family, now_ns)
        return order

    def modify(
        self, perm_id: int, request: OrderRequest, now_ns: int, *, transmit: bool = True
    ) -> WorkingOrder:
        """Change an open order: its size, prices, type or life; what is filled stays filled.

        It keeps its number and its place in the order of acceptance, and takes part from the next bar on.
        With `transmit` False an order at work goes on unchanged; one that is held takes the change and stays
        held.

        Raises
        ------
        BrokerRejection
            135: no such order; 104: it has been filled; 105: the request is for another contract, side or
            account; 201: it has ended otherwise, the size is not above what is filled, or margin; and
            whatever `place` raises. Nothing changed: the order goes on as it was.
        """
        order = self.orders.get(perm_id)
        if order is None:
            raise BrokerRejection(MODIFY_NOT_FOUND, f"Can't find order with ID ={perm_id}")
        if order.status is OrderStatus.FILLED:
            raise BrokerRejection(MODIFY_FILLED, MODIFY_FILLED_TEXT)
        if order.status.is_final:
            raise BrokerRejection(REJECTED, TOO_LATE)
        drafted = self._draft(request, now_ns)
        same = (request.symbol, request.side, drafted.account)
        if same != (order.request.symbol, order.request.side, order.account):
            raise BrokerRejection(MODIFY_OTHER_ORDER, MODIFY_OTHER_TEXT)
        if order.transmitted and not transmit:
            return order
        left = drafted.remaining_lots - to_lots(order.filled, order.instrument.lot)
        if left <= 0:
            raise BrokerRejection(REJECTED, BELOW_FILLED)
        drafted.remaining_lots, drafted.waits = left, order.waits
        drafted.filled, drafted.filled_value, drafted.fees = order.filled, order.filled_value, order.fees
        family = [one for one in self._working.untransmitted(order) if one is not order] if transmit else []
        if transmit:
            self._working.require_alive(family, now_ns)
            self.accounts.check([drafted, *family], self._working, now_ns, without=order)
        self._working.amend(order, drafted, now_ns)
        if transmit:
            self._working.transmit(family if order.transmitted else [order, *family], now_ns)
        return order

    def cancel(self, perm_id: int, now_ns: int) -> list[BrokerEvent]:
        """Cancel an open order at trading time `now_ns`; return its end first, then what becomes of its kin.

        Raises
        ------
        BrokerRejection
            10147: no such order; 10148: it has already ended, and the text says how. Nothing changed.
        """
        order = self.orders.get(perm_id)
        if order is None:
            raise BrokerRejection(
                CANCEL_NOT_FOUND, f"OrderId {perm_id} that needs to be cancelled is not found."
            )
        if order.status.is_final:
            raise BrokerRejection(
                CANCEL_WRONG_STATE,
                f"OrderId {perm_id} that needs to be cancelled cannot be cancelled, "
                f"state: {order.status.capitalize()}.",
            )
        mates = self._working.groups.mates(order)
        events: list[BrokerEvent] = []
        self._working.finish(order, CANCELLED_BY_CLIENT, now_ns, events)
        for mate in mates:
            if not mate.status.is_final:
                self._working.finish(mate, MATE_CANCELLED, now_ns, events)
        return events

    def withdraw(self, perm_id: int, now_ns: int) -> None:
        """Let an order vanish as if it had never come: its children go with it, its group goes on."""
        order = self.orders[perm_id]
        if not order.status.is_final:
            self._working.finish(order, CANCELLED_BY_CLIENT, now_ns, [])

    def what_if(self, request: OrderRequest, now_ns: int) -> MarginImpact:
        """Say what an order would do to its account; nothing is placed, and margin does not refuse it.

        Raises
        ------
        BrokerRejection
            As `place`, but for margin; 201 also if the contract has no price yet.
        """
        return self.accounts.impact(self._draft(request, now_ns), self._working)

    # -- answers ---------------------------------------------------------------------------------------

    def open_orders(self) -> list[WorkingOrder]:
        """Return the orders that can still trade, held children included, in order of acceptance."""
        return self._working.open_orders()

    def account_of(self, order: WorkingOrder) -> str:
        """Return the name of the account that an order trades for."""
        return order.account

    def mark(self, symbol: str) -> Decimal | None:
        """Return the close of a symbol's last bar, or None before its first."""
        return self.accounts.mark(symbol)

    def set_mark(self, symbol: str, price: Decimal) -> None:
        """Value a symbol at `price` until its next bar: for quotes, and before the first bar."""
        self._closes[symbol] = float(price)

    def balance(self, account: str, now_ns: int | None = None) -> Balance:
        """Return an account's balance at the latest prices; proceeds that settle by `now_ns` are settled.

        Raises
        ------
        BrokerRejection
            321: no such account.
        """
        return self.accounts.balance(account, self._working, now_ns)

    # -- time ------------------------------------------------------------------------------------------

    def advance(self, end_ns: int, bars: Sequence[Bar]) -> list[BrokerEvent]:
        """Process the step of the bars that end at `end_ns`; return what happened, in order.

        A bar with a defect fills nothing and leaves the mark as it was.
        """
        events: list[BrokerEvent] = []
        due = [bar for bar in bars if self._open.get(bar.symbol)]
        if len(due) > 1:
            due.sort(key=lambda bar: bar.symbol)
        for bar in due:
            if bar.defect() is None:
                self._matcher.fill_from(bar, events)
        for bar in bars:
            if 0 < bar.close < inf:
                self._closes[bar.symbol] = float(bar.close)
        expiries = self._expiries
        if expiries and expiries[0][0] <= end_ns:
            self._working.expire(end_ns, events)
        return events

    def release(self, before_ns: int) -> int:
        """Forget orders that ended before a moment, and settle executions before it; return how many."""
        self.accounts.settle_before(before_ns)
        return self._working.forget(before_ns)

    # -- what the broker takes back, and corporate actions ----------------------------------------------

    def correct(
        self,
        perm_id: int,
        number: int,
        *,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        time_ns: int,
    ) -> BrokerFill:
        """Correct an execution's size or price in the ledger as if it had been reported so; fees stay.

        What is left to fill does not change: the order's size follows the correction while it is at work.

        Raises
        ------
        BrokerRejection
            135: the order has no such execution on record.
        """
        return self.accounts.correct(self.orders.get(perm_id), number, quantity, price, time_ns)

    def bust(self, perm_id: int, number: int, time_ns: int) -> BrokerFill:
        """Take an execution back: the ledger is as if it had never been, its commission is given back.

        The order is not worked again for it. Returns the execution as it was, at the moment of the bust.

        Raises
        ------
        BrokerRejection
            135: the order has no such execution on record.
        """
        return self.accounts.bust(self.orders.get(perm_id), number, time_ns)

    def apply_split(
        self, symbol: str, ratio: Ratio, time_ns: int, *, adjust_orders: bool = False
    ) -> list[BrokerEvent]:
        """Split a stock: `ratio` new shares for each old one (a tenth joins ten into one).

        Positions and marks follow; fractions of a lot are paid out at the mark. Open orders are cancelled, as
        at Interactive Brokers, or with `adjust_orders` follow too (`backtesting.corporate_actions`).

        Raises
        ------
        ValueError
            If the ratio is not positive.
        """
        return corporate_actions.split(
            self.accounts,
            self._working,
            self.instruments[symbol],
            ratio,
            time_ns,
            adjust_orders=adjust_orders,
        )

    def apply_dividend(
        self, symbol: str, per_share: Decimal, time_ns: int, *, adjust_orders: bool = False
    ) -> list[BrokerEvent]:
        """Go ex dividend: credit holders, debit those who are short, at once.

        Open orders stay as they are, as at Interactive Brokers, or with `adjust_orders` are reduced
        (`backtesting.corporate_actions`).

        Raises
        ------
        ValueError
            If the dividend is not positive.
        """
        return corporate_actions.go_ex_dividend(
            self.accounts,
            self._working,
            self.instruments[symbol],
            per_share,
            time_ns,
            adjust_orders=adjust_orders,
        )

    def _draft(self, request: OrderRequest, now_ns: int) -> WorkingOrder:
        instrument = self.instruments.get(request.symbol)
        if instrument is None:
            raise BrokerRejection(UNKNOWN_CONTRACT, NO_CONTRACT_TEXT)
        account = self.accounts.name_for(request)
        number = self._working.last_perm_id + 1
        return draft(request, instrument, account, self._sessions, perm_id=number, now_ns=now_ns)
