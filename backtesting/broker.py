"""The simulated broker: working orders, the one matching module and the one ledger, and nothing else.

The event engine calls it directly; the simulated gateway serves it over the wire. It has no clock: every call
is told the time. `advance` processes one step, all bars with the same end:

1. Bars are visited in symbol order, a symbol's open orders in order of acceptance. An order fills no earlier
   than the first bar that starts at or after its placement or last modification, and not in a bar that starts
   after its expiry. A bar wholly outside the sessions fills only orders that allow it (`outside_rth`).
2. `execution.matching` decides on whole ticks. A stop that was triggered and not filled in full goes on as a
   market order; a triggered stop-limit as a limit order. What orders of a limited life do:
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
from backtesting.costs import participation_ppm, slippage_centi_bps
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
    TOO_SMALL,
    UNKNOWN_CONTRACT,
    BrokerRejection,
)
from backtesting.filling import (
    WHOLE,
    Ticks,
    attempt,
    ends_with_its_bar,
    follow,
    in_turn,
    missed_its_open,
    takes_part,
    triggered_at_open,
)
from backtesting.lives import RegularHours, Sessions, expiry, opening, require_open
from backtesting.margin import AccountTerms, Balance, MarginImpact
from backtesting.orders import BrokerCancel, BrokerChange, BrokerEvent, BrokerFill, WorkingOrder
from backtesting.working import DAY_EXPIRED, WorkingOrders, group
from execution.clocks import NANOS
from execution.errors import NumberFormatError
from execution.matching import AT_OPEN, NO_FILL, capacity, match
from execution.models import Bar, Instrument, OrderRequest, OrderStatus, TimeInForce
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
NOT_AT_ONCE: Final = "not filled at once"
NOT_AT_OPEN: Final = "not filled at the open"


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
        self._working = WorkingOrders(self.instruments, sessions, self._start_trail)
        self.orders = self._working.by_number
        """Orders by number, those that have ended too until they are released."""
        self._slippage = slippage_centi_bps(costs)
        self._participation = participation_ppm(costs)
        self._sessions = sessions
        self._hours = RegularHours(sessions)
        self._open = self._working.at_work
        self._groups = self._working.groups.members
        self._expiries = self._working.expiries
        self._closes = self.accounts.closes
        self._news: list[BrokerEvent] = []
        self._tick_floats = {symbol: float(item.tick) for symbol, item in self.instruments.items()}

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
            200: no such contract; 110: a price off the tick; 201: a size off the lot, a closed exchange, no
            margin, no account named among several; 388: a size below a lot; 321: no such account; 10006: no
            such parent. Nothing changed.
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
            self.accounts.check([drafted, *family], self._working, now_ns, without=order)
        self._working.amend(order, drafted, now_ns)
        if transmit:
            self._working.transmit(family if order.transmitted else [order, *family], now_ns)
        return order

    def cancel(self, perm_id: int, now_ns: int) -> list[BrokerCancel]:
        """Cancel an open order at trading time `now_ns`; return it first, then what ends with it.

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
        self._news += [event for event in events if not isinstance(event, BrokerCancel)]
        return [event for event in events if isinstance(event, BrokerCancel)]

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
        events, self._news = self._news, []
        due = [bar for bar in bars if self._open.get(bar.symbol)]
        if len(due) > 1:
            due.sort(key=lambda bar: bar.symbol)
        for bar in due:
            if bar.defect() is None:
                self._fill_from(bar, events)
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
        self, symbol: str, ratio: Decimal, time_ns: int, *, adjust_orders: bool = False
    ) -> list[BrokerEvent]:
        """Split a stock: `ratio` new shares for each old one (0.1 joins ten into one).

        Positions and marks follow; fractions of a lot are paid out at the mark. Open orders are cancelled, as
        at Interactive Brokers, or with `adjust_orders` follow too (`backtesting.corporate_actions`).

        Raises
        ------
        ValueError
            If the ratio is not positive.
        """
        if ratio <= 0:
            raise ValueError(f"split of {symbol}: ratio {ratio} must be positive")
        instrument = self.instruments[symbol]
        mark = self.mark(symbol)
        if mark is not None:
            self._closes[symbol] = float(mark / ratio)
        for ledger in self.ledgers.values():
            corporate_actions.split_holding(ledger, instrument, ratio, self.mark(symbol))
        self.accounts.settle_symbol(symbol)
        events: list[BrokerEvent] = []
        for order in self._working.resting(symbol):
            if order.status.is_final:
                continue
            if adjust_orders and corporate_actions.split_order(order, ratio):
                events.append(BrokerChange(order, "adjusted", time_ns))
            else:
                self._working.finish(order, corporate_actions.SPLIT, time_ns, events)
        return events

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
        if per_share <= 0:
            raise ValueError(f"dividend of {symbol}: {per_share} must be positive")
        instrument = self.instruments[symbol]
        for ledger in self.ledgers.values():
            ledger.receive(ledger.position(symbol) * per_share * instrument.multiplier)
        if not adjust_orders:
            return []
        return [
            BrokerChange(order, "adjusted", time_ns)
            for order in self._working.resting(symbol)
            if corporate_actions.reduce_order(order, per_share)
        ]

    # -- acceptance ------------------------------------------------------------------------------------

    def _draft(self, request: OrderRequest, now_ns: int) -> WorkingOrder:
        instrument = self.instruments.get(request.symbol)
        if instrument is None:
            raise BrokerRejection(UNKNOWN_CONTRACT, NO_CONTRACT_TEXT)
        account = self.accounts.name_for(request)
        order = WorkingOrder(
            perm_id=self._working.last_perm_id + 1,
            request=request,
            instrument=instrument,
            placed_ns=now_ns,
            expires_ns=None,
            quantity=request.quantity,
            account=account,
            oca_group=request.oca_group,
            transmitted=False,
            from_ns=now_ns,
        )
        order.price(request)
        try:
            order.remaining_lots = to_lots(request.quantity, instrument.lot)
        except NumberFormatError as error:
            if request.quantity < instrument.lot and instrument.lot == 1:
                raise BrokerRejection(
                    TOO_SMALL,
                    f"Order size {request.quantity} is smaller than the minimum required size of 1.",
                ) from error
            raise BrokerRejection(
                REJECTED, f"Order rejected - reason:The size is not a multiple of {instrument.lot}"
            ) from error
        order.expires_ns = expiry(self._sessions, request, now_ns)
        if request.time_in_force is TimeInForce.OPG:
            session = opening(self._sessions, now_ns)
            order.opens_ns = None if session is None else session.open_ns
        require_open(self._sessions, request, now_ns)
        return order

    def _start_trail(self, order: WorkingOrder) -> None:
        if order.request.order_type.trails:
            close = self._closes.get(order.request.symbol, 0.0)
            follow(order, round(close / self._tick_floats[order.request.symbol]))

    # -- matching --------------------------------------------------------------------------------------

    def _fill_from(self, bar: Bar, events: list[BrokerEvent]) -> None:
        tick = self._tick_floats[bar.symbol]
        open_, high, low = round(bar.open / tick), round(bar.high / tick), round(bar.low / tick)
        room = None if self._participation is None else self._room(bar, self._participation)
        start_ns = bar.start_ns
        hours = self._hours
        regular = hours.open_ns <= start_ns < hours.close_ns
        outside = not regular and hours.outside(start_ns, bar.end_ns)
        working = self._open[bar.symbol]
        filled = False
        queue = working.copy()
        if self._groups:
            queue = in_turn(queue, bar, (open_, high, low, round(bar.close / tick)), self._slippage)
        for order in queue:
            if outside and not order.request.outside_rth:
                continue
            if not order.plain:
                ticks = (open_, high, low, round(bar.close / tick))
                lots = self._work(order, bar, ticks, room, events)
                if lots:
                    filled = True
                    room = None if room is None else room - lots
                continue
            if order.from_ns > start_ns:
                continue
            if order.expires_ns is not None and order.expires_ns <= start_ns:
                continue
            before = order.triggered
            price, when, triggered = match(
                order.kind,
                order.request.side.sign,
                order.limit_ticks,
                order.stop_ticks,
                before,
                open_,
                high,
                low,
                self._slippage,
            )
            if triggered is not before:
                self._note_trigger(order, bar, open_, events)
            lots = order.remaining_lots if room is None else min(room, order.remaining_lots)
            if when == NO_FILL or lots == 0:
                continue
            if room is not None:
                room -= lots
            filled = True
            moment = start_ns if when == AT_OPEN else bar.end_ns
            events.append(self.accounts.book(order, lots, price, moment - moment % NANOS))
            if order.children:
                self._working.filled(order, lots, (moment, bar.end_ns), events)
        if filled:
            working[:] = [order for order in working if order.remaining_lots]

    def _room(self, bar: Bar, participation: int) -> int:
        return capacity(bar.volume / float(self.instruments[bar.symbol].lot), participation)

    def _work(
        self, order: WorkingOrder, bar: Bar, ticks: Ticks, room: int | None, events: list[BrokerEvent]
    ) -> int:
        if order.status.is_final:  # a mate's fill ended it in this bar
            return 0
        if not takes_part(order, bar):
            if missed_its_open(order, bar):
                self._working.finish(order, NOT_AT_OPEN, bar.start_ns, events)
            return 0
        before, stop = order.triggered, order.stop_ticks
        price, when = attempt(order, bar, ticks, self._slippage)
        if order.triggered is not before:
            self._note_trigger(order, bar, ticks[0], events)
        elif order.stop_ticks != stop:
            events.append(BrokerChange(order, "trailed", bar.end_ns))
        left = order.remaining_lots
        lots = left if room is None else min(room, left)
        if when == NO_FILL or (
            lots < left and (order.request.all_or_none or order.request.time_in_force is WHOLE)
        ):
            lots = 0
        moment = bar.start_ns if when == AT_OPEN else bar.end_ns
        moment -= moment % NANOS
        if lots:
            events.append(self.accounts.book(order, lots, price, moment))
            self._working.filled(order, left, (moment, bar.end_ns), events)
        if order.remaining_lots and ends_with_its_bar(order):
            late = lots == 0 and when == NO_FILL and order.triggered
            self._working.finish(order, NOT_AT_ONCE, bar.end_ns if late else moment, events)
        return lots

    def _note_trigger(self, order: WorkingOrder, bar: Bar, open_: int, events: list[BrokerEvent]) -> None:
        order.triggered = True
        moment = bar.start_ns if triggered_at_open(order, open_) else bar.end_ns
        events.append(BrokerChange(order, "triggered", moment - moment % NANOS))
