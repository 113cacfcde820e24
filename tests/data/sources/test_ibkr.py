"""History from a gateway that enforces the broker's limits: whole, resumed, refused, and cut off."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.control import GatewayControl
from backtesting.gateway.testing import WireClient, simulated_gateway
from backtesting.gateway.wire import requests as ask
from data.bars import BarSeries
from data.calendars import ExchangeClock
from data.corporate_actions import AsTraded, CorporateActionSource, FileActionSource, NoActions, adjusted
from data.errors import DelayedDataError, HistoryRefusedError, HistoryUnavailableError
from data.sources.history import HistorySource, Window, windows
from data.sources.ibkr import IbkrHistory, require_live_data
from data.sources.pull import Progress, PullReport, pull
from data.sources.record import PullRecord
from data.stores import BarStore, ParquetBarStore
from execution.clocks import NANOS, timestamp
from execution.errors import NotConnectedError
from execution.ibkr.market_data import MarketDataSession
from execution.models import Bar, Instrument
from execution.timeframes import Timeframe

AAA, BBB = Instrument("AAA"), Instrument("BBB")
Bars = dict[str, BarSeries]
HOUR_NS = 3600 * NANOS


def config(desk: Desk, **more: Any) -> GatewayConfig:
    """Return how a gateway is run whose clock says what that of the desk says."""
    now = timestamp(desk.clock.now_ns())
    return GatewayConfig(**{"speed": "1", "paused": True, "start": now, "historical_pacing": True, **more})


def later(bars: Bars) -> Bars:
    """Return bars and one of another symbol, far off: a gateway's time goes on while bars are to come."""
    end = np.array([int(pd.Timestamp("2018-12-03T15:00Z").value)])
    one = np.array([1.0])
    far = BarSeries("FAR", Timeframe.MINUTE, end - 60 * NANOS, end, one, one, one, one, one)
    return {**bars, "FAR": far}


class Desk:
    """A pull of minutes from a gateway, with everything it needs."""

    def __init__(self, bars: Bars, exchange: ExchangeClock, wall: Any, folder: Path, now: Any) -> None:
        self.bars, self.exchange, self.wall = bars, exchange, wall
        self.store: BarStore = ParquetBarStore(folder / "bars")
        self.record = folder / "record"
        self.until = int(bars["AAA"].end_ns[-2])
        self.clock = now(self.until + 2 * HOUR_NS)
        self.told: list[Progress] = []
        self.actions: CorporateActionSource = NoActions()

    def source(self, port: int, **more: Any) -> IbkrHistory:
        undo = AsTraded(self.actions, self.exchange, self.clock)
        return IbkrHistory(
            "127.0.0.1", port, 9, self.exchange, self.wall,
            **{"as_traded": undo, "pause": self.wall.sleep, **more},
        )  # fmt: skip

    async def pull(self, source: HistorySource, *instruments: Instrument, **more: Any) -> PullReport:
        return await pull(
            source, self.store, PullRecord(self.record), instruments or (AAA, BBB), Timeframe.MINUTE,
            self.clock, **{"start_ns": 0, "end_ns": self.until, "progress": self.told.append, **more},
        )  # fmt: skip


@pytest.fixture
def desk(
    minutes: Bars, exchange: ExchangeClock, wall: Any, moment: Callable[[int], Any], tmp_path: Path
) -> Desk:
    return Desk(minutes, exchange, wall, tmp_path, moment)


async def test_a_pull_brings_every_bar_and_a_second_one_asks_nothing(desk: Desk) -> None:
    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:
        first = await desk.pull(desk.source(gateway.port))
        second = await desk.pull(desk.source(gateway.port))
        third = await desk.pull(desk.source(gateway.port), again=True)
    assert (first.inserted, first.refused) == (2 * len(desk.bars["AAA"]) - 2, {})
    assert (second.asked, second.inserted, second.skipped) == (0, 0, first.asked)
    assert (third.asked, third.inserted, third.unchanged) == (first.asked, 0, first.inserted)
    series = desk.store.read(None, Timeframe.MINUTE).to_series()
    for symbol, bars in desk.bars.items():
        assert (series[symbol].close == bars.close[:-1]).all()
        assert (series[symbol].start_ns == bars.start_ns[:-1]).all()
        assert (series[symbol].end_ns == bars.end_ns[:-1]).all()
    assert [at.done for at in desk.told if at.total == first.asked][: first.asked] == [*range(first.asked)]
    assert desk.told[-1].done == desk.told[-1].total


