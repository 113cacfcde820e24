"""The connection to TWS or the IB Gateway: one session after the other, and what happens in between.

1. `connect` makes a session, trying again with growing, jittered pauses. A client id that is still in use is
   waited for; another one is never taken, because our orders would no longer be ours.
2. While a session stands, a heartbeat watches it. A dead one is given up, with what it had not delivered.
3. A lost session begins an outage. Inside a window of the gateway's week it is expected: tries go on and
   nothing counts. Outside of it each failed try counts, also across several calls. At the limit an alarm is
   raised, once; nothing can be sent, and each further call makes one more try. Nothing here ends a program.
4. Code 1100 or 2110 is an outage behind a socket that stands: `frozen` until 1101 or 1102.
5. After either kind orders may be sent when they are reconciled, which the executor says (`reconciled`).
6. A login that no longer offers the accounts of the first session is closed: what was authorised for a paper
   account never trades a live one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import structlog

from execution.audit import AuditLogger
from execution.clocks import NANOS, MonotonicClock, SystemClock, TradingClock, random_fraction, timestamp
from execution.errors import JournalError, NotConnectedError
from execution.events import ConnectionEventHandler
from execution.ibkr.contract_book import ContractBook
from execution.ibkr.contract_learning import ContractLearning
from execution.ibkr.record import InteractionRecord
from execution.ibkr.session import IBSession
from execution.link.connection_errors import AccountChangedError, ClientIdInUseError, PlannedDowntimeError
from execution.link.gateway_week import Downtime, GatewayWeek
from execution.link.heartbeat import Heartbeat, HeartbeatTerms
from execution.link.outage import Backoff, ConnectionChange, ConnectionEvent, Outage
from execution.models import Bar
from execution.orders.codes import LINK_LOST, LINK_RESTORED, CodeTable
from execution.orders.evidence import ErrorSeen, Evidence
from execution.orders.telling import HandlerFailure, Receiver

_BETWEEN_SAYING = 300.0


class IBKRConnectionManager:
    """Manages the session with TWS or the gateway, and makes a new one when it is lost.

    Parameters
    ----------
    host, port, client_id
        Where to connect; 7497 is TWS's paper port, 7496 its live one.
    readonly
        Refuse to send orders over this connection.
    timeout
        Seconds for the handshake and for each request.
    reconnect_max_attempts, reconnect_backoff
        Tries that fail within one unplanned outage before the alarm, and seconds before the second; the wait
        doubles each time up to `longest_pause`.
    throttled
        Keep below 50 messages a second. Only lockstep with the simulated gateway lifts it.
    time_zone
        Zone of the times that TWS sends without one.
    handlers
        Receivers of connection events. One with a method `on_connection_event` is also given each
        `ConnectionEvent`.
    audit
        Records connection events.
    sleep
        Waits between tries (injected in tests and simulation).
    longest_pause
        Seconds between two tries at the most.
    client_id_wait
        Seconds for which a client id that is in use (326) is waited for before such tries count.
    heartbeat
        How a dead connection is found; None leaves it to the kernel.
    week
        When the gateway is expected to be away; None expects it never.
    link_alarm_seconds
        How long TWS may be without the broker (1100) outside of planned windows before the alarm.
    codes
        What TWS codes mean; `codes.teach` adds to it at run time.
    request_patience
        Seconds without a further row after which the answer to a request does not come, at most `timeout`.
    contract_details
        Ask for the details of the contracts in `contracts`, so that an order which one would not take is
        refused unsent; by default wherever `throttled` is on.
    clock, wall, randomness
        Monotonic time, the time of the week, and jitter.
    make_session
        Makes the session of each connection; a test injects one without a wire (`execution.testing`).
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 7497,
        client_id: int = 1,
        readonly: bool = False,
        *,
        timeout: float = 30.0,
        reconnect_max_attempts: int = 5,
        reconnect_backoff: float = 5.0,
        throttled: bool = True,
        time_zone: str = "America/New_York",
        handlers: Sequence[ConnectionEventHandler] = (),
        audit: AuditLogger | None = None,
        sleep: Callable[[float], Any] = asyncio.sleep,
        longest_pause: float = 60.0,
        client_id_wait: float = 60.0,
        heartbeat: HeartbeatTerms | None = HeartbeatTerms(),  # noqa: B008  frozen
        week: GatewayWeek | None = None,
        link_alarm_seconds: float = 120.0,
        codes: CodeTable | None = None,
        request_patience: float = 15.0,
        contract_details: bool | None = None,
        clock: MonotonicClock | None = None,
        wall: TradingClock | None = None,
        randomness: Callable[[], float] = random_fraction,
        make_session: Callable[..., IBSession] = IBSession,
    ) -> None:
        self.host = host
        self.port = port
        self.client_id = client_id
        self.readonly = readonly
        self.audit = audit
        self.codes = codes or CodeTable()
        self.contracts = ContractBook()
        """Our instruments, as far as the executor has named them."""
        self.epoch = 0
        self.on_evidence: Callable[[Evidence], None] = lambda _: None
        self.on_data: Callable[[], None] = lambda: None
        self.on_session: Callable[[], None] = lambda: None
        self.first_id: Callable[[], int] = lambda: 0
        self.on_bar: Callable[[Bar], None] = lambda _: None
        self._timeout = timeout
        self._max_attempts = max(1, reconnect_max_attempts)
        self._backoff = Backoff(reconnect_backoff, longest_pause, randomness)
        self._patience = min(request_patience, timeout)
        self._describes = throttled if contract_details is None else contract_details
        self._throttled = throttled
        self._time_zone = time_zone
        self._receivers = [Receiver(handler, self._report) for handler in handlers]
        self._sleep = sleep
        self._client_id_wait = client_id_wait
        self._terms = heartbeat
        self._week = week
        self._link_alarm_seconds = link_alarm_seconds
        self._clock = clock or SystemClock()
        self._wall = wall or SystemClock()
        self._make_session = make_session
        self._session: IBSession | None = None
        self._accounts: frozenset[str] = frozenset()
        self._connecting = asyncio.Lock()
        self._down = asyncio.Event()
        self._outage: Outage | None = None
        self._link_outage: Outage | None = None
        self._thaw_due = False
        self._watching: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._record = InteractionRecord(lambda: self.audit)
        self._learning = ContractLearning(self.contracts, self._record.note, self._clock.monotonic)
        self._log = structlog.get_logger("connection")

    def add_handler(self, handler: ConnectionEventHandler) -> None:
        """Tell another receiver of connection events."""
        self._receivers.append(Receiver(handler, self._report))

    # -- state -----------------------------------------------------------------------------------------

    @property
    def session(self) -> IBSession:
        """The session in use; raise `NotConnectedError` if there is none."""
        if self._session is None or not self._session.is_open:
            raise NotConnectedError(
                f"not connected to {self.host}:{self.port}; call connect() or ensure_connected() first"
            )
        return self._session

    def is_connected(self) -> bool:
        """Return whether a session stands."""
        return self._session is not None and self._session.is_open

    @property
    def outage(self) -> Outage | None:
        """The stretch without a session, or without the broker behind it; None while all is well."""
        return self._outage or self._link_outage

    @property
    def api_read_only(self) -> bool:
        """Whether TWS turned out to run with Read-Only API in this session."""
        return self._session is not None and self._session.api_read_only

    def planned_downtime(self) -> Downtime | None:
        """Return the window of the gateway's week that this moment lies in."""
        return None if self._week is None else self._week.at(self._wall.now_ns())

    # -- life ------------------------------------------------------------------------------------------

    async def connect(self, *, wait_planned: bool = False) -> None:
        """Establish a session, trying again with growing pauses.

        Parameters
        ----------
        wait_planned
            Wait out a planned window of the gateway's week, and say so, instead of raising.

        Raises
        ------
        PlannedDowntimeError
            If the try failed inside a planned window of the gateway's week; no other one is made.
        NotConnectedError
            If every try failed; the last reason is in the message. After the limit of an outage each call
            makes one try.
        """
        first = Outage(self._clock.monotonic(), "not connected yet")
        while True:
            try:
                async with self._connecting:
                    if not self.is_connected():
                        await self._try_repeatedly(self._outage or first)
            except PlannedDowntimeError:
                if not wait_planned:
                    raise
                outage = self._outage or first
                self._say_waiting(outage)
                await self._sleep(self._backoff.after(outage.failures))
            else:
                return

    async def ensure_connected(self) -> None:
        """Connect if there is no session."""
        await self.connect()

    async def start(self, *, wait_planned: bool = True) -> None:
        """Connect, and from now on make a new session whenever one is lost, until `stop`.

        Parameters
        ----------
        wait_planned
            Wait out a planned window of the gateway's week, instead of raising `PlannedDowntimeError`.

        Raises
        ------
        NotConnectedError
            If the first session cannot be had. Later losses raise nothing: see the alarm.
        """
        await self.connect(wait_planned=wait_planned)
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep(), name="connection")

    def _say_waiting(self, outage: Outage) -> None:
        """Tell once for each window, and log now and then, how long the gateway is away as planned."""
        planned, now = outage.planned, self._clock.monotonic()
        if planned is None:
            return
        left = max(0, planned.end_ns - self._wall.now_ns()) // NANOS
        facts = {"until": _clock_time(planned.end_ns), "minutes_left": -(-left // 60)}
        if outage.waiting_for != planned:
            outage.waiting_for, outage.said_waiting = planned, now
            self._tell(ConnectionChange.WAITING, planned, tries=outage.failures, **facts)
        elif now - outage.said_waiting >= _BETWEEN_SAYING:
            outage.said_waiting = now
            self._log.info("gateway away as planned", planned=planned.name, **facts)

    async def stop(self) -> None:
        """Make no more sessions, and close the one that stands; open orders stay at the broker."""
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping
        await self.disconnect()

    async def disconnect(self) -> None:
        """Close the session; open orders stay at the broker."""
        session, self._session = self._session, None
        self._end_watch()
        self._outage = self._link_outage = None
        if session is not None:
            session.close()
            told: dict[str, Any] = {"reason": "asked for", "asked_for": True, **session.tally()}
            self._tell(ConnectionChange.DISCONNECTED, **told)
        self._record.settle()

    def reconciled(self) -> None:
        """Take note that orders may be sent again; the executor says so."""
        if self._thaw_due and self._link_outage is None and self.is_connected():
            self._thaw_due = False
            self._tell(ConnectionChange.THAWED, epoch=self.epoch)

    async def _keep(self) -> None:
        while True:
            await self._down.wait()
            try:
                await self.connect()
            except NotConnectedError:
                await self._sleep(self._backoff.after(self._outage.failures if self._outage else 1))

    # -- tries -----------------------------------------------------------------------------------------

    async def _try_repeatedly(self, outage: Outage) -> None:
        while True:
            try:
                await self._open(outage)
            except AccountChangedError as error:
                self._alarm(outage, str(error))
                raise
            except NotConnectedError as error:
                self._failed(outage, error)
                if outage.planned is not None:
                    until = _clock_time(outage.planned.end_ns)
                    raise PlannedDowntimeError(
                        f"the gateway is away as planned ({outage.planned.name}, until {until}); {error}"
                    ) from error
                if outage.counted >= self._max_attempts:
                    if outage is self._outage:
                        self._alarm(outage, str(error))
                    raise
            else:
                return
            await self._sleep(self._backoff.after(outage.failures))

    def _failed(self, outage: Outage, error: NotConnectedError) -> None:
        now = self._clock.monotonic()
        overrun = outage.look(self.planned_downtime(), now)
        outage.failures += 1
        if isinstance(error, ClientIdInUseError):
            since = outage.refused_since = now if outage.refused_since is None else outage.refused_since
            counts = now - since >= self._client_id_wait
        else:
            counts = True
        if overrun:
            self._tell(ConnectionChange.OVERRUN, reason=str(error))
        if counts and outage.planned is None:
            outage.counted += 1
        self._tell(
            ConnectionChange.CONNECT_FAILED,
            outage.planned,
            attempt=outage.failures,
            counted=outage.counted,
            of=self._max_attempts,
            reason=str(error),
        )

    async def _open(self, outage: Outage) -> None:
        if self._session is not None:
            self._session.close()
        session: IBSession = self._make_session(
            on_evidence=self._pass_evidence,
            on_data=self._pass_data,
            on_bar=self._pass_bar,
            on_disconnected=lambda why: self._lost(session, why),
            on_read_only=self._read_only,
            on_note=self._record.note,
            contracts=self.contracts,
            classify_code=self.codes.classify,
            throttled=self._throttled,
            time_zone=self._time_zone,
        )
        session.timeout, session.patience = self._timeout, self._patience
        await session.open(self.host, self.port, self.client_id, first_id=self.first_id())
        self._require_accounts(session)
        self._session = session
        self._link_outage = None
        self.epoch += 1
        self.on_session()
        self._down.clear()
        self._watch(session)
        details: dict[str, Any] = {"host": self.host, "port": self.port, "client_id": self.client_id}
        details |= session.login()
        planned = None
        if outage is self._outage:
            self._outage = None
            planned = outage.planned
            details |= {"failed_tries": outage.failures, "after": outage.reason}
        self._tell(ConnectionChange.CONNECTED, planned, **details)

    def _require_accounts(self, session: IBSession) -> None:
        offered = frozenset(session.accounts)
        missing = self._accounts - offered
        if missing:
            session.close()
            raise AccountChangedError(
                f"the login at {self.host}:{self.port} offers {', '.join(sorted(offered))} and no longer "
                f"{', '.join(sorted(missing))}; the session was closed. Log in as before, or start anew"
            )
        self._accounts = self._accounts or offered

    # -- watching --------------------------------------------------------------------------------------

    def _watch(self, session: IBSession) -> None:
        self._end_watch()
        terms = self._terms
        if terms is not None:
            heartbeat = Heartbeat(session, terms, self._clock)
            self._watching = asyncio.create_task(self._listen(session, heartbeat), name="heartbeat")

    def _end_watch(self) -> None:
        watching, self._watching = self._watching, None
        if watching is not None and watching is not asyncio.current_task():
            watching.cancel()

    async def _listen(self, session: IBSession, heartbeat: Heartbeat) -> None:
        while session is self._session:
            await asyncio.sleep(heartbeat.terms.look_seconds)
            if session is not self._session:
                return
            why = heartbeat.check()
            if why is not None:
                session.abort(why)
                self._lost(session, why)
                return
            self._look_at_link()

    def _look_at_link(self) -> None:
        outage = self._link_outage
        if outage is None:
            return
        now = self._clock.monotonic()
        if outage.look(self.planned_downtime(), now):
            self._tell(ConnectionChange.OVERRUN, reason=outage.reason)
        if outage.incident_since is not None and now - outage.incident_since >= self._link_alarm_seconds:
            self._alarm(outage, f"TWS is without the broker for {now - outage.began:.0f} s: {outage.reason}")

    def _lost(self, session: IBSession, why: str) -> None:
        if session is not self._session:
            return
        self._session = None
        self._link_outage = None
        self._end_watch()
        self._down.set()
        self._begin(why, session.tally())

    def _begin(self, why: str, tally: dict[str, int]) -> None:
        now = self._clock.monotonic()
        self._outage = outage = Outage(now, why)
        outage.look(self.planned_downtime(), now)
        self._thaw_due = True
        self._tell(ConnectionChange.DISCONNECTED, outage.planned, reason=why, **tally)

    # The receivers are set after the manager is built, so the session calls through these.

    def _pass_evidence(self, evidence: Evidence) -> None:
        self.on_evidence(evidence)
        if isinstance(evidence, ErrorSeen):
            self._take_link(evidence)

    def _take_link(self, seen: ErrorSeen) -> None:
        if seen.code in LINK_LOST and self._link_outage is None:
            now = self._clock.monotonic()
            self._link_outage = outage = Outage(now, f"{seen.code}: {seen.text}")
            outage.look(self.planned_downtime(), now)
            self._thaw_due = True
            self._tell(ConnectionChange.FROZEN, outage.planned, reason=outage.reason)
        elif seen.code in LINK_RESTORED:
            ended, self._link_outage = self._link_outage, None
            self._thaw_due = True
            self._tell(
                ConnectionChange.RESTORED,
                ended.planned if ended else None,
                reason=f"{seen.code}: {seen.text}",
                market_data=LINK_RESTORED[seen.code],
            )

    def _pass_data(self) -> None:
        self.on_data()

    def _pass_bar(self, bar: Bar) -> None:
        self.on_bar(bar)

    def _read_only(self, text: str) -> None:
        self._tell(
            ConnectionChange.READ_ONLY_API,
            reason=text,
            remedy="untick Read-Only API in the API settings of TWS; no order can be sent before",
        )

    # -- contracts -------------------------------------------------------------------------------------

    async def learn_contracts(self) -> None:
        """Ask for the details of the instruments in `contracts` that are not known, if that is wanted."""
        if self._describes:
            session: IBSession = self.session
            await self._learning.learn(session)

    # -- telling ---------------------------------------------------------------------------------------

    def _alarm(self, outage: Outage, why: str) -> None:
        if not outage.alarmed:
            outage.alarmed = True
            self._tell(
                ConnectionChange.ALARM, reason=why, tries=outage.failures, remedy="look at TWS or the gateway"
            )

    def _tell(self, change: ConnectionChange, planned: Downtime | None = None, **details: Any) -> None:
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

    def _write(self, change: ConnectionChange, details: dict[str, Any]) -> None:
        if self.audit is None:
            return
        try:
            self.audit.log_connection_event(change.value, details)
        except JournalError as error:
            # The journal holds it for its next commit; the state of the connection must not wait for that.
            self._log.error("the event is not on record yet", connection_event=change.value, why=str(error))

    def _report(self, failure: HandlerFailure) -> None:
        if self.audit is not None:
            self.audit.log_handler_failure(failure)
            return
        facts = {"handler": failure.handler, "hook": failure.told.hook, "gave_up": failure.gave_up}
        self._log.error("handler raised", exc_info=failure.error, **facts)


def _clock_time(ns: int) -> str:
    return f"{timestamp(ns):%a %H:%M} UTC"
