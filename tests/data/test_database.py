"""The database: exact money, migrations equal to the models, and clear refusals."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from data.database import Database
from data.errors import DatabaseUnavailableError
from data.repositories import Repository
from data.schema import AccountSnapshotRow, Money


def test_upgrading_again_changes_nothing_and_the_journal_mode_is_wal(file_database: Database) -> None:
    file_database.upgrade()
    with file_database.session() as session:
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=10, min_value=-(10**15), max_value=10**15))
def test_money_and_time_round_trip_exactly(database: Database, amount: Decimal) -> None:
    moment = pd.Timestamp("2020-01-02 21:00:00.000001", tz="UTC")
    row = AccountSnapshotRow(
        run_id="r",
        timestamp=moment,
        cash=amount,
        equity=amount,
        unrealized_pnl=amount,
        realized_pnl=amount,
        fees=amount,
        gross_exposure=amount,
    )
    with database.session() as session:
        session.merge(row)
    with database.session() as session:
        stored = session.get(AccountSnapshotRow, ("r", moment))
        assert stored is not None
        assert stored.cash == amount
        assert stored.timestamp == moment


@pytest.mark.parametrize("value", [1.5, Decimal("NaN")])
def test_money_takes_finite_decimals_only(database: Database, value: object) -> None:
    with pytest.raises(TypeError, match="not a finite Decimal"):
        Money().process_bind_param(value, database.engine.dialect)  # type: ignore[arg-type]


def test_a_block_that_raises_is_rolled_back(database: Database) -> None:
    def fail() -> None:
        with database.session() as session:
            session.execute(text("INSERT INTO projection_cursor VALUES ('j', 'r', 1, true)"))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        fail()
    with database.session() as session:
        assert session.scalar(text("SELECT count(*) FROM projection_cursor")) == 0


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("this is not a database, it is a text of some length" * 50)
    with pytest.raises(DatabaseUnavailableError, match=r"x\.db: .*not a database.*move it away"):
        Database(f"sqlite:///{tmp_path / 'x.db'}").upgrade()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseUnavailableError, match="folder cannot be made"):
        Database(f"sqlite:///{tmp_path / 'file' / 'x.db'}").upgrade()


def test_a_directory_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match="unable to open"):
        Database(f"sqlite:///{tmp_path}").upgrade()


def test_missing_tables_name_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match="migrate it first"):
        Repository(Database(f"sqlite:///{tmp_path / 'x.db'}")).orders("r")


def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    with database.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseUnavailableError, match="another version of this program"):
        database.upgrade()


WITH_PASSWORD = "mysql://u:hunter2@h/d"  # pragma: allowlist secret


@pytest.mark.parametrize("url", ["nonsense", WITH_PASSWORD, "sqlite+aiosqlite:///x.db"])
def test_other_urls_are_refused_without_their_password(url: str) -> None:
    with pytest.raises(DatabaseUnavailableError) as caught:
        Database(url)
    assert "hunter2" not in str(caught.value)


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    database = Database("postgresql+psycopg://trader:hunter2@127.0.0.1:1/desk")
    with pytest.raises(DatabaseUnavailableError, match="whether the server runs") as caught:
        database.upgrade()
    assert "hunter2" not in str(caught.value) + repr(database)


@pytest.mark.parametrize(
    ("setting", "statement", "remedy"),
    [("statement_timeout = 50", "SELECT pg_sleep(5)", "statement_timeout"),
     ("default_transaction_read_only = on", "CREATE TABLE t (n INTEGER)", "read-only")],
)  # fmt: skip
def test_a_server_that_cancels_or_only_reads_is_named_with_what_to_do(
    postgres_url: str, setting: str, statement: str, remedy: str
) -> None:
    database = Database(postgres_url)
    with database.connection() as connection:
        connection.execute(text(f"ALTER ROLE CURRENT_USER IN DATABASE {database.url.database} SET {setting}"))
    database.close()
    with pytest.raises(DatabaseUnavailableError, match=remedy), database.connection() as connection:
        connection.execute(text(statement))
    database.close()
