"""Executions, what they cost, and changes of the book that are no trade: rows that are only ever added."""

from __future__ import annotations

import logging
from collections.abc import Callable

from data.projection.bulk import Part, money
from data.projection.orders import Orders
from data.projection.place import Place, Row, amount
from data.schema import AdjustmentRow, CommissionRow, FillRow

_log = logging.getLogger(__name__)


class Executions:
    """The executions of a batch; a correction of one changes its order too."""

    def __init__(self, place: Place, orders: Orders) -> None:
        self.kinds: dict[str, Callable[[Row], None]] = {
            "fill": self._fill,
            "external_fill": self._fill,
            "fill_corrected": self._fill_corrected,
            "commission": self._late_commission,
            "external_commission": self._late_commission,
            "adjustment": self._adjustment,
        }
        self._place = place
        self._orders = orders
        self._fills: list[Row] = []
        self._commissions: list[Row] = []
        self._adjustments: list[Row] = []

    def take(self) -> list[Part]:
        """Return what was added since the last call."""
        parts = [
            Part.of(FillRow, self._fills),
            Part.of(CommissionRow, self._commissions),
            Part.of(AdjustmentRow, self._adjustments),
        ]
        self._fills, self._commissions, self._adjustments = [], [], []
        return parts

    def _fill(self, body: Row) -> None:
        if not self._place.book.knows_fill(body["fill_id"]):
            self._add_fill(body)
        if body.get("commission") is not None:
            self._commission(body, int(body["time"]))

    def _fill_corrected(self, body: Row) -> None:
        if not self._place.book.knows_fill(body["fill_id"]):
            _log.warning("correction of fill %s, which this run does not know", body["fill_id"])
            return
        self._add_fill(body)
        if body.get("commission") is not None:
            self._commission(body, self._place.time_ns)
        row = self._place.book.order(body["client_order_id"]) if body.get("client_order_id") else None
        if row is not None and body.get("filled") is not None:
            row["filled_quantity"] = money(body["filled"])
            row["average_fill_price"] = amount(body.get("average_price"))
            self._orders.changed(row)

    def _late_commission(self, body: Row) -> None:
        if not self._place.book.knows_fill(body["fill_id"]):
            _log.warning("commission of fill %s, which this run does not know", body["fill_id"])
        elif body.get("commission") is not None:
            self._commission(body, self._place.time_ns)

    def _add_fill(self, body: Row) -> None:
        self._fills.append(
            {
                "run_id": self._place.book.run_id,
                "seq": self._place.seq,
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
        self._place.book.keep_fill(body["fill_id"])

    def _commission(self, body: Row, time_ns: int) -> None:
        self._commissions.append(
            {
                "run_id": self._place.book.run_id,
                "seq": self._place.seq,
                "timestamp": time_ns,
                "fill_id": body["fill_id"],
                "commission": money(body["commission"]),
            }
        )

    def _adjustment(self, body: Row) -> None:
        self._adjustments.append(
            {
                "run_id": self._place.book.run_id,
                "seq": self._place.seq,
                "timestamp": int(body["time"]),
                "kind": body["what"],
                "symbol": body["symbol"],
                "quantity": money(body["quantity"]),
                "fraction": money(body["fraction"]),
                "price": amount(body.get("price")),
                "cash": money(body["cash"]),
                "new_symbol": body.get("new_symbol") or None,
                "ordered_by": body.get("by") or None,
                "reason": body.get("reason") or None,
                "action": body.get("action") or None,
            }
        )
