"""What the broker's truth must show at every instant: I1 and I2 for what arrives, I6, I7, I10.

* I1: an order that is at the broker stands on the durable record; so does one whose submission returned.
* I2: at most one order at the broker for each recorded attempt, and none for an attempt that was proven never
  sent.
* I6: no symbol's worst case, nor the whole book's, is above its limit; no order above the largest size. The
  worst case counts what is held and every order that still works, each side taken alone. A limit was kept
  with the prices of its moment; the check takes the lowest price of the symbol's bars, or of the orders' own
  if that is lower, so that it never calls a rise of the market a breach. It counts our executions alone and
  the account's position, and calls a breach what is one either way: what other clients hold is not ours to
  limit, but may explain us. Orders that wait for a parent do not count, of an OCA group the largest does. A
  correction of an execution may carry a position over a limit, which nobody here could stop: what it moved
  is excused, once no order of before it is on its way any more only as far as it leads over a limit, and no
  longer than it does.
* I7: what the risk engine holds for an order is at least what the order may still trade, executions that our
  process was not told of included.
* I10: every order of ours is for the world's paper account.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from backtesting.gateway.desks.book import OrderBook
from backtesting.gateway.desks.execution_log import ExecutionLog
from backtesting.gateway.tickets import Execution, Ticket
from backtesting.simulation.market import CLIENT_ID
from backtesting.simulation.outcome import Violation
from backtesting.simulation.record_checks import RecordChecks, base_of
from backtesting.simulation.view import WorldView
from execution.models import ZERO, OrderStatus, Side


@dataclass(slots=True)
class Placed:
    """One order of ours that was ever at the broker."""

    ticket: Ticket
    ref: str
    filled: Decimal = ZERO
    quantity: Decimal = ZERO
    is_over: bool = False
    lost: bool = False
    """Whether the broker forgot it, as a restart without state does."""
    executions: dict[str, Execution] = field(default_factory=dict)
    """Newest version of each execution, by its id without the correction."""


class BrokerChecks:
    """Follows the broker's book, and remembers what it forgets.

    Attributes
    ----------
    placed
        Every order of ours that was ever at the broker, by permanent id.
    by_ref
        The same by client order id.
    executions
        Newest version of each execution in the account, whoever's, by its id without the correction.
    """

    def __init__(self, world: WorldView, record: RecordChecks) -> None:
        self.placed: dict[int, Placed] = {}
        self.by_ref: dict[str, list[Placed]] = {}
        self.executions: dict[str, Execution] = {}
        self._world = world
        self._record = record
        self._live: list[Placed] = []
        self._book: OrderBook | None = None
        self._tickets = 0
        self._served: list[Execution] = []
        self._log: ExecutionLog | None = None
        self._logged = 0
        self._acknowledged = 0
        self._lowest: dict[str, Decimal] = {}
        self._excused: dict[str, Decimal] = {}
        self._told: set[str] = set()

    def check(self, *, record_grew: bool) -> list[Violation]:
        """Look at what changed at the broker; `record_grew` says whether our side may have changed."""
        found: list[Violation] = []
        book = self._world.book
        changed = book is not self._book or len(book.tickets) != self._tickets
        if changed:
            self._take_orders(book, found)
        changed |= self._take_executions(book)
        for placed in self._live:
            ticket = placed.ticket
            now = ticket.filled, ticket.quantity, ticket.completed_ns is not None
            if now != (placed.filled, placed.quantity, placed.is_over):
                placed.filled, placed.quantity, placed.is_over = now
                changed = True
        if changed:
            self._exposure(book, found)
        if changed or record_grew:
            self._reservations(found)
        if len(self._world.acknowledged) != self._acknowledged:
            self._acknowledged = len(self._world.acknowledged)
            for name in sorted(self._world.acknowledged - self._record.blotter.entries.keys()):
                self._once(found, "I1", f"order {name} was acknowledged and is not on the durable record")
        return found

    # -- what is there -----------------------------------------------------------------------------------

    def _take_orders(self, book: OrderBook, found: list[Violation]) -> None:
        self._book, self._tickets = book, len(book.tickets)
        for ticket in book.tickets.values():
            sent = ticket.client_id == CLIENT_ID and ticket.perm_id not in self._world.twins
            if sent and ticket.perm_id not in self.placed:
                placed = Placed(ticket, ticket.order_ref)
                self.placed[ticket.perm_id] = placed
                self.by_ref.setdefault(placed.ref, []).append(placed)
                self._live.append(placed)
                self._arrived(placed, found)
        kept = book.tickets.values()
        for placed in self._live:
            if not placed.ticket.completed_ns and placed.ticket not in kept:
                placed.lost = True

    def _arrived(self, placed: Placed, found: list[Violation]) -> None:
        name, record = placed.ref, self._record
        recorded = record.attempts.get(name, 0)
        allowed = recorded - record.released.get(name, 0)
        if not recorded:
            self._once(found, "I1", f"order {name} is at the broker and not on the durable record")
        elif len(self.by_ref[name]) > allowed:
            self._once(
                found, "I2", f"{len(self.by_ref[name])} orders {name} came to the broker, {allowed} may"
            )
        if placed.ticket.account != self._world.account:
            self._once(found, "I10", f"order {name} is for account {placed.ticket.account}")

    def _take_executions(self, book: OrderBook) -> bool:
        log = book.executions
        if log is self._log and log.changes == self._logged:
            return False
        self._log, self._logged = log, log.changes
        kept, last = list(log), self._served
        if kept == last:  # the same objects: a correction is a new one
            return False
        known = set(map(id, last))
        for execution in kept:
            if id(execution) not in known:
                base = base_of(execution.exec_id)[0]
                self.executions[base] = execution
                placed = self.placed.get(execution.ticket.perm_id)
                if placed is not None:
                    symbol, before = placed.ticket.order.request.symbol, placed.executions.get(base)
                    moved = ZERO if before is None else abs(execution.quantity - before.quantity)
                    if moved:
                        self._excused[symbol] = self._excused.get(symbol, ZERO) + moved
                    placed.executions[base] = execution
                    if placed not in self._live:
                        self._live.append(placed)
        self._served = kept
        return True

    # -- I6 ------------------------------------------------------------------------------------------------

    def _exposure(self, book: OrderBook, found: list[Violation]) -> None:
        limits = self._world.limits
        own: dict[str, Decimal] = {}
        for placed in self.placed.values():
            request = placed.ticket.order.request
            for execution in placed.executions.values():
                own[request.symbol] = own.get(request.symbol, ZERO) + request.side.sign * execution.quantity
        working: dict[tuple[str, Side], dict[str, Decimal]] = {}
        for placed in self._live:
            ticket, order = placed.ticket, placed.ticket.order
            request = order.request
            if placed.lost or placed.is_over or order.held:
                continue
            if limits.max_order_quantity is not None and ticket.quantity > limits.max_order_quantity:
                self._once(found, "I6", f"order {placed.ref} is for {ticket.quantity}")
            self._note_price(request.symbol, request.limit_price, book.broker.mark(request.symbol))
            groups = working.setdefault((request.symbol, request.side), {})
            group = order.oca_group or placed.ref
            groups[group] = max(ticket.remaining, groups.get(group, ZERO))
        ledger = book.broker.accounts.ledgers[self._world.account]
        gross = ZERO
        values: dict[str, Decimal] = {}
        for symbol in sorted({*own, *(symbol for symbol, _ in working)}):
            buys, sells = (sum(working.get((symbol, side), {}).values(), ZERO) for side in Side)
            sizes = [
                max(abs(held + buys), abs(held - sells))
                for held in (own.get(symbol, ZERO), ledger.position(symbol))
            ]
            values[symbol] = value = min(sizes) * self._lowest.get(symbol, ZERO)
            value = max(ZERO, value - self._excused.get(symbol, ZERO) * self._lowest.get(symbol, ZERO))
            gross += value
            cap = limits.per_symbol_notional_cap
            if cap is not None and value > cap:
                self._once(found, "I6", f"{symbol}: worst case {value} is above {cap}")
        if limits.max_gross_exposure is not None and gross > limits.max_gross_exposure:
            self._once(found, "I6", f"worst case of the book {gross} is above {limits.max_gross_exposure}")
        if self._excused:
            self._excuse_less(values)

    def _excuse_less(self, values: dict[str, Decimal]) -> None:
        """Excuse what corrections moved only as far as it still leads over a limit."""
        limits = self._world.limits
        whole = sum(values.values(), ZERO)
        for symbol in self._excused.keys() - self._unsettled_symbols():
            over = [ZERO]
            if limits.per_symbol_notional_cap is not None:
                over.append(values.get(symbol, ZERO) - limits.per_symbol_notional_cap)
            if limits.max_gross_exposure is not None:
                over.append(whole - limits.max_gross_exposure)
            price = self._lowest.get(symbol, ZERO)
            left = min(self._excused[symbol], max(over) / price) if price else ZERO
            if left > 0:
                self._excused[symbol] = left
            else:
                del self._excused[symbol]

    def _unsettled_symbols(self) -> set[str]:
        """Return the symbols of which a correction is not on record yet, or an order may be on its way."""
        entries = self._record.blotter.entries
        untold = {
            placed.ticket.order.request.symbol
            for placed in self.placed.values()
            if placed.ref in entries
            and entries[placed.ref].filled != sum((e.quantity for e in placed.executions.values()), ZERO)
        }
        return untold | {
            entry.request.symbol
            for entry in entries.values()
            if entry.status is OrderStatus.PENDING or entry.modification is not None
        }

    def _note_price(self, symbol: str, *prices: Decimal | None) -> None:
        lowest = self._lowest.get(symbol)
        if lowest is None:
            series = self._world.server.service.market.series[symbol]
            lowest = Decimal(repr(float(series.low.min())))
        self._lowest[symbol] = min([lowest, *(price for price in prices if price is not None)])

    # -- I7 ------------------------------------------------------------------------------------------------

    def _reservations(self, found: list[Violation]) -> None:
        trader = self._world.trader
        if trader is None or not trader.restored:
            return
        held = dict(trader.risk.reservations)
        entries = trader.executor.blotter.entries
        unsettled = []
        for placed in self._live:
            if placed.lost:
                continue
            entry, ticket = entries.get(placed.ref), placed.ticket
            if entry is None:
                unsettled.append(placed)
                continue
            if not (placed.is_over and entry.status.is_final and entry.filled >= ticket.filled):
                unsettled.append(placed)
            open_size = ZERO if placed.is_over else ticket.remaining
            asked = max(entry.larger.quantity, entry.request.quantity)
            may_trade = min(open_size + ticket.filled, asked) - entry.filled
            reserved = held[placed.ref].remaining if placed.ref in held else ZERO
            if reserved < may_trade:
                self._once(
                    found, "I7", f"order {placed.ref} may trade {may_trade} more, {reserved} is reserved"
                )
        self._live = unsettled

    def _once(self, found: list[Violation], invariant: str, what: str) -> None:
        """Report something that lasts over many steps when it is first seen."""
        key = invariant + what
        if key not in self._told:
            self._told.add(key)
            found.append(Violation(invariant, what))
