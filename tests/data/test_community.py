"""What only TimescaleDB's community edition does, on a real one: ``make test-community``.

Other tests of `data` run there too: that variable puts the community edition in the place of Debian's.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pytest
from psycopg import errors

from data.aggregation import refresh
from data.backup import backup, checksums, restore
from data.bars import BarSeries
from data.database import Database
from data.errors import DatabaseUnavailableError, SchemaError
from data.inspection import check, status
from data.reference.instruments import register
from data.schema.aggregates import MINUTE_NS
from data.schema.features import all_series
from data.stores import DatabaseBarStore
from data.testing import DatabaseServer, LocalServer, local_server
from execution.models import Instrument
from execution.timeframes import Timeframe

pytestmark = pytest.mark.skipif(
    "ALPHEC_COMMUNITY" not in os.environ, reason="needs TimescaleDB's community edition: make test-community"
)
MORE_THAN_A_STATEMENT_MAY = 120_000
"""Rows; unless told otherwise a statement may take 100,000 out of compressed chunks."""

ATTEMPTS = 300
OLD = pd.Timestamp("2023-06-01 13:30", tz="UTC").value


@pytest.fixture
def community(timescale_url: str) -> Iterator[Database]:
    """A database without tables on the community edition."""
    with closing(Database(timescale_url)) as database:
        yield database


def bare(database: Database) -> psycopg.Connection[Any]:
    url = database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(url, autocommit=True)


def compress(database: Database) -> int:
    """Compress every chunk of every series; return how many are compressed."""
    with bare(database) as connection:
        for name in all_series():
            statement = f"SELECT compress_chunk(c, if_not_compressed => true) FROM show_chunks('{name}') c"  # noqa: S608
            connection.execute(statement)  # type: ignore[arg-type, unused-ignore]
        query = "SELECT count(*) FROM timescaledb_information.chunks WHERE is_compressed"
        return int(connection.execute(query).fetchall()[0][0])


def run_policies(database: Database, name: str) -> None:
    """Run the jobs of a policy now, each as often as it meets the same one of the server's own."""
    with bare(database) as connection:
        query = "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = %s ORDER BY job_id"
        jobs = connection.execute(query, [f"policy_{name}"]).fetchall()
        assert jobs
        for (job,) in jobs:
            for _ in range(ATTEMPTS):
                try:
                    connection.execute("CALL run_job(%s)", [job])
                    break
                except errors.LockNotAvailable:
                    connection.execute("SELECT pg_sleep(0.2)")
            else:
                pytest.fail(f"job {job} meets another one all the time")


def series(symbol: str, count: int, start: int = OLD, seed: int = 1) -> BarSeries:
    starts = start + np.arange(count) * MINUTE_NS
    closes = 100 + np.round(np.random.default_rng(seed).normal(0, 0.1, count).cumsum(), 2)
    columns = (closes, closes + 1, closes - 1, closes, np.full(count, 10.0))
    return BarSeries(symbol, Timeframe.MINUTE, starts, starts + MINUTE_NS, *columns)


def load(database: Database, *bars: BarSeries) -> None:
    """Insert bars and note them, as the store does; without COPY, which not every server here takes."""
    columns = ("open", "high", "low", "close", "volume")
    with bare(database) as connection, connection.transaction(), connection.cursor() as cursor:
        for one in bars:
            starts = [pd.Timestamp(ns, tz="UTC").to_pydatetime() for ns in one.start_ns.tolist()]
            values = [getattr(one, name).tolist() for name in columns]
            cursor.execute(
                "INSERT INTO bars_1m SELECT %s, t, o, h, l, c, v, now() FROM "
                "unnest(%s::timestamptz[], %s::float8[], %s::float8[], %s::float8[], %s::float8[], "
                "%s::float8[]) AS b(t, o, h, l, c, v)",
                [one.symbol, starts, *values],
            )
            cursor.execute(
                "INSERT INTO bar_changes (symbol, first_ts, last_ts) VALUES (%s, %s, %s)",
                [one.symbol, starts[0], starts[-1]],
            )


