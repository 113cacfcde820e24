"""A world: gateway, market, wires, disk and the trading process, from one seed, until all has come to rest.

1. Safety: half an hour in which faults come. After every turn of the loop that changed something the
   invariants are asked.
2. Healing: no fault comes any more, the gateway is up, the disk writes; everything has its time to end.
3. Quiet: the invariants of the end are asked.
"""

from __future__ import annotations

import asyncio
import contextvars
import gc
import hashlib
import logging
import random
import zlib
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from functools import cache
from typing import Any, Final, NoReturn

import structlog

from backtesting.gateway.desks.book import OrderBook
from backtesting.gateway.server import GatewayServer
from backtesting.simulation.injection import Injector
from backtesting.simulation.invariants import Invariants
from backtesting.simulation.loop import PROCESS, DeadlockError, VirtualLoop
from backtesting.simulation.market import ACCOUNT, gateway_config, shared_market
from backtesting.simulation.network import Network, Wire
from backtesting.simulation.operator import KnownActions
from backtesting.simulation.options import Options
from backtesting.simulation.outcome import Outcome, Violation
from backtesting.simulation.storage import KilledError, SimulatedDisk
from backtesting.simulation.trader import Trader
from backtesting.simulation.traffic import Deed, plan
from execution.clocks import NANOS
from execution.errors import ExecutionError, JournalError
from execution.journal import JournalEvent
from execution.link.gateway_week import GatewayWeek
from execution.models import OrderRequest
from execution.orders.request_body import request_from_body
from risk.limits import RiskLimits

_MOST_VIOLATIONS: Final = 20
_LAST_DEEDS: Final = 65.0
_LAST_LOOK: Final = 30.0
_LAST_NEWS: Final = 5.0
"""Seconds before the last look from which on the market stands still: what is on its way arrives by then."""

_OPENING_MINUTES: Final = (5, 30, 120, 300)


class WorldClock:
    """Trading and monotonic time of everything in a world: the loop's."""

    def __init__(self, loop: VirtualLoop, start_ns: int) -> None:
        self._loop = loop
        self.start_ns = start_ns
        self.skipped_ns = 0
        """What passed without anybody being awake: a night."""
        self.shift_ns = 0
        """What a clock that was set wrong adds."""

    def now_ns(self) -> int:
        """Return UTC nanoseconds as the machine's clock shows them."""
        return self.true_ns() + self.shift_ns

    def true_ns(self) -> int:
        """Return UTC nanoseconds as they are."""
        return self.start_ns + self.skipped_ns + round(self._loop.time() * NANOS)

    def monotonic(self) -> float:
        """Return seconds that are never set."""
        return self._loop.time()


