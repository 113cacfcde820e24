"""What is on record can be read by column and time, the same on every kind of server."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import event, insert, text

from data.database import Database
from data.errors import RecordsError
from data.projector import Projector
from data.records import TABLES, records
from data.repositories import Repository
from data.schema import Base, CommissionRow, FillRow
from data.testing import LocalServer
from execution.journal import MemoryJournal

NOON = 1_704_214_800 * 10**9  # 2024-01-02 17:00 UTC
HOUR = 3_600 * 10**9
NOT_SHOWN = {"projection_cursor", "bar_changes", "exchange_sessions", "session_slots"}


def at(hours: int) -> pd.Timestamp:
    return pd.Timestamp(NOON + hours * HOUR, tz="UTC")


@pytest.fixture
def told(database: Database) -> Database:
    """A database with a run: three signals, an order, a day's book and its risk."""
    journal = MemoryJournal(lambda: NOON)
    journal.append("run_started", {"run_id": "r", "profile": "paper", "symbols": ["SPY"]})
    for i, (name, symbol) in enumerate([("in", "SPY"), ("out", "SPY"), ("in", "QQQ")]):
        body: dict[str, Any] = {
            "signal_id": f"s{i}", "strategy": "ma", "name": name, "symbol": symbol, "direction": "LONG",
            "strength": 0.5 if i else None, "target": None, "features": {"z": i}, "replayed": i == 1,
        }  # fmt: skip
        journal.append("signal", body | {"trading_time": NOON + i * HOUR})
    held = dict.fromkeys(("cash", "equity", "unrealized_pnl", "realized_pnl", "fees", "gross_exposure"), "7")
    journal.append("snapshot", {"trading_time": NOON, "positions": [], **held})
    tail = {"value_at_risk_95": 12.5, "tail_returns": 250, "scope": "book"}
    journal.append("risk_metrics", {"trading_time": NOON, **tail})
    journal.commit()
    Projector(database, "j", "r").project(journal.events())
    return database


def test_every_table_is_shown_or_left_out_on_purpose() -> None:
    assert set(TABLES) | NOT_SHOWN == set(Base.metadata.tables)


def test_every_table_can_be_read(told: Database) -> None:
    for table in TABLES:
        assert list(records(told, table).columns) == Base.metadata.tables[table].columns.keys()


def test_rows_are_chosen_by_value_and_time_and_the_newest_come_last(told: Database) -> None:
    def ids(**chosen: Any) -> list[str]:
        return list(records(told, "signals", **chosen)["signal_id"])

    assert ids() == ["s0", "s1", "s2"]
    assert ids(newest=2) == ["s1", "s2"]
    assert ids(where={"name": "in", "symbol": "SPY"}) == ["s0"]
    assert ids(where={"replayed": "true"}) == ["s1"]
    assert ids(where={"seq": "3"}) == ["s1"]
    assert ids(since=at(1), until=at(2)) == ["s1"]
    assert records(told, "account_snapshots", where={"cash": "7"})["equity"].tolist() == [Decimal(7)]
    days = records(told, "daily_pnl", where={"trading_day": "2024-01-02"})
    assert days["trading_day"].tolist() == [dt.date(2024, 1, 2)]
    assert len(records(told, "signals", where={"timestamp": str(at(1))})) == 1


def test_a_run_tells_its_signals_risk_profit_and_sessions(told: Database) -> None:
    run = Repository(told)
    assert run.signals("r", name="in", since=at(1))["symbol"].tolist() == ["QQQ"]
    assert run.signals("r", strategy="ma", symbol="SPY")["features"].tolist() == [{"z": 0}, {"z": 1}]
    assert run.signals("another").empty
    risk = run.risk_metrics("r", "book").iloc[0]
    assert (risk["value_at_risk_95"], risk["tail_returns"]) == (12.5, 250)
    assert run.daily_pnl("r")["closing_equity"].tolist() == [Decimal(7)]
    assert run.trading_sessions("r")["status"].tolist() == ["RUNNING"]
    assert run.order_events("r", "x").empty
    assert run.adjustments("r").empty


