"""What a trader puts on record of its steps: snapshots, signals, risk, the kill switch; over restarts too.

A replay after a restart runs the same steps again. What is in the journal is not recorded a second time; what
a crash took with it, because nothing had committed it, is. A snapshot and its risk are recorded again only
where a late bar joins their step: the last ones count.
"""

from __future__ import annotations

import structlog

from execution.audit import AuditLogger
from execution.clocks import utc_ns
from execution.errors import JournalError
from execution.events import KillSwitchEvent
from execution.models import PortfolioSnapshot
from execution.orders.recovery import Recovered
from risk.metrics import MetricsEvery, RiskMeter
from strategies.signals import StatedSignal
from strategies.step import Sessions


class StepRecord:
    """Journals what the steps of one trader come to.

    Parameters
    ----------
    audit
        The journal's writer.
    sessions
        Trading sessions, whose closes are the moments of `MetricsEvery.SESSION`.
    every
        When risk is recorded.
    meter
        Measures it; by default without daily returns, so that the tail is unknown.
    """

    def __init__(
        self,
        audit: AuditLogger,
        sessions: Sessions,
        every: MetricsEvery,
        meter: RiskMeter | None = None,
    ) -> None:
        self._audit = audit
        self._sessions = sessions
        self._every = every
        self._meter = meter or RiskMeter()
        self._snapshots_from_ns = 0
        self._risk_from_ns = 0
        self._signals_ns = 0
        self._signals: set[str] = set()
        self._log = structlog.get_logger("trader")

    def restore(self, recovered: Recovered) -> None:
        """Take note of what the journal has."""
        self._snapshots_from_ns = recovered.last_snapshot_ns + 1
        self._signals_ns, self._signals = recovered.last_signal_ns, set(recovered.last_signals)
        if recovered.risk_metrics is not None:
            self._risk_from_ns = recovered.risk_metrics["trading_time"] + 1
            self._meter.restore(recovered.risk_metrics)

    def snapshot(self, snapshot: PortfolioSnapshot) -> None:
        """Record the book at a step, and its risk where that is due."""
        moment = utc_ns(snapshot.timestamp)
        if moment >= self._snapshots_from_ns:
            self._snapshots_from_ns = moment
            self._audit.log_snapshot(snapshot)
        self._meter.see(snapshot)
        if moment >= self._risk_from_ns and self._is_due(moment):
            self._risk_from_ns = moment
            self._audit.note("risk_metrics", **self._meter.measure(snapshot).to_body())

    def signal(self, stated: StatedSignal) -> None:
        """Record a signal; it is durable with the commit of the first order that it leads to, or the next."""
        if stated.time_ns < self._signals_ns:
            return
        if stated.time_ns > self._signals_ns:
            self._signals_ns, self._signals = stated.time_ns, set()
        if stated.signal_id not in self._signals:
            self._signals.add(stated.signal_id)
            self._audit.note("signal", **stated.to_body())

    def kill_switch(self, event: KillSwitchEvent) -> None:
        """Record that the daily-loss limit was reached."""
        try:
            self._audit.log_kill_switch(event)
        except JournalError as error:
            # The step must go on to its end; the journal holds the event and writes it with its next commit.
            self._log.error("the kill switch is not on record yet", why=str(error))

    def _is_due(self, moment: int) -> bool:
        if self._every is not MetricsEvery.SESSION:
            return self._every is MetricsEvery.STEP
        session = self._sessions.session_closing_after(moment - 1)
        return session is not None and session.close_ns == moment
