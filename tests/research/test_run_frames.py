from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from backtesting.assemble import assemble
from backtesting.ledgers import LedgerTables
from backtesting.run_errors import RunNotFoundError
from backtesting.runs import RunFolder
from data.samples import SAMPLE_INSTRUMENTS, sample_bars
from execution.timeframes import Timeframe
from research.run_frames import load_run
from strategies.spec import RunSpec

NOW = pd.Timestamp("2026-01-02", tz="UTC")


def finished_run(root: Path, run_id: str) -> None:
    bars = sample_bars(end=dt.date(1999, 3, 31))
    spec = RunSpec(SAMPLE_INSTRUMENTS, Timeframe.DAY, "momentum", {"lookback": 10})
    result = assemble(spec, bars, bars.clock).run()
    tables = LedgerTables.from_result(
        result.orders, result.fills, result.snapshots, result.refused, result.signals, result.placed_for
    )
    with RunFolder.create(root, run_id, {"profile": "backtest", "config_hash": "x"}, now=NOW) as run:
        tables.write(run.path)
        run.end("finished", now=NOW)


def test_the_last_finished_run_is_loaded_with_exact_money_and_utc_times(tmp_path: Path) -> None:
    finished_run(tmp_path, "first")
    frames = load_run(root=tmp_path)
    assert (frames.run_id, frames.folder) == ("first", tmp_path / "first")
    assert len(frames.orders) == len(frames.fills) > 0
    assert isinstance(frames.equity["equity"].iloc[-1], Decimal)
    assert str(frames.fills["time"].dt.tz) == "UTC"
    assert set(frames.orders["client_order_id"]) == set(frames.signals["orders"].explode().dropna())
    assert load_run("fir", tmp_path).equity.equals(frames.equity)


def test_without_a_finished_run_it_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match="trade backtest"):
        load_run(root=tmp_path)
