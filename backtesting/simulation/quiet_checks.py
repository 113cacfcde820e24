"""What must be true when faults have ended and everything has had its time: I1, I3, I4, I7, I11 to I13.

An order or a difference may only stay open for a reason that the world itself shows: the broker forgot the
order, serves its executions no more, or its desk changed what had been booked; or somebody else traded. What
is open without such a reason is a violation, also where the trader has put it on record as doubtful: that a
protection failed is not mended by saying so.

* I11: the trader runs, is connected, and its way is open, or something stands in it for such a reason; no
  order or change waits for an answer.
* I1: each acknowledged order is in exactly one state, and the broker says the same of it.
* I4: the executions on record are the broker's, one to one, at the same size and price.
* I3: the position of each symbol is the sum of the effective executions, on record, in the ledger and at the
  broker, or the last reconciliation has the difference on record.
* I7: nothing is reserved for orders that are over.
* I12: the durable record, folded anew, gives the orders that the process has.
* I13: in each ledger, cash, cost, profit and fees amount to what it began with. A position that a person
  accepted came without its cash: the trader's ledger is left out then.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from backtesting.gateway.tickets import Execution
from backtesting.simulation.broker_checks import BrokerChecks, Placed
from backtesting.simulation.outcome import Violation
from backtesting.simulation.record_checks import RecordChecks, base_of, differences
from backtesting.simulation.view import TraderView, WorldView
from execution.book.ledger import Ledger
from execution.models import ZERO, OrderStatus
from execution.orders.blotter import Entry

_TRANSIENT: Final = (OrderStatus.PENDING, OrderStatus.PENDING_CANCEL)
_LIVE: Final = (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED)
_DEAD: Final = (OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.NOT_SENT)


class QuietChecks:
    """Compares the trader, the record and the broker at the end of a world."""

    def __init__(self, world: WorldView, record: RecordChecks, broker: BrokerChecks) -> None:
        self._world = world
        self._record = record
        self._broker = broker

    def check(self) -> list[Violation]:
        """Look at everything once."""
        trader = self._world.trader
        if trader is None or not trader.restored:
            return [Violation("I11", "no trader runs although nothing has hindered it for a while")]
        found: list[Violation] = []
        for entry in trader.executor.blotter.entries.values():
            found += self._order(entry)
        found += self._missing(trader)
        found += self._positions(trader)
        found += self._readiness(trader)
        found += self._reserved(trader)
        found += self._replayed(trader)
        found += self._balanced(trader)
        return found

    # -- orders ------------------------------------------------------------------------------------------

    def _order(self, entry: Entry) -> Iterator[Violation]:
        name, status = entry.client_order_id, entry.status
        there = self._broker.by_ref.get(name, [])
        live = [placed for placed in there if self._works(placed)]
        hidden = self._hidden(entry, there)
        if status in _TRANSIENT or entry.modification is not None:
            yield Violation("I11", f"order {name} still waits: {status}, change {entry.modification}")
        if status is OrderStatus.UNKNOWN and there and not hidden:
            yield Violation("I11", f"order {name} is UNKNOWN ({entry.reason}), the broker shows it")
        if status in _LIVE and not live and not hidden:
            yield Violation("I1", f"order {name} is {status}, the broker works no such order")
        if status.is_final and live:
            yield Violation("I1", f"order {name} is {status}, the broker works it")
        kept = [placed for placed in there if not placed.lost]
        if status is OrderStatus.NOT_SENT and kept and len(kept) >= entry.attempt:
            yield Violation("I1", f"order {name} is on record as never sent, it was at the broker")
        if (
            status is OrderStatus.FILLED
            and entry.filled < entry.request.quantity
            and not self._revised(there)
        ):
            yield Violation("I1", f"order {name} is filled, of {entry.request.quantity} {entry.filled} are")
        yield from self._executions(entry, there)

    def _works(self, placed: Placed) -> bool:
        return placed.ticket.completed_ns is None and not placed.lost

    def _hidden(self, entry: Entry, there: list[Placed]) -> bool:
        """Return whether the broker can no longer show what became of an order."""
        kept = {id(ticket) for ticket in self._world.book.tickets.values()}
        gone = [p for p in there if p.lost or id(p.ticket) not in kept]
        return not there or bool(gone) or self._revised(there) or bool(self._unserved(entry, there))

    def _revised(self, there: list[Placed]) -> bool:
        """Return whether the broker's desk corrected an execution of an order."""
        return any(base_of(e.exec_id)[1] > 1 for placed in there for e in placed.executions.values())

    def _unserved(self, entry: Entry, there: list[Placed]) -> set[str]:
        """Return the executions that we never had and that the broker serves no more."""
        served = {base_of(execution.exec_id)[0] for execution in self._world.book.executions}
        theirs = {base for placed in there for base in placed.executions}
        return theirs - served - entry.executions.keys()

    def _executions(self, entry: Entry, there: list[Placed]) -> Iterator[Violation]:
        name = entry.client_order_id
        ours = {base: each for base, each in entry.executions.items() if not each.entered}
        theirs = {base: e for placed in there for base, e in placed.executions.items()}
        if extra := sorted(ours.keys() - theirs.keys()):
            yield Violation("I4", f"order {name} has executions that the broker never made: {extra}")
        if missing := sorted(theirs.keys() - ours.keys() - self._unserved(entry, there)):
            yield Violation("I4", f"order {name} lacks executions that the broker serves: {missing}")
        for base in sorted(ours.keys() & theirs.keys()):
            mine, real = ours[base], theirs[base]
            if (mine.quantity, mine.price) != (real.quantity, real.price) and self._is_served(real):
                what = f"{mine.quantity} at {mine.price}, the broker has {real.quantity} at {real.price}"
                yield Violation("I4", f"execution {base} of order {name}: {what}")
            if mine.quantity and mine.commission != real.commission and self._is_served(real):
                what = f"its commission is {mine.commission}, the broker's {real.commission}"
                yield Violation("I4", f"execution {base} of order {name}: {what}")
        filled = sum((execution.quantity for execution in theirs.values()), ZERO)
        if len(ours) < len(entry.executions) and entry.filled > filled:
            yield Violation("I4", f"order {name}: {entry.filled} filled with what was entered, {filled} are")

    def _is_served(self, execution: Execution) -> bool:
        return any(each is execution for each in self._world.book.executions)

    def _missing(self, trader: TraderView) -> Iterator[Violation]:
        known = trader.executor.blotter.entries
        for name in sorted(self._world.acknowledged - known.keys()):
            yield Violation("I1", f"order {name} was acknowledged and the trader does not know it")
        for name in sorted(self._broker.by_ref.keys() - known.keys()):
            yield Violation("I4", f"order {name} is at the broker and the trader does not know it")

    # -- positions and money -----------------------------------------------------------------------------

    def _positions(self, trader: TraderView) -> Iterator[Violation]:
        ledger = self._world.book.broker.accounts.ledgers[self._world.account]
        opening = (trader.executor.opening or {}).get("positions", {})
        effective, unknown = self._effective()
        recorded = (self._record.last_reconciled or {}).get("breaks", {})
        for symbol in sorted({*ledger.holdings, *trader.ledger.holdings, *effective}):
            began = Decimal(opening.get(symbol, {}).get("quantity", "0"))
            expected, theirs = began + effective.get(symbol, ZERO), ledger.position(symbol)
            ours = trader.ledger.position(symbol)
            if ours == theirs:
                continue
            if theirs == expected and symbol not in unknown:
                why = "which the executions explain in full"
            elif symbol in recorded:
                continue
            else:
                why = "and no break is on record"
            yield Violation("I3", f"{symbol}: the ledger holds {ours}, the broker {theirs}, {why}")

    def _effective(self) -> tuple[dict[str, Decimal], set[str]]:
        """Return what all executions amount to, and symbols of which we were never told of one."""
        total: dict[str, Decimal] = {}
        unknown: set[str] = set()
        served = {base_of(execution.exec_id) for execution in self._world.book.executions}
        for base, execution in self._broker.executions.items():
            request = execution.ticket.order.request
            total[request.symbol] = total.get(request.symbol, ZERO) + request.side.sign * execution.quantity
            gone = base_of(execution.exec_id) not in served
            if gone and (base not in self._record.executions or base_of(execution.exec_id)[1] > 1):
                unknown.add(request.symbol)
        return total, unknown

    def _balanced(self, trader: TraderView) -> Iterator[Violation]:
        theirs = self._world.book.broker.accounts.ledgers[self._world.account]
        opening = trader.executor.opening
        if opening is not None and not opening["positions"] and not self._record.accepted:
            yield from _double_entry("trader", trader.ledger, Decimal(opening["cash"]))
        yield from _double_entry("broker", theirs, self._world.server.config.initial_cash)

    # -- the trader --------------------------------------------------------------------------------------

    def _readiness(self, trader: TraderView) -> Iterator[Violation]:
        executor = trader.executor
        if not trader.manager.is_connected():
            yield Violation("I11", "the trader is not connected although the gateway listens")
        elif executor.is_frozen:
            yield Violation("I11", "the trader is frozen although TWS has its broker")
        elif not executor.is_ready and not self._stands_in_the_way(trader):
            yield Violation("I11", "the way is closed and nothing stands in it")

    def _stands_in_the_way(self, trader: TraderView) -> bool:
        """Return whether an order is in doubt, or a position differs, that the broker cannot clear up."""
        ledger = self._world.book.broker.accounts.ledgers[self._world.account]
        last = self._record.last_reconciled or {}
        differs = any(
            trader.ledger.position(each) != ledger.position(each) for each in last.get("breaks", ())
        )
        waiting = trader.executor.blotter.open_entries()
        return differs or any(e.status is OrderStatus.UNKNOWN or e.awaits_executions for e in waiting)

    def _reserved(self, trader: TraderView) -> Iterator[Violation]:
        blotter = trader.executor.blotter
        open_names = {entry.client_order_id for entry in blotter.open_entries()}
        open_names |= {order.key for order in blotter.externals.open()}
        for name, held in trader.risk.reservations:
            if name not in open_names:
                yield Violation("I7", f"{held.remaining} is reserved for order {name}, which is over")
        exposures, now = trader.risk.exposures, self._world.now_ns
        kept, anew = exposures.gross(now), exposures.recomputed(now)
        if kept != anew:
            yield Violation("I7", f"the worst case is kept as {kept}, it comes to {anew}")

    def _replayed(self, trader: TraderView) -> Iterator[Violation]:
        live, durable = trader.executor.blotter.entries, self._record.blotter.entries
        if live.keys() != durable.keys():
            names = sorted(live.keys() ^ durable.keys())
            yield Violation("I12", f"orders on one side of record and process only: {names}")
        for name in live.keys() & durable.keys():
            if what := differences(durable[name], live[name]):
                yield Violation("I12", f"order {name}: the record, replayed, differs in {', '.join(what)}")


def _double_entry(whose: str, ledger: Ledger, began: Decimal) -> Iterator[Violation]:
    cost = sum((holding.cost for holding in ledger.holdings.values()), ZERO)
    amounts = ledger.cash + cost - ledger.realized_pnl + ledger.fees - ledger.dividends
    if amounts != began:
        yield Violation("I13", f"the {whose}'s ledger amounts to {amounts}, it began with {began}")
