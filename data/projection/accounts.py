"""The book at its moments: snapshots with what was held, profit by day, risk; and the strategies' signals."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from data.projection.book import chunks
from data.projection.bulk import Part, money
from data.projection.place import Place, Row, amount
from data.schema import (
    AccountSnapshotRow,
    DailyPnlRow,
    PositionHistoryRow,
    PositionRow,
    RiskMetricRow,
    SignalRow,
)
from data.schema.types import MICROSECOND
from execution.journal.chain import canonical

_MONEY = ("cash", "equity", "unrealized_pnl", "realized_pnl", "fees", "gross_exposure")
_HELD = ("quantity", "average_cost", "market_value", "unrealized_pnl")
_RISK_NUMBERS = (
    "value_at_risk_95", "expected_shortfall_95", "value_at_risk_99", "expected_shortfall_99", "volatility",
    "drawdown", "delta", "gamma", "vega", "theta",
)  # fmt: skip
_TAIL = ("tail_returns", "tail_unknown")


class Accounts:
    """The snapshots, risk figures and signals of a batch."""

    def __init__(self, place: Place) -> None:
        self.kinds: dict[str, Callable[[Row], None]] = {
            "snapshot": self._snapshot,
            "risk_metrics": self._risk_metrics,
            "signal": self._signal,
        }
        self._place = place
        self._snapshots: dict[tuple[str, int], tuple[Row, list[Row]]] = {}
        self._risk: dict[tuple[str, int, str], Row] = {}
        self._signals: list[Row] = []

    def take(self, session: Session) -> list[Part]:
        """Return what changed since the last call; rows of moments that are told again are removed here."""
        parts = [
            *self._take_snapshots(session),
            Part.of(RiskMetricRow, list(self._risk.values()), replaces=True),
            Part.of(DailyPnlRow, self._place.book.days.take(), replaces=True),
            Part.of(SignalRow, self._signals),
        ]
        self._risk, self._signals = {}, []
        return parts

    def _take_snapshots(self, session: Session) -> list[Part]:
        told, self._snapshots = self._snapshots, {}
        parts: list[Part] = []
        for run_id in sorted({run_id for run_id, _ in told}):
            moments = sorted(time for run, time in told if run == run_id)
            newest = session.scalar(
                select(func.max(AccountSnapshotRow.timestamp)).where(AccountSnapshotRow.run_id == run_id)
            )
            again = [time for time in moments if newest is not None and time <= newest.value]
            for model in (AccountSnapshotRow, PositionHistoryRow):
                for times in chunks(again):
                    session.execute(delete(model).where(model.run_id == run_id, model.timestamp.in_(times)))
            rows = [told[run_id, time] for time in moments]
            parts.append(Part.of(AccountSnapshotRow, [snapshot for snapshot, _ in rows]))
            parts.append(Part.of(PositionHistoryRow, [row for _, held in rows for row in held]))
            if newest is None or newest.value <= moments[-1]:
                session.execute(delete(PositionRow).where(PositionRow.run_id == run_id))
                parts.append(Part.of(PositionRow, rows[-1][1]))
        return parts

    def _snapshot(self, body: Row) -> None:
        time = int(body["trading_time"]) // MICROSECOND * MICROSECOND  # as the tables keep it
        key = {"run_id": self._place.book.run_id, "timestamp": time}
        snapshot = key | {name: money(body[name]) for name in _MONEY}
        held: list[Row] = [
            key | {"symbol": one["symbol"]} | {name: money(one[name]) for name in _HELD}
            for one in body["positions"]
        ]
        self._snapshots.pop((self._place.book.run_id, time), None)
        self._snapshots[self._place.book.run_id, time] = (snapshot, held)
        self._place.book.days.note(time, snapshot)
        net = sum((one["market_value"] for one in held), Decimal(0))
        self._keep_risk(key | {"gross_exposure": snapshot["gross_exposure"], "net_exposure": net})

    def _risk_metrics(self, body: Row) -> None:
        time = int(body["trading_time"]) // MICROSECOND * MICROSECOND
        numbers = {name: float(body[name]) for name in _RISK_NUMBERS if body.get(name) is not None}
        exposures = {name: amount(body.get(name)) for name in ("gross_exposure", "net_exposure")}
        row = {"run_id": self._place.book.run_id, "timestamp": time, "scope": body.get("scope", "book")}
        tail = {name: body.get(name) for name in _TAIL}
        self._keep_risk(row | numbers | exposures | tail | {"details": canonical(body.get("details") or {})})

    def _keep_risk(self, told: Row) -> None:
        row = {
            "run_id": told["run_id"],
            "timestamp": told["timestamp"],
            "scope": told.get("scope") or "book",
            "gross_exposure": told.get("gross_exposure"),
            "net_exposure": told.get("net_exposure"),
            **{name: told.get(name) for name in (*_RISK_NUMBERS, *_TAIL)},
            "details": told.get("details") or "{}",
        }
        self._risk[row["run_id"], row["timestamp"], row["scope"]] = row

    def _signal(self, body: Row) -> None:
        self._signals.append(
            {
                "run_id": self._place.book.run_id,
                "seq": self._place.seq,
                "timestamp": int(body["trading_time"]),
                "signal_id": body["signal_id"],
                "strategy": body["strategy"],
                "symbol": body["symbol"],
                "direction": body["direction"],
                "strength": None if body.get("strength") is None else float(body["strength"]),
                "target": amount(body.get("target")),
                "features": canonical(body.get("features") or {}),
                "name": body.get("name") or body["strategy"],
                "replayed": bool(body.get("replayed", False)),
            }
        )
