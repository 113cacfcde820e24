"""The report of a run: one HTML file that needs nothing else and asks nothing of the network.

1. The ledgers are turned into plain view data: key figures, series for the charts, rows for the tables.
2. A series of more than `MAX_POINTS` points is thinned for the screen: of each stretch the first, lowest,
   highest and last point stay (M4: Jugel et al., VLDB 2014), so no peak or trough is lost. Figures are never
   computed from the thinned series.
3. A Jinja template with autoescape writes the page; Plotly, the page's script and its style are inlined. A
   content security policy allows exactly these two scripts by their hashes and no connection at all.

The same data gives the same page.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from plotly.offline import get_plotlyjs

from backtesting.ledgers import LedgerTables
from backtesting.parity import ParityReport
from backtesting.report_figures import FIGURES, NONE, figure_text
from backtesting.signal_figures import SignalFigures
from execution.numbers import format_decimal

MAX_POINTS = 8_000
"""Most points a chart draws; longer series are thinned."""
MAX_ROWS = 1_000
"""Most rows a table carries; the rest is in the Parquet files beside the report."""

TEMPLATES = Path(__file__).parent / "templates"
"""Where the page, its style and its script lie."""

_MILLIS = 1_000_000
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything the report shows, as plain values.

    Parameters
    ----------
    run_id, strategy, timeframe, profile
        Identity of the run.
    symbols
        Label of each symbol, for example ``{"SPXSIM": "S&P 500 index, simulated contract"}``.
    tables
        The run's ledgers.
    metrics
        Figures of `backtesting.metrics.summary_metrics`: fractions, not percent; None where undefined.
    initial_cash
        Cash at the start, in account currency.
    verdict
        ``{"ok": bool, "lines": [{"name", "ours", "theirs", "ok"}]}`` (see `monitoring.verdict`), or None.
    parity
        Comparison with the other path, or None if there was none.
    refusals
        Orders refused, by rule; taken from the ledgers if None.
    signals
        What became of the strategy's signals, by name.
    manifest
        Facts of provenance: ``git_sha``, ``config_hash``, data hashes and so on.
    config
        The configuration, secrets masked.
    """

    run_id: str
    strategy: str
    symbols: Mapping[str, str]
    tables: LedgerTables
    metrics: Mapping[str, Any]
    initial_cash: Decimal
    timeframe: str = ""
    profile: str = ""
    verdict: Mapping[str, Any] | None = None
    parity: ParityReport | None = None
    refusals: Mapping[str, int] | None = None
    signals: Sequence[SignalFigures] = ()
    manifest: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)


