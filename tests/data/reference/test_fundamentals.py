"""Fundamentals: point in time on every server, and files that are refused by line."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from data.database import Database
from data.errors import FundamentalsFileError
from data.reference.fundamentals import as_of, import_csv

HEADER = "symbol,item,period_end,known_at,value,currency\n"
FIRST = "AAPL,eps,2024-03-31,2024-05-02T20:30:00Z,1.53,USD\n"
RESTATED = "AAPL,eps,2024-03-31,2024-08-01T20:30:00Z,1.52,USD\n"


def test_a_restatement_is_known_from_its_day_on_and_never_before(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "figures.csv"
    path.write_text(HEADER + FIRST + RESTATED + "MSFT,eps,2024-03-31,2024-04-25T20:00:00Z,2.94,\n")
    assert import_csv(database, path) == 3
    assert import_csv(database, path) == 3  # again, and nothing is doubled
    known = {
        day: as_of(database, "AAPL", pd.Timestamp(day, tz="UTC"))["value"].tolist()
        for day in ("2024-05-01", "2024-05-03", "2024-09-01")
    }
    assert known == {"2024-05-01": [], "2024-05-03": [Decimal("1.53")], "2024-09-01": [Decimal("1.52")]}
    assert as_of(database, "AAPL", pd.Timestamp("2024-09-01", tz="UTC"))["source"].tolist() == ["figures.csv"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("symbol,value\n", "line 1: columns symbol, value"),
        (HEADER + "AAPL,eps,2024-03-31,2024-05-02T20:30:00,1,\n", "line 2: .*has no zone"),
        (HEADER + FIRST + "AAPL,eps,2024-03-31,2024-05-02T00:00Z,1e5,\n", "line 3"),
        (HEADER + "AAPL,eps,31.3.2024,2024-05-02T00:00Z,1,\n", "line 2"),
        (HEADER + "AAPL,eps,2024-03-31,NaT,1,\n", "line 2"),
        (HEADER + "AAPL,eps,2024-03-31,2024-03-30T00:00Z,1,\n", "before the quarter's end"),
        (HEADER + "AAPL,,2024-03-31,2024-05-02T00:00Z,1,\n", "item is missing"),
        (HEADER + FIRST.replace("AAPL", "A" * 33), "line 2: symbol 'A*'... has 33 letters, 32 at most"),
        (HEADER + FIRST + FIRST, "line 3: the same figure as line 2"),
        ("", "line 1: columns none"),
        (
            HEADER + "AAPL,eps,31.3.2024,2024-05-02T00:00Z,1,\n",
            "period_end '31.3.2024' is not written like 2024-03",
        ),
        (
            HEADER + "AAPL,eps,2024-03-31,05/02/2024 20:30Z,1,\n",
            "known_at '05/02/2024 20:30Z' is not written like",
        ),
        (HEADER + "AAPL,eps,2024-03-31,9999-05-02T20:30Z,1,\n", "line 2: known_at '9999-05-02T20:30Z'"),
        (
            HEADER + "AA\0PL,eps,2024-03-31,2024-05-02T20:30Z,1,\n",
            "line 2: (symbol holds|cannot be read).* NUL",
        ),
        (HEADER + "AAPL,eps,2024-03-31,2024-05-02T20:30Z,1,USD,7\n", "line 2: more fields than columns"),
        (HEADER + FIRST + FIRST.replace("1.53", "6.11"), "line 3: .*an item of its own, such as revenue_fy"),
    ],
)
def test_an_unsound_file_is_named_with_its_line_and_nothing_is_written(
    file_database: Database, tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "figures.csv"
    path.write_text(text)
    with pytest.raises(FundamentalsFileError, match=said):
        import_csv(file_database, path)
    assert as_of(file_database, "AAPL", pd.Timestamp("2030-01-01", tz="UTC")).empty


def test_a_file_that_is_not_there_is_named(file_database: Database, tmp_path: Path) -> None:
    with pytest.raises(FundamentalsFileError, match=r"gone\.csv: cannot be read"):
        import_csv(file_database, tmp_path / "gone.csv")


def test_another_value_for_what_was_known_at_one_moment_is_refused(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "figures.csv"
    path.write_text(HEADER + FIRST)
    import_csv(database, path)
    path.write_text(
        HEADER + "MSFT,eps,2024-03-31,2024-04-25T20:00:00Z,2.94,\n" + FIRST.replace("1.53", "1.54")
    )
    with pytest.raises(
        FundamentalsFileError, match=r"AAPL eps 2024-03-31 .*stored as 1.53, not 1.54; write a restatement"
    ):
        import_csv(database, path)
    assert as_of(database, "MSFT", pd.Timestamp("2030-01-01", tz="UTC")).empty
