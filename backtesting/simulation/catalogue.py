"""Every fault that the platform is designed against: how the simulation makes it happen, or why it cannot.

The ids are those that a world counts in ``fired`` and that reports show. ``N`` is the network, ``G`` the
gateway, ``B`` what the broker does to orders, ``D`` the store of the journal, ``P`` the trading process,
``C`` the clock, ``R`` the cache, ``S`` the surroundings of a trader.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Parameters
    ----------
    id
        Its short name.
    what
        What goes wrong, in a line.
    how
        How a world injects it; empty if it does not.
    why_not
        Why it cannot happen in a world; empty if it can.
    """

    id: str
    what: str
    how: str = ""
    why_not: str = ""

    @property
    def injected(self) -> bool:
        """Whether worlds inject it."""
        return bool(self.how)


def _injected(fault: str, what: str, how: str) -> Fault:
    return Fault(fault, what, how=how)


def _absent(fault: str, what: str, why_not: str) -> Fault:
    return Fault(fault, what, why_not=why_not)


FAULTS: Final[tuple[Fault, ...]] = (
    _injected("N1", "connection reset before a message was written", "the wire breaks before it takes bytes"),
    _injected("N2", "connection reset after a message was written", "the wire breaks after delivering bytes"),
    _injected("N3", "half-open connection: writes are swallowed", "the wire delivers nothing, either way"),
    _injected("N4", "answers delayed by 1 to 12 seconds", "the wire holds what the gateway says"),
    _injected("N5", "a message is delivered twice", "the wire repeats a frame"),
    _injected("N6", "status, execution, open order and commission out of order", "the wire swaps frames"),
    _injected("N7", "messages split at any byte", "the wire delivers pieces"),
    _injected("N8", "garbage, an oversized or a NUL-ridden message", "the wire delivers an invented frame"),
    _injected("N9", "client id in use (326)", "the gateway still holds the session before"),
    _injected("N10", "pacing: more messages than TWS takes", "a burst of orders within a second"),
    _injected("G1", "gateway restart that keeps orders", "every connection ends; the book stays"),
    _injected(
        "G2", "gateway restart that loses what was not transmitted", "the book forgets the newest orders"
    ),
    _injected("G3", "next order id rolls back", "the gateway offers ids that were used before"),
    _injected(
        "G4", "1100, then 1101 or 1102, with fills in between", "news of orders is withheld until then"
    ),
    _injected("G5", "nightly restart with orders under way", "the gateway restarts while an order is open"),
    _injected(
        "G6", "TWS makes a second order of one of ours", "the book takes an order twice, under one number"
    ),
    _injected("G7", "a request times out or its list is partial", "answers of a request are withheld"),
    _injected("G8", "an end mark is missing", "the end mark of a request is withheld"),
    _injected("G9", "a planned window of the gateway's week", "the gateway is away, and may overrun it"),
    _injected("B1", "an execution is corrected or busted", "the broker's desk corrects it in the book"),
    _injected(
        "B2", "a commission is late, missing or before its execution", "its frame is held, dropped, moved"
    ),
    _injected("B3", "an order is cancelled by hand", "the broker's desk cancels it"),
    _injected("B4", "an order is entered by hand", "the broker's desk places one without a reference"),
    _injected("B5", "a fill after a cancel", "the execution is told after the end of its order"),
    _injected("B6", "a reject after an accept", "an accepted order is refused later"),
    _injected("B7", "an error code on a live order", "an error with the order's number is sent"),
    _injected("B8", "a partial fill, then a cancel", "the broker's desk cancels an order filled in part"),
    _injected("B9", "a corporate action changes a position", "a split or dividend is applied"),
    _injected(
        "B10", "executions are no longer served after midnight", "the gateway forgets the day's executions"
    ),
    _injected("B11", "another client trades the same account", "a second client places an order"),
    _injected(
        "B12",
        "a night: DAY orders end, at midnight in New York executions are out of reach",
        "the clock and the market pass to the close, then to the next session",
    ),
    _injected(
        "D1", "the store cannot be opened or reached", "opening or writing the journal fails for a while"
    ),
    _injected(
        "D2", "the store fails in the middle of a transaction", "a commit fails; nothing of it is kept"
    ),
    _injected("D3", "a commit is applied and its answer lost", "a commit fails; all of it is kept"),
    _injected("D4", "a slow store", "a commit takes half a second to five"),
    _injected("D5", "the disk is full", "commits fail until there is room again"),
    _injected("D6", "the disk reports an error on sync", "a commit fails with an input/output error"),
    _absent("D7", "serialisation failure or deadlock", "the journal has one writer and no server"),
    _absent("D8", "failover to an older replica", "the journal is one local file; nothing is replicated"),
    _injected("D9", "restart with a torn tail", "a kill cuts a transaction that was being written"),
    _absent(
        "D10", "the pool of connections is exhausted", "the journal is one file with one handle, no pool"
    ),
    _absent(
        "D11", "the store's own clock steps", "the store stamps nothing: times come from the trader's clock"
    ),
    _injected("P1", "kill -9 at any step", "the process ends at a commit, a write or between two callbacks"),
    _injected("P2", "an orderly stop during a submission", "the trader is told to stop while it submits"),
    _injected("P3", "two instances at once", "a second trader is started on the same journal"),
    _absent("P4", "killed for want of memory", "for the trader it is P1: the process ends at any step"),
    _injected("P5", "the event loop stalls for 30 seconds", "virtual time jumps while nothing runs"),
    _absent("P6", "the disk is full in the audit trail", "the audit trail is the journal: it is D5"),
    _injected("P7", "a task is cancelled at an await", "a submission under way is cancelled"),
    _injected(
        "C1",
        "the wall clock jumps an hour",
        "the clock that stamps records steps; the monotonic one does not",
    ),
    _absent("R1", "the cache is down, flushed or stale", "the order path knows no cache"),
    _absent("S1", "a slow consumer of a web socket", "the API is a process of its own and reads projections"),
    _absent("S2", "10,000 subscribers", "the API is a process of its own and reads projections"),
    _absent("S3", "the log's sink blocks", "a world has no log: its records are dropped"),
    _absent("S4", "the configuration is reloaded during an order", "settings are read once, at the start"),
    _absent("S5", "two versions at once", "one journal has one trader; a second one is refused (P3)"),
)
"""Every fault, in the order of reports."""

BY_ID: Final = {fault.id: fault for fault in FAULTS}
INJECTED: Final = tuple(fault.id for fault in FAULTS if fault.injected)
