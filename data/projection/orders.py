"""An order's row follows its life: submission, states, changes that were asked for or seen, refusals.

What a change comes to is told when it is settled, its terms before: by the event that asked for it, or, of a
change that was made at the broker, by the order as the broker showed it. Terms that a batch before told are
read back from the audit events.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from data.projection.book import chunks
from data.projection.bulk import Part, money
from data.projection.place import Place, Row, amount, text
from data.projection.stored import Stored
from data.schema import AuditEventRow, OrderRow
from execution.models import OrderStatus, OrderType
from execution.orders.evidence import OpenOrderSeen
from execution.orders.terms import ChangeOutcome

_log = logging.getLogger(__name__)
_ASKED, _SHOWN = "order_modifying", "broker_message"


class Orders:
    """The orders that a batch changes."""

    def __init__(self, place: Place) -> None:
        self.kinds: dict[str, Callable[[Row], None]] = {
            "order_submitted": self._order_submitted,
            "order_refused": self._order_refused,
            "order_status": self._order_status,
            "order_cancelled": self._order_cancelled,
            "order_released": self._order_released,
            "order_modifying": self._order_modifying,
            "order_modified": self._order_modified,
            "broker_message": self._broker_message,
        }
        self._place = place
        self._orders: dict[str, Row] = {}
        self._asked: dict[str, Row] = {}
        self._shown: dict[str, Row] = {}

    def load_terms(self, stored: Stored, names: set[str]) -> None:
        """Read which terms batches before asked for, or were shown, of these orders."""
        before: dict[str, dict[str, Row]] = {_ASKED: {}, _SHOWN: {}}
        for keys in chunks(sorted(names)):
            query = select(AuditEventRow.kind, AuditEventRow.client_order_id, AuditEventRow.body).where(
                AuditEventRow.journal_id == self._place.journal_id,
                AuditEventRow.client_order_id.in_(keys),
                AuditEventRow.kind.in_(before),
                AuditEventRow.seq <= self._place.written,
            )
            for row in stored.rows(query.order_by(AuditEventRow.seq)):
                body = json.loads(row["body"])
                if row["kind"] == _ASKED or _is_order(body):
                    before[row["kind"]][row["client_order_id"]] = body
        self._asked = before[_ASKED] | self._asked
        self._shown = before[_SHOWN] | self._shown

    def changed(self, row: Row) -> None:
        """Take note that an order's row is not as it was."""
        self._orders[row["client_order_id"]] = row

    def take(self) -> list[Part]:
        """Return what changed since the last call; an order that began since then is in no table yet."""
        rows, self._orders, self._asked, self._shown = list(self._orders.values()), {}, {}, {}
        fresh = [row for row in rows if row["seq"] > self._place.written]
        known = [row for row in rows if row["seq"] <= self._place.written]
        return [Part.of(OrderRow, fresh), Part.of(OrderRow, known, replaces=True)]

    def _order_submitted(self, body: Row) -> None:
        before = self._place.book.order(body["client_order_id"]) or {}
        dry_run = bool(body.get("dry_run", False))
        self._new_order(
            body,
            before,
            order_id=text(body["order_id"]),
            attempt=int(body["attempt"]),
            status=(OrderStatus.NOT_SENT if dry_run else OrderStatus.PENDING).value,
            filled_quantity=before.get("filled_quantity", Decimal(0)),
            average_fill_price=before.get("average_fill_price"),
            dry_run=dry_run,
        )

    def _order_refused(self, body: Row) -> None:
        before = self._place.book.order(body["client_order_id"])
        if before is not None and before["rule"] is None:
            return  # the id belongs to an order that was sent: its state stands
        decision = body["decision"]
        self._new_order(body, before or {}, reason=decision["reason"], rule=decision["rule"])

    def _new_order(self, body: Row, before: Row, **beyond: Any) -> None:
        # The key is that of the order's first event: a hypertable's row keeps its time.
        moment = int(body["trading_time"])
        row = {
            "run_id": self._place.book.run_id,
            "seq": before.get("seq", self._place.seq),
            "created_at": before.get("created_at", moment),
            "client_order_id": body["client_order_id"],
            "order_id": None,
            "attempt": 0,
            "symbol": body["symbol"],
            "side": body["side"],
            "quantity": money(body["quantity"]),
            "order_type": body["order_type"],
            "limit_price": amount(body.get("limit_price")),
            "stop_price": amount(body.get("stop_price")),
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
        self._place.book.keep_order(row)
        self.changed(row)

    def _known(self, body: Row, kind: str) -> Row | None:
        row = self._place.book.order(body["client_order_id"])
        if row is None:
            _log.warning("%s of order %s, which this run did not submit", kind, body["client_order_id"])
        else:
            self.changed(row)
        return row

    def _order_status(self, body: Row) -> None:
        row = self._known(body, "status")
        if row is None:
            return
        row["order_id"] = text(body["order_id"]) or row["order_id"]
        row["status"] = OrderStatus(body["new"]).value
        row["filled_quantity"] = money(body["filled"])
        row["average_fill_price"] = amount(body.get("average_price"))
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

    def _order_modifying(self, body: Row) -> None:
        self._asked[body["client_order_id"]] = body

    def _broker_message(self, body: Row) -> None:
        if _is_order(body) and body.get("client_order_id"):
            self._shown[body["client_order_id"]] = body

    def _order_modified(self, body: Row) -> None:
        if body["outcome"] != ChangeOutcome.ACCEPTED:
            return
        row, name = self._known(body, "change"), body["client_order_id"]
        if row is None:
            return
        asked, shown = self._asked.get(name), self._shown.get(name)
        if body["number"] and asked is not None and asked["number"] == body["number"]:
            _take_request(row, asked["request"])
            row["updated_at"] = int(asked["trading_time"])
        elif not body["number"] and shown is not None:
            _take_shown(row, shown)
        else:
            _log.warning("the terms of change %s of order %s are not known", body["number"], name)


def _is_order(body: Row) -> bool:
    return body.get("message") == OpenOrderSeen.message


def _take_request(row: Row, request: Row) -> None:
    row["quantity"] = money(request["quantity"])
    row["order_type"] = request["order_type"]
    row["limit_price"] = amount(request.get("limit_price"))
    row["stop_price"] = amount(request.get("stop_price"))
    row["time_in_force"] = request["time_in_force"]
    row["outside_rth"] = bool(request.get("outside_rth", False))


def _take_shown(row: Row, shown: Row) -> None:
    """Take terms as `execution.orders.terms.as_shown` does: prices only of an order of the same type."""
    row["quantity"] = money(shown["quantity"])
    if shown.get("order_type") not in (None, "", row["order_type"]):
        return
    limit, stop = amount(shown.get("limit_price")), amount(shown.get("aux_price"))
    if row["limit_price"] is not None and not OrderType(row["order_type"]).trails:
        row["limit_price"] = limit or row["limit_price"]
    if row["stop_price"] is not None:
        row["stop_price"] = stop or row["stop_price"]