async def test_more_questions_than_ten_minutes_take_are_spread_and_none_is_refused(desk: Desk) -> None:
    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:
        source = desk.source(gateway.port)
        began = desk.wall.now
        expected = source.seconds_for(130)
        for i in range(130):
            end = int(desk.bars["AAA"].end_ns[400 + i])
            found = await source.bars(AAA, Timeframe.MINUTE, Window(end - HOUR_NS, end))
            assert found is not None
        took = desk.wall.now - began
        await source.close()
    assert 2 * 600 < expected <= took < 2 * 600 + 60
    assert source.seconds_for(0) == 0


async def test_a_pull_that_was_cut_off_goes_on_with_what_is_missing(desk: Desk) -> None:
    class FullError(Exception):
        """The disk is."""

    def stop(at: Progress) -> None:
        if at.total and at.done == 5:
            raise FullError

    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:
        with pytest.raises(FullError):
            await desk.pull(desk.source(gateway.port), progress=stop)
        assert len(desk.record.read_text().splitlines()) == 5
        with desk.record.open("a") as file:
            file.write('{"of":["ib')  # a line that a crash cut short
        rest = await desk.pull(desk.source(gateway.port))
        last = await desk.pull(desk.source(gateway.port))
    assert (rest.skipped, last.asked) == (5, 0)
    assert len(desk.store.read(None, Timeframe.MINUTE).to_arrow()) == 2 * len(desk.bars["AAA"]) - 2


async def test_what_was_lost_from_the_store_is_asked_again(desk: Desk, tmp_path: Path) -> None:
    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:
        first = await desk.pull(desk.source(gateway.port), AAA)
        desk.store = ParquetBarStore(tmp_path / "another")
        second = await desk.pull(desk.source(gateway.port), AAA)
    assert (second.asked, second.inserted) == (first.asked, first.inserted)


async def test_the_window_that_is_hardly_over_is_asked_again(
    desk: Desk, moment: Callable[[int], Any]
) -> None:
    desk.clock = moment(desk.until)
    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:
        first = await desk.pull(desk.source(gateway.port), AAA)
        second = await desk.pull(desk.source(gateway.port), AAA)
    assert (second.asked, second.skipped) == (1, first.asked - 1)


async def test_a_stranger_is_refused_and_the_others_go_on(desk: Desk) -> None:
    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:
        report = await desk.pull(desk.source(gateway.port), Instrument("ZZZ"), AAA)
    assert list(report.refused) == ["ZZZ"]
    assert "200: No security definition" in report.refused["ZZZ"]
    assert report.inserted == len(desk.bars["AAA"]) - 1


async def test_days_without_bars_are_an_empty_answer(desk: Desk) -> None:
    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:
        source = desk.source(gateway.port)
        first = int(desk.bars["AAA"].start_ns[0])
        assert await source.bars(AAA, Timeframe.MINUTE, Window(first - 80 * HOUR_NS, first)) is None
        assert await source.head_ns(AAA, Timeframe.MINUTE) == first
        await source.close()


async def test_a_pace_that_another_program_broke_is_sat_out(desk: Desk) -> None:
    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:
        source = desk.source(gateway.port)
        source._pace.note = lambda *_: None  # type: ignore[method-assign]  # as if others had asked
        end = int(desk.bars["AAA"].end_ns[400])
        for _ in range(2):  # the same question within 15 seconds
            assert await source.bars(AAA, Timeframe.MINUTE, Window(end - HOUR_NS, end)) is not None
        await source.close()
    assert max(desk.wall.slept) == 600


async def test_without_a_gateway_the_error_says_what_to_check(desk: Desk, unused_tcp_port: int) -> None:
    source = desk.source(unused_tcp_port, tries=3)
    with pytest.raises(HistoryUnavailableError, match=r"check that it runs.*asked 3 times"):
        await source.head_ns(AAA, Timeframe.DAY)
    assert desk.wall.slept == [1.0, 2.0]


