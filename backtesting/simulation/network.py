"""Connections in memory: bytes arrive in order and late, or not at all, as a policy decides write by write.

Each direction of a connection is a lane: what is written waits there until it is due. A reset loses what has
not arrived; an orderly end comes behind it. A connection that is half open looks well from both ends and
carries nothing.
"""

from __future__ import annotations

import asyncio
import contextvars
import enum
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from backtesting.simulation.loop import PROCESS, Process

if TYPE_CHECKING:
    from backtesting.simulation.loop import VirtualLoop

_FIRST_PORT: Final = 4002
_EOF: Final = None


class Verdict(enum.Enum):
    """What becomes of a write."""

    PASS = "pass"  # noqa: S105  no password
    """It goes on its way."""
    RESET_BEFORE = "reset before"
    """The connection is reset and the bytes never leave."""
    RESET_AFTER = "reset after"
    """The bytes arrive, then the connection is reset before an answer comes."""
    SWALLOW = "swallow"
    """From now on the connection carries nothing, and nobody is told."""
    BYTEWISE = "bytewise"
    """It arrives byte by byte."""


class Policy(Protocol):
    """Decides about connections and writes."""

    def latency(self, wire: Wire, outbound: bool) -> float:
        """Return the seconds that a write takes."""

    def on_connect(self, process: Process | None) -> float | None:
        """Return the seconds that a connection takes; None refuses it."""

    def on_write(self, wire: Wire, outbound: bool, data: bytes) -> tuple[Verdict, bytes]:
        """Return what becomes of a write, and what it says; `outbound` ones go from client to gateway."""

    def after_write(self, wire: Wire, outbound: bool) -> None:
        """Take note that bytes are on their way; may raise, as where the process is killed."""

    def on_arrival(self, wire: Wire, outbound: bool, data: bytes) -> None:
        """Take note of what arrives, before its receiver has it."""

    def on_taken(self, wire: Wire, outbound: bool) -> None:
        """Take note that the receiver has dealt with what arrived."""


class SimulatedServer:
    """What listens on a port."""

    def __init__(self, network: Network, factory: Callable[[], asyncio.BaseProtocol], port: int) -> None:
        self._network = network
        self.factory = factory
        self.port = port
        self.sockets = (self,)

    def getsockname(self) -> tuple[str, int]:
        """Return the address."""
        return ("127.0.0.1", self.port)

    def is_serving(self) -> bool:
        """Return whether connections are taken up."""
        return self._network.listener(self.port) is self

    def close(self) -> None:
        """Take up no more connections; those that stand live on."""
        self._network.forget(self)

    async def wait_closed(self) -> None:
        """Wait for nothing."""


