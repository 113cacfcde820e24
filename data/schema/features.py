"""What a server adds to the plain tables: hypertables, aggregates, compression, retention, grants.

The migrations make tables, the same everywhere. `install` then gives this server what it can do, found by
asking it, and may be run as often as one likes: a server that changes its edition gets the rest with the next
``trade db upgrade``. `features` says what is on, what is not, and why.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from data.errors import SchemaError
from data.schema import aggregates, continuous
from data.schema.base import Base, Series, series_of
from data.schema.edition import Edition, ask
from data.schema.grants import append_only_tables, grant, roles
from data.schema.retention import install_policies, policies, retained, too_short

_AGGREGATES = {*(level.name for level in aggregates.LEVELS), aggregates.DAILY}


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing that a server may do for the tables; `why` says why it is off, or what stands for it."""

    name: str
    on: bool
    detail: str
    why: str = ""


def all_series() -> dict[str, Series]:
    """Return every time series among the tables."""
    found = {name: series_of(table) for name, table in Base.metadata.tables.items()}
    return {name: series for name, series in sorted(found.items()) if series is not None}


def install_hypertables(connection: Connection) -> None:
    """Make every time series a hypertable, rows that are already there included."""
    if not ask(connection).has_hypertables:
        return
    for name, series in all_series().items():
        connection.execute(
            text(
                f"SELECT create_hypertable('{name}', by_range('{series.time}', INTERVAL '{series.chunk}'), "
                "create_default_indexes => false, if_not_exists => true, migrate_data => true)"
            )
        )


def install(engine: Engine) -> None:
    """Give this server what it can do beyond tables; what is there already stays as it is."""
    with engine.connect() as connection:
        edition = ask(connection)
        if edition.has_hypertables and not edition.is_community:
            _require_readable(connection)
    if edition.has_hypertables:
        with engine.begin() as connection:
            install_hypertables(connection)
    _install_aggregates(engine, edition)
    if edition.is_community:
        with engine.begin() as connection:
            _install_compression(connection)
            install_policies(connection)
    if edition.dialect == "postgresql":
        with engine.begin() as connection:
            grant(connection)


def withdraw(engine: Engine) -> None:
    """Take away what the migrations do not know, before tables are changed or removed."""
    continuous.remove_derived(engine)


def features(connection: Connection) -> list[Feature]:
    """Return what is on, what is not, and why."""
    edition = ask(connection)
    return [
        _hypertables(connection, edition),
        _continuous(connection, edition),
        _compression(connection, edition),
        _retention(connection, edition),
        _grants(connection, edition),
    ]


def _install_aggregates(engine: Engine, edition: Edition) -> None:
    with engine.connect() as connection:
        kinds = continuous.kinds_of(connection)
    was_community = aggregates.DAILY_PARTS in kinds
    if was_community != edition.is_community:  # made when the server was of another edition
        continuous.remove_derived(engine)
        kinds = {}
    if _AGGREGATES - kinds.keys():  # made below, and empty
        with engine.begin() as connection:
            aggregates.note_everything(connection)
    if edition.is_community:
        continuous.create_continuous(engine)
    else:
        with engine.begin() as connection:
            aggregates.create_tables(connection, edition)


def _require_readable(connection: Connection) -> None:
    """Refuse an edition that cannot read what another compressed, before anything is made anew for it."""
    query = (
        "SELECT DISTINCT hypertable_name FROM timescaledb_information.chunks "
        "WHERE is_compressed AND hypertable_schema = current_schema() ORDER BY 1"
    )
    compressed = list(connection.execute(text(query)).scalars())
    if compressed:
        raise SchemaError(
            f"{', '.join(compressed)}: compressed rows, which only the community edition reads; give the "
            "server timescaledb.license = timescale again, or decompress them there first: "
            "decompress_chunk(c, true) of each c of show_chunks"
        )


