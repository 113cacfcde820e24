"""Settings become sources: a trader refuses delayed quotes, corporate actions come from the named place."""

from __future__ import annotations

import datetime as dt
import gzip
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import structlog

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.testing import simulated_gateway
from data.calendars import ExchangeClock
from data.errors import CorporateActionDataError, DelayedDataError
from data.samples import sample_bars
from execution.clocks import utc_ns
from execution.models import Instrument
from infrastructure.cli import app
from infrastructure.cli.boundary import guard
from infrastructure.data_sources import action_source, require_market_data, trading_actions
from infrastructure.settings import Settings, load_settings

INDEX = Instrument("SPXSIM")


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settings(**more: Any) -> Settings:
    return load_settings(
        "paper", None, {name.replace("__", "."): value for name, value in more.items()}, {}, None
    )


@pytest.mark.parametrize(
    ("entitled", "allowed", "starts"),
    [
        ("live", "false", True),
        ("delayed", "false", False),
        ("delayed", "true", True),
        ("none", "true", False),
    ],
)
async def test_a_trader_does_not_start_on_delayed_quotes(entitled: str, allowed: str, starts: bool) -> None:
    config = GatewayConfig(speed="1", paused=True, market_data=entitled)
    async with simulated_gateway(sample_bars(["SPXSIM"]), config=config) as gateway:
        chosen = settings(data__ib__port=str(gateway.port), data__allow_delayed=allowed)
        if starts:
            await require_market_data(chosen, [INDEX])
        else:
            with pytest.raises(DelayedDataError, match="SPXSIM"):
                await require_market_data(chosen, [INDEX])


def test_corporate_actions_come_from_the_named_file(tmp_path: Path) -> None:
    assert trading_actions(settings()) is None
    assert trading_actions(settings(data__corporate_actions="yahoo")) is not None
    today = pd.Timestamp.now(tz="America/New_York").normalize()
    file = tmp_path / "actions.csv"
    file.write_text(f"date,symbol,kind,value\n{today.date()},SPY,split,2\n")
    source = trading_actions(settings(data__corporate_actions=str(file)))
    assert source is not None
    (split,) = source.actions("SPY", utc_ns(today) - 1, utc_ns(today) + 1)
    assert split.ratio == 2
    with pytest.raises(CorporateActionDataError, match="cannot be read"):
        trading_actions(settings(data__corporate_actions="none.csv"))


SPLIT = "date,symbol,kind,value\n2020-08-31,AAPL,split,4\n"
EVER = dt.date(1990, 1, 1), dt.date(2030, 1, 1)


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    """A file of actions that the house's own database took in, twice: once corrected."""
    file = tmp_path / "actions.csv"
    file.write_text(SPLIT.replace(",4", ",5"))
    assert guard(app, ["db", "upgrade"]) == 0
    assert guard(app, ["db", "import-actions", str(file)]) == 0
    file.write_text(SPLIT)
    assert guard(app, ["db", "import-actions", str(file)]) == 0
    return file


def test_what_the_database_holds_is_used_where_nobody_is_named(imported: Path) -> None:
    assert trading_actions(settings()) is not None
    found = action_source(settings())
    assert found is not None
    assert [one.value for one in found.actions("AAPL", *EVER)] == [4]
    with pytest.raises(CorporateActionDataError, match="holds no corporate actions of SPY"):
        found.actions("SPY", *EVER)
    then = action_source(settings(), as_of=pd.Timestamp("2020-09-01", tz="UTC"))
    assert then is not None
    assert [one.value for one in then.actions("AAPL", *EVER)] == [5]
    named = action_source(settings(), f"stored:{imported.name}")
    assert named is not None
    assert [one.value for one in named.actions("AAPL", *EVER)] == [4]
    nothing = action_source(settings(), "none")
    assert nothing is not None
    assert nothing.actions("AAPL", *EVER) == ()


def test_a_database_without_actions_or_that_is_away_is_nobody(tmp_path: Path) -> None:
    assert action_source(settings()) is None
    assert not (tmp_path / "var").exists()  # asking made nothing
    assert guard(app, ["db", "upgrade"]) == 0
    assert action_source(settings()) is None
    with structlog.testing.capture_logs() as told:
        assert action_source(settings(database__url="postgresql+psycopg://u@127.0.0.1:1/x")) is None
    assert "whether the server runs" in told[0]["why"]


def test_a_check_and_an_export_use_the_stored_actions(
    imported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The jump of a split is explained by what the database holds, and an export adjusts by it."""
    prices = tmp_path / "prices"
    prices.mkdir()
    days = ExchangeClock("XNYS", dt.date(2020, 8, 24), dt.date(2020, 9, 4)).dates
    rows = [
        f"{day},{p},{p + 1},{p - 1},{p},1000"
        for i, day in enumerate(days)
        for p in [(400.0 + i) / (4 if day >= dt.date(2020, 8, 31) else 1)]
    ]
    (prices / "AAPL.csv").write_text("date,open,high,low,close,volume\n" + "\n".join(rows) + "\n")
    assert guard(app, ["data", "check", str(prices)]) == 0
    assert guard(app, ["data", "check", str(prices), "--actions", "none"]) == 1
    assert guard(app, ["data", "import", str(prices)]) == 0
    assert guard(app, ["data", "export", "out", "--actions", "stored"]) == 0
    assert guard(app, ["data", "export", "then", "--actions", "stored", "--as-of", "2020-09-30T00:00Z"]) == 2
    assert "knew nothing of these bars" in " ".join(capsys.readouterr().err.replace("│", " ").split())
    with gzip.open(tmp_path / "out" / "AAPL.csv.gz", "rt") as file:
        closes = [float(line.split(",")[4]) for line in file.read().splitlines()[1:]]
    assert closes == [round((400 + i) / 4, 6) for i in range(len(days))]
