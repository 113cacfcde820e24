"""Many orders for a long time: 45 a second from each of 8 clients, and one client more that stops reading.

1. Eight clients send market orders, marketable limits, and limits that rest until they are cancelled. Every
   error is counted, and the time to the first orderStatus kept.
2. In the middle a ninth client asks for histories without reading any; the gateway stops reading it, and cuts
   it off. The others' times are compared before, while it stalls and after.
3. The memory the gateway has gained is divided by the number of orders. Then time jumps to the next session
   and a second, shorter load shows that the memory of the first is used again.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Final

from infrastructure.bench import processes, wire
from infrastructure.bench.wire import StreamClient

CLIENTS: Final = 8
ORDERS_A_SECOND: Final = 45
WARM_UP_SECONDS: Final = 5.0
STALLED_ID: Final = 99
_FAREWELLS: Final = frozenset({b"202", b"399", b"2104", b"2106", b"2158"})
_SLICE: Final = 0.005


class Trader(StreamClient):
    """One client under load."""

    def __init__(self, client_id: int) -> None:
        super().__init__(client_id)
        self.symbol = ""
        self.orders = 0
        self.executions = 0
        self.errors: Counter[str] = Counter()
        self.times: list[tuple[float, float]] = []
        """When each order was sent, and how long its first status took; seconds."""
        self._sent: dict[bytes, float] = {}
        self._to_cancel: set[bytes] = set()

    def trade(self) -> None:
        """Send the next order of the mix; one in twelve rests and is cancelled once it is acknowledged."""
        self.orders += 1
        number = self.orders
        key = str(number).encode()
        side = "BUY" if number % 2 else "SELL"
        if number % 12 == 0:
            data = wire.order(number, self.symbol, "BUY", "LMT", "50.0")
            self._to_cancel.add(key)
        elif number % 3 == 1:
            data = wire.order(number, self.symbol, side, "LMT", "150.0" if side == "BUY" else "50.0")
        else:
            data = wire.order(number, self.symbol, side, "MKT")
        self._sent[key] = time.perf_counter()
        self.write(data)

    def take(self, text: bytes) -> None:
        """Note the first status of each order, executions and errors."""
        if text.startswith(wire.ORDER_STATUS):
            key = text.split(b"\0", 2)[1]
            began = self._sent.pop(key, None)
            if began is not None:
                self.times.append((began, time.perf_counter() - began))
                if key in self._to_cancel:
                    self._to_cancel.discard(key)
                    self.write(wire.cancel(int(key)))
        elif text.startswith(b"11\0"):
            self.executions += 1
        elif text.startswith(wire.ERROR):
            fields = text.split(b"\0")
            if fields[3] not in _FAREWELLS:
                self.errors[(fields[3] + b" " + fields[4]).decode()] += 1

    @property
    def unanswered(self) -> int:
        """Orders without any status."""
        return len(self._sent)


async def load(traders: list[Trader], seconds: float) -> None:
    """Let every trader send at its rate; orders of one client come one by one, never in a burst."""
    began = time.perf_counter()
    start = [trader.orders for trader in traders]
    while (elapsed := time.perf_counter() - began) < seconds:
        for number, trader in enumerate(traders):
            phase = number / len(traders) / ORDERS_A_SECOND
            due = start[number] + int((elapsed - phase) * ORDERS_A_SECOND) + 1
            if trader.orders < due:
                trader.trade()
        await asyncio.sleep(_SLICE)


async def stall(port: int, symbol: str, limit_seconds: float) -> float | None:
    """Ask for histories and read nothing; return after how many seconds the gateway cut the client off."""
    loop = asyncio.get_running_loop()
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await loop.sock_connect(raw, ("127.0.0.1", port))
    began = time.perf_counter()
    with raw:
        await loop.sock_sendall(raw, wire.hello(STALLED_ID))
        with suppress(ConnectionError):
            for number in range(1, 1_000_000):
                if time.perf_counter() - began > limit_seconds:
                    return None
                await loop.sock_sendall(raw, wire.long_history(number, symbol))
                await asyncio.sleep(0.01)
    return time.perf_counter() - began


async def _measure(bars: Path, server: processes.Server, seconds: float, control: Path) -> dict[str, float]:
    symbols = processes.symbols_of(bars)
    traders = [await Trader.connect(server.port, number) for number in range(1, CLIENTS + 1)]
    for trader, symbol in zip(traders, symbols, strict=False):
        trader.symbol = symbol
    await load(traders, WARM_UP_SECONDS)
    orders, memory, cpu = _count(traders), server.resident_bytes(), server.cpu_seconds()
    began = time.perf_counter()
    await load(traders, seconds / 2)
    stalling = asyncio.create_task(stall(server.port, symbols[0], seconds / 2))
    stalled_at = time.perf_counter()
    first_half = stalled_at - began
    await load(traders, seconds - first_half)
    cut_after = await stalling
    cut_at = stalled_at + (cut_after or 0.0)
    ended = time.perf_counter()
    figures = {
        "clients": float(CLIENTS),
        "seconds": ended - began,
        "orders": float(_count(traders) - orders),
        "orders_a_second_a_client": (_count(traders) - orders) / (ended - began) / CLIENTS,
        "gateway_cpu_share": (server.cpu_seconds() - cpu) / (ended - began),
    }
    await _settle(traders)
    gained = server.resident_bytes() - memory
    times = [pair for trader in traders for pair in trader.times]
    figures |= {
        "executions": float(sum(trader.executions for trader in traders)),
        "errors": float(sum(sum(trader.errors.values()) for trader in traders)),
        "unanswered": float(sum(trader.unanswered for trader in traders)),
        "median_us": _median_us(times, began, stalled_at),
        "p99_us": _p99_us(times, began, stalled_at),
        "cut_off_after_s": cut_after if cut_after is not None else float("nan"),
        "median_while_stalled_us": _median_us(times, stalled_at, cut_at),
        "p99_while_stalled_us": _p99_us(times, stalled_at, cut_at),
        "median_after_us": _median_us(times, cut_at, ended),
        "stalled_ratio": _median_us(times, stalled_at, cut_at) / _median_us(times, began, stalled_at),
        "bytes_an_order": gained / figures["orders"],
    }
    figures |= await _next_day(server, traders, control, memory, seconds)
    for trader in traders:
        for text, count in trader.errors.items():
            print(f"client {trader.client_id}: {count} times error {text}")
        if trader.transport is not None:
            trader.transport.close()
    return figures


async def _next_day(
    server: processes.Server, traders: list[Trader], control: Path, memory: int, seconds: float
) -> dict[str, float]:
    """Roll to the next session and load again: what the first day took must be there to be used again."""
    from backtesting.gateway.control_socket import ask

    before = server.resident_bytes()
    orders = _count(traders)
    await asyncio.to_thread(ask, control, "jump", to="next session")
    rolled = server.resident_bytes()
    await load(traders, seconds / 2)
    await _settle(traders)
    return {
        "mb_before_the_day": memory / 1e6,
        "mb_after_the_day": before / 1e6,
        "mb_after_the_roll": rolled / 1e6,
        "mb_after_half_a_day_more": server.resident_bytes() / 1e6,
        "growth_of_the_second_day": (server.resident_bytes() - before) / max(before - memory, 1),
        "orders_of_half_a_day": float(_count(traders) - orders),
    }


async def _settle(traders: list[Trader], longest: float = 30.0) -> None:
    """Wait until every order has its status and every executable one its execution."""
    deadline = time.perf_counter() + longest
    while time.perf_counter() < deadline and any(trader.unanswered for trader in traders):  # noqa: ASYNC110
        # (there is no event to wait for: any message of any client may be the last)
        await asyncio.sleep(0.1)
    await asyncio.sleep(2.0)


def _count(traders: list[Trader]) -> int:
    return sum(trader.orders for trader in traders)


def _within(times: list[tuple[float, float]], first: float, last: float) -> list[float]:
    return [took * 1e6 for began, took in times if first <= began < last] or [float("nan")]


def _median_us(times: list[tuple[float, float]], first: float, last: float) -> float:
    return statistics.median(_within(times, first, last))


def _p99_us(times: list[tuple[float, float]], first: float, last: float) -> float:
    chosen = sorted(_within(times, first, last))
    return chosen[int(len(chosen) * 0.99)]


def measure(folder: Path, *, seconds: float = 300.0) -> dict[str, float]:
    """Return the figures of a load of so many seconds; `folder` holds ``bars`` of at least eight symbols."""
    bars, control = folder / "bars", folder / "control"
    first = processes.session_date(2)  # there is a history to ask for
    options = ("--port", "0", "--speed", "1", "--start", first, "--control", str(control))
    with processes.gateway(bars, *options) as server:
        return asyncio.run(_measure(bars, server, seconds, control))
