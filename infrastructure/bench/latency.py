"""Order to first orderStatus, beside an echo of the same frames.

The client waits for each answer. Rounds of the servers take turns in one run, so that a busy machine slows
all alike. The echo reads the same orders and answers with the bytes of a gateway's answer (openOrder and
orderStatus) in one write. Each order is cancelled outside the measured time, so that none accumulates.

Where the system places a client and its server decides more than the server does: waking a process on another
core costs about as much as the echo itself. So they are pinned: to two cores, as programs run that wait for
nobody, and then to one, where nothing but the programs' own time counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from infrastructure.bench import processes, wire
from infrastructure.bench.servers import write_answers
from infrastructure.bench.wire import BlockingClient

CLIENT_ID = 5


class Rounds:
    """Times of one server, in microseconds."""

    def __init__(self, client: BlockingClient, symbol: str) -> None:
        self.client = client
        self.order_us: list[float] = []
        self.cancel_us: list[float] = []
        self._symbol = symbol
        self._next_id = 1

    def skip_to(self, order_id: int) -> None:
        """Go on with this order id."""
        self._next_id = order_id

    def forget(self) -> None:
        """Forget the times so far."""
        self.order_us.clear()
        self.cancel_us.clear()

    def play(self, orders: int, *, measured: bool = True) -> None:
        """Place and cancel so many orders."""
        for _ in range(orders):
            order_id = self._next_id
            self._next_id += 1
            placing = wire.order(order_id, self._symbol, "BUY", "LMT", "50.0")
            began = time.perf_counter_ns()
            self.client.ask(placing, wire.ORDER_STATUS)
            placed = time.perf_counter_ns()
            self.client.ask(wire.cancel(order_id), wire.ERROR)
            ended = time.perf_counter_ns()
            if measured:
                self.order_us.append((placed - began) / 1000)
                self.cancel_us.append((ended - placed) / 1000)


def measure(folder: Path, *, orders: int = 2000, rounds: int = 20, journal: bool = True) -> dict[str, float]:
    """Return median microseconds and ratios; `folder` holds ``bars``, and temporary files afterwards."""
    bars = folder / "bars"
    symbol = processes.symbols_of(bars)[0]
    with ExitStack() as stack:
        plain = stack.enter_context(processes.gateway(bars, "--port", "0"))
        client = stack.enter_context(BlockingClient(plain.port, CLIENT_ID))
        servers = {"gateway": Rounds(client, symbol)}
        servers["gateway"].play(300, measured=False)
        write_answers(folder / "answers.json", _answers(servers["gateway"], symbol))
        echo = stack.enter_context(processes.running(processes.prepared(folder / "answers.json")))
        servers["echo"] = Rounds(stack.enter_context(BlockingClient(echo.port, CLIENT_ID)), symbol)
        if journal:
            kept = processes.gateway(bars, "--port", "0", "--frames", str(folder / "frames.journal"))
            writing = stack.enter_context(kept)
            servers["journal"] = Rounds(stack.enter_context(BlockingClient(writing.port, CLIENT_ID)), symbol)
        placements = _placements(plain.pid, echo.pid, *([writing.pid] if journal else []))
        return _take_turns(servers, placements, orders, rounds)


def _placements(*servers: int) -> dict[str, Callable[[], None]]:
    """Return how client and servers are placed, by the prefix of the figures."""
    cores = processes.cores()

    def place(client: int, server: int) -> None:
        processes.pin(0, [client])
        for pid in servers:
            processes.pin(pid, [server])

    if len(cores) < 2:  # noqa: PLR2004  there is nothing to choose
        return {"": lambda: None}
    return {"": lambda: place(cores[0], cores[1]), "one_core_": lambda: place(cores[0], cores[0])}


def _take_turns(
    servers: dict[str, Rounds], placements: dict[str, Callable[[], None]], orders: int, rounds: int
) -> dict[str, float]:
    figures: dict[str, float] = {}
    allowed = processes.cores()
    try:
        for prefix, place in placements.items():
            place()
            for played in servers.values():
                played.forget()
                played.play(300, measured=False)
            for _ in range(rounds):
                for played in servers.values():
                    played.play(-(-orders // rounds))
            figures |= {f"{prefix}{name}": value for name, value in _figures(servers).items()}
    finally:
        processes.pin(0, allowed)
    return figures


def _answers(gateway: Rounds, symbol: str) -> dict[bytes, bytes]:
    """Return what the gateway answers to an order and to its cancel."""
    order_id = 1_000_000
    client = gateway.client
    client.ask(wire.order(order_id, symbol, "BUY", "LMT", "50.0"), wire.ORDER_STATUS)
    placed = bytes(client.received)
    client.ask(wire.cancel(order_id), wire.ERROR)
    gateway.skip_to(order_id + 1)
    return {b"3\0": placed, b"4\0": bytes(client.received)}


def _figures(servers: dict[str, Rounds]) -> dict[str, float]:
    floor = statistics.median(servers["echo"].order_us)
    figures = {
        "orders": float(len(servers["echo"].order_us)),
        "echo_us": floor,
        "echo_p99_us": _p99(servers["echo"].order_us),
    }
    for name in ("gateway", "journal"):
        if name not in servers:
            continue
        times = servers[name].order_us
        figures[f"{name}_us"] = statistics.median(times)
        figures[f"{name}_p99_us"] = _p99(times)
        figures[f"{name}_ratio"] = figures[f"{name}_us"] / floor
        figures[f"{name}_cancel_us"] = statistics.median(servers[name].cancel_us)
    return figures


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]