async def test_a_gateway_that_goes_away_is_found_again(desk: Desk) -> None:
    first = int(desk.bars["AAA"].start_ns[0])
    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:
        port = gateway.port
        source = desk.source(port)
        assert await source.head_ns(AAA, Timeframe.MINUTE) == first
    async with simulated_gateway(later(desk.bars), config=config(desk, port=port), clock=desk.wall):
        assert await source.head_ns(BBB, Timeframe.MINUTE) == first
        await source.close()


async def test_an_id_in_use_and_a_session_that_is_closed_are_told(desk: Desk) -> None:
    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:
        other = await WireClient.connect(gateway.port, 9)
        await other.until("9")
        session = MarketDataSession()
        with pytest.raises(NotConnectedError, match="326"):
            await session.open("127.0.0.1", gateway.port, 9)
        await other.close()
        session = MarketDataSession()
        await session.open("127.0.0.1", gateway.port, 10)
        session.close()
        with pytest.raises(NotConnectedError, match="no market data session"):
            await session.head(AAA)


@pytest.mark.parametrize(
    ("entitled", "allow", "outcome"),
    [
        ("live", False, 1),
        ("live", True, 3),
        ("delayed", True, 3),
        ("delayed", False, "10089"),
        ("none", True, "354"),
        ("none", False, "354"),
    ],
)
async def test_nothing_is_decided_on_delayed_data_unless_it_is_allowed(
    desk: Desk, entitled: str, allow: bool, outcome: int | str
) -> None:
    settings = config(desk, market_data=entitled)
    async with simulated_gateway(later(desk.bars), config=settings, clock=desk.wall) as gateway:
        session = MarketDataSession()
        await session.open("127.0.0.1", gateway.port, 9)
        try:
            if isinstance(outcome, int):
                found = await require_live_data(session, [AAA, BBB], allow_delayed=allow)
                assert {one.kind for one in found} <= {outcome, outcome + 1}
            else:
                with pytest.raises(DelayedDataError, match=rf"AAA: {outcome}.*BBB: {outcome}"):
                    await require_live_data(session, [AAA, BBB], allow_delayed=allow)
        finally:
            session.close()


async def test_bars_of_five_seconds_come_as_time_passes(desk: Desk) -> None:
    start = timestamp(int(desk.bars["AAA"].end_ns[-5]))
    settings = GatewayConfig(speed="1", paused=True, start=start)
    async with simulated_gateway(desk.bars, config=settings, clock=desk.wall) as gateway:
        session = MarketDataSession()
        await session.open("127.0.0.1", gateway.port, 9)
        came: list[Bar] = []
        whole = asyncio.Event()

        def take(bar: Bar) -> None:
            came.append(bar)
            if len(came) == 12:
                whole.set()

        number = session.watch_real_time(AAA, take, pytest.fail)
        await session.head(AAA)  # it has arrived there
        gateway.service.step(1)
        await asyncio.wait_for(whole.wait(), 10)
        session.end_real_time(number)
        session.close()
    minute = desk.bars["AAA"].bar(-4)
    assert (came[0].start_ns, came[-1].end_ns) == (minute.start_ns, minute.end_ns)
    assert max(bar.high for bar in came) == minute.high
    assert sum(bar.volume for bar in came) == minute.volume


async def test_a_refusal_of_the_broker_is_no_empty_answer(desk: Desk) -> None:
    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:
        source = desk.source(gateway.port)
        with pytest.raises(HistoryRefusedError, match="check the contract"):
            await source.bars(Instrument("ZZZ"), Timeframe.MINUTE, Window(0, desk.until))
        await source.close()


async def adjusted_gateway_pull(desk: Desk, file: Path, **more: Any) -> PullReport:
    """Pull from a gateway that, as the broker does, adjusts for the splits of a file up to today."""
    today = timestamp(desk.clock.now_ns()).date()
    actions = FileActionSource(file)
    told = {
        name: adjusted(bars, actions.actions(name, FIRST, today), desk.exchange, as_of=today)
        for name, bars in desk.bars.items()
    }
    async with simulated_gateway(later(told), config=config(desk), clock=desk.wall) as gateway:
        return await desk.pull(desk.source(gateway.port), AAA, **more)


FIRST = dt.date(2017, 1, 1)


