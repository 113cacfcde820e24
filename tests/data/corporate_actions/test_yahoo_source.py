"""Actions as Yahoo states them: in the shares of their day, cached, and refused if unreadable."""

from __future__ import annotations

import datetime as dt
import sys
import types
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest

from data.corporate_actions import ActionKind, YahooActionSource
from data.errors import CorporateActionDataError, SourceNotInstalledError
from execution.clocks import NANOS, SteppedClock, utc_ns

EVER = (dt.date(1980, 1, 1), dt.date(2029, 1, 1))
NOW = utc_ns(pd.Timestamp("2024-03-01 12:00", tz="UTC"))


def frame() -> pd.DataFrame:
    """Apple's, as the package returns them: dividends in shares of after both splits."""
    days = ["2012-08-09", "2014-05-08", "2014-06-09", "2014-08-07", "2020-08-31", "2020-11-06"]
    index = pd.DatetimeIndex(days, name="Date").tz_localize("America/New_York")
    dividends = [0.094643, 0.1175, 0.0, 0.1175, 0.0, 0.205]
    return pd.DataFrame({"Dividends": dividends, "Stock Splits": [0.0, 0.0, 7.0, 0.0, 4.0, 0.0]}, index=index)


class Yahoo:
    def __init__(self, answer: pd.DataFrame) -> None:
        self.answer, self.asked = answer, 0

    def __call__(self, symbol: str) -> pd.DataFrame:
        self.asked += 1
        return self.answer


def test_dividends_come_in_the_shares_of_their_day_and_splits_as_ratios(tmp_path: Path) -> None:
    source = YahooActionSource(tmp_path, SteppedClock(NOW), fetch=Yahoo(frame()))
    found = source.actions("AAPL", *EVER)
    assert [(a.ex_date.isoformat(), a.kind, a.value) for a in found] == [
        ("2012-08-09", ActionKind.DIVIDEND, Decimal("2.6500")),
        ("2014-05-08", ActionKind.DIVIDEND, Decimal("3.2900")),
        ("2014-06-09", ActionKind.SPLIT, Fraction(7)),
        ("2014-08-07", ActionKind.DIVIDEND, Decimal("0.4700")),
        ("2020-08-31", ActionKind.SPLIT, Fraction(4)),
        ("2020-11-06", ActionKind.DIVIDEND, Decimal("0.2050")),
    ]
    assert [a.value for a in source.actions("AAPL", dt.date(2014, 6, 1), dt.date(2014, 6, 30))] == [7]


def test_a_reverse_split_is_an_exact_ratio(tmp_path: Path) -> None:
    answer = frame().iloc[:1].assign(**{"Dividends": 0.0, "Stock Splits": 0.066667})
    (split,) = YahooActionSource(tmp_path, SteppedClock(NOW), fetch=Yahoo(answer)).actions("ODD", *EVER)
    assert split.value == Fraction(1, 15)


def test_an_answer_is_asked_for_once_a_day_and_never_for_a_past_that_it_covers(tmp_path: Path) -> None:
    clock, yahoo = SteppedClock(NOW), Yahoo(frame())
    for _ in range(2):
        YahooActionSource(tmp_path, clock, fetch=yahoo).actions("AAPL", *EVER)
    assert yahoo.asked == 1
    clock.advance_to(NOW + 25 * 3600 * NANOS)
    YahooActionSource(tmp_path, clock, fetch=yahoo).actions("AAPL", EVER[0], dt.date(2024, 2, 29))
    assert yahoo.asked == 1
    YahooActionSource(tmp_path, clock, fetch=yahoo).actions("AAPL", *EVER)
    assert yahoo.asked == 2


@pytest.mark.parametrize("text", ["{", "[]", '{"asked": 1}'])
def test_a_damaged_cache_is_asked_anew(tmp_path: Path, text: str) -> None:
    yahoo = Yahoo(frame())
    (tmp_path / "AAPL.json").write_text(text)
    assert YahooActionSource(tmp_path, SteppedClock(NOW), fetch=yahoo).actions("AAPL", *EVER)
    assert yahoo.asked == 1


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (frame().rename(columns={"Dividends": "dividends"}), "instead of Dividends and Stock Splits"),
        (frame().assign(Dividends=-1.0), "on 2012-08-09: .*-1"),
        (frame().assign(Dividends=float("nan")), "on 2012-08-09: .*nan"),
        (frame().assign(**{"Stock Splits": float("nan")}), "on 2012-08-09: .*nan"),
        (frame().assign(**{"Stock Splits": float("inf")}), "on 2012-08-09: .*inf"),
        (frame().assign(Dividends="0.2"), "on 2012-08-09: .*0.2"),
        (pd.concat([frame(), frame().iloc[5:].assign(Dividends=0.3)]), "2020-11-06 stands there twice"),
    ],
)
def test_what_cannot_be_read_is_no_empty_answer(tmp_path: Path, answer: pd.DataFrame, complaint: str) -> None:
    source = YahooActionSource(tmp_path, SteppedClock(NOW), fetch=Yahoo(answer))
    with pytest.raises(CorporateActionDataError, match=complaint):
        source.actions("AAPL", *EVER)
    assert not list(tmp_path.iterdir())


def test_a_cached_row_that_is_none_and_a_symbol_that_is_a_path_are_refused(tmp_path: Path) -> None:
    source = YahooActionSource(tmp_path, SteppedClock(NOW), fetch=Yahoo(frame()))
    (tmp_path / "AAPL.json").write_text(f'{{"asked": {NOW}, "actions": [{{"kind": "merger"}}]}}')
    with pytest.raises(CorporateActionDataError, match="remove the file"):
        source.actions("AAPL", *EVER)
    with pytest.raises(CorporateActionDataError, match="is not a symbol"):
        source.actions("../AAPL", *EVER)


