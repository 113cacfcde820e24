"""A TWS client for conformance scripts: one library, driven and heard in lines of JSON.

Run as ``python client.py ib_insync`` or ``python client.py ib_async`` in an environment that has that
library; nothing else is imported. Each line of standard input is a command, each line of standard output a
callback that the library's decoder delivered, before the library itself acted on it. One process serves
several connections, told apart by the number a script gives them; it is their client id too unless the
script says otherwise.

Commands (``do``): ``connect`` (client, id, port, newest), ``call`` (client, method, words, fields), ``state``
(client, order), ``fence`` (client, number), ``disconnect`` (client), ``reset``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import enum
import importlib
import inspect
import json
import logging
import math
import sys
from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import ModuleType
from typing import Any

PROCESS = -1
"""In place of a client: what concerns the whole process."""
UNSET_DOUBLE = sys.float_info.max
UNSET_INTEGER = 2**31 - 1
CONNECT_SECONDS = 10.0

NOT_CALLBACKS = frozenset(
    (
        "connectAck",
        "connectionClosed",
        "reset",
        "setEventsDone",
        "startReq",
        "startTicker",
        "endTicker",
        "startSubscription",
        "endSubscription",
        "orderKey",
        "setTimeout",
        "tcpDataArrived",
        "tcpDataProcessed",
    )
)
"""Public methods of the libraries' wrappers that no message of a gateway calls."""

DEFAULTS: dict[str, Any] = {
    "acctCode": "",
    "account": "",
    "apiOnly": False,
    "bAutoBind": True,
    "barSize": 5,
    "barSizeSetting": "1 day",
    "chartOptions": [],
    "durationStr": "10 D",
    "endDateTime": "",
    "exerciseAction": 1,
    "exerciseQuantity": 1,
    "formatDate": 1,
    "genericTickList": "",
    "groupName": "All",
    "ignoreSize": False,
    "isSmartDepth": False,
    "keepUpToDate": False,
    "ledgerAndNLV": False,
    "manualCancelOrderTime": "",
    "mktDataOptions": [],
    "mktDepthOptions": [],
    "modelCode": "",
    "numIds": 1,
    "numberOfTicks": 0,
    "numRows": 5,
    "override": 0,
    "realTimeBarsOptions": [],
    "regulatorySnapshot": False,
    "snapshot": False,
    "subscribe": True,
    "useRTH": True,
    "useRth": True,
    "whatToShow": "TRADES",
}
"""What a script need not say, by the libraries' parameter names."""


LIMITED = ("LMT", "LOC", "LIT", "STP LMT")
"""Order types whose first price in a script is the limit; of the others it is the trigger."""


def say(client: int, name: str, /, **args: object) -> None:
    """Write one event."""
    sys.stdout.write(json.dumps({"client": client, "name": name, "args": args}) + "\n")
    sys.stdout.flush()


def plain(value: Any) -> Any:
    """Return a value of a library as plain JSON; the protocol's "no value" becomes ``unset``."""
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | Decimal | float):
        return plain_number(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, list | set) or (isinstance(value, tuple) and not hasattr(value, "_asdict")):
        return [plain(part) for part in value]
    return plain_fields(value)


def plain_number(value: int | Decimal | float) -> int | float | str:
    """Return a number that JSON can hold, or the word for one that it cannot."""
    if isinstance(value, int):
        return "unset" if value == UNSET_INTEGER else value
    number = float(value)
    if math.isnan(number) or math.isinf(number):
        return str(number)
    return "unset" if number == UNSET_DOUBLE else number


def plain_fields(value: Any) -> Any:
    """Return an object by its fields, or what it prints as where it has none."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    return str(value)


def guess(word: str) -> Any:
    """Read a word of a script: yes, no, a whole number, a number, or text."""
    if word in ("yes", "no"):
        return word == "yes"
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


class Heard(logging.Handler):
    """Reports what the library's decoder could not read."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        say(PROCESS, "unreadable", text=record.getMessage()[:300], error=repr(error))


