"""The database's store when the server goes away, refuses, or another program writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa

from data.database import Database
from data.errors import BarStoreError, DatabaseUnavailableError, ServerNotInstalledError
from data.stores import DatabaseBarStore, WriteReport, postgres
from data.stores.checked import checked_rows
from data.stores.copy_binary import HEADER, TRAILER, encoded
from data.testing import LocalServer, local_server
from execution.timeframes import Timeframe

Minutes = Callable[..., pa.Table]
MINUTE = Timeframe.MINUTE
MONDAY = pd.Timestamp("2024-03-11", tz="UTC")
TUESDAY = pd.Timestamp("2024-03-12", tz="UTC")


@pytest.fixture
def store(postgres_database: Database) -> Iterator[DatabaseBarStore]:
    with postgres_database.engine.begin() as connection:
        connection.execute(sa.text("TRUNCATE bars_1m, bar_revisions, bar_changes"))
    opened = DatabaseBarStore(postgres_database)
    yield opened
    opened.close()


def test_the_binary_stream_is_what_the_manual_says(minutes: Minutes) -> None:
    _, rows = checked_rows(minutes({"AB": {0: 10.0}}), MONDAY)
    head, body, tail = (bytes(part) for part in encoded(rows, ["start", "close"], "1D"))
    assert (head, tail) == (HEADER, TRAILER)
    start = (pd.Timestamp("2024-03-04 14:30") - pd.Timestamp("2000-01-01")) // pd.Timedelta(microseconds=1)
    assert body == (
        b"\0\x04\0\0\0\x02AB\0\0\0\x021D\0\0\0\x08"
        + start.to_bytes(8, "big")
        + b"\0\0\0\x08\x40\x24\0\0\0\0\0\0"
    )


def test_many_rows_cross_the_encoder_s_blocks(store: DatabaseBarStore, minutes: Minutes) -> None:
    bars = minutes({s: {n: 1.0 + n for n in range(5_000)} for s in ("AAA", "LONGER NAME")})
    assert store.write(bars, known_at=MONDAY) == WriteReport(10_000, 0, 0)
    table = store.read(None, MINUTE).to_arrow()
    assert table["close"].to_pylist() == [1.0 + n for n in range(5_000)] * 2


def test_rows_that_lie_in_no_order_come_back_sorted(
    store: DatabaseBarStore, postgres_database: Database, minutes: Minutes
) -> None:
    store.write(minutes({s: {n: 1.0 + n for n in range(300)} for s in ("B", "A", "C")}), known_at=MONDAY)
    with postgres_database.engine.begin() as connection:
        rows = connection.execute(sa.text("SELECT * FROM bars_1m ORDER BY md5(ts::text || symbol)")).all()
        connection.execute(sa.text("TRUNCATE bars_1m"))
        insert = sa.text("INSERT INTO bars_1m VALUES (:a, :b, :c, :d, :e, :f, :g, :h)")
        connection.execute(insert, [dict(zip("abcdefgh", row, strict=True)) for row in rows])
    frame = store.read(None, MINUTE).to_pandas()
    assert frame["symbol"].astype(str).tolist() == ["A"] * 300 + ["B"] * 300 + ["C"] * 300
    assert frame["close"].tolist() == [1.0 + n for n in range(300)] * 3


def test_changed_minutes_are_noted_for_the_aggregates(
    store: DatabaseBarStore, postgres_database: Database, minutes: Minutes
) -> None:
    store.write(minutes({"AAA": {0: 1.0, 7: 2.0}, "BBB": {3: 1.0}}), known_at=MONDAY)
    store.write(minutes({"AAA": {0: 1.0, 7: 3.0}}), known_at=TUESDAY)
    with postgres_database.engine.connect() as connection:
        noted = connection.execute(
            sa.text("SELECT symbol, first_ts, last_ts FROM bar_changes ORDER BY change_id")
        ).all()
    at = {n: pd.Timestamp("2024-03-04 14:30", tz="UTC") + pd.Timedelta(minutes=n) for n in (0, 3, 7)}
    assert [tuple(row) for row in noted] == [
        ("AAA", at[0], at[7]), ("BBB", at[3], at[3]), ("AAA", at[7], at[7]),
    ]  # fmt: skip


def test_two_writers_of_one_bar_follow_each_other(
    store: DatabaseBarStore, postgres_database: Database, minutes: Minutes
) -> None:
    other = DatabaseBarStore(postgres_database)
    reports: list[WriteReport] = []
    bars = minutes({"AAA": dict.fromkeys(range(2_000), 1.0)})

    def write(which: DatabaseBarStore) -> None:
        reports.append(which.write(bars, known_at=MONDAY))

    threads = [threading.Thread(target=write, args=(which,)) for which in (store, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert sorted((r.inserted, r.unchanged) for r in reports) == [(0, 2_000), (2_000, 0)]


def test_a_row_changed_by_another_program_is_no_silent_loss(
    store: DatabaseBarStore, postgres_database: Database, minutes: Minutes, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(minutes({"AAA": {0: 1.0}}), known_at=MONDAY)
    stage = postgres.PostgresWrite._stage

    def removed_meanwhile(self: postgres.PostgresWrite, cursor: object, *rest: object) -> None:
        self._connection.execute("DELETE FROM bars_1m")
        stage(self, cursor, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(postgres.PostgresWrite, "_stage", removed_meanwhile)
    with pytest.raises(BarStoreError, match="another program changes the table"):
        store.write(minutes({"AAA": {0: 2.0}}), known_at=TUESDAY)
    assert store.read("AAA", MINUTE).to_pandas()["close"].tolist() == [1.0]


def test_missing_tables_name_the_command_that_makes_them(
    postgres_server: LocalServer, tmp_path: Path, minutes: Minutes
) -> None:
    for url in (postgres_server.create_database("no_tables"), f"sqlite:///{tmp_path}/none.db"):
        database = Database(url)
        bare = DatabaseBarStore(database)
        for ask in (
            lambda store=bare: store.read("AAA", MINUTE).to_arrow(),
            bare.symbols,
            lambda store=bare: store.write(minutes({"AAA": {0: 1.0}}), known_at=MONDAY),
        ):
            with pytest.raises(BarStoreError, match="migrate it first: trade db upgrade"):
                ask()
        bare.close()
        database.close()
    postgres_server.drop_database("no_tables")


@pytest.fixture
def server(postgres_server: LocalServer) -> Iterator[LocalServer]:
    """A server of its own, to be crashed."""
    try:
        with local_server(programs=postgres_server.programs, settings={"synchronous_commit": "on"}) as own:
            yield own
    except ServerNotInstalledError as error:
        pytest.skip(str(error))


def test_a_server_that_goes_away_in_the_middle_of_a_copy_keeps_nothing_and_the_same_write_finishes_later(
    server: LocalServer, minutes: Minutes, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(server.create_database("crashing"))
    database.upgrade()
    store = DatabaseBarStore(database)
    store.write(minutes({"AAA": {0: 1.0}}), known_at=MONDAY)
    bars = minutes({f"S{n}": dict.fromkeys(range(3_000), 2.0) for n in range(6)})

    def crashing(*arguments: object) -> Iterator[object]:
        for number, block in enumerate(encoded(*arguments)):  # type: ignore[arg-type]
            if number == 4:
                server.crash()
            yield block

    with monkeypatch.context() as patch:
        patch.setattr(postgres, "encoded", crashing)
        with pytest.raises(DatabaseUnavailableError, match="nothing was written: when the server answers"):
            store.write(bars, known_at=MONDAY)
    with pytest.raises(DatabaseUnavailableError, match="run the same command"):
        store.read("AAA", MINUTE).to_arrow()
    server.start()
    # The connection for reading died with the server; it is made anew.
    assert store.read(None, MINUTE).to_arrow().num_rows == 1
    assert store.write(bars, known_at=MONDAY) == WriteReport(18_000, 0, 0)
    assert store.read(None, MINUTE).to_arrow().num_rows == 18_001
    server.crash()
    server.start()
    assert store.read(None, MINUTE).to_arrow().num_rows == 18_001
    store.close()
    database.close()


def test_a_locked_sqlite_file_is_told(tmp_path: Path, minutes: Minutes) -> None:
    database = Database(f"sqlite:///{tmp_path}/bars.db")
    database.upgrade()
    sa.event.listen(database.engine, "connect", lambda dbapi, _: dbapi.execute("PRAGMA busy_timeout=10"))
    store = DatabaseBarStore(database)
    assert "bars.db" in repr(store)
    with database.engine.connect() as other:
        other.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailableError, match="locked; nothing was written"):
            store.write(minutes({"AAA": {0: 1.0}}), known_at=MONDAY)
    assert store.write(minutes({"AAA": {0: 1.0}}), known_at=MONDAY) == WriteReport(1, 0, 0)
    database.close()