@pytest.mark.parametrize(
    ("table", "chosen", "why"),
    [
        ("bar_changes", {}, "no table 'bar_changes': choose one of runs, "),
        ("fills", {"where": {"colour": "red"}}, "fills has no column colour: choose among run_id, "),
        ("fills", {"where": {"seq": "x"}}, "fills.seq: 'x' is no value of it"),
        ("fills", {"where": {"price": "x"}}, "fills.price: 'x' is no value of it"),
        ("orders", {"where": {"dry_run": "yes"}}, "orders.dry_run: 'yes' is no value of it"),
        ("instruments", {"since": at(0)}, "instruments has no time"),
    ],
)
def test_what_cannot_be_asked_is_named(
    file_database: Database, table: str, chosen: dict[str, Any], why: str
) -> None:
    with pytest.raises(RecordsError, match=why):
        records(file_database, table, **chosen)


def test_the_fills_of_a_run_are_read_once_and_not_each_with_each(
    postgres_server: LocalServer, postgres_url: str
) -> None:
    if not postgres_server.whole:
        pytest.skip("needs a server with sessions side by side")
    database = Database(postgres_url)
    database.upgrade()
    fill = {"run_id": "r", "symbol": "SPY", "side": "BUY", "price": Decimal("10.50"), "timestamp": NOON}
    with database.session() as session:
        session.execute(
            insert(FillRow),
            [fill | {"seq": n, "fill_id": f"f{n % 300:03}", "quantity": Decimal(n)} for n in range(1, 401)],
        )
        paid = [{"fill_id": f"f{n % 200:03}", "commission": Decimal(n)} for n in range(1, 251)]
        rows = [{"run_id": "r", "seq": n, "timestamp": NOON} | one for n, one in enumerate(paid)]
        session.execute(insert(CommissionRow), rows)
    with database.connection() as connection:
        connection.execute(text("ANALYZE"))
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: object) -> None:
        asked.append((statement, values))

    event.listen(database.engine, "before_cursor_execute", note)
    fills = Repository(database).fills("r").set_index("fill_id")
    event.remove(database.engine, "before_cursor_execute", note)
    assert fills.index.tolist() == [f"f{n:03}" for n in range(300)]
    assert (fills["quantity"]["f100"], fills["quantity"]["f101"]) == (400, 101)
    assert (fills["commission"]["f050"], fills["commission"]["f051"]) == (250, 51)
    assert fills["commission"]["f299"] is None
    with database.connection() as connection:
        for statement, values in asked:
            plan = connection.exec_driver_sql(f"EXPLAIN {statement}", values).scalars().all()
            assert "Nested Loop" not in "\n".join(plan)
    database.close()


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("orders", "created_at", "2024-01-02"), ("orders", "created_at", "NaT"),
        ("orders", "created_at", "9999-01-01T00:00Z"), ("orders", "quantity", "NaN"),
        ("orders", "quantity", "1e999999"), ("orders", "seq", "99999999999999999999"),
        ("orders", "attempt", "9999999999"), ("orders", "symbol", "a\0b"), ("orders", "symbol", "\ud800"),
        ("orders", "symbol", "X" * 33), ("signals", "features", "x"),
    ],
)  # fmt: skip
def test_a_text_that_is_no_value_of_a_column_is_refused_on_every_server(
    database: Database, table: str, column: str, value: str
) -> None:
    with pytest.raises(RecordsError, match=rf"{table}\.{column}: .* is no value of it"):
        records(database, table, where={column: value})


def test_a_bound_without_a_time_zone_is_refused(database: Database) -> None:
    with pytest.raises(RecordsError, match="has no time zone"):
        records(database, "orders", until=pd.Timestamp("2024-01-02"))
