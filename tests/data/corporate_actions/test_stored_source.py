"""Corporate actions of the database: as they were known at any moment, corrected, and never counted twice."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest

from data.corporate_actions import ActionKind
from data.corporate_actions.stored_source import StoredActionSource, import_actions, withdraw_actions
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


def test_an_action_that_never_was_is_withdrawn_from_now_on_and_stays_for_the_past(
    database: Database, file: Path, tmp_path: Path
) -> None:
    import_actions(database, file, NOW)
    wrong = tmp_path / "wrong.csv"
    wrong.write_text(HEADER + "2020-08-31,AAPL,split,4.0\n")
    for _ in range(2):  # again, it changes nothing
        assert withdraw_actions(database, wrong, NOW, origin="actions.csv") == 1
    assert len(records(database, "corporate_actions")) == 4
    now = StoredActionSource(database)
    assert [one.kind for one in now.actions("AAPL", *EVER)] == [ActionKind.DIVIDEND]
    for believed in ("2020-09-01", "2024-06-01"):
        then = StoredActionSource(database, as_of=at(believed))
        assert [one.value for one in then.actions("AAPL", *EVER)] == [Decimal("0.82"), Fraction(4)]
    later = NOW + pd.Timedelta(days=1)
    import_actions(database, file, later)  # it was right after all: learnt now, not in 2020
    split = now.actions("AAPL", *EVER)[1]
    assert (split.value, split.known_at) == (Fraction(4), later)
    assert not split.is_known(dt.date(2024, 6, 1))
    between = StoredActionSource(database, as_of=NOW + pd.Timedelta(hours=1))
    assert [one.kind for one in between.actions("AAPL", *EVER)] == [ActionKind.DIVIDEND]


def test_a_symbol_whose_actions_are_all_withdrawn_is_not_covered_any_more(
    file_database: Database, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_text(HEADER + "2020-08-31,APPL,split,4\n2021-01-04,OLD,rename,NEW\n")
    import_actions(file_database, wrong, NOW)
    withdraw_actions(file_database, wrong, NOW)
    for symbol in ("APPL", "OLD"):
        with pytest.raises(CorporateActionDataError, match=f"no corporate actions of {symbol}"):
            StoredActionSource(file_database).actions(symbol, *EVER)
        then = StoredActionSource(file_database, as_of=at("2023-01-01"))
        assert len(then.actions(symbol, *EVER)) == 1


def test_what_one_source_withdraws_another_may_still_say(file_database: Database, tmp_path: Path) -> None:
    path = tmp_path / "actions.csv"
    path.write_text(HEADER + "2020-08-31,AAPL,split,4\n")
    for name in ("one", "two"):
        import_actions(file_database, path, NOW, origin=name)
    withdraw_actions(file_database, path, NOW, origin="one")
    (split,) = StoredActionSource(file_database).actions("AAPL", *EVER)
    assert split.where == "two"
    with pytest.raises(CorporateActionDataError, match="no corporate actions of AAPL from 'one'"):
        StoredActionSource(file_database, origin="one").actions("AAPL", *EVER)


@pytest.mark.parametrize(
    ("row", "origin", "words"),
    [
        ("2020-08-31,AAPL,split,7", "actions.csv", "line 3: split of AAPL on 2020-08-31: .* holds it as 4"),
        ("2020-08-31,AAPL,split,4", None, "line 2: .*'wrong.csv' holds none; .* --source actions.csv"),
        ("2020-08-31,MSFT,split,4", "actions.csv", "'actions.csv' holds none; take it out"),
    ],
)
def test_only_what_is_held_is_withdrawn_all_or_nothing(
    file_database: Database, file: Path, tmp_path: Path, row: str, origin: str | None, words: str
) -> None:
    import_actions(file_database, file, NOW)
    wrong = tmp_path / "wrong.csv"
    wrong.write_text(f"{HEADER}2020-08-07,AAPL,dividend,0.82\n{row}\n")
    with pytest.raises(CorporateActionDataError, match=words):
        withdraw_actions(file_database, wrong, NOW, origin=origin)
    assert len(StoredActionSource(file_database).actions("AAPL", *EVER)) == 2


@pytest.mark.parametrize(
    "ratio", ["1/7", "3/2", "1.0483673", "1.0000001", "2.00001", "1/999983", "0.0666667"]
)
def test_a_ratio_comes_back_as_it_was_given(database: Database, tmp_path: Path, ratio: str) -> None:
    path = tmp_path / "actions.csv"
    path.write_text(f"{HEADER}2020-08-31,ODD,split,{ratio}\n")
    for _ in range(2):
        import_actions(database, path, NOW)
    (split,) = StoredActionSource(database).actions("ODD", *EVER)
    assert split.value == Fraction(ratio)
    assert len(records(database, "corporate_actions")) == 1
