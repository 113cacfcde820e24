"""How long rows are kept, and the guard that the record of trading is kept for at least seven years.

Bars are kept for ever. What may be removed goes by whole chunks on TimescaleDB, by rows elsewhere.
"""

from __future__ import annotations

import re
from types import MappingProxyType

import pandas as pd
from sqlalchemy import Connection, text

from data.errors import RetentionError
from data.schema.base import Base, series_of
from data.schema.edition import ask
from data.schema.types import MICROSECOND

RECORD_YEARS = 7
"""The record of orders, fills and audit events is kept at least so long (as the journal's segments are)."""

RECORD = frozenset(
    {"audit_events", "orders", "order_events", "fills", "commissions", "signals", "position_history"}
    | {"account_snapshots", "daily_pnl", "adjustments"}
)
"""Tables that are part of the record."""

_KEPT = MappingProxyType(
    {"audit_events": "10 years", "option_bars_1m": "10 years", "risk_metrics": "10 years"}
)
_AGE = re.compile(r"([1-9][0-9]{0,3}) (year|month|day)s?", re.ASCII)
_DAYS = {"year": 365, "month": 30, "day": 1}
"""Days of an age at the least, for comparison; what is removed is reckoned by the calendar."""


def retained() -> dict[str, str]:
    """Return the tables whose old rows are removed, with the age at which they are."""
    return {table: checked_age(table, age) for table, age in sorted(_KEPT.items())}


def checked_age(table: str, age: str) -> str:
    """Return an age such as ``10 years`` if rows of the table may be removed at that age.

    Raises
    ------
    RetentionError
        If the table is no time series, the age cannot be read, or the table belongs to the record and the
        age is below seven years.
    """
    found = _AGE.fullmatch(age)
    if found is None:
        raise RetentionError(f"retention of {table}: {age!r} is no age; write for example '10 years'")
    known = Base.metadata.tables.get(table)
    if known is None or series_of(known) is None:
        raise RetentionError(f"retention of {table}: it is no time series of this schema")
    count, unit = int(found[1]), found[2]
    if table in RECORD and count * _DAYS[unit] < RECORD_YEARS * _DAYS["year"]:
        raise RetentionError(
            f"retention of {table}: {age} is less than the {RECORD_YEARS} years for which the record is kept"
        )
    return age


def policies(connection: Connection) -> dict[str, str]:
    """Return the retention policies that a community server runs: table to age."""
    found = connection.execute(
        text(
            "SELECT hypertable_name, coalesce(config ->> 'drop_after', config::text) "
            "FROM timescaledb_information.jobs "
            "WHERE proc_name = 'policy_retention' AND hypertable_schema = current_schema()"
        )
    )
    return {row[0]: row[1] for row in found}


def too_short(connection: Connection) -> dict[str, str]:
    """Return the policies that somebody has put on the record and that the guard refuses: table to age."""
    found = {}
    for table, age in policies(connection).items():
        try:
            checked_age(table, age)
        except RetentionError:
            if table in RECORD:
                found[table] = age
    return found


def install_policies(connection: Connection) -> None:
    """Have a community server remove what is past its age, and nothing of the record before its time."""
    for table in too_short(connection):
        connection.execute(text(f"SELECT remove_retention_policy('{table}')"))
    for table, age in retained().items():
        connection.execute(
            text(
                f"SELECT add_retention_policy('{table}', drop_after => INTERVAL '{age}', "
                "if_not_exists => true)"
            )
        )


def remove_expired(connection: Connection, now: pd.Timestamp) -> dict[str, int]:
    """Remove rows (on TimescaleDB whole chunks) past their age where no policy does.

    Returns
    -------
    dict
        Table to rows removed; on TimescaleDB to chunks removed.
    """
    edition = ask(connection)
    removed: dict[str, int] = {}
    if edition.is_community:
        return removed
    for table, age in retained().items():
        series = series_of(Base.metadata.tables[table])
        assert series is not None  # noqa: S101  # `checked_age` refuses any other
        count, unit = age.split(" ")
        of_unit = {unit.removesuffix("s"): int(count)}
        before = now - pd.DateOffset(
            years=of_unit.get("year", 0), months=of_unit.get("month", 0), days=of_unit.get("day", 0)
        )
        micros = before.value // MICROSECOND
        if edition.has_hypertables:
            dropped = connection.execute(
                text(f"SELECT drop_chunks('{table}', older_than => to_timestamp({micros} / 1000000.0))")
            )
            removed[table] = len(dropped.all())
        else:
            limit = (
                str(before.value) if edition.dialect == "sqlite" else f"to_timestamp({micros} / 1000000.0)"
            )
            removed[table] = connection.execute(
                text(f"DELETE FROM {table} WHERE {series.time} < {limit}")  # noqa: S608  # names of ours
            ).rowcount
    return removed
