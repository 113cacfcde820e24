"""Settings become sources: a trader refuses delayed quotes, corporate actions come from the named place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.testing import simulated_gateway
from data.errors import CorporateActionDataError, DelayedDataError
from data.samples import sample_bars
from execution.clocks import utc_ns
from execution.models import Instrument
from infrastructure.data_sources import require_market_data, trading_actions
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
