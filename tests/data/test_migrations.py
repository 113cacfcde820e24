"""Migrations: up, down and up again on every server, whole or not at all, never on unknown tables."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import JSON, Boolean, Date, Double, Integer, column, event, insert, table, text
from sqlalchemy.engine import Connection

from data.aggregation import refresh
from data.backup import checksums
from data.database import Database
from data.errors import DatabaseUnavailableError, SchemaError
from data.inspection import check, status
from data.projection.events import Entry
from data.projector import Projector
from data.revisions import known_revisions, newest_revision
from data.schema import Base, MinuteBarRow, Money, UtcTime
from data.schema.features import all_series
from data.schema.types import Document
from data.testing import LocalServer
from execution.journal.chain import GENESIS, canonical, chain_hash


def tables_of(database: Database) -> set[str]:
    with database.engine.connect() as connection:
        return set(connection.dialect.get_table_names(connection)) - {"alembic_version"}


def test_up_down_and_up_again_gives_the_tables_of_the_models(url: str) -> None:
    database = Database(url)
    for revision in (*known_revisions(), "head"):
        database.upgrade(revision)
    assert [finding.problem for finding in check(database)] == [""] * len(check(database))
    assert set(Base.metadata.tables) <= tables_of(database)
    for revision in (*known_revisions()[-2::-1], "base"):
        database.downgrade(revision)
    assert tables_of(database) == set()
    assert status(database).state == "empty"
    database.upgrade()
    assert status(database).state == "current"
    assert not any(finding.problem for finding in check(database))
    database.close()


def test_signals_get_the_names_of_their_events_and_keep_everything_else_on_the_way_back(url: str) -> None:
    database = Database(url)
    database.upgrade("0004")
    moment, moment_ns = column("timestamp", UtcTime), 1_700_000_000 * 10**9
    known = {"run_id": "r", "timestamp": moment_ns, "strategy": "ma", "symbol": "SPY"}
    names = ("run_id", "seq", "signal_id", "strategy", "symbol", "direction")
    signals = table("signals", *map(column, names), column("features", Document), moment)
    names = ("journal_id", "seq", "kind", "body", "prev_hash", "hash")
    events = table("audit_events", *map(column, names), column("recorded_at", UtcTime), column("time_ns"))
    told = {"strategy": "ma", "name": "break\0out", "replayed": True}
    with database.connection() as connection:
        connection.execute(text("INSERT INTO runs (run_id, journal_id, status) VALUES ('r', 'j', 'RUNNING')"))
        for seq in (1, 2):
            row = {"seq": seq, "signal_id": f"s{seq}", "direction": "LONG", "features": {"z": 1.5}}
            connection.execute(signals.insert().values(known | row))
        event: dict[str, Any] = {
            "journal_id": "j",
            "seq": 2,
            "kind": "signal",
            "body": json.dumps(told),
            "prev_hash": "0",
        }
        digest = chain_hash("0", 2, moment_ns, "signal", event["body"])
        at = {"recorded_at": moment_ns, "time_ns": moment_ns, "hash": digest}
        connection.execute(events.insert().values(event | at))
    database.upgrade("0005")
    query = "SELECT seq, name, replayed FROM signals ORDER BY seq"
    with database.connection() as connection:
        assert connection.execute(text(query)).all() == [(1, "ma", False), (2, "break\ufffdout", True)]
    database.downgrade("0004")
    with database.connection() as connection:
        assert connection.execute(signals.select()).mappings().first()["features"] == {"z": 1.5}  # type: ignore[index]
        assert connection.execute(text("SELECT value_at_risk FROM risk_metrics")).all() == []
    database.upgrade()
    assert not any(finding.problem for finding in check(database))
    database.close()


def told() -> list[Entry]:
    """Return events of two runs in one journal, of each kind whose rows a migration makes later."""
    noon, head = 1_700_000_000_123_456_789, GENESIS
    entries: list[Entry] = []
    tail = {"value_at_risk_95": "1.5", "value_at_risk_99": "2.5", "expected_shortfall_95": 1.75,
            "expected_shortfall_99": 3.0, "tail_returns": 250}  # fmt: skip
    money = ("cash", "equity", "unrealized_pnl", "realized_pnl", "fees", "gross_exposure")
    snapshot: dict[str, Any] = dict.fromkeys(money, "10.50") | {"positions": []}
    split = {"what": "split", "symbol": "AAPL", "quantity": "30", "fraction": "0.5", "cash": "-0.10"}
    for kind, body in (
        ("run_started", {"run_id": "first"}),
        (
            "adjustment",
            split | {"time": noon, "price": "99.990", "by": "ops", "reason": "", "action": "s-1"},
        ),
        ("risk_metrics", tail | {"trading_time": noon}),
        ("risk_metrics", tail | {"trading_time": noon + 10**9}),
        ("snapshot", snapshot | {"trading_time": noon + 10**9}),
        ("run_started", {"run_id": "second"}),
        ("risk_metrics", {"trading_time": noon, "scope": "tech", "tail_unknown": "SPY: 3 of 60 days"}),
        ("adjustment", split | {"time": noon + 1, "price": None, "new_symbol": "APLE"}),
    ):
        seq, text = len(entries) + 1, canonical(body)
        digest = chain_hash(head, seq, noon, kind, text)
        entries.append((seq, noon, kind, text, head, digest))
        head = digest
    return entries


def test_what_the_projector_has_passed_is_there_again_after_down_and_up(url: str) -> None:
    database = Database(url)
    database.upgrade()
    Projector(database, "j", "before").project(told())
    before = checksums(database)
    with database.session() as session:
        assert session.scalar(text("SELECT count(*) FROM adjustments WHERE run_id = 'second'")) == 1
        assert session.scalar(text("SELECT count(*) FROM risk_metrics WHERE tail_returns = 250")) == 1
    for revision in ("0005", "0004", "0003"):
        database.downgrade(revision)
        database.upgrade()
        assert checksums(database) == before
    assert not any(finding.problem for finding in check(database))
    database.close()


def test_aggregates_that_a_downgrade_took_are_made_again_by_a_refresh(database: Database) -> None:
    bar = {
        "symbol": "A",
        "ts": 0,
        "open": 1.0,
        "high": 1.0,
        "low": 1.0,
        "close": 1.0,
        "volume": 5.0,
        "known_at": 0,
    }
    with database.session() as session:
        session.execute(insert(MinuteBarRow), [bar | {"ts": n * 60 * 10**9} for n in range(7)])
    refresh(database)
    database.downgrade("0004")
    database.upgrade()
    if not status(database).edition.is_community:
        assert status(database).pending == 1
    refresh(database)
    with database.session() as session:
        assert session.execute(text("SELECT bars FROM bars_5m ORDER BY ts")).scalars().all() == [5, 2]
    assert not any(finding.problem for finding in check(database))


def test_a_downgrade_removes_just_the_rows_that_it_names(url: str) -> None:
    database = Database(url)
    database.upgrade()
    fill_all(database)
    held = dict.fromkeys(Base.metadata.tables, 2)
    for revision in (*known_revisions()[-2::-1], "base"):
        named = database.losses(revision)
        database.downgrade(revision)
        with database.engine.connect() as connection:
            names = sorted(tables_of(database))
            counts = {name: connection.scalar(text(f"SELECT count(*) FROM {name}")) for name in names}  # noqa: S608
        left = {name: count for name, count in counts.items() if count}
        assert named == {name: count for name, count in held.items() if name not in left}
        held = left
    assert held == {}
    assert database.losses("base") == {}
    database.close()


def fill_all(database: Database) -> None:
    """Put two rows into every table."""
    plain = {Money: Decimal("-0.10"), UtcTime: 4 * 10**18, Date: dt.date(2096, 1, 2), JSON: {}, Boolean: True}
    with database.session() as session:
        for table in Base.metadata.sorted_tables:
            for n in (1, 2):
                row = {
                    column.name: next(
                        (value for kind, value in plain.items() if isinstance(column.type, kind)),
                        n if isinstance(column.type, Integer | Double) else f"{n}",
                    )
                    for column in table.columns
                }
                session.execute(table.insert().values(row))


def test_on_timescaledb_every_time_series_is_a_hypertable_partitioned_by_its_time(timescale_url: str) -> None:
    database = Database(timescale_url)
    database.upgrade()
    query = text(
        "SELECT hypertable_name, column_name FROM timescaledb_information.dimensions "
        "WHERE hypertable_schema = current_schema() "
        "AND (hypertable_name NOT LIKE 'bars\\_%' OR hypertable_name = 'bars_1m')"
    )
    with database.connection() as connection:
        found = {row[0]: row[1] for row in connection.execute(query)}
    database.close()
    assert found == {name: series.time for name, series in all_series().items()}
    assert {"orders", "fills", "position_history", "audit_events", "bars_1m"} <= found.keys()


def test_rows_that_were_there_before_the_extension_move_into_the_hypertable(
    timescale_server: LocalServer, timescale_url: str
) -> None:
    database = Database(timescale_url)
    with database.connection() as connection:
        connection.execute(text("DROP EXTENSION timescaledb"))
    database.close()
    database.upgrade()
    with database.connection() as connection:
        row = "INSERT INTO bars_1m VALUES ('A', '2024-01-02 14:30Z', 1, 1, 1, 1, 5, now())"
        connection.execute(text(row))
        assert "CREATE EXTENSION" in status(database).features[0].why
    database.close()
    with psycopg.connect(timescale_url.replace("+psycopg", ""), autocommit=True) as bare:
        bare.execute("CREATE EXTENSION timescaledb")
    database.upgrade()
    with database.connection() as connection:
        assert connection.scalar(text("SELECT count(*) FROM bars_1m")) == 1
        assert connection.scalar(text("SELECT count(*) FROM show_chunks('bars_1m')")) == 1
    database.close()


@pytest.mark.parametrize("server", ["postgres", "timescale"])
def test_a_migration_whose_connection_dies_half_way_leaves_nothing_and_the_same_call_finishes_it(
    request: pytest.FixtureRequest, server: str
) -> None:
    if not request.getfixturevalue(f"{server}_server").whole:
        pytest.skip("needs a server with sessions side by side")
    url = str(request.getfixturevalue(f"{server}_url"))
    database = Database(url)

    def cut(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if "CREATE TABLE order_events" in statement:
            pid = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
            with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    event.listen(database.engine, "before_cursor_execute", cut)
    with pytest.raises(DatabaseUnavailableError):
        database.upgrade()
    event.remove(database.engine, "before_cursor_execute", cut)
    assert database.revision() is None
    assert tables_of(database) == set()
    database.upgrade()
    assert database.revision() == newest_revision()
    database.close()


KILLED = """
import os, sys
from sqlalchemy import event
from data.database import Database
database = Database(sys.argv[1])
def die(connection, cursor, statement, *rest):
    if "CREATE TABLE order_events" in statement:
        os.kill(os.getpid(), 9)
