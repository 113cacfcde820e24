"""From a gateway's stream into the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.testing import simulated_gateway
from data.bars import BarSeries
from data.database import Database
from data.sources.recorder import MinuteRecorder, OptionRecorder
from data.sources.recording import record
from data.stores import ParquetBarStore
from execution.clocks import timestamp
from execution.ibkr.market_data import MarketDataSession
from execution.ibkr.tick import QuoteTick
from execution.models import Instrument
from execution.timeframes import Timeframe

AAA, ZZZ = Instrument("AAA"), Instrument("ZZZ")
CALL = Instrument("AAA CALL", security_type="OPT")


@pytest.mark.parametrize("ended_by", ["us", "gateway"])
async def test_a_stream_is_in_the_store_when_it_ends(
    minutes: dict[str, BarSeries], moment: Callable[[int], Any], tmp_path: Path, ended_by: str
) -> None:
    bars = minutes["AAA"]
    config = GatewayConfig(speed="1", paused=True, start=timestamp(int(bars.end_ns[-5])))
    store, clock, stop = ParquetBarStore(tmp_path), moment(int(bars.end_ns[-1]) + 10**10), asyncio.Event()
    session = MarketDataSession()
    async with simulated_gateway(minutes, config=config) as gateway:
        await session.open("127.0.0.1", gateway.port, 9)
        task = asyncio.ensure_future(record(session, [AAA, ZZZ], clock, stop, minutes=MinuteRecorder(store)))
        await asyncio.sleep(0)
        await session.head(AAA)  # what was asked before has arrived there
        gateway.service.step(3)
        await session.head(AAA)  # and what was told before has arrived here
        if ended_by == "us":
            stop.set()
            refused = await task
    refused = await task
    session.close()
    assert list(refused) == ["ZZZ"]
    recorded = store.read("AAA", Timeframe.MINUTE).to_series()["AAA"]
    assert recorded.start_ns.tolist() == bars.start_ns[-4:-1].tolist()
    assert recorded.close.tolist() == bars.close[-4:-1].tolist()
    assert recorded.volume.tolist() == bars.volume[-4:-1].tolist()


async def test_quotes_stream_until_they_are_ended(minutes: dict[str, BarSeries]) -> None:
    config = GatewayConfig(speed="1", paused=True, start=timestamp(int(minutes["AAA"].end_ns[-5])))
    session, ticks, refused = MarketDataSession(), list[QuoteTick](), list[str]()
    async with simulated_gateway(minutes, config=config) as gateway:
        await session.open("127.0.0.1", gateway.port, 9)
        number = session.watch_quotes(AAA, ticks.append, refused.append, open_interest=True)
        session.watch_quotes(ZZZ, ticks.append, refused.append)
        await session.head(AAA)
        gateway.service.step(1)
        await session.head(AAA)
        seen = len(ticks)
        session.end(number)
        await session.head(AAA)
        gateway.service.step(1)
        await session.head(AAA)
        session.close()
    names = {name for tick in ticks for name in tick.values}
    assert {"bid", "ask", "last", "volume"} <= names
    assert not any(tick.delayed for tick in ticks)
    assert len(ticks) == seen
    assert len(refused) == 1
    assert refused[0].startswith("ZZZ: 200")


async def test_an_interval_out_of_range_and_an_option_without_a_database_are_refused(
    file_database: Database, moment: Callable[[int], Any], tmp_path: Path
) -> None:
    session, minutes = MarketDataSession(), MinuteRecorder(ParquetBarStore(tmp_path))
    with pytest.raises(ValueError, match="every 60 to 300 seconds"):
        await record(session, [AAA], moment(0), asyncio.Event(), minutes=minutes, every_seconds=5)
    with pytest.raises(ValueError, match="needs a database"):
        await record(session, [CALL], moment(0), asyncio.Event(), minutes=minutes)
    with pytest.raises(ConnectionError, match="no market data session"):
        await record(
            session,
            [CALL],
            moment(0),
            asyncio.Event(),
            minutes=minutes,
            options=OptionRecorder(file_database),
        )
