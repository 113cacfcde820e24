"""The files of a run: what was ordered, filled and held, what it was worth, and what the strategy saw.

The same tables come from the engine's objects (`LedgerTables.from_result`) and from a journal
(`LedgerTables.from_journal`), and the same input gives the same bytes. What makes that so:

1. Only trading times and ids that are functions of the strategy: no broker ids, run ids or wall times.
2. `orders` are sorted by the trading time of their decision, then by first submission; `fills` by time, then
   by their order's row, then by fill id; `positions` by time and symbol; `equity` by time; `signals` by time,
   symbol and count. Of several snapshots of one trading time the last counts (a resumed run repeats the step
   it was stopped in).
3. `status` keeps CANCELLED, REJECTED, NOT_SENT and UNKNOWN; every live state is SUBMITTED, because how far
   an acknowledgement got is no property of the trade. An order is FILLED when its fills add up to its
   quantity; called filled without them it is UNKNOWN. An order that was never sent (also one of a dry run)
   is NOT_SENT; one that was sent again is one row.
4. `filled_quantity` and `average_fill_price` are recomputed from the fills (value / quantity, rounded by
   `round_money`), never taken from the wire.
5. `reason` is kept for REJECTED only: texts of cancellations are the broker's prose.
6. Refused orders were never orders: they are counted by rule in `refusals` and are in no file.
7. Money (cash, equity, profit, fees, value) is rounded by `round_money`; prices and sizes must be exact in
   ten decimal places. The form of the files is that of `backtesting.ledger_files`.
8. A signal names the orders that were placed for it; whether a step lay in the past when it was run, so that
   none could be, is a property of the trader, not of the signal.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from backtesting.ledger_files import NAMES, SCHEMAS, Row, parquet_of, read_table, table_of
from backtesting.run_errors import LedgerContentError
from execution.book.adjustments import Adjustment
from execution.clocks import timestamp, utc_ns
from execution.journal.chain import canonical
from execution.models import ZERO, Fill, Order, OrderStatus, PortfolioSnapshot, Side
from execution.numbers import round_money
from strategies.signals import StatedSignal

__all__ = ["NAMES", "SCHEMAS", "JournalRecord", "LedgerTables"]


class JournalRecord(Protocol):
    """What is read of a journal event."""

    @property
    def seq(self) -> int:
        """Number of the event in its journal."""

    @property
    def kind(self) -> str:
        """Kind of the event."""

    @property
    def body(self) -> Mapping[str, Any]:
        """Its fields: decimals as text, times as UTC nanoseconds."""


@dataclass(frozen=True, slots=True)
class LedgerTables:
    """Orders, fills, positions, equity and signals of one run, as Arrow tables of `SCHEMAS`."""

    orders: pa.Table
    fills: pa.Table
    positions: pa.Table
    equity: pa.Table
    refusals: Mapping[str, int] = field(default_factory=dict)
    """Number of orders refused before they were sent, by the code of the rule."""
    signals: pa.Table = field(default_factory=SCHEMAS["signals"].empty_table)
    adjustments: tuple[Adjustment, ...] = ()
    """What splits and dividends did to the book, in order of time; they are in no file of their own."""

    @classmethod
    def from_result(
        cls,
        orders: Iterable[Order],
        fills: Iterable[Fill],
        snapshots: Iterable[PortfolioSnapshot],
        refused: Iterable[tuple[str, str]] = (),
        signals: Iterable[StatedSignal] = (),
        placed_for: Mapping[str, str] | None = None,
        adjustments: Iterable[Adjustment] = (),
    ) -> LedgerTables:
        """Build the tables from what an engine hands out.

        Parameters
        ----------
        orders
            Final state of every order that was sent, in order of submission.
        fills
            Every execution.
        snapshots
            One per step.
        refused
            (client order id, rule code) of every order that a rule refused.
        signals
            What the strategy stated.
        placed_for
            Signal id by client order id, in order of submission, of the orders that a signal led to.
        adjustments
            What splits and dividends did to the book, in order of time.

        Raises
        ------
        LedgerContentError
            If a price or size has more than ten decimal places.
        """
        return _build(
            [_order_row(order) for order in orders],
            [_fill_row(fill) for fill in fills],
            [_snapshot_row(snapshot) for snapshot in snapshots],
            dict(refused),
            _signal_rows([signal.to_body() for signal in signals], placed_for or {}),
            adjustments,
        )

    @classmethod
    def from_journal(cls, events: Iterable[JournalRecord]) -> LedgerTables:
        """Fold journal events, in sequence, into the tables.

        Raises
        ------
        LedgerContentError
            If an event lacks a field, or a number in it cannot be kept exactly.
        """
        fold = _JournalFold()
        for event in events:
            try:
                fold.take(event.kind, event.body)
            except (KeyError, ArithmeticError, TypeError, ValueError) as error:
                raise LedgerContentError(
                    f"journal event {event.seq} ({event.kind}) cannot be read: {error!r}; "
                    "check the journal with `trade audit verify`"
                ) from error
        return _build(
            list(fold.orders.values()),
            list(fold.fills.values()),
            list(fold.snapshots.values()),
            fold.refused,
            _signal_rows(fold.signals.values(), fold.placed_for),
            fold.adjustments,
        )

    @classmethod
    def read(cls, folder: Path) -> LedgerTables:
        """Read the files of a run; one of a version that kept no signals has none.

        Raises
        ------
        LedgerContentError
            If a file is missing, is not Parquet, or has other columns.
        """
        return cls(**{name: read_table(folder, name) for name in NAMES})

    def table(self, name: str) -> pa.Table:
        """Return one of the tables by name."""
        found: pa.Table = getattr(self, name)
        return found

    def executions(self) -> list[Fill]:
        """Return the executions in the order of the table; the broker's ids of their orders are not kept."""
        return [
            Fill(
                row["fill_id"],
                "",
                row["symbol"],
                row["quantity"],
                row["price"],
                Side(row["side"]),
                timestamp(row["time"].value),
                row["commission"],
                client_order_id=row["client_order_id"],
            )
            for row in self.fills.to_pylist()
        ]

    def contents(self) -> dict[str, bytes]:
        """Return the bytes of each file, by table name."""
        return {name: parquet_of(self.table(name)) for name in NAMES}

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 of each file's bytes, by table name."""
        return {name: hashlib.sha256(content).hexdigest() for name, content in self.contents().items()}

    def write(self, folder: Path) -> dict[str, str]:
        """Write the files, each appearing whole or not at all; return their SHA-256 by table name."""
        folder.mkdir(parents=True, exist_ok=True)
        contents = self.contents()
        for name, content in contents.items():
            target = folder / f"{name}.parquet"
            partial = folder / f".{name}.parquet.tmp"
            partial.write_bytes(content)
            partial.replace(target)
        return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


