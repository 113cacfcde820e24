"""What a backtest books of splits and dividends, and which bars it refuses."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import structlog

from data.calendars import ExchangeClock
from data.corporate_actions import CorporateActionSource, FileActionSource
from data.errors import CorporateActionDataError
from infrastructure.cli import app
from infrastructure.cli.boundary import guard
from infrastructure.market import load_market, run_hash
from infrastructure.run_actions import RunActions, run_actions, warn_of_splits
from infrastructure.settings import Settings, load_settings

DAYS = list(ExchangeClock("XNYS", dt.date(2023, 1, 3), dt.date(2023, 6, 30)).dates)
SPLIT_DAY = DAYS[60]
HEAD = "date,symbol,kind,value\n"


def write_bars(folder: Path, symbol: str, ratio: float, *, wild: float = 0.01) -> None:
    """Write bars of a quiet stock that was split on SPLIT_DAY."""
    folder.mkdir(exist_ok=True)
    rows = ["date,open,high,low,close,volume"]
    for number, day in enumerate(DAYS):
        price = 400 * (1 + wild * (number % 3)) / (ratio if day >= SPLIT_DAY else 1)
        rows.append(f"{day},{price:.2f},{price:.2f},{price:.2f},{price:.2f},100000")
    (folder / f"{symbol}.csv").write_text("\n".join(rows) + "\n")


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    write_bars(tmp_path / "bars", "AAA", 4)
    write_bars(tmp_path / "bars", "BBB", 1)
    return tmp_path / "bars"


def settings(bars: Path | None, actions: object = None, **more: Any) -> Settings:
    named = {"data.bars": bars, "data.corporate_actions": actions, "var_dir": more.pop("var_dir", "nowhere")}
    given = {key: str(value) for key, value in {**named, **more}.items() if value is not None}
    return load_settings("demo", None, given, {}, None)


def chosen(made: Settings) -> RunActions:
    return run_actions(made, load_market(made))


def file_of(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "actions.csv"
    path.write_text(HEAD + "".join(f"{row}\n" for row in rows))
    return path


def test_what_a_file_knows_within_the_bars_is_booked_and_named(bars: Path, tmp_path: Path) -> None:
    file = file_of(
        tmp_path,
        f"{DAYS[0]},AAA,dividend,1",  # the first bar is of the day: nothing was held before it
        f"{DAYS[10]},BBB,dividend,0.50",
        f"{SPLIT_DAY},AAA,split,4",
        "2024-01-03,AAA,split,2",
        f"{SPLIT_DAY},CCC,split,2",
    )
    found = chosen(settings(bars, file))
    assert found.as_texts() == [f"{DAYS[10]},BBB,dividend,0.5", f"{SPLIT_DAY},AAA,split,4"]
    assert found.describe() == f"1 split and 1 dividend of {file}"
    assert [one.describe() for one in found.booked] == [
        "dividend of BBB: 0.50 a unit",
        "split of AAA: 4 for 1",
    ]


def test_bars_that_hold_a_split_are_refused_while_nobody_is_named(bars: Path) -> None:
    with pytest.raises(CorporateActionDataError) as refused:
        chosen(settings(bars))
    said = str(refused.value)
    assert said.startswith(f"AAA, {SPLIT_DAY}: price falls to 1/")
    assert "4-for-1 split" in said
    assert "--actions" in said
    assert "\n" not in said
    assert chosen(settings(bars, "none")) == RunActions("none")
    assert chosen(settings(bars, symbols="BBB")) == RunActions("")


def test_bars_that_are_adjusted_for_a_known_split_are_refused(tmp_path: Path) -> None:
    write_bars(tmp_path / "adjusted", "AAA", 1)
    file = file_of(tmp_path, f"{SPLIT_DAY},AAA,split,4")
    with pytest.raises(CorporateActionDataError, match=f"AAA, {SPLIT_DAY}: .*seem to be adjusted.*none"):
        chosen(settings(tmp_path / "adjusted", file))
    assert chosen(settings(tmp_path / "adjusted")).source == ""


def test_a_small_split_is_never_taken_for_an_adjusted_one(tmp_path: Path) -> None:
    """A stock dividend of one in twenty is no larger than what a day moves: prices cannot tell."""
    write_bars(tmp_path / "adjusted", "AAA", 1)
    file = file_of(tmp_path, f"{SPLIT_DAY},AAA,split,21/20")
    assert chosen(settings(tmp_path / "adjusted", file)).as_texts() == [f"{SPLIT_DAY},AAA,split,21/20"]


def test_a_jump_that_the_named_source_does_not_know_is_warned_of(bars: Path, tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as told:
        assert chosen(settings(bars, file_of(tmp_path))).booked == ()
    (said,) = told
    assert said["date"] == str(SPLIT_DAY)
    assert f"{SPLIT_DAY},AAA,split,4" in said["remedy"]
    with structlog.testing.capture_logs() as told:
        chosen(settings(bars, "none"))
    assert told == []


def test_a_symbol_that_is_not_covered_and_a_change_of_ticker_are_refused(bars: Path, tmp_path: Path) -> None:
    folder = tmp_path / "known"
    folder.mkdir()
    (folder / "AAA.csv").write_text(f"date,kind,value\n{SPLIT_DAY},split,4\n")
    with pytest.raises(CorporateActionDataError, match="no file of BBB"):
        chosen(settings(bars, folder))
    file = file_of(tmp_path, f"{DAYS[20]},BBB,rename,BBBQ")
    with pytest.raises(CorporateActionDataError, match=f"BBB is BBBQ from {DAYS[20]} on.*continuous"):
        chosen(settings(bars, file))


def test_a_split_that_the_database_knows_is_seen_where_prices_alone_would_not_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wild prices, or an odd ratio: a check of prices alone does not take the jump for a split."""
    write_bars(tmp_path / "odd", "AAA", 2.25)
    made = settings(tmp_path / "odd")
    assert chosen(made).source == ""
    known: CorporateActionSource = FileActionSource(file_of(tmp_path, f"{SPLIT_DAY},AAA,split,9/4"))
    monkeypatch.setattr("infrastructure.run_actions.action_source", lambda _: known)
    with pytest.raises(
        CorporateActionDataError, match=f"AAA, {SPLIT_DAY}: price jumps by 2.29 at the known split"
    ):
        chosen(made)


