"""A venue for measurements: it takes orders from real clients and answers each with prepared texts.

``python -m infrastructure.bench.venue`` prints its port. A thread waits for each connection, so that the
moment noted for an order is that of its bytes, not that of a loop's turn.

1. An order is acknowledged and, unless ``--rest`` is given, filled at its limit at once.
2. Whoever connects and says ``STAMPS`` instead of the API's greeting is told, in 8 bytes each, the moment
   (``CLOCK_MONOTONIC``, nanoseconds, which all processes share) at which each order arrived.
3. With ``--rest --fills-while-away N`` the orders of a client that leaves are executed in N parts each, and
   what the client then has to learn is made ready: open orders, executions with commissions, positions.
"""

from __future__ import annotations

import argparse
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Final

from infrastructure.bench.wire import GREETING, VERSION, Frames, message

STAMPS: Final = b"STAM"
ACCOUNT: Final = "DU0000001"
PART: Final = 10
"""Shares of one execution."""
_HELLO: Final = message(f"{VERSION}|20180102 09:30:00 US/Eastern")
_TIME: Final = "20180102 09:30:00 US/Eastern"
_STAMP: Final = struct.Struct("=q")
_REQUEST: Final = b"REQUEST"
"""Stands for a request's number until it is known; the number takes as many digits."""
_UNSET: Final = "1.7976931348623157E308"
_OPEN_ORDER: Final = (
    "5|{order_id}|{con_id}|{symbol}|STK||0|?||SMART|USD|{symbol}|NMS|{side}|{quantity}|{kind}|{limit}|0.0|DAY||"
    f"{ACCOUNT}||0|{{ref}}|{{client}}|{{perm_id}}|0|0|0||{{perm_id}}.0/{ACCOUNT}/{{quantity}}||||||||||0||-1|0"
    "||||||2147483647|0|0|0||3|0|0||0|0||0|None||0||||?|0|0||0|0||||||0|0|0|2147483647|2147483647|||0||IB|0|0"
    f"||0|0|{{status}}|{'|'.join([_UNSET] * 9)}||||||0|0|0|None|{_UNSET}|{{limit}}|{'|'.join([_UNSET] * 4)}"
    "|0||||0|1|0|0|0|||0||100|0.02||"
)
_STATUS: Final = "3|{order_id}|{status}|{filled}|{remaining}|{average}|{perm_id}|0|{average}|{client}||0"
_EXECUTION: Final = (
    "11|{request}|{order_id}|{con_id}|{symbol}|STK||0.0|||NASDAQ|USD|{symbol}|NMS|{exec_id}|"
    f"{_TIME}|{ACCOUNT}|NASDAQ|{{side}}|{{quantity}}|{{price}}|{{perm_id}}|{{client}}|0|{{cumulative}}|{{price}}"
    "|{ref}||||2"
)
_COMMISSION: Final = f"59|1|{{exec_id}}|1.0|USD|{_UNSET}|{_UNSET}|"
_POSITION: Final = (
    f"61|3|{ACCOUNT}|{{con_id}}|{{symbol}}|STK||0.0|||NASDAQ|USD|{{symbol}}|NMS|{{quantity}}|100"
)


def con_id_of(symbol: str) -> int:
    """Return the number of a symbol's contract; short symbols have one each."""
    return 100_000_000 + int.from_bytes(symbol.encode(), "big") % 800_000_000


@dataclass(slots=True)
class Placed:
    """An order as the venue holds it."""

    order_id: int
    perm_id: int
    client: int
    symbol: str
    side: str
    quantity: int
    kind: str
    limit: str
    ref: str
    filled: int = 0

    @classmethod
    def read(cls, fields: list[str], client: int, perm_id: int) -> Placed:
        """Read placeOrder of version 176."""
        return cls(
            order_id=int(fields[1]),
            perm_id=perm_id,
            client=client,
            symbol=fields[3],
            side=fields[16],
            quantity=int(float(fields[17])),
            kind=fields[18],
            limit=fields[19] or "100.0",
            ref=fields[26],
        )

    def opened(self, status: str = "Submitted") -> bytes:
        """Return openOrder and orderStatus."""
        return self._told(_OPEN_ORDER, status) + self._told(_STATUS, status)

    def executed(self, shares: int) -> None:
        """Take note of an execution."""
        self.filled += shares

    def execution(self, part: int, shares: int, cumulative: int, request: str = "-1") -> bytes:
        """Return execDetails and commissionReport of one part, from 1."""
        exec_id = f"0000e0d5.{self.perm_id:08x}.{part:02d}.01"
        text = _EXECUTION.format(
            request=request,
            order_id=self.order_id,
            symbol=self.symbol,
            con_id=con_id_of(self.symbol),
            exec_id=exec_id,
            side="BOT" if self.side == "BUY" else "SLD",
            quantity=shares,
            price=self.limit,
            perm_id=self.perm_id,
            client=self.client,
            cumulative=cumulative,
            ref=self.ref,
        )
        return message(text) + message(_COMMISSION.format(exec_id=exec_id))

    def filled_at_once(self) -> bytes:
        """Return what a venue says that fills an order at once."""
        self.filled = self.quantity
        acknowledged = self.opened()
        return acknowledged + self.execution(1, self.quantity, self.quantity) + self._told(_STATUS, "Filled")

    def _told(self, text: str, status: str) -> bytes:
        filled = self.quantity if status == "Filled" else self.filled
        return message(
            text.format(
                order_id=self.order_id,
                symbol=self.symbol,
                con_id=con_id_of(self.symbol),
                side=self.side,
                quantity=self.quantity,
                kind=self.kind,
                limit=self.limit,
                ref=self.ref,
                client=self.client,
                perm_id=self.perm_id,
                status=status,
                filled=filled,
                remaining=self.quantity - filled,
                average=self.limit if filled else 0,
            )
        )