def test_without_the_package_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yfinance", None)
    with pytest.raises(SourceNotInstalledError, match=r"pip install 'alphec-street\[yahoo\]'"):
        YahooActionSource(tmp_path, SteppedClock(NOW)).actions("AAPL", *EVER)


class _FailedError(Exception):
    """As the package's base of errors."""


class _NoPricesError(_FailedError):
    """As the package's error for a span without prices."""


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (frame(), None),
        (_NoPricesError("no price data found"), "no prices, so nothing is known"),
        (_FailedError("no timezone found, symbol may be delisted"), "Yahoo on AAPL: no timezone found"),
        (OSError("network is unreachable"), "Yahoo on AAPL: network is unreachable"),
    ],
)
def test_what_the_package_says_is_told_apart(
    answer: object, complaint: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ticker:
        def __init__(self, symbol: str) -> None: ...

        def history(self, **arguments: object) -> object:
            assert arguments["auto_adjust"] is False
            if isinstance(answer, Exception):
                raise answer
            return answer

    package = types.ModuleType("yfinance")
    errors = types.SimpleNamespace(YFException=_FailedError, YFPricesMissingError=_NoPricesError)
    package.Ticker, package.exceptions = Ticker, errors  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "yfinance", package)
    source = YahooActionSource(tmp_path, SteppedClock(NOW))
    if complaint is None:
        assert len(source.actions("AAPL", *EVER)) == 6
        return
    with pytest.raises(CorporateActionDataError, match=complaint):
        source.actions("AAPL", *EVER)


def test_rows_in_any_order_and_twice_are_read_once(tmp_path: Path) -> None:
    told = YahooActionSource(tmp_path / "a", SteppedClock(NOW), fetch=Yahoo(frame()))
    mixed = pd.concat([frame().iloc[::-1], frame().iloc[2:4]])
    source = YahooActionSource(tmp_path / "b", SteppedClock(NOW), fetch=Yahoo(mixed))
    assert source.actions("AAPL", *EVER) == told.actions("AAPL", *EVER)


def test_capital_gains_of_a_fund_are_cash_like_its_dividends(tmp_path: Path) -> None:
    answer = frame().assign(**{"Capital Gains": [0.0, 0.5, 0.0, 0.0, 0.0, 0.0]})
    found = YahooActionSource(tmp_path, SteppedClock(NOW), fetch=Yahoo(answer)).actions("FUND", *EVER)
    assert found[1].value == Decimal("17.2900")  # 28 of today's shares: 3.29 and 14.00


def test_a_dividend_below_a_hundredth_of_a_cent_is_still_one(tmp_path: Path) -> None:
    answer = frame().iloc[5:].assign(Dividends=0.00004)
    (paid,) = YahooActionSource(tmp_path, SteppedClock(NOW), fetch=Yahoo(answer)).actions("PENNY", *EVER)
    assert paid.value == Decimal("0.00004")


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        (1.5, "3/2"),
        (0.142857, "1/7"),
        (0.333333, "1/3"),
        (1.046129, "1.046129"),
        (2.002, "1001/500"),
        (50.0, "50"),
    ],
)
def test_a_ratio_is_the_simple_one_that_yahoo_rounded_or_what_it_says(
    told: float, meant: str, tmp_path: Path
) -> None:
    answer = frame().iloc[:1].copy()
    answer["Dividends"], answer["Stock Splits"] = 0.0, told
    (split,) = YahooActionSource(tmp_path, SteppedClock(NOW), fetch=Yahoo(answer)).actions("ODD", *EVER)
    assert split.value == Fraction(meant)


def test_what_the_package_says_of_capital_gains_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = frame()
    whole["Dividends"], whole["Capital Gains"] = 0.0, [0.5, 0.0, 0.0, 0.0, 0.0, 0.0]

    class Ticker:
        def __init__(self, symbol: str) -> None: ...

        def history(self, **_: object) -> pd.DataFrame:
            return whole

    errors = types.SimpleNamespace(YFPricesMissingError=_NoPricesError, YFException=_FailedError)
    monkeypatch.setitem(sys.modules, "yfinance", types.SimpleNamespace(Ticker=Ticker, exceptions=errors))
    found = YahooActionSource(tmp_path, SteppedClock(NOW)).actions("FUND", *EVER)
    assert [one.kind for one in found] == [ActionKind.DIVIDEND, ActionKind.SPLIT, ActionKind.SPLIT]


def test_an_answer_that_reaches_far_enough_serves_while_yahoo_is_away(tmp_path: Path) -> None:
    YahooActionSource(tmp_path, SteppedClock(NOW), fetch=Yahoo(frame())).actions("AAPL", *EVER)

    def away(symbol: str) -> pd.DataFrame:
        raise CorporateActionDataError(f"Yahoo on {symbol}: network is unreachable")

    later = YahooActionSource(tmp_path, SteppedClock(NOW + 90 * 86_400 * NANOS), fetch=away)
    assert len(later.actions("AAPL", EVER[0], dt.date(2024, 2, 29))) == 6
    with pytest.raises(CorporateActionDataError, match="unreachable"):  # nobody knows what has happened since
        later.actions("AAPL", EVER[0], dt.date(2024, 5, 1))
