"""An event loop whose time is virtual: where others wait, it moves the clock.

Everything runs in one thread and nothing is waited for, so that half an hour takes milliseconds and the same
work is always done in the same order. Sockets are those of a `network.Network`. What would need a thread, a
file descriptor or the machine's clock raises.
"""

from __future__ import annotations

import asyncio
import collections
import contextvars
import heapq
from asyncio import base_events
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from backtesting.simulation.network import Network

_PRUNE_AT: Final = 256
_MOST_TURNS: Final = 100
_NUDGE: Final = 1e-9


class DeadlockError(RuntimeError):
    """Nothing can happen any more, and the work is not done.

    Somebody awaits what nobody will ever give. Replay the seed with its trace: the last line is what happened
    before everything stood.
    """


class Process:
    """A process of the simulation: what it starts belongs to it, and ends with it.

    Membership is a context variable, so that tasks and timers inherit it from whoever makes them.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self._tasks: list[asyncio.Task[Any]] = []

    def enlist(self, task: asyncio.Task[Any]) -> None:
        """Take note of a task."""
        if len(self._tasks) >= _PRUNE_AT:
            self._tasks = [known for known in self._tasks if not known.done()]
        self._tasks.append(task)

    def tasks(self) -> list[asyncio.Task[Any]]:
        """Return the tasks that run, oldest first."""
        return [task for task in self._tasks if not task.done()]

    def end(self) -> None:
        """Cancel everything; what cleans up after itself can do no more harm by then."""
        self.alive = False
        for task in self.tasks():
            task.cancel()


PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)
"""The simulated process that the running code belongs to; None is the world itself."""


def _nothing() -> None:
    """Stands where a cancelled timer had its callback."""


class _Soon(asyncio.Handle):
    """What is called in the next turn: asyncio's, without what it keeps for debugging."""

    __slots__ = ()

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
    ) -> None:
        self._context = contextvars.copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None

    def cancel(self) -> None:
        """Call nothing any more."""
        self._cancelled = True
        self._callback, self._args = _nothing, ()  # what it would have held on to may go


class _Timer(asyncio.TimerHandle):
    """A timer that the loop need not be told of when it is cancelled: asyncio's, at a third of its cost."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
    ) -> None:
        self._context = contextvars.copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None
        self._when = when
        self._scheduled = False

    def cancel(self) -> None:
        """Call nothing any more."""
        self._cancelled = True
        self._callback, self._args = _nothing, ()  # what it would have held on to may go


class VirtualLoop(base_events.BaseEventLoop):
    """A loop over virtual seconds that start at zero.

    Parameters
    ----------
    network
        Where connections are made.

    Attributes
    ----------
    on_change
        Called after each turn of the loop in which `changed` was set.
    changed
        Whether this turn changed something; whoever changes it sets it.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._now = 0.0
        self.stalled = 0.0
        """Seconds in which nothing ran, so far."""
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._made = 0
        self._turns = 0
        self._network = network
        self.on_change: Callable[[], None] | None = None
        self.changed = False
        network.attach(self)

    def time(self) -> float:
        """Return virtual seconds."""
        return self._now

    def stall(self, seconds: float) -> None:
        """Let time pass inside the running callback, as a process that is stopped or waits for its disk."""
        self._now += seconds
        self.stalled += seconds

    def create_task(self, coro: Any, *, name: Any = None, context: Any = None, **later: Any) -> Any:
        """Make a task; it belongs to the process that makes it. 3.14 may ask for ``eager_start``."""
        task = super().create_task(coro, name=name, context=context, **later)
        process = PROCESS.get()
        if process is not None:
            process.enlist(task)
            if not process.alive:
                task.cancel()
        return task

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any
    ) -> Any:
        """Connect in memory."""
        return await self._network.connect(protocol_factory, str(host), int(port))

    async def create_server(
        self,
        protocol_factory: Any,
        host: Any = None,  # noqa: ARG002  there is one machine
        port: Any = None,
        **_: Any,
    ) -> Any:
        """Listen in memory."""
        return self._network.listen(protocol_factory, int(port or 0))

    def call_at(  # type: ignore[override]  # the arguments of a callback are the caller's concern
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Call something at a moment; what is due at the same one is called in order of making."""
        handle = _Timer(when, callback, args, self, context)
        self._made += 1
        heapq.heappush(self._timers, (when, self._made, handle))
        return handle

    def call_later(  # type: ignore[override]  # as above
        self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """Call something so many seconds from now."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_soon(  # type: ignore[override]  # as above
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        """Call something in the next turn."""
        if self._closed:  # type: ignore[attr-defined]
            self._check_closed()  # type: ignore[attr-defined]
        handle = _Soon(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def _run_once(self) -> None:
        """Take one turn: move to the next timer where nothing is ready, and call what is."""
        ready: collections.deque[Any] = self._ready  # type: ignore[attr-defined]
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not ready and not self._stopping:  # type: ignore[attr-defined]
            if not timers:
                raise DeadlockError(f"nothing is left to happen at {self._now:.6f} s")
            due = timers[0][0]
            self._turns = self._turns + 1 if due <= self._now else 0
            # Who sets a timer to now, again and again, waits for a moment to be over: here it never would be.
            self._now = max(due, self._now + _NUDGE if self._turns > _MOST_TURNS else self._now)
        while timers and timers[0][0] <= self._now:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                try:  # as `Handle._run` does
                    handle._context.run(handle._callback, *handle._args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001  a loop's boundary; its handler is told
                    what = f"Exception in callback {handle._callback!r}"
                    self.call_exception_handler({"message": what, "exception": error, "handle": handle})
        if self.changed and self.on_change is not None:
            self.changed = False
            self.on_change()

    def _process_events(self, event_list: list[Any]) -> None:
        """Take nothing: there are no descriptors."""

    def _write_to_self(self) -> None:
        """Wake nobody: nobody sleeps."""

    def run_in_executor(self, *_: Any, **__: Any) -> Any:  # type: ignore[override]
        """Refuse: a thread would make the order of events depend on the machine."""
        raise NotImplementedError("a simulation has no threads")

    def close(self) -> None:
        """Let go."""
        self._timers.clear()
        super().close()
