"""Orders as a person writes them: fields of text, read into a request with errors that name the field.

The command line reads its options through here before it asks the trader, and the trader reads what it is
asked through here again: nothing that comes over the socket is taken on trust.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from execution.errors import InvalidOrderError
from execution.models import OrderRequest, OrderType, Side, TimeInForce
from execution.numbers import parse_decimal, parse_integer

if TYPE_CHECKING:
    import pandas as pd
else:
    from execution.lazily import pd

SHORT_TYPES: Final = {
    "MKT": OrderType.MARKET,
    "LMT": OrderType.LIMIT,
    "STP": OrderType.STOP,
    "STP_LMT": OrderType.STOP_LIMIT,
    "MOC": OrderType.MARKET_ON_CLOSE,
    "LOC": OrderType.LIMIT_ON_CLOSE,
    "MIT": OrderType.MARKET_IF_TOUCHED,
    "LIT": OrderType.LIMIT_IF_TOUCHED,
}
"""Names of the trade besides those of `OrderType`."""

_AMOUNTS: Final = ("limit_price", "stop_price", "trail_amount", "trail_percent", "trail_stop", "limit_offset")
_TEXTS: Final = ("account", "client_order_id", "oca_group")
_SWITCHES: Final = ("outside_rth", "all_or_none")
_OTHERS: Final = ("symbol", "side", "quantity", "order_type", "time_in_force", "good_till", "oca_type")
FIELDS: Final = frozenset((*_AMOUNTS, *_TEXTS, *_SWITCHES, *_OTHERS))

_Kind = TypeVar("_Kind", bound=StrEnum)


def read_request(
    fields: Mapping[str, Any], *, names: Mapping[str, str] = MappingProxyType({})
) -> OrderRequest:
    """Return the order that fields of text describe.

    Parameters
    ----------
    fields
        By the names of `OrderRequest`; what is None or left out keeps its default. Without an `order_type`
        the prices tell it: none is a market order, a limit a limit order, a stop a stop order, both a
        stop-limit order, a trail a trailing stop.
    names
        What errors call a field, if not by its name.

    Raises
    ------
    InvalidOrderError, NumberFormatError
        If a field cannot be read or the order is malformed; the message names the field.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    unknown = sorted(set(given) - FIELDS)
    if unknown:
        raise InvalidOrderError(f"{', '.join(unknown)}: an order has no such field")
    missing = [name for name in ("symbol", "side", "quantity") if name not in given]
    if missing:
        raise InvalidOrderError(f"{', '.join(missing)}: an order needs it")

    def called(name: str) -> str:
        return names.get(name, name)

    terms: dict[str, Any] = {
        name: parse_decimal(given[name], name=called(name)) for name in _AMOUNTS if name in given
    }
    terms |= {name: str(given[name]) for name in _TEXTS if name in given}
    terms |= {name: _switch(called(name), given[name]) for name in _SWITCHES if name in given}
    if "oca_type" in given:
        terms["oca_type"] = parse_integer(str(given["oca_type"]), name=called("oca_type"))
    if "good_till" in given:
        terms["good_till"] = read_moment(called("good_till"), str(given["good_till"]))
    kind, life = given.get("order_type"), given.get("time_in_force")
    usual_life = TimeInForce.GTD if "good_till" in given else TimeInForce.DAY
    return OrderRequest(
        symbol=str(given["symbol"]),
        quantity=parse_decimal(given["quantity"], name=called("quantity")),
        order_type=_kind_of(terms) if kind is None else read_order_type(str(kind), name=called("order_type")),
        side=_one_of(Side, called("side"), given["side"]),
        time_in_force=usual_life if life is None else _one_of(TimeInForce, called("time_in_force"), life),
        **terms,
    )


def read_order_type(text: str, *, name: str = "order_type") -> OrderType:
    """Return the order type of a name, such as ``LIMIT``, ``stop-limit`` or ``MOC``."""
    spelled = re.sub(r"[ -]", "_", text.upper())
    short = SHORT_TYPES.get(spelled)
    return short if short is not None else _one_of(OrderType, name, spelled)


def read_moment(name: str, text: str) -> pd.Timestamp:
    """Return a moment written in ISO 8601 with its offset from UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidOrderError(
            f"{name} {text!r}: write a date and time with its offset, such as 2026-11-30T16:00:00-05:00 or "
            "2026-11-30T21:00:00Z"
        )
    return pd.Timestamp(moment).tz_convert("UTC")


def _kind_of(terms: Mapping[str, Any]) -> OrderType:
    if "trail_amount" in terms or "trail_percent" in terms:
        limited = "limit_offset" in terms or "limit_price" in terms
        return OrderType.TRAIL_LIMIT if limited else OrderType.TRAIL
    return {
        (False, False): OrderType.MARKET,
        (True, False): OrderType.LIMIT,
        (False, True): OrderType.STOP,
        (True, True): OrderType.STOP_LIMIT,
    }["limit_price" in terms, "stop_price" in terms]


def _one_of(kinds: type[_Kind], name: str, value: Any) -> _Kind:
    try:
        return kinds(str(value).upper())
    except ValueError:
        raise InvalidOrderError(f"{name} {value!r}: use one of {', '.join(kinds)}") from None


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidOrderError(f"{name} {value!r}: use true or false")
    return value