async def test_what_is_stored_is_what_was_traded_whenever_it_was_asked_for(
    desk: Desk, tmp_path: Path, moment: Callable[[int], Any]
) -> None:
    file, later = tmp_path / "one.csv", tmp_path / "two.csv"
    file.write_text("date,symbol,kind,value\n2018-01-16,AAA,split,4\n2018-01-16,AAA,dividend,0.5\n")
    later.write_text(file.read_text() + "2018-02-20,AAA,split,2\n")
    raw = desk.bars["AAA"]
    desk.actions = FileActionSource(file)
    first = await adjusted_gateway_pull(desk, file)
    desk.clock = moment(desk.until + 7 * 24 * HOUR_NS)  # after the second split
    desk.actions = FileActionSource(later)
    second = await adjusted_gateway_pull(desk, later)
    third = await adjusted_gateway_pull(desk, later, again=True)
    stored = desk.store.read("AAA", Timeframe.MINUTE).to_series()["AAA"]
    assert first.inserted == len(stored) == len(raw) - 1
    for name in ("open", "high", "low", "close", "volume"):
        assert (getattr(stored, name) == getattr(raw, name)[:-1]).all(), name
    assert (second.asked, third.asked, third.revised) == (0, first.asked, 0)


async def test_a_split_that_was_not_known_at_the_first_pull_mends_the_store_at_the_next(
    desk: Desk, tmp_path: Path, moment: Callable[[int], Any]
) -> None:
    file = tmp_path / "actions.csv"
    file.write_text("date,symbol,kind,value\n2018-01-16,AAA,split,4\n")
    first = await adjusted_gateway_pull(desk, file)  # believing that there was none
    wrong = desk.store.read("AAA", Timeframe.MINUTE).to_series()["AAA"]
    desk.actions = FileActionSource(file)
    desk.clock = moment(desk.clock.now_ns() + HOUR_NS)
    second = await adjusted_gateway_pull(desk, file)
    third = await adjusted_gateway_pull(desk, file)
    right = desk.store.read("AAA", Timeframe.MINUTE).to_series()["AAA"]
    assert wrong.close[0] == right.close[0] / 4 == desk.bars["AAA"].close[0] / 4
    assert (right.close == desk.bars["AAA"].close[:-1]).all()
    assert 0 < second.asked < first.asked  # only the windows of before the split
    assert third.asked == 0


async def test_a_stock_whose_splits_nobody_knows_is_refused(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "actions").mkdir()
    (tmp_path / "actions" / "BBB.csv").write_text("date,kind,value\n2018-01-16,split,4\n")
    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:
        nobody = await desk.pull(desk.source(gateway.port, as_traded=None), AAA)
        desk.actions = FileActionSource(tmp_path / "actions")
        other = await desk.pull(desk.source(gateway.port), AAA)
    assert "--actions FILE, yahoo or none" in nobody.refused["AAA"]
    assert "splits are not known" in other.refused["AAA"]
    assert desk.store.symbols() == []


async def test_futures_that_expired_are_asked_for_as_such_and_may_be_worth_less_than_nothing(
    desk: Desk, tmp_path: Path
) -> None:
    asked: list[bool] = []
    async with simulated_gateway(
        later({"AAA": desk.bars["AAA"]}), config=config(desk), clock=desk.wall, instruments=[FUTURE]
    ) as gateway:
        handlers = gateway.service._handlers
        answer = handlers[ask.History]

        def hear(session: Any, wish: Any) -> None:
            asked.append(wish.include_expired)
            answer(session, wish)

        handlers[ask.History] = hear
        source = desk.source(gateway.port)
        assert (await desk.pull(source, FUTURE)).refused == {}
        shifted = Shifted(desk.source(gateway.port))
        desk.store = ParquetBarStore(tmp_path / "shifted")
        assert (await desk.pull(shifted, FUTURE, again=True)).inserted == len(desk.bars["AAA"]) - 1
        refused = (await desk.pull(shifted, AAA, again=True)).refused["AAA"]
    assert "cannot be stored" in refused
    assert "not positive" in refused
    assert asked
    assert all(asked)


