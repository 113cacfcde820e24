"""`trade data`: bars go in, are shown and come out again, on files and on a database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from data.database import Database
from infrastructure.cli import app
from infrastructure.cli.boundary import guard

DAYS = """date,open,high,low,close,volume
2024-07-01,10.00,11.00,9.50,10.50,1000
2024-07-02,10.50,11.00,10.25,10.75,1200
2024-07-03,10.75,11.50,10.50,11.25,700
"""


@pytest.fixture(autouse=True)
def prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "prices"
    folder.mkdir()
    (folder / "SPY.csv").write_text(DAYS)
    return folder


def trade(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> Any:
    assert guard(app, ["data", *arguments]) == status
    told = capsys.readouterr()
    return json.loads(told.out) if "--json" in arguments and status == 0 else told.out + told.err


@pytest.mark.parametrize("kind", ["house", "folder", "database"])
def test_bars_go_in_are_shown_and_come_out_again(
    kind: str, tmp_path: Path, prices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = {"house": [], "folder": ["--store", "bars"], "database": ["--store", "sqlite:///bars.db"]}[kind]
    if kind == "database":
        database = Database("sqlite:///bars.db")
        database.upgrade()
        database.close()
    learnt = ["--known-at", "2024-07-04T00:00Z"]
    report = trade(capsys, "import", "prices", *learnt, *store, "--json")
    assert (report["inserted"], report["revised"], report["unchanged"]) == (3, 0, 0)
    again = trade(capsys, "import", "prices", *learnt, *store, "--json")
    assert (again["inserted"], again["revised"], again["unchanged"]) == (0, 0, 3)
    assert ("var" if kind == "house" else "bars") in report["store"]
    held = trade(capsys, "list", *store, "--json")["holdings"]
    assert [(row["symbol"], row["timeframe"], row["bars"]) for row in held] == [("SPY", "1D", 3)]
    last = trade(capsys, "head", "SPY", "--last", "-n", "1", *store, "--json")["bars"]
    assert (last[0]["close"], last[0]["end"]) == (11.25, "2024-07-03T17:00:00+00:00")
    assert trade(capsys, "export", "out", *store, "--json")["bars"] == {"SPY": 3}
    moved = trade(capsys, "import", "out", *learnt, *store, "--json")
    assert (moved["inserted"], moved["unchanged"]) == (0, 3)
    (prices / "SPY.csv").write_text(DAYS.replace("11.25", "11.30"))
    revised = trade(capsys, "import", "prices", "--known-at", "2024-07-05T00:00Z", *store, "--json")
    assert (revised["revised"], revised["unchanged"]) == (1, 2)
    trade(capsys, "export", "then", "--as-of", "2024-07-04T12:00Z", "--parquet", *store)
    past = trade(capsys, "import", "then", "--store", "past", "--json")
    assert past["inserted"] == 3
    assert (
        trade(capsys, "head", "SPY", "--last", "-n", "1", "--store", "past", "--json")["bars"][0]["close"]
        == 11.25
    )


def test_people_get_tables(capsys: pytest.CaptureFixture[str]) -> None:
    assert "inserted: 3" in trade(capsys, "import", "prices")
    assert "SPY" in trade(capsys, "list")
    assert "10.5" in trade(capsys, "head", "SPY")
    assert "SPY: 3" in trade(capsys, "export", "out")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", "nowhere"], "nowhere: does not exist"),
        (["import", "prices", "--known-at", "2024-07-04"], "has no timezone"),
        (["import", "prices", "--known-at", "soon"], "is no time"),
        (["import", "prices", "--timeframe", "2m"], "use 1D, 1h, 1m"),
        (["import", "prices", "--tick", "much"], "--tick 'much'"),
        (["head", "ZZZ"], "see trade data list"),
        (["export", "out", "--symbols", "ZZZ"], "see trade data list"),
        (["list", "--store", "sqlite:///none.db"], "trade db upgrade"),
    ],
)
def test_what_cannot_be_done_names_the_next_step(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = trade(capsys, *arguments, status=2)
    assert said in " ".join(told.split())