class World:
    """One seed.

    Parameters
    ----------
    seed
        Decides everything.
    options
        Which faults come; drawn from the seed if they are not given.
    """

    def __init__(self, seed: int, options: Options | None = None) -> None:
        self.seed = seed
        self.options = Options.draw(seed) if options is None else options
        self.phase = "safety"
        self.account = ACCOUNT
        self.limits = RiskLimits(
            per_symbol_notional_cap=Decimal(120_000),
            max_gross_exposure=Decimal(180_000),
            max_order_quantity=Decimal(1_000),
            max_order_notional=Decimal(60_000),
            long_only=False,
        )
        self.known_actions = KnownActions()
        self.doubted_since: dict[str, float] = {}
        """When the operator first saw each thing that stands in doubt."""
        self.trace: list[str] = []
        self.fired: Counter[str] = Counter()
        self.violations: list[Violation] = []
        self.submitted_requests: dict[str, OrderRequest] = {}
        self.acknowledged: set[str] = set()
        self.twins: set[int] = set()
        """Permanent ids of the orders that TWS made beside one of ours."""
        self.sessions = 0
        """Sessions on record so far."""
        self.marks: dict[str, float] = {}
        self.steps = 0
        self.trader: Trader | None = None
        self.disk = SimulatedDisk()
        self.disk.stored = self._note_commit
        self.disk.kill = self.kill_here
        self.deeds: list[Deed] = plan(seed, self.options.safety_seconds)
        self._rng = random.Random(f"{seed}/world")  # noqa: S311  # nosec B311  # repeatable
        self._ids = 0
        self._incarnation = 0
        self._died = asyncio.Event()
        self._violated = asyncio.Event()
        self.crash: BaseException | None = None
        """What a defect raised, for whoever looks at the world afterwards."""
        self.running = False
        """Whether the world has begun and not ended."""
        self.injector = Injector(self)
        self.network = Network(self.injector, self.touch)
        self.loop = VirtualLoop(self.network)
        market = shared_market()
        start = market.open_ns() + self._rng.choice(_OPENING_MINUTES) * 60 * NANOS
        self.clock = WorldClock(self.loop, start)
        self.week: GatewayWeek | None = self.injector.milestones.week(start)
        self.server = GatewayServer(
            gateway_config(start), market.bars, market.calendar, market.instruments, clock=self.clock
        )
        self.context = contextvars.copy_context()
        """The world's own context, for what is not to run in a process."""
        self.invariants = Invariants(self)

    # -- what checks read ----------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """Simulated UTC nanoseconds."""
        return self.clock.true_ns()

    @property
    def book(self) -> OrderBook:
        """The broker's truth."""
        return self.server.service.book

    @property
    def takes_orders(self) -> bool:
        """Whether deeds are still begun: not in the last minute, in which everything is to end."""
        return self.loop.time() < self.options.safety_seconds + _LAST_DEEDS

    # -- a run ---------------------------------------------------------------------------------------------

    def run(self, *, collect: bool = True) -> Outcome:
        """Let the world live; a violation ends it and is in the outcome.

        Without `collect` what it leaves in memory stays there: for a process that soon ends.
        """
        with _silence(), _current(self.loop), _collecting_once(collect=collect):
            self.loop.set_exception_handler(self._take_exception)
            self.loop.on_change = self._step
            try:
                self.loop.run_until_complete(self._live())
            except DeadlockError as error:
                self._violate([Violation("I11", f"deadlock: {error}")])
            finally:
                self.loop.on_change = None
                self._let_go()
        return Outcome(
            seed=self.seed,
            violations=list(self.violations),
            fired=Counter(self.fired),
            trace_hash=hashlib.sha256("\n".join(self.trace).encode()).hexdigest(),
            steps=self.steps,
            orders=len(self.submitted_requests),
            simulated_seconds=self.loop.time(),
            symbols=len({request.symbol for request in self.submitted_requests.values()}),
            reconnects=self.sessions - 1,
        )

    async def _live(self) -> None:
        await self.server.start()
        self.running = True
        market = self.loop.create_task(self._play_market(), name="market")
        work = [
            market,
            self.loop.create_task(self._keep_trading(), name="supervisor"),
            *self.injector.start(),
        ]
        try:
            await self._until(self.options.safety_seconds)
            self.note("healing")
            self.phase = "heal"
            self.injector.heal()
            look = self.options.safety_seconds + _LAST_DEEDS + _LAST_LOOK
            await self._until(look - _LAST_NEWS)
            market.cancel()  # TWS tells of fills of another client only when it is asked: none may come later
            await self._until(look)
            if self.trader is not None:
                self._spawn_in(self.trader, self.trader.look_once, "last look")
            await self._until(self.options.safety_seconds + self.options.heal_seconds)
            self.phase = "quiet"
            self.note("quiet")
            if not self.violations:
                self._violate(self.invariants.check_quiescent())
        finally:
            self.running = False
            if self.trader is not None:
                self.kill("the end of the world")
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            await self.server.stop()

    async def _until(self, moment: float) -> None:
        """Wait for a moment; less if a violation is found."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._violated.wait(), max(0.0, moment - self.loop.time()))

    async def _play_market(self) -> None:
        while True:
            await asyncio.sleep(self.options.quantum * (0.5 + self._rng.random()))
            service = self.server.service
            for _ in service.play_until(self.clock.true_ns()):
                pass
            for symbol in service.market.series:
                price = service.market.last_price(symbol)
                if price is not None:
                    self.marks[symbol] = price
                    if self.trader is not None:
                        self.trader.portfolio.set_mark(symbol, price)
            self.injector.incidents.after_market()
            self.touch()

    async def _keep_trading(self) -> None:
        """Start a trading process, and another one whenever it is gone."""
        while True:
            self._incarnation += 1
            try:
                trader = Trader(self, self._incarnation)
            except ExecutionError as error:
                self.note(f"trader {self._incarnation} cannot open its journal: {type(error).__name__}")
                await asyncio.sleep(2.0)
                continue
            self.trader = trader
            self._died.clear()
            self._spawn_in(trader, trader.run, "trader")
            await self._died.wait()
            await asyncio.sleep(self._rng.choice((0.5, 2.0, 5.0, 20.0)))

    def _spawn_in(self, trader: Trader, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        token = PROCESS.set(trader.process)
        try:
            self.spawn(work, name)
        finally:
            PROCESS.reset(token)

    # -- the processes -------------------------------------------------------------------------------------

    def spawn(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        """Run something in the current process; what it raises is a defect of whoever wrote it."""
        self.loop.create_task(self._guard(work, name), name=name)

    async def _guard(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        process = PROCESS.get()
        try:
            await work()
        except KilledError:
            return
        except Exception as error:  # noqa: BLE001  the boundary of a process: it must not die in silence
            if process is None or process.alive:
                self._crash(f"{name} raised {error!r}", error)

    def kill(self, where: str) -> None:
        """End the trading process as kill -9 does: memory is gone; disk and kernel keep what they have."""
        trader, self.trader = self.trader, None
        if trader is None:
            return
        trader.process.end()
        lost = trader.journal.cut()
        self.network.drop_process(trader.process)
        self.note(f"killed {where}, {lost} events lost")
        self._died.set()
        self.touch()

    def stop_trader(self) -> None:
        """Tell the trading process to stop in order; another one is started afterwards."""
        trader = self.trader
        if trader is None:
            return
        self.fire("P2")
        self._spawn_in(trader, lambda: self._stop(trader), "stop")

    async def _stop(self, trader: Trader) -> None:
        try:
            await trader.stop()
        except JournalError as error:
            self.note(f"stopped without its last commit: {error}")
        if self.trader is trader:
            self.kill("after an orderly stop")

    def kill_here(self, where: str) -> NoReturn:
        """End the trading process from within itself."""
        self.kill(where)
        raise KilledError

    # -- what happened -------------------------------------------------------------------------------------

    def new_id(self) -> str:
        """Return a fresh client order id."""
        self._ids += 1
        return f"auto{self.seed}-{self._ids}"

    def handed(self, requests: Sequence[OrderRequest]) -> None:
        """Take note of orders that are about to be handed to the executor."""
        for request in requests:
            self.submitted_requests[request.client_order_id or ""] = request

    def acknowledge(self, requests: Sequence[OrderRequest]) -> None:
        """Take note that the submission of orders returned to its caller."""
        process = PROCESS.get()
        if process is not None and process.alive:
            self.acknowledged.update(request.client_order_id or "" for request in requests)
            self.touch()

    def touch(self) -> None:
        """Take note that something changed: the invariants are asked after this turn of the loop."""
        self.loop.changed = True

    def note(self, text: str) -> None:
        """Write a line of the trace; a process that is gone writes none."""
        process = PROCESS.get()
        if process is None or process.alive:
            self.trace.append(f"{self.loop.time():.6f} {text}")
            self.loop.changed = True

    def note_packet(self, wire: Wire, outbound: bool, data: bytes) -> None:
        """Write a line of the trace for what arrives at an end of a wire."""
        arrow = ">" if outbound else "<"
        self.trace.append(f"{self.loop.time():.6f} {wire.number}{arrow} {len(data)} {zlib.crc32(data):08x}")

    def fire(self, fault: str, what: str = "") -> None:
        """Count a fault that took effect."""
        self.fired[fault] += 1
        self.trace.append(f"{self.loop.time():.6f} fault {fault} {what}")
        self.loop.changed = True

    def _note_commit(self, events: Sequence[JournalEvent]) -> None:
        last = events[-1]
        self.sessions += sum(event.kind == "reconciling" for event in events)
        for event in events:  # the executor makes orders of its own: those that flatten
            if event.kind == "order_submitted":
                name = event.body["client_order_id"]
                if name not in self.submitted_requests:
                    self.submitted_requests[name] = request_from_body(event.body)
        kinds = " ".join(f"{kind}*{count}" for kind, count in Counter(event.kind for event in events).items())
        self.trace.append(f"{self.loop.time():.6f} commit {last.seq} {last.hash[:16]} {kinds}")
        self.loop.changed = True

    def _step(self) -> None:
        self.steps += 1
        if not self.violations:
            self._violate(self.invariants.check())

    def _violate(self, found: Sequence[Violation]) -> None:
        if found:
            self._violated.set()
        for violation in found[:_MOST_VIOLATIONS]:
            self.violations.append(violation)
            self.trace.append(f"{self.loop.time():.6f} VIOLATION {violation.invariant} {violation.what}")

    def _take_exception(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, KilledError) or "never retrieved" in context["message"]:
            return
        process = PROCESS.get()
        if process is None or process.alive:
            self._crash(f"{context['message']}: {error!r}", error)

    def _crash(self, what: str, error: BaseException | None) -> None:
        self.crash = error
        self._violate([Violation("I0", what)])

    def _let_go(self) -> None:
        """Close the loop; what is left in memory is collected before another seed begins."""
        self.loop.close()


class _Mute:
    """A logger that says nothing, at little cost."""

    def __init__(self, *_: Any, **__: Any) -> None:
        """Take whatever loggers are made of."""

    def bind(self, **_: Any) -> _Mute:
        """Return the same."""
        return self

    new = bind

    def debug(self, _event: str, *_: Any, **__: Any) -> None:
        """Say nothing."""

    info = warning = error = exception = critical = log = debug


@contextmanager
def _silence() -> Iterator[None]:
    """Write no log inside a seed: what happens is in its trace."""
    kept = structlog.get_config()
    disabled = logging.root.manager.disable
    structlog.configure(
        processors=[],
        wrapper_class=_Mute,  # type: ignore[arg-type]  # it says nothing, so it needs none of the rest
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=False,
    )
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(disabled)
        structlog.configure(**kept)


@contextmanager
def _current(loop: VirtualLoop) -> Iterator[None]:
    """Make a loop the one that libraries find, and none afterwards."""
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        asyncio.set_event_loop(None)


@cache
def _freeze() -> None:
    """Let the collector pass over what stands before the first seed: it is much, and never garbage."""
    gc.collect()
    gc.freeze()


@contextmanager
def _collecting_once(*, collect: bool) -> Iterator[None]:
    """Collect garbage when a seed is over, not within it: connections to nowhere are part of it."""
    _freeze()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collect:
            gc.collect()
            if enabled:
                gc.enable()