class Shifted(HistorySource):
    """Another source's bars, 1,000 lower."""

    name = "shifted"

    def __init__(self, source: IbkrHistory) -> None:
        self.source = source

    def window_days(self, timeframe: Timeframe) -> int:
        return self.source.window_days(timeframe)

    async def head_ns(self, instrument: Instrument, timeframe: Timeframe) -> int | None:
        return await self.source.head_ns(FUTURE, timeframe)

    async def bars(self, instrument: Instrument, timeframe: Timeframe, window: Window) -> BarSeries | None:
        found = await self.source.bars(FUTURE, timeframe, window)
        return None if found is None else BarSeries(
            "AAA", timeframe, found.start_ns, found.end_ns,
            found.open - 1000, found.high - 1000, found.low - 1000, found.close - 1000, found.volume,
        )  # fmt: skip


FUTURE = Instrument("AAA", "FUT", "CME", multiplier=Decimal(50), underlying="ES", expiry="20180116")


async def test_a_bar_that_still_forms_at_the_broker_is_not_stored_whatever_the_time_is_here(
    desk: Desk, moment: Callable[[int], Any]
) -> None:
    bars = desk.bars["AAA"]
    there = timestamp(int(bars.end_ns[-20]) + 20 * NANOS)
    desk.clock, desk.until = moment(desk.until + 24 * HOUR_NS), desk.until + 24 * HOUR_NS  # a day ahead
    async with simulated_gateway(
        later(desk.bars), config=config(desk, start=there), clock=desk.wall
    ) as gateway:
        first = await desk.pull(desk.source(gateway.port), AAA)
        gateway.service.step(30)
        second = await desk.pull(desk.source(gateway.port), AAA)
    stored = desk.store.read("AAA", Timeframe.MINUTE).to_series()["AAA"]
    assert (first.inserted, first.revised) == (len(bars) - 19, 0)
    assert (second.inserted, second.revised) == (19, 0)  # and what was said of the last hours is asked again
    for name in ("open", "high", "low", "close", "volume", "end_ns"):
        assert getattr(stored, name).tolist() == getattr(bars, name).tolist(), name


@pytest.mark.parametrize("name", ["XNYS", "CMES", "XTKS", "XASX", "XLON", "XSAU", "us_futures"])
def test_no_cut_between_two_questions_falls_into_a_session(name: str) -> None:
    market = ExchangeClock(name, dt.date(2023, 1, 1), dt.date(2024, 12, 31))
    first, last = (pd.Timestamp(f"{year}-06-06T15:00Z").value for year in (2023, 2024))
    for days in (7, 84):
        cut = windows(days, first, last)
        assert [market.session_at(window.end_ns) for window in cut[:-1]] == [None] * (len(cut) - 1)
        assert (cut[0].start_ns, cut[-1].end_ns) == (first, last)
        assert all(a.end_ns == b.start_ns for a, b in pairwise(cut))


@pytest.mark.parametrize(("timeframe", "last"), [(Timeframe.DAY, "21:00"), (Timeframe.HOUR, "16:00")])
async def test_a_question_that_ends_within_a_bar_asks_for_the_whole_bar(
    desk: Desk, timeframe: Timeframe, last: str
) -> None:
    ends: list[str] = []
    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:
        handlers = gateway.service._handlers
        answer = handlers[ask.History]

        def hear(session: Any, wish: Any) -> None:
            ends.append(wish.end)
            answer(session, wish)

        handlers[ask.History] = hear
        source = desk.source(gateway.port)
        end_ns = pd.Timestamp("2018-01-10T15:20Z").value
        bars = await source.bars(AAA, timeframe, Window(end_ns - 20 * HOUR_NS, end_ns))
        await source.close()
    assert ends == [f"20180110-{last}:00"]
    assert bars is not None
    assert timestamp(int(bars.end_ns[-1])) == pd.Timestamp(f"2018-01-10T{last}Z")


async def test_a_service_that_is_away_for_a_while_is_waited_for(desk: Desk) -> None:
    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:
        source = desk.source(gateway.port)
        assert await source.head_ns(AAA, Timeframe.MINUTE) is not None
        slept, real = desk.wall.slept, desk.wall.sleep
        control = GatewayControl(gateway)
        control.fault({"farm": 2105})

        async def sleep(seconds: float) -> None:
            await real(seconds)
            if sum(slept) > 300:
                control.fault({"farm": 2106})

        source._pause = sleep
        report = await desk.pull(source, AAA)
    assert report.refused == {}
    assert report.inserted == len(desk.bars["AAA"]) - 1


