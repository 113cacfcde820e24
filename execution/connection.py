"""The connection to TWS or the IB Gateway: one session after the other, and what happens in between.

1. `connect` makes a session, trying again with growing, jittered pauses. A client id that is still in use is
   waited for; another one is never taken, because our orders would no longer be ours.
2. While a session stands, a heartbeat watches it. A dead one is given up, with what it had not delivered.
3. A lost session begins an outage. Inside a window of the gateway's week it is expected: tries go on and
   nothing counts. Outside of it each failed try counts, also across several calls. At the limit an alarm is
   raised, once; nothing can be sent, and each further call makes one more try. Nothing here ends a program.
4. Code 1100 or 2110 is an outage behind a socket that stands: `frozen` until 1101 or 1102, also where TWS
   says so in the login. With 1300 TWS drops the connection, which is given up then whether it closes or not.
5. After either kind orders may be sent when they are reconciled, which the executor says (`reconciled`).
6. A login that no longer offers the accounts of the first session is closed: what was authorised for a paper
   account never trades a live one.

The parts are in `execution.link`: `sessions` makes one, `watching` watches it, `keeping` sees to the next,
`downtime` keeps account of what is between two, `announcing` tells it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from execution.audit import AuditLogger
from execution.clocks import MonotonicClock, SystemClock, TradingClock, random_fraction
from execution.errors import NotConnectedError
from execution.events import ConnectionEventHandler
from execution.ibkr.contract_book import ContractBook
from execution.ibkr.contract_learning import ContractLearning
from execution.ibkr.record import InteractionRecord
from execution.ibkr.session import IBSession
from execution.link.announcing import Announcer
from execution.link.connection_errors import AccountChangedError, PlannedDowntimeError
from execution.link.downtime import DownTime
from execution.link.gateway_week import GatewayWeek
from execution.link.heartbeat import HeartbeatTerms
from execution.link.keeping import Keeping
from execution.link.outage import Backoff, ConnectionChange, Outage
from execution.link.sessions import Receivers, Sessions, SessionTerms
from execution.link.watching import Watch
from execution.models import Bar
from execution.orders.codes import PORT_RESET, CodeTable
from execution.orders.evidence import ErrorSeen, Evidence


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
        self.said_at_login: list[ErrorSeen] = []
        """What TWS said of itself in the login of the session in use, before there was one."""
        self.on_evidence: Callable[[Evidence], None] = lambda _: None
        self.on_data: Callable[[], None] = lambda: None
        self.on_session: Callable[[], None] = lambda: None
        self.first_id: Callable[[], int] = lambda: 0
        self.on_bar: Callable[[Bar], None] = lambda _: None
        self._backoff = Backoff(reconnect_backoff, longest_pause, randomness)
        self._describes = throttled if contract_details is None else contract_details
        self._sleep = sleep
        clock, wall = clock or SystemClock(), wall or SystemClock()
        self._announcer = Announcer(lambda: self.audit, handlers)
        self._down_time = DownTime(
            self._announcer,
            clock,
            wall,
            week,
            max_attempts=max(1, reconnect_max_attempts),
            client_id_wait=client_id_wait,
            link_alarm_seconds=link_alarm_seconds,
        )
        self._record = InteractionRecord(lambda: self.audit)
        self._sessions = Sessions(
            make_session,
            SessionTerms(timeout, min(request_patience, timeout), throttled, time_zone),
            Receivers(
                self._pass_evidence,
                self._pass_data,
                self._pass_bar,
                self._announcer.read_only,
                self._lost,
            ),
            self.contracts,
            self.codes,
            self._record,
        )
        self._watch = Watch(heartbeat, clock, self._down_time.look_at_link, self._lost)
        self._learning = ContractLearning(self.contracts, self._record.note, clock.monotonic)
        self._session: IBSession | None = None
        self._connecting = asyncio.Lock()
        self._closings = 0
        """How often it was closed on purpose: what was under way then makes no session any more."""
        self._keeping = Keeping(self.connect, self._pause)

    def add_handler(self, handler: ConnectionEventHandler) -> None:
        """Tell another receiver of connection events."""
        self._announcer.add(handler)

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
        return self._down_time.outage or self._down_time.link_outage

    @property
    def api_read_only(self) -> bool:
        """Whether TWS turned out to run with Read-Only API in this session."""
        return self._session is not None and self._session.api_read_only

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
            If every try failed, or the connection was closed meanwhile; the reason is in the message. After
            the limit of an outage each call makes one try.
        """
        first, closings = self._down_time.before_first(), self._closings
        while True:
            try:
                async with self._connecting:
                    if not self.is_connected():
                        self._notice_loss()
                        await self._try_repeatedly(self._down_time.outage or first, closings)
            except PlannedDowntimeError:
                if not wait_planned:
                    raise
                outage = self._down_time.outage or first
                self._down_time.say_waiting(outage)
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
        self._keeping.begin(connected=self.is_connected())

    async def stop(self) -> None:
        """Make no more sessions, and close the one that stands; open orders stay at the broker."""
        await self._keeping.end()
        await self.disconnect()

    async def disconnect(self) -> None:
        """Close the session; open orders stay at the broker."""
        session, self._session = self._session, None
        self._closings += 1
        self._watch.end()
        self._down_time.forget()
        if session is not None:
            session.close()
            told: dict[str, Any] = {"reason": "asked for", "asked_for": True, **session.tally()}
            self._announcer.tell(ConnectionChange.DISCONNECTED, **told)
        self._record.settle()

    def reconciled(self) -> None:
        """Take note that orders may be sent again; the executor says so."""
        if self.is_connected():
            self._down_time.reconciled(self.epoch)

    async def _pause(self) -> None:
        outage = self._down_time.outage
        await self._sleep(self._backoff.after(outage.failures if outage else 1))

    # -- one session after the other ----------------------------------------------------------------------

    async def _try_repeatedly(self, outage: Outage, closings: int) -> None:
        while True:
            try:
                self._require_wanted(closings)
                await self._open()
            except AccountChangedError as error:
                self._announcer.alarm(outage, str(error))
                raise
            except NotConnectedError as error:
                if closings != self._closings or self._down_time.failed(outage, error):
                    raise
            else:
                return
            await self._sleep(self._backoff.after(outage.failures))

    async def _open(self) -> None:
        self.said_at_login, closings = [], self._closings
        session = await self._sessions.open(self.host, self.port, self.client_id, self.first_id())
        if closings != self._closings:
            session.close()
            self._require_wanted(closings)
        self._session = session
        self.epoch += 1
        self._down_time.link_outage = None
        self._watch.begin(session)  # before all else: a session that nobody watches may be dead unnoticed
        self._keeping.made()
        self.on_session()
        details: dict[str, Any] = {"host": self.host, "port": self.port, "client_id": self.client_id}
        details |= session.login()
        ended = self._down_time.ended()
        if ended is not None:
            details |= {"failed_tries": ended.failures, "after": ended.reason}
        self._announcer.tell(ConnectionChange.CONNECTED, ended.planned if ended else None, **details)
        for seen in self.said_at_login:
            self._down_time.take_link(seen)

    def _require_wanted(self, closings: int) -> None:
        if closings != self._closings:
            raise NotConnectedError("the connection was closed meanwhile; call connect() to have one again")

    def _notice_loss(self) -> None:
        """Take a session that is over as lost, where its socket has not said so yet."""
        session = self._session
        if session is not None:
            session.close()
            self._lost(session, "connection lost")

    def _give_up(self, session: IBSession, why: str) -> None:
        """End a session that TWS has said is over, also where its socket stands."""
        if session is self._session:
            session.abort(why)
            self._lost(session, why)

    def _lost(self, session: IBSession, why: str) -> None:
        if session is not self._session:
            return
        self._session = None
        self._watch.end()
        self._keeping.lost()
        self._down_time.began(why, session.tally())

    # The receivers are set after the manager is built, so the session calls through these.

    def _pass_evidence(self, evidence: Evidence) -> None:
        self.on_evidence(evidence)
        if not isinstance(evidence, ErrorSeen):
            return
        session = self._session
        if session is None:
            self.said_at_login.append(evidence)
            return
        self._down_time.take_link(evidence)
        if evidence.code == PORT_RESET:  # not from within the message: what came with it is read first
            why = f"{evidence.code}: {evidence.text}"
            asyncio.get_running_loop().call_soon(self._give_up, session, why)

    def _pass_data(self) -> None:
        self.on_data()

    def _pass_bar(self, bar: Bar) -> None:
        self.on_bar(bar)

    # -- contracts -------------------------------------------------------------------------------------

    async def learn_contracts(self) -> None:
        """Ask for the details of the instruments in `contracts` that are not known, if that is wanted."""
        if self._describes:
            session: IBSession = self.session
            await self._learning.learn(session)
