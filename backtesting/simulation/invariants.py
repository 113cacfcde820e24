"""What must be true in a simulated world: I1 to I14.

After every step:

* I1: an order is on the durable record before it is at the broker, and when its submission has returned.
* I2: at most one order is at the broker for each recorded attempt.
* I5: the hash chain holds, and every change of an order's state is in one commit with what caused it.
* I6: exposure and sizes at the broker are within the limits.
* I7: what is reserved is at least what may still trade.
* I8: states follow each other, an order ends once, what is filled stays filled but for corrections.
* I9: nothing is sent while the way is closed, TWS is without the broker, or the kill switch has tripped.
* I10: every order is for the paper account.
* I11: a connection that carries nothing is not held to be alive for 100 seconds, not counting those in which
  the process stood still: nobody could look, and what had come was not read.
* I14: no queue grows without bound, and no order or cancel waits in the client library.

When faults have ended and everything has had its time:

* I1: each acknowledged order is in exactly one state, and the broker agrees.
* I3: position = sum of executions = broker's position, or a break is on record that the world explains.
* I4: orders and executions on record are the broker's, one to one.
* I7: nothing is reserved for orders that are over.
* I11: 60 simulated seconds are enough: no order is in a passing state, the way is open or rightly closed.
* I12: the durable record, folded anew, gives the orders that the process has in memory.
* I13: cash, cost, profit and fees of each ledger amount to what it began with.

I3, I4 and I12 cannot hold in between: news is under way then. Not checked at all: that the memory of the
process as a whole is bounded, which half an hour cannot show, and that a real account is left alone, because
no world has one.
"""

from __future__ import annotations

from typing import Final

from backtesting.simulation.broker_checks import BrokerChecks
from backtesting.simulation.outcome import Violation
from backtesting.simulation.quiet_checks import QuietChecks
from backtesting.simulation.record_checks import RecordChecks
from backtesting.simulation.view import TraderView, WorldView

MOST_WAITING: Final = 5_000
"""Facts, changes or handler calls that may wait in a trader at once."""

LONGEST_SILENCE_NS: Final = 100_000_000_000
"""After this a dead connection must have been noticed; time in which the process stood still is left out.

The heartbeat of a world is slower than that of a trader, as every message costs time: it needs 95 seconds.
"""

_ORDERS: Final = ("3\0", "4\0")

CANARY: Final = "CANARY"
"""The invariant that never holds."""


class Invariants:
    """The checks of one world, with what they remember of it.

    Parameters
    ----------
    world
        What is checked; nothing of it is changed.

    Attributes
    ----------
    canary
        Check at the end what never holds, too: it shows that a violation is reported.
    """

    def __init__(self, world: WorldView) -> None:
        self._world = world
        self.record = RecordChecks(world)
        self.broker = BrokerChecks(world, self.record)
        self._quiet = QuietChecks(world, self.record, self.broker)
        self.canary = False
        self._durable = 0
        self._queued = False
        self._silent: dict[int, float] = {}
        self._stalled = 0.0

    def check(self) -> list[Violation]:
        """Check what must hold after every step; quick where nothing changed."""
        durable = len(self._world.disk.events)
        grew = durable != self._durable
        found: list[Violation] = []
        if grew:
            self._durable = durable
            found += self.record.check()
        found += self.broker.check(record_grew=grew)
        trader = self._world.trader
        if grew and trader is not None:
            found += self._queues(trader)
        return found + self._silence()

    def check_quiescent(self) -> list[Violation]:
        """Check what must hold when faults have ended and everything has had its time."""
        found = [*self.check(), *self._quiet.check()]
        if self.canary:
            found.append(Violation(CANARY, "an invariant that does not hold, on purpose"))
        return found

    def _silence(self) -> list[Violation]:
        """I11: a connection that carries nothing any more is found to be dead."""
        stalled = self._world.loop.stalled
        stood, self._stalled = (stalled - self._stalled) * 1e9, stalled
        silent = []
        for wire in self._world.network.wires:
            if wire.swallows and not wire.end(client=True).is_closing():
                silent.append(wire.number)
        if not silent:
            self._silent.clear()
            return []
        now = self._world.now_ns
        self._silent = {
            number: min(now, self._silent[number] + stood) if number in self._silent else now
            for number in silent
        }
        late = [number for number, since in self._silent.items() if now - since > LONGEST_SILENCE_NS]
        return [Violation("I11", f"connection {number} is dead and is held to be alive") for number in late]

    def _queues(self, trader: TraderView) -> list[Violation]:
        """I14: what waits in the trader is bounded, and nothing waits to be written."""
        if self._queued:
            return []
        inbox, session = trader.executor.inbox, trader.manager._session  # the queues are nobody's face
        waiting = len(inbox._waiting) + len(inbox._untold) + len(inbox.undelivered)
        queue = () if session is None else session._ib.client._msgQ
        unsent = sum(message.startswith(_ORDERS) for message in queue)  # a question may wait, an order not
        if waiting <= MOST_WAITING and not unsent:
            return []
        self._queued = True
        return [
            Violation("I14", f"{waiting} facts wait to be told and {unsent} orders or cancels to be sent")
        ]
