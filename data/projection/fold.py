"""Events of a journal folded into rows: what a batch of them comes to.

Every event becomes an audit row. One that names an order becomes a row of the order's events, except for what
the broker sent word for word, which the audit rows hold. The rest goes by kind to what it concerns: runs
(`data.projection.runs`), orders (`data.projection.orders`), executions (`data.projection.executions`) and the
book (`data.projection.accounts`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from data.errors import ProjectionError
from data.projection.accounts import Accounts
from data.projection.book import Book
from data.projection.bulk import Part
from data.projection.events import CHECKPOINT, Entry, body_of
from data.projection.executions import Executions
from data.projection.orders import Orders
from data.projection.place import Place, Row
from data.projection.runs import CUT_OFF, Runs
from data.projection.stored import Stored
from data.projection.transactions import Change
from data.schema import AuditEventRow, CursorRow, OrderEventRow

_FILL_KINDS = frozenset({"fill", "commission", "fill_corrected", "external_fill", "external_commission"})
_NO_ORDER_EVENT = frozenset({"broker_message", "handler_failed", "run_started"})
_ORDER_EVENT = ("seq", "timestamp", "client_order_id", "kind", "old_status", "new_status", "body")
_AT_A_TIME = 200
"""Events that are parsed before they are applied: what they name is looked up together."""


class Fold:
    """The fold of one journal, from batch to batch.

    Parameters
    ----------
    stored
        What the database holds of the run.
    journal_id
        Identity of the journal.
    run_id
        The run under way at the cursor.
    zone
        Time zone whose date is the trading day.
    last
        The cursor.
    head
        Hash of the event there; None if it is not known.

    Attributes
    ----------
    last
        Number of the last event folded in.

    Raises
    ------
    ProjectionError
        If the run is that of another journal.
    """

    def __init__(
        self, stored: Stored, journal_id: str, run_id: str, zone: ZoneInfo, last: int, head: str | None
    ) -> None:
        self.last = last
        self._head = head
        self._zone = zone
        self._stored = stored
        self._journal_id = journal_id
        self._place = Place(journal_id, self._book(run_id), written=last)
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
        self._names: list[str | None] = []
        self._order_events: dict[str, list[Any]] = {name: [] for name in _ORDER_EVENT}
        self._ended: dict[str, int] = {}

    @property
    def run_id(self) -> str:
        """The run that the next event belongs to."""
        return self._place.book.run_id

    def change(self, entries: Sequence[Entry]) -> Change:
        """Fold events in and return what they come to; those that were folded in before are passed over.

        A run may start with the first of them only: what follows may need what was stored of it.

        Raises
        ------
        ProjectionError
            If an event lacks a field, does not follow the one before, or begins a run of another journal; the
            fold is of no use any more.
        """
        after = self.last
        fresh = [entry for entry in entries if entry[0] > after]
        if not fresh:
            return Change(after)
        self._begin(fresh[0])
        if len(fresh) > _AT_A_TIME:
            self._place.book.learn()
        for low in range(0, len(fresh), _AT_A_TIME):
            self._apply_all(fresh[low : low + _AT_A_TIME])
        removals = self._accounts.removals()
        parts = [
            *self._runs.take(),
            *self._orders.take(),
            *self._executions.take(),
            *self._accounts.take(),
            self._take_order_events(),
            self._take_audit_events(fresh),
            self._take_cursors(),
        ]
        self._place.written = self.last
        self._place.book.shrink()
        return Change(after, len(fresh), removals, parts)

    def _begin(self, entry: Entry) -> None:
        """Go on with another run, if that is what the first event of a batch starts."""
        seq, time_ns, kind = entry[:3]
        if kind != "run_started":
            return
        try:
            run_id = body_of(entry)["run_id"]
        except KeyError as error:
            raise _fault(entry, error) from error
        if run_id != self._place.book.run_id:
            self._runs.end_session(CUT_OFF, time_ns)
            self._ended[self.run_id] = seq - 1
            self._place.book = self._book(run_id)

    def _book(self, run_id: str) -> Book:
        book = Book(self._stored, run_id, self._zone)
        if book.run:
            require_own(run_id, book.run["journal_id"], self._journal_id)
        return book

    def _apply_all(self, entries: Sequence[Entry]) -> None:
        bodies = [body_of(entry) for entry in entries]
        self._load([entry[2] for entry in entries], bodies)
        for entry, body in zip(entries, bodies, strict=True):
            if entry[0] != self.last + 1 or entry[4] != self._head:
                self._require_next(entry)
            self.last, self._head = entry[0], entry[5]
            if entry[2] == CHECKPOINT:
                continue
            try:
                self._apply(entry, body)
            except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
                raise _fault(entry, error) from error

    def _require_next(self, entry: Entry) -> None:
        """Refuse an event that does not follow the last one: by its number, nor by the hash that it names."""
        seq, last = entry[0], self.last
        if seq <= last:
            raise ProjectionError(f"event {seq} follows {last}: it was read out of order")
        if seq > last + 1 and (last or entry[2] != CHECKPOINT):
            raise ProjectionError(
                f"event {last + 1} is missing, the journal goes on with {seq}: restore the pruned segments "
                "or a backup of the database, unless another program just removed what was projected"
            )
        if self._head not in (None, entry[4]):
            raise ProjectionError(
                f"event {seq} does not follow event {last} as it was projected: the journal is an older copy "
                "that went on, or was altered; run trade audit verify, then trade db rebuild JOURNAL"
            )

    def _load(self, kinds: Sequence[str], bodies: Sequence[Row]) -> None:
        """Read what is stored of the orders and fills that events name, as far as it is not known."""
        book = self._place.book
        book.days.load()
        if not book.is_whole:
            told = zip(kinds, bodies, strict=True)
            fills = {body["fill_id"] for kind, body in told if kind in _FILL_KINDS and body.get("fill_id")}
            book.load({body["client_order_id"] for body in bodies if body.get("client_order_id")}, fills)
        if "order_modified" in kinds:
            told = zip(kinds, bodies, strict=True)
            changed = {body.get("client_order_id") for kind, body in told if kind == "order_modified"}
            self._orders.load_terms(self._stored, {name for name in changed if name})

    def _apply(self, entry: Entry, body: Row) -> None:
        seq, time_ns, kind, text = entry[:4]
        place = self._place
        place.seq, place.time_ns = seq, time_ns
        name = body.get("client_order_id")
        self._names.append(name)
        if kind == "order_refused" and name is None:
            name = f"refused-{seq}"  # refused before it got an id
            body = body | {"client_order_id": name}
        if name and kind not in _NO_ORDER_EVENT:
            told = self._order_events
            told["seq"].append(seq)
            told["timestamp"].append(time_ns)
            told["client_order_id"].append(name)
            told["kind"].append(kind)
            told["old_status"].append(body.get("old") if kind == "order_status" else None)
            told["new_status"].append(body.get("new") if kind == "order_status" else None)
            told["body"].append(text)
        handler = self.kinds.get(kind)
        if handler is not None:
            handler(body)

    def _take_order_events(self) -> Part:
        told, self._order_events = self._order_events, {name: [] for name in _ORDER_EVENT}
        run = [self.run_id] * len(told["seq"])
        return Part.of_columns(OrderEventRow, {"run_id": run, **told})

    def _take_audit_events(self, entries: Sequence[Entry]) -> Part:
        events = [entry for entry in entries if entry[2] != CHECKPOINT]
        names, self._names = self._names, []
        times = [entry[1] for entry in events]
        columns: dict[str, Sequence[Any]] = {
            "journal_id": [self._place.journal_id] * len(events),
            "seq": [entry[0] for entry in events],
            "recorded_at": times,
            "time_ns": times,
            "kind": [entry[2] for entry in events],
            "client_order_id": names,
            "body": [entry[3] for entry in events],
            "prev_hash": [entry[4] for entry in events],
            "hash": [entry[5] for entry in events],
        }
        return Part.of_columns(AuditEventRow, columns)

    def _take_cursors(self) -> Part:
        ended, self._ended = self._ended, {}
        reached = [(run_id, seq, False) for run_id, seq in ended.items()] + [(self.run_id, self.last, True)]
        rows = [
            {"journal_id": self._place.journal_id, "run_id": run_id, "last_seq": seq, "active": active}
            for run_id, seq, active in reached
        ]
        return Part.of(CursorRow, rows, replaces=True)


def require_own(run_id: str, owner: str, journal_id: str) -> None:
    """Raise `ProjectionError` if a run of a journal has the name of one of another journal."""
    if owner != journal_id:
        raise ProjectionError(
            f"run {run_id} of journal {journal_id} is here already, of journal {owner}: name another run_id, "
            "or another database"
        )


def _fault(entry: Entry, error: Exception) -> ProjectionError:
    what = f"{type(error).__name__} {error}".strip()
    return ProjectionError(f"event {entry[0]} ({entry[2]}) cannot be projected: {what}")
