"""Contracts as a person writes them on a command line: ``SPY``, ``FUT:ES:20261218:CME:50``, an option.

Fields stand between colons, the kind first. What is stored goes by a name of this house, made of the fields;
``NAME=`` before them chooses another one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Final

from execution.errors import InvalidOrderError
from execution.models import Instrument
from execution.numbers import format_decimal, parse_decimal

FORMS: Final = MappingProxyType(
    {
        "FUT": "FUT:UNDERLYING:YYYYMMDD:EXCHANGE:MULTIPLIER, such as FUT:ES:20261218:CME:50",
        "OPT": "OPT:UNDERLYING:YYYYMMDD:STRIKE:C|P[:EXCHANGE[:MULTIPLIER]], such as OPT:SPY:20261218:600:C",
        "FOP": "FOP:UNDERLYING:YYYYMMDD:STRIKE:C|P:EXCHANGE:MULTIPLIER, such as FOP:ES:20261218:500:P:CME:50",
        "IND": "IND:SYMBOL:EXCHANGE, such as IND:SPX:CBOE",
    }
)
"""How each kind but a stock is written."""

_COUNTS: Final = MappingProxyType({"FUT": (4,), "OPT": (4, 5, 6), "FOP": (6,), "IND": (2,)})
_STOCK: Final = re.compile(r"[A-Z0-9][A-Z0-9 .-]{0,31}", re.ASCII)
_EXPIRY: Final = re.compile(r"[0-9]{8}", re.ASCII)


def read_contract(text: str) -> Instrument:
    """Return the contract that a text describes.

    Raises
    ------
    InvalidOrderError, NumberFormatError
        If it describes none; the message says how its kind is written.
    """
    name, equals, rest = text.strip().rpartition("=")
    kind, *fields = (part.strip() for part in rest.split(":"))
    if not fields:
        if equals or not _STOCK.fullmatch(kind):
            raise InvalidOrderError(f"{text!r}: write a stock such as SPY, or {'; '.join(FORMS.values())}")
        return Instrument(kind)
    readers: dict[str, Callable[[str, Sequence[str]], Instrument]] = {
        "FUT": _future, "OPT": _option, "FOP": _option, "IND": _index,
    }  # fmt: skip
    if kind not in readers:
        raise InvalidOrderError(f"{text!r}: kind {kind!r} is none of {', '.join(FORMS)}")
    if not all(fields) or (equals and not name.strip()):
        raise InvalidOrderError(f"{text!r}: an empty field; write {FORMS[kind]}")
    if len(fields) not in _COUNTS[kind]:
        raise InvalidOrderError(f"{text!r}: {len(fields)} fields; write {FORMS[kind]}")
    return readers[kind](name.strip(), [kind, *fields])


def read_contracts(text: str) -> list[Instrument]:
    """Return the contracts of a list between commas.

    Raises
    ------
    InvalidOrderError, NumberFormatError
        If one cannot be read, if there is none, or if two go by one name.
    """
    found = [read_contract(part) for part in text.split(",") if part.strip()]
    if not found:
        raise InvalidOrderError("name at least one symbol, such as SPY")
    names = [one.symbol for one in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidOrderError(f"{twice} is named twice; name it once, or tell the two apart by NAME=")
    return found


def _future(name: str, fields: Sequence[str]) -> Instrument:
    kind, underlying, expiry, exchange, multiplier = fields
    return Instrument(
        name or f"{underlying} {expiry}",
        kind,
        exchange,
        multiplier=parse_decimal(multiplier, name=f"{underlying}: multiplier"),
        underlying=underlying,
        expiry=_expiry(underlying, expiry),
    )


def _option(name: str, fields: Sequence[str]) -> Instrument:
    kind, underlying, expiry, strike, right, *more = fields
    usual = [] if kind == "FOP" else ["SMART", "100"]
    exchange, multiplier = [*more, *usual[len(more) :]]
    if right not in ("C", "P"):
        raise InvalidOrderError(f"{underlying}: right {right!r} is neither C nor P; write {FORMS[kind]}")
    price = parse_decimal(strike, name=f"{underlying}: strike")
    return Instrument(
        name or f"{underlying} {expiry[2:]}{right}{format_decimal(price)}",
        kind,
        exchange,
        multiplier=parse_decimal(multiplier, name=f"{underlying}: multiplier"),
        underlying=underlying,
        expiry=_expiry(underlying, expiry),
        strike=price,
        right=right,
    )


def _index(name: str, fields: Sequence[str]) -> Instrument:
    kind, symbol, exchange = fields
    return Instrument(name or symbol, kind, exchange, underlying=symbol)


def _expiry(underlying: str, text: str) -> str:
    complaint = f"{underlying}: expiry {text!r}; write the last trading day as yyyymmdd"
    if not _EXPIRY.fullmatch(text):
        raise InvalidOrderError(complaint)
    try:
        datetime.strptime(text, "%Y%m%d")  # noqa: DTZ007  a date has no zone
    except ValueError as error:
        raise InvalidOrderError(complaint) from error
    return text
