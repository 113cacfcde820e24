"""A trader that kills itself, with SIGKILL, at a step it is told; and the server that forks such traders.

``python -m infrastructure.bench.kill_child`` reads a line of JSON for each life (`Life`), forks a child that
lives it, and writes what the child says, line by line, and at last ``end STATUS``.

The product has no hook for this: the child wraps the methods at the border of each step (`BORDERS`) in its
own process before it begins. A step's name says what was under way and which border was crossed, before or
after: ``submit: after commit`` is an intent that is durable with none of its bytes written.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import wraps
from pathlib import Path
from typing import Any, Final

import structlog

from execution.audit import AuditLogger
from execution.clocks import SteppedClock, SystemClock
from execution.connection import IBKRConnectionManager
from execution.errors import ExecutionError
from execution.executor import IBKROrderExecutor
from execution.ibkr.session import IBSession
from execution.journal import Rotation, SqliteJournal
from execution.models import Fill, Order, OrderRequest, OrderType, Side
from execution.orders.blotter import Blotter
from execution.orders.inbox import Inbox

SYMBOLS: Final = ("AAA", "BBB")
CLIENT_ID: Final = 1
_SIZE, _FAR, _FARTHER = Decimal(10), Decimal("50.00"), Decimal("51.00")
_SEGMENT_BYTES: Final = 48 * 1024
_TRIES: Final = 100
_PAUSE: Final = 0.02

_WRITING = ("before commit", "after commit", "before write", "after write")
_TAKING = ("before record", "after record", "before apply", "after apply", "before commit", "after commit")
STEPS: Final[tuple[str, ...]] = (
    *(f"submit: {border}" for border in _WRITING),
    *(f"bracket: {border}" for border in (*_WRITING, "after write 1", "after write 2")),
    *(f"modify: {border}" for border in _WRITING),
    *(f"cancel: {border}" for border in _WRITING),
    *(f"inbound: {border}" for border in (*_TAKING, "before telling", "after telling")),
    "restore: after fold",
    "reconcile: after open orders",
    "reconcile: after completed orders",
    "reconcile: after executions",
    "reconcile: after positions",
    "reconcile: before commit",
    "reconcile: after commit",
    "rotate: committed",
    "rotate: segment made",
    "rotate: segment opened",
    "rotate: old segment emptied",
)
"""Every step at which a trader is killed."""


@dataclass(frozen=True, slots=True)
class Life:
    """What one trader is to do, and where it ends.

    `step` is one of `STEPS`, or empty for one that is to end well; `nth` counts the crossings of its border.
    `first` numbers its new orders; `again` are those to be submitted once more, as a caller does who does not
    know what became of them. `last` ends every open order and reports what is known in the end.
    """

    journal: str
    port: int
    seed: int
    step: str = ""
    nth: int = 1
    first: int = 1
    again: tuple[int, ...] = ()
    last: bool = False

    def line(self) -> bytes:
        """Return it as a line for the fork server."""
        return json.dumps(asdict(self)).encode() + b"\n"


class Trap:
    """Knows what is under way, and kills this process at the chosen border."""

    def __init__(self, step: str, nth: int) -> None:
        self._step = step
        self._left = nth
        self._under_way = ["life"]

    @contextmanager
    def during(self, what: str) -> Iterator[None]:
        """Name what is under way."""
        self._under_way.append(what)
        try:
            yield
        finally:
            self._under_way.pop()

    def cross(self, border: str) -> None:
        """Cross a border; it is the last one if it is the chosen one."""
        if f"{self._under_way[-1]}: {border}" == self._step:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)


def arm(trap: Trap) -> None:
    """Wrap the borders of every step, in this process."""

    def border(owner: type, name: str, before: str = "", after: str = "") -> None:
        inner = getattr(owner, name)

        @wraps(inner)
        def crossed(*arguments: Any, **named: Any) -> Any:
            if before:
                trap.cross(before)
            result = inner(*arguments, **named)
            if after:
                trap.cross(after)
            return result

        setattr(owner, name, crossed)

    def answered(name: str, after: str) -> None:
        inner = getattr(IBSession, name)

        @wraps(inner)
        async def crossed(*arguments: Any, **named: Any) -> Any:
            result = await inner(*arguments, **named)
            with trap.during("reconcile"):
                trap.cross(after)
            return result

        setattr(IBSession, name, crossed)

    def within(owner: type, name: str, what: str) -> None:
        inner = getattr(owner, name)

        @wraps(inner)
        def crossed(*arguments: Any, **named: Any) -> Any:
            with trap.during(what):
                return inner(*arguments, **named)

        setattr(owner, name, crossed)

    border(SqliteJournal, "commit", "before commit", "after commit")
    border(IBSession, "place", "before write", "after write")
    border(IBSession, "cancel", "before write", "after write")
    border(AuditLogger, "log_evidence", "before record", "after record")
    border(Blotter, "apply", "before apply", "after apply")
    within(Inbox, "close", "inbound")
    within(AuditLogger, "log_reconciled", "reconcile")
    for name in ("open_orders", "completed_orders", "executions", "positions"):
        answered(name, "after " + name.replace("_", " "))

    def passed(_journal: SqliteJournal, step: str) -> None:
        with trap.during("rotate"):
            trap.cross(step)

    setattr(SqliteJournal, "_passed", passed)  # noqa: B010  it is there for tests that cut


class Listener:
    """A handler of order events, told inside the step that tells it."""

    def __init__(self, trap: Trap) -> None:
        self._trap = trap

    def _told(self) -> None:
        self._trap.cross("before telling")
        self._trap.cross("after telling")

    def on_order_status(self, order: Order) -> None:  # noqa: ARG002  what is told does not matter here
        """Take a status."""
        self._told()

    def on_fill(self, fill: Fill) -> None:  # noqa: ARG002
        """Take an execution."""
        self._told()

    def on_order_rejected(self, order: Order, reason: str) -> None:  # noqa: ARG002
        """Take a refusal."""
        self._told()


class Trader:
    """One life."""

    def __init__(self, life: Life, say: Callable[[str], None]) -> None:
        self._life = life
        self._say = say
        self._chance = random.Random(life.seed)  # noqa: S311  what it does is no secret
        self._number = life.first
        self._trap = Trap(life.step, life.nth)
        arm(self._trap)
        clock = SteppedClock(1_514_903_400_000_000_000)
        self.journal = SqliteJournal(
            Path(life.journal), SystemClock().now_ns, rotation=Rotation(_SEGMENT_BYTES, daily=False)
        )
        audit = AuditLogger(self.journal, clock)
        self.manager = IBKRConnectionManager(
            "127.0.0.1",
            life.port,
            CLIENT_ID,
            throttled=False,
            audit=audit,
            reconnect_max_attempts=_TRIES,
            reconnect_backoff=_PAUSE,
            longest_pause=_PAUSE,
        )
        self.executor = IBKROrderExecutor(
            self.manager,
            audit=audit,
            clock=clock,
            handlers=[Listener(self._trap)],
            acknowledgement_timeout=3.0,
            release_absent=True,  # this gateway has nothing in flight once the next login is accepted
            quarantine=0.0,
        )

    async def live(self) -> None:
        """Restore, get ready, trade until the end, and leave in order if nothing killed it before."""
        self.executor.restore()
        with self._trap.during("restore"):
            self._trap.cross("after fold")
        await self._ready()
        for number in self._life.again:
            await self._try(lambda number=number: self._submit(number))  # type: ignore[misc]
        if self._life.last:
            await self._end_all()
        else:
            await self._trade()
        await self.manager.disconnect()
        self.journal.close()

    async def _trade(self) -> None:
        deeds: dict[str, Callable[[], Awaitable[None]]] = {
            "submit": self._new,
            "bracket": self._bracket,
            "modify": self._modify,
            "cancel": self._cancel,
            "reconcile": self._reconcile,
            "inbound": self._new,
        }
        order = self._chance.sample(list(deeds), len(deeds))
        wanted = self._life.step.partition(":")[0]
        if wanted in deeds:
            order.remove(wanted)
            order.insert(self._chance.randrange(len(deeds)), wanted)
        for name in order:
            await self._try(deeds[name])
            await self._try(self._step)

    async def _ready(self) -> None:
        """Get ready; a gateway that restarts meanwhile is asked again."""
        for left in reversed(range(_TRIES)):
            try:
                await self.executor.ensure_ready()
            except ConnectionError:
                if not left:
                    raise
                await asyncio.sleep(_PAUSE)
            else:
                return

    async def _try(self, deed: Callable[[], Awaitable[None]]) -> None:
        """Do something; a lost connection is what a restart of the gateway looks like."""
        try:
            await self._ready()
            await deed()
        except (ConnectionError, TimeoutError) as error:
            self._say(f"cut {type(error).__name__}")
            await asyncio.sleep(_PAUSE)

    # -- deeds ------------------------------------------------------------------------------------------

    async def _step(self) -> None:
        await self.manager.session.current_time()

    async def _reconcile(self) -> None:
        await self.executor.reconcile()

    async def _new(self) -> None:
        number, self._number = self._number, self._number + 1
        await self._submit(number)
        await asyncio.sleep(0)

    async def _submit(self, number: int) -> None:
        self._say(f"intend {number}")
        with self._trap.during("submit"):
            self.executor.submit(request_of(number))
        self._say(f"acknowledged {name_of(number)}")

    async def _bracket(self) -> None:
        number, self._number = self._number, self._number + 1
        entry = request_of(number, far=True)
        name = entry.client_order_id
        exits = (
            _order(f"{name}-tp", entry.symbol, OrderType.LIMIT, Side.SELL, limit=Decimal("200.00")),
            _order(f"{name}-sl", entry.symbol, OrderType.STOP, Side.SELL, stop=Decimal("20.00")),
        )
        with self._trap.during("bracket"), _counted(self._trap):
            self.executor.bracket(entry, *exits)
        for leg in (name, f"{name}-tp", f"{name}-sl"):
            self._say(f"acknowledged {leg}")

    def _resting(self) -> list[str]:
        return [
            entry.client_order_id
            for entry in self.executor.blotter.open_entries()
            if entry.acknowledged
            and entry.request.limit_price in (_FAR, _FARTHER)
            and not entry.client_order_id.endswith(("-tp", "-sl"))
        ]

    async def _rest_one(self) -> str | None:
        if not self._resting():
            number, self._number = self._number, self._number + 1
            self._say(f"intend {number}")
            self.executor.submit(request_of(number, far=True))
            self._say(f"acknowledged {name_of(number)}")
            for _ in range(_TRIES):
                await asyncio.sleep(_PAUSE / 10)
                if self._resting():
                    break
        resting = self._resting()
        return self._chance.choice(resting) if resting else None

    async def _modify(self) -> None:
        name = await self._rest_one()
        if name is None:
            return
        entry = self.executor.blotter.entries[name]
        price = _FARTHER if entry.request.limit_price == _FAR else _FAR
        with suppress(ExecutionError), self._trap.during("modify"):  # the order may have ended meanwhile
            await self.executor.modify_order(name, limit_price=price)

    async def _cancel(self) -> None:
        name = await self._rest_one()
        if name is None:
            return
        with suppress(ExecutionError), self._trap.during("cancel"):
            await self.executor.cancel_order(name)

    async def _end_all(self) -> None:
        for _ in range(_TRIES):
            await self._try(self._cancel_open)
            await self._try(self._step)
            await self._try(self._reconcile)
            if not self.executor.blotter.open_entries():
                break
        orders = {
            entry.client_order_id: [entry.status.value, format(entry.filled, "f")]
            for entry in self.executor.blotter.entries.values()
        }
        net = {symbol: format(size, "f") for symbol, size in self.executor.inbox.net.items() if size}
        self._say("known " + json.dumps({"orders": orders, "positions": net}))

    async def _cancel_open(self) -> None:
        for entry in self.executor.blotter.open_entries():
            with suppress(ExecutionError):  # the other exit of a bracket goes with the first
                await self.executor.cancel_order(entry.client_order_id)
        await asyncio.sleep(_PAUSE)


@contextmanager
def _counted(trap: Trap) -> Iterator[None]:
    """Count the writes of a bracket while it is sent."""
    place, written = IBSession.place, 0

    def counting(*arguments: Any, **named: Any) -> None:
        nonlocal written
        place(*arguments, **named)
        written += 1
        trap.cross(f"after write {written}")

    IBSession.place = counting  # type: ignore[method-assign]
    try:
        yield
    finally:
        IBSession.place = place  # type: ignore[method-assign]


def name_of(number: int) -> str:
    """Return the client order id of an order."""
    return f"kill-{number:06d}"


def request_of(number: int, *, far: bool | None = None) -> OrderRequest:
    """Return an order: the same for the same number, so that it can be asked for again.

    Every third rests far from the market unless `far` says so, the others trade with the next bar.
    """
    symbol = SYMBOLS[number % len(SYMBOLS)]
    if far or (far is None and number % 3 == 0):
        return _order(name_of(number), symbol, OrderType.LIMIT, Side.BUY, limit=_FAR)
    side = Side.BUY if number % 2 else Side.SELL
    return _order(name_of(number), symbol, OrderType.MARKET, side)


def _order(
    name: str | None,
    symbol: str,
    kind: OrderType,
    side: Side,
    limit: Decimal | None = None,
    stop: Decimal | None = None,
) -> OrderRequest:
    return OrderRequest(
        symbol=symbol,
        quantity=_SIZE,
        order_type=kind,
        side=side,
        limit_price=limit,
        stop_price=stop,
        client_order_id=name,
    )


# -- the server -----------------------------------------------------------------------------------------


def main() -> None:
    """Fork a child for each line, and say how it ended."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _live(line)
        _, status = os.waitpid(child, 0)
        _say(f"end {os.waitstatus_to_exitcode(status)}")


def _live(line: str) -> None:
    """Live one life in this process, which ends with it."""
    values = json.loads(line)
    life = Life(**{**values, "again": tuple(values["again"])})
    status = 1
    try:
        asyncio.run(Trader(life, _say).live())
        status = 0
    except Exception as error:  # noqa: BLE001  the process's outermost boundary: whoever asked is told
        _say(f"failed {type(error).__name__}: {error}")
    finally:
        os._exit(status)


def _say(text: str) -> None:
    os.write(1, text.encode() + b"\n")


if __name__ == "__main__":
    main()
