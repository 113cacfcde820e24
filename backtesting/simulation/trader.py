"""One incarnation of the trading process: everything that a kill takes away, and the next one builds anew."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from backtesting.simulation.loop import Process
from backtesting.simulation.market import ACCOUNT, CLIENT_ID, shared_market
from backtesting.simulation.operator import Operator
from backtesting.simulation.storage import SimulatedJournal
from backtesting.simulation.traffic import Driver
from execution.audit import AuditLogger
from execution.book.adjustments import Adjustment
from execution.book.ledger import Ledger
from execution.book.portfolio import LedgerPortfolio
from execution.connection import IBKRConnectionManager
from execution.errors import ExecutionError
from execution.executor import IBKROrderExecutor
from execution.link.heartbeat import HeartbeatTerms
from execution.models import Fill, Order
from execution.orders.recovery import Booked, BookedAdjustment, BookedCorrection, Recovered
from execution.reconciliation.patrol import Patrol
from execution.reconciliation.policies import Unanswered
from risk.engine import RiskEngine

if TYPE_CHECKING:
    from backtesting.simulation.world import World

_HEARTBEAT: Final = HeartbeatTerms(interval=45.0, deadline=20.0, deaf_after=60.0, looks=2)
_LOOK_SECONDS: Final = 5.0
_WHILE_READY: Final = 60.0
_LONGEST_PAUSE: Final = 60.0
_LONGEST_IN_THE_END: Final = 25.0


class Bookkeeper:
    """Books what the executor tells; an order handler."""

    def __init__(self, ledger: Ledger, world: World) -> None:
        self._ledger = ledger
        self._world = world

    def on_fill(self, fill: Fill) -> None:
        """Book an execution."""
        self._ledger.apply(fill)

    on_external_fill = on_fill

    def on_commission(self, fill: Fill) -> None:
        """Book a commission that came later."""
        if fill.commission is not None:
            self._ledger.charge(fill.commission)

    def on_fill_corrected(self, old: Fill, new: Fill) -> None:
        """Book an execution with the broker's new figures."""
        self._ledger.revise(old, new)

    def on_adjusted(self, adjustment: Adjustment) -> None:
        """Book what moved the book and was no trade."""
        self._ledger.adjust(adjustment)

    def on_order_status(self, order: Order) -> None:
        """Write a line of the trace."""
        self._world.note(f"order {order.client_order_id} {order.status} {order.filled_quantity}")

    def on_order_rejected(self, order: Order, reason: str) -> None:
        """Leave it to the status."""

    def book(self, booked: Sequence[Booked]) -> None:
        """Book what a journal knows."""
        for item in booked:
            if isinstance(item, BookedCorrection):
                self.on_fill_corrected(item.old, item.new)
            elif isinstance(item, BookedAdjustment):
                self.on_adjusted(item.adjustment)
            elif item.late_commission:
                self.on_commission(item.fill)
            else:
                self.on_fill(item.fill)


class Trader:
    """The trading process: connection, executor, rules, book, and who acts.

    Parameters
    ----------
    world
        What it lives in.
    number
        Which incarnation it is, from 1.

    Raises
    ------
    JournalError
        If the journal cannot be opened.
    """

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.process = Process(f"trader {number}")
        self.restored = False
        rng = random.Random(f"{world.seed}/trader/{number}")  # noqa: S311  # nosec B311  # repeatable
        self.journal = SimulatedJournal(world.disk, world.clock.now_ns)
        self.audit = AuditLogger(self.journal, world.clock)
        self.ledger = Ledger(history={})
        self._books = Bookkeeper(self.ledger, world)
        self.portfolio = LedgerPortfolio(self.ledger)
        for symbol, price in world.marks.items():
            self.portfolio.set_mark(symbol, price)
        self.risk = RiskEngine(world.limits, self.portfolio, shared_market().calendar, world.clock)
        self.manager = IBKRConnectionManager(
            "127.0.0.1",
            world.server.port,
            CLIENT_ID,
            timeout=10.0,
            reconnect_backoff=2.0,
            longest_pause=30.0,
            client_id_wait=30.0,
            audit=self.audit,
            clock=world.clock,
            wall=world.clock,
            week=world.week,
            heartbeat=_HEARTBEAT,
            randomness=rng.random,
        )
        self.executor = IBKROrderExecutor(
            self.manager,
            instruments=shared_market().instruments,
            validator=self.risk,
            audit=self.audit,
            clock=world.clock,
            handlers=[self._books],
            account=ACCOUNT,
            acknowledgement_timeout=8.0,
            new_id=world.new_id,
            corporate_actions=world.known_actions,
            days=shared_market().calendar,
            unanswered=Unanswered.CANCEL if world.seed % 2 else Unanswered.DOUBT,
        )
        self._patrol = Patrol(self.executor, world.options.patrol)
        self._opened = False

    def mark(self, symbol: str) -> Decimal:
        """Return the last price of a symbol as the process knows it."""
        return self.portfolio.mark(symbol) or Decimal(100)

    async def run(self) -> None:
        """Start from the journal, connect, and act until the process ends."""
        recovered = self.executor.restore()
        self._open_book(recovered)
        self.restored = True
        self.world.note(f"trader {self.number} starts with {recovered.events} events")
        while True:
            try:
                await self.manager.start()
                break
            except ExecutionError as error:
                self.world.note(f"trader {self.number} cannot start: {type(error).__name__}")
                await asyncio.sleep(_LOOK_SECONDS)
        self.world.spawn(Driver(self).run, "driver")
        self.world.spawn(self._patrol.run, "patrol")
        self.world.spawn(Operator(self).run, "operator")
        await self._keep_ready()

    async def look_once(self) -> None:
        """Compare with the broker out of turn, as an operator does at the end of the day."""
        if self.executor.is_ready:
            await self._patrol.look()

    async def stop(self) -> None:
        """Leave in order, as at SIGTERM."""
        await self.manager.stop()
        self.journal.close()

    async def _keep_ready(self) -> None:
        """Reconcile whenever the way is closed; ever less often while it is in vain."""
        pause = _LOOK_SECONDS
        while True:
            if not self.executor.is_ready:
                try:
                    await self.executor.ensure_ready()
                except ExecutionError as error:
                    self.world.note(f"not ready: {type(error).__name__}: {error}")
                    in_safety = self.world.phase == "safety"
                    pause = min(_LONGEST_PAUSE if in_safety else _LONGEST_IN_THE_END, 2 * pause)
                else:
                    self._open_book_once()
            else:
                pause = _LOOK_SECONDS
            await asyncio.sleep(_WHILE_READY if self.executor.is_ready else pause)

    def _open_book(self, recovered: Recovered) -> None:
        for _, group in [*recovered.groups, (0, recovered.loose)]:
            self._books.book(group)
        self._open_book_once()

    def _open_book_once(self) -> None:
        """Take what the account held when the journal began."""
        opening = self.executor.opening
        if opening is None or self._opened:
            return
        self._opened = True
        self.ledger.cash += Decimal(opening["cash"])
        for symbol, held in opening["positions"].items():
            self.ledger.open(symbol, Decimal(held["quantity"]), Decimal(held["average_cost"]))
