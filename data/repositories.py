"""Reading what was projected: orders, fills, positions and equity of a run, as tables of pandas.

Amounts stay `Decimal` (columns of dtype object) and moments are UTC; a caller that wants statistics converts.
"""

from __future__ import annotations

import pandas as pd
from sqlalchemy import Select, func, select

from data.database import Database
from data.orm import Base, EquityRow, FillRow, OrderRow, PositionRow, RunRow


class Repository:
    """The read side of a database.

    Every method raises `DatabaseUnavailableError` if the database cannot be read; an empty frame (with its
    columns) therefore means that there is nothing.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def runs(self) -> pd.DataFrame:
        """Return every run, oldest first."""
        return self._frame(RunRow, select(RunRow.__table__).order_by(RunRow.started_at, RunRow.run_id))

    def orders(self, run_id: str) -> pd.DataFrame:
        """Return the orders of a run in the order of their submission, refused ones included."""
        query = select(OrderRow.__table__).where(OrderRow.run_id == run_id)
        return self._frame(OrderRow, query.order_by(OrderRow.submitted_at, OrderRow.client_order_id))

    def fills(self, run_id: str) -> pd.DataFrame:
        """Return the executions of a run by time."""
        query = select(FillRow.__table__).where(FillRow.run_id == run_id)
        return self._frame(FillRow, query.order_by(FillRow.timestamp, FillRow.fill_id))

    def positions(self, run_id: str) -> pd.DataFrame:
        """Return the positions of a run at every snapshot, by time and symbol."""
        query = select(PositionRow.__table__).where(PositionRow.run_id == run_id)
        return self._frame(PositionRow, query.order_by(PositionRow.timestamp, PositionRow.symbol))

    def latest_positions(self, run_id: str) -> pd.DataFrame:
        """Return the positions at the last snapshot; an empty frame means flat (or no snapshot yet)."""
        newest = select(func.max(EquityRow.timestamp)).where(EquityRow.run_id == run_id).scalar_subquery()
        query = select(PositionRow.__table__).where(
            PositionRow.run_id == run_id, PositionRow.timestamp == newest
        )
        return self._frame(PositionRow, query.order_by(PositionRow.symbol))

    def equity(self, run_id: str) -> pd.DataFrame:
        """Return cash, equity, profit and fees of a run at every snapshot, by time."""
        query = select(EquityRow.__table__).where(EquityRow.run_id == run_id)
        return self._frame(EquityRow, query.order_by(EquityRow.timestamp))

    def _frame(self, model: type[Base], query: Select[tuple[object, ...]]) -> pd.DataFrame:
        with self.database.session() as session:
            rows = session.execute(query).all()
        names = [column.name for column in model.__table__.columns]
        return pd.DataFrame.from_records([tuple(row) for row in rows], columns=names)