class _JournalFold:
    """The state that the kinds of a journal leave behind."""

    def __init__(self) -> None:
        self.orders: dict[str, Row] = {}
        self.fills: dict[str, Row] = {}
        self.snapshots: dict[int, Row] = {}
        self.refused: dict[str, str] = {}
        self.signals: dict[str, Mapping[str, Any]] = {}
        self.placed_for: dict[str, str] = {}
        self.adjustments: list[Adjustment] = []

    def take(self, kind: str, body: Mapping[str, Any]) -> None:
        handler = getattr(self, f"_on_{kind}", None)
        if handler is not None:
            handler(body)

    def _on_order_submitted(self, body: Mapping[str, Any]) -> None:
        # Assigning to a known key keeps its place: an order sent again stays where it was first submitted.
        self.orders[body["client_order_id"]] = {
            "client_order_id": body["client_order_id"],
            "strategy": body.get("strategy"),
            "symbol": body["symbol"],
            "side": body["side"],
            "order_type": body["order_type"],
            "quantity": Decimal(body["quantity"]),
            "limit_price": _decimal(body.get("limit_price")),
            "stop_price": _decimal(body.get("stop_price")),
            "time_in_force": body["time_in_force"],
            "submitted_time": int(body["trading_time"]),
            "status": "NOT_SENT" if body.get("dry_run") else "PENDING",
            "reason": None,
        }
        if body.get("signal_id") is not None:
            self.placed_for[body["client_order_id"]] = body["signal_id"]

    def _on_signal(self, body: Mapping[str, Any]) -> None:
        self.signals.setdefault(body["signal_id"], body)

    def _on_order_refused(self, body: Mapping[str, Any]) -> None:
        self.refused[body["client_order_id"]] = body["decision"]["rule"]

    def _on_order_status(self, body: Mapping[str, Any]) -> None:
        order = self.orders.get(body["client_order_id"])
        if order is not None:  # the status of an order that was placed elsewhere
            order["status"] = OrderStatus(body["new"]).value
            order["reason"] = body.get("reason")

    def _on_order_released(self, body: Mapping[str, Any]) -> None:
        order = self.orders.get(body["client_order_id"])
        if order is not None:
            order["status"] = "NOT_SENT"

    def _on_fill(self, body: Mapping[str, Any]) -> None:
        known = self.fills.get(body["fill_id"])
        commission = _decimal(body.get("commission"))
        self.fills[body["fill_id"]] = {
            "fill_id": body["fill_id"],
            "client_order_id": body.get("client_order_id"),
            "symbol": body["symbol"],
            "side": body["side"],
            "quantity": Decimal(body["quantity"]),
            "price": Decimal(body["price"]),
            "time": int(body["time"]),
            "commission": known["commission"] if commission is None and known else commission,
        }

    def _on_fill_corrected(self, body: Mapping[str, Any]) -> None:
        fill = self.fills.get(body["fill_id"])
        if fill is None:  # of an order that was placed elsewhere
            return
        old = fill["quantity"]
        fill |= {"quantity": Decimal(body["quantity"]), "price": Decimal(body["price"])}
        fill["commission"] = _decimal(body["commission"])
        order = self.orders.get(fill["client_order_id"])
        if order is not None:
            order["withdrawn"] = order.get("withdrawn", ZERO) + max(ZERO, old - fill["quantity"])

    def _on_adjustment(self, body: Mapping[str, Any]) -> None:
        self.adjustments.append(Adjustment.from_body(dict(body)))

    def _on_commission(self, body: Mapping[str, Any]) -> None:
        self.fills[body["fill_id"]]["commission"] = Decimal(body["commission"])

    def _on_snapshot(self, body: Mapping[str, Any]) -> None:
        time = int(body["trading_time"])
        self.snapshots[time] = {
            "time": time,
            **{name: round_money(Decimal(body[name])) for name in SCHEMAS["equity"].names[1:]},
            "positions": [
                {
                    "time": time,
                    "symbol": held["symbol"],
                    "quantity": Decimal(held["quantity"]),
                    **{name: round_money(Decimal(held[name])) for name in SCHEMAS["positions"].names[3:]},
                }
                for held in body["positions"]
            ],
        }


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _order_row(order: Order) -> Row:
    return {
        "client_order_id": order.client_order_id,
        "strategy": order.strategy,
        "symbol": order.symbol,
        "side": order.side.value,
        "order_type": order.order_type.value,
        "quantity": order.quantity,
        "limit_price": order.limit_price,
        "stop_price": order.stop_price,
        "time_in_force": order.time_in_force.value,
        "submitted_time": utc_ns(order.submitted_at),
        "status": order.status.value,
        "reason": order.reason,
    }


