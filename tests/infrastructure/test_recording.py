"""A recording from a simulated gateway: whole minutes, Greeks, lost connections, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.control import GatewayControl
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.testing import simulated_gateway
from backtesting.gateway.wire.codec import message
from data.bars import BarSeries
from data.database import Database
from data.errors import DelayedDataError
from data.schema import OptionBarRow
from data.sources import recording as streams
from data.stores import BarStore, DatabaseBarStore, ParquetBarStore
from execution.clocks import NANOS, SteppedClock, timestamp
from execution.errors import NotConnectedError
from execution.models import Instrument
from execution.timeframes import Timeframe
from infrastructure.errors import ConfigError
from infrastructure.recording import Recording
from infrastructure.settings import Settings, load_settings

FIRST_NS = 1_514_989_800 * NANOS  # 2018-01-03 14:30 UTC
COUNT = 30
AAA = Instrument("AAA")
CALL = Instrument(
    "AAA 180119C100", "OPT", multiplier=Decimal(100), underlying="AAA", expiry="20180119",
    strike=Decimal(100), right="C",
)  # fmt: skip
FUTURE = Instrument("ES 20180316", "FUT", "CME", multiplier=Decimal(50), underlying="ES", expiry="20180316")


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def minutes(symbol: str, price: float) -> BarSeries:
    start = FIRST_NS + np.arange(COUNT) * Timeframe.MINUTE.nanos
    close = np.asarray(price + np.arange(COUNT) % 7 * 0.25, np.float64)
    return BarSeries(
        symbol, Timeframe.MINUTE, start, start + Timeframe.MINUTE.nanos,
        close, close + 0.5, close - 0.5, close, np.full(COUNT, 1200.0),
    )  # fmt: skip


BARS = {
    "AAA": minutes("AAA", 100.0),
    CALL.symbol: minutes(CALL.symbol, 2.5),
    FUTURE.symbol: minutes(FUTURE.symbol, 2700.0),
}
AT = timestamp(FIRST_NS + 4 * Timeframe.MINUTE.nanos)


def config(**more: Any) -> GatewayConfig:
    return GatewayConfig(speed="1", paused=True, start=AT, **more)


def settings(port: int, **more: str) -> Settings:
    values = {"data.ib.port": str(port), "data.ib.reconnect_backoff_seconds": "0.01"}
    return load_settings(
        "paper", None, values | {key.replace("__", "."): value for key, value in more.items()}, {}, None
    )


@pytest.fixture
def file_database(tmp_path: Path) -> Iterator[Database]:
    """A migrated database in a file."""
    database = Database(f"sqlite:///{tmp_path}/market.db")
    database.upgrade()
    yield database
    database.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  what is waited for tells nobody
            await asyncio.sleep(0.01)


def watching(gateway: GatewayServer) -> int:
    """Count the streams of real-time bars."""
    return sum(len(feed.real_time) for feed in gateway.service.data._feeds.values())


def stored(store: BarStore, symbol: str) -> BarSeries:
    return store.read(symbol, Timeframe.MINUTE).to_series()[symbol]


async def test_whole_minutes_of_stocks_and_futures_are_stored_and_a_lost_connection_is_made_again(
    tmp_path: Path,
) -> None:
    store, stop = ParquetBarStore(tmp_path / "bars"), asyncio.Event()
    async with simulated_gateway(BARS, config=config(), instruments=[AAA, CALL, FUTURE]) as gateway:
        recording = Recording(settings(gateway.port), [AAA, FUTURE], store, SteppedClock(FIRST_NS))
        task = asyncio.ensure_future(recording.run(stop))
        await until(lambda: watching(gateway) == 2)
        gateway.service.step(3)
        await until(lambda: recording._minutes.waiting == 6)
        for session in list(gateway.service.sessions.values()):
            session.close()
        await until(lambda: recording.report.connections == 2 and watching(gateway) == 2)
        gateway.service.step(2)
        await until(lambda: recording._minutes.waiting == 4)
        stop.set()
        report = await task
    assert (report.minutes, report.lost, report.connections, report.refused) == (10, 0, 2, {})
    for symbol in ("AAA", FUTURE.symbol):
        bars = stored(store, symbol)
        assert bars.start_ns.tolist() == BARS[symbol].start_ns[4:9].tolist()
        assert bars.close.tolist() == BARS[symbol].close[4:9].tolist()


async def test_an_option_is_stored_with_the_greeks_of_its_stream(file_database: Database) -> None:
    store, stop, clock = DatabaseBarStore(file_database), asyncio.Event(), SteppedClock(FIRST_NS)
    async with simulated_gateway(BARS, config=config(), instruments=[AAA, CALL, FUTURE]) as gateway:
        recording = Recording(settings(gateway.port), [AAA, CALL], store, clock)
        options = recording._options
        assert options is not None
        task = asyncio.ensure_future(recording.run(stop))
        await until(lambda: watching(gateway) == 1 and CALL.symbol in options._state)
        gateway.service.step(1)
        await until(lambda: options._state[CALL.symbol].get("last") == BARS[CALL.symbol].close[4])
        ((client, screen),) = gateway.service.quotes._screens.items()
        (line,) = [one for one in screen.lines.values() if one.instrument.symbol == CALL.symbol]
        greeks = ("0.31", "0.52", "2.5", "0.0", "0.04", "0.11", "-0.03", "100.25")
        client.send(message(21, line.request_id, 13, 0, *greeks))
        client.flush()
        await until(lambda: "delta" in options._state[CALL.symbol])
        clock.advance_to(FIRST_NS + Timeframe.MINUTE.nanos)
        stop.set()
        report = await task
    assert (report.minutes, report.option_minutes, report.lost) == (1, 1, 0)
    with file_database.session() as session:
        (row,) = session.scalars(select(OptionBarRow)).all()
        assert (row.symbol, row.delta, row.gamma, row.theta) == (CALL.symbol, 0.52, 0.04, -0.03)
        assert (row.implied_volatility, row.underlying_price) == (0.31, 100.25)
        assert row.bid is not None
    store.close()


@pytest.mark.parametrize(
    ("entitled", "allowed", "records"),
    [("delayed", "false", False), ("none", "true", False), ("delayed", "true", True)],
)
async def test_delayed_quotes_are_not_recorded_unless_the_profile_allows(
    tmp_path: Path, entitled: str, allowed: str, records: bool
) -> None:
    stop = asyncio.Event()
    stop_at_once = asyncio.get_running_loop().call_later
    async with simulated_gateway(BARS, config=config(market_data=entitled), instruments=[AAA]) as gateway:
        chosen = settings(gateway.port, data__allow_delayed=allowed)
        recording = Recording(chosen, [AAA], ParquetBarStore(tmp_path), SteppedClock(FIRST_NS))
        if records:
            stop_at_once(0.2, stop.set)
            assert (await recording.run(stop)).connections == 1
        else:
            with pytest.raises(DelayedDataError, match="AAA"):
                await recording.run(stop)


async def test_without_a_gateway_it_gives_up_after_the_tries_of_the_settings(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    chosen = settings(unused_tcp_port, data__ib__reconnect_max_attempts="2")
    recording = Recording(chosen, [AAA], ParquetBarStore(tmp_path), SteppedClock(FIRST_NS))
    with pytest.raises(NotConnectedError, match="check that it runs"):
        await recording.run(asyncio.Event())


async def test_when_every_stream_is_refused_it_ends(tmp_path: Path) -> None:
    bars = {"AAA": BARS["AAA"], "DAY": day("DAY")}
    async with simulated_gateway(
        bars, config=GatewayConfig(), instruments=[Instrument("AAA"), Instrument("DAY")]
    ) as gateway:
        recording = Recording(
            settings(gateway.port), [Instrument("DAY")], ParquetBarStore(tmp_path), SteppedClock(FIRST_NS)
        )
        report = await recording.run(asyncio.Event())
    assert "420" in report.refused["DAY"]


def day(symbol: str) -> BarSeries:
    """A daily bar, of which a gateway that plays whole steps has no parts."""
    one = np.array([100.0])
    start = np.array([FIRST_NS])
    end = start + 390 * Timeframe.MINUTE.nanos
    return BarSeries(symbol, Timeframe.DAY, start, end, one, one, one, one, one)


def test_an_option_needs_a_database(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="AAA 180119C100: Greeks of options are kept in a database"):
        Recording(settings(1), [AAA, CALL], ParquetBarStore(tmp_path), SteppedClock(FIRST_NS))


async def begun(gateway: GatewayServer, recording: Recording, stop: asyncio.Event) -> asyncio.Task[Any]:
    task = asyncio.ensure_future(recording.run(stop))
    await until(lambda: watching(gateway) == 1)
    return task


def part(gateway: GatewayServer, seconds: int) -> None:
    """Play a part of the minute that is forming."""
    service = gateway.service
    for _ in service.play_until(service.clock.now_ns() + seconds * NANOS):
        pass


@pytest.mark.parametrize("cut", ["connectivity_lost", {"farm": 2103}])
async def test_a_minute_in_which_tws_loses_its_connection_is_a_gap(tmp_path: Path, cut: Any) -> None:
    store, stop = ParquetBarStore(tmp_path / "bars"), asyncio.Event()
    async with simulated_gateway(BARS, config=config(), instruments=[AAA, CALL, FUTURE]) as gateway:
        control = GatewayControl(gateway)
        recording = Recording(settings(gateway.port), [AAA], store, SteppedClock(FIRST_NS))
        task = await begun(gateway, recording, stop)
        gateway.service.step(2)
        await until(lambda: recording._minutes.waiting == 2)
        part(gateway, 30)
        await until(lambda: recording._minutes.waiting == 3)
        control.fault(cut)
        await until(lambda: recording._minutes.waiting == 2)
        part(gateway, 15)
        control.fault({"connectivity_restored": "kept"} if cut == "connectivity_lost" else {"farm": 2104})
        gateway.service.step(3)
        await until(lambda: recording._minutes.waiting == 4)
        stop.set()
        report = await task
    assert (report.minutes, report.connections) == (4, 1)
    starts = [int(BARS["AAA"].start_ns[i]) for i in (4, 5, 7, 8)]
    assert stored(store, "AAA").start_ns.tolist() == starts


async def test_what_tws_has_ended_is_subscribed_again(tmp_path: Path) -> None:
    store, stop = ParquetBarStore(tmp_path / "bars"), asyncio.Event()
    async with simulated_gateway(BARS, config=config(), instruments=[AAA, CALL, FUTURE]) as gateway:
        control = GatewayControl(gateway)
        recording = Recording(settings(gateway.port), [AAA], store, SteppedClock(FIRST_NS))
        task = await begun(gateway, recording, stop)
        gateway.service.step(1)
        control.fault("connectivity_lost")
        control.fault({"connectivity_restored": "lost"})
        await until(lambda: recording.report.connections == 2 and watching(gateway) == 1)
        gateway.service.step(2)
        await until(lambda: recording._minutes.waiting == 2)  # the first is stored
        stop.set()
        report = await task
    assert (report.minutes, report.refused) == (3, {})


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (10225, "Bust event occurred, current subscription is deactivated."),
        (10182, "Failed to request live updates (disconnected)."),
        (420, "Invalid Real-time Query:Historical data request pacing violation"),
    ],
)
async def test_a_stream_that_tws_asks_to_begin_again_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, text: str
) -> None:
    monkeypatch.setattr(streams, "RESUME_SECONDS", 0.01)
    monkeypatch.setattr(streams, "PACING_SECONDS", 0.02)
    store, stop = ParquetBarStore(tmp_path / "bars"), asyncio.Event()
    async with simulated_gateway(BARS, config=config(), instruments=[AAA, CALL, FUTURE]) as gateway:
        recording = Recording(settings(gateway.port), [AAA], store, SteppedClock(FIRST_NS))
        task = await begun(gateway, recording, stop)
        gateway.service.step(1)
        ((session, feed),) = gateway.service.data._feeds.items()
        (old,) = feed.real_time
        del feed.real_time[old]
        session.send_error(old, code, text)
        session.flush()
        await until(lambda: watching(gateway) == 1)
        gateway.service.step(2)
        await until(lambda: recording._minutes.waiting == 3)
        stop.set()
        report = await task
    assert (report.minutes, report.refused, report.connections) == (3, {}, 1)


async def test_a_gateway_that_is_away_for_long_and_comes_back_delayed_is_waited_for(tmp_path: Path) -> None:
    store, stop = ParquetBarStore(tmp_path / "bars"), asyncio.Event()
    async with simulated_gateway(BARS, config=config(), instruments=[AAA, CALL, FUTURE]) as gateway:
        port = gateway.port
        chosen = settings(port, data__ib__reconnect_max_attempts="1")
        recording = Recording(chosen, [AAA], store, SteppedClock(FIRST_NS))
        task = await begun(gateway, recording, stop)
        gateway.service.step(1)
        await until(lambda: recording._minutes.waiting == 1)
    await asyncio.sleep(0.2)  # some tries
    async with simulated_gateway(
        BARS, config=config(port=port, market_data="delayed"), instruments=[AAA, CALL, FUTURE]
    ) as gateway:
        await until(lambda: bool(gateway.service.sessions))
        await asyncio.sleep(0.1)
        assert not task.done()
    async with simulated_gateway(BARS, config=config(port=port), instruments=[AAA, CALL, FUTURE]) as gateway:
        await until(lambda: watching(gateway) == 1)
        gateway.service.step(3)
        await until(lambda: recording._minutes.waiting == 2)
        stop.set()
        report = await task
    assert (report.minutes, report.connections) == (3, 2)


async def test_it_can_be_stopped_while_it_connects(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        stop.set()
        await reader.read()
        writer.close()

    stop = asyncio.Event()
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        recording = Recording(settings(port), [AAA], ParquetBarStore(tmp_path), SteppedClock(FIRST_NS))
        report = await asyncio.wait_for(recording.run(stop), 10)
    assert report.connections == 0
