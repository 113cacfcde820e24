"""What a run leaves behind, made from its journal."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from execution.journal import SqliteJournal
from infrastructure import finish
from infrastructure.market import load_market, run_spec
from infrastructure.settings import Settings, load_settings

BROKER = {"orders": [], "executions": [], "cash": "1000"}


def settings(**more: str) -> Settings:
    return load_settings("demo", None, {"data.end": "1999-01-15", **more}, {}, None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, lambda: 7)
    held = {"SPY": {"quantity": "5", "average_cost": "10"}}
    journal.append("opening", {"cash": "1000", "positions": held, "trading_time": 1})
    journal.append(
        "session_closed",
        {"positions": {"SPY": "5"}, "cash": "1000", "open_orders": [], "trading_time": 2},
    )
    journal.commit()
    journal.close()
    return path


def test_a_book_that_agrees_with_the_broker_passes(path: Path) -> None:
    assert finish.judge(path, BROKER).ok


@pytest.mark.parametrize(
    "broker",
    [
        {**BROKER, "cash": "999"},
        {**BROKER, "orders": [{"order_ref": "x", "quantity": "1", "filled": "0"}]},
        {**BROKER, "executions": [{}]},
    ],
)
def test_any_difference_from_the_broker_fails(path: Path, broker: dict[str, object]) -> None:
    assert not finish.judge(path, broker).ok


def test_the_backtest_tells_whether_it_was_halted() -> None:
    chosen = settings(**{"data.end": "1999-12-31", "risk.max_daily_loss": "1500"})
    market = load_market(chosen)
    tables, status = finish.backtest(run_spec(chosen, market), market)
    assert status == "halted"
    assert tables.equity.num_rows < market.total_steps
    assert finish.compared(tables, run_spec(chosen, market), market).identical
    last = tables.equity["equity"].to_pylist()[-1]
    metrics = finish.metrics_of(tables, run_spec(chosen, market))
    assert Decimal(str(metrics["final_equity"])) == last.quantize(Decimal("0.01"))


def test_the_statement_is_read(tmp_path: Path) -> None:
    (tmp_path / "statement.json").write_text(json.dumps(BROKER))
    assert finish.read_statement(tmp_path / "statement.json") == BROKER