def _fill_row(fill: Fill) -> Row:
    return {
        "fill_id": fill.fill_id,
        "client_order_id": fill.client_order_id,
        "symbol": fill.symbol,
        "side": fill.side.value,
        "quantity": fill.quantity,
        "price": fill.price,
        "time": utc_ns(fill.timestamp),
        "commission": fill.commission,
    }


def _snapshot_row(snapshot: PortfolioSnapshot) -> Row:
    time = utc_ns(snapshot.timestamp)
    return {
        "time": time,
        **{name: round_money(getattr(snapshot, name)) for name in SCHEMAS["equity"].names[1:]},
        "positions": [
            {
                "time": time,
                "symbol": held.symbol,
                "quantity": held.quantity,
                **{name: round_money(getattr(held, name)) for name in SCHEMAS["positions"].names[3:]},
            }
            for held in snapshot.positions
        ],
    }


def _signal_rows(bodies: Iterable[Mapping[str, Any]], placed_for: Mapping[str, str]) -> list[Row]:
    orders: dict[str, list[str]] = {}
    for client_order_id, signal_id in placed_for.items():
        orders.setdefault(signal_id, []).append(client_order_id)
    return [
        {
            **{name: body[name] for name in ("signal_id", "strategy", "name", "symbol", "direction")},
            "time": int(body["trading_time"]),
            "strength": body["strength"],
            "target": _decimal(body["target"]),
            "features": canonical(body["features"]),
            "orders": orders.get(body["signal_id"], []),
        }
        for body in bodies
    ]