@pytest.fixture
def whole(timescale_server: DatabaseServer) -> None:
    """Skip where the server takes no COPY and has one session at a time."""
    if not timescale_server.whole:
        pytest.skip("needs a whole server")


def counts(database: Database) -> dict[str, int]:
    """Return how many minutes each aggregate holds."""
    names = ("bars_5m", "bars_15m", "bars_1h", "bars_1d")
    with bare(database) as connection:
        return {
            name: int(connection.execute(f"SELECT coalesce(sum(bars), 0) FROM {name}").fetchall()[0][0])  # type: ignore[arg-type, unused-ignore]  # noqa: S608
            for name in names
        }


def test_everything_is_on_and_policies_refresh_a_month_in_a_transaction(community: Database) -> None:
    community.upgrade()
    told = status(community)
    assert told.edition.is_community
    assert [f.name for f in told.features if not f.on] == ["roles"]
    community.upgrade()
    with bare(community) as connection:
        query = "SELECT config FROM timescaledb_information.jobs WHERE proc_name LIKE '%refresh_continuous%'"
        configs = [row[0] for row in connection.execute(query)]
        takes = "SELECT 'buckets_per_batch' = ANY(proargnames) FROM pg_proc WHERE proname = %s"
        batched = connection.execute(takes, ["add_continuous_aggregate_policy"]).fetchall() == [(True,)]
    assert len(configs) == 4
    assert all(config["start_offset"] is None for config in configs)
    if batched:
        assert sorted(config["buckets_per_batch"] for config in configs) == [30, 720, 2880, 8640]


def test_what_an_earlier_version_made_otherwise_is_set_right_by_an_upgrade(community: Database) -> None:
    community.upgrade()
    jobs = "FROM timescaledb_information.jobs WHERE proc_name = 'policy_refresh_continuous_aggregate'"
    views = "SELECT pg_get_viewdef('bars_1d'::regclass)"
    with bare(community) as connection:
        before = connection.execute(f"SELECT config {jobs} ORDER BY job_id").fetchall()  # type: ignore[arg-type, unused-ignore]
        view = connection.execute(views).fetchall()
        other = """config - 'buckets_per_batch' || '{"start_offset": "7 days"}'"""
        connection.execute(f"SELECT alter_job(job_id, config => {other}) {jobs}")  # type: ignore[arg-type, unused-ignore]
        connection.execute("CREATE OR REPLACE VIEW bars_1d AS " + view[0][0].split("UNION ALL")[0])
    community.upgrade()
    with bare(community) as connection:
        assert connection.execute(f"SELECT config {jobs} ORDER BY job_id").fetchall() == before  # type: ignore[arg-type, unused-ignore]
        assert connection.execute(views).fetchall() == view


def test_a_policy_that_removes_the_record_too_soon_is_told_and_taken_away(community: Database) -> None:
    community.upgrade()
    with bare(community) as connection:
        connection.execute("SELECT remove_retention_policy('audit_events')")
        for table, age in (("audit_events", "6 years"), ("fills", "1 day"), ("orders", "8 years")):
            connection.execute("SELECT add_retention_policy(%s, drop_after => %s::interval)", [table, age])
    (retention,) = (feature for feature in status(community).features if feature.name == "retention")
    assert not retention.on
    assert "audit_events after 6 years" in retention.why
    assert "fills after 1 day" in retention.why
    assert any("too soon" in finding.problem for finding in check(community))
    community.upgrade()
    (retention,) = (feature for feature in status(community).features if feature.name == "retention")
    assert retention.on
    assert "audit_events 10 years" in retention.detail
    assert "orders 8 years" in retention.detail
    assert "fills" not in retention.detail


