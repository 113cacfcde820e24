"""Down-time of the connection: what is told of it, and when it becomes an incident."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from execution.link.gateway_week import Downtime


class ConnectionChange(enum.StrEnum):
    """What happened to the connection; also the name of the event in the journal."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    CONNECT_FAILED = "connect_failed"
    WAITING = "waiting_as_planned"
    """The first session is to come when a planned window of the gateway's week has passed."""
    FROZEN = "frozen"
    """TWS lost the broker: nothing is submitted, though the socket stands."""
    RESTORED = "restored"
    """TWS has the broker again; nothing is submitted before it is reconciled."""
    THAWED = "thawed"
    """Reconciled after an interruption: orders may be sent again."""
    OVERRUN = "downtime_overrun"
    """A planned absence is over and the gateway is not back: from now on it is an incident."""
    ALARM = "alarm"
    """An incident that does not end by itself so far: a person has to look."""
    READ_ONLY_API = "read_only_api"


@dataclass(frozen=True, slots=True)
class ConnectionEvent:
    """One change of the connection.

    `planned` names the window of the gateway's week that explains it, and is empty for what nobody planned.
    """

    change: ConnectionChange
    planned: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_incident(self) -> bool:
        """Whether it is down-time, or a try in it, that nobody planned."""
        return (
            not self.planned
            and self.change
            in (
                ConnectionChange.DISCONNECTED,
                ConnectionChange.CONNECT_FAILED,
                ConnectionChange.FROZEN,
                ConnectionChange.OVERRUN,
                ConnectionChange.ALARM,
                ConnectionChange.READ_ONLY_API,
            )
            and not self.details.get("asked_for", False)
        )


@dataclass(slots=True)
class Outage:
    """One stretch without the broker, from its beginning on the monotonic clock.

    Attributes
    ----------
    planned
        The window it lies in now; None while it is an incident.
    failures, counted
        Tries that failed, and those of them that count towards the limit.
    alarmed
        Whether the alarm was raised.
    waiting_for, said_waiting
        The window that is being waited out before the first session, and when that was last said.
    """

    began: float
    reason: str
    planned: Downtime | None = None
    failures: int = 0
    counted: int = 0
    alarmed: bool = False
    incident_since: float | None = None
    refused_since: float | None = None
    waiting_for: Downtime | None = None
    said_waiting: float = 0.0

    def look(self, planned: Downtime | None, now: float) -> bool:
        """Take what the gateway's week says now; return whether a planned window has just run out."""
        overrun = self.planned is not None and planned is None
        self.planned = planned
        if planned is not None:
            self.incident_since = None
        elif self.incident_since is None:
            self.incident_since = now
        return overrun


class Backoff:
    """Growing pauses between tries, with jitter.

    Parameters
    ----------
    first, longest
        Seconds before the second try, and the most it grows to by doubling.
    randomness
        Numbers in [0, 1); a pause is shortened by up to half of itself, so that many clients of one gateway
        do not come back in the same moment.
    """

    def __init__(self, first: float, longest: float, randomness: Callable[[], float]) -> None:
        self._first = first
        self.longest = longest
        self._randomness = randomness

    def after(self, failures: int) -> float:
        """Return the seconds to wait after so many failures."""
        doubled = self._first * 2.0 ** min(max(failures, 1) - 1, 30)
        return min(self.longest, doubled) * (1 - self._randomness() / 2)
