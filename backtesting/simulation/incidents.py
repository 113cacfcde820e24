"""What goes wrong by the clock, or behind an order: at the gateway, at the broker's desk, to the process.

Each incident does its harm through the gateway's own doors (the book, the fault engine, the server) and is
counted when it has truly taken effect: an order was there to be cancelled, somebody was connected to be told.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal

from backtesting.errors import BrokerRejection
from backtesting.gateway.errors import GatewayError, RequestRefusedError
from backtesting.gateway.faults.action import Action
from backtesting.gateway.faults.book_actions import ManualOrder
from backtesting.gateway.faults.engine import FaultEngine
from backtesting.gateway.faults.errors import FaultActionError
from backtesting.gateway.faults.gateway_actions import (
    ConnectivityLost,
    ConnectivityRestored,
    PacingLimit,
    SendError,
)
from backtesting.gateway.faults.login_actions import IdInUse
from backtesting.gateway.market.corporate_action_file import DIVIDEND, SPLIT, CorporateAction
from backtesting.gateway.tickets import Ticket
from backtesting.simulation.market import CLIENT_ID, SYMBOLS
from backtesting.simulation.network import Wire
from backtesting.simulation.storage import SimulatedJournal
from execution.book.adjustments import AdjustmentKind
from execution.book.adjustments import CorporateAction as KnownAction
from execution.clocks import NANOS, timestamp
from execution.errors import JournalLockedError

if TYPE_CHECKING:
    from backtesting.gateway.session import ClientSession
    from backtesting.simulation.world import World

_LIVE_ORDER_CODES: Final = (103, 104, 105, 161, 201, 399, 10147, 10148, 10318, 10999)
"""The last is a code that nobody knows."""
_ENGINE_FAULTS: Final = ("G4", "N9", "N10", "B6", "B7")
_OTHER_CLIENT: Final = 7
_SHARE_OF_BUSTS: Final = 0.3
_SHARE_OF_SPLITS: Final = 0.5
_SHARE_KNOWN_IN_TIME: Final = 0.5
_ORDERS_MEANWHILE: Final[tuple[Literal["queue", "reject", "drop"], ...]] = ("queue", "reject", "drop")
_EVENTS_MEANWHILE: Final[tuple[Literal["late", "lost"], ...]] = ("late", "lost")
_SIDES: Final[tuple[Literal["BUY", "SELL"], ...]] = ("BUY", "SELL")


class Incidents:
    """Brings about what comes by the clock; the moments are drawn when the world begins."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rates = dict(world.options.rates)
        self._rng = random.Random(f"{world.seed}/incidents")  # noqa: S311  # nosec B311  # repeatable
        self._engine: FaultEngine | None = None
        self._active = True
        self._doing: dict[str, Callable[[], None]] = {
            "G1": self.restart,
            "G2": self.lose_newest,
            "G3": self.roll_back_ids,
            "G4": self.lose_broker,
            "G5": self.restart_at_night,
            "N3": self.fall_silent,
            "N9": self.keep_ids,
            "N10": self.limit_pace,
            "B1": self.revise,
            "B3": self.cancel_by_hand,
            "B4": self.enter_by_hand,
            "B6": self.reject_late,
            "B7": self.err_about_live,
            "B8": self.cancel_partial,
            "B9": self.adjust,
            "B10": self.forget_day,
            "B11": self.trade_elsewhere,
            "P1": self.kill,
            "P3": self.start_second,
            "P5": self.stall,
            "C1": self.set_clock,
        }

    # -- life ----------------------------------------------------------------------------------------------

    def start(self) -> list[asyncio.Task[None]]:
        """Draw the moments of the seed and begin."""
        world = self._world
        if any(fault in self._rates for fault in _ENGINE_FAULTS):
            self._engine = FaultEngine(world.server)
            self._engine.attach()
        moments = [(self._rng.uniform(120.0, world.options.safety_seconds - 120.0), "")]
        for fault in self._doing:
            rate = self._rates.get(fault)
            if rate is None:
                continue
            moment = self._rng.uniform(10.0, 120.0)
            while (moment := moment + self._rng.expovariate(rate / 60.0)) < world.options.safety_seconds:
                moments.append((moment, fault))
        moments.sort()
        return [world.loop.create_task(self._by_the_clock(moments), name="incidents")]

    async def _by_the_clock(self, moments: list[tuple[float, str]]) -> None:
        for moment, fault in moments:
            await asyncio.sleep(max(0.0, moment - self._world.loop.time()))
            if not fault:
                self._world.note("every seed reconnects once")
                self._world.server.drop_all(self._rng.choice(("fin", "rst")))
            elif self._active:
                self._doing[fault]()

    def heal(self) -> None:
        """Put the gateway in order."""
        self._active = False
        world = self._world
        world.clock.shift_ns = 0
        if self._engine is not None:
            self._engine.standing.accept()
            if self._engine.standing.outage is not None:
                self._fire(ConnectivityRestored(data="kept"))
            self._fire(IdInUse(on=False), PacingLimit(on=False))
        world.server.listen_again()

    def _fire(self, *actions: Action) -> bool:
        if self._engine is None:
            return False
        try:
            self._engine.fire(actions)
        except FaultActionError:
            return False
        return True

    # -- the gateway ---------------------------------------------------------------------------------------

    def restart(self, fault: str = "G1") -> None:
        """Restart the gateway; it is away for a while."""
        world = self._world
        world.fire(fault)
        world.server.restart(how=self._rng.choice(("fin", "rst")))
        world.server.stop_listening()
        seconds = self._rng.uniform(0.5, 30.0)
        world.loop.call_later(seconds, world.server.listen_again, context=world.context)

    def lose_newest(self) -> None:
        """Restart the gateway at the next order, before it has passed it on."""
        self._losing = True

    _losing = False

    def on_served(self, wire: Wire) -> None:
        """Take note that the gateway has dealt with what a client sent."""
        book, before = self._world.book, self._newest
        newest = self._newest = next(reversed(book.tickets.values()), None)
        if not self._losing or not self._active or newest is None or newest is before:
            return
        service = self._world.server.service
        now_ns = service.clock.now_ns()
        others = [each for each in book.tickets.values() if each.order.placed_ns >= now_ns]
        if others == [newest] and newest.client_id == CLIENT_ID and newest.completed_ns is None:
            self._losing = False
            book.lose_orders_since(now_ns, now_ns)
            wire.back.clear()
            wire.back.blocked = True  # nobody was told yet
            self._world.fire("G2", newest.order_ref)
            self.restart("G1")

    _newest: Ticket | None = None

    def roll_back_ids(self) -> None:
        """Give used order ids out again, as after a restart from an older file."""
        book = self._world.book
        if book.last_id.get(CLIENT_ID, 0):
            self._world.fire("G3")
            book.roll_back_ids(CLIENT_ID, self._rng.randrange(1, 20))
            self.restart()

    def restart_at_night(self) -> None:
        """Restart with orders under way, as every night."""
        if self._world.book.open_tickets(CLIENT_ID):
            self.restart("G5")

    @property
    def broker_is_away(self) -> bool:
        """Whether TWS is without the broker, which its own windows show."""
        return self._engine is not None and self._engine.standing.outage is not None

    def lose_broker(self) -> None:
        """1100; what happens meanwhile is told at the end, or never."""
        if self._engine is None or self.broker_is_away or not self._world.server.service.sessions:
            return
        orders, events = self._rng.choice(_ORDERS_MEANWHILE), self._rng.choice(_EVENTS_MEANWHILE)
        self._fire(ConnectivityLost(orders=orders, events=events))
        before = len(self._world.book.executions)
        self._world.fire("G4", f"orders {orders}, events {events}")
        span = self._rng.uniform(3.0, 150.0)
        self._world.loop.call_later(span, self._find_broker, self._rng.choice(("kept", "lost")), before)

    def _find_broker(self, data: str, before: int) -> None:
        if self._active and self.broker_is_away:
            if len(self._world.book.executions) > before:
                self._world.fired["G4.fills inside"] += 1
            self._fire(ConnectivityRestored(data="lost" if data == "lost" else "kept"))
            self._world.note(f"the broker is back, data {data}")

    def fall_silent(self) -> None:
        """Let the connection go half open while nobody writes; the gateway finds out after a while."""
        world = self._world
        for wire in world.network.wires:
            if wire.is_open and not wire.swallows:
                world.fire("N3", "amid silence")
                wire.go_silent()
                end, gone = wire.end(client=False), TimeoutError("the peer is gone")
                world.loop.call_later(self._rng.uniform(5.0, 60.0), end.break_off, gone)
                return

    def keep_ids(self) -> None:
        """Let the gateway think for a while that a client which left is still there."""
        self._fire(IdInUse(attempts=self._rng.randrange(1, 6)))
        self._world.note("ids of clients that leave stay in use")
        self._world.loop.call_later(1.0, self._world.server.drop_all, "rst")
        self._world.loop.call_later(self._rng.uniform(10.0, 90.0), self._free_ids)

    def _free_ids(self) -> None:
        self._fire(IdInUse(on=False))

    def limit_pace(self) -> None:
        """Take fewer messages a second than the library is told."""
        self._fire(PacingLimit(limit=self._rng.choice((2, 3, 5)), strikes=self._rng.choice((2, 3))))
        self._world.loop.call_later(self._rng.uniform(30.0, 300.0), self._end_pace)

    def _end_pace(self) -> None:
        self._fire(PacingLimit(on=False))

    # -- the broker's desk ---------------------------------------------------------------------------------

    def _tickets(self) -> list[Ticket]:
        return self._world.book.open_tickets(CLIENT_ID)

    def _session(self) -> ClientSession | None:
        return self._world.server.service.sessions.get(CLIENT_ID)

    def revise(self) -> None:
        """Correct an execution of the day, or undo it."""
        book = self._world.book
        ours = [each for each in book.executions if each.ticket.client_id == CLIENT_ID and each.quantity]
        if not ours:
            return
        chosen = self._rng.choice(ours)
        try:
            if self._rng.random() < _SHARE_OF_BUSTS:
                book.bust(chosen.exec_id)
            else:
                book.correct(
                    chosen.exec_id, price=(chosen.price * Decimal("1.001")).quantize(Decimal("0.01"))
                )
        except (GatewayError, BrokerRejection):
            return
        self._told("B1", chosen.exec_id)

    def cancel_by_hand(self) -> None:
        """Cancel an order in TWS."""
        if tickets := self._tickets():
            self._cancel(self._rng.choice(tickets), "B3")

    def cancel_partial(self) -> None:
        """Cancel an order of which a part is filled; wait for one."""
        self._partial = True

    _partial = False

    def after_market(self) -> None:
        """Look for an order that is filled in part."""
        if self._partial and self._active:
            for ticket in self._tickets():
                if ticket.filled and ticket.remaining:
                    self._partial = False
                    self._cancel(ticket, "B8")
                    return

    def _cancel(self, ticket: Ticket, fault: str) -> None:
        service = self._world.server.service
        try:
            service.book.manual_cancel(ticket.perm_id, service.clock.now_ns())
        except (GatewayError, RequestRefusedError):
            return
        self._told(fault, str(ticket.order_ref))

    def _told(self, fault: str, what: str) -> None:
        for session in self._world.server.service.sessions.values():
            session.flush()
        self._world.fire(fault, what)

    def enter_by_hand(self) -> None:
        """Enter an order in TWS itself."""
        self._order_of_another(0, "B4")

    def trade_elsewhere(self) -> None:
        """Let another client trade the account."""
        self._order_of_another(_OTHER_CLIENT, "B11")

    def _order_of_another(self, client: int, fault: str) -> None:
        symbol, side = self._rng.choice(SYMBOLS), self._rng.choice(_SIDES)
        engine = self._engine or FaultEngine(self._world.server)
        try:
            engine.fire(
                [ManualOrder(symbol=symbol, quantity=self._rng.randrange(1, 60), side=side, client=client)]
            )
        except FaultActionError:
            return
        self._told(fault, f"{side} {symbol}")

    def reject_late(self) -> None:
        """Refuse an order that was accepted: 201, then its end."""
        tickets, session = self._tickets(), self._session()
        if tickets and session is not None:
            ticket = self._rng.choice(tickets)
            text = "Order rejected - reason: the exchange does not take it"
            if self._fire(SendError(code=201, text=text, id=ticket.order_id, client=CLIENT_ID)):
                self._cancel(ticket, "B6")

    def err_about_live(self) -> None:
        """Send an error about an order that lives on."""
        tickets, session = self._tickets(), self._session()
        if tickets and session is not None:
            ticket, code = self._rng.choice(tickets), self._rng.choice(_LIVE_ORDER_CODES)
            if self._fire(
                SendError(code=code, text="something about this order", id=ticket.order_id, client=CLIENT_ID)
            ):
                self._told("B7", f"{code} {ticket.order_ref}")

    def adjust(self) -> None:
        """Apply a split or a dividend."""
        symbol = self._rng.choice(SYMBOLS)
        service = self._world.server.service
        day = timestamp(service.clock.now_ns()).date()
        held = service.book.broker.accounts.ledgers[self._world.account].position(symbol)
        if not held:
            return
        if self._rng.random() < _SHARE_OF_SPLITS:
            action = CorporateAction(day, symbol, SPLIT, Fraction(2, 1))
        else:
            action = CorporateAction(day, symbol, DIVIDEND, Decimal("0.25"))
        try:
            service.apply(action)
        except (GatewayError, BrokerRejection):
            return
        self._announce(action)
        self._told("B9", f"{symbol} {action.kind}")

    def _announce(self, action: CorporateAction) -> None:
        """Let the source of corporate actions know of one, or only the operator."""
        news = self._world.known_actions
        known = news.told if self._rng.random() < _SHARE_KNOWN_IN_TIME else news.untold
        known.append(
            KnownAction(
                AdjustmentKind.SPLIT if action.is_split else AdjustmentKind.DIVIDEND,
                action.symbol,
                self._world.now_ns,
                ratio=Fraction(action.value) if action.is_split else None,
                amount=None if action.is_split else action.per_share,
            )
        )

    def forget_day(self) -> None:
        """Let executions pass out of reach while nobody is connected, as an outage over midnight does."""
        world = self._world
        if not len(world.book.executions):
            return
        self.restart("B10")
        world.loop.call_later(self._rng.uniform(0.0, 0.4), world.book.forget_executions)

    def cancel_behind(self, wire: Wire, order_id: int, held: bytes, seconds: float) -> None:
        """Cancel an order of which an execution was held back, and tell of that behind its end."""
        world = self._world
        ticket = next((each for each in self._tickets() if each.order_id == order_id), None)
        if ticket is not None and ticket.remaining:
            world.loop.call_soon(self._cancel, ticket, "B3")
        world.loop.call_later(seconds, self._tell_late, wire, ticket, held)

    def _tell_late(self, wire: Wire, ticket: Ticket | None, held: bytes) -> None:
        ended = ticket is not None and ticket.completed_ns is not None
        if wire.is_open and not wire.swallows:
            self._world.fire("B5" if ended else "N6", "an execution behind its order's end" if ended else "")
            wire.back.put(held)

    # -- the process ---------------------------------------------------------------------------------------

    def kill(self) -> None:
        """Kill the process at any moment."""
        if self._world.trader is not None:
            self._world.fire("P1", "at any moment")
            self._world.kill("at any moment")

    def stop_in_order(self) -> None:
        """Tell the process to stop while an order is on its way."""
        self._world.loop.call_soon(self._world.stop_trader, context=self._world.context)

    def cancel_a_task(self) -> None:
        """Cancel one of the deeds under way, as a caller who gives up."""
        trader = self._world.trader
        if trader is None:
            return
        waiting = [task for task in trader.process.tasks() if task.get_name().startswith("deed")]
        if waiting:
            self._world.fire("P7")
            self._world.loop.call_soon(self._rng.choice(waiting).cancel)

    def start_second(self) -> None:
        """Start a second instance on the same journal: it has to be refused."""
        world = self._world
        if world.trader is None:
            return
        try:
            SimulatedJournal(world.disk, world.clock.now_ns)
        except JournalLockedError:
            world.fire("P3")

    def stall(self) -> None:
        """Let nothing run for half a minute."""
        self._world.fire("P5")
        self._world.loop.stall(self._rng.uniform(5.0, 35.0))

    def set_clock(self) -> None:
        """Set the machine's clock wrong, by an hour or a little."""
        clock = self._world.clock
        clock.shift_ns = self._rng.choice((3600, -3600, 2, -2, 60)) * NANOS
        self._world.fire("C1", f"{clock.shift_ns // NANOS} s")
        self._world.loop.call_later(self._rng.uniform(20.0, 400.0), self._set_right)

    def _set_right(self) -> None:
        self._world.clock.shift_ns = 0
