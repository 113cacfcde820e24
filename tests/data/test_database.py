"""The database: exact money, migrations equal to the models, and clear refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql
from sqlalchemy import URL, make_url, text

from data.aggregation import mark_everything, refresh
from data.backup import backup, checksums, restore
from data.bars import BarSeries
from data.database import Database
from data.errors import DatabaseUnavailableError
from data.inspection import check, status
from data.reference.instruments import register
from data.repositories import Repository
from data.schema import AccountSnapshotRow, Money
from data.stores import DatabaseBarStore
from data.testing import LocalServer
from execution.models import Instrument
from execution.timeframes import Timeframe


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
    "rest", ["pa@hunter2@127.0.0.1/desk", "pa@x/hunter2@127.0.0.1/desk", "hunter2@127.0.0.1:5432x/desk"]
)
def test_a_password_that_is_cut_at_its_own_at_is_refused_and_not_shown(rest: str) -> None:
    with pytest.raises(DatabaseUnavailableError, match=r"%40|cannot be read") as caught:
        Database(f"postgresql+psycopg://u:{rest}")
    assert "hunter2" not in str(caught.value)


def test_a_password_behind_the_question_mark_is_not_shown() -> None:
    url = "postgresql+psycopg://u@127.0.0.1:1/desk?password=hunter2&sslpassword=hunter3&sslmode=disable"
    database = Database(url)
    with pytest.raises(DatabaseUnavailableError) as caught:
        database.upgrade()
    assert "hunter" not in str(caught.value) + repr(database)
    assert "sslmode=disable" in str(database)


@pytest.mark.parametrize(
    ("change", "remedy"),
    [(lambda url: url.set(database="gone"), "CREATE DATABASE"),
     (lambda url: url.set(username="gone"), "correct the user and the password"),
     (lambda url: url.set(host="no.such.host.invalid"), "correct the host"),
     (lambda url: url.set(port=1), "check host and port"),
     (lambda url: url.update_query_dict({"sslmode": "verify-full"}), "sslmode and sslrootcert"),
     (lambda url: url.update_query_dict({"sslmode": "odd"}), "follows the [?]"),
     (lambda url: url.update_query_dict({"sslmod": "require"}), "sslmod.*follows the [?]")],
    ids=["database", "user", "host", "port", "tls", "value", "option"],
)  # fmt: skip
def test_what_is_wrong_with_an_address_is_named(
    postgres_url: str, change: Callable[[URL], URL], remedy: str
) -> None:
    url = change(make_url(postgres_url).set(password="hunter2"))
    database = Database(url.render_as_string(hide_password=False))
    with pytest.raises(DatabaseUnavailableError, match=remedy) as caught:
        database.upgrade()
    assert "hunter2" not in str(caught.value)
    database.close()


def test_a_password_that_the_server_does_not_take_is_named(postgres_server: LocalServer) -> None:
    rules = postgres_server.data / "pg_hba.conf"
    before = rules.read_text()
    first = "host all locked 127.0.0.1/32 scram-sha-256\nhost all shut 127.0.0.1/32 reject\n"
    name = postgres_server.create_database("locked")
    with psycopg.connect(postgres_server.conninfo(), autocommit=True) as connection:
        for role in ("locked", "shut"):
            connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'right @:/?'")
        rules.write_text(first + before)
        connection.execute("SELECT pg_reload_conf()")
        try:
            for user, password, said in (
                ("locked", "hunter2", "correct the user and the password"),
                ("locked", None, "correct the user and the password"),
                ("shut", "hunter2", "pg_hba.conf"),
            ):
                database = Database(
                    make_url(name).set(username=user, password=password).render_as_string(False)
                )
                with pytest.raises(DatabaseUnavailableError, match=said) as caught:
                    database.revision()
                assert "hunter2" not in str(caught.value)
            url = make_url(name).set(username="locked", password="right @:/?")
            right = Database(url.render_as_string(hide_password=False))
            assert right.revision() is None
            with psycopg.connect(right.conninfo()) as bare:
                assert bare.info.user == "locked"
            right.close()
        finally:
            rules.write_text(before)
            connection.execute("SELECT pg_reload_conf()")
            postgres_server.drop_database("locked")
            connection.execute("DROP ROLE locked, shut")


def test_tables_that_something_else_made_are_named_and_left_alone(url: str) -> None:
    database = Database(url)
    database._make_folder()
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE fills (what TEXT)"))
        connection.execute(text("INSERT INTO fills VALUES ('theirs')"))
    with pytest.raises(DatabaseUnavailableError, match=r"fills.* something else made it"):
        database.upgrade()
    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT what FROM fills")).all() == [("theirs",)]
        assert connection.dialect.get_table_names(connection) == ["fills"]
    database.close()


def test_a_file_whose_pages_are_damaged_is_named(file_database: Database) -> None:
    with file_database.engine.connect() as connection:
        connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    file_database.close()
    path = Path(str(file_database.url.database))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(DatabaseUnavailableError, match="restore a backup"):
        Repository(file_database).runs()


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


ODD = """Desk "1"'s Ü"""


