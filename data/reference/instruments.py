"""What is traded: contracts with the calendar of their exchange, and universes as of a day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import func, or_, select

from data.database import Database
from data.schema import InstrumentRow, MinuteBarRow, UniverseMemberRow
from data.schema.aggregates import Span, mark_changed
from data.writing import upsert
from execution.ibkr.description import Description
from execution.models import Instrument

CALENDAR = "XNYS"
_ASSUMED_TICK = Instrument("X").tick


def register(database: Database, instruments: Iterable[Instrument], calendar: str = CALENDAR) -> int:
    """Write contracts, or replace what is known of them; return how many are new or changed.

    Daily bars of a symbol that gets another calendar are computed anew with the next refresh.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    return store(database, [row_of(instrument, calendar) for instrument in instruments])


def undescribed(database: Database, symbols: Iterable[str]) -> list[str]:
    """Return which of these symbols have no instrument, or one without the broker's number, sorted.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    with database.session() as session:
        known = set(session.scalars(select(InstrumentRow.symbol).where(InstrumentRow.con_id.is_not(None))))
    return sorted(set(symbols) - known)


def learn(database: Database, contracts: Iterable[Description], calendar: str = CALENDAR) -> int:
    """Write contracts that are not there, and fill in what is empty in those that are; what is known stays.

    Returns
    -------
    int
        How many are new or more complete than before; zero when the same is learnt again.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    with database.session() as session:
        known = {row.symbol: row for row in session.scalars(select(InstrumentRow))}
    rows = []
    for contract in contracts:
        told = row_of(contract.instrument, calendar)
        told |= {"sector": contract.industry[:64] or None, "industry": contract.category[:64] or None}
        held = known.get(contract.instrument.symbol)
        if held is not None:
            # An increment that was assumed is no knowledge; one stated with the broker's number is.
            assumed = held.con_id is None and held.tick == _ASSUMED_TICK
            told |= {
                name: value
                for name in told
                if (value := getattr(held, name)) is not None and not (name == "tick" and assumed)
            }
        rows.append(told)
    return store(database, rows)


def store(database: Database, rows: Sequence[dict[str, Any]], stated: Collection[str] | None = None) -> int:
    """Write rows of contracts, all with the same columns; see `register`.

    `stated` are the columns that replace what is known of a contract; None for all.
    """
    with database.session() as session:
        known = {row.symbol: row for row in session.scalars(select(InstrumentRow))}
        if stated is not None:
            rows = [
                {
                    name: value if held is None or name in stated else getattr(held, name)
                    for name, value in row.items()
                }
                for row in rows
                for held in [known.get(row["symbol"])]
            ]
        fresh = [
            row
            for row in rows
            if row["symbol"] not in known
            or any(getattr(known[row["symbol"]], name) != row[name] for name in row if name != "details")
        ]
        moved = [
            row
            for row in fresh
            if row["symbol"] not in known or known[row["symbol"]].calendar != row["calendar"]
        ]
        session.expunge_all()
        upsert(session, InstrumentRow, fresh)
        for row in moved:
            bars = MinuteBarRow
            query = select(func.min(bars.ts), func.max(bars.ts)).where(bars.symbol == row["symbol"])
            first, last = session.execute(query).one()
            if first is not None:
                mark_changed(session.connection(), [Span(row["symbol"], first.value, last.value)])
    return len(fresh)


def members(database: Database, universe: str, day: dt.date) -> list[str]:
    """Return the symbols that belonged to a universe on a day, sorted.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    member = UniverseMemberRow
    query = select(member.symbol).where(
        member.universe == universe,
        member.from_date <= day,
        or_(member.until_date.is_(None), member.until_date > day),
    )
    with database.session() as session:
        return sorted(set(session.scalars(query)))


def row_of(instrument: Instrument, calendar: str) -> dict[str, Any]:
    """Return the row of a contract whose sessions are those of a calendar."""
    expiry = dt.datetime.strptime(instrument.expiry, "%Y%m%d").date() if instrument.expiry else None  # noqa: DTZ007  # a date
    return {
        "symbol": instrument.symbol,
        "security_type": instrument.security_type,
        "exchange": instrument.exchange,
        "primary_exchange": instrument.primary_exchange or None,
        "currency": instrument.currency,
        "calendar": calendar,
        "con_id": instrument.con_id or None,
        "name": instrument.name or None,
        "tick": instrument.tick,
        "lot": instrument.lot,
        "multiplier": instrument.multiplier,
        "underlying": instrument.underlying or None,
        "expiry": expiry,
        "strike": instrument.strike,
        "right": instrument.right or None,
        "details": {},
    }
