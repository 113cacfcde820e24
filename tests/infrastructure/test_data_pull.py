"""`trade data pull`: from a gateway into the store, again for nothing, and each fault with its remedy."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.testing import GatewayThread
from data.bars import BarSeries
from data.database import Database
from data.records import records
from data.samples import sample_bars
from data.schema import OptionBarRow
from execution.clocks import NANOS, timestamp
from execution.models import Instrument
from execution.timeframes import Timeframe
from infrastructure.cli import app
from infrastructure.cli.boundary import guard
from infrastructure.cli.data_pull import _beginning_ns, _exchange, time_text

FIRST_NS = 1_514_989_800 * NANOS  # 2018-01-03 14:30 UTC
COUNT = 30
ESH8 = Instrument("ESH8", "FUT", "CME", multiplier=Decimal(50), underlying="ES", expiry="20180316")
CALL = Instrument(
    "AAA 180119C100", "OPT", multiplier=Decimal(100), underlying="AAA", expiry="20180119",
    strike=Decimal(100), right="C",
)  # fmt: skip


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def trade(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> Any:
    assert guard(app, ["data", *arguments]) == status
    told = capsys.readouterr()
    return json.loads(told.out) if "--json" in arguments and status in (0, 1) else told.out + told.err


def test_bars_are_pulled_once_and_found_again(capsys: pytest.CaptureFixture[str]) -> None:
    bars = sample_bars()
    last = str(bars["SPXSIM"].bar(-1).end.date())
    before = str(bars["SPXSIM"].bar(-2).end.date())
    start = pd.Timestamp(last, tz="UTC")
    config = GatewayConfig(speed="1", paused=True, historical_pacing=True, start=start)
    with GatewayThread(bars, config=config) as gateway:
        at = ["--set", f"data.ib.port={gateway.port}", "--end", before, "--actions", "none"]
        first = trade(capsys, "pull", "SPXSIM,COMPSIM", *at, "--json")
        again = trade(capsys, "pull", "SPXSIM", *at, "--json")
        told = trade(capsys, "pull", "SPXSIM", *at, "--start", "2018-01-01")
        refused = trade(capsys, "pull", "ZZZ,SPXSIM", *at, "--json", status=1)
    expected = len(bars["SPXSIM"]) + len(bars["COMPSIM"]) - 2
    assert (first["inserted"], first["refused"], first["source"]) == (expected, {}, "ibkr")
    assert (again["questions"], again["answered_before"]) == (0, first["questions"] // 2)
    assert "questions: 0" in told
    assert "200" in refused["refused"]["ZZZ"]
    held = {row["symbol"]: row for row in trade(capsys, "list", "--json")["holdings"]}
    assert held["SPXSIM"]["bars"] == len(bars["SPXSIM"]) - 1


def test_futures_and_options_are_pulled_into_their_tables(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    start = FIRST_NS + np.arange(COUNT) * Timeframe.MINUTE.nanos
    price = np.asarray(100.0 + np.arange(COUNT) % 7 * 0.25, np.float64)
    names = (ESH8.symbol, CALL.symbol)
    bars = {
        name: BarSeries(
            name, Timeframe.MINUTE, start, start + Timeframe.MINUTE.nanos,
            price, price + 0.5, price - 0.5, price, np.full(COUNT, 10.0),
        )
        for name in names
    }  # fmt: skip
    url = f"sqlite:///{tmp_path}/market.db"
    assert guard(app, ["db", "upgrade", "--set", f"database.url={url}"]) == 0
    capsys.readouterr()
    config = GatewayConfig(speed="1", paused=True, start=timestamp(int(start[-1])), historical_pacing=True)
    with GatewayThread(bars, config=config, instruments=[ESH8, CALL]) as gateway:
        contracts = "ESH8=FUT:ES:20180316:CME:50,OPT:AAA:20180119:100:C"
        at = [contracts, "--timeframe", "1m", "--end", "2018-01-03", "--store", url]
        at += ["--set", f"data.ib.port={gateway.port}", "--json"]
        first = trade(capsys, "pull", *at)
        again = trade(capsys, "pull", *at)
        other = contracts.replace("20180316", "20180615")
        refused = trade(capsys, "pull", other, *at[1:], status=1)
    assert (first["inserted"], first["refused"]) == (2 * (COUNT - 1), {})  # the last ones still form there
    assert (again["inserted"], again["unchanged"]) == (0, first["inserted"])
    assert set(again["nothing_new"]) == {"ESH8", CALL.symbol}
    assert list(refused["refused"]) == ["ESH8"]  # another contract is never taken for it
    held = {row["symbol"]: row["bars"] for row in trade(capsys, "list", "--store", url, "--json")["holdings"]}
    assert held == {"ESH8": COUNT - 1}
    database = Database(url)
    with database.session() as session:
        rows = session.scalars(select(OptionBarRow).order_by(OptionBarRow.ts)).all()
        assert [row.close for row in rows] == price[:-1].tolist()
        assert {row.symbol for row in rows} == {CALL.symbol}
    database.close()


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["SPY", "--timeframe", "5m"], 2, "--timeframe '5m': use 1D, 1h, 1m"),
        (["SPY", "--source", "yahoo", "--actions", "none"], 2, "Yahoo tells its splits itself"),
        (["SPY", "--actions", "none.csv"], 2, "none.csv: cannot be read"),
        (["SPY", "--source", "bloomberg"], 2, "--source 'bloomberg': use ibkr, yahoo"),
        (["SPY", "--start", "soon"], 2, "--start 'soon' is no date"),
        (["SPY", "--start", "NaT"], 2, "--start 'NaT' is no date"),
        (["SPY", "--start", "2024-02-01", "--end", "2024-01-31"], 2, "--end 2024-01-31 is before --start"),
        ([" , "], 2, "name at least one symbol"),
        (["SPY", "--calendar", "NYSE2"], 2, "calendar 'NYSE2' is not known"),
    ],
)
def test_wrong_input_is_told_with_what_would_be_right(
    capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, complaint: str
) -> None:
    said = trade(capsys, "pull", *arguments, status=status)
    assert complaint in " ".join(said.replace("│", " ").split())


def test_yahoo_without_its_package_names_the_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "yfinance", None)
    assert "alphec-street[yahoo]" in trade(capsys, "pull", "SPY", "--source", "yahoo", status=2)


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (59, "59 s"), (125, "2 min"), (9000, "2.5 h")])
def test_a_wait_is_told_in_its_unit(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


def test_contracts_that_are_pulled_are_registered_with_what_tws_says_of_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bars = sample_bars(["SPXSIM"])
    url = f"sqlite:///{tmp_path}/market.db"
    told = ["--set", f"database.url={url}"]
    assert guard(app, ["db", "upgrade", *told]) == 0
    (tmp_path / "known.csv").write_text("symbol,sector,calendar\nSPXSIM,Index,XLON\n")
    capsys.readouterr()
    config = GatewayConfig(speed="1", paused=True, start=bars["SPXSIM"].bar(-2).end)
    with GatewayThread(bars, config=config) as gateway:
        at = ["SPXSIM", "--set", f"data.ib.port={gateway.port}", "--actions", "none", "--start", "2018-06-01"]
        first = trade(capsys, "pull", *at, *told, "--json")
        again = trade(capsys, "pull", *at, *told, "--store", "folder", "--json")
        assert guard(app, ["db", "import-instruments", "known.csv", *told]) == 0
        capsys.readouterr()
        third = trade(capsys, "pull", *at, *told, "--json")
        without = trade(capsys, "pull", *at, "--store", "folder", "--json")
    registered = [one["contracts_registered"] for one in (first, again, third, without)]
    assert registered == [1, 0, 0, None]
    (row,) = _instruments(url)
    assert row["con_id"] > 0
    assert row["tick"] == Decimal("0.01")
    assert row["name"]
    assert (row["sector"], row["calendar"]) == ("Index", "XLON")  # what a person stated stays


def test_a_contract_that_was_registered_by_hand_is_completed_and_not_overwritten(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    bars = sample_bars(["SPXSIM"])
    url = f"sqlite:///{tmp_path}/market.db"
    told = ["--set", f"database.url={url}"]
    assert guard(app, ["db", "upgrade", *told]) == 0
    (tmp_path / "known.csv").write_text("symbol,name,tick,calendar\nSPXSIM,my index,0.25,XLON\n")
    assert guard(app, ["db", "import-instruments", "known.csv", *told]) == 0
    capsys.readouterr()
    config = GatewayConfig(speed="1", paused=True, start=bars["SPXSIM"].bar(-2).end)
    with GatewayThread(bars, config=config) as gateway:
        at = ["SPXSIM", "--set", f"data.ib.port={gateway.port}", "--actions", "none", "--start", "2018-06-01"]
        counts = [trade(capsys, "pull", *at, *told, "--json")["contracts_registered"] for _ in range(2)]
    assert counts == [1, 0]
    (row,) = _instruments(url)
    assert row["con_id"] > 0
    assert (row["name"], row["tick"], row["calendar"]) == ("my index", Decimal("0.25"), "XLON")


def _instruments(url: str) -> list[dict[str, Any]]:
    database = Database(url)
    rows = [{str(name): value for name, value in row.items()} for row in
            records(database, "instruments").to_dict("records")]  # fmt: skip
    database.close()
    return rows


def test_a_pull_that_brings_nothing_says_why_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    bars = sample_bars(["SPXSIM"])
    config = GatewayConfig(speed="1", paused=True, start=bars["SPXSIM"].bar(-2).end)
    with GatewayThread(bars, config=config) as gateway:
        at = ["SPXSIM", "--set", f"data.ib.port={gateway.port}", "--actions", "none"]
        late = trade(capsys, "pull", *at, "--start", "2026-01-01")
        early = trade(capsys, "pull", *at, "--end", "1990-01-31", "--json")
        trade(capsys, "pull", *at, "--start", "2018-06-01", "--end", "2018-06-30")
        again = trade(capsys, "pull", *at, "--start", "2018-06-01", "--end", "2018-06-30")
        stranger = trade(capsys, "pull", "ZZZ", *at[1:], status=1)
    assert "SPXSIM: --start is not over at the source, where it is" in late
    assert "the clocks of this machine and of the source differ" in late
    assert early["inserted"] == 0
    assert "bars begin on" in early["nothing_new"]["SPXSIM"]
    assert "answered before; --again asks once more" in again
    assert "ZZZ: ZZZ" not in stranger


def test_ctrl_c_says_that_the_same_command_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from data.sources import pull as pulls

    async def interrupted(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(30)

    monkeypatch.setattr(pulls, "pull", interrupted)
    said = trade(capsys, "pull", "SPY", "--actions", "none", status=130)
    assert "run the same command again, and it goes on" in said


@pytest.mark.parametrize(
    ("calendar", "date", "begins"),
    [
        ("XNYS", "2024-01-08", "2024-01-08T05:00Z"),
        ("CMES", "2024-01-08", "2024-01-07T23:00Z"),  # Monday's session opens on Sunday evening
        ("CMES", "2024-01-06", "2024-01-06T06:00Z"),  # a Saturday has none
        ("CMES", "2024-03-12", "2024-03-11T22:00Z"),  # summer time
    ],
)
def test_a_date_begins_with_its_session_where_that_opens_the_evening_before(
    calendar: str, date: str, begins: str
) -> None:
    exchange = _exchange(calendar, timestamp(FIRST_NS).value + 10**18 // 2)
    assert _beginning_ns(exchange, pd.Timestamp(date)) == pd.Timestamp(begins).value