def render(data: ReportData) -> str:
    """Return the report as one HTML page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"money": money, "number": number, "moment": moment, "percent": percent}
    plotly, script = get_plotlyjs(), (TEMPLATES / "report.js").read_text(encoding="utf-8")
    return environment.get_template("report.html").render(
        view=view(data),
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        plotly=plotly,
        script=script,
        hashes=[csp_hash(plotly), csp_hash(script)],
    )


def write(data: ReportData, path: Path) -> Path:
    """Write the report, appearing whole or not at all; return its path."""
    partial = path.with_name(f".{path.name}.tmp")
    partial.write_text(render(data), encoding="utf-8", newline="\n")
    partial.replace(path)
    return path


def view(data: ReportData) -> dict[str, Any]:
    """Return what the template shows, as plain values."""
    tables = data.tables
    times, equity = _times(tables), _floats(tables, "equity")
    orders = tables.orders.to_pylist()
    outstanding = [order for order in orders if order["status"] in ("SUBMITTED", "UNKNOWN")]
    last = tables.equity.slice(max(0, len(times) - 1)).to_pylist()
    refusals = tables.refusals if data.refusals is None else data.refusals
    return {
        "data": data,
        "provenance": _provenance(data),
        "period": [moment(int(times[index]))[:10] for index in (0, -1)] if len(times) else [],
        "steps": len(times),
        "figures": _figures(data, last),
        "chart": embedded_json(_chart(data, times, equity)),
        "thinned": len(times) > MAX_POINTS,
        "months": _months(times, equity, float(data.initial_cash)),
        "fills": _latest(tables.fills.to_pylist()),
        "orders": _latest(orders),
        "outstanding": outstanding,
        "positions": _final_positions(tables),
        "cash": last[0] if last else None,
        "initial_cash": data.initial_cash,
        "refusals": dict(sorted(refusals.items(), key=lambda item: (-item[1], item[0]))),
        "config": json.dumps(data.config, indent=2, sort_keys=True, ensure_ascii=False, default=str),
    }


def money(value: Any) -> str:
    """Write an amount with thousands separated and two decimals; a dash if there is none."""
    return NONE if value is None else f"{value:,.2f}".replace("-", "\N{MINUS SIGN}")


def number(value: Any) -> str:
    """Write a size or price without superfluous zeros; a dash if there is none."""
    if value is None:
        return NONE
    text = format_decimal(value) if isinstance(value, Decimal) else f"{value:,}"
    return text.replace("-", "\N{MINUS SIGN}")


def percent(value: float | None) -> str:
    """Write a fraction as a percentage; a dash if there is none."""
    return figure_text(value, "percent")


def moment(value: Any) -> str:
    """Write a time (nanoseconds or a Timestamp) as UTC to the second."""
    nanos = value if isinstance(value, int) else value.value
    return str(np.datetime64(nanos // 1_000_000_000, "s")).replace("T", " ")


def thin(times: Ints, values: Floats, most: int = MAX_POINTS) -> Ints:
    """Return the indices to draw of a series: all, or first, lowest, highest and last of each stretch.

    Parameters
    ----------
    times
        Nanoseconds, ascending, shape (n,).
    values
        Values, shape (n,).
    most
        Bound on the number of indices returned.
    """
    if len(times) <= most:
        return np.arange(len(times))
    edges = np.linspace(0, len(times), most // 4 + 1).astype(np.int64)
    keep: set[int] = set()
    for start, stop in pairwise(edges):
        stretch = values[start:stop]
        keep |= {int(start), int(start + stretch.argmin()), int(start + stretch.argmax()), int(stop - 1)}
    return np.array(sorted(keep), dtype=np.int64)


def _times(tables: LedgerTables) -> Ints:
    column = tables.equity["time"].cast("int64")
    return np.asarray(column.to_numpy(), dtype=np.int64)


def _floats(tables: LedgerTables, name: str) -> Floats:
    return np.asarray(tables.equity[name].cast("float64").to_numpy(), dtype=np.float64)


def _provenance(data: ReportData) -> list[tuple[str, str]]:
    shown = {"git_sha": "Git", "config_hash": "Config"}
    facts = [("Run", data.run_id)]
    facts += [(label, str(data.manifest[key])) for key, label in shown.items() if key in data.manifest]
    for name, digest in sorted(dict(data.manifest.get("data_hashes", {})).items()):
        facts.append((f"Data {name}", str(digest)))
    return facts


def _figures(data: ReportData, last: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    values: dict[str, Any] = dict(data.metrics)
    values.setdefault("final_equity", last[0]["equity"] if last else None)
    values.setdefault("commissions", last[0]["fees"] if last else None)
    values.setdefault("orders", data.tables.orders.num_rows)
    values.setdefault("fills", data.tables.fills.num_rows)
    names = [name for name in FIGURES if name in values]
    figures = []
    for name in names:
        label, kind = FIGURES[name]
        value = values[name]
        signed = name in ("total_return", "cagr", "sharpe", "sortino", "calmar") and value is not None
        tone = ("good" if value > 0 else "bad" if value < 0 else "") if signed else ""
        figures.append({"label": label, "value": figure_text(value, kind), "tone": tone})
    return figures


def _chart(data: ReportData, times: Ints, equity: Floats) -> dict[str, Any]:
    peaks = np.maximum.accumulate(np.maximum(equity, float(data.initial_cash))) if len(equity) else equity
    drawdown = np.divide(equity, peaks, out=np.ones_like(equity), where=peaks > 0) - 1
    exposure = _floats(data.tables, "gross_exposure")
    return {
        "equity": _series(times, equity, 2),
        "drawdown": _series(times, 100 * drawdown, 3),
        "exposure": _series(times, exposure, 2),
        "positions": _position_series(data.tables),
        "fills": _fill_marks(data.tables),
    }


def _series(times: Ints, values: Floats, digits: int) -> dict[str, list[Any]]:
    index = thin(times, values)
    return {"x": (times[index] // _MILLIS).tolist(), "y": np.round(values[index], digits).tolist()}


def _position_series(tables: LedgerTables) -> list[dict[str, Any]]:
    # Signed quantity after each fill: drawn as steps, so it needs no point between fills.
    held: dict[str, dict[str, Any]] = {}
    total: dict[str, Decimal] = {}
    for fill in tables.fills.to_pylist():
        symbol = fill["symbol"]
        series = held.setdefault(symbol, {"symbol": symbol, "x": [], "y": []})
        total[symbol] = total.get(symbol, Decimal(0)) + fill["quantity"] * (
            1 if fill["side"] == "BUY" else -1
        )
        series["x"].append(fill["time"].value // _MILLIS)
        series["y"].append(float(total[symbol]))
    series_list = [held[symbol] for symbol in sorted(held)]
    for series in series_list:
        if len(series["x"]) > MAX_POINTS:
            index = thin(np.array(series["x"], dtype=np.int64), np.array(series["y"]))
            series["x"] = [series["x"][i] for i in index]
            series["y"] = [series["y"][i] for i in index]
    return series_list


def _fill_marks(tables: LedgerTables) -> list[dict[str, Any]]:
    # A mark a fill on the equity line says little beyond some hundreds: then they are left out.
    if tables.fills.num_rows > MAX_ROWS:
        return []
    return [
        {
            "x": fill["time"].value // _MILLIS,
            "side": fill["side"],
            "text": f"{fill['side']} {number(fill['quantity'])} {fill['symbol']} @ {number(fill['price'])}",
        }
        for fill in tables.fills.to_pylist()
    ]


def _months(times: Ints, equity: Floats, initial: float) -> list[dict[str, Any]]:
    """Return one row a year: the return of each month (None where there was no step) and of the year."""
    months = times.astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)
    ends = (
        np.flatnonzero(np.append(months[1:] != months[:-1], True)) if len(months) else np.array([], dtype=int)
    )
    rows: dict[int, dict[str, Any]] = {}
    before = initial
    for end in ends:
        year, month = divmod(int(months[end]), 12)
        row = rows.setdefault(year, {"year": 1970 + year, "months": [None] * 12, "start": before})
        row["months"][month] = _return(equity[end], before)
        row["total"] = _return(equity[end], row["start"])
        before = float(equity[end])
    return list(rows.values())


def _return(value: float, before: float) -> dict[str, Any]:
    change = 100 * (float(value) / before - 1) if before > 0 else 0.0
    # The colour saturates at five per cent; steps of a tenth keep the style attribute free of rounding noise.
    heat = round(min(1.0, abs(change) / 5), 1)
    shown = round(change, 1)
    text = f"{shown:+.1f}".replace("-", "\N{MINUS SIGN}") if shown else "0.0"
    return {"text": text, "tone": "up" if shown > 0 else "down" if shown < 0 else "flat", "heat": heat}


def _latest(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"rows": list(rows[::-1][:MAX_ROWS]), "total": len(rows)}


def _final_positions(tables: LedgerTables) -> list[dict[str, Any]]:
    if not tables.equity.num_rows:
        return []
    end = tables.equity["time"][-1].as_py()
    times = tables.positions["time"]
    held = tables.positions.slice(max(0, len(times) - 1_000)).to_pylist()
    return [row for row in held if row["time"] == end]


def embedded_json(value: Any) -> str:
    """Write a value as JSON that may stand in a script element of a page."""
    # Inside a <script> element "<" is the only way out; escaped, any text is safe there.
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def csp_hash(script: str) -> str:
    """Return what a content security policy calls an inlined script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
