"""Corporate actions of the database: as they were known at any moment, corrected, and never counted twice."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest

from data.corporate_actions import ActionKind
from data.corporate_actions.stored_source import StoredActionSource, import_actions
from data.database import Database
from data.errors import CorporateActionDataError
from data.records import records

EVER = dt.date(1990, 1, 1), dt.date(2030, 1, 1)
NOW = pd.Timestamp("2024-06-01T12:00Z").as_unit("ns")
HEADER = "date,symbol,kind,value\n"
APPLE = "2020-08-31,AAPL,split,4\n2020-08-07,AAPL,dividend,0.82\n"


def at(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "actions.csv"
    path.write_text(HEADER + APPLE + "2012-01-03,ODD,split,1/3\n")
    return path


def test_actions_are_stored_once_and_read_as_they_were_known(database: Database, file: Path) -> None:
    assert [import_actions(database, file, NOW) for _ in range(2)] == [3, 3]
    assert len(records(database, "corporate_actions")) == 3
    early = StoredActionSource(database, as_of=at("2020-08-10"))
    assert [one.kind for one in early.actions("AAPL", *EVER)] == [ActionKind.DIVIDEND]
    assert StoredActionSource(database, as_of=at("2001-01-01")).actions("AAPL", *EVER) == ()
    paid, split = StoredActionSource(database).actions("AAPL", *EVER)
    assert (paid.value, split.value, split.where) == (Decimal("0.82"), Fraction(4), "actions.csv")
    assert StoredActionSource(database).actions("ODD", *EVER)[0].value == Fraction(1, 3)


def test_a_correction_counts_from_its_import_on_and_the_old_value_before(
    database: Database, file: Path
) -> None:
    import_actions(database, file, NOW)
    file.write_text(HEADER + APPLE.replace(",4", ",7"))
    for _ in range(2):
        import_actions(database, file, NOW)
    assert len(records(database, "corporate_actions")) == 4
    now, then = StoredActionSource(database), StoredActionSource(database, as_of=at("2024-01-01"))
    values = [source.actions("AAPL", *EVER)[1].value for source in (now, then)]
    assert values == [7, 4]
    split = now.actions("AAPL", *EVER)[1]
    assert split.is_known(dt.date(2021, 1, 1))  # that there was one was known all the time
    file.write_text(HEADER + APPLE)  # and back, within the same microsecond
    import_actions(database, file, NOW)
    assert now.actions("AAPL", *EVER)[1].value == 4


def test_two_imports_that_agree_are_one_action_and_two_that_do_not_are_refused(
    database: Database, file: Path
) -> None:
    import_actions(database, file, NOW, origin="a")
    import_actions(database, file, NOW, origin="b")
    assert len(StoredActionSource(database).actions("AAPL", *EVER)) == 2  # a split counted twice would be 16
    file.write_text(HEADER + APPLE.replace(",4", ",7"))
    import_actions(database, file, NOW, origin="b")
    with pytest.raises(
        CorporateActionDataError, match="2020-08-31: a says 4, b says 7; choose one: stored:a or"
    ):
        StoredActionSource(database).actions("AAPL", *EVER)
    assert StoredActionSource(database, origin="a").actions("AAPL", *EVER)[1].value == 4
    assert StoredActionSource(database, origin="b").actions("AAPL", *EVER)[1].value == 7


def test_a_heading_alone_states_that_there_were_none(file_database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "actions"
    folder.mkdir()
    (folder / "KO.csv").write_text("date,kind,value\n")
    source = StoredActionSource(file_database)
    assert not source.holds_any()
    with pytest.raises(CorporateActionDataError, match="holds no corporate actions of KO; import them"):
        source.actions("KO", *EVER)
    assert import_actions(file_database, folder, NOW) == 0
    assert source.actions("KO", *EVER) == ()
    assert source.holds_any()
    (folder / "KO.csv").write_text("date,kind,value\n2012-08-13,split,2\n")
    import_actions(file_database, folder, NOW)
    assert [one.value for one in source.actions("KO", *EVER)] == [2]


def test_a_database_that_is_away_or_not_migrated_is_told_as_actions_that_are_not_known(
    tmp_path: Path,
) -> None:
    for url, why in (("postgresql+psycopg://u@127.0.0.1:1/x", "whether the server runs"),
                     (f"sqlite:///{tmp_path / 'none.db'}", "no such file")):  # fmt: skip
        with pytest.raises(CorporateActionDataError, match=why):
            StoredActionSource(Database(url)).actions("AAPL", *EVER)


def test_a_name_that_is_too_long_is_refused_before_the_database_does(database: Database, file: Path) -> None:
    with pytest.raises(CorporateActionDataError, match="give --source, at most 64"):
        import_actions(database, file, NOW, origin="x" * 65)
    assert records(database, "corporate_actions").empty
