"""Greeks that a recorder stored reach the risk on record, in its table; what is missing is told there."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import structlog

from data.database import Database
from data.reference.instruments import register
from data.schema import OptionBarRow
from data.writing import upsert
from execution.clocks import SteppedClock, timestamp, utc_ns
from execution.models import Instrument, PortfolioSnapshot, Position
from infrastructure.contract_text import read_contract
from infrastructure.recorded_greeks import RecordedGreeks
from infrastructure.settings import Settings, load_settings
from risk.metrics import RiskMeter

D = Decimal
CALL = read_contract("OPT:AAA:20240315:100:C")
OTHER = read_contract("OPT:AAA:20240315:90:C")
MONDAY = pd.Timestamp("2024-03-04 14:30", tz="UTC")


@pytest.fixture
def database(tmp_path: Path) -> Any:
    with closing(Database(f"sqlite:///{tmp_path / 'data.db'}")) as opened:
        opened.upgrade()
        yield opened


def settings(url: str) -> Settings:
    return load_settings("demo", None, {"database.url": url}, {}, None)


def minute(symbol: str, at: int, **figures: float) -> dict[str, Any]:
    names = ("delta", "gamma", "vega", "theta", "underlying_price")
    row = {"symbol": symbol, "ts": MONDAY + pd.Timedelta(minutes=at), "volume": 0.0, "known_at": MONDAY}
    return row | dict.fromkeys(names) | figures


def book(at: pd.Timestamp, *instruments: Instrument) -> PortfolioSnapshot:

    positions = tuple(Position(one.symbol, D(2), D(1), D(400), D(0), at) for one in instruments)
    return PortfolioSnapshot(at, D(0), D(1_000), D(0), D(0), gross_exposure=D(400), positions=positions)


def test_the_newest_whole_greeks_of_each_option_reach_the_risk_on_record(database: Database) -> None:
    register(database, [CALL])
    whole = {"gamma": 0.02, "vega": 0.1, "theta": -0.05, "underlying_price": 100.0}
    with database.session() as session:
        upsert(session, OptionBarRow, [
            minute(CALL.symbol, 0, delta=0.4, **whole),
            minute(CALL.symbol, 1, delta=0.5, **whole),
            minute(CALL.symbol, 2, delta=0.9),  # not whole: the feed gave no gamma
            minute(OTHER.symbol, 1, delta=0.5, **whole),  # nobody knows its contract
        ])  # fmt: skip
    clock = SteppedClock(utc_ns(MONDAY) + 600 * 10**9)
    known = RecordedGreeks(settings(str(database)), clock)
    assert len(known) == 0
    known.refresh()
    assert list(known) == [CALL.symbol]
    now = timestamp(clock.now_ns())
    body = RiskMeter(greeks=known).measure(book(now, CALL)).to_body()
    assert body["delta"] == pytest.approx(2 * 100 * 0.5 * 100)
    assert body["details"]["greeks_unknown"] is None
    body = RiskMeter(greeks=known).measure(book(now, CALL, OTHER)).to_body()
    assert (body["delta"], body["gamma"], body["vega"], body["theta"]) == (None,) * 4
    assert OTHER.symbol in body["details"]["greeks_unknown"]
    clock.advance_to(clock.now_ns() + 2 * 86_400 * 10**9)
    known.refresh()
    assert dict(known) == {}


def test_a_database_that_is_away_leaves_what_is_known_and_a_line_in_the_log(tmp_path: Path) -> None:
    clock = SteppedClock(utc_ns(MONDAY))
    known = RecordedGreeks(settings(f"sqlite:///{tmp_path / 'none.db'}"), clock)
    with structlog.testing.capture_logs() as told:
        known.refresh()
    assert "none.db" in told[0]["why"]
    assert dict(known) == {}
    bare = RecordedGreeks(load_settings("demo", None, {"var_dir": str(tmp_path)}, {}, None), clock)
    bare.refresh()
    assert dict(bare) == {}