class Connection:
    """One connection: the library's objects, and the tap between its decoder and its wrapper."""

    def __init__(self, library: ModuleType, name: int, client_id: int) -> None:
        self.name = name
        self.client_id = client_id
        self.library = library
        self.awaited: deque[int | None] = deque()
        """Numbers of fences whose account lists are under way; None for one that a script asked for."""
        self.leaving = False
        self._depth = 0
        library.ib.Wrapper = self._tapped(library.wrapper.Wrapper)
        self.ib = library.IB()
        self.ib.client.MaxRequests = 0
        self.ib.client.conn.disconnected += self._closed
        self._connecting: asyncio.Task[None] | None = None

    def _tapped(self, base: type[Any]) -> type[Any]:
        members: dict[str, Any] = {
            name: self._tap(name, method)
            for name, method in inspect.getmembers(base, inspect.isfunction)
            if not name.startswith("_") and name not in NOT_CALLBACKS
        }
        members["bondContractDetails"] = self._tap("bondContractDetails", _unheard)
        return type("Tapped", (base,), members)

    def _tap(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        parameters = list(inspect.signature(method).parameters)[1:]

        def heard(wrapper: Any, *args: Any) -> Any:
            if self._depth == 0 and not self._fenced(name):
                named = zip(parameters, args, strict=False)
                say(self.name, name, **{key.lstrip("_"): plain(arg) for key, arg in named})
            self._depth += 1
            try:
                return method(wrapper, *args)
            finally:
                self._depth -= 1

        return heard

    def _fenced(self, name: str) -> bool:
        """Return whether a callback only answers a fence, and then report the fence."""
        if name != "managedAccounts" or not self.awaited:
            return False
        number = self.awaited.popleft()
        if number is None:
            return False
        say(self.name, "fence", number=number)
        return True

    def _closed(self, _message: str) -> None:
        if not self.leaving:
            say(self.name, "disconnected")
        for number in self.awaited:
            if number is not None:
                say(self.name, "fence", number=number)
        self.awaited.clear()
        if self._connecting is not None:
            self._connecting.cancel()

    async def connect(self, port: int, newest: int) -> None:
        """Connect without the library's own first requests, and say how it went."""
        client = self.ib.client
        client.MaxClientVersion = newest
        self.ib.wrapper.clientId = self.client_id
        reason = ""
        try:
            await client.connectAsync("127.0.0.1", port, self.client_id, CONNECT_SECONDS)
        except asyncio.CancelledError:
            return  # the gateway has closed the connection, which was said already
        except (OSError, TimeoutError) as error:
            reason = type(error).__name__
        if reason:
            say(self.name, "refused", reason=reason)
        else:
            say(self.name, "ready", version=client.serverVersion(), next_id=client._reqIdSeq)

    def start_connecting(self, port: int, newest: int) -> None:
        """Connect in the background: other clients are served meanwhile."""
        self._connecting = asyncio.create_task(self.connect(port, newest))

    def disconnect(self) -> None:
        """Close the connection without a word."""
        self.leaving = True
        if self.ib.client.conn.transport is not None:
            self.ib.client.disconnect()

    def fence(self, number: int) -> None:
        """Ask for something harmless; its answer comes after everything that is under way."""
        if not self.ib.client.isConnected():
            say(self.name, "fence", number=number)
            return
        self.awaited.append(number)
        self.ib.client.reqManagedAccts()

    def state(self, order: int) -> None:
        """Tell what the library itself makes of an order, or of its connection for order 0."""
        if not order:
            held = {p.contract.symbol: plain(p.position) for p in self.ib.positions()}
            say(self.name, "state", positions=held, fills=len(self.ib.fills()))
            return
        trade = self.ib.wrapper.trades.get((self.client_id, order))
        if trade is None:
            say(self.name, "state", order=order, status="unknown")
            return
        commissions = [plain(fill.commissionReport.commission) for fill in trade.fills]
        say(
            self.client_id,
            "state",
            order=order,
            status=trade.orderStatus.status,
            filled=plain(trade.filled()),
            remaining=plain(trade.remaining()),
            fills=len(trade.fills),
            commission=sum(commissions),
            done=trade.isDone(),
        )

    def call(self, method: str, words: list[str], fields: dict[str, str]) -> None:
        """Send a request as the library's user would."""
        if method == "placeOrder":
            self._place(words, fields)
            return
        function = getattr(self.ib.client, method)
        values = self._bind(inspect.signature(function).parameters, words, fields)
        if method == "reqManagedAccts":
            self.awaited.append(None)
        identity = values.get("reqId", values.get("tickerId"))
        if method == "reqCompletedOrders":
            identity = "completedOrders"
        if identity is not None and method.startswith("req"):
            answer = self.ib.wrapper.startReq(identity, values.get("contract"))
            answer.add_done_callback(lambda future: future.cancelled() or future.exception())
        function(*values.values())

    def _bind(
        self, parameters: Mapping[str, inspect.Parameter], words: list[str], fields: dict[str, str]
    ) -> dict[str, Any]:
        rest = deque(words)
        left = dict(fields)
        values: dict[str, Any] = {}
        special = {
            "execFilter": self.library.ExecutionFilter,
            "subscription": self.library.ScannerSubscription,
            "data": self.library.WshEventData,
        }
        for name in parameters:
            if name == "contract":
                values[name] = self._contract(rest.popleft())
            elif name in special:
                values[name] = special[name]()
            elif name in left:
                values[name] = guess(left.pop(name))
            elif rest:
                values[name] = guess(rest.popleft())
            elif name in DEFAULTS:
                values[name] = DEFAULTS[name]
            else:
                values[name] = [] if name.endswith("Options") else ""
        if rest:
            raise ValueError(f"too many words: {' '.join(rest)}")
        targets = [v for n, v in values.items() if n == "contract" or n in special]
        for name, text in left.items():
            fill(name, text, *targets)
        return values

    def _contract(self, word: str) -> Any:
        """Make the contract a word of a script means: AAA, FUT:ES:20180316:CME, OPT:AAA:20180119:100:C."""
        kind, *parts = word.split(":") if ":" in word else ("STK", word)
        contract = self.library.Contract(secType=kind, currency="USD", exchange="SMART")
        if kind == "ID":
            return self.library.Contract(conId=int(parts[0]), exchange=parts[1] if parts[1:] else "")
        contract.symbol = parts[0]
        if kind == "CASH":
            contract.symbol, contract.currency = parts[0].split(".")
            contract.exchange = parts[1] if parts[1:] else "IDEALPRO"
        elif kind in ("FUT", "OPT"):
            contract.lastTradeDateOrContractMonth = parts[1]
            if kind == "FUT":
                contract.exchange = parts[2]
            else:
                contract.strike, contract.right = float(parts[2]), parts[3]
        elif parts[1:]:
            contract.exchange = parts[1]
        return contract

    def _place(self, words: list[str], fields: dict[str, str]) -> None:
        order_id, action, quantity, kind, *rest = words
        order = self.library.Order(
            orderId=int(order_id),
            action=action,
            totalQuantity=float(quantity),
            orderType=kind.replace("_", " "),
        )
        for price in rest[:-1]:
            limited = order.orderType in LIMITED and order.lmtPrice == UNSET_DOUBLE
            setattr(order, "lmtPrice" if limited else "auxPrice", float(price))
        contract = self._contract(rest[-1])
        for name, text in fields.items():
            fill(name, text, order, contract)
        trade = self.ib.wrapper.trades.get((self.client_id, order.orderId))
        if order.whatIf or not order.orderId or (trade is not None and trade.isDone()):
            self.ib.client.placeOrder(order.orderId, contract, order)
        else:
            self.ib.placeOrder(contract, order)


def _unheard(_wrapper: object, _req_id: int, _details: object) -> None:
    """Take a callback that the library's own wrapper does not know."""


def fill(name: str, text: str, *targets: Any) -> None:
    """Set a field on the first object that has it, in the type of its default."""
    for target in targets:
        if hasattr(target, name):
            kind = type(getattr(target, name))
            setattr(target, name, text if kind is str else guess(text))
            return
    raise ValueError(f"no such field: {name}")


async def serve(library: ModuleType) -> None:
    """Obey standard input until it ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    connections: dict[int, Connection] = {}
    while line := await reader.readline():
        command = json.loads(line)
        do, client_id = command["do"], command.get("client", 0)
        if do == "reset":
            for connection in connections.values():
                connection.disconnect()
            connections.clear()
            await asyncio.sleep(0)
            say(PROCESS, "reset")
            continue
        if do == "connect":
            connections[client_id] = Connection(library, client_id, command["id"])
            connections[client_id].start_connecting(command["port"], command["newest"])
            continue
        connection = connections[client_id]
        try:
            if do == "call":
                connection.call(command["method"], command["words"], command["fields"])
            elif do == "fence":
                connection.fence(command["number"])
            elif do == "state":
                connection.state(command["order"])
            elif do == "disconnect":
                connection.disconnect()
        except (ValueError, ConnectionError, AttributeError, TypeError, IndexError) as error:
            say(client_id, "misused", text=repr(error), command=command)


def main() -> None:
    """Run with the library named by the first argument."""
    name = sys.argv[1]

    async def run() -> None:
        library = importlib.import_module(name)
        for part in (".Decoder", ".decoder"):
            logging.getLogger(name + part).addHandler(Heard(logging.ERROR))
        logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger(name).propagate = False
        say(PROCESS, "library", name=name, version=str(library.__version__))
        await serve(library)

    asyncio.run(run())


if __name__ == "__main__":
    main()