def _build(
    orders: list[Row],
    fills: list[Row],
    snapshots: list[Row],
    refused: Mapping[str, str],
    signals: Iterable[Row],
    adjustments: Iterable[Adjustment],
) -> LedgerTables:
    orders.sort(key=lambda row: row["submitted_time"])  # stable: ties stay in order of submission
    place = {row["client_order_id"]: number for number, row in enumerate(orders)}
    fills.sort(
        key=lambda row: (row["time"], place.get(row["client_order_id"], len(place)), _natural(row["fill_id"]))
    )
    _settle(orders, fills)
    latest = {row["time"]: row for row in snapshots}
    equity = [latest[time] for time in sorted(latest)]
    positions = [held for row in equity for held in sorted(row["positions"], key=lambda held: held["symbol"])]
    return LedgerTables(
        table_of("orders", orders),
        table_of("fills", fills),
        table_of("positions", positions),
        table_of("equity", equity),
        dict(sorted(Counter(refused.values()).items())),
        table_of("signals", sorted(signals, key=_place_of_signal)),
        tuple(sorted(adjustments, key=lambda one: one.time)),  # stable: those of one moment stay in order
    )


def _place_of_signal(row: Row) -> tuple[int, str, tuple[str, int, str]]:
    return row["time"], row["symbol"], _natural(row["signal_id"], "-s")


def _natural(identity: str, mark: str = "-") -> tuple[str, int, str]:
    # "…-10" comes after "…-9": fills of one order are numbered from 1, and so are signals on one bar.
    stem, _, number = identity.rpartition(mark)
    counted = number.isascii() and number.isdigit()
    return (stem, int(number), identity) if counted else (identity, 0, identity)


def _settle(orders: list[Row], fills: list[Row]) -> None:
    quantity: dict[str | None, Decimal] = {}
    value: dict[str | None, Decimal] = {}
    for fill in fills:
        key = fill["client_order_id"]
        quantity[key] = quantity.get(key, ZERO) + fill["quantity"]
        value[key] = value.get(key, ZERO) + fill["quantity"] * fill["price"]
    for order in orders:
        key = order["client_order_id"]
        filled = quantity.get(key, ZERO)
        order["filled_quantity"] = filled
        order["average_fill_price"] = round_money(value[key] / filled) if filled else None
        # A bust or correction after the end does not put the order to work again.
        order["status"] = _status(order["status"], filled + order.get("withdrawn", ZERO) >= order["quantity"])
        order["reason"] = order["reason"] if order["status"] == OrderStatus.REJECTED else None


def _status(status: str, complete: bool) -> str:
    state = OrderStatus(status)
    if complete:
        return OrderStatus.FILLED.value
    if state is OrderStatus.FILLED:
        return OrderStatus.UNKNOWN.value
    known = state.is_final or state is OrderStatus.UNKNOWN
    return state.value if known else OrderStatus.SUBMITTED.value
