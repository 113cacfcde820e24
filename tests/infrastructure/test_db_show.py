"""``trade db show``: what is on record, for a person and for a program."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from data.database import Database
from data.reference.fundamentals import import_csv
from data.reference.instruments import register
from execution.models import Instrument
from infrastructure.cli import app
from infrastructure.cli.boundary import guard

CSV = "symbol,item,period_end,known_at,value\nSPY,eps,2024-03-31,2024-05-02T20:30:00Z,1.53\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data.db"
    (tmp_path / "figures.csv").write_text(CSV + CSV.splitlines()[1].replace("05-02", "08-02") + "\n")
    with closing(Database(f"sqlite:///{path}")) as database:
        database.upgrade()
        import_csv(database, tmp_path / "figures.csv")
        register(database, [Instrument("SPY", tick=Decimal("0.01"), name="n" * 80)])
    return path


Show = Callable[..., tuple[int, str]]


@pytest.fixture
def show(capsys: pytest.CaptureFixture[str]) -> Show:
    """Run the command; return its status and what it printed."""

    def run(*arguments: object) -> tuple[int, str]:
        status = guard(app, ("db", "show", *map(str, arguments)))
        out, err = capsys.readouterr()
        return status, out + err

    return run


def test_rows_are_chosen_and_printed_whole_as_json(path: Path, show: Show) -> None:
    status, text = show(
        "fundamentals", path, "--where", "symbol=SPY", "--since", "2024-06-01T00:00Z", "--json"
    )
    (row,) = json.loads(text)
    assert (status, row["value"], row["currency"]) == (0, "1.53", None)
    assert pd.Timestamp(row["known_at"]) == pd.Timestamp("2024-08-02T20:30Z")


def test_many_columns_are_printed_by_name_and_long_texts_are_cut(path: Path, show: Show) -> None:
    status, text = show("instruments", path)
    assert status == 0
    assert "symbol=SPY" in text
    assert "strike" not in text
    assert "n" * 59 + "\N{HORIZONTAL ELLIPSIS}" in text


def test_without_a_table_it_says_what_there_is(show: Show) -> None:
    assert "risk_metrics" in show()[1]
    assert {"table": "signals", "what": "what strategies saw and wanted, with its features"} in json.loads(
        show("--json")[1]
    )


def test_nothing_on_record_is_said(path: Path, show: Show) -> None:
    assert show("signals", path, "--where", "symbol=SPY")[1].startswith("signals of ")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--where", "symbol"), "write COLUMN=VALUE"),
        (("--since", "2024-06-01"), "has no timezone"),
    ],
)
def test_what_cannot_be_read_is_refused(path: Path, show: Show, arguments: tuple[str, ...], why: str) -> None:
    status, text = show("fundamentals", path, *arguments)
    assert status == 2
    assert why in text


def test_contracts_universes_and_actions_are_taken_in_and_shown(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "instruments": "symbol,calendar\nESZ6,CMES\n",
        "universe": "universe,symbol,from_date\ncore,SPY,2020-01-02\n",
        "actions": "date,symbol,kind,value\n2020-08-31,AAPL,split,4\n",
    }
    for what, text in files.items():
        (tmp_path / f"{what}.csv").write_text(text)
        command = ("db", f"import-{what}", str(tmp_path / f"{what}.csv"), str(path), "--json")
        assert guard(app, command) == 0
        assert json.loads(capsys.readouterr().out)["rows"] == 1
    for table, symbol in (
        ("instruments", "ESZ6"),
        ("universe_members", "SPY"),
        ("corporate_actions", "AAPL"),
    ):
        assert guard(app, ("db", "show", table, str(path), "--where", f"symbol={symbol}")) == 0
        assert symbol in capsys.readouterr().out
