"""`trade data`: bars go in, are shown and come out again, on files and on a database."""

from __future__ import annotations

import gzip
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


HEADING = "end,open,high,low,close,volume"


def minutes(*rows: str) -> str:
    return "\n".join((HEADING, *rows)) + "\n"


UNSOUND = {
    "naive": (minutes("2024-07-01T14:31:00,1,1,1,1,5"), "line 2: end '2024-07-01T14:31:00' has no timezone"),
    "zones": (
        minutes("2024-07-01T14:31:00Z,1,1,1,1,5", "2024-07-01T10:32:00-04:00,1,1,1,1,5"),
        "line 3: end '2024-07-01T10:32:00-04:00' is in another time zone than '2024-07-01T14:31:00Z'",
    ),
    "twice": (
        minutes("2024-07-01T14:31:00Z,1,1,1,1,5", "2024-07-01T14:31:00Z,1,2,1,2,5"),
        "line 3: the same time as the row before it; keep one of the two",
    ),
    "dear": (
        minutes("2024-07-01T14:31:00Z,1,1,1,1,5", "2024-07-01T14:32:00Z,1,2000000000,1,1,5"),
        "line 3: high is beyond 1,000,000,000",
    ),
    "volume": (
        minutes("2024-07-01T14:31:00Z,1,1,1,1,5", "2024-07-01T14:32:00Z,1,1,1,1,999999999999999999"),
        "line 3: volume '999999999999999999' is not a plain decimal number",
    ),
    "negative": (minutes("2024-07-01T14:31:00Z,1,1,-1,1,5"), "line 2: low is not positive"),
    "words": (minutes("2024-07-01T14:31:00Z,1,1,one,1,5"), "line 2: low 'one' is not a plain decimal"),
    "short": (minutes("2024-07-01T14:31:00Z,1,1,1"), "line 2: 4 fields where the header has 6"),
}


@pytest.mark.parametrize("kind", UNSOUND)
def test_bars_that_are_unsound_are_one_error_and_nothing_is_written(
    kind: str, prices: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, said = UNSOUND[kind]
    (prices / "SPY.csv").write_text(
        minutes("2024-07-01T14:31:00Z,1,1,1,1,5", "2024-07-01T14:32:00Z,1,1,1,1,5")
    )
    (prices / "ZZZ.csv").write_text(text)
    told = trade(capsys, "import", "prices", "--store", "bars", status=2)
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert said in told
    assert not any(path.is_file() and path.suffix == ".parquet" for path in tmp_path.rglob("*"))
    assert trade(capsys, "list", "--store", "bars", "--json")["holdings"] == []
    if kind != "zones":  # rows that are right by themselves
        assert trade(capsys, "check", "prices", "--symbols", "ZZZ", status=1)
    (prices / "ZZZ.csv").unlink()
    assert trade(capsys, "import", "prices", "--store", "bars", "--json")["inserted"] == 2


def test_a_parquet_file_cut_short_is_one_error_and_nothing_is_written(
    prices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trade(capsys, "import", "prices", "--store", "first")
    trade(capsys, "export", "cut", "--parquet", "--store", "first")
    file = Path("cut/SPY.parquet")
    file.write_bytes(file.read_bytes()[:-50])
    told = trade(capsys, "import", "cut", "--store", "bars", status=2)
    assert told.startswith("error: cut/SPY.parquet: not a sound Parquet file")
    assert "not a sound Parquet file" in " ".join(trade(capsys, "check", "cut", status=1).split())
    (stored,) = Path("first").rglob("*.parquet")
    stored.write_bytes(stored.read_bytes()[:-50])
    (prices / "SPY.csv").write_text(DAYS.replace("11.25", "11.30"))
    for command in (["list"], ["head", "SPY"], ["export", "out"], ["check"], ["import", "prices"]):
        told = trade(capsys, *command, "--store", "first", status=2)
        assert told.startswith("error: ")
        assert stored.name in told
    assert not Path("out").exists()


def test_exported_bars_are_adjusted_for_the_splits_that_are_known(
    prices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = DAYS.replace("10.00,11.00,9.50,10.50", "32.00,33.00,31.00,32.00")
    (prices / "SPY.csv").write_text(raw.replace("10.50,11.00,10.25,10.75", "32.00,33.00,31.00,32.50"))
    trade(capsys, "import", "prices")
    assert "split-unexplained" in trade(capsys, "check", status=1)
    Path("actions.csv").write_text("date,symbol,kind,value\n2024-07-03,SPY,split,3\n")
    told = trade(capsys, "export", "out", "--actions", "actions.csv", "--json")
    assert (told["adjusted"], told["bars"]) == (True, {"SPY": 3})
    rows = gzip.decompress(Path("out/SPY.csv.gz").read_bytes()).decode().splitlines()[1:]
    assert rows[0] == "2024-07-01,10.666667,11,10.333333,10.666667,3000"
    assert rows[2] == "2024-07-03,10.75,11.5,10.5,11.25,700"
    assert trade(capsys, "check", "out", "--json")["errors"] == 0
    assert trade(capsys, "export", "raw", "--json")["adjusted"] is False
    assert "cannot be read" in trade(capsys, "export", "never", "--actions", "none.csv", status=2)
    assert not Path("never").exists()


def test_an_export_over_something_else_changes_nothing(
    prices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trade(capsys, "import", "prices")
    before = {path.name: path.read_bytes() for path in prices.iterdir()}
    assert "prices" in trade(capsys, "export", "prices", status=2)
    assert {path.name: path.read_bytes() for path in prices.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", "nowhere"], "nowhere: does not exist"),
        (["import", "prices", "--known-at", "2024-07-04"], "has no timezone"),
        (["import", "prices", "--known-at", "soon"], "is no time"),
        (["import", "prices", "--timeframe", "2m"], "use 1D, 1h, 1m"),
        (["import", "prices", "--tick", "much"], "--tick 'much'"),
        (["head", "ZZZ"], "see trade data import"),
        (["export", "out", "--symbols", "ZZZ"], "see trade data import"),
        (["list", "--store", "sqlite:///none.db"], "trade db upgrade"),
    ],
)
def test_what_cannot_be_done_names_the_next_step(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = trade(capsys, *arguments, status=2)
    assert said in " ".join(told.split())