event.listen(database.engine, "before_cursor_execute", die)
database.upgrade()
"""


def test_a_process_killed_half_way_through_a_migration_leaves_the_file_as_it_was(
    sqlite_url: str, root: Path
) -> None:
    database = Database(sqlite_url)
    database.upgrade("0001")
    before = tables_of(database)
    done = subprocess.run([sys.executable, "-c", KILLED, sqlite_url], cwd=root, check=False)
    assert done.returncode == -9
    assert database.revision() == "0001"
    assert tables_of(database) == before
    database.upgrade()
    assert not any(finding.problem for finding in check(database))
    database.close()


@pytest.mark.parametrize("free", [0, 200_000, 600_000])
def test_a_disk_that_fills_up_in_a_migration_leaves_nothing_and_the_same_call_finishes_it(
    cramped: tuple[str, Path], leave: Callable[[Path, int], None], free: int
) -> None:
    url, disk = cramped
    database = Database(url)
    leave(disk, free if not url.startswith("sqlite") else free // 4)
    with pytest.raises(DatabaseUnavailableError, match=r"free (it|the disk) and run the same command again"):
        database.upgrade()
    leave(disk, 2**40)
    assert database.revision() in (None, newest_revision())  # on a server more is made after the tables
    assert tables_of(database) == set() or database.revision() == newest_revision()
    database.upgrade()
    assert not any(finding.problem for finding in check(database))
    database.close()


def test_tables_of_a_newer_program_are_named_and_left_alone(database: Database) -> None:
    with database.connection() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert status(database).state == "newer"
    assert "newer program" in check(database)[0].problem
    with pytest.raises(DatabaseUnavailableError, match="another version of this program"):
        database.upgrade()
    assert database.revision() == "9999"


def test_a_revision_that_is_not_below_is_refused(file_database: Database) -> None:
    with pytest.raises(SchemaError, match="choose one of base, 0001"):
        file_database.downgrade("0009")


def test_check_names_a_column_that_is_not_in_the_models(database: Database) -> None:
    with database.connection() as connection:
        connection.execute(text("ALTER TABLE runs ADD COLUMN surprise INTEGER"))
    assert "surprise" in check(database)[0].problem


def test_a_server_that_stops_is_named_and_used_again_when_it_is_back(
    local_timescale_server: LocalServer,
) -> None:
    database = Database(local_timescale_server.create_database("stopping"))
    database.upgrade()
    local_timescale_server.crash()
    with pytest.raises(DatabaseUnavailableError):
        status(database)
    local_timescale_server.start()
    assert status(database).state == "current"
    database.close()
    local_timescale_server.drop_database("stopping")
