"""Follows a conformance script: a gateway in this process, its clients in another."""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from contextlib import AsyncExitStack
from typing import Any, Final, NoReturn

import yaml

from backtesting.gateway.faults.rule import Script as FaultScript
from backtesting.gateway.faults.script import parse_script
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.testing import WireClient, simulated_gateway
from execution.models import Instrument

from .market import BARS, CONTRACTS, SESSIONS, gateway_config, more_bars
from .process import ANSWER_SECONDS, PROCESS, Cell, ClientProcess
from .script import Line, Script, ScriptError, differences

TICKER_ID: Final = 900
"""Client id of the connection that plays steps; it is no part of the script."""
SHOWN: Final = 12

NOTICES: Final = frozenset((2104, 2106, 2107, 2108, 2119, 2158))
NEVER_LOOKED_AT: Final = frozenset(("ready",))


class ScriptRun:
    """One script against one cell."""

    def __init__(self, script: Script, cell: Cell, process: ClientProcess) -> None:
        self.script = script
        self.cell = cell
        self.process = process
        self._stack = AsyncExitStack()
        self._gateway: GatewayServer | None = None
        self._ticker: WireClient | None = None
        self._bound: dict[str, str] = {}
        self._clients: list[int] = []
        self._injector: int | None = None
        self._ignored: set[str] = set()
        self._notices = NOTICES
        self._patience = 0.0
        self._blind: set[int] = set()
        self._history: deque[str] = deque(maxlen=SHOWN)

    async def run(self) -> None:
        """Follow the script.

        Raises
        ------
        ScriptError
            If a callback was not as expected, was missing or was not expected.
        """
        async with self._stack:
            self._stack.push_async_callback(self.process.reset)
            line = None
            for line in self.script.lines:
                if line.applies(self.cell.library, self.cell.version):
                    try:
                        await getattr(self, f"_do_{line.kind}")(line)
                    except TimeoutError:
                        self._fail(line, "no answer in time")
            if line is not None:
                await self._settle(line)

    def _fail(self, line: Line, what: str) -> NoReturn:
        last = "".join(f"\n    {text}" for text in self._history)
        where = f"{self.script.path.name}:{line.number} with {self.cell.name}: {line.text}"
        raise ScriptError(f"{where}\n  {what}\n  last heard:{last}")

    # what has been heard

    def _looked_at(self, event: dict[str, Any]) -> bool:
        name, args = event["name"], event["args"]
        if name in NEVER_LOOKED_AT or name in self._ignored:
            return False
        return not (name == "error" and args["reqId"] == -1 and args["errorCode"] in self._notices)

    def _peek(self, line: Line, client: int) -> dict[str, Any] | None:
        for event in self.process.heard.get(PROCESS, ()):
            self._fail(line, f"the library could not read a message: {event['args']}")
        queue = self.process.heard.setdefault(client, deque())
        while queue and not self._looked_at(queue[0]):
            queue.popleft()
        if queue and queue[0]["name"] == "misused":
            self._fail(line, f"the request was not sent: {queue[0]['args']['text']}")
        return queue[0] if queue else None

    def _take(self, client: int) -> None:
        event = self.process.heard[client].popleft()
        self._history.append(shown(client, event))

    async def _wait(self, line: Line) -> dict[str, Any] | None:
        event = self._peek(line, line.client)
        if event is None and self._patience:
            deadline = asyncio.get_running_loop().time() + self._patience
            while event is None and (left := deadline - asyncio.get_running_loop().time()) > 0:
                await self.process.next(line.client, left)
                event = self._peek(line, line.client)
        elif event is None:
            await self._fence(line.client)
            event = self._peek(line, line.client)
        return event

    async def _fence(self, client: int) -> None:
        for each in (self._injector, client):
            if each is not None and each not in self._blind:
                await self.process.fence(each)

    async def _settle(self, line: Line) -> None:
        """Let everything arrive; nothing may be left that the script did not expect."""
        for client in self._clients:
            await self._fence(client)
        for client in self._clients:
            event = self._peek(line, client)
            if event is not None:
                queue = self.process.heard[client]
                extra = [shown(client, e) for e in queue if self._looked_at(e)]
                self._fail(
                    line, f"before this line came {len(extra)} unexpected: " + "\n    ".join(extra[:SHOWN])
                )

    # statements

    async def _do_gateway(self, line: Line) -> None:
        config = gateway_config(line.fields, self.cell.version)
        bars = BARS[line.fields.get("bars", "daily")]()
        offered: list[Instrument] = [Instrument(symbol) for symbol in sorted(bars)]
        if "contracts" in line.fields:
            offered += CONTRACTS
            bars = {**bars, **more_bars()}
        self._gateway = await self._stack.enter_async_context(
            simulated_gateway(
                bars, config=config, instruments=offered, sessions=SESSIONS, faults=self._faults()
            )
        )

    def _faults(self) -> FaultScript | None:
        """Return the rules of the script's ``fault`` lines."""
        rules = [yaml.safe_load(f"{{{line.words[0]}}}") for line in self.script.lines if line.kind == "fault"]
        return parse_script(json.dumps({"rules": rules}), self.script.path.name) if rules else None

    async def _do_fault(self, line: Line) -> None:
        """Take a rule; it was given to the gateway when that was started."""

    async def _do_blind(self, line: Line) -> None:
        """Do not wait for answers of a client any more: the fault gives none."""
        self._blind.update(map(int, line.words))

    async def _server(self) -> GatewayServer:
        if self._gateway is None:
            await self._do_gateway(Line(0, "gateway", "gateway", 0, (), {}))
        assert self._gateway is not None
        return self._gateway

    async def _connect(self, client: int, client_id: int) -> None:
        server = await self._server()
        self.process.heard.pop(client, None)
        self.process.command(
            do="connect", client=client, id=client_id, port=server.port, newest=self.cell.version
        )

    async def _do_client(self, line: Line) -> None:
        await self._settle(line)
        for word in line.words:
            client = int(word)
            await self._connect(client, client)
            event = await self.process.wait_for(client, "ready", "refused", "disconnected")
            if event["name"] != "ready":
                self._fail(line, f"it could not connect: {shown(client, event)}")
            if event["args"]["version"] != self.cell.version:
                self._fail(line, f"server version {event['args']['version']} was negotiated")
            self._clients.append(client)
            await self.process.fence(client)
            while self._peek(line, client) is not None:
                self._take(client)

    async def _do_leave(self, line: Line) -> None:
        await self._settle(line)
        server = await self._server()
        for client in map(int, line.words):
            self._clients.remove(client)
            self.process.command(do="disconnect", client=client)
            async with asyncio.timeout(ANSWER_SECONDS):
                while client in server.service.sessions:  # noqa: ASYNC110  there is no event for it
                    await asyncio.sleep(0.001)
            if self._injector == client:
                self._injector = None

    async def _do_I(self, line: Line) -> None:  # noqa: N802  the statement's letter
        await self._settle(line)
        method, *words = map(self._filled_in, line.words)
        if method == "connect":
            await self._connect(line.client, int(line.fields.get("id", line.client)))
            event = await self.process.wait_for(line.client, "ready", "refused", "disconnected")
            if event["name"] == "ready":
                self._clients = [*(set(self._clients) - {line.client}), line.client]
            else:
                self.process.heard[line.client].append(event)
            return
        fields = {name: self._filled_in(text) for name, text in line.fields.items()}
        self._injector = line.client
        self.process.command(do="call", client=line.client, method=method, words=words, fields=fields)

    def _filled_in(self, text: str) -> str:
        """Return a word of a request with the values of its ``$names``."""
        return re.sub(r"\$([a-z]+)", lambda found: self._bound[found[1]], text)

    async def _do_E(self, line: Line) -> None:  # noqa: N802
        event = await self._wait(line)
        if event is None:
            self._fail(line, "nothing came")
        found = differences(line, event["name"], event["args"], self._bound)
        if found:
            self._fail(line, f"{'; '.join(found)}\n  came: {shown(line.client, event)}")
        self._take(line.client)

    async def _do_O(self, line: Line) -> None:  # noqa: N802
        event = await self._wait(line)
        if event is not None and not differences(line, event["name"], event["args"], self._bound):
            self._take(line.client)

    async def _do_A(self, line: Line) -> None:  # noqa: N802
        while (event := await self._wait(line)) is not None:
            if differences(line, event["name"], event["args"], self._bound):
                return
            self._take(line.client)

    async def _do_state(self, line: Line) -> None:
        await self._settle(line)
        order = int(line.words[0]) if line.words else 0
        self.process.command(do="state", client=line.client, order=order)
        event = await self.process.wait_for(line.client, "state")
        wanted = Line(line.number, line.text, line.kind, line.client, ("state",), line.fields)
        found = differences(wanted, "state", event["args"], self._bound)
        if found:
            self._fail(line, "; ".join(found))

    async def _do_step(self, line: Line) -> None:
        await self._settle(line)
        server = await self._server()
        if self._ticker is None:
            self._ticker = await WireClient.connect(server.port, TICKER_ID)
            self._stack.push_async_callback(self._ticker.close)
            self._ticker.send(49, 1)
            await self._ticker.until("49")
        for _ in range(int(line.words[0]) if line.words else 1):
            self._ticker.send(49, 1)
            await self._ticker.until("49")
        self._injector = None

    async def _do_wait(self, line: Line) -> None:
        await asyncio.sleep(float(line.words[0]))

    async def _do_patience(self, line: Line) -> None:
        self._patience = float(line.words[0])

    async def _do_ignore(self, line: Line) -> None:
        self._ignored.update(line.words)

    async def _do_watch(self, line: Line) -> None:
        await self._settle(line)
        if "notices" in line.words:
            self._notices = frozenset()
        self._ignored.difference_update(line.words)


def shown(client: int, event: dict[str, Any]) -> str:
    """Return an event in one short line, as a script would write it."""
    parts = [f"@{client}", event["name"]]
    for name, value in event["args"].items():
        if isinstance(value, dict):
            picked = {k: v for k, v in value.items() if k in SHORT and v not in ("", 0, 0.0, "unset", None)}
            parts.append(" ".join(f"{k}={v}" for k, v in picked.items()))
        else:
            parts.append(f"{name}={value}")
    return " ".join(parts)[:600]


SHORT: Final = frozenset(
    (
        "symbol",
        "secType",
        "action",
        "totalQuantity",
        "orderType",
        "lmtPrice",
        "auxPrice",
        "tif",
        "status",
        "permId",
        "parentId",
        "ocaGroup",
        "shares",
        "price",
        "side",
        "execId",
        "orderId",
        "clientId",
        "commission",
        "realizedPNL",
        "cumQty",
        "avgPrice",
        "date",
        "open",
        "high",
        "low",
        "close",
        "initMarginChange",
        "whyHeld",
        "completedStatus",
        "filledQuantity",
        "trailStopPrice",
    )
)
