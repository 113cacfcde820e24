"""Contracts and universes come from files, whole or not at all."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from data.database import Database
from data.errors import ReferenceFileError
from data.records import records
from data.reference.files import import_instruments, import_universe
from data.reference.instruments import members

NOW = pd.Timestamp("2024-06-01T12:00Z").as_unit("ns")
CONTRACTS = """symbol,calendar,security_type,expiry,multiplier,tick,name,sector,listed_on
SPY,,,,,,"SPDR S&P 500",ETF,1993-01-29
ESZ6,CMES,FUT,2026-12-18,50,0.25,,,
"""


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
    path.write_text("symbol,name\nESZ6,mini\n")
    assert import_instruments(database, path) == 1
    (es,) = records(database, "instruments", where={"symbol": "ESZ6"}).to_dict("records")
    assert (es["calendar"], es["tick"], es["multiplier"]) == ("CMES", Decimal("0.5"), Decimal(50))
    assert (es["security_type"], es["expiry"], es["name"]) == ("FUT", dt.date(2026, 12, 18), "mini")


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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("symbol,colour\nSPY,red\n", "line 1: columns symbol, colour; write, between commas, some of"),
        ("", "line 1: columns none"),
        ("symbol,tick\nSPY,0.01\nIWM,-1\n", "line 3: IWM: tick, lot and multiplier must be positive"),
        ("symbol,tick\nSPY,1e5\n", "line 2: tick"),
        ("symbol,expiry\nESZ6,18.12.2026\n", "line 2: expiry"),
        ("symbol,calendar\nSPY,XNOWHERE\n", "line 2: no calendar 'XNOWHERE'"),
        ("symbol,tick\n,0.01\n", "line 2: symbol is missing"),
        ("symbol,tick\nSPY\n", "line 2: has another number of columns"),
        ("symbol\nSPY\nSPY\n", "line 3: SPY stands twice, first at .*line 2"),
        ("symbol,con_id\nSPY,-1\n", "line 2: con_id: '-1' is negative; leave it empty"),
        ("symbol,con_id\nSPY,x\n", "line 2: con_id: 'x' is not a whole number"),
        ("symbol,currency\nSPY,usd\n", "line 2: currency: 'usd' is no currency; write three capital"),
        ("symbol,security_type\nSPY,FOO\n", "line 2: security_type: 'FOO' is none of BAG, BOND"),
        ("symbol,right\nSPY,X\n", "line 2: right: 'X' is none of C, P"),
        (
            "symbol,expiry\nESZ6,20261218\n",
            "line 2: expiry: '20261218' is no date; write one like 2020-01-31",
        ),
        ("symbol,listed_on\nSPY,1993-1-29\n", "line 2: listed_on: '1993-1-29' is no date"),
        ("symbol,listed_on\nSPY,0001-01-01\n", "line 2: listed_on: '0001-01-01' is no date"),
        (
            "symbol,listed_on,delisted_on\nA,2020-01-02,2019-01-02\n",
            "line 2: delisted_on is before listed_on",
        ),
        ("symbol,sector,sector\nSPY,x,y\n", "line 1: column 'sector' appears twice; keep one"),
        ("symbol;sector\nSPY;x\n", "line 1: columns symbol;sector; write, between commas, some of"),
        ('symbol,name\nSPY,x\nIWM,"y\n', "line 3: unexpected end of data; correct the row"),
        ("symbol,name\nSPY,a\0b\n", "line 2: name: .*cannot be printed"),
        (f"symbol,sector\nSPY,{'x' * 65}\n", "line 2: sector 'x*'... has 65 letters, 64 at most"),
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
        ("core,spy,2020-01-02,,", "line 2: symbol: 'spy' is no symbol; use capital letters"),
        ("core,SPY;DROP,2020-01-02,,", "line 2: symbol: 'SPY;DROP' is no symbol"),
        ("core\0,SPY,2020-01-02,,", "line 2: universe: .*cannot be printed"),
        ("core,SPY,2020-W01-1,,", "line 2: from_date: '2020-W01-1' is no date; write one like"),
        ("core,SPY,20200102,,", "line 2: from_date: '20200102' is no date"),
        ("core,SPY,2020-01-02,2020-02-30,", "line 2: until_date: '2020-02-30' is no date"),
        ("core,SPY,2020-01-02,,now", "line 2: known_at: 'now' is no time; write one like"),
        ("core,SPY,2020-01-02,,9999-01-01T00:00Z", "line 2: known_at: '9999-01-01T00:00Z' is no time"),
        ("core,SPY,2020-01-02,,01/02/2020 00:00Z", "line 2: known_at: .* is no time"),
        ("core,SPY,2020-01-02,,2020-01-01T99:00Z", "line 2: known_at: .* is no time"),
        (
            "core,SPY,2020-01-02,,\ncore,SPY,2020-01-02,,",
            "line 3: core SPY 2020-01-02 stands twice, first at .*line 2",
        ),
    ],
)
def test_an_unsound_member_is_named(file_database: Database, tmp_path: Path, row: str, said: str) -> None:
    path = tmp_path / "members.csv"
    path.write_text(f"universe,symbol,from_date,until_date,known_at\n{row}\n")
    with pytest.raises(ReferenceFileError, match=said):
        import_universe(file_database, path, NOW)
    assert records(file_database, "universe_members").empty


def test_names_of_columns_may_have_spaces_around_them(file_database: Database, tmp_path: Path) -> None:
    path = tmp_path / "members.csv"
    path.write_text("universe, symbol, from_date\ncore, SPY, 2020-01-02\n")
    assert import_universe(file_database, path, NOW) == 1
    assert members(file_database, "core", dt.date(2020, 1, 2)) == ["SPY"]


def test_a_file_that_is_not_there_is_named(file_database: Database, tmp_path: Path) -> None:
    with pytest.raises(ReferenceFileError, match=r"gone\.csv: cannot be read"):
        import_instruments(file_database, tmp_path / "gone.csv")
