"""The file of splits and dividends: what is read, and what each fault is told as."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from backtesting.gateway.errors import CorporateActionError
from backtesting.gateway.market.corporate_action_file import CorporateAction, load_corporate_actions
from data.calendars import ExchangeClock
from execution.models import Instrument

OFFERED = (Instrument("AAA"), Instrument("BBB"), Instrument("ESH8", security_type="FUT"))
HEAD = "date,symbol,kind,value\n"


def load(folder: Path, sessions: ExchangeClock, text: str) -> tuple[CorporateAction, ...]:
    path = folder / "actions.csv"
    path.write_text(text, encoding="utf-8")
    return load_corporate_actions(path, OFFERED, sessions)


def test_actions_come_by_date_with_their_values_exact(tmp_path: Path, sessions: ExchangeClock) -> None:
    text = "\ufeffsymbol, date,kind,value\nBBB,2018-01-05,split,1/15\n\nAAA,2018-01-03,dividend,0.255\n"
    dividend, split = load(tmp_path, sessions, text)
    assert (dividend.date, dividend.symbol, dividend.value) == (dt.date(2018, 1, 3), "AAA", Decimal("0.255"))
    assert (split.value, split.where) == (Fraction(1, 15), f"{tmp_path / 'actions.csv'}, line 2")
    assert split.of_close(2.0) == 30.0
    assert dividend.of_close(10.255) == pytest.approx(10.0)


def test_dates_that_the_calendar_does_not_know_are_taken(tmp_path: Path, sessions: ExchangeClock) -> None:
    text = HEAD + "2017-07-04,AAA,split,2\n2030-06-15,AAA,split,2\n"
    assert len(load(tmp_path, sessions, text)) == 2


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("", "no corporate actions; leave --corporate-actions out"),
        ("2018-01-03,AAA,split\n", "line 2: 3 fields, the header has 4"),
        ("2018-01-03,AAA,spin-off,2\n", "line 2: kind 'spin-off': use split or dividend"),
        ("2018-01-03,CCC,split,2\n", "line 2: 'CCC' is not offered; take it out, or serve bars of it"),
        ("2018-01-03,ESH8,split,2\n", "line 2: ESH8 is no stock"),
        ("03.01.2018,AAA,split,2\n", "line 2: date '03.01.2018' is none; write the ex date like 2018-01-03"),
        ("2018-02-30,AAA,split,2\n", "line 2: date '2018-02-30' is none"),
        ("2018-01-06,AAA,split,2\n", "line 2: 2018-01-06 is no session"),
        ("2018-01-03,AAA,split,1:2\n", "line 2: split: '1:2' is not a plain decimal number .* such as 1/15"),
        ("2018-01-03,AAA,split,1\n", "line 2: split: 1 changes nothing"),
        ("2018-01-03,AAA,split,0\n", "line 2: split: 0 must be more than zero"),
        ("2018-01-03,AAA,dividend,-1\n", "line 2: dividend: -1 must be more than zero"),
        ("2018-01-03,AAA,dividend,1/2\n", "line 2: dividend: '1/2' is not a plain decimal number"),
        ("2018-01-03,AAA,split,2\n2018-01-03,AAA,split,3\n", "line 3: .*line 2 is a split of AAA on that"),
        ('2018-01-03,"AAA,split,2\n', "line 2: unexpected end of data"),
    ],
)
def test_the_first_fault_is_told_with_file_line_and_remedy(
    tmp_path: Path, sessions: ExchangeClock, rows: str, complaint: str
) -> None:
    with pytest.raises(CorporateActionError, match=rf"actions\.csv.*{complaint}"):
        load(tmp_path, sessions, HEAD + rows)


def test_a_file_that_is_none_is_told_of(tmp_path: Path, sessions: ExchangeClock) -> None:
    with pytest.raises(CorporateActionError, match="cannot be read"):
        load_corporate_actions(tmp_path / "none.csv", OFFERED, sessions)
    with pytest.raises(CorporateActionError, match="line 1: columns date,symbol; it needs"):
        load(tmp_path, sessions, "date,symbol\n")
    (tmp_path / "large.csv").write_bytes(b"x" * (9 << 20))
    with pytest.raises(CorporateActionError, match="larger than 8 MiB"):
        load_corporate_actions(tmp_path / "large.csv", OFFERED, sessions)
