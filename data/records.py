"""Reading any table that a person would ask for: by run, symbol, name or time, the newest rows of it.

`TABLES` says what can be read and what each is; what the program keeps for itself (cursors, slots of
sessions, spans that wait for a refresh) is left out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd
from sqlalchemy import JSON, Column, Select, Table, select

from data.database import Database
from data.errors import RecordsError
from data.projection.bulk import money, unfit_value
from data.schema import Base
from data.schema.base import series_of
from data.schema.types import Money, UtcTime
from execution.clocks import utc_ns

TABLES: Mapping[str, str] = MappingProxyType(
    {
        "runs": "runs of strategies",
        "trading_sessions": "each start of a trader, and how it ended",
        "orders": "orders as they stand",
        "order_events": "the life of each order",
        "fills": "executions; of several rows of one fill the last counts",
        "commissions": "what fills cost; of several rows the last counts",
        "adjustments": "changes of the book that were no trades",
        "positions": "holdings at the last snapshot of each run",
        "position_history": "holdings at every snapshot",
        "account_snapshots": "cash, equity and profit at every snapshot",
        "daily_pnl": "profit by trading day",
        "signals": "what strategies saw and wanted, with its features",
        "risk_metrics": "risk of the book: exposure, drawdown, value at risk",
        "audit_events": "every event of the journals, with its hash",
        "instruments": "contracts and their calendars",
        "universe_members": "which symbols belonged to a universe, and when",
        "fundamentals": "quarterly figures, each known from a moment on",
        "corporate_actions": "splits, dividends and changes of name",
        "bars_1m": "one-minute bars",
        "bar_revisions": "one-minute bars that were replaced",
        "option_bars_1m": "one-minute bars of options with their Greeks",
        "vendor_bars": "hourly and daily bars as delivered",
        "vendor_bar_revisions": "such bars that were replaced",
    }
)
"""Name and meaning of each table that can be read."""


_READ: Mapping[type, Any] = MappingProxyType(
    {
        int: int,
        float: float,
        bool: {"true": True, "false": False}.__getitem__,
        dt.date: dt.date.fromisoformat,
    }
)


def records(
    database: Database,
    table: str,
    *,
    where: Mapping[str, str] | None = None,
    since: pd.Timestamp | None = None,
    until: pd.Timestamp | None = None,
    newest: int | None = None,
) -> pd.DataFrame:
    """Return rows of a table, oldest first: money as `Decimal`, moments in UTC, documents as they are.

    Parameters
    ----------
    table
        One of `TABLES`.
    where
        Columns, and the text of the value that they must equal.
    since, until
        Moments between which the row's time lies, the second not included.
    newest
        So many rows at most: the last ones.

    Raises
    ------
    RecordsError
        If there is no such table or column, a text is no value of its column, or the table has no time.
    DatabaseUnavailableError
        If the database cannot be read.
    """
    if table not in TABLES:
        raise RecordsError(f"no table {table!r}: choose one of {', '.join(TABLES)}")
    found = Base.metadata.tables[table]
    query = select(found)
    for name, value in (where or {}).items():
        if name not in found.columns:
            raise RecordsError(
                f"{table} has no column {name}: choose among {', '.join(found.columns.keys())}"
            )
        query = query.where(found.columns[name] == _value(found.columns[name], value))
    query = _between(query, found, since, until)
    moment = time_column(found)
    order = [found.columns[name] for name in ([moment] if moment else [])]
    order += [column for column in found.primary_key if column.name != moment]
    query = query.order_by(*(column.desc() for column in order)).limit(newest)
    with database.session() as session:
        result = session.execute(query)
        names = list(result.keys())
        return pd.DataFrame.from_records([tuple(row) for row in result.all()][::-1], columns=names)


def time_column(table: Table) -> str | None:
    """Return the column that says when a row is of, or None if it has none."""
    series = series_of(table)
    if series is not None:
        return series.time
    moments = [column.name for column in table.columns if isinstance(column.type, UtcTime)]
    return moments[0] if moments else None


def _value(column: Column[Any], text: str) -> Any:
    refused = RecordsError(f"{column.table.name}.{column.name}: {text!r} is no value of it")
    try:
        value = _read(column.type, text)
        fits = b"\0" not in text.encode() and not unfit_value(column, value)
    except (ValueError, KeyError, ArithmeticError) as error:
        raise refused from error
    if isinstance(column.type, JSON) or not fits:
        raise refused
    return value


def _read(kind: Any, text: str) -> Any:
    if isinstance(kind, UtcTime):
        return utc_ns(pd.Timestamp(text))
    if isinstance(kind, Money):
        return money(text)
    return _READ.get(kind.python_type, str)(text)


def _between(
    query: Select[tuple[object, ...]], table: Table, since: pd.Timestamp | None, until: pd.Timestamp | None
) -> Select[tuple[object, ...]]:
    if since is None and until is None:
        return query
    moment = time_column(table)
    if moment is None:
        raise RecordsError(f"{table.name} has no time: leave since and until out")
    for bound in (since, until):
        if bound is not None and bound.tz is None:
            raise RecordsError(f"{bound} has no time zone: use pandas.Timestamp(..., tz='UTC')")
    if since is not None:
        query = query.where(table.columns[moment] >= since)
    if until is not None:
        query = query.where(table.columns[moment] < until)
    return query
