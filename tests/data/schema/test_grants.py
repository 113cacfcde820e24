"""Least privilege on a real server: what the deployment's script and the migrations let each role do."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from data.database import Database
from data.errors import DatabaseUnavailableError
from data.inspection import status
from data.schema.grants import append_only_tables
from data.testing import LocalServer, local_server

PASSWORDS = {f"ALPHEC_{role}_PASSWORD": f"{role.lower()}-secret" for role in ("OWNER", "APP", "READ")}
FILL = "INSERT INTO fills VALUES ('r', 1, '2024-01-02 14:30Z', 'f', 'c', NULL, 'SPY', 'BUY', 10, 1.5, NULL)"


@pytest.fixture(scope="module")
def deployed(timescale_server: LocalServer, root: Path) -> Iterator[LocalServer]:
    """A server of its own, set up as the container is, with tables made by the owner."""
    with local_server(timescale=True, programs=timescale_server.programs) as server:
        server.create_database("alphec")
        subprocess.run(
            [server.programs / "psql", "--quiet", "--file", root / "infrastructure/deploy/init.sql",
             server.conninfo("alphec")],
            env={"PATH": "/usr/bin:/bin", **PASSWORDS}, check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        database = Database(server.url("alphec", "alphec_owner"))
        database.upgrade()
        database.close()
        with psycopg.connect(server.conninfo("alphec", "alphec_app")) as app:
            app.execute(FILL)
        yield server


def refused(server: LocalServer, user: str, statement: str) -> bool:
    with psycopg.connect(server.conninfo("alphec", user)) as connection:
        try:
            connection.execute(statement)  # type: ignore[arg-type, unused-ignore]
        except errors.InsufficientPrivilege:
            return True
        connection.rollback()
    return False


@pytest.mark.parametrize("table", append_only_tables())
@pytest.mark.parametrize(
    "statement",
    ["UPDATE {} SET seq = 0", "DELETE FROM {}", "TRUNCATE {}", "DROP TABLE {}",
     "SELECT drop_chunks('{}', older_than => now())"],
)  # fmt: skip
def test_the_application_cannot_change_or_remove_the_record(
    deployed: LocalServer, table: str, statement: str
) -> None:
    assert refused(deployed, "alphec_app", statement.format(table))


def test_the_record_includes_audit_events_and_fills() -> None:
    assert {"audit_events", "fills", "order_events", "commissions"} <= set(append_only_tables())


def test_the_chunks_of_the_record_are_as_closed_as_the_table(deployed: LocalServer) -> None:
    with psycopg.connect(deployed.conninfo("alphec")) as connection:
        found = connection.execute("SELECT show_chunks('fills')::text").fetchone()
    assert found is not None
    for statement in ("DELETE FROM {}", "UPDATE {} SET price = 9"):
        assert refused(deployed, "alphec_app", statement.format(found[0]))


def test_the_application_adds_and_works_and_the_reader_only_reads(deployed: LocalServer) -> None:
    row = FILL.replace("'r', 1", "'r', 2")
    assert not refused(deployed, "alphec_app", row)
    assert not refused(deployed, "alphec_app", "UPDATE orders SET status = 'FILLED'")
    assert not refused(deployed, "alphec_app", "DELETE FROM bar_changes")
    assert not refused(deployed, "alphec_read", "SELECT * FROM fills")
    assert refused(deployed, "alphec_read", row)
    assert refused(deployed, "alphec_app", "CREATE TABLE mine (n INTEGER)")
    assert refused(deployed, "alphec_app", "UPDATE alembic_version SET version_num = 'x'")


def test_an_application_at_the_newest_revision_starts_without_owning_anything(deployed: LocalServer) -> None:
    database = Database(deployed.url("alphec", "alphec_app"))
    database.upgrade()
    grants = next(feature for feature in status(database).features if feature.name == "roles")
    assert grants.on
    assert "audit_events" in grants.detail
    with pytest.raises(DatabaseUnavailableError, match="use the owner"):
        database.downgrade("base")
    database.close()
