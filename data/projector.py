"""The journal's events as tables: idempotent, restartable, and always able to start again from nothing.

1. Read the cursor: the number of the last event projected for this run.
2. Take the events after it, a batch at a time. A journal may hold several runs: what follows a
   ``run_started`` of another run is passed over until this run starts (again).
3. Fold the batch into rows: the last state of each order, fills, the book at each snapshot.
4. Write the rows and the new cursor in one transaction. A crash leaves the old rows with the old cursor.

So any split into batches gives the same tables, and so does `Projector.rebuild`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any, Protocol, TypeVar

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from data.database import Database
from data.errors import ProjectionError
from data.orm import Base, CursorRow, EquityRow, FillRow, OrderRow, PositionRow, RunRow
from execution.models import OrderStatus

BATCH = 5_000
"""Events in one transaction."""

_log = logging.getLogger(__name__)
_KEYS_IN_A_QUERY = 500
Row = dict[str, Any]
_Key = TypeVar("_Key", str, int)


class Event(Protocol):
    """What the projector reads of a journal's event."""

    @property
    def seq(self) -> int:
        """Number of the event, ascending."""

    @property
    def time_ns(self) -> int:
        """Wall time of recording, UTC nanoseconds."""

    @property
    def kind(self) -> str:
        """Kind of the event, such as ``fill``."""

    @property
    def body(self) -> dict[str, Any]:
        """Fields of the event."""


class Projector:
    """Projects the events of one run into the database.

    Parameters
    ----------
    database
        A migrated database.
    journal_id
        Identity of the journal that the events come from.
    run_id
        The run whose rows are written.
    """

    def __init__(self, database: Database, journal_id: str, run_id: str) -> None:
        self.database = database
        self.journal_id = journal_id
        self.run_id = run_id

    def cursor(self) -> int:
        """Return the number of the last event projected, 0 if there is none: read the journal from there."""
        with self.database.session() as session:
            return self._position(session)[0]

    def project(self, events: Iterable[Event]) -> int:
        """Apply the events after the cursor; those at or before it are skipped.

        Returns
        -------
        int
            How many events were taken beyond the cursor.

        Raises
        ------
        ProjectionError
            If an event lacks a field or goes back in number; its batch is rolled back.
        DatabaseUnavailableError
            If the database cannot be reached; nothing of the current batch is written.
        """
        stream = iter(events)
        taken = 0
        while batch := list(islice(stream, BATCH)):
            with self.database.session() as session:
                taken += self._project(session, batch)
        return taken

    def rebuild(self, events: Iterable[Event]) -> int:
        """Delete the run's rows and cursor, then project the events from the beginning."""
        with self.database.session() as session:
            for table in (RunRow, OrderRow, FillRow, PositionRow, EquityRow):
                session.execute(delete(table).where(table.run_id == self.run_id))
            session.execute(
                delete(CursorRow).where(
                    CursorRow.journal_id == self.journal_id, CursorRow.run_id == self.run_id
                )
            )
        return self.project(events)

    def _position(self, session: Session) -> tuple[int, bool]:
        row = session.get(CursorRow, (self.journal_id, self.run_id))
        return (row.last_seq, row.active) if row else (0, True)

    def _project(self, session: Session, batch: Sequence[Event]) -> int:
        last, active = self._position(session)
        fresh = [event for event in batch if event.seq > last]
        if not fresh:
            return 0
        fold = _Fold(self.run_id, self.journal_id, active)
        fold.load(session, fresh)
        for event in fresh:
            if event.seq <= last:
                raise ProjectionError(f"event {event.seq} follows {last}: the journal was read out of order")
            last = event.seq
            try:
                fold.apply(event)
            except (KeyError, TypeError, ValueError, InvalidOperation) as error:
                what = f"{type(error).__name__} {error}".strip()
                raise ProjectionError(
                    f"event {event.seq} ({event.kind}) cannot be projected: {what}"
                ) from error
        fold.write(session)
        cursor = {
            "journal_id": self.journal_id,
            "run_id": self.run_id,
            "last_seq": last,
            "active": fold.active,
        }
        upsert(session, CursorRow, [cursor])
        return len(fresh)


