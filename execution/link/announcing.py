"""How what happens to the connection is told: to the log, the journal and those who asked to hear of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog

from execution.audit import AuditLogger
from execution.clocks import NANOS, timestamp
from execution.errors import JournalError
from execution.events import ConnectionEventHandler
from execution.link.gateway_week import Downtime
from execution.link.outage import ConnectionChange, ConnectionEvent, Outage
from execution.orders.telling import HandlerFailure, Receiver

_BETWEEN_SAYING = 300.0


class Announcer:
    """Tells changes of the connection.

    Parameters
    ----------
    audit
        Gives the audit trail in use; None while there is none.
    handlers
        Receivers of connection events.
    """

    def __init__(
        self, audit: Callable[[], AuditLogger | None], handlers: Sequence[ConnectionEventHandler]
    ) -> None:
        self._audit = audit
        self._receivers = [Receiver(handler, self._report) for handler in handlers]
        self._log = structlog.get_logger("connection")

    def add(self, handler: ConnectionEventHandler) -> None:
        """Tell another receiver."""
        self._receivers.append(Receiver(handler, self._report))

    def tell(self, change: ConnectionChange, planned: Downtime | None = None, **details: Any) -> None:
        """Log a change, record it, and tell the receivers; `planned` is the window that explains it."""
        event = ConnectionEvent(change, planned.name if planned else "", details)
        if planned:
            details["planned"] = planned.name
        report = self._log.info
        if change in (ConnectionChange.ALARM, ConnectionChange.READ_ONLY_API):
            report = self._log.error
        elif event.is_incident:
            report = self._log.warning
        report(change.value.replace("_", " "), **details)
        self._write(change, details)
        for receiver in self._receivers:
            if change is ConnectionChange.CONNECTED:
                receiver.tell("on_connected")
            elif change is ConnectionChange.DISCONNECTED:
                receiver.tell("on_disconnected")
            receiver.tell("on_connection_event", event)

    def alarm(self, outage: Outage, why: str) -> None:
        """Raise the alarm of an outage, once."""
        if not outage.alarmed:
            outage.alarmed = True
            self.tell(
                ConnectionChange.ALARM, reason=why, tries=outage.failures, remedy="look at TWS or the gateway"
            )

    def read_only(self, text: str) -> None:
        """Tell that TWS runs with Read-Only API."""
        self.tell(
            ConnectionChange.READ_ONLY_API,
            reason=text,
            remedy="untick Read-Only API in the API settings of TWS; no order can be sent before",
        )

    def waiting(self, outage: Outage, now: float, wall_ns: int) -> None:
        """Tell once for each window, and log now and then, how long the gateway is away as planned."""
        planned = outage.planned
        if planned is None:
            return
        left = max(0, planned.end_ns - wall_ns) // NANOS
        facts = {"until": clock_time(planned.end_ns), "minutes_left": -(-left // 60)}
        if outage.waiting_for != planned:
            outage.waiting_for, outage.said_waiting = planned, now
            self.tell(ConnectionChange.WAITING, planned, tries=outage.failures, **facts)
        elif now - outage.said_waiting >= _BETWEEN_SAYING:
            outage.said_waiting = now
            self._log.info("gateway away as planned", planned=planned.name, **facts)

    def _write(self, change: ConnectionChange, details: dict[str, Any]) -> None:
        audit = self._audit()
        if audit is None:
            return
        try:
            audit.log_connection_event(change.value, details)
        except JournalError as error:
            # The journal holds it for its next commit; the state of the connection must not wait for that.
            self._log.error("the event is not on record yet", connection_event=change.value, why=str(error))

    def _report(self, failure: HandlerFailure) -> None:
        audit = self._audit()
        if audit is not None:
            audit.log_handler_failure(failure)
            return
        facts = {"handler": failure.handler, "hook": failure.told.hook, "gave_up": failure.gave_up}
        self._log.error("handler raised", exc_info=failure.error, **facts)


def clock_time(ns: int) -> str:
    """Return a moment as weekday and time, UTC."""
    return f"{timestamp(ns):%a %H:%M} UTC"
