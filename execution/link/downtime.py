"""Down-time: stretches without a session, and without the broker behind a session that stands.

1. A lost session begins an outage. Inside a window of the gateway's week it is expected: tries go on and
   nothing counts. Outside of it each failed try counts; at the limit an alarm is raised, once.
2. Code 1100 or 2110 is an outage behind a socket that stands: `frozen` until 1101 or 1102. The alarm comes
   after a time.
3. After either kind orders may be sent when they are reconciled: `thawed`.
"""

from __future__ import annotations

from execution.clocks import MonotonicClock, TradingClock
from execution.errors import NotConnectedError
from execution.link.announcing import Announcer, clock_time
from execution.link.connection_errors import ClientIdInUseError, PlannedDowntimeError
from execution.link.gateway_week import Downtime, GatewayWeek
from execution.link.outage import ConnectionChange, Outage
from execution.orders.codes import LINK_LOST, LINK_RESTORED
from execution.orders.evidence import ErrorSeen


class DownTime:
    """Keeps account of down-time, and says when it is an incident.

    Parameters
    ----------
    announcer
        Tells of it.
    clock, wall
        Monotonic time, and the time of the week.
    week
        When the gateway is expected to be away; None expects it never.
    max_attempts
        Tries that fail within one unplanned outage before the alarm.
    client_id_wait
        Seconds for which a client id in use is waited for before such tries count.
    link_alarm_seconds
        How long TWS may be without the broker outside of planned windows before the alarm.

    Attributes
    ----------
    outage
        The stretch without a session; None while there is one, and before the first.
    link_outage
        The stretch in which TWS is without the broker.
    """

    def __init__(
        self,
        announcer: Announcer,
        clock: MonotonicClock,
        wall: TradingClock,
        week: GatewayWeek | None,
        *,
        max_attempts: int,
        client_id_wait: float,
        link_alarm_seconds: float,
    ) -> None:
        self.outage: Outage | None = None
        self.link_outage: Outage | None = None
        self.max_attempts = max_attempts
        self._announcer = announcer
        self._clock = clock
        self._wall = wall
        self._week = week
        self._client_id_wait = client_id_wait
        self._link_alarm_seconds = link_alarm_seconds
        self._thaw_due = False

    def planned(self) -> Downtime | None:
        """Return the window of the gateway's week that this moment lies in."""
        return None if self._week is None else self._week.at(self._wall.now_ns())

    def before_first(self) -> Outage:
        """Return the outage that lasts until the first session."""
        return Outage(self._clock.monotonic(), "not connected yet")

    def say_waiting(self, outage: Outage) -> None:
        """Say how long the gateway is away as planned, if it is."""
        self._announcer.waiting(outage, self._clock.monotonic(), self._wall.now_ns())

    # -- without a session --------------------------------------------------------------------------------

    def began(self, why: str, tally: dict[str, int]) -> None:
        """Take the loss of a session, with what it had received and sent."""
        self.link_outage = None
        now = self._clock.monotonic()
        self.outage = outage = Outage(now, why)
        outage.look(self.planned(), now)
        self._thaw_due = True
        self._announcer.tell(ConnectionChange.DISCONNECTED, outage.planned, reason=why, **tally)

    def failed(self, outage: Outage, error: NotConnectedError) -> bool:
        """Count a try that failed; return whether no further one is to be made now.

        Raises
        ------
        PlannedDowntimeError
            If the gateway is away as planned.
        """
        now = self._clock.monotonic()
        overrun = outage.look(self.planned(), now)
        outage.failures += 1
        if isinstance(error, ClientIdInUseError):
            since = outage.refused_since = now if outage.refused_since is None else outage.refused_since
            counts = now - since >= self._client_id_wait
        else:
            counts = True
        if overrun:
            self._announcer.tell(ConnectionChange.OVERRUN, reason=str(error))
        if counts and outage.planned is None:
            outage.counted += 1
        self._announcer.tell(
            ConnectionChange.CONNECT_FAILED,
            outage.planned,
            attempt=outage.failures,
            counted=outage.counted,
            of=self.max_attempts,
            reason=str(error),
        )
        if outage.planned is not None:
            until = clock_time(outage.planned.end_ns)
            raise PlannedDowntimeError(
                f"the gateway is away as planned ({outage.planned.name}, until {until}); {error}"
            ) from error
        if outage.counted < self.max_attempts:
            return False
        if outage is self.outage:
            self._announcer.alarm(outage, str(error))
        return True

    def ended(self) -> Outage | None:
        """Take a new session; return the outage that it ends, None if it is the first."""
        ended, self.outage = self.outage, None
        return ended

    def forget(self) -> None:
        """Take the session as closed on purpose: nothing is amiss."""
        self.outage = self.link_outage = None

    # -- without the broker -------------------------------------------------------------------------------

    def take_link(self, seen: ErrorSeen) -> None:
        """Take what TWS says of its own connection to the broker; other codes are passed over."""
        if seen.code in LINK_LOST and self.link_outage is None:
            now = self._clock.monotonic()
            self.link_outage = outage = Outage(now, f"{seen.code}: {seen.text}")
            outage.look(self.planned(), now)
            self._thaw_due = True
            self._announcer.tell(ConnectionChange.FROZEN, outage.planned, reason=outage.reason)
        elif seen.code in LINK_RESTORED:
            ended, self.link_outage = self.link_outage, None
            self._thaw_due = True
            self._announcer.tell(
                ConnectionChange.RESTORED,
                ended.planned if ended else None,
                reason=f"{seen.code}: {seen.text}",
                market_data=LINK_RESTORED[seen.code],
            )

    def look_at_link(self) -> None:
        """Raise the alarm if TWS is without the broker for too long."""
        outage = self.link_outage
        if outage is None:
            return
        now = self._clock.monotonic()
        if outage.look(self.planned(), now):
            self._announcer.tell(ConnectionChange.OVERRUN, reason=outage.reason)
        if outage.incident_since is not None and now - outage.incident_since >= self._link_alarm_seconds:
            self._announcer.alarm(
                outage, f"TWS is without the broker for {now - outage.began:.0f} s: {outage.reason}"
            )

    def reconciled(self, epoch: int) -> None:
        """Tell, after an interruption, that orders may be sent again on the session of this epoch."""
        if self._thaw_due and self.link_outage is None:
            self._thaw_due = False
            self._announcer.tell(ConnectionChange.THAWED, epoch=epoch)