class Venue:
    """Takes connections; each gets a thread."""

    def __init__(self, *, rest: bool = False, fills_while_away: int = 0) -> None:
        self._rest = rest
        self._fills_while_away = fills_while_away
        self._watchers: list[socket.socket] = []
        self._orders: list[Placed] = []
        self._ready: dict[str, bytes] = {}
        self._executions: list[tuple[Placed, int]] = []
        self._lock = threading.Lock()
        self._seat = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def serve(self) -> None:
        """Take connections until the process is ended."""
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._attend, args=(connection,), daemon=True).start()

    def _attend(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, suppress(ConnectionError):
            greeting = connection.recv(4, socket.MSG_WAITALL)
            if greeting == STAMPS:
                self._watchers.append(connection)
                connection.recv(1)  # until it leaves
                self._watchers.remove(connection)
            elif greeting == GREETING:
                # Where orders are executed behind a client's back, the next one waits until they are.
                with self._seat if self._fills_while_away else nullcontext():
                    self._converse(connection)
                    self._left()

    def _converse(self, connection: socket.socket) -> None:
        frames, client = Frames(), 0
        frames.feed(connection.recv(4096))
        connection.sendall(_HELLO)
        while data := connection.recv(1 << 16):
            now = time.monotonic_ns()
            for text in frames.feed(data):
                if text.startswith(b"3\0"):
                    self._stamp(now)
                    connection.sendall(self._placed(text, client))
                    continue
                fields = text.decode().split("\0")
                if fields[0] == "71":
                    client = int(fields[2])
                connection.sendall(self._answer(fields))

    def _stamp(self, now: int) -> None:
        for watcher in self._watchers:
            watcher.sendall(_STAMP.pack(now))

    def _placed(self, text: bytes, client: int) -> bytes:
        with self._lock:
            order = Placed.read(text.decode().split("\0"), client, 1_500_000_000 + len(self._orders))
            self._orders.append(order)
        return order.opened() if self._rest else order.filled_at_once()

    def _answer(self, fields: list[str]) -> bytes:
        number = fields[2] if len(fields) > 2 else ""  # noqa: PLR2004  kind and version stand before it
        next_id = message(f"9|1|{len(self._orders) + 1}")
        answers: dict[str, Callable[[], bytes]] = {
            "71": lambda: message(f"15|1|{ACCOUNT}") + next_id,
            "8": lambda: next_id,
            "5": lambda: self._ready.get("orders", b"") + message("53|1"),
            "16": lambda: self._ready.get("orders", b"") + message("53|1"),
            "6": lambda: message(f"54|1|{ACCOUNT}") if number == "1" else b"",
            "7": lambda: self._executed(number) + message(f"55|1|{number}"),
            "61": lambda: self._ready.get("positions", b"") + message("62|1"),
            "62": lambda: (
                message(f"63|1|{number}|{ACCOUNT}|TotalCashValue|1000000.00|USD") + message(f"64|1|{number}")
            ),
            "76": lambda: message(f"74|1|{number}"),
            "99": lambda: message("102"),
        }
        answer = answers.get(fields[0])
        return answer() if answer else b""

    def _executed(self, request: str) -> bytes:
        return self._ready.get("executions", b"").replace(_REQUEST, request.zfill(len(_REQUEST)).encode())

    def _left(self) -> None:
        """Execute in parts what a client that left had at work, once."""
        if not self._fills_while_away or self._ready:
            return
        held: defaultdict[str, int] = defaultdict(int)
        executions = []
        for order in self._orders:
            for part in range(1, self._fills_while_away + 1):
                order.executed(PART)
                executions.append(order.execution(part, PART, order.filled, _REQUEST.decode()))
            held[order.symbol] += (1 if order.side == "BUY" else -1) * order.filled
        self._ready = {
            "orders": b"".join(order.opened() for order in self._orders),
            "executions": b"".join(executions),
            "positions": b"".join(
                message(_POSITION.format(con_id=con_id_of(symbol), symbol=symbol, quantity=quantity))
                for symbol, quantity in sorted(held.items())
            ),
        }


class Stamps:
    """The moments at which orders arrived, as the venue tells them.

    It is a context manager.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 30.0)
        self._socket.sendall(STAMPS)

    def next(self) -> int:
        """Wait for the next order's moment and return it, in nanoseconds of ``CLOCK_MONOTONIC``."""
        data = self._socket.recv(_STAMP.size, socket.MSG_WAITALL)
        if len(data) < _STAMP.size:
            raise EOFError("the venue has gone")
        moment: int = _STAMP.unpack(data)[0]
        return moment

    def __enter__(self) -> Stamps:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def arguments(*options: str) -> list[str]:
    """Return the arguments with which Python runs a venue."""
    return ["-m", "infrastructure.bench.venue", *options]


def main() -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rest", action="store_true", help="acknowledge orders and fill none")
    parser.add_argument("--fills-while-away", type=int, default=0, help="parts filled once a client left [0]")
    options = parser.parse_args()
    venue = Venue(rest=options.rest, fills_while_away=options.fills_while_away)
    print(f"listening on 127.0.0.1:{venue.port}", flush=True)
    venue.serve()


if __name__ == "__main__":
    main()
