"""What a stand-alone gateway serves: bars of several sizes, contracts, and when time starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from execution.timeframes import Timeframe
from infrastructure.errors import ConfigError
from infrastructure.gateway_market import ServedMarket, load_served_market, start_time
from infrastructure.settings import Settings, load_settings

DAILY = "date,open,high,low,close,volume\n2018-01-02,10,11,9,10,1000\n2018-01-03,10,11,9,10.004,1000\n"


def settings(bars: Path | None = None, **more: str) -> Settings:
    named = {"data.end": "1999-01-29"} if bars is None else {"data.bars": str(bars)}
    return load_settings("demo", None, {**named, **more}, {}, None)


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for symbol, text in files.items():
        (folder / f"{symbol}.csv").write_text(text, encoding="utf-8")
    return folder


def minutes(count: int = 5) -> str:
    rows = [f"2018-01-03T14:3{i + 1}:00Z,10,10.5,9.5,10,100" for i in range(count)]
    return "\n".join(["end,open,high,low,close,volume", *rows, ""])


@pytest.fixture(scope="module")
def sample() -> ServedMarket:
    return load_served_market(settings())


def test_without_a_folder_the_sample_is_served(sample: ServedMarket) -> None:
    assert sorted(sample.bars) == ["COMPSIM", "SPXSIM"]
    assert sorted(one.symbol for one in sample.instruments) == ["COMPSIM", "SPXSIM"]
    assert sorted(sample.source) == ["COMPSIM", "SPXSIM"]
    assert sample.first_start_ns < sample.last_end_ns


def test_bars_of_several_sizes_come_from_several_folders(tmp_path: Path) -> None:
    daily = write(tmp_path / "daily", AAA=DAILY, BBB=DAILY)
    fine = write(tmp_path / "minute", AAA=minutes())
    market = load_served_market(settings(daily), [fine])
    assert [one.timeframe for one in market.bars["AAA"]] == [Timeframe.DAY, Timeframe.MINUTE]
    assert [one.timeframe for one in market.bars["BBB"]] == [Timeframe.DAY]
    assert market.clock.session_on(market.clock.dates[-1]) is not None


def test_a_further_folder_gives_only_the_symbols_asked_for(tmp_path: Path) -> None:
    daily = write(tmp_path / "daily", AAA=DAILY)
    fine = write(tmp_path / "minute", AAA=minutes(), CCC=minutes())
    market = load_served_market(settings(daily, symbols="AAA"), [fine])
    assert sorted(market.bars) == ["AAA"]


def test_prices_of_a_contract_with_a_finer_increment_are_not_rounded_to_cents(tmp_path: Path) -> None:
    folder = write(tmp_path / "bars", EURUSD=DAILY, AAA=DAILY)
    contracts = tmp_path / "contracts.yaml"
    contracts.write_text("- {symbol: EURUSD, sec_type: CASH}\n", encoding="utf-8")
    market = load_served_market(settings(folder), (), contracts)
    assert market.bars["EURUSD"][0].close.tolist()[-1] == 10.004
    assert market.bars["AAA"][0].close.tolist()[-1] == 10.0
    kinds = {one.symbol: one.security_type for one in market.instruments}
    assert kinds == {"AAA": "STK", "EURUSD": "CASH"}


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1999-01-05", "1999-01-05 14:30"),
        ("1999-01-09", "1999-01-11 14:30"),
        ("1999-01-05T10:00:00", "1999-01-05 15:00"),
        ("1999-01-05T16:00:00+00:00", "1999-01-05 16:00"),
    ],
)
def test_a_start_is_a_session_or_a_time(sample: ServedMarket, text: str, moment: str) -> None:
    assert start_time(text, sample).strftime("%Y-%m-%d %H:%M") == moment


@pytest.mark.parametrize("text", ["soon", "", "2031-01-01", "1980-01-01", "NaT"])
def test_a_start_that_is_none_or_outside_the_bars_is_refused(sample: ServedMarket, text: str) -> None:
    with pytest.raises(ConfigError, match="--start"):
        start_time(text, sample)