def test_a_symbol_that_the_database_does_not_cover_is_judged_by_its_prices(
    bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "ZZZ.csv").write_text("date,kind,value\n")
    known = FileActionSource(tmp_path / "known")
    monkeypatch.setattr("infrastructure.run_actions.action_source", lambda _: known)
    with pytest.raises(CorporateActionDataError, match=f"AAA, {SPLIT_DAY}: price falls to 1/"):
        chosen(settings(bars))
    assert chosen(settings(bars, symbols="BBB")).booked == ()


def test_a_run_that_books_none_warns_of_a_split_whoever_is_named(bars: Path, tmp_path: Path) -> None:
    for named in (None, file_of(tmp_path, f"{SPLIT_DAY},AAA,split,4")):
        made = settings(bars, named)
        with structlog.testing.capture_logs() as told:
            warn_of_splits(made, load_market(made))
        (said,) = told
        assert f"AAA, {SPLIT_DAY}" in said["what"]
        assert "data export --actions" in said["remedy"]
    for made in (settings(bars, symbols="BBB"), settings(None)):
        with structlog.testing.capture_logs() as told:
            warn_of_splits(made, load_market(made))
        assert told == []


def test_the_actions_are_part_of_the_identity_of_a_run(bars: Path, tmp_path: Path) -> None:
    first = settings(bars, file_of(tmp_path, f"{SPLIT_DAY},AAA,split,4"))
    market = load_market(first)
    plain = run_hash(settings(bars), market)
    with_split = run_hash(first, market, chosen(first).as_texts())
    assert with_split != plain
    assert run_hash(settings(bars, "none"), market, chosen(settings(bars, "none")).as_texts()) == plain
    other = settings(bars, file_of(tmp_path, f"{SPLIT_DAY},AAA,split,4", f"{DAYS[5]},AAA,dividend,1"))
    assert run_hash(other, market, chosen(other).as_texts()) != with_split


def test_the_command_books_them_and_says_so(
    bars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fast = ["--set", "strategy.params.fast=2", "--set", "strategy.params.slow=4"]
    assert guard(app, ["backtest", "--bars", str(bars), *fast]) == 2
    assert "--actions" in capsys.readouterr().err
    file = file_of(tmp_path, f"{SPLIT_DAY},AAA,split,4")
    assert guard(app, ["backtest", "--bars", str(bars), *fast, "--actions", str(file)]) == 0
    assert f"corporate actions: 1 split of {file}" in capsys.readouterr().out
    (run,) = (tmp_path / "runs").iterdir()
    manifest = json.loads((run / "run.json").read_text())
    assert manifest["corporate_actions"] == [f"{SPLIT_DAY},AAA,split,4"]
    equity = pd.read_parquet(run / "equity.parquet")["equity"].astype(float)
    assert abs(equity.pct_change().dropna()).max() < 0.01


def test_the_splits_of_a_real_stock_make_no_crash(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["backtest", "--bars", str(shared_data / "daily"), "--symbols", "AAPL"]
    asked += ["--set", "data.start=2020-01-02", "--set", "data.end=2021-03-31"]
    assert guard(app, asked) == 2
    assert "AAPL, 2020-08-31: price falls to 1/3.9" in capsys.readouterr().err
    asked += ["--set", "strategy.params.fast=5", "--set", "strategy.params.slow=20"]
    assert guard(app, [*asked, "--actions", str(shared_data / "corporate_actions")]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    positions = pd.read_parquet(run / "positions.parquet")
    held = dict(zip(positions["time"].dt.date, positions["quantity"].astype(float), strict=True))
    assert held[dt.date(2020, 8, 31)] == 4 * held[dt.date(2020, 8, 28)] > 0