async def test_a_gateway_that_restarts_in_the_middle_of_a_pull_is_waited_for(desk: Desk) -> None:
    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:
        port, source = gateway.port, desk.source(gateway.port, tries=2)
        assert await source.head_ns(AAA, Timeframe.MINUTE) is not None
    slept, real = desk.wall.slept, desk.wall.sleep
    back = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await real(seconds)
        if sum(slept) > 200:  # longer than the tries alone would wait
            back.set()
            await up.wait()

    source._pause, up = sleep, asyncio.Event()
    work = asyncio.ensure_future(desk.pull(source, AAA))
    await back.wait()
    async with simulated_gateway(later(desk.bars), config=config(desk, port=port), clock=desk.wall):
        up.set()
        report = await work
    assert (report.refused, report.inserted) == ({}, len(desk.bars["AAA"]) - 1)


async def test_a_gateway_that_stays_away_is_given_up_with_what_to_do(desk: Desk) -> None:
    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:
        source = desk.source(gateway.port)
        assert await source.head_ns(AAA, Timeframe.MINUTE) is not None
    with pytest.raises(HistoryUnavailableError, match="run the same command again"):
        await desk.pull(source, AAA)
    assert 900 <= sum(desk.wall.slept) < 1200


@pytest.mark.parametrize(("words", "refused"), [("No head time stamp", False), ("No permissions", True)])
async def test_where_bars_begin_may_not_be_known(desk: Desk, words: str, refused: bool) -> None:
    said = f"Historical Market Data Service error message:{words}"
    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:

        def deny(session: Any, wish: Any) -> None:
            session.send_error(wish.request_id, 162, said)

        gateway.service._handlers[ask.HeadTimestamp] = deny
        without = await desk.pull(desk.source(gateway.port), AAA)
        start = int(desk.bars["AAA"].start_ns[0])
        named = await desk.pull(desk.source(gateway.port), AAA, start_ns=start)
    if refused:
        assert words in without.refused["AAA"]
        assert words in named.refused["AAA"]
    else:
        assert "name --start" in without.refused["AAA"]
        assert (named.refused, named.inserted) == ({}, len(desk.bars["AAA"]) - 1)


@pytest.mark.parametrize(
    "said", [(200, "No security definition has been found"), (162, "query returned no data")]
)
async def test_what_tws_says_without_its_broker_is_no_answer(desk: Desk, said: tuple[int, str]) -> None:
    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:
        handlers = gateway.service._handlers
        answer = handlers[ask.History]
        times: list[int] = []

        def deny(session: Any, wish: Any) -> None:
            times.append(1)
            if len(times) == 2:
                session.send_error(-1, 1100, "Connectivity between IB and Trader Workstation has been lost.")
            if len(times) in (2, 3):
                session.send_error(wish.request_id, *said)
                return
            if len(times) == 4:
                session.send_error(-1, 1102, "Connectivity restored - data maintained.")
            answer(session, wish)

        handlers[ask.History] = deny
        report = await desk.pull(desk.source(gateway.port), AAA)
        again = await desk.pull(desk.source(gateway.port), AAA)
    assert (report.refused, report.inserted, report.empty) == ({}, len(desk.bars["AAA"]) - 1, 0)
    assert again.asked == 0


async def test_hours_outside_the_sessions_are_kept_if_asked_for(desk: Desk) -> None:
    bars = desk.bars["AAA"]
    before = BarSeries(
        "AAA", Timeframe.MINUTE, bars.start_ns - HOUR_NS, bars.end_ns - HOUR_NS,
        bars.open, bars.high, bars.low, bars.close, bars.volume,
    )  # fmt: skip
    async with simulated_gateway(later({"AAA": before}), config=config(desk), clock=desk.wall) as gateway:
        await desk.pull(desk.source(gateway.port, regular_hours=False), AAA)
    stored = desk.store.read("AAA", Timeframe.MINUTE).to_series()["AAA"]
    assert stored.start_ns.tolist() == before.start_ns[before.end_ns <= desk.until].tolist()
    assert stored.end_ns.tolist() == before.end_ns[before.end_ns <= desk.until].tolist()


