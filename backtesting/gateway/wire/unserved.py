"""What this gateway does not serve: the layout of each such request and the error it is answered with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from backtesting.gateway.wire.gates import WSH_DATES, WSH_FILTERS

CONTRACT: Final = (
    "con id",
    "symbol",
    "security type",
    "expiry",
    "strike",
    "right",
    "multiplier",
    "exchange",
    "primary exchange",
    "currency",
    "local symbol",
    "trading class",
)
_LISTED: Final = tuple(name for name in CONTRACT if name != "primary exchange")
_PLAIN: Final = tuple(
    name for name in CONTRACT if name not in ("expiry", "strike", "right", "multiplier", "trading class")
)

_INVALID: Final = "Error validating request.-'bC' : cause - "
_NO_TICKER: Final = "Can't find EId with tickerId:{id}"
_HMDS: Final = "Historical Market Data Service error message:"
_NO_NEWS: Final = "News feed is not allowed."


@dataclass(frozen=True, slots=True)
class UnservedRequest:
    """A request that is read whole and answered with an error.

    Attributes
    ----------
    names
        Its fields after the message number.
    number
        The TWS error code.
    text
        What the client is told; ``{id}`` stands for the request's id.
    """

    names: tuple[str, ...]
    number: int
    text: str


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _refused(names: str, what: str) -> UnservedRequest:
    return UnservedRequest(_names(names), 321, f"{_INVALID}{what} not served by this gateway")


UNSERVED: Final[dict[int, UnservedRequest]] = {
    10: UnservedRequest(
        ("version", "id", *CONTRACT, "rows", "smart", "options"),
        10092,
        "Deep market data is not supported for this combination of security type/exchange",
    ),
    11: UnservedRequest(
        ("version", "id", "smart"), 310, "Can't find the subscribed market depth with tickerId:{id}"
    ),
    12: UnservedRequest(("version", "all"), 10276, _NO_NEWS),
    18: UnservedRequest(
        ("version", "kind"), 321, f"{_INVALID}FA data operations ignored for non FA customers."
    ),
    19: UnservedRequest(
        ("version", "kind", "document", "id"),
        321,
        f"{_INVALID}FA data operations ignored for non FA customers.",
    ),
    21: UnservedRequest(
        ("version", "id", *_LISTED, "action", "quantity", "account", "override"),
        321,
        f"{_INVALID}Exercising options is not served by this gateway",
    ),
    22: UnservedRequest(
        (
            "id",
            "rows",
            "instrument",
            "location",
            "scan",
            *(f"bound {place}" for place in range(13)),
            "exclude convertible",
            "option volume",
            "setting pairs",
            "stock type",
            "filter options",
            "options",
        ),
        162,
        f"{_HMDS}Market scanners are not served by this gateway",
    ),
    23: UnservedRequest(("version", "id"), 365, "No scanner subscription found for ticker id:{id}"),
    52: UnservedRequest(
        ("version", "id", *_PLAIN, "report", "option count", "options"),
        430,
        "We are sorry, but fundamentals data for the security specified is not available.",
    ),
    53: UnservedRequest(("version", "id"), 300, _NO_TICKER),
    54: UnservedRequest(
        ("version", "id", *CONTRACT, "option price", "underlying price", "option count", "options"),
        321,
        f"{_INVALID}Option calculations are not served by this gateway",
    ),
    55: UnservedRequest(
        ("version", "id", *CONTRACT, "volatility", "underlying price", "option count", "options"),
        321,
        f"{_INVALID}Option calculations are not served by this gateway",
    ),
    56: UnservedRequest(("version", "id"), 300, _NO_TICKER),
    57: UnservedRequest(("version", "id"), 300, _NO_TICKER),
    65: _refused("version name api_version", "Verification is"),
    66: _refused("version data", "Verification is"),
    67: _refused("version id", "Display groups are"),
    68: _refused("version id group", "Display groups are"),
    69: _refused("version id contract", "Display groups are"),
    70: _refused("version id", "Display groups are"),
    72: _refused("version name api_version key", "Verification is"),
    73: _refused("version data response", "Verification is"),
    84: UnservedRequest(
        ("id", "provider", "article", "options"), 10172, "Failed to request news article: No data available"
    ),
    86: UnservedRequest(
        ("id", "con id", "providers", "start", "end", "limit", "options"),
        162,
        f"{_HMDS}{_NO_NEWS}",
    ),
    88: UnservedRequest(
        ("id", *CONTRACT, "include expired", "regular hours only", "period"),
        162,
        f"{_HMDS}Histograms are not served by this gateway",
    ),
    89: UnservedRequest(("id",), 300, _NO_TICKER),
    96: UnservedRequest(
        (
            *("id", *CONTRACT, "include expired", "start", "end", "limit", "what"),
            *("regular hours only", "ignore size", "options"),
        ),
        10187,
        "Failed to request historical ticks:Ticks are not served by this gateway",
    ),
    97: UnservedRequest(
        ("id", *CONTRACT, "kind", "limit", "ignore size"),
        10189,
        "Failed to request tick-by-tick data:Ticks are not served by this gateway",
    ),
    98: UnservedRequest(("id",), 300, _NO_TICKER),
    100: UnservedRequest(("id",), 10276, _NO_NEWS),
    101: UnservedRequest(("id",), 10282, "WSH metadata not requested"),
    102: UnservedRequest(("id", "con id"), 10276, _NO_NEWS),
    103: UnservedRequest(("id",), 10284, "Fail cancel WSH event data"),
}
"""By message number, the requests that are answered with an error."""

_WSH_EVENTS: Final = 102
_WSH_FILTER_NAMES: Final = ("filter", "fill watchlist", "fill portfolio", "fill competitors")
_WSH_DATE_NAMES: Final = ("start", "end", "limit")


def layout(number: int, version: int) -> tuple[str, ...]:
    """Return the fields of an unserved request after its number at a server version."""
    names = UNSERVED[number].names
    if number == _WSH_EVENTS:
        names += _WSH_FILTER_NAMES if version >= WSH_FILTERS else ()
        names += _WSH_DATE_NAMES if version >= WSH_DATES else ()
    return names
