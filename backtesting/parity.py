"""Parity: the same configuration through two paths must give the same trade, to the cent.

The comparison is by key (client order id, fill id, time and symbol, time, signal id) and covers every column
but one: `orders.reason` is the broker's prose and decides nothing. A row that only one side has is one
difference in the pseudo column `row`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa

from backtesting.ledgers import NAMES, LedgerTables
from execution.models import ZERO
from execution.numbers import format_decimal

KEYS: Mapping[str, tuple[str, ...]] = {
    "orders": ("client_order_id",),
    "fills": ("fill_id",),
    "positions": ("time", "symbol"),
    "equity": ("time",),
    "signals": ("signal_id",),
}
_LEFT_OUT = {"orders": ("reason",)}


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that the two sides state differently; None where a side has no such row."""

    table: str
    key: str
    column: str
    left: str | None
    right: str | None
    order: str | None = None
    """The client order id it belongs to, where there is one."""

    def __str__(self) -> str:
        left, right = (("absent" if side is None else side) for side in (self.left, self.right))
        return f"{self.table} {self.key}: {self.column} {left} | {right}"


@dataclass(frozen=True, slots=True)
class ParityReport:
    """What comparing two runs found.

    `counts` holds the rows of each table on both sides, `final_equity` the last equity of both (None for a
    side without snapshots), `equity_gap` the largest difference of equity at any time both sides have.
    """

    left: str
    right: str
    differences: tuple[Difference, ...]
    counts: Mapping[str, tuple[int, int]]
    final_equity: tuple[Decimal | None, Decimal | None]
    equity_gap: Decimal

    @property
    def identical(self) -> bool:
        """Whether there is no difference at all."""
        return not self.differences

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON; at most 1,000 differences are listed."""
        return {
            "identical": self.identical,
            "left": self.left,
            "right": self.right,
            "counts": {name: list(pair) for name, pair in self.counts.items()},
            "final_equity": [_text(value) for value in self.final_equity],
            "equity_gap": format_decimal(self.equity_gap),
            "differences_total": len(self.differences),
            "differences": [
                {"table": d.table, "key": d.key, "column": d.column, "left": d.left, "right": d.right}
                for d in self.differences[:1000]
            ],
        }

    def text(self, orders: int = 5) -> str:
        """Explain the outcome, with the first `orders` orders that differ and what differs in each."""
        ours, theirs = (_text(value) or "none" for value in self.final_equity)
        counts = ", ".join(f"{name} {left} | {right}" for name, (left, right) in self.counts.items())
        head = "identical" if self.identical else f"{len(self.differences)} differences"
        lines = [
            f"parity {self.left} | {self.right}: {head}",
            f"  {counts}",
            f"  final equity {ours} | {theirs}, largest gap {format_decimal(self.equity_gap)}",
        ]
        by_order: dict[str | None, list[Difference]] = {}
        for difference in self.differences:
            by_order.setdefault(difference.order, []).append(difference)
        named = [order for order in by_order if order is not None]
        for order in named[:orders]:
            lines.append(f"  order {order}")
            lines += [f"    {difference}" for difference in by_order[order]]
        if len(named) > orders:
            lines.append(f"  and {len(named) - orders} more orders")
        rest = by_order.get(None, [])
        lines += [f"  {difference}" for difference in rest[:orders]]
        if len(rest) > orders:
            lines.append(f"  and {len(rest) - orders} more values of positions and equity")
        return "\n".join(lines)


def compare(
    left: LedgerTables, right: LedgerTables, names: tuple[str, str] = ("left", "right")
) -> ParityReport:
    """Compare two runs value by value.

    Parameters
    ----------
    left, right
        The ledgers of both paths.
    names
        What to call them, for example ("live", "backtest").
    """
    differences: list[Difference] = []
    for name in NAMES:
        one, other = (side.table(name).drop_columns(list(_LEFT_OUT.get(name, ()))) for side in (left, right))
        if not one.equals(other):
            differences += _differences(name, one, other)
    return ParityReport(
        left=names[0],
        right=names[1],
        differences=tuple(differences),
        counts={name: (left.table(name).num_rows, right.table(name).num_rows) for name in NAMES},
        final_equity=(_final_equity(left), _final_equity(right)),
        equity_gap=_equity_gap(left.equity, right.equity),
    )


def _differences(name: str, left: pa.Table, right: pa.Table) -> Iterator[Difference]:
    mine, theirs = _rows(name, left), _rows(name, right)
    found = False
    for key in (*mine, *(key for key in theirs if key not in mine)):
        one, other = mine.get(key), theirs.get(key)
        order = (one or other or {}).get("client_order_id")
        label = " ".join(_text(part) or "none" for part in key)
        if one is None or other is None:
            found = True
            yield Difference(name, label, "row", _summary(one), _summary(other), order)
            continue
        for column, value in one.items():
            if value != other[column]:
                found = True
                yield Difference(name, label, column, _text(value), _text(other[column]), order)
    if not found:
        yield Difference(name, "all", "sequence of rows", "as sent", "in another order or repeated")


def _rows(name: str, table: pa.Table) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(row[column] for column in KEYS[name]): row for row in table.to_pylist()}


def _summary(row: Mapping[str, Any] | None) -> str | None:
    if row is None:
        return None
    shown = ("symbol", "side", "quantity", "price", "status", "equity")
    return " ".join(str(_text(row[column])) for column in shown if row.get(column) is not None)


def _final_equity(side: LedgerTables) -> Decimal | None:
    column = side.equity["equity"]
    return column[-1].as_py() if len(column) else None


def _equity_gap(left: pa.Table, right: pa.Table) -> Decimal:
    theirs = dict(zip(right["time"].to_pylist(), right["equity"].to_pylist(), strict=True))
    both = zip(left["time"].to_pylist(), left["equity"].to_pylist(), strict=True)
    return max((abs(equity - theirs[time]) for time, equity in both if time in theirs), default=ZERO)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, Decimal):
        return format_decimal(value)
    return value.isoformat(sep=" ") if isinstance(value, pd.Timestamp) else str(value)
