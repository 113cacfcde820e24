"""Which splits and dividends a backtest books, and whether its bars agree with them.

Bars that hold a split nobody tells of would make a crash of it, and bars that are adjusted for a split would
be adjusted twice: neither is run. A jump that merely looks like a split is refused only while nobody was
named; who was named may say that it was none.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np
import structlog

from data.bars import BarSeries
from data.corporate_actions import ActionKind, CorporateAction
from data.corporate_actions.for_trading import in_the_book
from data.errors import CorporateActionDataError
from data.quality.check import Thresholds
from data.quality.finding import Finding, Kind
from data.quality.rows import Rows
from data.quality.splits import splits
from execution.book import adjustments
from execution.clocks import timestamp
from execution.numbers import format_decimal
from infrastructure.data_sources import NO_ACTIONS, action_source
from infrastructure.market import Market
from infrastructure.settings import Settings

REMEDY: Final = (
    "name who knows splits and dividends: --actions FILE|DIR|yahoo|stored; --actions none says that there "
    "were none"
)
_LEAST_JUMP: Final = 0.28
"""Logarithmic jump of a split, 4-for-3, that an ordinary day cannot be taken for."""
_NEAR_IT: Final = 0.9


@dataclass(frozen=True, slots=True)
class RunActions:
    """Splits and dividends in the span of a run's bars, by date; `source` is who was named, or empty."""

    source: str
    actions: tuple[CorporateAction, ...] = ()
    booked: tuple[adjustments.CorporateAction, ...] = ()
    """The same in the words of the book."""

    def as_texts(self) -> list[str]:
        """Return each as a row of a file of corporate actions."""
        return [f"{one.ex_date},{one.symbol},{one.kind},{_text(one)}" for one in self.actions]

    def describe(self) -> str:
        """Say how many there are, and of whom."""
        counts = [
            f"{count} {kind}{'s' if count != 1 else ''}"
            for kind in (ActionKind.SPLIT, ActionKind.DIVIDEND)
            if (count := sum(one.kind is kind for one in self.actions))
        ]
        return f"{' and '.join(counts)} of {self.source}"


def run_actions(settings: Settings, market: Market) -> RunActions:
    """Return what a backtest books of what `data.corporate_actions` knows.

    Raises
    ------
    CorporateActionDataError
        If a symbol is not covered or changes its ticker, if bars are adjusted for a split that is known, or
        if nobody is named and bars hold a split, by their prices or by what the database knows.
    SourceNotInstalledError
        If Yahoo is named and ``yfinance`` is not installed.
    """
    named = settings.data.corporate_actions
    if named is None:
        if settings.data.bars is not None:
            _require_no_split(settings, market)
        return RunActions("")
    source, clock = action_source(settings), market.bars.clock
    found: list[CorporateAction] = []
    assert source is not None  # noqa: S101 - somebody is named
    for symbol in market.bars.symbols:
        series = market.bars[symbol]
        actions = source.actions(symbol, *_span(market, series))
        for action in actions:
            if action.kind is ActionKind.RENAME:
                raise CorporateActionDataError(
                    f"{symbol} is {action.new_symbol} from {action.ex_date} on, which a backtest does not "
                    "follow: join its bars under one name (data.corporate_actions.continuous), or end before"
                )
        _require_as_traded(market, series, actions, told=named != NO_ACTIONS)
        found += actions
    found.sort(key=lambda one: (one.ex_date, one.symbol, one.kind))
    return RunActions(named, tuple(found), tuple(in_the_book(one, clock) for one in found))


def _span(market: Market, series: BarSeries) -> tuple[dt.date, dt.date]:
    """Return the dates on which an action changes anything: from the day after the first bar's."""
    zone = market.bars.clock.tz
    first, last = (
        timestamp(int(ns)).tz_convert(zone).date() for ns in (series.start_ns[0], series.end_ns[-1])
    )
    return first + dt.timedelta(days=1), last


def _require_as_traded(
    market: Market, series: BarSeries, actions: Sequence[CorporateAction], *, told: bool
) -> None:
    for one in _jumps(market, series, actions):
        if one.kind is Kind.SPLIT_WITHOUT_JUMP:
            raise CorporateActionDataError(
                f"{series.symbol}, {_day(one)}: {one.what}, so these bars seem to be adjusted: give bars as "
                "they were traded, or --actions none"
            )
        if one.kind is Kind.SPLIT_UNEXPLAINED and told:
            structlog.get_logger("corporate-actions").warning(
                "a jump like that of a split, which the corporate actions do not explain",
                symbol=series.symbol,
                date=_day(one),
                what=one.what,
                remedy=one.proposal,
            )


def _require_no_split(settings: Settings, market: Market) -> None:
    found = _splits_inside(settings, market)
    if found:
        raise CorporateActionDataError(f"{_summed_up(found)}: {REMEDY}")


def warn_of_splits(settings: Settings, market: Market) -> None:
    """Log a warning if bars hold a split, for a run that books none: it shows a crash, or a rise, instead."""
    found = [] if settings.data.bars is None else _splits_inside(settings, market)
    if found:
        structlog.get_logger("corporate-actions").warning(
            "the bars hold a split, which is not booked here",
            what=_summed_up(found),
            remedy="trade data export --actions writes adjusted bars; trade backtest --actions books splits",
        )


def _splits_inside(settings: Settings, market: Market) -> list[Finding]:
    """Return the splits in bars: by their prices, and by what is named or what the database knows."""
    source = action_source(settings)
    found: list[Finding] = []
    for symbol in market.bars.symbols:
        series = market.bars[symbol]
        known: Sequence[CorporateAction] = ()
        if source is not None:
            try:
                known = source.actions(symbol, *_span(market, series))
            except CorporateActionDataError:
                known = ()  # it is not covered: its prices speak for themselves
        kinds = (Kind.SPLIT_UNEXPLAINED, Kind.SPLIT)
        found += [one for one in _jumps(market, series, known) if one.kind in kinds]
    return found


def _summed_up(found: Sequence[Finding]) -> str:
    first, more = found[0], f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{first.symbol}, {_day(first)}: {first.what}{_like(first)}{more}"


def _like(finding: Finding) -> str:
    action = finding.action
    if action is None or action.value is None:
        return ""
    new, old = action.value.as_integer_ratio()
    return f", as at a {new}-for-{old} split"


def _jumps(market: Market, series: BarSeries, actions: Sequence[CorporateAction]) -> list[Finding]:
    known = [
        one for one in actions if one.kind is ActionKind.SPLIT and abs(np.log(one.amount)) >= _LEAST_JUMP
    ]
    positive = (series.close[:-1] > 0) & (series.open[1:] > 0)
    moves = np.log(series.open[1:][positive] / series.close[:-1][positive])
    if not known and not (np.abs(moves) > _NEAR_IT * _LEAST_JUMP).any():
        return []
    rows = Rows.of_series(series)
    return splits(rows, market.bars.clock, known, Thresholds().split_tolerance)


def _day(finding: Finding) -> str:
    return "" if finding.first is None else str(finding.first.date())


def _text(action: CorporateAction) -> str:
    return format_decimal(action.value) if isinstance(action.value, Decimal) else str(action.value)
