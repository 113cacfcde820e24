"""What became of a strategy's signals: how many were stated, led to orders, were filled, and paid.

A round trip (see `backtesting.metrics.round_trips`) belongs to the signal whose order opened it; it is a hit
if its profit, net of commissions, is positive. Round trips that no signal's order opened are in no row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from backtesting.ledgers import LedgerTables
from backtesting.metrics import round_trips
from execution.models import ZERO


@dataclass(frozen=True, slots=True)
class SignalFigures:
    """Figures of the signals of one name of one strategy.

    `ordered` and `filled` count signals with at least one order placed, and with at least one execution;
    `hit_rate` is a fraction, None without a round trip; `profit` is in account currency.
    """

    strategy: str
    name: str
    signals: int
    long: int
    short: int
    flat: int
    ordered: int
    filled: int
    round_trips: int
    hits: int
    hit_rate: float | None
    profit: Decimal

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def signal_figures(
    tables: LedgerTables, multipliers: Mapping[str, Decimal] | None = None
) -> tuple[SignalFigures, ...]:
    """Return the figures by strategy and name, sorted.

    Parameters
    ----------
    tables
        The ledgers of a run.
    multipliers
        Contract multiplier by symbol; 1 where it has none.
    """
    signals = tables.signals.to_pylist()
    if not signals:
        return ()
    executions = tables.executions()
    executed = {fill.client_order_id for fill in executions}
    kind = {order: (row["strategy"], row["name"]) for row in signals for order in row["orders"]}
    counts: Counter[tuple[tuple[str, str], str]] = Counter()
    profit: dict[tuple[str, str], Decimal] = {}
    for row in signals:
        of = (row["strategy"], row["name"])
        counts[of, row["direction"]] += 1
        counts[of, "ordered"] += bool(row["orders"])
        counts[of, "filled"] += not executed.isdisjoint(row["orders"])
        profit.setdefault(of, ZERO)
    for trip in round_trips(executions, multipliers, tables.adjustments):
        of = kind.get(trip.opened_by or "", ("", ""))
        if of in profit:
            counts[of, "trips"] += 1
            counts[of, "hits"] += trip.profit > 0
            profit[of] += trip.profit
    return tuple(
        SignalFigures(
            strategy=of[0],
            name=of[1],
            signals=sum(counts[of, side] for side in ("LONG", "SHORT", "FLAT")),
            long=counts[of, "LONG"],
            short=counts[of, "SHORT"],
            flat=counts[of, "FLAT"],
            ordered=counts[of, "ordered"],
            filled=counts[of, "filled"],
            round_trips=counts[of, "trips"],
            hits=counts[of, "hits"],
            hit_rate=counts[of, "hits"] / counts[of, "trips"] if counts[of, "trips"] else None,
            profit=profit[of],
        )
        for of in sorted(profit)
    )
