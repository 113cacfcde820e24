"""What the order path is told of corporate actions: by moment, translated, nothing where none is known."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest

from data.calendars import ExchangeClock
from data.corporate_actions import FileActionSource
from data.corporate_actions.for_trading import TradingActions
from execution.book.adjustments import AdjustmentKind, CorporateActionSource, adjustment_of
from execution.clocks import utc_ns

FILE = (
    "date,symbol,kind,value\n2020-08-31,AAPL,split,4\n2020-11-06,AAPL,dividend,0.205\n"
    "2022-06-09,FB,rename,META\n2020-08-31,ODD,split,1/15\n"
)


def ns(text: str) -> int:
    return utc_ns(pd.Timestamp(text, tz="America/New_York"))


@pytest.fixture
def source(tmp_path: Path) -> CorporateActionSource:
    (tmp_path / "actions.csv").write_text(FILE)
    clock = ExchangeClock("XNYS", dt.date(2020, 1, 1), dt.date(2022, 12, 31))
    return TradingActions(FileActionSource(tmp_path / "actions.csv"), clock)


def test_each_kind_is_told_in_the_words_of_the_book(source: CorporateActionSource) -> None:
    ever = ns("2020-01-02"), ns("2022-12-01")
    split, dividend = source.actions("AAPL", *ever)
    assert (split.kind, split.ratio, split.time) == (AdjustmentKind.SPLIT, Fraction(4), ns("2020-08-31"))
    assert (dividend.kind, dividend.amount) == (AdjustmentKind.DIVIDEND, Decimal("0.205"))
    (renamed,) = source.actions("FB", *ever)
    assert (renamed.kind, renamed.new_symbol) == (AdjustmentKind.SYMBOL_CHANGE, "META")
    assert source.actions("ODD", *ever)[0].ratio == Fraction(1, 15)
    adjustment = adjustment_of(split, Decimal(10), Decimal(40))
    assert adjustment is not None
    assert adjustment.quantity == 30


def test_an_action_takes_hold_when_its_ex_date_begins(source: CorporateActionSource) -> None:
    midnight = ns("2020-08-31")
    assert source.actions("AAPL", midnight - 10, midnight - 1) == []
    assert len(source.actions("AAPL", midnight - 1, midnight)) == 1
    assert source.actions("AAPL", midnight, midnight + 1) == []


def test_a_stock_that_the_source_does_not_cover_is_left_to_a_person(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "AAPL.csv").write_text("date,kind,value\n")
    clock = ExchangeClock("XNYS", dt.date(2020, 1, 1), dt.date(2022, 12, 31))
    source = TradingActions(FileActionSource(tmp_path), clock)
    for _ in range(2):
        assert source.actions("IBM", ns("2020-01-02"), ns("2022-12-01")) == []
    said = capsys.readouterr().out + caplog.text
    assert said.count("no file of IBM") == 1