class Lane:
    """One direction of a wire."""

    def __init__(self, wire: Wire, outbound: bool) -> None:
        self._wire = wire
        self._outbound = outbound
        self._items: deque[tuple[float, bytes | None, bool]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._last_due = 0.0
        self.held_until = 0.0
        """Nothing arrives before."""
        self.blocked = False
        """Whether nothing arrives at all."""

    def put(self, data: bytes | None, *, last: bool = False) -> None:
        """Send bytes, or the end of them; behind the `last` ones the connection is reset."""
        wire = self._wire
        if wire.swallows or self.blocked:
            return
        loop = wire.network.loop
        due = max(
            self._last_due, self.held_until, loop.time() + wire.network.policy.latency(wire, self._outbound)
        )
        self._last_due = due
        self._items.append((due, data, last))
        if self._timer is None:
            self._timer = loop.call_at(due, self._arrive)

    def clear(self) -> None:
        """Lose what is on its way."""
        self._items.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arrive(self) -> None:
        self._timer = None
        loop, target = self._wire.network.loop, self._wire.end(client=not self._outbound)
        now = loop.time()
        while self._items and self._items[0][0] <= now:
            _, data, last = self._items.popleft()
            if data is _EOF:
                target.receive_eof()
                continue
            while not last and self._items and self._items[0][0] <= now and self._items[0][1] is not _EOF:
                _, more, last = self._items.popleft()
                data += more or b""
            target.receive(data)
            if last:
                self._wire.reset()
        if self._items and self._timer is None:
            self._timer = loop.call_at(self._items[0][0], self._arrive)


class Wire:
    """A connection: two ends and two lanes."""

    def __init__(self, network: Network, number: int, process: Process | None) -> None:
        self.network = network
        self.number = number
        self.process = process
        self.swallows = False
        self.bytewise = 0
        """Deliveries that are still to come byte by byte."""
        self.out = Lane(self, outbound=True)
        self.back = Lane(self, outbound=False)
        self._ends: dict[bool, SimulatedTransport] = {}

    def join(self, client: SimulatedTransport, server: SimulatedTransport) -> None:
        """Take the two ends."""
        self._ends = {True: client, False: server}

    def end(self, *, client: bool) -> SimulatedTransport:
        """Return the client's end, or the gateway's."""
        return self._ends[client]

    @property
    def is_open(self) -> bool:
        """Whether both ends stand."""
        return not (self._ends[True].is_closing() or self._ends[False].is_closing())

    @property
    def is_over(self) -> bool:
        """Whether both ends know that it is gone."""
        return self._ends[True].is_lost and self._ends[False].is_lost

    def reset(self) -> None:
        """Break the connection at both ends; what is on its way is lost."""
        self.out.clear()
        self.back.clear()
        for end in self._ends.values():
            end.break_off(ConnectionResetError("connection reset by peer"))

    def go_silent(self) -> None:
        """Carry nothing from now on."""
        self.swallows = True
        self.out.clear()
        self.back.clear()


class SimulatedTransport(asyncio.Transport):
    """One end of a wire, as asyncio's transports are."""

    def __init__(self, wire: Wire, *, outbound: bool, context: contextvars.Context) -> None:
        super().__init__()
        self._wire = wire
        self._outbound = outbound
        self._lane = wire.out if outbound else wire.back
        self._context = context
        self._protocol: Any = None
        self._closing = False
        self._lost = False
        self._ended = False
        self._paused = False
        self._waiting: list[bytes | None] = []

    # what asyncio's protocols use

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the peer's name; there is no socket."""
        return ("127.0.0.1", self._wire.number) if name == "peername" else default

    def set_protocol(self, protocol: Any) -> None:
        """Take whom bytes are given to."""
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """Return whom bytes are given to."""
        return self._protocol

    @property
    def is_lost(self) -> bool:
        """Whether the protocol has been, or is about to be, told of the end."""
        return self._lost

    def is_closing(self) -> bool:
        """Return whether it is closed or about to be."""
        return self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Take no limits: the kernel takes everything at once."""

    def get_write_buffer_size(self) -> int:
        """Return what the kernel has not taken: nothing."""
        return 0

    def can_write_eof(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> None:
        """Hand bytes to the kernel."""
        if self._closing or self._ended or not data:
            return
        wire = self._wire
        policy = wire.network.policy
        verdict, block = policy.on_write(wire, self._outbound, bytes(data))
        if verdict is Verdict.RESET_BEFORE:
            wire.reset()
        elif verdict is Verdict.SWALLOW:
            wire.go_silent()
        else:
            if verdict is Verdict.BYTEWISE:
                wire.bytewise += 1
            last = verdict is Verdict.RESET_AFTER
            if last:
                wire.back.blocked = True
            if block:
                self._lane.put(block, last=last)
            policy.after_write(wire, self._outbound)

    def write_eof(self) -> None:
        """End this direction."""
        if not self._ended and not self._closing:
            self._ended = True
            self._lane.put(_EOF)

    def close(self) -> None:
        """Close behind what was written."""
        if self._closing:
            return
        if not self._ended:
            self._ended = True
            self._lane.put(_EOF)
        self._closing = True
        self._lose(None)

    def abort(self) -> None:
        """Close at once; the other end sees a reset."""
        if self._lost:
            return
        self._closing = True
        self._lane.clear()
        wire = self._wire
        if not wire.swallows:
            wire.network.loop.call_later(
                wire.network.policy.latency(wire, self._outbound),
                wire.end(client=not self._outbound).break_off,
                ConnectionResetError("connection reset by peer"),
            )
        self._lose(None)

    def pause_reading(self) -> None:
        """Take nothing more."""
        self._paused = True

    def resume_reading(self) -> None:
        """Take what waits, and what comes."""
        if self._paused:
            self._paused = False
            self._wire.network.loop.call_soon(self._take_waiting)

    def is_reading(self) -> bool:
        """Return whether it takes what comes."""
        return not self._paused

    # what the network does to it

    def receive(self, data: bytes) -> None:
        """Give bytes to the protocol."""
        if self._lost or self._closing:
            return
        if self._paused or self._waiting:
            self._waiting.append(data)
            return
        wire = self._wire
        wire.network.policy.on_arrival(wire, not self._outbound, data)
        if wire.bytewise:
            wire.bytewise -= 1
            self._guarded(self._give_bytewise, data)
        elif not self._lost and not self._closing:
            self._guarded(self._protocol.data_received, data)
        wire.network.policy.on_taken(wire, not self._outbound)

    def receive_eof(self) -> None:
        """Tell the protocol that nothing more comes."""
        if self._lost or self._closing:
            return
        if self._paused or self._waiting:
            self._waiting.append(_EOF)
            return
        if not self._guarded(self._protocol.eof_received):
            self.close()

    def break_off(self, error: Exception | None) -> None:
        """End without a word to the other side."""
        if self._lost:
            return
        self._closing = True
        self._lane.clear()
        self._lose(error)

    def drop(self) -> None:
        """Forget the protocol, as the kernel does with a process that is killed; the peer sees an end."""
        if self._lost:
            return
        self._lost = self._closing = True
        if not self._ended:
            self._ended = True
            self._lane.put(_EOF)

    def _take_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for place, data in enumerate(waiting):
            if self._paused:
                self._waiting = waiting[place:]
                return
            if data is _EOF:
                self.receive_eof()
            else:
                self.receive(data)

    def _give_bytewise(self, data: bytes) -> None:
        for place in range(len(data)):
            if self._lost or self._closing:
                return
            self._protocol.data_received(data[place : place + 1])

    def _guarded(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Call the protocol as a transport does: what it raises ends the connection."""
        try:
            return self._context.run(method, *arguments)
        except BaseException as error:  # noqa: BLE001  a transport's boundary; the loop's handler is told
            loop = self._wire.network.loop
            loop.call_exception_handler({"message": "a protocol raised", "exception": error})
            self.break_off(error if isinstance(error, Exception) else None)
            return None

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        self._waiting = []
        self._wire.network.loop.call_soon(self._tell_lost, error, context=self._context)

    def _tell_lost(self, error: Exception | None) -> None:
        self._wire.network.touched()
        self._protocol.connection_lost(error)


class Network:
    """All wires of a world.

    Parameters
    ----------
    policy
        Decides about connections and writes.
    touched
        Called when something has changed that nobody else tells of.
    """

    loop: VirtualLoop

    def __init__(self, policy: Policy, touched: Callable[[], None] = lambda: None) -> None:
        self.policy = policy
        self.touched = touched
        self.wires: list[Wire] = []
        self._listeners: dict[int, SimulatedServer] = {}
        self._count = 0

    def attach(self, loop: VirtualLoop) -> None:
        """Take the loop that time is read from."""
        self.loop = loop

    def listen(self, factory: Callable[[], asyncio.BaseProtocol], port: int) -> SimulatedServer:
        """Listen on a port; 0 chooses one."""
        server = SimulatedServer(self, factory, port or _FIRST_PORT)
        if server.port in self._listeners:
            raise OSError(98, "Address already in use")
        self._listeners[server.port] = server
        return server

    def listener(self, port: int) -> SimulatedServer | None:
        """Return who listens on a port."""
        return self._listeners.get(port)

    def forget(self, server: SimulatedServer) -> None:
        """Let a port go."""
        if self._listeners.get(server.port) is server:
            del self._listeners[server.port]

    async def connect(
        self, factory: Callable[[], asyncio.BaseProtocol], host: str, port: int
    ) -> tuple[SimulatedTransport, asyncio.BaseProtocol]:
        """Connect to a port.

        Raises
        ------
        ConnectionRefusedError
            If nobody listens, or the policy refuses.
        """
        process = PROCESS.get()
        seconds = self.policy.on_connect(process)
        await asyncio.sleep(0.001 if seconds is None else seconds)
        server = self._listeners.get(port)
        if server is None or seconds is None:
            raise ConnectionRefusedError(111, f"Connect call failed ({host!r}, {port})")
        self._count += 1
        wire = Wire(self, self._count, process)
        theirs = contextvars.copy_context()
        theirs.run(PROCESS.set, None)
        far = SimulatedTransport(wire, outbound=False, context=theirs)
        near = SimulatedTransport(wire, outbound=True, context=contextvars.copy_context())
        wire.join(near, far)
        far.set_protocol(server.factory())
        protocol = factory()
        near.set_protocol(protocol)
        self.wires = [known for known in self.wires if not known.is_over]
        self.wires.append(wire)
        near.get_protocol().connection_made(near)
        theirs.run(far.get_protocol().connection_made, far)
        return near, protocol

    def drop_process(self, process: Process) -> None:
        """Close the ends of a process that is gone; what it wrote still arrives."""
        for wire in self.wires:
            if wire.process is process:
                wire.end(client=True).drop()