@pytest.fixture(params=["postgres", "timescale"])
def odd_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """URL of a database, a schema and a user with odd names, on a server far from UTC with odd formats."""
    server: LocalServer = request.getfixturevalue(f"{request.param}_server")
    server.create_database(ODD)
    name = sql.Identifier(ODD)
    with psycopg.connect(server.conninfo(ODD), autocommit=True) as connection:
        for statement in (
            "CREATE ROLE {} LOGIN", "CREATE SCHEMA {} AUTHORIZATION {}",
            "ALTER DATABASE {} SET TimeZone = 'America/New_York'",
            "ALTER DATABASE {} SET DateStyle = 'German'", "ALTER DATABASE {} SET extra_float_digits = -5",
            "ALTER ROLE {} SET search_path = {}, public",
        ):  # fmt: skip
            connection.execute(sql.SQL(statement.replace("{}", "{0}")).format(name))
    yield server.url(ODD, ODD)
    server.drop_database(ODD)
    with psycopg.connect(server.conninfo(), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP ROLE {}").format(name))


def load(database: Database) -> None:
    """Put bars of the sessions before and after New York changed its clocks."""
    start = pd.Timestamp("2024-03-08 14:30", tz="UTC").value
    minutes = np.concatenate([start + d * 86_400 * 10**9 + np.arange(390) * 60 * 10**9 for d in (0, 3)])
    price = 100 + np.arange(len(minutes)) / 3
    ends = minutes + 60 * 10**9
    series = BarSeries("SPY", Timeframe.MINUTE, minutes, ends, price, price, price, price, price)
    register(database, [Instrument("SPY")])
    with closing(DatabaseBarStore(database)) as store:
        store.write({"SPY": series}, known_at=pd.Timestamp("2024-03-20", tz="UTC"))
        assert store.read("SPY", Timeframe.MINUTE).to_arrow().num_rows == len(minutes)
    refresh(database, pd.Timestamp("2024-03-21", tz="UTC"))


def test_names_formats_and_the_time_zone_of_a_server_change_nothing(
    odd_url: str, file_database: Database, tmp_path: Path
) -> None:
    database = Database(odd_url)
    database.upgrade()
    assert not any(finding.problem for finding in check(database))
    assert not any("trade db upgrade" in feature.why for feature in status(database).features)
    for target in (database, file_database):
        load(target)
    assert checksums(database) == checksums(file_database)
    days = "SELECT session_date, open, high, low, close, volume, bars FROM bars_1d ORDER BY ts"
    answers = []
    for target in (database, file_database):
        with target.connection() as connection:
            answers.append([(str(row[0]), *row[1:]) for row in connection.execute(text(days))])
    assert answers[0] == answers[1]
    assert [row[0] for row in answers[0]] == ["2024-03-08", "2024-03-11"]
    backup(database, tmp_path / "kept")
    database.downgrade("base")
    restore(database, tmp_path / "kept")
    assert checksums(database) == checksums(file_database)
    mark_everything(database)  # a backup holds no aggregates
    refresh(database)
    assert not any(finding.problem for finding in check(database))
    database.close()


def test_tables_of_another_schema_on_the_search_path_are_not_ours(odd_url: str) -> None:
    """Two desks in one database: neither sees the other's revision, hypertables or aggregates as its own."""
    url = make_url(odd_url)
    first = Database(url.set(username="postgres").render_as_string(hide_password=False))
    first.upgrade()
    second = Database(odd_url)
    assert second.revision() is None
    assert status(second).state == "empty"
    assert not any(f.on for f in status(second).features if f.name == "hypertables")
    second.upgrade()
    assert not any(finding.problem for finding in check(second))
    load(second)
    second.downgrade("base")
    assert not any(finding.problem for finding in check(first))
    assert status(first).state == "current"
    for database in (first, second):
        database.close()


def test_a_search_path_without_a_schema_or_without_the_extension_is_named(timescale_url: str) -> None:
    nowhere = Database(f"{timescale_url}?options=-csearch_path%3Dnowhere")
    with pytest.raises(DatabaseUnavailableError, match="create one or correct search_path"):
        nowhere.upgrade()
    nowhere.close()
    with psycopg.connect(timescale_url.replace("+psycopg", ""), autocommit=True) as bare:
        bare.execute("CREATE SCHEMA desk")
    hidden = Database(f"{timescale_url}?options=-csearch_path%3Ddesk")
    with pytest.raises(DatabaseUnavailableError, match="name its schema there too"):
        hidden.upgrade()
    hidden.close()
    found = Database(f"{timescale_url}?options=-csearch_path%3Ddesk,public")
    found.upgrade()
    assert not any(finding.problem for finding in check(found))
    found.close()
