"""What the projector knows of one run: its orders, fills and session, in memory between batches.

Rows are read from the database only where they may exist and are not known: a run that was followed from its
first event needs no reading at all, up to half a million names of orders and fills. Only so many are kept;
others are read again when they come up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import Session

from data.projection.days import Days
from data.schema import FillRow, OrderRow, RunRow, TradingSessionRow

Row = dict[str, Any]
_T = TypeVar("_T")
OPEN = "RUNNING"
_KEYS_IN_A_QUERY = 500
_MOST_ORDERS = 20_000
_MOST_NAMES = 500_000


class Book:
    """State of a run.

    Attributes
    ----------
    run, trading_session
        Its row, and that of the session under way; None if there is none.
    """

    def __init__(self, session: Session, run_id: str, zone: ZoneInfo) -> None:
        self.run_id = run_id
        self.days = Days(run_id, zone)
        self.run = _first(session, select(RunRow.__table__).where(RunRow.run_id == run_id))
        of_run = select(TradingSessionRow.__table__).where(
            TradingSessionRow.run_id == run_id, TradingSessionRow.status == OPEN
        )
        self.trading_session = _first(session, of_run.order_by(TradingSessionRow.seq.desc()).limit(1))
        self._orders: dict[str, Row] = {}
        self._known_orders: set[str] = set()
        self._known_fills: set[str] = set()
        self._complete = not any(
            _first(session, select(model.seq).where(model.run_id == run_id).limit(1))
            for model in (OrderRow, FillRow)
        )

    def load(self, session: Session, orders: set[str], fills: set[str]) -> None:
        """Read what is stored of these orders and fills, as far as it is not known."""
        missing = orders - self._orders.keys()
        if self._complete:
            missing &= self._known_orders
        for keys in chunks(sorted(missing)):
            query = select(OrderRow.__table__).where(
                OrderRow.run_id == self.run_id, OrderRow.client_order_id.in_(keys)
            )
            for found in session.execute(query).mappings():
                self._orders[found["client_order_id"]] = _plain(found)
        if not self._complete:
            for keys in chunks(sorted(fills - self._known_fills)):
                named = select(FillRow.fill_id).where(
                    FillRow.run_id == self.run_id, FillRow.fill_id.in_(keys)
                )
                self._known_fills.update(session.scalars(named))

    def order(self, client_order_id: str) -> Row | None:
        """Return an order's row, to be changed in place, or None if the run has no such order."""
        return self._orders.get(client_order_id)

    def keep_order(self, row: Row) -> None:
        """Take an order's row in."""
        self._orders[row["client_order_id"]] = row
        if self._complete:
            self._known_orders.add(row["client_order_id"])

    def knows_fill(self, fill_id: str) -> bool:
        """Say whether the run has this fill."""
        return fill_id in self._known_fills

    def keep_fill(self, fill_id: str) -> None:
        """Take a fill in."""
        self._known_fills.add(fill_id)

    def shrink(self) -> None:
        """Let go of the oldest orders, and of names, where there are too many; they are in the database."""
        for name in list(self._orders)[: max(0, len(self._orders) - _MOST_ORDERS)]:
            del self._orders[name]
        if len(self._known_orders) + len(self._known_fills) > _MOST_NAMES:
            self._complete = False
            self._known_orders.clear()
            self._known_fills.clear()


def _first(session: Session, query: Any) -> Row | None:
    found = session.execute(query).mappings().first()
    return _plain(found) if found else None


def _plain(found: Any) -> Row:
    return {name: value.value if isinstance(value, pd.Timestamp) else value for name, value in found.items()}


def chunks(keys: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Yield parts of a list of keys, each short enough for one query."""
    for i in range(0, len(keys), _KEYS_IN_A_QUERY):
        yield keys[i : i + _KEYS_IN_A_QUERY]
