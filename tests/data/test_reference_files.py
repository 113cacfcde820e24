"""Contracts, universes and corporate actions come from files, whole or not at all."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest

from data.corporate_actions import ActionKind
from data.database import Database
from data.errors import ReferenceFileError
from data.instruments import members
from data.records import records
from data.reference_files import actions_as_of, import_actions, import_instruments, import_universe

NOW = pd.Timestamp("2024-06-01T12:00Z").as_unit("ns")
CONTRACTS = """symbol,calendar,security_type,expiry,multiplier,tick,name,sector,listed_on
SPY,,,,,,"SPDR S&P 500",ETF,1993-01-29
ESZ6,CMES,FUT,2026-12-18,50,0.25,,,
"""


def day(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def test_contracts_are_written_once_and_replaced_where_they_change(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "contracts.csv"
    path.write_text(CONTRACTS)
    assert import_instruments(database, path) == 2
    assert import_instruments(database, path) == 0
    path.write_text(CONTRACTS.replace("0.25", "0.5"))
    assert import_instruments(database, path) == 1
    es, spy = records(database, "instruments").sort_values("symbol").to_dict("records")
    assert (es["calendar"], es["tick"], es["expiry"]) == ("CMES", Decimal("0.5"), dt.date(2026, 12, 18))
    assert (spy["calendar"], spy["tick"], spy["sector"]) == ("XNYS", Decimal("0.01"), "ETF")
    assert (spy["listed_on"], spy["name"]) == (dt.date(1993, 1, 29), "SPDR S&P 500")
    path.write_text("symbol,name\nSPY,another\n")  # what a file does not speak of stays
    assert import_instruments(database, path) == 1
    assert records(database, "instruments", where={"symbol": "SPY"})["sector"].tolist() == ["ETF"]


def test_a_universe_is_read_as_of_a_day(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    path.write_text(
        "universe,symbol,from_date,until_date,known_at\n"
        "core,SPY,2020-01-02,,\ncore,GE,2020-01-02,2021-06-01,2020-01-01T00:00Z\n"
    )
    assert [import_universe(database, path, NOW) for _ in range(2)] == [2, 2]
    assert members(database, "core", dt.date(2021, 5, 31)) == ["GE", "SPY"]
    assert members(database, "core", dt.date(2021, 6, 1)) == ["SPY"]
    assert records(database, "universe_members", where={"symbol": "SPY"})["known_at"].tolist() == [NOW]


def test_corporate_actions_are_stored_and_read_as_they_were_known(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "actions.csv"
    path.write_text(
        "date,symbol,kind,value\n2020-08-31,AAPL,split,4\n2020-08-07,AAPL,dividend,0.82\n"
        "2012-01-03,ODD,split,1/3\n"
    )
    assert [import_actions(database, path) for _ in range(2)] == [3, 3]
    assert len(records(database, "corporate_actions")) == 3
    assert [a.kind for a in actions_as_of(database, "AAPL", day("2020-08-10"))] == [ActionKind.DIVIDEND]
    paid, split = actions_as_of(database, "AAPL", day("2021-01-01"))
    assert (paid.value, split.value, split.where) == (Decimal("0.82"), Fraction(4), "actions.csv")
    assert actions_as_of(database, "ODD", NOW)[0].value == Fraction(1, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("symbol,colour\nSPY,red\n", "line 1: columns symbol, colour; write some of symbol, "),
        ("", "line 1: columns none"),
        ("symbol,tick\nSPY,0.01\nIWM,-1\n", "line 3: IWM: tick, lot and multiplier must be positive"),
        ("symbol,tick\nSPY,1e5\n", "line 2: tick"),
        ("symbol,expiry\nESZ6,18.12.2026\n", "line 2: expiry"),
        ("symbol,calendar\nSPY,XNOWHERE\n", "line 2: no calendar 'XNOWHERE'"),
        ("symbol,tick\n,0.01\n", "line 2: symbol is missing"),
        ("symbol,tick\nSPY\n", "line 2: has another number of columns"),
        ("symbol\nSPY\nSPY\n", "SPY stands twice"),
    ],
)
def test_an_unsound_contract_is_named_and_nothing_is_written(
    file_database: Database, tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "contracts.csv"
    path.write_text(text)
    with pytest.raises(ReferenceFileError, match=said):
        import_instruments(file_database, path)
    assert records(file_database, "instruments").empty


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("core,SPY,2020-01-02,2020-01-02,", "line 2: until_date is not after from_date"),
        ("core,SPY,2020-01-02,,2020-01-02T00:00", "line 2: known_at: .*no zone"),
        ("core,,2020-01-02,,", "line 2: symbol is missing"),
    ],
)
def test_an_unsound_member_is_named(file_database: Database, tmp_path: Path, row: str, said: str) -> None:
    path = tmp_path / "members.csv"
    path.write_text(f"universe,symbol,from_date,until_date,known_at\n{row}\n")
    with pytest.raises(ReferenceFileError, match=said):
        import_universe(file_database, path, NOW)


def test_a_file_that_is_not_there_is_named(file_database: Database, tmp_path: Path) -> None:
    with pytest.raises(ReferenceFileError, match=r"gone\.csv: cannot be read"):
        import_instruments(file_database, tmp_path / "gone.csv")