@pytest.mark.parametrize("owner", [True, False])
def test_minutes_that_come_after_a_refresh_are_in_the_bars_of_today(community: Database, owner: bool) -> None:
    community.upgrade()
    register(community, [Instrument("BTC")], calendar="24/7")
    day = pd.Timestamp.now("UTC").floor("D")
    count = max((pd.Timestamp.now("UTC") - day) // pd.Timedelta(minutes=1), 2)
    bars = series("BTC", 1440 + count, start=(day - pd.Timedelta(days=1)).value)
    hours = 1440 + count // 120 * 60  # whole ones: what comes later belongs to none that is over
    load(community, bars.slice(0, hours))
    refresh(community)
    load(community, bars.slice(hours, 1440 + count))
    if owner:
        refresh(community)
    assert set(counts(community).values()) == {1440 + count}


def test_migrations_go_down_and_up_over_compressed_rows(community: Database) -> None:
    community.upgrade()
    with bare(community) as connection:
        connection.execute("INSERT INTO runs (run_id, journal_id, status) VALUES ('r', 'j', 'RUNNING')")
        connection.execute(
            "INSERT INTO signals (run_id, seq, timestamp, signal_id, strategy, symbol, direction, features, "
            "name, replayed) SELECT 'r', n, timestamptz '2023-06-01Z' + n * interval '1 second', 's' || n, "
            "'ma', 'SPY', 'LONG', '{}', 'x', true FROM generate_series(1, %s) n",
            [MORE_THAN_A_STATEMENT_MAY],
        )
    assert compress(community) >= 1
    community.downgrade("0004")
    community.upgrade()
    assert not any(finding.problem for finding in check(community))
    with bare(community) as connection:
        found = connection.execute("SELECT name, replayed, count(*) FROM signals GROUP BY 1, 2").fetchall()
    assert found == [("ma", False, MORE_THAN_A_STATEMENT_MAY)]
    community.downgrade("base")
    assert status(community).state == "empty"


@pytest.mark.usefixtures("whole")
def test_compressed_bars_are_revised_and_added_to_and_read_back(community: Database) -> None:
    community.upgrade()
    first, again = series("SPY", MORE_THAN_A_STATEMENT_MAY), series("SPY", MORE_THAN_A_STATEMENT_MAY, seed=2)
    days = [pd.Timestamp(f"2023-12-0{day}", tz="UTC") for day in (1, 2)]
    with closing(DatabaseBarStore(community)) as store:
        store.write({"SPY": first}, known_at=days[0])
        assert compress(community) >= 3
        store.write({"SPY": again, "QQQ": series("QQQ", 100)}, known_at=days[1])
        now = store.read("SPY", Timeframe.MINUTE).to_series()["SPY"]
        then = store.read("SPY", Timeframe.MINUTE, as_of=days[0]).to_series()["SPY"]
    assert np.array_equal(now.close, again.close)
    assert np.array_equal(then.close, first.close)


@pytest.mark.parametrize("by", ["policy", "command"])
def test_late_minutes_in_compressed_chunks_reach_every_aggregate(community: Database, by: str) -> None:
    community.upgrade()
    register(community, [Instrument("SPY")])
    whole = series("SPY", 390)
    load(community, whole.slice(0, 100), whole.slice(200, 390))
    refresh(community)
    assert set(counts(community).values()) == {290}
    compress(community)
    load(community, whole.slice(100, 200))
    if by == "policy":
        run_policies(community, "refresh_continuous_aggregate")
    else:
        refresh(community)
    assert set(counts(community).values()) == {390}


@pytest.mark.usefixtures("whole")
def test_a_refresh_that_fails_leaves_its_notes_and_the_next_one_does_it(community: Database) -> None:
    community.upgrade()
    register(community, [Instrument("SPY")])
    load(community, series("SPY", 100_000))
    hurried = community.url.update_query_dict({"options": "-c statement_timeout=100"})
    with (
        closing(Database(hurried.render_as_string(hide_password=False))) as impatient,
        pytest.raises(DatabaseUnavailableError, match="statement_timeout"),
    ):
        refresh(impatient)
    waiting = status(community).pending
    assert waiting
    assert refresh(community).changes == waiting
    assert status(community).pending == 0
    assert counts(community)["bars_1h"] == 100_000


@pytest.mark.usefixtures("whole")
def test_a_refresh_waits_for_one_that_is_under_way(community: Database) -> None:
    community.upgrade()
    register(community, [Instrument("SPY")])
    load(community, series("SPY", 200_000, start=OLD - 300_000 * MINUTE_NS))
    other = threading.Thread(target=run_policies, args=(community, "refresh_continuous_aggregate"))
    other.start()
    refresh(community)
    other.join()
    assert status(community).pending == 0
    assert counts(community)["bars_1h"] == 200_000


def test_rows_past_their_retention_go_by_policy_and_the_rest_of_the_record_stays(community: Database) -> None:
    community.upgrade()
    with bare(community) as connection:
        for number, years in enumerate((1, 9, 11), start=1):
            connection.execute(
                "INSERT INTO audit_events VALUES ('j', %s, now() - %s * interval '1 year', 1, 'fill', NULL, "
                "'{}', '', '')",
                [number, years],
            )
        run_policies(community, "retention")
        left = connection.execute("SELECT seq FROM audit_events ORDER BY seq").fetchall()
    assert left == [(1,), (2,)]


def test_a_backup_of_compressed_rows_restored_elsewhere_is_equal_with_its_aggregates(
    community: Database, file_database: Database, tmp_path: Path, timescale_server: DatabaseServer
) -> None:
    community.upgrade()
    register(community, [Instrument("SPY"), Instrument("QQQ")])
    load(community, series("SPY", 3 * 1440), series("QQQ", 1440, seed=3))
    refresh(community)
    before = counts(community)
    compress(community)
    backup(community, tmp_path / "kept")
    with closing(Database(timescale_server.create_database("elsewhere"))) as other:
        restore(other, tmp_path / "kept")
        assert checksums(other) == checksums(community)
        assert counts(other) == before
        assert not any(finding.problem for finding in check(other))
    timescale_server.drop_database("elsewhere")
    restore(file_database, tmp_path / "kept")
    assert checksums(file_database) == checksums(community)


def test_a_server_that_changes_its_edition_and_back_has_the_same_bars(
    local_timescale_server: LocalServer,
) -> None:
    def turn(server: LocalServer, edition: str) -> None:
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET timescaledb.license = '{edition}'")  # type: ignore[arg-type, unused-ignore]
        server.stop()
        server.start()

    recent = (pd.Timestamp.now("UTC").floor("D") - pd.Timedelta(days=5)).value  # not compressed by a policy
    with local_server(timescale=True, programs=local_timescale_server.programs) as server:
        url = server.create_database("turned")
        with closing(Database(url)) as database:
            database.upgrade()
            register(database, [Instrument("BTC")], calendar="24/7")
            load(database, series("BTC", 1440, start=recent))
            refresh(database)
        for number, edition in enumerate(("apache", "timescale"), start=1):
            turn(server, edition)
            with closing(Database(url)) as database:
                database.upgrade()
                load(database, series("BTC", 1440, start=recent + number * 1440 * MINUTE_NS))
                refresh(database)
                assert status(database).edition.license == edition
                assert set(counts(database).values()) == {(number + 1) * 1440}
                assert not any(finding.problem for finding in check(database))
        with closing(Database(url)) as database:
            assert compress(database)
        turn(server, "apache")
        with closing(Database(url)) as database, pytest.raises(SchemaError, match="decompress them there"):
            database.upgrade()
        turn(server, "timescale")
        with closing(Database(url)) as database:
            assert set(counts(database).values()) == {3 * 1440}