class _Fold:
    """Rows of one batch, keyed as in their tables; the last event wins."""

    def __init__(self, run_id: str, journal_id: str, active: bool) -> None:
        self.run_id = run_id
        self.journal_id = journal_id
        self.active = active
        self.run: Row | None = None
        self.orders: dict[str, Row] = {}
        self.fills: dict[str, Row] = {}
        self.equity: dict[int, Row] = {}
        self.positions: dict[int, list[Row]] = {}
        self._handlers: dict[str, Callable[[Row], None]] = {
            "order_submitted": self._order_submitted,
            "order_refused": self._order_refused,
            "order_status": self._order_status,
            "order_cancelled": self._order_cancelled,
            "order_released": self._order_released,
            "fill": self._fill,
            "commission": self._commission,
            "fill_corrected": self._fill_corrected,
            "snapshot": self._snapshot,
            "run_finished": self._run_finished,
        }

    def load(self, session: Session, events: Sequence[Event]) -> None:
        """Read the stored rows that the events may change."""
        ids = {str(e.body["client_order_id"]) for e in events if e.body.get("client_order_id")}
        for keys in _chunks(sorted(ids)):
            query = select(OrderRow.__table__).where(
                OrderRow.run_id == self.run_id, OrderRow.client_order_id.in_(keys)
            )
            for row in session.execute(query).mappings():
                self.orders[row["client_order_id"]] = dict(row)
        paid = {
            str(e.body["fill_id"])
            for e in events
            if e.kind in ("commission", "fill", "fill_corrected") and e.body.get("fill_id")
        }
        for keys in _chunks(sorted(paid)):
            found = select(FillRow.__table__).where(FillRow.run_id == self.run_id, FillRow.fill_id.in_(keys))
            for row in session.execute(found).mappings():
                self.fills[row["fill_id"]] = dict(row)
        stored = (
            session.execute(select(RunRow.__table__).where(RunRow.run_id == self.run_id)).mappings().first()
        )
        self.run = dict(stored) if stored else None

    def apply(self, event: Event) -> None:
        """Fold one event in; kinds without a table are passed over."""
        if event.kind == "run_started":
            self.active = event.body["run_id"] == self.run_id
            if self.active:
                self._run_started(event.body, event.time_ns)
        elif self.active and event.kind in self._handlers:
            body = event.body
            if event.kind == "order_refused" and body["client_order_id"] is None:
                body = body | {"client_order_id": f"refused-{event.seq}"}  # refused before it got an id
            self._handlers[event.kind](body)

    def write(self, session: Session) -> None:
        """Write every row."""
        upsert(session, RunRow, [self.run] if self.run else [])
        upsert(session, OrderRow, list(self.orders.values()))
        upsert(session, FillRow, list(self.fills.values()))
        if not self.equity:
            return
        newest = session.scalar(select(func.max(EquityRow.timestamp)).where(EquityRow.run_id == self.run_id))
        if newest is not None and newest.value >= min(self.equity):
            # A moment seen before: its old positions may name a symbol that the new ones do not.
            for times in _chunks(sorted(self.equity)):
                session.execute(
                    delete(PositionRow).where(
                        PositionRow.run_id == self.run_id, PositionRow.timestamp.in_(times)
                    )
                )
        upsert(session, EquityRow, list(self.equity.values()))
        upsert(session, PositionRow, [row for rows in self.positions.values() for row in rows])

    def _run_started(self, body: Row, time_ns: int) -> None:
        symbols = body.get("symbols")
        self.run = {
            "run_id": self.run_id,
            "journal_id": self.journal_id,
            "started_at": self.run["started_at"] if self.run else time_ns,
            "status": "RUNNING",
            "symbols": ",".join(symbols) if symbols is not None else None,
            "initial_cash": _decimal(body.get("initial_cash")),
            **{
                name: body.get(name)
                for name in ("profile", "account", "strategy", "timeframe", "config_hash", "git_sha")
            },
        }

    def _run_finished(self, body: Row) -> None:
        if self.run:
            self.run["status"] = str(body["status"])

    def _order_submitted(self, body: Row) -> None:
        before = self.orders.get(body["client_order_id"], {})
        dry_run = bool(body.get("dry_run", False))
        self.orders[body["client_order_id"]] = self._order(body) | {
            "order_id": _text(body["order_id"]),
            "attempt": int(body["attempt"]),
            "status": (OrderStatus.NOT_SENT if dry_run else OrderStatus.PENDING).value,
            "filled_quantity": before.get("filled_quantity", Decimal(0)),
            "average_fill_price": before.get("average_fill_price"),
            "dry_run": dry_run,
        }

    def _order_refused(self, body: Row) -> None:
        key = body["client_order_id"]
        before = self.orders.get(key)
        if before is not None and before["rule"] is None:
            return  # the id belongs to an order that was sent: its state stands
        decision = body["decision"]
        self.orders[key] = self._order(body) | {"reason": decision["reason"], "rule": decision["rule"]}

    def _order(self, body: Row) -> Row:
        return {
            "run_id": self.run_id,
            "client_order_id": body["client_order_id"],
            "order_id": None,
            "attempt": 0,
            "symbol": body["symbol"],
            "side": body["side"],
            "quantity": Decimal(body["quantity"]),
            "order_type": body["order_type"],
            "limit_price": _decimal(body.get("limit_price")),
            "stop_price": _decimal(body.get("stop_price")),
            "time_in_force": body["time_in_force"],
            "outside_rth": bool(body.get("outside_rth", False)),
            "account": body.get("account"),
            "strategy": body.get("strategy"),
            "status": OrderStatus.NOT_SENT.value,
            "filled_quantity": Decimal(0),
            "average_fill_price": None,
            "reason": None,
            "rule": None,
            "dry_run": bool(body.get("dry_run", False)),
            "submitted_at": int(body["trading_time"]),
            "updated_at": int(body["trading_time"]),
        }

    def _known(self, body: Row, kind: str) -> Row | None:
        row = self.orders.get(body["client_order_id"])
        if row is None:
            _log.warning("%s of order %s, which this run did not submit", kind, body["client_order_id"])
        return row

    def _order_status(self, body: Row) -> None:
        row = self._known(body, "status")
        if row is None:
            return
        row["order_id"] = _text(body["order_id"]) or row["order_id"]
        row["status"] = OrderStatus(body["new"]).value
        row["filled_quantity"] = Decimal(body["filled"])
        row["average_fill_price"] = _decimal(body.get("average_price"))
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

    def _fill(self, body: Row) -> None:
        stored = self.fills.get(body["fill_id"])
        commission = _decimal(body.get("commission"))
        self.fills[body["fill_id"]] = {
            "run_id": self.run_id,
            "fill_id": body["fill_id"],
            "client_order_id": body["client_order_id"],
            "exec_id": body.get("exec_id"),
            "symbol": body["symbol"],
            "side": body["side"],
            "quantity": Decimal(body["quantity"]),
            "price": Decimal(body["price"]),
            "commission": stored["commission"] if stored and commission is None else commission,
            "account": body.get("account"),
            "timestamp": int(body["time"]),
        }

    def _commission(self, body: Row) -> None:
        row = self.fills.get(body["fill_id"])
        if row is None:
            _log.warning("commission of fill %s, which this run does not know", body["fill_id"])
        else:
            row["commission"] = Decimal(body["commission"])

    def _fill_corrected(self, body: Row) -> None:
        row = self.fills.get(body["fill_id"])
        if row is None:
            if not body["external"]:
                _log.warning("correction of fill %s, which this run does not know", body["fill_id"])
            return
        row["exec_id"] = body["exec_id"]
        row["quantity"], row["price"] = Decimal(body["quantity"]), Decimal(body["price"])
        row["commission"] = _decimal(body["commission"])
        order = self.orders.get(row["client_order_id"])
        if order is not None:
            order["filled_quantity"] = Decimal(body["filled"])
            order["average_fill_price"] = _decimal(body["average_price"])

    def _snapshot(self, body: Row) -> None:
        time = int(body["trading_time"])
        key = {"run_id": self.run_id, "timestamp": time}
        money = ("cash", "equity", "unrealized_pnl", "realized_pnl", "fees", "gross_exposure")
        self.equity[time] = key | {name: Decimal(body[name]) for name in money}
        amounts = ("quantity", "average_cost", "market_value", "unrealized_pnl")
        self.positions[time] = [
            key | {"symbol": held["symbol"]} | {name: Decimal(held[name]) for name in amounts}
            for held in body["positions"]
        ]


def _chunks(keys: list[_Key]) -> Iterator[list[_Key]]:
    for i in range(0, len(keys), _KEYS_IN_A_QUERY):
        yield keys[i : i + _KEYS_IN_A_QUERY]


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def upsert(session: Session, model: type[Base], rows: list[Row]) -> None:
    """Insert rows, or replace those whose primary key is there; all in one statement with many parameters."""
    if not rows:
        return
    table = model.__table__
    keys = [column.name for column in table.primary_key]
    dialect = session.get_bind().dialect.name
    statement: Any = (sqlite if dialect == "sqlite" else postgresql).insert(model)
    changed = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
    session.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)