async def test_a_future_is_asked_for_in_all_its_hours(desk: Desk) -> None:
    asked: list[bool] = []
    async with simulated_gateway(
        later({"AAA": desk.bars["AAA"]}), config=config(desk), clock=desk.wall, instruments=[FUTURE]
    ) as gateway:
        answer = gateway.service._handlers[ask.History]

        def hear(session: Any, wish: Any) -> None:
            asked.append(wish.rth)
            answer(session, wish)

        gateway.service._handlers[ask.History] = hear
        await desk.pull(desk.source(gateway.port), FUTURE)
    assert set(asked) == {False}


async def test_a_pull_that_brings_nothing_says_why(desk: Desk) -> None:
    first, day = int(desk.bars["AAA"].start_ns[0]), 24 * HOUR_NS
    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:

        async def note(**span: Any) -> str:
            return (await desk.pull(desk.source(gateway.port), AAA, **span)).notes.get("AAA", "")

        assert await note(start_ns=first - 90 * day, end_ns=first - 60 * day) == (
            "the source's bars begin on 2018-01-02, after --end: name a later one"
        )
        assert "--start is not over at the source, where it is 2018-02-16" in await note(
            start_ns=desk.until + 90 * day, end_ns=desk.until + 99 * day
        )
        sunday = pd.Timestamp("2018-01-07T10:00Z").value
        assert "the source has no bars from 2018-01-07 to 2018-01-07: check" in await note(
            start_ns=sunday, end_ns=sunday + HOUR_NS
        )
        assert await note(start_ns=sunday, end_ns=sunday + HOUR_NS) == (
            "nothing was asked: the question was answered before, with no bars; --again asks once more"
        )
        assert await note() == ""
        assert "answered before; --again" in await note()
        assert "up to date" in await note(again=True)


@pytest.mark.parametrize(
    ("code", "text", "kind", "refused", "allowed"),
    [
        (10197, "No market data during competing live session", 0, True, True),
        (10167, "Requested market data is not subscribed. Displaying delayed market data.", 3, True, False),
        (
            10168,
            "Requested market data is not subscribed. Delayed market data is not enabled.",
            0,
            True,
            True,
        ),
        (2104, "Market data farm connection is OK:usfarm", None, False, False),
    ],
)
async def test_what_tws_says_of_quotes_counts_also_where_none_come(
    desk: Desk, code: int, text: str, kind: int | None, refused: bool, allowed: bool
) -> None:
    """`refused` without the profile's leave, `allowed` if refused with it, too."""
    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:

        def say(session: Any, wish: Any) -> None:
            session.send_error(wish.request_id, code, text)

        gateway.service._handlers[ask.MarketData] = say
        session = MarketDataSession()
        await session.open("127.0.0.1", gateway.port, 9)
        found = await session.entitlement(AAA, patience=0.2)
        assert found.kind == kind
        session.entitlement = partial(session.entitlement, patience=0.2)  # type: ignore[method-assign]
        for leave, expected in ((False, refused), (True, allowed)):
            if expected:
                with pytest.raises(DelayedDataError, match=str(code)):
                    await require_live_data(session, [AAA], allow_delayed=leave)
            else:
                assert len(await require_live_data(session, [AAA], allow_delayed=leave)) == 1
        session.close()


async def test_a_pull_that_goes_on_keeps_the_limits_that_the_stopped_one_used_up(desk: Desk) -> None:
    class StopError(Exception):
        """As by Ctrl-C."""

    def stop(at: Progress) -> None:
        if at.total and at.done == 6:
            raise StopError

    async with simulated_gateway(later(desk.bars), config=config(desk), clock=desk.wall) as gateway:
        with pytest.raises(StopError):
            await desk.pull(desk.source(gateway.port), progress=stop)
        source = desk.source(gateway.port)
        await desk.pull(source)
    assert len(source._pace._asked) >= 6 + 8  # those of the first, and its own
    used = desk.source(1)
    for _ in range(60):
        used.was_asked("ibkr", 100.0)
    used.was_asked("yahoo", 0.0)
    assert used.seconds_for(1) == pytest.approx(501)
