"""The book at its moments: snapshots with what was held, profit by day, risk; and the strategies' signals."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from data.projection.bulk import Part, Removal, money
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
        self._snapshots: dict[int, tuple[Row, list[Row]]] = {}
        self._risk: dict[tuple[int, str], Row] = {}
        self._signals: list[Row] = []

    def removals(self) -> list[Removal]:
        """Return which rows give way to those of `take`: moments told again, and what was held before."""
        book, moments = self._place.book, sorted(self._snapshots)
        if not moments:
            return []
        newest = moments[-1] if book.newest_snapshot is None else book.newest_snapshot
        again = [time for time in moments if book.newest_snapshot is not None and time <= newest]
        found = [Removal.of(model, book.run_id, again) for model in (AccountSnapshotRow, PositionHistoryRow)]
        return found + [Removal.of(PositionRow, book.run_id)] * (newest <= moments[-1])

    def take(self) -> list[Part]:
        """Return what changed since the last call."""
        parts = [
            *self._take_snapshots(),
            Part.of(RiskMetricRow, list(self._risk.values()), replaces=True),
            Part.of(DailyPnlRow, self._place.book.days.take(), replaces=True),
            Part.of(SignalRow, self._signals),
        ]
        self._risk, self._signals = {}, []
        return parts

    def _take_snapshots(self) -> list[Part]:
        told, self._snapshots = sorted(self._snapshots.items()), {}
        if not told:
            return []
        book, (newest, (_, held_last)) = self._place.book, told[-1]
        parts = [
            Part.of(AccountSnapshotRow, [snapshot for _, (snapshot, _) in told]),
            Part.of(PositionHistoryRow, [row for _, (_, held) in told for row in held]),
        ]
        if book.newest_snapshot is None or book.newest_snapshot <= newest:
            parts.append(Part.of(PositionRow, held_last))
            book.newest_snapshot = newest
        return parts

    def _snapshot(self, body: Row) -> None:
        time = int(body["trading_time"]) // MICROSECOND * MICROSECOND  # as the tables keep it
        key = {"run_id": self._place.book.run_id, "timestamp": time}
        snapshot = key | {name: money(body[name]) for name in _MONEY}
        held: list[Row] = [
            key | {"symbol": one["symbol"]} | {name: money(one[name]) for name in _HELD}
            for one in body["positions"]
        ]
        self._snapshots[time] = (snapshot, held)
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
        self._risk[row["timestamp"], row["scope"]] = row

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
