"""What the projector knows of one run: its orders, fills and session, in memory between batches.

Rows are read from the database only where they may exist and are not known: a run that was followed from its
first event needs no reading at all, one that is caught up with its names once, up to half a million names of
orders and fills. Only so many are kept; others are read again when they come up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pandas as pd
from sqlalchemy import Select, func, select

from data.projection.days import Days
from data.projection.stored import Row, Stored
from data.schema import AccountSnapshotRow, FillRow, OrderRow, RunRow, TradingSessionRow

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
    newest_snapshot
        Moment of its last snapshot in nanoseconds; None if there is none.
    """

    def __init__(self, stored: Stored, run_id: str, zone: ZoneInfo) -> None:
        self.run_id = run_id
        self._stored = stored
        self.days = Days(stored, run_id, zone)
        self.run = self._first(select(RunRow.__table__).where(RunRow.run_id == run_id))
        of_run = select(TradingSessionRow.__table__).where(
            TradingSessionRow.run_id == run_id, TradingSessionRow.status == OPEN
        )
        self.trading_session = self._first(of_run.order_by(TradingSessionRow.seq.desc()))
        (newest,) = stored.values(
            select(func.max(AccountSnapshotRow.timestamp)).where(AccountSnapshotRow.run_id == run_id)
        )
        self.newest_snapshot: int | None = None if newest is None else newest.value
        self._orders: dict[str, Row] = {}
        self._known_orders: set[str] = set()
        self._known_fills: set[str] = set()
        self._too_many = False
        self._complete = not any(
            stored.first(select(model.seq).where(model.run_id == run_id)) for model in (OrderRow, FillRow)
        )

    @property
    def is_whole(self) -> bool:
        """Say whether everything of the run is known, so that there is nothing to `load`."""
        return self._complete and len(self._known_orders) == len(self._orders)

    def learn(self) -> None:
        """Read the names of all that is stored, unless they are too many: quicker than to look up many."""
        if self._complete or self._too_many:
            return
        orders, fills = (
            self._stored.values(select(name).where(model.run_id == self.run_id).limit(_MOST_NAMES + 1))
            for model, name in ((OrderRow, OrderRow.client_order_id), (FillRow, FillRow.fill_id))
        )
        self._too_many = len(orders) + len(fills) > _MOST_NAMES
        if not self._too_many:
            self._known_orders, self._known_fills = set(orders), set(fills)
            self._complete = True

    def load(self, orders: set[str], fills: set[str]) -> None:
        """Read what is stored of these orders and fills, as far as it is not known."""
        # Looked up one by one: a difference of the two sets would go through every order that is kept.
        missing = {name for name in orders if name not in self._orders}
        if self._complete:
            missing &= self._known_orders
        for keys in chunks(sorted(missing)):
            query = select(OrderRow.__table__).where(
                OrderRow.run_id == self.run_id, OrderRow.client_order_id.in_(keys)
            )
            for found in self._stored.rows(query):
                self._orders[found["client_order_id"]] = _plain(found)
        if not self._complete:
            for keys in chunks(sorted(fills - self._known_fills)):
                named = select(FillRow.fill_id).where(
                    FillRow.run_id == self.run_id, FillRow.fill_id.in_(keys)
                )
                self._known_fills.update(self._stored.values(named))

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
            self._complete, self._too_many = False, True
            self._known_orders.clear()
            self._known_fills.clear()

    def _first(self, query: Select[Any]) -> Row | None:
        found = self._stored.first(query)
        return _plain(found) if found else None


def _plain(found: Row) -> Row:
    return {name: value.value if isinstance(value, pd.Timestamp) else value for name, value in found.items()}


def chunks(keys: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Yield parts of a list of keys, each short enough for one query."""
    for i in range(0, len(keys), _KEYS_IN_A_QUERY):
        yield keys[i : i + _KEYS_IN_A_QUERY]
