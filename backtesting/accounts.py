"""The accounts at the broker: ledgers, prices to value them at, charges, margin, and what is taken back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache

from backtesting import margin
from backtesting.bookings import Booked, Bookings
from backtesting.costs import commission, plan_commission
from backtesting.errors import (
    BAD_ACCOUNT,
    INVALID,
    MODIFY_NOT_FOUND,
    NO_ACCOUNT,
    NO_MARKET_PRICE,
    REJECTED,
    BrokerRejection,
)
from backtesting.lives import Sessions
from backtesting.margin import Account, AccountTerms, Balance, MarginImpact, Reservation
from backtesting.orders import BrokerFill, WorkingOrder
from backtesting.schedules import Traded
from backtesting.working import WorkingOrders
from execution.book.ledger import Ledger
from execution.book.matching import LIMIT_KINDS
from execution.clocks import NANOS, timestamp
from execution.models import ZERO, Fill, Instrument, OrderRequest, Side
from execution.numbers import from_ticks
from strategies.spec import CUSTOM, CostSpec

_stamp = lru_cache(maxsize=8)(timestamp)
"""Fills of one bar share their moment."""

UNNAMED = ""
"""Name of the only account of a broker that was given none; orders reach it under any name."""


class Accounts:
    """Books fills and says what an order would do to its account.

    Parameters
    ----------
    instruments
        What can be traded, by symbol.
    costs
        The commission plan.
    sessions
        The market calendar, for settlement.
    terms
        The accounts by name.
    """

    def __init__(
        self,
        instruments: Mapping[str, Instrument],
        costs: CostSpec,
        sessions: Sessions,
        terms: Mapping[str, AccountTerms],
    ) -> None:
        self.by_name = {
            name: Account(name, term, Ledger(cash=term.cash, instruments=dict(instruments)))
            for name, term in terms.items()
        }
        self.ledgers = {name: account.ledger for name, account in self.by_name.items()}
        self.closes: dict[str, float] = {}
        """Close of each symbol's last bar."""
        self._costs = costs
        self._sessions = sessions
        self._settles = any(term.kind == margin.CASH for term in terms.values())
        self._bookings = Bookings()

    def name_for(self, request: OrderRequest) -> str:
        """Return the account that a request is for.

        Raises
        ------
        BrokerRejection
            321: no such account; 201: several, and the request names none.
        """
        if UNNAMED in self.by_name:
            return UNNAMED
        if request.account is not None:
            self.find(request.account)
            return request.account
        if len(self.by_name) > 1:
            raise BrokerRejection(REJECTED, NO_ACCOUNT)
        return next(iter(self.by_name))

    def find(self, name: str) -> Account:
        """Return an account; raise `BrokerRejection` 321 if there is none of that name."""
        account = self.by_name.get(name)
        if account is None:
            raise BrokerRejection(INVALID, BAD_ACCOUNT)
        return account

    def mark(self, symbol: str) -> Decimal | None:
        """Return the close of a symbol's last bar, or None before its first."""
        close = self.closes.get(symbol)
        return None if close is None else Decimal(repr(close))

    # -- fills -----------------------------------------------------------------------------------------

    def book(self, order: WorkingOrder, lots: int, ticks: int, time_ns: int) -> BrokerFill:
        """Charge and book a fill of an order at a price in ticks."""
        instrument, side = order.instrument, order.request.side
        quantity = lots * instrument.lot
        price = from_ticks(ticks, instrument.tick)
        if self._costs.plan != CUSTOM:
            self._count_volume(order, quantity, time_ns)
        fee = self._fee(order, quantity, quantity * price)
        ledger = self.ledgers[order.account]
        held = ledger.position(instrument.symbol)
        realized = ledger.realized(instrument.symbol)
        number = order.fills + 1
        fill = Fill(
            fill_id=f"{order.perm_id}-{number}",
            order_id=str(order.perm_id),
            symbol=instrument.symbol,
            quantity=quantity,
            price=price,
            side=side,
            timestamp=_stamp(time_ns),
            commission=fee,
        )
        ledger.apply(fill)
        booked = (order.perm_id, number, side.sign, quantity, price, fee, time_ns)
        self._bookings.add(order.account, instrument.symbol, booked)
        order.book(lots, quantity, quantity * price, fee, time_ns)
        if self._settles and side is Side.SELL:
            self._defer(order, quantity * price * instrument.multiplier, time_ns)
        gain = ledger.realized(instrument.symbol) - realized if held * side.sign < 0 else None
        return BrokerFill(order, number, quantity, price, time_ns, fee, gain)

    def _defer(self, order: WorkingOrder, proceeds: Decimal, time_ns: int) -> None:
        account = self.by_name[order.account]
        if account.terms.kind != margin.CASH or order.instrument.security_type != "STK":
            return
        session = self._sessions.session_closing_after(time_ns - 1)
        for _ in range(1 if time_ns >= margin.T_PLUS_ONE_NS else 2):
            session = session and self._sessions.session_closing_after(session.close_ns)
        if session is not None:
            account.unsettled.append((session.open_ns, proceeds))

    def _count_volume(self, order: WorkingOrder, quantity: Decimal, time_ns: int) -> None:
        account = self.by_name[order.account]
        month = timestamp(time_ns).strftime("%Y%m")
        if account.month != month:
            account.month, account.month_volume = month, ZERO
        if order.volume_before is None:
            order.volume_before = account.month_volume
        if order.instrument.security_type == "STK":
            account.month_volume += quantity

    def _fee(self, order: WorkingOrder, quantity: Decimal, value: Decimal) -> Decimal:
        if self._costs.plan == CUSTOM:
            return commission(self._costs, order, quantity)
        before = order.volume_before
        traded = Traded(
            instrument=order.instrument,
            sells=order.request.side is Side.SELL,
            quantity=order.filled + quantity,
            value=order.filled_value + value,
            volume_before=self.by_name[order.account].month_volume if before is None else before,
            takes=order.kind not in LIMIT_KINDS,
        )
        return plan_commission(self._costs, order, quantity, traded)

    # -- margin ----------------------------------------------------------------------------------------

    def check(
        self,
        family: Sequence[WorkingOrder],
        orders: WorkingOrders,
        now_ns: int,
        without: WorkingOrder | None = None,
    ) -> None:
        """Refuse orders that their account cannot afford, one after the other; those that wait are free.

        Parameters
        ----------
        family
            The orders, all of one account.
        orders
            What is at work.
        now_ns
            Trading time: proceeds that settle by then are settled.
        without
            The order at work that the first of the family takes the place of.

        Raises
        ------
        BrokerRejection
            201: no margin, or a contract without a price.
        """
        account = self.by_name[family[0].account]
        if account.terms.kind == margin.UNCHECKED:
            return
        account.settle(now_ns)
        mine = [order for order in self._at_work(account.name, orders) if order is not without]
        before = self._reserved(mine)
        for order in family:
            if not order.waits:
                mine.append(order)
                after = self._reserved(mine)
                margin.check(account, self.mark, before, after, order)
                before = after

    def impact(self, order: WorkingOrder, orders: WorkingOrders) -> MarginImpact:
        """Say what an order would do to its account beside those at work."""
        account = self.by_name[order.account]
        mine = self._at_work(account.name, orders)
        before, after = self._reserved(mine), self._reserved([*mine, order])
        return margin.impact(account, self.mark, before, after, self.reservation(order).commission)

    def balance(self, name: str, orders: WorkingOrders, now_ns: int | None) -> Balance:
        """Return an account's balance at the latest prices; raise `BrokerRejection` 321 if there is none."""
        account = self.find(name)
        if now_ns is not None:
            account.settle(now_ns)
        return margin.balance(account, self.mark, self._reserved(self._at_work(name, orders)))

    def _at_work(self, name: str, orders: WorkingOrders) -> list[WorkingOrder]:
        return [
            order
            for working in orders.at_work.values()
            for order in working
            if order.account == name and order.remaining_lots and self._is_priced(order)
        ]

    def _is_priced(self, order: WorkingOrder) -> bool:
        """Say whether an order can be valued: one without a limit, a stop or a mark reserves nothing."""
        own = order.stop_ticks or (order.kind in LIMIT_KINDS and order.limit_ticks)
        return bool(own) or self.mark(order.request.symbol) is not None

    def _reserved(self, orders: Sequence[WorkingOrder]) -> dict[str, list[Reservation]]:
        return margin.largest_of_groups(orders, self.reservation)

    def reservation(self, order: WorkingOrder) -> Reservation:
        """Return what an order would trade: at its limit, or its stop or the mark if that is dearer.

        Raises
        ------
        BrokerRejection
            201: the contract has no price yet.
        """
        tick = order.instrument.tick
        mark = self.mark(order.request.symbol)
        if order.kind in LIMIT_KINDS and order.limit_ticks:
            price = from_ticks(order.limit_ticks, tick)
        elif order.stop_ticks:
            price = from_ticks(order.stop_ticks, tick)
            price = price if mark is None or order.request.side is Side.SELL else max(price, mark)
        elif mark is not None:
            price = mark
        else:
            raise BrokerRejection(REJECTED, NO_MARKET_PRICE)
        left = order.remaining_lots * order.instrument.lot
        fee = max(ZERO, self._fee(order, left, left * price))
        return Reservation(left * order.request.side.sign, price, fee, order.instrument.multiplier)

    # -- what is taken back ----------------------------------------------------------------------------

    def correct(
        self,
        order: WorkingOrder | None,
        number: int,
        quantity: Decimal | None,
        price: Decimal | None,
        time_ns: int,
    ) -> BrokerFill:
        """Correct an execution in the ledger; raise `BrokerRejection` 135 if there is none on record."""
        order, old = self._execution(order, number)
        _, _, sign, old_quantity, old_price, fee, booked_ns = old
        quantity = old_quantity if quantity is None else quantity
        price = old_price if price is None else price
        new = (order.perm_id, number, sign, quantity, price, fee, booked_ns)
        key = (order.account, order.request.symbol)
        gain = self._bookings.rebook(key, self.ledgers[order.account], old, new)
        order.recount(quantity - old_quantity, quantity * price - old_quantity * old_price)
        return BrokerFill(order, number, quantity, price, time_ns - time_ns % NANOS, fee, gain)

    def bust(self, order: WorkingOrder | None, number: int, time_ns: int) -> BrokerFill:
        """Take an execution back; raise `BrokerRejection` 135 if there is none on record."""
        order, old = self._execution(order, number)
        quantity, price, fee = old[3:6]
        self._bookings.rebook((order.account, order.request.symbol), self.ledgers[order.account], old, None)
        order.recount(-quantity, -quantity * price)
        order.fees -= fee
        return BrokerFill(order, number, quantity, price, time_ns - time_ns % NANOS, fee, None)

    def _execution(self, order: WorkingOrder | None, number: int) -> tuple[WorkingOrder, Booked]:
        if order is not None:
            key = (order.account, order.request.symbol)
            booked = self._bookings.find(key, order.perm_id, number)
            if booked is not None:
                return order, booked
        raise BrokerRejection(MODIFY_NOT_FOUND, f"Can't find execution {number} of the order")

    def settle_symbol(self, symbol: str) -> None:
        """Let the executions of a symbol be final, as after a corporate action."""
        self._bookings.settle(symbol, self.ledgers)

    def settle_before(self, before_ns: int) -> None:
        """Let executions before a moment be final."""
        self._bookings.settle_before(before_ns, self.ledgers)
