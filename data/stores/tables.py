"""Which tables of the database hold the bars of a timeframe, and the questions that a store asks them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    Select,
    Table,
    func,
    literal,
    null,
    select,
    union_all,
)

from data.schema import BarRevisionRow, MinuteBarRow, VendorBarRevisionRow, VendorBarRow
from data.stores.base import ALWAYS, Span
from data.stores.rows import COLUMNS, EARLIEST_US, LATEST_US, MICRO, is_symbol
from execution.timeframes import Timeframe

_NAMES = {"start": "ts", "end": "ends_at", "superseded": "superseded_at"}


@dataclass(frozen=True, slots=True)
class BarTable:
    """The table of the bars that hold, and the one of the versions that were superseded.

    `timeframe` is the value of the column of that name, None for tables of one timeframe, which do not store
    when a bar ends.
    """

    bars: Table
    versions: Table
    size: Timeframe

    @property
    def timeframe(self) -> str | None:
        """Value of the column ``timeframe``, None where there is no such column."""
        return self.size.value if "timeframe" in self.bars.c else None

    @property
    def stored(self) -> list[str]:
        """Those of `rows.COLUMNS` that are stored."""
        return [name for name in COLUMNS if _NAMES.get(name, name) in self.bars.c]

    @property
    def key(self) -> list[str]:
        """Names of the columns that identify a bar."""
        return [column.name for column in self.bars.primary_key]

    def names(self, columns: Sequence[str]) -> list[str]:
        """Return the names of all columns of a statement that writes these, in its order."""
        first = ["symbol"] if self.timeframe is None else ["symbol", "timeframe"]
        return first + [_NAMES.get(name, name) for name in columns]


def table_of(timeframe: Timeframe) -> BarTable:
    """Return the tables of a timeframe: minutes have theirs, longer bars share one."""
    minutes = timeframe is Timeframe.MINUTE
    models = (MinuteBarRow, BarRevisionRow) if minutes else (VendorBarRow, VendorBarRevisionRow)
    bars, versions = (model.metadata.tables[model.__tablename__] for model in models)
    return BarTable(bars, versions, timeframe)


def bars_query(
    table: BarTable, symbols: Sequence[str] | None, span: Span, *, learnt_after: int | None = None
) -> Select[Any]:
    """Select bars that hold, without their symbol if only one is asked for; bounds are microseconds."""
    query = _select(table.bars, table, symbols, span)
    return query if learnt_after is None else query.where(table.bars.c.known_at > learnt_after * MICRO)


def as_of_query(table: BarTable, symbols: Sequence[str] | None, span: Span, when: int) -> CompoundSelect[Any]:
    """Select bars as they were known at a moment, columns as `bars_query`.

    It is one statement, so that no write comes between the bars that hold and their versions.
    """
    bars, versions, moment = table.bars, table.versions, when * MICRO
    return union_all(
        _select(bars, table, symbols, span).where(bars.c.known_at <= moment),
        _select(versions, table, symbols, span).where(
            versions.c.known_at <= moment, versions.c.superseded_at > moment
        ),
    )


def edge_query(table: BarTable, symbol: str, count: int, *, newest: bool) -> Select[Any]:
    """Select the first or last bars of a symbol, without it."""
    time = table.bars.c.ts
    return bars_query(table, [symbol], ALWAYS).order_by(time.desc() if newest else time).limit(count)


def versions_query(table: BarTable, symbols: Sequence[str], span: Span) -> Select[Any]:
    """Select versions that were superseded, with their symbol."""
    versions = table.versions
    names = ["symbol", *(_NAMES.get(name, name) for name in table.stored), "superseded_at"]
    return select(*(versions.c[name] for name in names)).where(*_where(versions, table, symbols, span))


def symbols_query(table: BarTable) -> Select[Any]:
    """Select the distinct symbols by one look into the index for each, whatever the number of rows."""
    column = table.bars.c.symbol
    of_size = _of_size(table.bars, table)
    first = select(func.min(column).label("symbol")).where(*of_size)
    found = first.cte("found", recursive=True)
    following = select(func.min(column)).where(column > found.c.symbol, *of_size).scalar_subquery()
    found = found.union_all(select(following).where(found.c.symbol.is_not(null())))
    return select(found.c.symbol).where(found.c.symbol.is_not(null()))


def holdings_query() -> Any:
    """Select symbol, timeframe, first start, last end (for minutes: last start) and number of bars."""
    minutes, longer = table_of(Timeframe.MINUTE).bars, table_of(Timeframe.DAY).bars
    return union_all(
        select(
            minutes.c.symbol,
            literal(Timeframe.MINUTE.value).label("timeframe"),
            func.min(minutes.c.ts),
            func.max(minutes.c.ts),
            func.count(),
        ).group_by(minutes.c.symbol),
        select(
            longer.c.symbol,
            longer.c.timeframe,
            func.min(longer.c.ts),
            func.max(longer.c.ends_at),
            func.count(),
        ).group_by(longer.c.symbol, longer.c.timeframe),
    )


def _select(of: Table, table: BarTable, symbols: Sequence[str] | None, span: Span) -> Select[Any]:
    one = symbols is not None and len(symbols) == 1
    names = [*([] if one else ["symbol"]), *(_NAMES.get(name, name) for name in table.stored)]
    return select(*(of.c[name] for name in names)).where(*_where(of, table, symbols, span))


def _of_size(of: Table, table: BarTable) -> list[ColumnElement[bool]]:
    return [] if table.timeframe is None else [of.c.timeframe == table.timeframe]


def _where(
    of: Table, table: BarTable, symbols: Sequence[str] | None, span: Span
) -> list[ColumnElement[bool]]:
    wanted = _of_size(of, table)
    time: Column[Any] = of.c.ts
    if span.first > EARLIEST_US:
        wanted.append(time >= span.first * MICRO)
    if span.last < LATEST_US:
        wanted.append(time < span.last * MICRO)
    if symbols is not None:
        possible = [symbol for symbol in symbols if is_symbol(symbol)]
        wanted.append(of.c.symbol == possible[0] if len(possible) == 1 else of.c.symbol.in_(possible))
    return wanted
