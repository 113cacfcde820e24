"""The market of a run, from the sample or from a folder."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from execution.timeframes import Timeframe
from infrastructure.errors import ConfigError
from infrastructure.market import load_market, run_hash, run_spec
from infrastructure.settings import Settings, load_settings


def settings(**overrides: Any) -> Settings:
    named = {key.replace("__", "."): str(value) for key, value in overrides.items()}
    return load_settings("demo", None, {"data.end": "1999-01-15", **named}, {}, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = "".join(f"1999-01-{day:02},10,11,9,10,100\n" for day in (4, 5, 6))
    (tmp_path / "SPY.csv").write_text("date,open,high,low,close,volume\n" + rows)
    return tmp_path


def test_the_sample_is_labelled_as_simulated() -> None:
    market = load_market(settings())
    assert set(market.labels) == {"COMPSIM", "SPXSIM"}
    assert market.total_steps == 10
    assert market.last_end_ns == max(int(series.end_ns[-1]) for series in market.bars.values())


def test_a_folder_becomes_contracts_labelled_as_simulated(folder: Path) -> None:
    market = load_market(settings(data__bars=folder, symbols="SPY"))
    assert market.labels == {"SPY": "SPY, simulated contract"}
    assert run_spec(settings(data__bars=folder, symbols="SPY"), market).timeframe is Timeframe.DAY
    assert market.total_steps == 3


def test_a_timeframe_that_the_bars_do_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="leave timeframe out"):
        load_market(settings(timeframe="1m"))


def test_past_bars_do_not_come_from_the_broker() -> None:
    with pytest.raises(ConfigError, match="--bars DIR"):
        load_market(settings(data__source="ib"))


def test_the_hash_follows_what_decides_a_run_and_nothing_else(tmp_path: Path) -> None:
    plain = settings()
    market = load_market(plain)
    digest = run_hash(plain, market)
    assert run_hash(settings(runs_dir=tmp_path, logging__level="DEBUG"), market) == digest
    assert run_hash(settings(strategy__params__fast=7), market) != digest
    shorter = settings(data__end=dt.date(1999, 1, 14))
    assert run_hash(shorter, load_market(shorter)) != digest
