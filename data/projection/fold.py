"""Events of a journal folded into rows; what a batch comes to is written at its end.

Every event becomes an audit row. One that names an order becomes a row of the order's events, except for what
the broker sent word for word, which the audit rows hold. The rest goes by kind to what it concerns: runs
(`data.projection.runs`), orders (`data.projection.orders`), executions (`data.projection.executions`) and the
book (`data.projection.accounts`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from data.projection.accounts import Accounts
from data.projection.book import Book
from data.projection.bulk import Part, store
from data.projection.events import CHECKPOINT, Event, text_of
from data.projection.executions import Executions
from data.projection.orders import Orders
from data.projection.place import Place, Row
from data.projection.runs import CUT_OFF, Runs
from data.schema import AuditEventRow, OrderEventRow

_FILL_KINDS = frozenset({"fill", "commission", "fill_corrected", "external_fill", "external_commission"})
_WORD_FOR_WORD = frozenset({"broker_message", "handler_failed"})


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
        self.last = last
        self.ended: dict[str, int] = {}
        self._zone = zone
        self._place = Place(journal_id, Book(session, run_id, zone), written=last)
        self._runs = Runs(self._place)
        self._orders = Orders(self._place)
        self._executions = Executions(self._place, self._orders)
        self._accounts = Accounts(self._place)
        self.kinds: dict[str, Callable[[Row], None]] = {
            **self._runs.kinds,
            **self._orders.kinds,
            **self._executions.kinds,
            **self._accounts.kinds,
        }
        self._events: list[tuple[Event, str, str | None]] = []
        self._order_events: list[Row] = []

    @property
    def run_id(self) -> str:
        """The run that the next event belongs to."""
        return self._place.book.run_id

    def apply(
        self, session: Session, events: Sequence[Event], fault: Callable[[Event, Exception], Exception]
    ) -> None:
        """Fold events in; `fault` makes the error for one that cannot be."""
        starts = [i for i, event in enumerate(events) if event.kind == "run_started"]
        for low, high in zip([0, *starts], [*starts, len(events)], strict=True):
            part = events[low:high]
            if part and part[0].kind == "run_started":
                self._switch(session, part[0], fault)
            self._load(session, part)
            for event in part:
                try:
                    self._apply(event)
                except (KeyError, TypeError, ValueError, ArithmeticError) as error:
                    raise fault(event, error) from error

    def write(self, session: Session) -> None:
        """Write what changed since the last call."""
        order_events, self._order_events = self._order_events, []
        parts = [
            *self._runs.take(),
            *self._orders.take(),
            *self._executions.take(),
            *self._accounts.take(session),
            Part.of(OrderEventRow, order_events),
            self._take_events(),
        ]
        store(session, parts)
        self._place.written = self.last
        self._place.book.shrink()

    def _load(self, session: Session, events: Sequence[Event]) -> None:
        orders = {e.body["client_order_id"] for e in events if e.body.get("client_order_id")}
        fills = {e.body["fill_id"] for e in events if e.kind in _FILL_KINDS and e.body.get("fill_id")}
        self._place.book.load(session, orders, fills)
        self._place.book.days.load(session)
        changed = {e.body.get("client_order_id") for e in events if e.kind == "order_modified"}
        self._orders.load_terms(session, {name for name in changed if name})

    def _switch(self, session: Session, event: Event, fault: Callable[[Event, Exception], Exception]) -> None:
        try:
            run_id = event.body["run_id"]
        except KeyError as error:
            raise fault(event, error) from error
        before = self._place.book.run_id
        if run_id != before:
            self._runs.end_session(CUT_OFF, event.time_ns)
            self.ended[before] = event.seq - 1
            self.ended.pop(run_id, None)
            self.write(session)  # what follows may read it
            self._place.book = Book(session, run_id, self._zone)

    def _apply(self, event: Event) -> None:
        kind, body = event.kind, event.body
        if kind == CHECKPOINT:
            return
        place = self._place
        self.last, place.seq, place.time_ns = event.seq, event.seq, event.time_ns
        text = text_of(event)
        name = body.get("client_order_id")
        self._events.append((event, text, name))
        if kind == "order_refused" and name is None:
            name = f"refused-{event.seq}"  # refused before it got an id
            body = body | {"client_order_id": name}
        if name and kind not in _WORD_FOR_WORD and kind != "run_started":
            self._order_events.append(
                {
                    "run_id": place.book.run_id,
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

    def _take_events(self) -> Part:
        told, self._events = self._events, []
        events = [event for event, _, _ in told]
        times = [event.time_ns for event in events]
        columns: dict[str, list[Any]] = {
            "journal_id": [self._place.journal_id] * len(events),
            "seq": [event.seq for event in events],
            "recorded_at": times,
            "time_ns": times,
            "kind": [event.kind for event in events],
            "client_order_id": [name for _, _, name in told],
            "body": [text for _, text, _ in told],
            "prev_hash": [event.prev_hash for event in events],
            "hash": [event.hash for event in events],
        }
        return Part.of_columns(AuditEventRow, columns)
