"""Splits and dividends from Yahoo Finance, by the package ``yfinance`` (extra ``yahoo``), cached on disk.

Limits: no changes of ticker; no date of announcement, so an action counts as known on its ex date; spin-offs
appear as splits or not at all; capital gains of funds count as dividends; Yahoo states dividends in today's
shares, so they are brought back to those of their day and rounded to a hundredth of a cent; Yahoo corrects
its past without saying so. Without a network the cache answers as far as it reaches; beyond, nobody knows.
"""

from __future__ import annotations

import datetime as dt
import importlib
import json
import math
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import Any

import pandas as pd

from data.corporate_actions.action import ActionKind, CorporateAction
from data.corporate_actions.source import CorporateActionSource
from data.errors import CorporateActionDataError, SourceNotInstalledError
from execution.clocks import NANOS, TradingClock, timestamp

FetchActions = Callable[[str], pd.DataFrame]
"""Returns all actions of a symbol: an index of dates, columns ``Dividends`` and ``Stock Splits``; funds also
have ``Capital Gains``."""

_CENT = Decimal("0.0001")
_LARGEST_DENOMINATOR = 1_000
_ROUNDED = 1e-6
"""How far from a simple ratio its decimals may be, of which Yahoo gives six."""
_NOT_SIMPLE = 10_000
"""Product of the two numbers of a ratio that no company chooses: it came from a price."""
_DIVIDENDS, _SPLITS, _GAINS = "Dividends", "Stock Splits", "Capital Gains"
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9.^=-]{0,31}", re.ASCII)


class YahooActionSource(CorporateActionSource):
    """Splits and dividends as Yahoo states them.

    Parameters
    ----------
    cache
        Folder of answers, one file a symbol.
    clock
        Says how old an answer is.
    max_age_hours
        Age at which an answer is asked for anew, if the range reaches beyond its day.
    fetch
        Asks Yahoo; by default through ``yfinance``.
    """

    def __init__(
        self,
        cache: Path,
        clock: TradingClock,
        *,
        max_age_hours: float = 24.0,
        fetch: FetchActions | None = None,
    ) -> None:
        self._cache = cache
        self._clock = clock
        self._max_age_ns = int(max_age_hours * 3600) * NANOS
        self._fetch = fetch or _fetch

    def actions(self, symbol: str, start: dt.date, end: dt.date) -> tuple[CorporateAction, ...]:
        """Return the actions with ``start <= ex_date <= end``, by date; see `CorporateActionSource`.

        Raises
        ------
        CorporateActionDataError
            If Yahoo does not know the symbol, cannot be reached, or sends what cannot be read.
        SourceNotInstalledError
            If ``yfinance`` is not installed and the cache does not have the answer.
        """
        if not _SYMBOL.fullmatch(symbol):
            raise CorporateActionDataError(f"Yahoo: {symbol!r} is not a symbol; use capital letters")
        rows = self._rows(symbol, end)
        found = [_action(symbol, row) for row in rows]
        return tuple(action for action in found if start <= action.ex_date <= end)

    def _rows(self, symbol: str, end: dt.date) -> list[dict[str, str]]:
        file, now_ns = self._cache / f"{symbol}.json", self._clock.now_ns()
        try:
            held = json.loads(file.read_text(encoding="utf-8"))
            age_ns, known_until = now_ns - int(held["asked"]), timestamp(int(held["asked"])).date()
            if age_ns < self._max_age_ns or end < known_until:
                return list(held["actions"])
        except (OSError, ValueError, KeyError, TypeError):
            held = None  # none yet, or a damaged one: ask
        rows = read_actions(symbol, self._fetch(symbol))
        try:
            self._cache.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(".part")
            part.write_text(json.dumps({"asked": now_ns, "actions": rows}, indent=1), encoding="utf-8")
            part.replace(file)
        except OSError as error:
            raise CorporateActionDataError(
                f"cache {file}: {error.strerror or error}; free the disk"
            ) from error
        return rows


