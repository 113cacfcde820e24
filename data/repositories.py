"""Reading what was projected of a run, from its orders to its risk, as tables of pandas.

Amounts stay `Decimal` (columns of dtype object) and moments are UTC; a caller that wants statistics converts.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from sqlalchemy import Select, select

from data.database import Database
from data.records import records
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
        # Put together here: a server expects one row of "the last of each" and joins them each with each.
        paid = select(CommissionRow.fill_id, CommissionRow.commission).where(CommissionRow.run_id == run_id)
        query = select(FillRow.__table__).where(FillRow.run_id == run_id).order_by(FillRow.seq)
        with self.database.session() as session:
            commissions = {
                row.fill_id: row.commission for row in session.execute(paid.order_by(CommissionRow.seq))
            }
            found = session.execute(query)
            names = [*found.keys(), "commission"]
            last = {row.fill_id: row for row in found}
        rows = sorted(last.values(), key=lambda row: (row.timestamp, row.fill_id))
        return pd.DataFrame.from_records(
            [(*row, commissions.get(row.fill_id)) for row in rows], columns=names
        )

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

    def signals(
        self,
        run_id: str,
        *,
        strategy: str | None = None,
        name: str | None = None,
        symbol: str | None = None,
        since: pd.Timestamp | None = None,
        until: pd.Timestamp | None = None,
    ) -> pd.DataFrame:
        """Return the signals of a run by time: all, or of a strategy, name, symbol, or in [since, until)."""
        chosen = {"strategy": strategy, "name": name, "symbol": symbol}
        return self._records("signals", run_id, since=since, until=until, **chosen)

    def risk_metrics(self, run_id: str, scope: str | None = None) -> pd.DataFrame:
        """Return exposure, drawdown and tail of a run by time, of the book or the scope named."""
        return self._records("risk_metrics", run_id, scope=scope)

    def daily_pnl(self, run_id: str) -> pd.DataFrame:
        """Return the profit of a run by trading day."""
        return self._records("daily_pnl", run_id)

    def trading_sessions(self, run_id: str) -> pd.DataFrame:
        """Return each start of a run's trader, and how it ended, by time."""
        return self._records("trading_sessions", run_id)

    def order_events(self, run_id: str, client_order_id: str | None = None) -> pd.DataFrame:
        """Return the events of a run's orders, or of one of them, by time."""
        return self._records("order_events", run_id, client_order_id=client_order_id)

    def adjustments(self, run_id: str) -> pd.DataFrame:
        """Return the changes of a run's book that were no trades, by time."""
        return self._records("adjustments", run_id)

    def _records(
        self,
        table: str,
        run_id: str,
        *,
        since: pd.Timestamp | None = None,
        until: pd.Timestamp | None = None,
        **chosen: str | None,
    ) -> pd.DataFrame:
        where = {"run_id": run_id} | {name: value for name, value in chosen.items() if value is not None}
        return records(self.database, table, where=where, since=since, until=until)

    def _frame(self, query: Select[Any]) -> pd.DataFrame:
        with self.database.session() as session:
            result = session.execute(query)
            names = list(result.keys())
            return pd.DataFrame.from_records([tuple(row) for row in result.all()], columns=names)
