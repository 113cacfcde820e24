"""Rules, book, kill switch and metrics come to the same whatever a program sets for its own decimals."""

from __future__ import annotations

import decimal
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from execution.book.adjustments import Adjustment, AdjustmentKind
from execution.models import OrderRequest, PortfolioSnapshot
from execution.numbers import ARITHMETIC
from risk.manager import ShapingRiskManager
from risk.metrics import RiskMeter

if TYPE_CHECKING:
    from .conftest import Desk, MakeDesk

HOSTILE = [
    decimal.Context(prec=3),
    decimal.Context(prec=28, traps=[decimal.Inexact, decimal.Rounded]),
    decimal.Context(prec=5, rounding=decimal.ROUND_UP),
]


def _with(snapshot: PortfolioSnapshot, more: str) -> PortfolioSnapshot:
    return replace(snapshot, equity=ARITHMETIC.add(snapshot.equity, Decimal(more)))


def figures(d: Desk, entry: OrderRequest, leg: OrderRequest, odd: OrderRequest) -> Any:
    """Return everything that is computed of a book of two positions and an open order."""
    shaped = ShapingRiskManager(d.engine, d.instruments).validate(odd)
    now = d.clock.now_ns()
    snapshot = d.portfolio.snapshot(now)
    meter, switch = RiskMeter(), d.kill_switch
    meter.see(_with(snapshot, "12345.67"))
    switch.on_snapshot(_with(snapshot, "1234.56"))
    event = switch.on_snapshot(snapshot)
    return (
        d.engine.evaluate(entry),
        d.engine.evaluate_bracket(entry, [leg]),
        d.engine.evaluate_exit(leg, entry),
        d.engine.exposures.gross(now),
        d.engine.exposures.recomputed(now),
        d.engine.exposures.of("AAA", now),
        None if shaped is None else (shaped.quantity, shaped.limit_price),
        (snapshot, d.portfolio.equity(), d.portfolio.market_values(now)),
        meter.measure(snapshot).to_body(),
        (event, switch.daily_loss, repr(switch)),
    )


@pytest.mark.parametrize("hostile", HOSTILE)
def test_the_callers_decimal_context_changes_no_decision_and_no_figure(
    desk: MakeDesk, hostile: decimal.Context
) -> None:
    made = []
    for context in (decimal.getcontext().copy(), hostile):
        d = desk(
            multiplier="12.5",
            per_symbol_notional_cap="7654321.5",
            max_gross_exposure="7654321.5",
            max_daily_loss="1234.55",
            long_only=False,
        )
        d.hold(1231, price="101.3333")
        d.hold(-777, "BBB", price="99.0001")
        d.mark(123.4567)
        d.mark(98.7654, "BBB")
        d.submit(d.order(333, limit_price=Decimal("122.2221")))
        orders = (
            d.order(1234),
            d.order(-1234, limit_price=Decimal("131.37")),
            d.order("101.7", limit_price=Decimal("123.4567")),
        )
        with decimal.localcontext(context):
            made.append(figures(d, *orders))
    assert made[0] == made[1]
    assert made[0][9][0] is not None


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_split_moves_the_mark_alike(desk: MakeDesk, hostile: decimal.Context) -> None:
    marks = []
    for context in (decimal.getcontext().copy(), hostile):
        d = desk()
        d.hold(1231)
        d.mark(123.4567)
        with decimal.localcontext(context):
            d.portfolio.adjust(Adjustment(AdjustmentKind.SPLIT, "AAA", 1, Decimal(2462)))
        marks.append(d.portfolio.mark("AAA"))
    assert marks[0] == marks[1] == Decimal("41.152233")
