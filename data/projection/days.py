"""Profit by trading day, from snapshots alone.

A day closes with its last snapshot (in the order of the journal) and opens where the day before closed. The
first day opens at what the book was worth before its first profit: equity less realised and unrealised
profit, fees put back. A day that changes later changes the opening of the next.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import select

from data.projection.stored import Row, Stored
from data.schema import DailyPnlRow
from execution.clocks import NANOS

_DAY_NS = 86_400 * NANOS
_EPOCH = dt.date(1970, 1, 1)


class Days:
    """The trading days of one run that a batch touches, with their neighbours."""

    def __init__(self, stored: Stored, run_id: str, zone: ZoneInfo) -> None:
        self.run_id = run_id
        self._stored = stored
        self._zone = zone
        self._rows: dict[dt.date, Row] = {}
        self._changed: set[dt.date] = set()
        self._loaded = False

    def load(self) -> None:
        """Read the days that are stored, once."""
        if self._loaded:
            return
        query = select(DailyPnlRow.__table__).where(DailyPnlRow.run_id == self.run_id)
        for row in self._stored.rows(query):
            self._rows[row["trading_day"]] = row | {"timestamp": row["timestamp"].value}
        self._loaded = True

    def note(self, time_ns: int, snapshot: Row) -> None:
        """Close the day of a moment with a snapshot."""
        moment = dt.datetime.fromtimestamp(time_ns // NANOS, self._zone)
        day = moment.date()
        self._rows[day] = {
            "run_id": self.run_id,
            "timestamp": (day - _EPOCH).days * _DAY_NS,
            "trading_day": day,
            "opening_equity": None,
            "closing_equity": snapshot["equity"],
            "pnl": None,
            **{name: snapshot[name] for name in ("realized_pnl", "unrealized_pnl", "fees", "gross_exposure")},
        }
        self._changed.add(day)

    def take(self) -> list[Row]:
        """Return the rows that changed since the last call, whole."""
        if not self._changed:
            return []
        order = sorted(self._rows)
        changed = []
        for i, day in enumerate(order):
            before = order[i - 1] if i else None
            if day in self._changed or before in self._changed:
                row = self._rows[day]
                row["opening_equity"] = self._rows[before]["closing_equity"] if before else _basis(row)
                row["pnl"] = row["closing_equity"] - row["opening_equity"]
                changed.append(dict(row))
        self._changed.clear()
        return changed


def _basis(row: Row) -> Decimal:
    basis: Decimal = row["closing_equity"] - row["realized_pnl"] - row["unrealized_pnl"] + row["fees"]
    return basis
