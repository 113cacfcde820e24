"""Reading what was projected: orders, fills, positions and equity of a run, as tables of pandas.

Amounts stay `Decimal` (columns of dtype object) and moments are UTC; a caller that wants statistics converts.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from sqlalchemy import Select, func, select

from data.database import Database
from data.schema import (
    AccountSnapshotRow,
    CommissionRow,
    FillRow,
    OrderRow,
    PositionHistoryRow,
    PositionRow,
    RunRow,
)


class Repository:
    """The read side of a database.

    Every method raises `DatabaseUnavailableError` if the database cannot be read; an empty frame (with its
    columns) therefore means that there is nothing.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def runs(self) -> pd.DataFrame:
        """Return every run, oldest first."""
        return self._frame(select(RunRow.__table__).order_by(RunRow.started_at, RunRow.run_id))

    def orders(self, run_id: str) -> pd.DataFrame:
        """Return the orders of a run in the order of their submission, refused ones included."""
        query = select(OrderRow.__table__).where(OrderRow.run_id == run_id)
        return self._frame(query.order_by(OrderRow.submitted_at, OrderRow.client_order_id))

    def fills(self, run_id: str) -> pd.DataFrame:
        """Return the executions of a run by time as last corrected, with their last commission or None."""
        last = (
            select(CommissionRow.fill_id, func.max(CommissionRow.seq).label("seq"))
            .where(CommissionRow.run_id == run_id)
            .group_by(CommissionRow.fill_id)
            .subquery()
        )
        paid = (
            select(CommissionRow.fill_id, CommissionRow.commission)
            .join(last, (last.c.fill_id == CommissionRow.fill_id) & (last.c.seq == CommissionRow.seq))
            .where(CommissionRow.run_id == run_id)
            .subquery()
        )
        newest = (
            select(FillRow.fill_id, func.max(FillRow.seq).label("seq"))
            .where(FillRow.run_id == run_id)
            .group_by(FillRow.fill_id)
            .subquery()
        )
        query = (
            select(FillRow.__table__, paid.c.commission)
            .join(newest, (newest.c.fill_id == FillRow.fill_id) & (newest.c.seq == FillRow.seq))
            .outerjoin(paid, paid.c.fill_id == FillRow.fill_id)
        )
        return self._frame(query.where(FillRow.run_id == run_id).order_by(FillRow.timestamp, FillRow.fill_id))

    def positions(self, run_id: str) -> pd.DataFrame:
        """Return the positions of a run at every snapshot, by time and symbol."""
        query = select(PositionHistoryRow.__table__).where(PositionHistoryRow.run_id == run_id)
        return self._frame(query.order_by(PositionHistoryRow.timestamp, PositionHistoryRow.symbol))

    def latest_positions(self, run_id: str) -> pd.DataFrame:
        """Return the positions at the last snapshot; an empty frame means flat (or no snapshot yet)."""
        query = select(PositionRow.__table__).where(PositionRow.run_id == run_id)
        return self._frame(query.order_by(PositionRow.symbol))

    def equity(self, run_id: str) -> pd.DataFrame:
        """Return cash, equity, profit and fees of a run at every snapshot, by time."""
        query = select(AccountSnapshotRow.__table__).where(AccountSnapshotRow.run_id == run_id)
        return self._frame(query.order_by(AccountSnapshotRow.timestamp))

    def _frame(self, query: Select[Any]) -> pd.DataFrame:
        with self.database.session() as session:
            result = session.execute(query)
            names = list(result.keys())
            return pd.DataFrame.from_records([tuple(row) for row in result.all()], columns=names)
