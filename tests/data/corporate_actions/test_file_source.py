"""Corporate actions from files: both layouts, ex dates by the calendar, and every unsound row named."""

from __future__ import annotations

import datetime as dt
import gzip
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from data.corporate_actions import ActionKind, FileActionSource
from data.errors import CorporateActionDataError

ALL = (dt.date(1990, 1, 1), dt.date(2029, 1, 1))


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_one_file_holds_the_actions_of_many_symbols(tmp_path: Path) -> None:
    source = FileActionSource(
        write(
            tmp_path / "actions.csv",
            "date,symbol,kind,value\n2014-06-09,AAPL,split,7\n2014-05-08,AAPL,dividend,3.29\n"
            "2011-03-23,QQQQ,rename,QQQ\n2020-01-02,ODD,split,1/15\n",
        )
    )
    dividend, split = source.actions("AAPL", *ALL)
    assert (dividend.kind, dividend.value, dividend.ex_date) == (
        ActionKind.DIVIDEND,
        Decimal("3.29"),
        dt.date(2014, 5, 8),
    )
    assert (split.kind, split.value) == (ActionKind.SPLIT, Decimal(7))
    assert source.actions("QQQQ", *ALL)[0].new_symbol == "QQQ"
    assert source.actions("ODD", *ALL)[0].value == Fraction(1, 15)
    assert source.actions("AAPL", dt.date(2014, 6, 1), dt.date(2014, 6, 8)) == ()
    assert source.actions("SPY", *ALL) == ()
    assert source.symbols == ["AAPL", "ODD", "QQQQ"]


def test_a_line_that_begins_with_a_hash_is_a_comment(tmp_path: Path) -> None:
    text = 'date,symbol,kind,value\n# to be confirmed, "perhaps"\n2014-06-09,AAPL,split,7\n#\n'
    source = FileActionSource(write(tmp_path / "actions.csv", text))
    assert [action.where for action in source.in_file_order] == [f"{tmp_path / 'actions.csv'}, line 3"]


def test_the_ex_date_is_the_session_after_the_last_cum_date(tmp_path: Path) -> None:
    text = "last_cum_date,kind,value,cum_close\n2014-06-06,split,7,645.57\n1985-12-31,dividend,0.1,9\n"
    (tmp_path / "AAPL.csv.gz").write_bytes(gzip.compress(text.encode()))
    write(tmp_path / "README.md", "not one of ours")
    first, second = FileActionSource(tmp_path).actions("AAPL", dt.date(1980, 1, 1), ALL[1])
    assert (first.ex_date, second.ex_date) == (dt.date(1986, 1, 2), dt.date(2014, 6, 9))


def test_a_symbol_without_a_file_is_not_covered_rather_than_without_actions(tmp_path: Path) -> None:
    write(tmp_path / "AAPL.csv", "date,kind,value\n")
    source = FileActionSource(tmp_path)
    assert source.actions("AAPL", *ALL) == ()
    with pytest.raises(CorporateActionDataError, match=r"no file of IBM; put IBM\.csv there"):
        source.actions("IBM", *ALL)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("date,symbol,kind,value\n2018-02-30,A,split,2\n", "line 2: date '2018-02-30'"),
        ("date,symbol,kind,value\n20180228,A,split,2\n", "line 2: date '20180228'"),
        ("date,symbol,kind,value\n2018-02-28,a,split,2\n", "symbol 'a': write it in capital letters"),
        ("date,symbol,kind,value\n2018-02-28,A,spinoff,2\n", "kind 'spinoff': use split, dividend or rename"),
        ("date,symbol,kind,value\n2018-02-28,A,split,1\n", "changes nothing"),
        ("date,symbol,kind,value\n2018-02-28,A,split,-2\n", "line 2"),
        ("date,symbol,kind,value\n2018-02-28,A,split,1e3\n", "line 2"),
        ("date,symbol,kind,value\n2018-02-28,A,dividend,0\n", "dividend: 0 must be more than zero"),
        ("date,symbol,kind,value\n2018-02-28,A,rename,A\n", "give the new symbol, another one"),
        ("date,symbol,kind,value\n2018-02-28,A,rename,b\n", "line 2: new symbol 'b': write it in capital"),
        ("date,symbol,kind,value\n2018-02-28,A,rename,\n", "line 2"),
        (f"date,symbol,kind,value\n2018-02-28,A,rename,{'B' * 33}\n", "line 2: new symbol"),
        ("date,symbol,kind,value\n2018-02-28,A,split\n", "line 2: 3 fields, the header has 4"),
        ("date,kind,value\n2018-02-28,split,2\n", "it needs date,symbol,kind,value"),
        (
            "date,symbol,kind,value\n2018-02-28,A,split,2\n2018-02-28,A,split,3\n",
            "already; put them into one",
        ),
        ('date,symbol,kind,value\n2018-02-28,A,"spl"it,2\n', "line 2"),
    ],
)
def test_an_unsound_row_is_named_with_its_line(tmp_path: Path, text: str, reason: str) -> None:
    path = write(tmp_path / "actions.csv", text)
    with pytest.raises(ValueError, match=reason):
        FileActionSource(path)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorporateActionDataError, match="cannot be read"):
        FileActionSource(tmp_path / "none.csv")
    (tmp_path / "AAPL.csv.gz").write_bytes(gzip.compress(b"date,kind,value\n")[:-9])
    with pytest.raises(CorporateActionDataError, match=r"AAPL\.csv\.gz: cannot be read"):
        FileActionSource(tmp_path)
    (tmp_path / "AAPL.csv.gz").unlink()
    with pytest.raises(CorporateActionDataError, match=r"holds no SYMBOL\.csv"):
        FileActionSource(tmp_path)


def test_comments_are_skipped_and_lines_are_still_counted(tmp_path: Path) -> None:
    path = tmp_path / "actions.csv"
    lines = ["date,symbol,kind,value", "# a comment, with commas", "2014-06-09,AAPL,split,7", "#"]
    path.write_text("\n".join([*lines, "2020-08-31,AAPL,split,x"]))
    with pytest.raises(CorporateActionDataError, match="line 5"):
        FileActionSource(path)
    path.write_text("\n".join([*lines, "2020-08-31,AAPL,split,4"]))
    found = FileActionSource(path).actions("AAPL", dt.date(2000, 1, 1), dt.date(2024, 1, 1))
    assert [str(action.value) for action in found] == ["7", "4"]


@pytest.mark.parametrize("date", ["9999-12-31", "9999-12-28", "0001-01-01", "1700-01-03", "2262-06-01"])
@pytest.mark.parametrize("heading", ["last_cum_date", "date"])
def test_a_date_outside_of_what_can_be_told_names_its_line(tmp_path: Path, date: str, heading: str) -> None:
    write(tmp_path / "AAPL.csv", f"{heading},kind,value\n2014-06-06,split,7\n{date},split,7\n")
    with pytest.raises(CorporateActionDataError, match=f"AAPL.csv, line 3: .*{date}"):
        FileActionSource(tmp_path)
