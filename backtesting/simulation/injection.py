"""What goes wrong write by write and commit by commit: the policy of the wires and the fate of commits.

Each fault is counted when it has truly happened. Where the process is killed at a step, the step is named in
the count (``P1.after a write``) beside that of the fault itself.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

from backtesting.simulation import frames
from backtesting.simulation.frames import COMMISSION, ENDS, EXECUTION, NEWS, Frame, cut, joined
from backtesting.simulation.incidents import Incidents
from backtesting.simulation.loop import PROCESS
from backtesting.simulation.milestones import Milestones
from backtesting.simulation.network import Verdict, Wire
from backtesting.simulation.storage import Fate
from execution.journal import JournalEvent

if TYPE_CHECKING:
    from backtesting.simulation.loop import Process
    from backtesting.simulation.world import World

_SHARE_HALF_TOLD: Final = 0.5
_SHARE_KILLED_BEFORE: Final = 0.5
_PLACE: Final = b"3"
_CANCEL: Final = b"4"
_ORDER_WRITES: Final = (_PLACE, _CANCEL)
_OUTWARD_FAULTS: Final = ("N1", "N2", "N3", "N3 other", "N4", "N7", "P2", "P7")
_COMMIT_FAULTS: Final = ("D1", "D2", "D3", "D4", "D5", "D6", "P1")
_MESSAGE_FAULTS: Final = ("N5", "N6", "N8", "G7", "G8", "B2", "B5")
_ID_IN_USE: Final = b"\x00326\x00"
_PACED: Final = b"\x00100\x00Max rate"
_EXEC_ID_AT: Final = 14


class Injector:
    """The faults of one world; a network policy.

    Attributes
    ----------
    active
        Whether faults come; not while the world heals.
    """

    def __init__(self, world: World) -> None:
        self.active = True
        self.incidents = Incidents(world)
        self.milestones = Milestones(world)
        self._world = world
        self._rates = dict(world.options.rates)
        self._rng = random.Random(f"{world.seed}/faults")  # noqa: S311  # nosec B311  # repeatable
        self._latency = world.options.latency
        self._broken_until = 0.0
        self._cuts_messages = any(fault in self._rates for fault in _MESSAGE_FAULTS)
        self._stops_requests = any(fault in self._rates for fault in _OUTWARD_FAULTS)
        self._stops_commits = any(fault in self._rates for fault in _COMMIT_FAULTS)
        self._kills_readers = "P1 reading" in self._rates
        self._mute: bytes | None = None
        world.disk.fate = self.fate
        world.disk.opens = self.open_disk

    def start(self) -> list[asyncio.Task[None]]:
        """Begin what comes by the clock."""
        return [*self.incidents.start(), *self.milestones.start()]

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self.active = False
        self._mute = None
        self.incidents.heal()
        self.milestones.heal()
        for wire in self._world.network.wires:
            wire.back.held_until = 0.0
            if wire.swallows:
                wire.swallows = False
                wire.reset()

    def hit(self, fault: str) -> bool:
        """Draw whether a fault comes at this opportunity."""
        rate = self._rates.get(fault)
        return rate is not None and self.active and self._rng.random() < rate

    # -- the wires -----------------------------------------------------------------------------------------

    def latency(self, wire: Wire, outbound: bool) -> float:  # noqa: ARG002  one latency for both ways
        """Return the seconds that a write takes."""
        return self._latency * (0.5 + self._rng.random())

    def on_connect(self, process: Process | None) -> float | None:  # noqa: ARG002  only one connects
        """Return the seconds that a connection takes."""
        return self._latency

    def on_write(self, wire: Wire, outbound: bool, data: bytes) -> tuple[Verdict, bytes]:
        """Return what becomes of a write, and what is left of it."""
        if wire.swallows or not self._world.running:
            return Verdict.PASS, data
        if outbound:
            return self._outwards(wire, data), data
        if _ID_IN_USE in data:
            self._world.fire("N9")
        if _PACED in data:
            self._world.fire("N10")
        if self.active and self._rates:
            if self._cuts_messages:
                data = self._inwards(wire, data)
            if self.hit("N7"):
                self._world.fire("N7", "inbound")
                return Verdict.BYTEWISE, data
        return Verdict.PASS, data

    def after_write(self, wire: Wire, outbound: bool) -> None:  # noqa: ARG002  which one does not matter
        """Kill the process behind a write."""
        if outbound and PROCESS.get() is not None and self._order_written and self.hit("P1"):
            self._order_written = False
            self._killing("after a write")
            self._world.kill_here("after a write")

    def on_arrival(self, wire: Wire, outbound: bool, data: bytes) -> None:
        """Take note of what arrives; a process may be killed before it reads."""
        self._world.note_packet(wire, outbound, data)
        if self._kills_readers and not outbound and self.hit("P1 reading"):
            self._killing("before reading")
            self._world.kill("before reading")

    def on_taken(self, wire: Wire, outbound: bool) -> None:
        """Take note that it has been dealt with."""
        self._world.touch()
        if outbound:
            self.incidents.on_served(wire)
        elif self._kills_readers and self.hit("P1 reading"):
            self._killing("after applying")
            self._world.kill("after applying")

    def _outwards(self, wire: Wire, data: bytes) -> Verdict:
        kind = data[4:7].partition(b"\0")[0]
        self._order_written = is_order = kind in _ORDER_WRITES
        if not self.active or not self._stops_requests:
            return Verdict.PASS
        world = self._world
        if is_order:
            if self.hit("N1"):
                world.fire("N1")
                return Verdict.RESET_BEFORE
            if self.hit("N2"):
                world.fire("N2")
                return Verdict.RESET_AFTER
            if self.hit("N4"):
                world.fire("N4")
                wire.back.held_until = world.loop.time() + self._rng.uniform(1.0, 12.0)
            if self.hit("P2"):
                self.incidents.stop_in_order()
            if self.hit("P7"):
                self.incidents.cancel_a_task()
        if self.hit("N3" if is_order else "N3 other"):
            world.fire("N3")
            world.loop.call_later(self._rng.uniform(5.0, 60.0), self._hang_up, wire)
            return Verdict.SWALLOW
        if self.hit("N7"):
            world.fire("N7", "outbound")
            return Verdict.BYTEWISE
        return Verdict.PASS

    _order_written = False

    def _hang_up(self, wire: Wire) -> None:
        """Let the gateway find out that a half-open connection is dead."""
        wire.end(client=False).break_off(TimeoutError("the peer is gone"))

    # -- messages ------------------------------------------------------------------------------------------

    def _inwards(self, wire: Wire, data: bytes) -> bytes:
        taken = cut(data)
        news = sum(one.kind in NEWS for one in taken)
        if not news and not any(one.kind in ENDS for one in taken):
            return data
        taken = self._withhold(taken)
        if news:
            taken = self._delay_executions(wire, taken)
            taken = self._mistreat_commissions(wire, taken)
            if news > 1 and self.hit("N6"):
                other = frames.swapped(self._rng, taken)
                if other != taken:
                    self._world.fire("N6")
                    taken = other
            if self.hit("N5"):
                self._world.fire("N5")
                place = self._rng.choice([i for i, one in enumerate(taken) if one.kind in NEWS] or [0])
                taken = [*taken[: place + 1], *taken[place:]]
        data = joined(taken)
        if self.hit("N8"):
            garbage = self._rng.choice(frames.GARBAGE)
            self._world.fire("N8", garbage.__name__)
            data += garbage(self._rng)
        return data

    def _withhold(self, taken: list[Frame]) -> list[Frame]:
        """Keep back the end mark of an answer, or all of the answer."""
        for one in taken:
            if one.kind in ENDS:
                if self.hit("G8"):
                    self._world.fire("G8", ENDS[one.kind])
                    return [other for other in taken if other is not one]
                if self.hit("G7"):
                    self._world.fire("G7", ENDS[one.kind])
                    rows = [kind for kind, end in frames.ANSWERS.items() if end == one.kind]
                    keep = self._rng.random() < _SHARE_HALF_TOLD  # the first half of the list, or nothing
                    half = len(taken) // 2
                    return [
                        other
                        for place, other in enumerate(taken)
                        if other is not one and (other.kind not in rows or (keep and place < half))
                    ]
        return taken

    def _delay_executions(self, wire: Wire, taken: list[Frame]) -> list[Frame]:
        """Let executions come behind the end of their order."""
        live = [one for one in taken if one.is_live]
        if not live or not self.hit("B5"):
            return taken
        names = {one.fields[_EXEC_ID_AT] for one in live}
        held = [one for one in taken if one in live or (one.kind == COMMISSION and one.fields[2] in names)]
        order_id = int(live[0].fields[2])
        self.incidents.cancel_behind(wire, order_id, joined(held), self._rng.uniform(0.5, 6.0))
        return [one for one in taken if one not in held]

    def _mistreat_commissions(self, wire: Wire, taken: list[Frame]) -> list[Frame]:
        result = list(taken)
        for one in taken:
            if one.kind != COMMISSION or not self.hit("B2"):
                continue
            how = self._rng.choice(("late", "missing", "early"))
            result.remove(one)
            if how == "late":
                self._world.loop.call_later(self._rng.uniform(0.5, 60.0), wire.back.put, one.data)
            elif how == "early":
                first = next((i for i, other in enumerate(result) if other.kind == EXECUTION), None)
                if first is None:
                    result.append(one)
                    continue
                result.insert(first, one)
            self._world.fire("B2", how)
        return result

    # -- the disk ------------------------------------------------------------------------------------------

    def open_disk(self) -> None:
        """Refuse to open the journal where the disk is broken."""
        if self._world.loop.time() < self._broken_until and self.active:
            self._world.fire("D1", "opening")
            raise self._world.disk.error("it cannot be opened")

    def fate(self, events: list[JournalEvent]) -> Fate:
        """Return what a commit comes to."""
        world = self._world
        if not self.active or not self._stops_commits or not world.running:
            return Fate.STORE
        if world.loop.time() < self._broken_until:
            return Fate.FAIL
        for fault, longest in (("D1", 20.0), ("D5", 40.0)):
            if self.hit(fault):
                self._broken_until = world.loop.time() + self._rng.uniform(1.0, longest)
                world.fire(fault)
                return Fate.FAIL
        for fault in ("D2", "D6"):
            if self.hit(fault):
                world.fire(fault)
                return Fate.FAIL
        if self.hit("D4"):
            world.fire("D4")
            world.loop.stall(self._rng.uniform(0.5, 5.0))
        if self.hit("D3"):
            world.fire("D3")
            return Fate.LOSE_ANSWER
        if PROCESS.get() is not None and self.hit("P1"):
            what = "an order's commit" if events[-1].kind.startswith("order_") else "a commit of news"
            before = self._rng.random() < _SHARE_KILLED_BEFORE
            self._killing(f"{'before' if before else 'after'} {what}")
            if before:
                world.fire("D9", f"{len(events)} events")
            return Fate.KILL_BEFORE if before else Fate.KILL_AFTER
        return Fate.STORE

    def _killing(self, where: str) -> None:
        self._world.fire("P1", where)
        self._world.fired[f"P1.{where}"] += 1
