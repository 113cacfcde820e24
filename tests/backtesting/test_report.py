from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtesting import report
from backtesting.ledgers import LedgerTables
from backtesting.parity import compare
from backtesting.report import ReportData
from backtesting.signal_figures import SignalFigures
from execution.clocks import timestamp
from execution.models import Fill, Order, OrderStatus, OrderType, PortfolioSnapshot, Position, Side

D = Decimal
START = 1_577_998_800_000_000_000  # 2020-01-02 21:00 UTC
DAY = 86_400_000_000_000
CHROMIUM = "/usr/bin/chromium"


def order(name: str, day: int, status: OrderStatus, side: Side = Side.BUY) -> Order:
    moment = timestamp(START + day * DAY)
    return Order(
        "7", name, "SPXSIM", D(10), OrderType.MARKET, side, None, None, status, moment, strategy="ma"
    )


def fill(name: str, day: int, side: Side = Side.BUY) -> Fill:
    moment = timestamp(START + day * DAY)
    return Fill(
        f"{name}-1", "7", "SPXSIM", D(10), D("3250.25"), side, moment, D("1.05"), client_order_id=name
    )


def tables(steps: int = 90, trades: int = 2) -> LedgerTables:
    orders, fills, snapshots = [], [], []
    for number in range(trades):
        side = Side.SELL if number % 2 else Side.BUY
        orders.append(order(f"ma-{number}", number, OrderStatus.FILLED, side))
        fills.append(fill(f"ma-{number}", number + 1, side))
    orders.append(order("ma-open", trades, OrderStatus.SUBMITTED))
    for day in range(steps):
        moment = timestamp(START + day * DAY)
        equity = D(1_000_000) + 1000 * (day % 40) - (D(50_000) if day == steps // 2 else 0)
        held = (Position("SPXSIM", D(10), D("3250.25"), D(33_000), D("497.50"), moment),)
        snapshots.append(
            PortfolioSnapshot(moment, D(967_000), equity, D("497.50"), D(0), D("2.10"), D(33_000), held)
        )
    refused = [("x", "MAX_GROSS"), ("y", "MAX_GROSS"), ("z", "LONG_ONLY")]
    return LedgerTables.from_result(orders, fills, snapshots, refused)


def data(made: LedgerTables | None = None, **changes: Any) -> ReportData:
    made = made or tables()
    fields: dict[str, Any] = {
        "run_id": "run-1",
        "strategy": "ma_crossover",
        "symbols": {"SPXSIM": "S&P 500 index, simulated contract"},
        "tables": made,
        "metrics": {
            "total_return": 0.0123,
            "sharpe": None,
            "max_drawdown": -0.05,
            "final_equity": 1_012_300.0,
        },
        "initial_cash": D(1_000_000),
        "timeframe": "1D",
        "profile": "demo",
        "verdict": {"ok": True, "lines": [{"name": "orders sent", "ours": "2", "theirs": "2", "ok": True}]},
        "parity": compare(made, made, ("paper day", "backtest")),
        "manifest": {"git_sha": "abc123", "config_hash": "f00d", "data_hashes": {"SPXSIM": "beef"}},
        "config": {"strategy": {"name": "ma_crossover"}},
    }
    return ReportData(**{**fields, **changes})


class Page(HTMLParser):
    """Collects visible text and every address a page refers to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self._silent = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._silent += tag in ("script", "style")
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")

    def handle_data(self, content: str) -> None:
        if not self._silent and content.strip():
            self.text.append(content.strip())

    @property
    def words(self) -> str:
        return " ".join(self.text)


def test_the_same_data_gives_the_same_page() -> None:
    assert report.render(data()) == report.render(data())


def test_the_page_refers_to_nothing_but_the_files_beside_it() -> None:
    page = Page(report.render(data()))
    assert set(page.addresses) == {"fills.parquet", "orders.parquet"}
    assert "link" not in page.tags
    assert "iframe" not in page.tags


def test_the_page_says_what_ran_and_how_it_ended() -> None:
    words = Page(report.render(data())).words
    for part in (
        "ma_crossover",
        "S&P 500 index, simulated contract",
        "2020-01-02 to 2020-03-31",
        "90 steps of 1D",
        "run-1",
        "abc123",
        "f00d",
        "beef",
        "Verdict: everything agrees",
        "Total return 1.23%",
        "Max drawdown \N{MINUS SIGN}5.00%",
        "Sharpe \N{EN DASH}",
        "Commissions 2.10",
        "MAX_GROSS 2",
        "LONG_ONLY 1",
        "ma-open",
        "Parity: paper day and backtest are identical",
        "3250.25",
        "33,000.00",
    ):
        assert part in words, part


def test_signals_are_shown_by_name_with_what_they_led_to() -> None:
    rows = [
        SignalFigures("ma", "in", 1_204, 1_204, 0, 0, 30, 29, 28, 7, 0.25, D("-38.5")),
        SignalFigures("ma", "<out>", 3, 0, 0, 3, 0, 0, 0, 0, None, D(0)),
    ]
    page = Page(report.render(data(signals=rows)))
    assert "ma in 1,204 1,204 0 0 30 29 28 7 25.00% \N{MINUS SIGN}38.50" in page.words
    assert "ma <out> 3 0 0 3 0 0 0 0 \N{EN DASH} 0.00" in page.words
    assert "signals.parquet" in page.addresses
    assert "Signals" not in Page(report.render(data())).words


def test_a_verdict_and_a_parity_that_fail_are_shown_with_what_differs() -> None:
    made, other = tables(), tables(trades=1)
    failed = {
        "ok": False,
        "lines": [{"name": "cash", "ours": "1", "theirs": "2", "ok": False, "detail": "difference -1"}],
    }
    words = Page(report.render(data(made, verdict=failed, parity=compare(made, other)))).words
    assert "Verdict: the books do not agree" in words
    assert "✗ cash difference -1 1 2" in words
    assert "left and right differ" in words
    assert "fills ma-1-1 row SPXSIM SELL 10 3250.25 absent" in words


def test_a_run_without_anything_still_has_a_report() -> None:
    empty = LedgerTables.from_result([], [], [])
    bare = data(
        empty, verdict=None, parity=None, metrics={}, manifest={}, config={}, timeframe="", profile=""
    )
    words = Page(report.render(bare)).words
    for part in (
        "The run has no steps.",
        "Nothing was filled.",
        "No order was refused.",
        "Flat.",
        "No snapshot",
    ):
        assert part in words, part
    assert "Verdict" not in words


def test_parity_with_a_side_without_equity_is_shown() -> None:
    made = tables()
    report.render(data(made, parity=compare(made, LedgerTables.from_result([], [], []))))


def test_text_from_outside_cannot_become_markup() -> None:
    evil = "</script><script>alert(1)</script>"
    made = tables()
    page = report.render(
        data(made, strategy=evil, symbols={"SPXSIM": evil}, config={evil: evil}, run_id=evil)
    )
    assert evil not in page
    assert Page(page).tags.count("script") == 3
    filled = LedgerTables.from_result([], [replace(fill("a", 1), symbol=evil)], [])
    assert evil not in report.render(data(filled))


def test_the_policy_allows_the_two_scripts_of_the_page_and_no_connection() -> None:
    html = report.render(data())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    assert "default-src 'none'" in policy[1]
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/=]{44}'", policy[1])) == 2
    assert "connect-src" not in policy[1]
    assert "unsafe-eval" not in policy[1]


@pytest.mark.parametrize("steps", [5_000, 40_000])
def test_a_long_run_stays_below_six_megabytes(steps: int, tmp_path: Path) -> None:
    path = report.write(data(tables(steps, trades=3_000)), tmp_path / "report.html")
    assert path.stat().st_size < 6_000_000
    assert [found.name for found in tmp_path.iterdir()] == ["report.html"]


def test_a_long_list_of_fills_shows_the_newest_and_points_to_the_file() -> None:
    shown = report.view(data(tables(trades=1_500)))
    assert len(shown["fills"]["rows"]) == report.MAX_ROWS
    assert shown["fills"]["total"] == 1_500
    assert shown["fills"]["rows"][0]["fill_id"] == "ma-1499-1"
    assert '"fills":[]' in shown["chart"]


def test_a_very_long_series_of_positions_is_thinned() -> None:
    made = tables(trades=9_000)
    assert len(report._position_series(made)[0]["x"]) <= report.MAX_POINTS


def test_monthly_returns_chain_to_the_return_of_the_year() -> None:
    moments = [
        timestamp(START),
        timestamp(START + 20 * DAY),
        timestamp(START + 40 * DAY),
        timestamp(START + 400 * DAY),
    ]
    values = [D(100), D(110), D(99), D(99)]
    snapshots = [
        PortfolioSnapshot(moment, value, value, D(0), D(0))
        for moment, value in zip(moments, values, strict=True)
    ]
    made = LedgerTables.from_result([], [], snapshots)
    months = report.view(data(made, initial_cash=D(100)))["months"]
    assert [row["year"] for row in months] == [2020, 2021]
    assert [cell and cell["text"] for cell in months[0]["months"][:3]] == [
        "+10.0",
        "\N{MINUS SIGN}10.0",
        None,
    ]
    assert months[0]["total"]["text"] == "\N{MINUS SIGN}1.0"
    assert months[1]["total"] == {"text": "0.0", "tone": "flat", "heat": 0.0}


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=300), st.integers(4, 80))
def test_thinning_keeps_the_ends_and_the_extremes(values: list[float], most: int) -> None:
    series = np.array(values)
    times = np.arange(len(series), dtype=np.int64)
    kept = report.thin(times, series, most)
    assert len(kept) <= most
    assert sorted(set(kept.tolist())) == kept.tolist()
    assert {0, len(series) - 1} <= set(kept.tolist())
    assert series[kept].min() == series.min()
    assert series[kept].max() == series.max()


@pytest.mark.server("chromium")
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_the_page_draws_its_charts_without_asking_the_network(
    scheme: Any, width: int, tmp_path: Path
) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    path = report.write(data(), tmp_path / "report.html")
    requests: list[str] = []
    trouble: list[str] = []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-drawn=yes]")
        drawn = page.evaluate("document.querySelectorAll('.chart .scatterlayer path.js-line').length")
        overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        browser.close()
    assert requests == [path.as_uri()]
    assert trouble == []
    assert drawn >= 4
    assert overflow <= 0
