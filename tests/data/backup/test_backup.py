"""Backups: from any server onto any other, equal to the last digit, whole or not at all."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import insert, text

from data.aggregation import refresh
from data.backup import backup, checksums, restore, rows_to_do
from data.backup.writing import MANIFEST, count_rows, written
from data.database import Database
from data.errors import BackupError, DatabaseUnavailableError, SchemaError
from data.inspection import check
from data.reference.instruments import register
from data.schema import (
    AccountSnapshotRow,
    AuditEventRow,
    Base,
    FundamentalRow,
    MinuteBarRow,
    OrderEventRow,
    SignalRow,
)
from data.schema.aggregates import Span, mark_changed
from execution.models import Instrument

LARGE_ROWS = 400
MOMENT = pd.Timestamp("2024-01-02 14:30:00.123456", tz="UTC")


def fill(database: Database) -> None:
    """Put rows of every kind of value into a database."""
    register(database, [Instrument("SPY"), Instrument("ES Z6", security_type="FUT", expiry="20261218")])
    money = dict.fromkeys(
        ("cash", "equity", "unrealized_pnl", "realized_pnl", "fees", "gross_exposure"), Decimal("-0.10")
    )
    body = {"b": [1, 2.5, None], "a": "ü", "n": {"z": True}}
    event = {"client_order_id": "c", "kind": "fill", "body": body, "old_status": None, "new_status": "FILLED"}
    signal = {"signal_id": "s", "strategy": "ma", "symbol": "SPY", "direction": "LONG", "strength": 0.1 + 0.2,
              "target": Decimal("100.000"), "features": body}  # fmt: skip
    audit = {"journal_id": "j", "seq": 1, "recorded_at": MOMENT, "time_ns": MOMENT.value + 7, "kind": "x",
             "client_order_id": None, "body": '{"a":1}', "prev_hash": "0", "hash": "1"}  # fmt: skip
    figure = {"symbol": "AAPL", "item": "eps", "period_end": MOMENT.date(), "known_at": MOMENT,
              "value": Decimal("1.50"), "currency": None, "source": "file"}  # fmt: skip
    first = MOMENT.floor("min").value
    bars = [
        {"symbol": symbol, "ts": first + n * 60_000_000_000, "open": 1.1, "high": 1 / 3,
         "low": 0.0, "close": 1e-9, "volume": float(n), "known_at": MOMENT}
        for symbol in ("SPY", "spy", "Z-1") for n in range(100)
    ]  # fmt: skip
    with database.session() as session:
        session.execute(
            insert(AccountSnapshotRow),
            [{"run_id": "r", "timestamp": MOMENT + pd.Timedelta(seconds=n)} | money for n in range(3)],
        )
        session.execute(insert(OrderEventRow), [{"run_id": "r", "seq": 1, "timestamp": MOMENT} | event])
        session.execute(insert(SignalRow), [{"run_id": "r", "seq": 2, "timestamp": MOMENT} | signal])
        session.execute(insert(AuditEventRow), [audit])
        session.execute(insert(FundamentalRow), [figure])
        session.execute(insert(MinuteBarRow), bars)
        last = first + 99 * 60_000_000_000
        mark_changed(session.connection(), [Span(symbol, first, last) for symbol in ("SPY", "spy", "Z-1")])


def aggregates_of(database: Database) -> dict[str, list[list[Any]]]:
    """Return the bars of every size that are made from minutes, as plain values, in order."""
    found = {}
    with database.connection() as connection:
        lite = connection.dialect.name == "sqlite"
        for name in ("bars_5m", "bars_15m", "bars_1h", "bars_1d"):
            moments = ["ts", "ends_at"] if name == "bars_1d" else ["ts"]
            fields = [one if lite else f"extract(epoch FROM {one})::bigint * 1000000000" for one in moments]
            query = f"SELECT symbol, {', '.join(fields)}, open, high, low, close, volume, bars FROM {name}"  # noqa: S608
            rows = connection.execute(text(query))
            found[name] = sorted([row[0], *map(float, row[1:])] for row in rows)
    return found


@pytest.mark.parametrize(
    ("source", "target"),
    [("sqlite", "timescale"), ("timescale", "postgres"), ("postgres", "sqlite"), ("timescale", "timescale")],
)
def test_a_backup_restored_elsewhere_is_equal(
    request: pytest.FixtureRequest, tmp_path: Path, source: str, target: str
) -> None:
    url = str(request.getfixturevalue(f"{source}_url"))
    first = Database(url)
    first.upgrade()
    fill(first)
    refresh(first)
    before, bars = checksums(first), aggregates_of(first)
    assert {name: len(rows) for name, rows in bars.items()} == {
        "bars_5m": 60, "bars_15m": 21, "bars_1h": 9, "bars_1d": 1,
    }  # fmt: skip
    manifest = backup(first, tmp_path / "kept")
    assert sum(told["rows"] for told in manifest["tables"].values()) == count_rows(first)
    assert {name: told["sha256"] for name, told in manifest["tables"].items()} == before
    assert manifest["tables"]["bars_1m"]["rows"] == 300
    first.close()
    other = f"sqlite:///{tmp_path / 'other.db'}"
    if target != "sqlite":
        server = request.getfixturevalue(f"{target}_server")
        other = server.create_database("elsewhere")
    second = Database(other)
    told: list[int] = []
    restore(second, tmp_path / "kept", lambda _what, rows: told.append(rows))
    assert sum(told) == rows_to_do(manifest)
    assert checksums(second) == before
    assert aggregates_of(second) == bars
    assert [finding.problem for finding in check(second) if finding.what == "aggregates"] == [""]
    with second.session() as session:
        mark_changed(session.connection(), [Span("SPY", 1000, 1000)])  # its number does not collide
    second.close()


def test_a_checksum_sees_one_digit(database: Database) -> None:
    fill(database)
    before = checksums(database)
    with database.session() as session:
        row = session.get(FundamentalRow, ("AAPL", "eps", MOMENT.date(), MOMENT))
        assert row is not None
        row.value = Decimal("1.51")
    after = checksums(database)
    assert {name for name in before if before[name] != after[name]} == {"fundamentals"}
    assert before.keys() == Base.metadata.tables.keys()


def test_a_damaged_backup_is_refused_and_leaves_the_database_empty(
    file_database: Database, url: str, tmp_path: Path
) -> None:
    fill(file_database)
    backup(file_database, tmp_path / "kept")
    manifest = json.loads((tmp_path / "kept" / MANIFEST).read_text())
    manifest["tables"]["signals"]["sha256"] = "0"
    (tmp_path / "kept" / MANIFEST).write_bytes(written(manifest))
    target = Database(url if not url.startswith("sqlite") else f"sqlite:///{tmp_path / 'target.db'}")
    empty = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    empty.upgrade()
    with pytest.raises(BackupError, match="signals does not read back"):
        restore(target, tmp_path / "kept")
    assert checksums(target) == checksums(empty)
    file = tmp_path / "kept" / "bars_1m.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BackupError, match=r"bars_1m\.parquet is not as it was written; nothing was touched"):
        restore(target, tmp_path / "kept")
    assert checksums(target) == checksums(empty)
    target.close()
    empty.close()


def test_a_backup_is_not_restored_over_rows_nor_written_over_a_folder(
    file_database: Database, tmp_path: Path
) -> None:
    backup(file_database, tmp_path / "before")
    fill(file_database)
    backup(file_database, tmp_path / "kept")
    with pytest.raises(BackupError, match="holds rows"):
        restore(file_database, tmp_path / "before")
    with pytest.raises(BackupError, match="it exists"):
        backup(file_database, tmp_path / "kept")


def test_a_restore_that_was_stopped_before_the_aggregates_is_finished_by_the_same_call(
    file_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(file_database)
    backup(file_database, tmp_path / "kept")
    refresh(file_database)
    target = Database(f"sqlite:///{tmp_path / 'target.db'}")

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("data.backup.reading.refresh", stopped)
        with pytest.raises(KeyboardInterrupt):
            restore(target, tmp_path / "kept")
    assert aggregates_of(target)["bars_1d"] == []
    restore(target, tmp_path / "kept")
    assert aggregates_of(target) == aggregates_of(file_database)
    assert checksums(target) == checksums(file_database)
    restore(target, tmp_path / "kept")
    assert checksums(target) == checksums(file_database)
    register(target, [Instrument("QQQ")])
    with pytest.raises(BackupError, match="not the backup's"):
        restore(target, tmp_path / "kept")
    target.close()


def test_half_a_backup_and_one_of_a_newer_program_are_refused(
    file_database: Database, tmp_path: Path
) -> None:
    backup(file_database, tmp_path / "kept")
    manifest = json.loads((tmp_path / "kept" / MANIFEST).read_text())
    (tmp_path / "kept" / MANIFEST).write_bytes(written(manifest | {"revision": "9999"}))
    with pytest.raises(SchemaError, match="newer version"):
        restore(file_database, tmp_path / "kept")
    (tmp_path / "kept" / MANIFEST).unlink()
    with pytest.raises(BackupError, match="not a whole backup"):
        restore(file_database, tmp_path / "kept")


def test_a_backup_into_a_folder_that_cannot_be_made_leaves_nothing(
    file_database: Database, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BackupError, match="nothing was kept"):
        backup(file_database, tmp_path / "file" / "kept")
    backup(file_database, tmp_path / "kept")
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".part") == []
    shutil.rmtree(tmp_path / "kept")


def many(database: Database) -> None:
    """Put rows into a database, few but large, so that they take megabytes, in a backup too."""
    noise = base64.b64encode(np.random.default_rng(7).bytes(3 << 20)).decode()
    each = len(noise) // LARGE_ROWS
    rows = [
        {"journal_id": "j", "seq": n + 1, "recorded_at": MOMENT, "time_ns": MOMENT.value, "kind": "x",
         "client_order_id": None, "body": noise[n * each : (n + 1) * each], "prev_hash": "0", "hash": "1"}
        for n in range(LARGE_ROWS)
    ]  # fmt: skip
    with database.session() as session:
        session.execute(insert(AuditEventRow), rows)


@pytest.mark.parametrize("cramped", ["sqlite"], indirect=True)
def test_a_disk_that_fills_up_in_a_backup_keeps_nothing_and_the_same_call_finishes_it(
    file_database: Database, cramped: tuple[str, Path], leave: Callable[[Path, int], None]
) -> None:
    _, disk = cramped
    many(file_database)
    for free in (0, 600_000):
        leave(disk, free)
        with pytest.raises(BackupError, match=r"the disk is full: free some space.*nothing was kept"):
            backup(file_database, disk / "kept")
        assert [path.name for path in disk.iterdir()] == ["ballast"]
    leave(disk, 2**40)
    manifest = backup(file_database, disk / "kept")
    assert manifest["tables"]["audit_events"]["rows"] == LARGE_ROWS


@pytest.mark.parametrize("before", ["nothing", "tables"])
def test_a_disk_that_fills_up_in_a_restore_leaves_the_database_empty_and_the_same_call_finishes_it(
    file_database: Database,
    cramped: tuple[str, Path],
    leave: Callable[[Path, int], None],
    tmp_path: Path,
    before: str,
) -> None:
    url, disk = cramped
    empty = checksums(file_database)
    many(file_database)
    backup(file_database, tmp_path / "kept")
    target = Database(url)
    if before == "tables":
        target.upgrade()
    leave(disk, {"nothing": 200_000, "tables": 2_000_000}[before] // (8 if url.startswith("sqlite") else 1))
    with pytest.raises(DatabaseUnavailableError, match=r"free (it|the disk) and run the same command again"):
        restore(target, tmp_path / "kept")
    leave(disk, 2**40)
    assert target.revision() is None or checksums(target) == empty
    restore(target, tmp_path / "kept")
    assert checksums(target) == checksums(file_database)
    target.close()


def test_tables_of_another_revision_are_not_backed_up(sqlite_url: str, tmp_path: Path) -> None:
    database = Database(sqlite_url)
    database.upgrade("0001")
    with pytest.raises(SchemaError, match="run trade db upgrade"):
        backup(database, tmp_path / "kept")
    database.close()


@pytest.mark.parametrize("spoil", ["table", "column", "place", "foreign"])
def test_a_backup_cannot_smuggle_a_statement_in_as_a_name(
    file_database: Database, tmp_path: Path, spoil: str
) -> None:
    backup(file_database, tmp_path / "kept")
    manifest = json.loads((tmp_path / "kept" / MANIFEST).read_text())
    if spoil == "table":
        manifest["tables"]['fills"; DROP TABLE fills; --'] = manifest["tables"]["fills"]
    elif spoil == "place":
        manifest["tables"]["../fills"] = manifest["tables"]["fills"]
    elif spoil == "foreign":
        manifest["tables"]["alembic_version"] = manifest["tables"]["fills"]
    else:
        manifest["tables"]["fills"]["columns"][0]["name"] = 'x") SELECT 1; DROP TABLE fills; --'
    (tmp_path / "kept" / MANIFEST).write_bytes(written(manifest))
    target = Database(f"sqlite:///{tmp_path / 'target.db'}")
    with pytest.raises(BackupError, match=r"no name of a table or column|no table of this"):
        restore(target, tmp_path / "kept")
    assert target.revision() is None


def test_a_backup_is_its_owners_alone(file_database: Database, tmp_path: Path) -> None:
    fill(file_database)
    before = os.umask(0)
    try:
        backup(file_database, tmp_path / "kept")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "kept").iterdir()} == {0o600}


def test_a_bit_that_fell_over_anywhere_is_seen_before_anything_is_touched(
    file_database: Database, tmp_path: Path
) -> None:
    fill(file_database)
    refresh(file_database)
    backup(file_database, tmp_path / "kept")
    target = Database(f"sqlite:///{tmp_path / 'target.db'}")
    places = np.random.default_rng(7)
    for path in sorted((tmp_path / "kept").iterdir()):
        whole = path.read_bytes()
        for place in places.integers(0, len(whole), 20 if path.name == MANIFEST else 1):
            spoilt = bytearray(whole)
            spoilt[place] ^= 1 << int(places.integers(0, 8))
            path.write_bytes(spoilt)
            try:
                restore(target, tmp_path / "kept")
            except (BackupError, SchemaError):
                assert target.revision() is None
            else:  # a space of the manifest's, or a letter of the name of its checksum
                assert path.name == MANIFEST
                assert checksums(target) == checksums(file_database)
                target.downgrade("base")
        path.write_bytes(whole)
    restore(target, tmp_path / "kept")
    assert checksums(target) == checksums(file_database)
    target.close()


@pytest.mark.parametrize("spoil", ["[]", "5", "tables", "columns", "kind", "rows", "missing"])
def test_a_manifest_that_does_not_hang_together_is_refused(
    file_database: Database, tmp_path: Path, spoil: str
) -> None:
    backup(file_database, tmp_path / "kept")
    path = tmp_path / "kept" / MANIFEST
    manifest = json.loads(path.read_text())
    fills = manifest["tables"]["fills"]
    match spoil:
        case "tables":
            manifest["tables"] = []
        case "columns":
            fills["columns"] = {"name": 1}
        case "kind":
            fills["columns"][0]["kind"] = "picture"
        case "rows":
            fills["rows"] = "many"
        case "missing":
            del fills["sha256"]
    path.write_bytes(spoil.encode() if spoil in ("[]", "5") else written(manifest))
    with pytest.raises(BackupError, match="damaged; restore another backup"):
        restore(Database(f"sqlite:///{tmp_path / 'target.db'}"), tmp_path / "kept")
    assert not (tmp_path / "target.db").exists()


def test_a_file_that_unpacks_beyond_all_bounds_is_refused_unread(
    file_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(file_database)
    backup(file_database, tmp_path / "kept")
    monkeypatch.setattr("data.backup.reading._MOST_BYTES", 1_000)
    target = Database(f"sqlite:///{tmp_path / 'target.db'}")
    with pytest.raises(BackupError, match=r"bars_1m\.parquet unpacks to \d+ bytes at a time"):
        restore(target, tmp_path / "kept")
    assert target.revision() is None
