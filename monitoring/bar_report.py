"""The report of a check of bars: for programs as plain values, for people as one HTML page.

The page needs nothing else and asks nothing of the network; it has the style of a run's report. A calendar of
coverage shows at a glance where bars are; each symbol with a finding has a small chart, in which gaps are
shaded and jumps and spikes marked, and the table of its findings. Symbols without findings are listed.

The same bars give the same page.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2
import numpy as np
import pandas as pd
from plotly.offline import get_plotlyjs

from backtesting import report
from data.quality import Checked, Finding, Kind, Proposals, Rows, Severity, proposals
from execution.timeframes import Timeframe

MAX_POINTS: Final = 1_200
"""Most points of a small chart."""
MAX_SHAPES: Final = 200
"""Most shaded stretches, and most marks, of a chart."""
MAX_CHARTS: Final = 40
"""Most charts of a page; the symbols with the gravest findings come first."""
MAX_WORST: Final = 6
"""Most series whose gravest finding is told at the top."""
MAX_ROWS: Final = 60
"""Most symbols in the calendar of coverage, and most findings in the table of a symbol."""

_TEMPLATES: Final = Path(__file__).parent / "templates"
_MILLIS: Final = 1_000_000
_MARKED: Final = (Kind.SPIKE, Kind.SPLIT, Kind.SPLIT_UNEXPLAINED, Kind.SPLIT_WITHOUT_JUMP)
_PLURAL: Final = {Severity.ERROR: "errors", Severity.WARNING: "warnings", Severity.NOTE: "notes"}


@dataclass(frozen=True, slots=True)
class SymbolSummary:
    """What a report keeps of one symbol's check: the findings, and an outline instead of the bars."""

    symbol: str
    timeframe: str
    bars: int
    first: pd.Timestamp | None
    last: pd.Timestamp | None
    findings: tuple[Finding, ...]
    chart: dict[str, Any] | None
    """Closes thinned for the screen; None without findings or without rows."""
    coverage: dict[str, float]
    """Share of the sessions of each month that have a bar, by month such as ``2004-12``."""

    def count(self, severity: Severity) -> int:
        """Count the findings of one severity."""
        return sum(one.severity is severity for one in self.findings)


@dataclass(frozen=True, slots=True)
class BarReport:
    """The outcome of a whole check."""

    source: str
    calendar: str
    symbols: tuple[SymbolSummary, ...]
    proposals: Proposals

    def count(self, severity: Severity) -> int:
        """Count the findings of one severity."""
        return sum(one.count(severity) for one in self.symbols)

    @property
    def bars(self) -> int:
        """Rows that could be read, of all symbols."""
        return sum(one.bars for one in self.symbols)

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return self.count(Severity.ERROR) == 0

    def to_dict(self) -> dict[str, Any]:
        """Return the report as values that JSON can hold."""
        return {
            "source": self.source,
            "calendar": self.calendar,
            "ok": self.ok,
            **{_PLURAL[severity]: self.count(severity) for severity in Severity},
            "symbols": [
                {
                    "symbol": one.symbol,
                    "timeframe": one.timeframe or None,
                    "bars": one.bars,
                    "first": _iso(one.first),
                    "last": _iso(one.last),
                    "findings": [_finding(found) for found in one.findings],
                }
                for one in self.symbols
            ],
            "proposals": {
                "corporate_actions": [
                    {"date": str(a.ex_date), "symbol": a.symbol, "kind": a.kind.value, "value": str(a.value)}
                    for a in self.proposals.actions
                ],
                "pull": [
                    {
                        "symbol": pull.symbol,
                        "timeframe": pull.timeframe.value,
                        "first": str(pull.first),
                        "last": str(pull.last),
                        "why": pull.why,
                        "command": pull.command,
                    }
                    for pull in self.proposals.pulls
                ],
            },
        }


class ReportBuilder:
    """Takes the checks one by one, so that the bars of no two symbols are in memory at a time.

    Parameters
    ----------
    source, calendar
        Where the bars come from, and the exchange they were held against.
    """

    def __init__(self, source: str, calendar: str) -> None:
        self._source, self._calendar = source, calendar
        self._symbols: list[SymbolSummary] = []
        self._proposals: list[Proposals] = []

    def add(self, checked: Checked) -> None:
        """Take one symbol's check."""
        rows, size = checked.rows, checked.timeframe
        some = rows is not None and len(rows) > 0
        self._symbols.append(
            SymbolSummary(
                symbol=checked.symbol,
                timeframe="" if size is None else size.value,
                bars=checked.bars,
                first=report_time(int(rows.end_ns.min())) if some and rows is not None else None,
                last=report_time(int(rows.end_ns.max())) if some and rows is not None else None,
                findings=checked.findings,
                chart=_chart(checked) if checked.findings else None,
                coverage=_coverage(checked),
            )
        )
        self._proposals.append(proposals([checked]))

    def build(self) -> BarReport:
        """Return the report, its symbols in the order in which they came."""
        every = Proposals(
            tuple({(a.symbol, a.ex_date): a for part in self._proposals for a in part.actions}.values()),
            tuple(pull for part in self._proposals for pull in part.pulls),
        )
        return BarReport(self._source, self._calendar, tuple(self._symbols), every)