def _install_compression(connection: Connection) -> None:
    """Have old chunks compressed; since 2.18 this is called the columnstore, and the old names are to go."""
    renamed = connection.scalar(text("SELECT count(*) FROM pg_proc WHERE proname = 'add_columnstore_policy'"))
    on, prefix = ("enable_columnstore", "") if renamed else ("compress", "compress_")
    policy = (
        "CALL add_columnstore_policy('{}', after => INTERVAL '{}', if_not_exists => true)"
        if renamed
        else "SELECT add_compression_policy('{}', compress_after => INTERVAL '{}', if_not_exists => true)"
    )
    compressed = _hypertables_made(connection, "compression_enabled")
    for name, series in all_series().items():
        if name not in compressed:
            connection.execute(
                text(
                    f"ALTER TABLE {name} SET (timescaledb.{on}, "
                    f"timescaledb.{prefix}segmentby = '{series.segment_by}', "
                    f"timescaledb.{prefix}orderby = '{series.order_by}')"
                )
            )
        connection.execute(text(policy.format(name, series.compress_after)))


def _hypertables_made(connection: Connection, condition: str = "true") -> set[str]:
    """Return the hypertables of the schema that tables are made in; another may hold the same names."""
    query = (
        "SELECT hypertable_name FROM timescaledb_information.hypertables "  # noqa: S608  # conditions of ours
        f"WHERE hypertable_schema = current_schema() AND {condition}"
    )
    return set(connection.execute(text(query)).scalars())


def _hypertables(connection: Connection, edition: Edition) -> Feature:
    if not edition.has_hypertables:
        return Feature("hypertables", False, "ordinary tables", edition.why_not_timescale())
    made = _hypertables_made(connection)
    wanted = all_series()
    missing = sorted(wanted.keys() - made)
    why = f"run trade db upgrade: missing {', '.join(missing)}" if missing else ""
    return Feature("hypertables", not missing, f"{len(wanted) - len(missing)} of {len(wanted)} series", why)


def _continuous(connection: Connection, edition: Edition) -> Feature:
    instead = "tables brought up to date by trade db refresh and by every load"
    name = "continuous aggregates"
    if not edition.is_community:
        return Feature(name, False, instead, edition.why_not_community())
    made = {name for name, kind in continuous.kinds_of(connection).items() if kind == "c"}
    wanted = {*(level.name for level in aggregates.LEVELS), aggregates.DAILY_PARTS}
    missing = sorted(wanted - made)
    why = f"run trade db upgrade: missing {', '.join(missing)}" if missing else ""
    return Feature(name, not missing, ", ".join(sorted(wanted & made)) or "none", why)


def _compression(connection: Connection, edition: Edition) -> Feature:
    if not edition.is_community:
        return Feature("compression", False, "rows are kept as they are", edition.why_not_community())
    enabled = _hypertables_made(connection, "compression_enabled")
    missing = sorted(all_series().keys() - enabled)
    why = f"run trade db upgrade: missing {', '.join(missing)}" if missing else ""
    return Feature("compression", not missing, f"{len(all_series()) - len(missing)} series", why)


def _retention(connection: Connection, edition: Edition) -> Feature:
    if not edition.is_community:
        wanted = ", ".join(f"{table} {age}" for table, age in retained().items())
        return Feature(
            "retention",
            False,
            f"trade db refresh removes what is older: {wanted}",
            edition.why_not_community(),
        )
    made = policies(connection)
    wrong = [f"missing {table}" for table in sorted(retained().keys() - made.keys())]
    wrong += [f"{table} after {age}, too soon for the record" for table, age in too_short(connection).items()]
    why = f"run trade db upgrade: {', '.join(wrong)}" if wrong else ""
    detail = ", ".join(f"{table} {age}" for table, age in sorted(made.items()))
    return Feature("retention", not wrong, detail or "none", why)


def _grants(connection: Connection, edition: Edition) -> Feature:
    if edition.dialect == "sqlite":
        return Feature("roles", False, "whoever may write the file may do everything", "SQLite has no roles")
    found = roles(connection)
    if not found:
        return Feature(
            "roles", False, "the owner of the tables does everything",
            "no role alphec_app: infrastructure/deploy/init.sql makes it",
        )  # fmt: skip
    kept = [
        table
        for table in append_only_tables()
        if not connection.scalar(
            text(f"SELECT has_table_privilege('{found[0]}', '{table}', 'UPDATE, DELETE, TRUNCATE')")
        )
    ]
    missing = sorted(set(append_only_tables()) - set(kept))
    why = f"run trade db upgrade: open to change: {', '.join(missing)}" if missing else ""
    return Feature("roles", not missing, f"{', '.join(found)}; cannot change {', '.join(kept)}", why)