def read_actions(symbol: str, frame: pd.DataFrame) -> list[dict[str, str]]:
    """Read a frame of actions as Yahoo states them into rows ``date, kind, value`` in shares of their day.

    Raises
    ------
    CorporateActionDataError
        If a column is missing, a value is not a positive number where it is given, or a date stands twice
        with different values.
    """
    if not {_DIVIDENDS, _SPLITS} <= set(frame.columns) or not isinstance(frame.index, pd.DatetimeIndex):
        raise CorporateActionDataError(
            f"Yahoo's actions of {symbol}: columns {', '.join(map(str, frame.columns))[:120]} instead of "
            f"{_DIVIDENDS} and {_SPLITS}; another version of yfinance may read them"
        )
    rows: list[dict[str, str]] = []
    later = Fraction(1)
    for day, (cash, ratio) in sorted(_by_day(symbol, frame).items(), reverse=True):
        # A dividend of the day of a split is stated in shares of after it, and paid on shares of before.
        split = _simple(ratio) if ratio else Fraction(1)
        if split != 1:
            rows.append({"date": day, "kind": ActionKind.SPLIT.value, "value": str(split)})
            later *= split
        if cash:
            paid = cash * later.numerator / later.denominator
            value = str(paid.quantize(_CENT) or paid)
            rows.append({"date": day, "kind": ActionKind.DIVIDEND.value, "value": value})
    return rows[::-1]


def _by_day(symbol: str, frame: pd.DataFrame) -> dict[str, tuple[Decimal, float]]:
    """Return cash and ratio by date; a row that comes again, as Yahoo's newest does, counts once."""
    names = [name for name in (_DIVIDENDS, _GAINS, _SPLITS) if name in frame.columns]
    found: dict[str, tuple[Decimal, float]] = {}
    for when, *values in zip(frame.index, *(frame[name] for name in names), strict=True):
        day = when.date().isoformat()
        for name, value in zip(names, values, strict=True):
            if not isinstance(value, Real) or not 0 <= float(value) < math.inf:
                raise CorporateActionDataError(
                    f"Yahoo's actions of {symbol} on {day}: {name} of {value!r:.40} cannot be; name a "
                    "file of actions instead"
                )
        *cash, ratio = (float(value) for value in values)
        read = sum((Decimal(str(one)) for one in cash), Decimal(0)), ratio
        if found.setdefault(day, read) != read:
            raise CorporateActionDataError(
                f"Yahoo's actions of {symbol}: {day} stands there twice, with different values; name a "
                "file of actions instead"
            )
    return found


def _simple(ratio: float) -> Fraction:
    """Return the simple ratio that was rounded to six decimals, or what is said if there is none."""
    simple = Fraction(ratio).limit_denominator(_LARGEST_DENOMINATOR)
    near = abs(simple - Fraction(ratio)) < _ROUNDED and simple.numerator * simple.denominator < _NOT_SIMPLE
    return simple if near else Fraction(str(ratio))


def _action(symbol: str, row: dict[str, Any]) -> CorporateAction:
    try:
        kind, day = ActionKind(row["kind"]), dt.date.fromisoformat(row["date"])
        value = Fraction(row["value"]) if kind is ActionKind.SPLIT else Decimal(row["value"])
    except (ValueError, ArithmeticError, KeyError, TypeError) as error:
        raise CorporateActionDataError(
            f"cached actions of {symbol}: {row!r:.120} cannot be read; remove the file, it is asked for anew"
        ) from error
    return CorporateAction(symbol, day, kind, value, where=f"Yahoo, {symbol}")


def _fetch(symbol: str) -> pd.DataFrame:
    frame = yahoo_history(symbol, interval="1d", period="max")
    if not len(frame):
        raise CorporateActionDataError(f"Yahoo on {symbol}: no prices, so nothing is known of its actions")
    told = [name for name in (_DIVIDENDS, _GAINS, _SPLITS) if name in frame.columns]
    return frame[(frame[told] != 0).any(axis=1)]


def yahoo_history(symbol: str, **arguments: Any) -> pd.DataFrame:
    """Ask Yahoo for prices and actions, nothing adjusted by the client; empty if the span has no prices.

    Raises
    ------
    SourceNotInstalledError
        If ``yfinance`` is not installed.
    CorporateActionDataError
        If Yahoo does not know the symbol or cannot be reached.
    """
    try:
        yfinance = importlib.import_module("yfinance")  # an optional extra
    except ImportError as error:
        raise SourceNotInstalledError(
            "Yahoo needs the package yfinance, which is not installed; pip install 'alphec-street[yahoo]'"
        ) from error
    try:
        ticker = yfinance.Ticker(symbol)
        frame = ticker.history(auto_adjust=False, actions=True, raise_errors=True, **arguments)
    except yfinance.exceptions.YFPricesMissingError:
        return pd.DataFrame()
    except (OSError, ValueError, KeyError, yfinance.exceptions.YFException) as error:
        raise CorporateActionDataError(f"Yahoo on {symbol}: {' '.join(str(error).split())[:200]}") from error
    return pd.DataFrame(frame)
