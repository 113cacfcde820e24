"""The report of a check: equal bars give an equal page, everything is escaped, and a browser draws it."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.calendars import ExchangeClock
from data.quality import Against, Checked, Finding, Kind, Rows, Severity, check
from data.quality.check import by_gravity
from execution.timeframes import Timeframe
from monitoring import bar_report
from monitoring.bar_report import BarReport, ReportBuilder

CLOCK = ExchangeClock("XNYS", dt.date(2015, 1, 1), dt.date(2020, 12, 31))
CHROMIUM = "/usr/bin/chromium"


def rows(symbol: str, *, split: int | None = None, hole: tuple[int, int] | None = None) -> Rows:
    count = len(CLOCK)
    close = np.round(100 * np.exp(np.cumsum(np.random.default_rng(5).normal(0, 0.01, count))), 2)
    if split is not None:
        close[split:] /= 4
    volume = np.arange(1000, 1000 + count, dtype=np.float64)
    made = Rows(symbol, Timeframe.DAY, CLOCK.closes_ns.copy(), close, close + 0.5, close - 0.5, close, volume)
    if hole is not None:
        keep = np.ones(count, dtype=np.bool_)
        keep[slice(*hole)] = False
        made = made.select(keep)
    return made


def checked(made: Rows, *more: Finding) -> Checked:
    found = [*more, *check(made, CLOCK)]
    return Checked(made.symbol, made.timeframe, made, CLOCK, tuple(by_gravity(found)))


def unreadable(symbol: str, what: str) -> Checked:
    finding = Finding(Severity.ERROR, Kind.UNREADABLE, symbol, None, None, 1, what, "fetch it again")
    return Checked(symbol, None, None, None, (finding,))


def made(*parts: Checked, source: str = "prices") -> BarReport:
    builder = ReportBuilder(source, Against().calendar)
    for part in parts:
        builder.add(part)
    return builder.build()


def whole() -> BarReport:
    return made(
        checked(rows("CLEAN")),
        checked(rows("HOLE", hole=(300, 700))),
        checked(rows("SPLIT", split=900)),
        unreadable("BROKEN", "</script><script>alert(1)</script> & 'x'"),
    )


def data_of(page: str) -> Any:
    match = re.search(r'id="chart-data">(.*?)</script>', page, re.S)
    assert match is not None
    return json.loads(match[1])


def test_the_same_bars_give_the_same_page() -> None:
    assert bar_report.render(whole()) == bar_report.render(whole())


def test_what_a_file_says_cannot_leave_its_place() -> None:
    page = bar_report.render(whole())
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_line_breaks_where_bars_are_missing_and_the_gap_is_shaded() -> None:
    charts = data_of(bar_report.render(whole()))["charts"]
    by_bands = [chart for chart in charts if chart["bands"]]
    assert len(by_bands) == 1
    chart = by_bands[0]
    assert chart["y"].count(None) == 1
    assert chart["bands"][0]["from"] * 10**6 == CLOCK.opens_ns[300]
    assert len(chart["x"]) == len(chart["y"]) <= bar_report.MAX_POINTS + 1


def test_coverage_tells_a_hole_from_what_was_before_and_after() -> None:
    late = rows("LATE").select(np.arange(600, len(CLOCK)))
    coverage = data_of(bar_report.render(made(checked(rows("HOLE", hole=(300, 700))), checked(late))))[
        "coverage"
    ]
    assert coverage["symbols"] == ["HOLE 1D", "LATE 1D"]
    hole, shown = coverage["share"]
    at = coverage["months"].index("2016-12")
    assert (hole[at], shown[at]) == (0.0, None)
    assert (hole[0], hole[-1], shown[-1]) == (1.0, 1.0, 1.0)


def test_the_gravest_come_first_and_what_is_sound_is_listed() -> None:
    view = bar_report.view(whole())
    assert [one["symbol"] for one in view["sections"]] == ["HOLE", "SPLIT", "BROKEN"]
    assert [one["chart"] for one in view["sections"]] == [0, 1, None]
    assert view["clean"] == ["CLEAN 1D"]
    assert "SPLIT,split,4" in view["proposals"]


def test_the_gravest_finding_of_each_series_is_told_at_the_top_with_a_way_to_it() -> None:
    view = bar_report.view(whole())
    assert [one["name"] for one in view["worst"]] == ["HOLE 1D", "SPLIT 1D", "BROKEN"]
    assert view["worst"][0]["what"].startswith("400 sessions without a bar")
    page = bar_report.render(whole())
    for number in range(3):
        assert f'href="#series-{number}"' in page
        assert f'id="series-{number}"' in page
    many = made(*(checked(rows(f"S{i}", hole=(300, 310))) for i in range(9)))
    shown = bar_report.view(many)
    assert (len(shown["worst"]), shown["unsaid"]) == (bar_report.MAX_WORST, 9 - bar_report.MAX_WORST)


@pytest.mark.parametrize(
    ("first", "last", "timeframe", "said"),
    [
        ("2014-06-09 14:00", "2014-06-09 20:00", "1D", "2014-06-09"),
        ("2004-12-01 14:30", "2011-03-22 20:00", "1D", "2004-12-01 to 2011-03-22"),
        ("2014-06-09 18:24", "2014-06-09 18:24", "1m", "2014-06-09 18:24"),
        ("2014-06-09 18:24", "2014-06-09 18:31", "1m", "2014-06-09 18:24 to 18:31"),
        (None, None, "", "\N{EN DASH}"),
    ],
)
def test_a_time_is_written_as_exactly_as_the_bars_are_long(
    first: str | None, last: str | None, timeframe: str, said: str
) -> None:
    times = [None if of is None else pd.Timestamp(of, tz="UTC") for of in (first, last)]
    found = Finding(Severity.NOTE, Kind.SPARSE, "X", times[0], times[1], 1, "", "")
    assert bar_report.when(found, timeframe) == said


def test_a_spike_is_marked_at_its_own_price_and_not_at_the_close() -> None:
    spiked = rows("SPIKE")
    for day in range(500, 580, 10):
        spiked.low[day] = 2.0 if day == 550 else 20.0
    charts = data_of(bar_report.render(made(checked(spiked))))["charts"]
    marks = charts[0]["marks"]
    assert sorted(mark["y"] for mark in marks)[:2] == [2.0, 20.0]
    assert {mark["kind"] for mark in marks} == {"spike"}
    assert bar_report.view(made(checked(spiked)))["worst"][0]["what"].startswith("low ")


def test_no_bars_and_no_findings_are_pages_as_well(tmp_path: Path) -> None:
    assert "There are no bars here" in bar_report.render(made())
    path = bar_report.write(made(checked(rows("CLEAN"))), tmp_path / "check.html")
    text = path.read_text()
    assert "No errors" in text
    assert "Proposals" not in text
    assert [file.name for file in tmp_path.iterdir()] == ["check.html"]


def test_a_symbol_with_a_thousand_findings_shows_some_and_counts_the_rest() -> None:
    moment = pd.Timestamp("2016-03-01", tz="UTC")
    many = [
        Finding(Severity.WARNING, Kind.SPIKE, "X", moment, moment, 1, f"spike {i}", "") for i in range(1000)
    ]
    view = bar_report.view(made(checked(rows("X"), *many)))
    assert (len(view["sections"][0]["rows"]), view["sections"][0]["more"]) == (bar_report.MAX_ROWS, 940)


def test_values_for_programs_are_plain_json() -> None:
    report = json.loads(json.dumps(whole().to_dict(), allow_nan=False))
    assert (report["ok"], report["errors"]) == (False, 3)
    broken = report["symbols"][3]
    assert (broken["timeframe"], broken["bars"], broken["first"], broken["findings"][0]["first"]) == (
        None,
        0,
        None,
        None,
    )
    assert report["proposals"]["pull"][0]["symbol"] == "HOLE"


@pytest.mark.server("chromium")
def test_a_browser_draws_every_chart_without_an_error_and_without_the_network(tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    path = bar_report.write(whole(), tmp_path / "check.html")
    faults: list[str] = []
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1200, "height": 1800})
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request",
            lambda sent: (
                None if sent.url.startswith(("file:", "data:", "blob:")) else faults.append(sent.url)
            ),
        )
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-drawn=yes]", timeout=60_000)
        assert page.locator(".js-plotly-plot").count() == 3
        browser.close()
    assert faults == []
