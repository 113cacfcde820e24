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
def deployed(local_timescale_server: LocalServer, root: Path) -> Iterator[LocalServer]:
    """A server of its own, set up as the container is, with tables made by the owner."""
    with local_server(timescale=True, programs=local_timescale_server.programs) as server:
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
     "ALTER TABLE {} DISABLE TRIGGER ALL", "ALTER TABLE {} OWNER TO alphec_app",
     "CREATE TRIGGER later BEFORE INSERT ON {} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
     "SELECT drop_chunks('{}', older_than => now())"],
)  # fmt: skip
def test_the_application_cannot_change_or_remove_the_record(
    deployed: LocalServer, table: str, statement: str
) -> None:
    assert refused(deployed, "alphec_app", statement.format(table))


def test_the_record_includes_audit_events_and_fills() -> None:
    assert {"audit_events", "fills", "order_events", "commissions"} <= set(append_only_tables())


def test_the_application_cannot_get_around_its_rights(deployed: LocalServer) -> None:
    for statement in (
        "SET ROLE alphec_owner", "SET session_replication_role = replica",
        "SET SESSION AUTHORIZATION postgres",
        "ALTER ROLE alphec_app SUPERUSER", "GRANT alphec_owner TO alphec_app", "DROP SCHEMA public CASCADE",
        "ALTER DEFAULT PRIVILEGES FOR ROLE alphec_owner GRANT ALL ON TABLES TO alphec_app",
        "COPY fills TO PROGRAM 'true'", "CREATE FUNCTION f() RETURNS int LANGUAGE SQL AS 'SELECT 1'",
        "REASSIGN OWNED BY alphec_owner TO alphec_app", "DROP OWNED BY alphec_owner",
        "INSERT INTO fills SELECT * FROM fills ON CONFLICT (run_id, seq, timestamp) DO UPDATE SET price = 9",
        "WITH gone AS (DELETE FROM fills RETURNING *) SELECT * FROM gone", "SELECT * FROM fills FOR UPDATE",
        "LOCK TABLE fills IN ACCESS EXCLUSIVE MODE", "COPY fills FROM PROGRAM 'true'",
        "DO $$ BEGIN DELETE FROM fills; END $$", "ALTER TABLE fills RENAME TO other",
        "SET timescaledb.restoring = on", "SET timescaledb.license = 'apache'",
        "SELECT timescaledb_pre_restore()", "DROP EXTENSION timescaledb CASCADE",
        "UPDATE _timescaledb_catalog.hypertable SET table_name = 'x'",
        "DELETE FROM _timescaledb_catalog.chunk", "UPDATE _timescaledb_config.bgw_job SET scheduled = false",
        "UPDATE pg_class SET relacl = NULL", "DROP TABLE bars_1m", "CREATE SCHEMA mine",
    ):  # fmt: skip
        assert refused(deployed, "alphec_app", statement), statement


def test_what_the_server_lets_the_application_say_changes_nothing_of_the_record(
    deployed: LocalServer,
) -> None:
    with psycopg.connect(deployed.conninfo("alphec", "alphec_app"), autocommit=True) as connection:
        connection.execute("GRANT UPDATE, DELETE ON fills TO alphec_app, PUBLIC")  # it warns
        connection.execute(
            "CREATE FUNCTION pg_temp.gone() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM fills'"
        )
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("SELECT pg_temp.gone()")
        connection.execute("CREATE TEMPORARY TABLE fills (n INTEGER)")  # in the way of its own session only
    for user in ("alphec_app", "alphec_read"):
        assert refused(deployed, user, "DELETE FROM fills")
        assert refused(deployed, user, "UPDATE fills SET price = 9")


def test_compression_and_policies_of_the_record_are_the_owners(deployed: LocalServer) -> None:
    with psycopg.connect(deployed.conninfo("alphec")) as connection:
        if connection.execute("SHOW timescaledb.license").fetchone() != ("timescale",):
            pytest.skip("the Apache edition has neither: make test-community")
        jobs = (
            "SELECT job_id FROM timescaledb_information.jobs WHERE hypertable_name = 'audit_events' LIMIT 1"
        )
        (job,) = connection.execute(jobs).fetchone() or (0,)
        (chunk,) = connection.execute("SELECT show_chunks('fills')::text").fetchone() or ("",)
        connection.execute("SELECT compress_chunk(%s)", [chunk])
        connection.commit()
        hidden = (
            "SELECT c.oid::regclass::text FROM pg_class c WHERE relkind = 'r' "
            "AND relnamespace = '_timescaledb_internal'::regnamespace AND relname LIKE '%compress%'"
        )
        inner = [row[0] for row in connection.execute(hidden)]
    assert inner
    assert refused(deployed, "alphec_app", f"SELECT delete_job({job})")
    assert refused(deployed, "alphec_app", f"SELECT alter_job({job}, scheduled => false)")
    for statement in (
        "SELECT remove_retention_policy('audit_events')", "SELECT remove_compression_policy('fills')",
        "SELECT add_retention_policy('fills', drop_after => INTERVAL '1 day')",
        "ALTER TABLE fills SET (timescaledb.compress = false)", f"SELECT decompress_chunk('{chunk}')",
        f"SELECT compress_chunk('{chunk}', recompress => true)", "DROP MATERIALIZED VIEW bars_5m",
        "CALL refresh_continuous_aggregate('bars_5m', NULL, NULL)",
        "ALTER MATERIALIZED VIEW bars_5m SET (timescaledb.materialized_only = true)",
        "SELECT remove_continuous_aggregate_policy('bars_5m')",
        "UPDATE fills SET price = 9", "DELETE FROM fills",
        *map("TRUNCATE {}".format, inner), *map("DELETE FROM {}".format, inner),
    ):  # fmt: skip
        assert refused(deployed, "alphec_app", statement), statement
    row = FILL.replace("'r', 1", "'r', 3")
    assert not refused(deployed, "alphec_app", row)  # into a compressed chunk


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