def report_time(ns: int) -> pd.Timestamp:
    """Return UTC nanoseconds as a Timestamp to the second."""
    return pd.Timestamp(ns // 1_000_000_000, unit="s", tz="UTC")


def when(found: Finding, timeframe: str) -> str:
    """Write the time of a finding for people, in UTC: a date or two, of bars within a day to the minute."""
    if found.first is None or found.last is None:
        return "\N{EN DASH}"
    if found.first.date() != found.last.date():
        return f"{found.first.date()} to {found.last.date()}"
    if timeframe == Timeframe.DAY.value:
        return str(found.first.date())
    until = "" if found.first == found.last else f" to {found.last:%H:%M}"
    return f"{found.first:%Y-%m-%d %H:%M}{until}"


def render(made: BarReport) -> str:
    """Return the report as one HTML page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    plotly, script = get_plotlyjs(), (_TEMPLATES / "bar_report.js").read_text(encoding="utf-8")
    base = (report.TEMPLATES / "report.css").read_text(encoding="utf-8")
    return environment.get_template("bar_report.html").render(
        view=view(made),
        style=base + (_TEMPLATES / "bar_report.css").read_text(encoding="utf-8"),
        plotly=plotly,
        script=script,
        hashes=[report.csp_hash(plotly), report.csp_hash(script)],
    )


def write(made: BarReport, path: Path) -> Path:
    """Write the page, appearing whole or not at all; return its path."""
    partial = path.with_name(f".{path.name}.tmp")
    partial.write_text(render(made), encoding="utf-8", newline="\n")
    partial.replace(path)
    return path


def view(made: BarReport) -> dict[str, Any]:
    """Return what the template shows, as plain values."""
    found = sorted(
        (one for one in made.symbols if one.findings),
        key=lambda one: tuple(-one.count(severity) for severity in Severity),
    )
    kinds = Counter((f.severity, f.kind) for one in made.symbols for f in one.findings)
    firsts = [one.first for one in made.symbols if one.first is not None]
    lasts = [one.last for one in made.symbols if one.last is not None]
    charts = [one.chart for one in found[:MAX_CHARTS] if one.chart is not None]
    numbers = iter(range(len(charts)))
    return {
        "source": made.source,
        "calendar": made.calendar,
        "ok": made.ok,
        "counts": {severity.value: made.count(severity) for severity in Severity},
        "bars": f"{made.bars:,}",
        "series": len(made.symbols),
        "period": [str(min(firsts).date()), str(max(lasts).date())] if firsts else [],
        "kinds": [
            {"severity": severity.value, "kind": kind.value, "count": kinds[severity, kind]}
            for severity in Severity
            for kind in Kind
            if kinds[severity, kind]
        ],
        "worst": [
            {
                "section": i,
                "name": f"{one.symbol} {one.timeframe}".strip(),
                "what": min(one.findings, key=_gravity).what,
            }
            for i, one in enumerate(found[:MAX_WORST])
        ],
        "unsaid": max(0, len(found) - MAX_WORST),
        "sections": [
            _section(one, next(numbers) if i < MAX_CHARTS and one.chart else None)
            for i, one in enumerate(found)
        ],
        "clean": [f"{one.symbol} {one.timeframe}" for one in made.symbols if not one.findings],
        "data": report.embedded_json({"coverage": _matrix(found, made.symbols), "charts": charts}),
        "covered": bool(firsts),
        "proposals": made.proposals.to_text() if made.proposals.actions or made.proposals.pulls else "",
    }


def _gravity(found: Finding) -> tuple[int, bool, int]:
    return list(Severity).index(found.severity), found.further > 0, -found.count


def _section(one: SymbolSummary, number: int | None) -> dict[str, Any]:
    return {
        "symbol": one.symbol,
        "timeframe": one.timeframe,
        "bars": f"{one.bars:,}",
        "period": "" if one.first is None or one.last is None else f"{one.first.date()} to {one.last.date()}",
        "chart": number,
        "counts": [(severity.value, one.count(severity)) for severity in Severity if one.count(severity)],
        "rows": [
            {
                "severity": f.severity.value,
                "kind": f.kind.value,
                "when": when(f, one.timeframe),
                "what": f.what,
                "then": f.proposal,
            }
            for f in one.findings[:MAX_ROWS]
        ],
        "more": max(0, len(one.findings) - MAX_ROWS),
    }


def _chart(checked: Checked) -> dict[str, Any] | None:
    rows = checked.rows
    if rows is None:
        return None
    drawable = np.isfinite(rows.close) & (rows.close > 0)
    order = np.argsort(rows.end_ns[drawable], kind="stable")
    times, closes = rows.end_ns[drawable][order], rows.close[drawable][order]
    if not len(times):
        return None
    keep = report.thin(times, closes, MAX_POINTS)
    x: list[int] = (times[keep] // _MILLIS).tolist()
    y: list[float | None] = closes[keep].tolist()
    bands: list[dict[str, Any]] = []
    marks: list[dict[str, Any]] = []
    for found in checked.findings:
        if found.first is None or found.last is None:
            continue
        start, end = found.first.value // _MILLIS, found.last.value // _MILLIS
        if found.kind in (Kind.GAP, Kind.STALE):
            bands.append({"from": start, "to": end, "kind": found.kind.value, "text": found.what})
            i = bisect_right(x, start)
            if found.kind is Kind.GAP and 0 < i < len(x):  # the line breaks where bars are missing
                x.insert(i, start)
                y.insert(i, None)
        elif found.kind in _MARKED:
            if found.further:
                continue
            marks.append({"x": start, "y": _price(rows, found), "kind": found.kind.value, "text": found.what})
    return {"x": x, "y": y, "bands": bands[:MAX_SHAPES], "marks": marks[:MAX_SHAPES]}


def _price(rows: Rows, found: Finding) -> float:
    """Return the price that a mark belongs to: of a spike the high or low, if that is it, else the close."""
    at = int(np.argmax(rows.end_ns == found.last.value)) if found.last is not None else 0
    close, high, low = float(rows.close[at]), float(rows.high[at]), float(rows.low[at])
    if found.kind is not Kind.SPIKE or low <= 0:
        return close
    return max(close, high, low, key=lambda price: abs(np.log(price / close)))


def _coverage(checked: Checked) -> dict[str, float]:
    rows, clock = checked.rows, checked.clock
    if rows is None or clock is None or not len(rows) or not len(clock):
        return {}
    at = np.searchsorted(clock.closes_ns, np.sort(rows.end_ns), side="left")
    present = np.unique(at[at < len(clock)])
    if not len(present):
        return {}
    months = np.array(clock.dates, dtype="datetime64[M]")
    due = np.arange(present[0], present[-1] + 1)
    names, total = np.unique(months[due], return_counts=True)
    there, counts = np.unique(months[present], return_counts=True)
    have = dict(zip(there.astype(str).tolist(), counts.tolist(), strict=True))
    return {
        month: round(have.get(month, 0) / due_days, 3)
        for month, due_days in zip(names.astype(str).tolist(), total.tolist(), strict=True)
    }


def _matrix(found: Sequence[SymbolSummary], every: Sequence[SymbolSummary]) -> dict[str, Any]:
    """Return symbols by months, those with findings first; None outside of a symbol's first and last bar."""
    clean = [one for one in every if not one.findings]
    shown = [one for one in [*found, *clean] if one.coverage][:MAX_ROWS]
    if not shown:
        return {"symbols": [], "months": [], "share": []}
    first, last = (pick(month for one in shown for month in one.coverage) for pick in (min, max))
    end = np.datetime64(last, "M") + np.timedelta64(1, "M")
    months = [str(month) for month in np.arange(first, end, dtype="datetime64[M]")]
    return {
        "symbols": [f"{one.symbol} {one.timeframe}" for one in shown],
        "months": months,
        "share": [[one.coverage.get(month) for month in months] for one in shown],
    }


def _finding(found: Finding) -> dict[str, Any]:
    return {
        "severity": found.severity.value,
        "kind": found.kind.value,
        "first": _iso(found.first),
        "last": _iso(found.last),
        "count": found.count,
        "what": found.what,
        "proposal": found.proposal,
    }


def _iso(moment: pd.Timestamp | None) -> str | None:
    return None if moment is None else moment.isoformat()
