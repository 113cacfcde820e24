"""What happens at most once in a world: a night in New York, a window of the gateway's week, a doubled order.

They draw from a stream of their own, so that a seed that has none of them is the world it was without them.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from backtesting.errors import BrokerRejection
from backtesting.gateway.errors import GatewayError, RequestRefusedError
from backtesting.gateway.tickets import Ticket
from backtesting.simulation.market import CLIENT_ID, shared_market
from backtesting.simulation.options import ONCE
from execution.clocks import NANOS
from execution.link.gateway_week import TIME_ZONE, GatewayWeek

if TYPE_CHECKING:
    from backtesting.simulation.world import World

_MINUTE_NS: Final = 60 * NANOS
_AGAIN: Final = 15.0
_SHARE_KILLED: Final = 0.5
"""Seconds after which a moment is tried again that did not suit."""


class Milestones:
    """Brings about what comes once; `start` begins it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._shares = {fault: world.options.rates[fault] for fault in ONCE if fault in world.options.rates}
        self._rng = random.Random(f"{world.seed}/milestones")  # noqa: S311  # nosec B311  # repeatable
        self._active = True
        self._away = (0.0, 0.0)

    def week(self, start_ns: int) -> GatewayWeek | None:
        """Return the gateway's week of this world, which has one window; None if nothing is planned."""
        share = self._shares.get("G9")
        if share is None:
            return None
        begin = (
            (start_ns + round(share * self._world.options.safety_seconds) * NANOS) // _MINUTE_NS * _MINUTE_NS
        )
        end = begin + self._rng.choice((2, 4, 6)) * _MINUTE_NS
        self._away = (
            (begin - start_ns) / NANOS + self._rng.uniform(-20.0, 40.0),
            (end - start_ns) / NANOS + self._rng.choice((-30.0, 0.0, 60.0)),
        )
        hours = (dt.datetime.fromtimestamp(ns // NANOS, ZoneInfo(TIME_ZONE)) for ns in (begin, end))
        return GatewayWeek(["planned daily " + "-".join(f"{hour:%H:%M}" for hour in hours)])

    def start(self) -> list[asyncio.Task[None]]:
        """Begin what the seed has."""
        doing: dict[str, Callable[[], None]] = {
            "G6": self.double,
            "G9": self.keep_to_the_week,
            "B12": self.end_day,
        }
        tasks = []
        for fault, share in self._shares.items():
            seconds = share * self._world.options.safety_seconds + self._rng.uniform(-60.0, 60.0)
            moment = self._away[0] if fault == "G9" else seconds
            work = self._at(moment, doing[fault])
            tasks.append(self._world.loop.create_task(work, name=f"milestone {fault}"))
        return tasks

    async def _at(self, moment: float, deed: Callable[[], None]) -> None:
        await asyncio.sleep(max(0.0, moment - self._world.loop.time()))
        deed()

    def heal(self) -> None:
        """Let nothing of it begin any more."""
        self._active = False

    def _later(self, seconds: float, deed: Callable[[], None]) -> None:
        self._world.loop.call_later(seconds, deed, context=self._world.context)

    def _leave(self, seconds: float) -> None:
        """Let the gateway restart and be away for a while."""
        world = self._world
        world.server.restart(how=self._rng.choice(("fin", "rst")))
        world.server.stop_listening()
        self._later(seconds, world.server.listen_again)

    # -- the gateway's week --------------------------------------------------------------------------------

    def keep_to_the_week(self) -> None:
        """Be away about as long as the week says: a little early or late, and now and then too long."""
        self._world.fire("G9")
        self._leave(max(1.0, self._away[1] - self._world.loop.time()))

    # -- the night -----------------------------------------------------------------------------------------

    def end_day(self) -> None:
        """Pass to the evening: DAY orders end, and what rests may fill, while nobody is connected.

        Some processes are down then; to the others it is as if their machine had been asleep.
        """
        world = self._world
        if not self._active:
            return
        if any(
            wire.swallows for wire in world.network.wires
        ):  # its silence is measured in the time that jumps
            self._later(_AGAIN, self.end_day)
            return
        world.fire("B12", "the close")
        if self._rng.random() < _SHARE_KILLED:
            world.kill("for the night")
        self._leave(self._rng.uniform(0.5, 5.0))
        self._skip_to(shared_market().close_ns() + _MINUTE_NS)
        self._later(self._rng.choice((0.2, 30.0, 60.0)), self._pass_midnight)

    def _pass_midnight(self) -> None:
        """Pass to the next session: what was executed is out of reach, what ended is in no list."""
        world = self._world
        if not self._active or any(wire.swallows for wire in world.network.wires):
            if self._active:
                self._later(_AGAIN, self._pass_midnight)
            return
        world.fired["B12.midnight"] += 1
        world.note("midnight in New York")
        self._leave(self._rng.uniform(0.5, 20.0))
        self._skip_to(shared_market().open_ns(1) + self._rng.randrange(1, 30) * _MINUTE_NS)

    def _skip_to(self, moment_ns: int) -> None:
        world = self._world
        world.clock.skipped_ns += max(0, moment_ns - world.clock.true_ns())
        for _ in world.server.service.play_until(world.clock.true_ns()):
            pass
        world.touch()

    # -- a doubled order -----------------------------------------------------------------------------------

    def double(self) -> None:
        """Let TWS make a second order of one that is at work, under the same number and reference."""
        world, book = self._world, self._world.book
        if not self._active:
            return
        ours = [each for each in book.open_tickets(CLIENT_ID) if self._stands_alone(each)]
        twin = self._twin(self._rng.choice(ours)) if ours else None
        if twin is None:
            self._later(_AGAIN, self.double)
            return
        for session in world.server.service.sessions.values():
            session.flush()
        world.fire("G6", twin.order_ref)

    def _stands_alone(self, ticket: Ticket) -> bool:
        """Return whether an order is tied to no other and known here: else its twin might pass for it."""
        tied = ticket.parent_perm_id or ticket.order.children or ticket.oca_group
        entry = self._world.invariants.record.blotter.entries.get(ticket.order_ref)
        known = entry is not None and entry.perm_id == ticket.perm_id
        return bool(known and ticket.order_id > 0 and ticket.remaining and not tied)

    def _twin(self, ticket: Ticket) -> Ticket | None:
        world = self._world
        try:
            twin = world.book.new_order(
                CLIENT_ID, replace(ticket.wish, transmit=True), world.server.service.clock.now_ns()
            )
        except (BrokerRejection, GatewayError, RequestRefusedError):
            return None
        world.twins.add(twin.perm_id)
        self._later(_AGAIN, lambda: self._give_back(ticket, twin))
        return twin

    def _give_back(self, ticket: Ticket, twin: Ticket) -> None:
        """Let the number mean the first order again when the second is over."""
        number, known = (CLIENT_ID, ticket.order_id), self._world.book.by_client
        if twin.completed_ns is None:
            self._later(_AGAIN, lambda: self._give_back(ticket, twin))
        elif known.get(number) is twin:
            known[number] = ticket
