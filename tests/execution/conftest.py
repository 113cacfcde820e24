"""A broker that does what a test tells it, on a real socket, and an executor over the real ib_insync."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.market.contract_entry import ContractEntry
from backtesting.gateway.market.contracts import Listing
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.testing import simulated_gateway
from backtesting.gateway.wire.codec import message, split
from data.bars import BarSeries
from data.calendars import ExchangeClock
from execution.audit import AuditLogger
from execution.clocks import SteppedClock
from execution.connection import IBKRConnectionManager
from execution.executor import IBKROrderExecutor
from execution.journal import SqliteJournal
from execution.models import Instrument
from execution.testing import START, RecordingHandler
from execution.timeframes import Timeframe

ACCOUNT = "DU1"
OPEN_ORDERS, COMPLETED, EXECUTIONS, POSITIONS, SUMMARY, TIME, PLACE, CANCEL = (
    "16",
    "99",
    "7",
    "61",
    "62",
    "49",
    "3",
    "4",
)


class ScriptedBroker:
    """Speaks just enough TWS: the handshake, the end marks, and whatever a test lets it say."""

    def __init__(self) -> None:
        self.port = 0
        self.next_id = 1
        self.placed: list[list[str]] = []
        self.cancelled: list[str] = []
        self.requests: list[str] = []
        self.mute: set[str] = set()
        self.open_orders: list[bytes] = []
        self.executions: list[bytes] = []
        self.positions: list[tuple[str, str, str]] = []
        self.cash: str | None = "1000000.00"
        self.values: list[bytes] = []
        self.on_place: Callable[[int, str], list[bytes]] = lambda order_id, ref: [
            self.open_order(order_id, ref),
            self.status(order_id, "Submitted"),
        ]
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self._arrived = asyncio.Event()

    # -- messages, with permId = 1000 + order id unless said otherwise

    def open_order(self, order_id: int, ref: str, *, client: int = 1, perm: int | None = None) -> bytes:
        fields = [""] * 30
        fields[0], fields[1], fields[3], fields[13], fields[14] = "5", str(order_id), "AAA", "BUY", "10"
        fields[20], fields[23], fields[24] = ACCOUNT, ref, str(client)
        fields[25] = str(1000 + order_id if perm is None else perm)
        return message(*fields)

    def status(
        self, order_id: int, status: str, filled: str = "0", *, client: int = 1, perm: int | None = None
    ) -> bytes:
        perm = 1000 + order_id if perm is None else perm
        return message(3, order_id, status, filled, "0", "0", perm, 0, "0", client, "", 0)

    def execution(
        self, order_id: int, exec_id: str, shares: str = "10", *, ref: str = "", request: int = -1
    ) -> bytes:
        fields = [""] * 34
        fields[0], fields[1], fields[2], fields[4] = "11", str(request), str(order_id), "AAA"
        fields[14], fields[15], fields[16] = exec_id, "20180102 09:31:00 US/Eastern", ACCOUNT
        fields[18], fields[19], fields[20] = "BOT", shares, "100.5"
        fields[21], fields[22], fields[26] = str(1000 + order_id), "1", ref
        return message(*fields)

    def commission(self, exec_id: str, amount: str = "1.25") -> bytes:
        return message(59, 1, exec_id, amount, "USD", "", "", "")

    def error(self, request_id: int, code: int, text: str = "told so") -> bytes:
        return message(4, 2, request_id, code, text, "")

    # -- life

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self.drop()
        await self._server.wait_closed()

    async def drop(self) -> None:
        """Close every connection, as a gateway that goes down."""
        for writer in self._writers:
            writer.close()
        self._writers.clear()
        await asyncio.sleep(0.02)

    def say(self, *messages: bytes) -> None:
        for writer in self._writers:
            writer.write(b"".join(messages))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the loop run until the condition holds; fail after five seconds."""
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - what it waits for is seen from outside only
                await asyncio.sleep(0.002)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            await reader.readexactly(4)
            await self._read(reader)
            writer.write(message(176, "20180102 09:30:00 US/Eastern"))
            while True:
                fields = split(await self._read(reader))
                writer.write(b"".join(self._answer(fields)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        size = int.from_bytes(await reader.readexactly(4), "big")
        return await reader.readexactly(size)

    def _answer(self, fields: list[str]) -> list[bytes]:  # noqa: PLR0911 - one reply a request
        kind = fields[0]
        self.requests.append(kind)
        if kind in self.mute:
            return []
        match kind:
            case "71":
                return [message(15, 1, ACCOUNT), message(9, 1, self.next_id)]
            case "16":
                return [*self.open_orders, message(53, 1)]
            case "99":
                return [message(102)]
            case "7":
                return [*self.executions, message(55, 1, fields[2])]
            case "61":
                return [*map(self._position, self.positions), message(62, 1)]
            case "62":
                rows = (
                    []
                    if self.cash is None
                    else [message(63, 1, fields[2], ACCOUNT, "TotalCashValue", self.cash, "USD")]
                )
                return [*rows, message(64, 1, fields[2])]
            case "6" if fields[2] == "1":
                return [*self.values, message(54, 1, fields[3])]
            case "49":
                return [message(49, 1, 1514903400)]
            case "3":
                self.placed.append(fields)
                ref = next((f for f in fields if f.startswith("o-")), "")
                return self.on_place(int(fields[1]), ref)
            case "4":
                self.cancelled.append(fields[2])
        return []

    def _position(self, row: tuple[str, str, str]) -> bytes:
        symbol, quantity, cost = row
        contract = ("0", symbol, "STK", "", "0", "", "", "", "USD", symbol, "NMS")
        return message(61, 3, ACCOUNT, *contract, quantity, cost)


@pytest.fixture
async def broker() -> AsyncIterator[ScriptedBroker]:
    scripted = ScriptedBroker()
    await scripted.start()
    yield scripted
    await scripted.stop()


class Rig:
    """An executor on a journal file, connected to the scripted broker."""

    def __init__(self, broker: ScriptedBroker, path: Path, **options: Any) -> None:
        self.broker = broker
        self.clock = SteppedClock(int(START.value))
        self.journal = SqliteJournal(path, self.clock.now_ns)
        self.handler = RecordingHandler()
        manager_options: dict[str, Any] = {
            name: options.pop(name)
            for name in ("readonly", "timeout", "handlers", "heartbeat")
            if name in options
        }
        audit = AuditLogger(self.journal, self.clock)
        self.manager = IBKRConnectionManager(
            "127.0.0.1",
            broker.port,
            1,
            **{"timeout": 5.0, "reconnect_max_attempts": 1, "audit": audit, **manager_options},
        )
        self.executor = IBKROrderExecutor(
            self.manager,
            **{
                "audit": audit,
                "clock": self.clock,
                "handlers": [self.handler],
                "account": ACCOUNT,
                "acknowledgement_timeout": 5.0,
                "quarantine": 0.0,
                **options,
            },
        )
        self.recovered = self.executor.restore()
        self.is_open = True

    def kinds(self) -> list[str]:
        return [event.kind for event in self.journal.events()]

    async def shut(self) -> None:
        """Disconnect and release the journal; a second call does nothing."""
        if self.is_open:
            self.is_open = False
            await self.manager.disconnect()
            self.journal.close()


MakeRig = Callable[..., Rig]


@pytest.fixture
async def rig(broker: ScriptedBroker, tmp_path: Path) -> AsyncIterator[MakeRig]:
    """Make executors on one journal file, one after the other."""
    made: list[Rig] = []

    def make(**options: Any) -> Rig:
        made.append(Rig(broker, tmp_path / "journal.db", **options))
        return made[-1]

    yield make
    for old in made:
        await old.shut()


MINUTE_NS = 60_000_000_000


class Floor:
    """A simulated gateway in lockstep, and an executor with a journal on it."""

    def __init__(self, server: GatewayServer, path: Path, **options: Any) -> None:
        self.server = server
        self.path = path
        self.clock = SteppedClock(int(START.value))
        self.made: list[IBKROrderExecutor] = []
        self.executor = self.another(**options)

    @property
    def book(self) -> Any:
        return self.server.service.book

    def another(self, **options: Any) -> IBKROrderExecutor:
        """Make an executor on the same journal, as after a restart; the one before must be shut."""
        self.handler = RecordingHandler()
        self.journal = SqliteJournal(self.path, self.clock.now_ns)
        audit = AuditLogger(self.journal, self.clock)
        manager = IBKRConnectionManager(
            "127.0.0.1",
            self.server.port,
            options.pop("client_id", 1),
            timeout=5.0,
            throttled=False,
            audit=audit,
            reconnect_max_attempts=1,
            contract_details=options.pop("contract_details", None),
        )
        defaults: dict[str, Any] = {
            "audit": audit,
            "clock": self.clock,
            "handlers": [self.handler],
            "acknowledgement_timeout": 3.0,
            "quarantine": 0.0,
        }
        self.executor = IBKROrderExecutor(manager, **{**defaults, **options})
        self.executor.restore()
        self.made.append(self.executor)
        return self.executor

    async def step(self, count: int = 1) -> None:
        """Let the market trade its next bars."""
        for _ in range(count):
            self.clock.advance_to(await self.executor.manager.session.current_time())

    def kinds(self) -> list[str]:
        return [event.kind for event in self.journal.events()]

    async def shut(self) -> None:
        """Disconnect and release the journal, as a process that ends."""
        await self.executor.manager.disconnect()
        self.journal.close()


def as_listed(instrument: Instrument, bands: str = "") -> Listing:
    """Return an instrument as the broker lists it: with a class, a local symbol and an exchange."""
    names = ("symbol", "underlying", "expiry", "right", "primary_exchange")
    row = {name: getattr(instrument, name) for name in names if getattr(instrument, name)}
    row |= {"sec_type": instrument.security_type}
    row |= {"bands": bands} if bands else {"tick": format(instrument.tick, "f")}
    if instrument.multiplier != 1:
        row["multiplier"] = str(instrument.multiplier)
    if instrument.strike is not None:
        row["strike"] = str(instrument.strike)
    if instrument.exchange != "SMART":
        row["exchange"] = instrument.exchange
    return ContractEntry.model_validate(row).listing()


MakeFloor = Callable[..., AbstractAsyncContextManager[Floor]]


@pytest.fixture(scope="session")
def calendar() -> ExchangeClock:
    """January 2018, New York."""
    return ExchangeClock("XNYS", dt.date(2018, 1, 2), dt.date(2018, 1, 31))


@pytest.fixture
def floor(calendar: ExchangeClock, tmp_path: Path) -> MakeFloor:
    """Open a floor: AAA and BBB open at 100, 101, …, by the minute (five a day, two days) or by the day.

    `contracts` are offered beside them, at the same prices, and given to the executor.
    """

    def series(symbol: str, daily: bool) -> BarSeries:
        starts = [calendar.opens_ns[day] + i * MINUTE_NS for day in (0, 1) for i in range(5)]
        opens_ns = calendar.opens_ns[:10] if daily else np.array(starts)
        closes_ns = calendar.closes_ns[:10] if daily else opens_ns + MINUTE_NS
        opens = 100.0 + np.arange(10.0)
        columns = (opens, opens + 1, opens - 1, opens + 0.25, np.full(10, 1000.0))
        return BarSeries(symbol, Timeframe.DAY if daily else Timeframe.MINUTE, opens_ns, closes_ns, *columns)

    @asynccontextmanager
    async def opened(
        *,
        daily: bool = False,
        config: GatewayConfig | None = None,
        faults: Any = None,
        ready: bool = True,
        contracts: Sequence[Instrument] = (),
        bands: str = "",
        **options: Any,
    ) -> AsyncIterator[Floor]:
        offered = [*(as_listed(one, bands) for one in contracts), Instrument("AAA"), Instrument("BBB")]
        bars = {one.symbol: series(one.symbol, daily) for one in offered}
        if contracts:
            options = {"instruments": contracts, **options}
        async with simulated_gateway(
            bars, sessions=calendar, config=config, faults=faults, instruments=offered
        ) as server:
            made = Floor(server, tmp_path / "floor.db", **options)
            try:
                if ready:
                    await made.executor.ensure_ready()
                yield made
            finally:
                await made.shut()

    return opened
