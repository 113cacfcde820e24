"""Numbers from outside, ticks and lots, and the one place where money is rounded.

Prices, sizes and cash are ``Decimal``. Matching works on int64 ticks and lots; the conversions here are
exact and refuse what does not fit instead of rounding it silently.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from decimal import (
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
    localcontext,
)
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

from execution.errors import NumberFormatError

MONEY_QUANTUM = Decimal("0.000001")
"""Resolution to which money (commissions, realised P&L, average cost) is rounded."""

_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,10})?", re.ASCII)
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)
_INTEGER_DIGITS = 18
_WIRE = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
_UNSET_FROM = Decimal("1.7E+308")
_WIRE_MAX = Decimal("1E+18")
_MONEY = Context(prec=38, rounding=ROUND_HALF_EVEN)
ARITHMETIC = Context(prec=28, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])
"""How sizes, prices and money are reckoned here, whatever a program sets for its own decimals."""
_P = ParamSpec("_P")
_T = TypeVar("_T")


def own_arithmetic() -> AbstractContextManager[Context]:
    """Reckon as `ARITHMETIC` says inside of a block.

    A program that sets ``decimal.getcontext().prec = 6`` sets it for all that runs in its thread: sizes and
    limits would be rounded by it.
    """
    return localcontext(ARITHMETIC)


def reckoned(work: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let a plain function reckon as `ARITHMETIC` says."""

    @wraps(work)
    def reckoning(*args: _P.args, **more: _P.kwargs) -> _T:
        with localcontext(ARITHMETIC):
            return work(*args, **more)

    return reckoning


def parse_decimal(text: str, *, name: str) -> Decimal:
    """Parse a number that a person or a file wrote.

    Parameters
    ----------
    text
        ASCII digits with an optional sign and fraction: no exponent, spaces, underscores or separators.
    name
        What the number is, for the error message.

    Raises
    ------
    NumberFormatError
        If the text is anything else, or longer than 15 integer and 10 fraction digits.
    """
    if not isinstance(text, str) or not _PLAIN.fullmatch(text):
        raise NumberFormatError(f"{name}: {str(text)[:40]!r} is not a plain decimal number such as 101.25")
    return Decimal(text)


def parse_integer(text: str, *, name: str) -> int:
    """Parse a whole number of at most 18 digits, ASCII only; raise `NumberFormatError` otherwise."""
    if not isinstance(text, str):
        raise NumberFormatError(f"{name}: {str(text)[:40]!r} is not a whole number")
    if (
        text.isdecimal()
        and text.isascii()
        and len(text) <= _INTEGER_DIGITS
        and (text[0] != "0" or text == "0")
    ):
        return int(text)  # a third less time than the pattern takes, and thousands come at once
    if not _INTEGER.fullmatch(text):
        raise NumberFormatError(f"{name}: {text[:40]!r} is not a whole number")
    return int(text)


def parse_wire_decimal(text: str, *, name: str) -> Decimal | None:
    """Parse a number as TWS spells it: empty and the ``1.797…E308`` sentinel mean unset and give None.

    Raises
    ------
    NumberFormatError
        If the text is not a number, or exceeds 1e18 in magnitude.
    """
    try:
        return _wire_number(text)
    except ValueError as error:
        raise NumberFormatError(f"{name}: {text[:40]!r} {error}") from None


@lru_cache(maxsize=4096)  # sizes and prices repeat, and reading one anew takes six times as long
def _wire_number(text: str) -> Decimal | None:
    if text == "":
        return None
    if not _WIRE.fullmatch(text):
        raise ValueError("is not a number")
    value = Decimal(text)
    if -_WIRE_MAX <= value <= _WIRE_MAX:
        return value
    if value >= _UNSET_FROM:
        return None
    raise ValueError("is out of range")


def format_decimal(value: Decimal) -> str:
    """Write a Decimal without exponent and without trailing zeros, as users and the wire expect it."""
    text = str(value)  # a third of the time of its formatting, and the same where it has no exponent
    if "E" in text or "e" in text:
        text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def round_money(value: Decimal) -> Decimal:
    """Round an amount of money to `MONEY_QUANTUM`, half to even. Money is rounded nowhere else."""
    return value.quantize(MONEY_QUANTUM, context=_MONEY)


def to_ticks(price: Decimal, tick: Decimal, *, name: str = "price") -> int:
    """Convert a price to whole ticks.

    Raises
    ------
    NumberFormatError
        If the price is not a whole number of ticks.
    """
    ticks, rest = divmod(price, tick)
    if rest:
        raise NumberFormatError(f"{name}: {format_decimal(price)} is not a multiple of the tick {tick}")
    return int(ticks)


def from_ticks(ticks: int, tick: Decimal) -> Decimal:
    """Convert whole ticks to a price."""
    return ticks * tick


def round_to_tick(price: Decimal | float, tick: Decimal, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    """Round a price to the nearest tick (a float is read by its shortest decimal spelling)."""
    exact = price if isinstance(price, Decimal) else Decimal(repr(float(price)))
    return (exact / tick).to_integral_value(rounding=rounding) * tick


def to_lots(quantity: Decimal, lot: Decimal, *, name: str = "quantity") -> int:
    """Convert a size to whole lots; raise `NumberFormatError` if it is not a multiple of the lot."""
    return to_ticks(quantity, lot, name=name)
