"""Events of a journal folded into rows; what a batch comes to is written at its end.

Every event becomes an audit row. One that names an order becomes a row of the order's events, except for what
the broker sent word for word, which the audit rows hold. The rest goes by kind: see `Fold.kinds`.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from data.projection.book import OPEN, Book
from data.projection.bulk import append, money, replace
from data.projection.events import CHECKPOINT, Event, text_of
from data.schema import (
    AccountSnapshotRow,
    AdjustmentRow,
    AuditEventRow,
    Base,
    CommissionRow,
    DailyPnlRow,
    FillRow,
    OrderEventRow,
    OrderRow,
    PositionHistoryRow,
    PositionRow,
    RiskMetricRow,
    RunRow,
    SignalRow,
    TradingSessionRow,
)
from data.schema.types import MICROSECOND
from execution.journal.chain import canonical
from execution.models import OrderStatus

_log = logging.getLogger(__name__)
Row = dict[str, Any]
_FILL_KINDS = frozenset({"fill", "commission", "fill_corrected", "external_fill", "external_commission"})
_WORD_FOR_WORD = frozenset({"broker_message", "handler_failed"})
_OF_THE_RUN = ("profile", "account", "strategy", "timeframe", "config_hash", "git_sha")
_MONEY = ("cash", "equity", "unrealized_pnl", "realized_pnl", "fees", "gross_exposure")
_HELD = ("quantity", "average_cost", "market_value", "unrealized_pnl")
_RISK_NUMBERS = (
    "value_at_risk", "expected_shortfall", "volatility", "drawdown", "delta", "gamma", "vega", "theta",
)  # fmt: skip
_ADDED: tuple[type[Base], ...] = (
    AuditEventRow, OrderEventRow, FillRow, CommissionRow, AdjustmentRow, SignalRow,
)  # fmt: skip


class Fold:
    """The fold of one journal, from batch to batch.

    Parameters
    ----------
    session
        Reads what is stored of the run.
    journal_id
        Identity of the journal.
    run_id
        The run under way at the cursor.
    zone
        Time zone whose date is the trading day.
    last
        The cursor.

    Attributes
    ----------
    ended
        Runs that another one followed, with the number of their last event.
    """

    def __init__(self, session: Session, journal_id: str, run_id: str, zone: ZoneInfo, last: int) -> None:
        self.journal_id = journal_id
        self.last = last
        self.ended: dict[str, int] = {}
        self.kinds: dict[str, Callable[[Row], None]] = {
            "order_submitted": self._order_submitted,
            "order_refused": self._order_refused,
            "order_status": self._order_status,
            "order_cancelled": self._order_cancelled,
            "order_released": self._order_released,
            "fill": self._fill,
            "external_fill": self._fill,
            "fill_corrected": self._fill_corrected,
            "commission": self._late_commission,
            "external_commission": self._late_commission,
            "adjustment": self._adjustment,
            "snapshot": self._snapshot,
            "signal": self._signal,
            "risk_metrics": self._risk_metrics,
            "reconciling": self._reconciling,
            "session_closed": self._session_closed,
            "run_finished": self._run_finished,
        }
        self._zone = zone
        self._book = Book(session, run_id, zone)
        self._seq = 0
        self._time_ns = 0
        self._rows: dict[type[Base], list[Row]] = defaultdict(list)
        self._orders: dict[tuple[str, str], Row] = {}
        self._runs: dict[str, Row] = {}
        self._sessions: dict[tuple[str, int], Row] = {}
        self._snapshots: dict[tuple[str, int], tuple[Row, list[Row]]] = {}
        self._risk: dict[tuple[str, int, str], Row] = {}

    @property
    def run_id(self) -> str:
        """The run that the next event belongs to."""
        return self._book.run_id

    def apply(
        self, session: Session, events: Sequence[Event], fault: Callable[[Event, Exception], Exception]
    ) -> None:
        """Fold events in; `fault` makes the error for one that cannot be."""
        starts = [i for i, event in enumerate(events) if event.kind == "run_started"]
        for low, high in zip([0, *starts], [*starts, len(events)], strict=True):
            part = events[low:high]
            if part and part[0].kind == "run_started":
                self._switch(session, part[0], fault)
            orders = {e.body["client_order_id"] for e in part if e.body.get("client_order_id")}
            fills = {e.body["fill_id"] for e in part if e.kind in _FILL_KINDS and e.body.get("fill_id")}
            self._book.load(session, orders, fills)
            self._book.days.load(session)
            for event in part:
                try:
                    self._apply(event)
                except (KeyError, TypeError, ValueError, ArithmeticError) as error:
                    raise fault(event, error) from error

    def write(self, session: Session) -> None:
        """Write what changed since the last call."""
        for model in _ADDED:
            append(session, model, self._rows[model])
        replace(session, RunRow, list(self._runs.values()))
        replace(session, TradingSessionRow, list(self._sessions.values()))
        replace(session, OrderRow, list(self._orders.values()))
        replace(session, RiskMetricRow, list(self._risk.values()))
        self._write_snapshots(session)
        replace(session, DailyPnlRow, self._book.days.take())
        self._book.shrink()
        self._rows.clear()
        self._runs.clear()
        self._sessions.clear()
        self._orders.clear()
        self._risk.clear()
        self._snapshots.clear()

    def _write_snapshots(self, session: Session) -> None:
        for run_id in sorted({run_id for run_id, _ in self._snapshots}):
            moments = sorted(time for run, time in self._snapshots if run == run_id)
            newest = session.scalar(
                select(func.max(AccountSnapshotRow.timestamp)).where(AccountSnapshotRow.run_id == run_id)
            )
            again = [time for time in moments if newest is not None and time <= newest.value]
            for model in (AccountSnapshotRow, PositionHistoryRow):
                for i in range(0, len(again), 500):
                    session.execute(
                        delete(model).where(model.run_id == run_id, model.timestamp.in_(again[i : i + 500]))
                    )
            told = [self._snapshots[run_id, time] for time in moments]
            append(session, AccountSnapshotRow, [snapshot for snapshot, _ in told])
            append(session, PositionHistoryRow, [row for _, held in told for row in held])
            if newest is None or newest.value <= moments[-1]:
                session.execute(delete(PositionRow).where(PositionRow.run_id == run_id))
                append(session, PositionRow, told[-1][1])

    def _switch(self, session: Session, event: Event, fault: Callable[[Event, Exception], Exception]) -> None:
        try:
            run_id = event.body["run_id"]
        except KeyError as error:
            raise fault(event, error) from error
        if run_id != self._book.run_id:
            self._end_session("INTERRUPTED", event.time_ns)
            self.ended[self._book.run_id] = event.seq - 1
            self.ended.pop(run_id, None)
            self.write(session)  # what follows may read it
            self._book = Book(session, run_id, self._zone)

    def _apply(self, event: Event) -> None:
        kind, body = event.kind, event.body
        if kind == CHECKPOINT:
            return
        self.last, self._seq, self._time_ns = event.seq, event.seq, event.time_ns
        text = text_of(event)
        name = body.get("client_order_id")
        self._rows[AuditEventRow].append(
            {
                "journal_id": self.journal_id,
                "seq": event.seq,
                "recorded_at": event.time_ns,
                "time_ns": event.time_ns,
                "kind": kind,
                "client_order_id": name,
                "body": text,
                "prev_hash": event.prev_hash,
                "hash": event.hash,
            }
        )
        if kind == "run_started":
            self._run_started(body)
            return
        if kind == "order_refused" and name is None:
            name = f"refused-{event.seq}"  # refused before it got an id
            body = body | {"client_order_id": name}
        if name and kind not in _WORD_FOR_WORD:
            self._rows[OrderEventRow].append(
                {
                    "run_id": self._book.run_id,
                    "seq": event.seq,
                    "timestamp": event.time_ns,
                    "client_order_id": name,
                    "kind": kind,
                    "old_status": body.get("old") if kind == "order_status" else None,
                    "new_status": body.get("new") if kind == "order_status" else None,
                    "body": text,
                }
            )
        handler = self.kinds.get(kind)
        if handler is not None:
            handler(body)

    # -- runs and sessions ------------------------------------------------------------------------------

    def _run_started(self, body: Row) -> None:
        book, symbols = self._book, body.get("symbols")
        self._end_session("INTERRUPTED", self._time_ns)
        book.run = {
            "run_id": book.run_id,
            "journal_id": self.journal_id,
            "started_at": book.run["started_at"] if book.run else self._time_ns,
            "status": OPEN,
            "symbols": ",".join(symbols) if symbols is not None else None,
            "initial_cash": _amount(body.get("initial_cash")),
            **{name: body.get(name) for name in _OF_THE_RUN},
        }
        self._runs[book.run_id] = book.run
        self._begin_session()

    def _run_finished(self, body: Row) -> None:
        book = self._book
        if book.run:
            book.run["status"] = str(body["status"])
            self._runs[book.run_id] = book.run
        self._end_session(str(body["status"]), self._time_ns)

    def _reconciling(self, _body: Row) -> None:
        if self._book.run and self._book.trading_session is None:  # the same run, begun again
            self._begin_session()

    def _session_closed(self, _body: Row) -> None:
        self._end_session("CLOSED", self._time_ns)

    def _begin_session(self) -> None:
        run = self._book.run
        assert run is not None  # noqa: S101  # its callers have looked
        row = {
            "run_id": run["run_id"],
            "seq": self._seq,
            "started_at": self._time_ns,
            "ended_at": None,
            "status": OPEN,
            **{name: run[name] for name in ("profile", "account", "git_sha")},
        }
        self._book.trading_session = row
        self._sessions[row["run_id"], row["seq"]] = row

    def _end_session(self, status: str, time_ns: int) -> None:
        row, self._book.trading_session = self._book.trading_session, None
        if row is not None:
            self._sessions[row["run_id"], row["seq"]] = row | {"status": status, "ended_at": time_ns}

    # -- orders -----------------------------------------------------------------------------------------

    def _changed(self, row: Row) -> None:
        self._orders[row["run_id"], row["client_order_id"]] = row

    def _order_submitted(self, body: Row) -> None:
        before = self._book.order(body["client_order_id"]) or {}
        dry_run = bool(body.get("dry_run", False))
        self._new_order(
            body,
            before,
            order_id=_text(body["order_id"]),
            attempt=int(body["attempt"]),
            status=(OrderStatus.NOT_SENT if dry_run else OrderStatus.PENDING).value,
            filled_quantity=before.get("filled_quantity", Decimal(0)),
            average_fill_price=before.get("average_fill_price"),
            dry_run=dry_run,
        )

    def _order_refused(self, body: Row) -> None:
        before = self._book.order(body["client_order_id"])
        if before is not None and before["rule"] is None:
            return  # the id belongs to an order that was sent: its state stands
        decision = body["decision"]
        self._new_order(body, before or {}, reason=decision["reason"], rule=decision["rule"])

    def _new_order(self, body: Row, before: Row, **beyond: Any) -> None:
        # The key is that of the order's first event: a hypertable's row keeps its time.
        moment = int(body["trading_time"])
        row = {
            "run_id": self._book.run_id,
            "seq": before.get("seq", self._seq),
            "created_at": before.get("created_at", moment),
            "client_order_id": body["client_order_id"],
            "order_id": None,
            "attempt": 0,
            "symbol": body["symbol"],
            "side": body["side"],
            "quantity": money(body["quantity"]),
            "order_type": body["order_type"],
            "limit_price": _amount(body.get("limit_price")),
            "stop_price": _amount(body.get("stop_price")),
            "time_in_force": body["time_in_force"],
            "outside_rth": bool(body.get("outside_rth", False)),
            "account": body.get("account"),
            "strategy": body.get("strategy"),
            "signal_id": body.get("signal_id"),
            "status": OrderStatus.NOT_SENT.value,
            "filled_quantity": Decimal(0),
            "average_fill_price": None,
            "reason": None,
            "rule": None,
            "dry_run": bool(body.get("dry_run", False)),
            "submitted_at": moment,
            "updated_at": moment,
            **beyond,
        }
        self._book.keep_order(row)
        self._changed(row)

    def _known(self, body: Row, kind: str) -> Row | None:
        row = self._book.order(body["client_order_id"])
        if row is None:
            _log.warning("%s of order %s, which this run did not submit", kind, body["client_order_id"])
        else:
            self._changed(row)
        return row

    def _order_status(self, body: Row) -> None:
        row = self._known(body, "status")
        if row is None:
            return
        row["order_id"] = _text(body["order_id"]) or row["order_id"]
        row["status"] = OrderStatus(body["new"]).value
        row["filled_quantity"] = money(body["filled"])
        row["average_fill_price"] = _amount(body.get("average_price"))
        row["reason"] = body.get("reason") or row["reason"]
        row["updated_at"] = int(body["trading_time"])

    def _order_cancelled(self, body: Row) -> None:
        row = self._known(body, "cancel")
        if row is not None:
            row["reason"] = body.get("reason") or row["reason"]

    def _order_released(self, body: Row) -> None:
        row = self._known(body, "release")
        if row is not None:
            row["status"] = OrderStatus.NOT_SENT.value
            row["reason"] = str(body["evidence"])

    # -- executions -------------------------------------------------------------------------------------

    def _fill(self, body: Row) -> None:
        if not self._book.knows_fill(body["fill_id"]):
            self._add_fill(body)
        if body.get("commission") is not None:
            self._commission(body, int(body["time"]))

    def _fill_corrected(self, body: Row) -> None:
        if not self._book.knows_fill(body["fill_id"]):
            _log.warning("correction of fill %s, which this run does not know", body["fill_id"])
            return
        self._add_fill(body)
        if body.get("commission") is not None:
            self._commission(body, self._time_ns)
        row = self._book.order(body["client_order_id"]) if body.get("client_order_id") else None
        if row is not None and body.get("filled") is not None:
            row["filled_quantity"] = money(body["filled"])
            row["average_fill_price"] = _amount(body.get("average_price"))
            self._changed(row)

    def _late_commission(self, body: Row) -> None:
        if not self._book.knows_fill(body["fill_id"]):
            _log.warning("commission of fill %s, which this run does not know", body["fill_id"])
        elif body.get("commission") is not None:
            self._commission(body, self._time_ns)

    def _add_fill(self, body: Row) -> None:
        self._rows[FillRow].append(
            {
                "run_id": self._book.run_id,
                "seq": self._seq,
                "timestamp": int(body["time"]),
                "fill_id": body["fill_id"],
                "client_order_id": body.get("client_order_id") or None,
                "exec_id": body.get("exec_id"),
                "symbol": body["symbol"],
                "side": body["side"],
                "quantity": money(body["quantity"]),
                "price": money(body["price"]),
                "account": body.get("account"),
            }
        )
        self._book.keep_fill(body["fill_id"])

    def _commission(self, body: Row, time_ns: int) -> None:
        self._rows[CommissionRow].append(
            {
                "run_id": self._book.run_id,
                "seq": self._seq,
                "timestamp": time_ns,
                "fill_id": body["fill_id"],
                "commission": money(body["commission"]),
            }
        )

    def _adjustment(self, body: Row) -> None:
        self._rows[AdjustmentRow].append(
            {
                "run_id": self._book.run_id,
                "seq": self._seq,
                "timestamp": int(body["time"]),
                "kind": body["what"],
                "symbol": body["symbol"],
                "quantity": money(body["quantity"]),
                "fraction": money(body["fraction"]),
                "price": _amount(body.get("price")),
                "cash": money(body["cash"]),
                "new_symbol": body.get("new_symbol") or None,
                "ordered_by": body.get("by") or None,
                "reason": body.get("reason") or None,
                "action": body.get("action") or None,
            }
        )

    # -- the book, signals and risk ---------------------------------------------------------------------

    def _snapshot(self, body: Row) -> None:
        time = int(body["trading_time"]) // MICROSECOND * MICROSECOND  # as the tables keep it
        key = {"run_id": self._book.run_id, "timestamp": time}
        snapshot = key | {name: money(body[name]) for name in _MONEY}
        held: list[Row] = [
            key | {"symbol": one["symbol"]} | {name: money(one[name]) for name in _HELD}
            for one in body["positions"]
        ]
        self._snapshots.pop((self._book.run_id, time), None)
        self._snapshots[self._book.run_id, time] = (snapshot, held)
        self._book.days.note(time, snapshot)
        net = sum((one["market_value"] for one in held), Decimal(0))
        self._keep_risk(key | {"gross_exposure": snapshot["gross_exposure"], "net_exposure": net})

    def _risk_metrics(self, body: Row) -> None:
        time = int(body["trading_time"]) // MICROSECOND * MICROSECOND
        numbers = {name: float(body[name]) for name in _RISK_NUMBERS if body.get(name) is not None}
        exposures = {name: _amount(body.get(name)) for name in ("gross_exposure", "net_exposure")}
        row = {"run_id": self._book.run_id, "timestamp": time, "scope": body.get("scope", "book")}
        self._keep_risk(row | numbers | exposures | {"details": canonical(body.get("details") or {})})

    def _keep_risk(self, told: Row) -> None:
        row = {
            "run_id": told["run_id"],
            "timestamp": told["timestamp"],
            "scope": told.get("scope") or "book",
            "gross_exposure": told.get("gross_exposure"),
            "net_exposure": told.get("net_exposure"),
            **{name: told.get(name) for name in _RISK_NUMBERS},
            "details": told.get("details") or "{}",
        }
        self._risk[row["run_id"], row["timestamp"], row["scope"]] = row

    def _signal(self, body: Row) -> None:
        self._rows[SignalRow].append(
            {
                "run_id": self._book.run_id,
                "seq": self._seq,
                "timestamp": int(body["trading_time"]),
                "signal_id": body["signal_id"],
                "strategy": body["strategy"],
                "symbol": body["symbol"],
                "direction": body["direction"],
                "strength": None if body.get("strength") is None else float(body["strength"]),
                "target": _amount(body.get("target")),
                "features": canonical(body.get("features") or {}),
            }
        )


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else money(text)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
