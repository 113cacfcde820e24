"""Contracts: what the gateway offers, how a client's description finds it, and its price increments.

A symbol of the bars is a stock unless a contracts file declares it as something else
(`backtesting.gateway.market.contract_file`); a name of six letters is therefore a forex pair only where the
file says so. A description finds what TWS would find: an option or future goes by its underlying's symbol,
an expiry may be a month, and what is left empty matches everything.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from backtesting.gateway.errors import GatewayError, RequestRefusedError
from backtesting.gateway.wire.codec import moment
from backtesting.gateway.wire.contract_replies import wire_symbol
from backtesting.gateway.wire.requests import ContractQuery
from execution.errors import NumberFormatError
from execution.models import ZERO, Instrument
from execution.numbers import parse_wire_decimal

CON_ID_OFFSET: Final = 700_000_000
SECURITY_TYPES: Final = ("STK", "FUT", "OPT", "CASH", "IND")
EXPIRING: Final = ("FUT", "OPT")

_SMART_ROUTED: Final = ("STK", "OPT")
_UNKNOWN: Final = "No security definition has been found for the request"
_KNOWN_TYPES: Final = frozenset(
    (*SECURITY_TYPES, "", "CFD", "BOND", "FUND", "FOP", "WAR", "IOPT", "CMDTY", "BAG", "NEWS", "CRYPTO")
) | {"CONTFUT", "BILL", "EC", "SLB", "ICU", "ICS", "BSK"}
_RIGHTS: Final = {"C": "C", "CALL": "C", "P": "P", "PUT": "P", "": "", "?": "", "0": ""}
_VENUE_ALIASES: Final = {"ISLAND": "NASDAQ"}
STOCK_VENUES: Final = ("NASDAQ", "NYSE", "ARCA", "AMEX", "BATS", "IEX")
"""Where any US stock can be traded, wherever it is listed."""

_FIRST_RULE: Final = 10_000
_SAMPLES: Final = 16

__all__ = [
    "Bands",
    "ContractBook",
    "Listing",
    "conforms",
    "listing",
    "offered",
    "tick_at",
    "wire_symbol",
]

Bands = tuple[tuple[Decimal, Decimal], ...]
"""Price increments by the price from which they hold, ascending from zero."""

PENNY: Final[Bands] = ((ZERO, Decimal("0.01")),)
_RULES: Final[Mapping[Bands, int]] = {PENNY: 26, ((ZERO, Decimal("0.25")),): 67}
"""Market rules under the numbers TWS gives them: US stocks, and index futures in quarters."""


@dataclass(frozen=True, slots=True)
class Listing(Instrument):
    """An instrument with what contract details tell beyond it.

    `bands` are the price increments where one tick does not hold at every price. `hours` and `liquid_hours`
    (``hhmm-hhmm`` at the exchange, in `zone`) replace those of the calendar on the calendar's days; a start
    after the end lies on the day before.
    """

    bands: Bands = field(default=(), kw_only=True)
    zone: str = field(default="US/Eastern", kw_only=True)
    hours: str = field(default="", kw_only=True)
    liquid_hours: str = field(default="", kw_only=True)
    industry: str = field(default="", kw_only=True)
    category: str = field(default="", kw_only=True)
    subcategory: str = field(default="", kw_only=True)
    stock_type: str = field(default="COMMON", kw_only=True)


def listing(instrument: Instrument) -> Listing:
    """Return an instrument as a listing, with the usual details where it has none."""
    if isinstance(instrument, Listing):
        return instrument
    values = {item.name: getattr(instrument, item.name) for item in dataclasses.fields(Instrument)}
    return Listing(**values)


def offered(symbols: Iterable[str], declared: Sequence[Instrument] = ()) -> list[Instrument]:
    """Return what is declared, and a stock for every other symbol of the bars."""
    known = {instrument.symbol for instrument in declared}
    return [*declared, *(Instrument(symbol) for symbol in sorted(set(symbols) - known))]


class ContractBook:
    """Finds contracts by what clients say of them.

    Parameters
    ----------
    instruments
        What is offered; those without a contract id get one from their place in symbol order.

    Raises
    ------
    GatewayError
        If two share a symbol or a contract id.
    """

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        ordered = sorted(instruments, key=lambda instrument: instrument.symbol)
        self.instruments: dict[str, Instrument] = {}
        """By the house's symbol."""
        self._by_id: dict[int, Instrument] = {}
        self._by_name: dict[str, list[Instrument]] = {}
        for place, instrument in enumerate(ordered, start=1):
            con_id = instrument.con_id or CON_ID_OFFSET + place
            self._add(dataclasses.replace(instrument, con_id=con_id) if not instrument.con_id else instrument)
        bands = {self.bands(instrument) for instrument in self.instruments.values()}
        unknown = sorted(bands - _RULES.keys())
        self._rules = {**_RULES, **{rule: _FIRST_RULE + i for i, rule in enumerate(unknown)}}
        self._bands = {number: rule for rule, number in self._rules.items()}

    def _add(self, instrument: Instrument) -> None:
        for known, name in (
            (self.instruments.get(instrument.symbol), f"symbol {instrument.symbol}"),
            (self._by_id.get(instrument.con_id), f"contract id {instrument.con_id}"),
        ):
            if known is not None:
                raise GatewayError(
                    f"{name} is given to {known.symbol} and once more: offer each contract once"
                )
        self.instruments[instrument.symbol] = instrument
        self._by_id[instrument.con_id] = instrument
        for name in {wire_symbol(instrument), instrument.local_symbol or instrument.symbol}:
            self._by_name.setdefault(name, []).append(instrument)

    # search

    def find_one(self, query: ContractQuery, now_ns: int = 0) -> Instrument:
        """Find the one contract a client means.

        Parameters
        ----------
        query
            What the client says.
        now_ns
            Simulated time; what has expired by then is not found. Zero finds it.

        Raises
        ------
        RequestRefusedError
            200 if there is none or more than one; 321 for a security type that does not exist.
        """
        found = self.find_all(query, now_ns)
        if len(found) > 1:
            name = query.symbol or query.local_symbol
            raise RequestRefusedError(200, f"The contract description specified for {name} is ambiguous.")
        return found[0]

    def find_all(
        self, query: ContractQuery, now_ns: int = 0, *, include_expired: bool = False
    ) -> list[Instrument]:
        """Find every contract a description fits, by type, expiry, strike and right.

        Raises
        ------
        RequestRefusedError
            200 if there is none; 321 for a security type that does not exist.
        """
        if query.security_type not in _KNOWN_TYPES:
            raise RequestRefusedError(
                321, "Error validating request.-'bH' : cause - Please enter a valid security type"
            )
        if query.con_id:
            known = self._by_id.get(query.con_id)
            candidates = [] if known is None else [known]
        else:
            candidates = self._by_name.get(query.symbol or query.local_symbol, [])
        today = "" if include_expired or not now_ns else f"{moment(now_ns):%Y%m%d}"
        found = [each for each in candidates if _fits(each, query) and _is_listed(each, today)]
        if not found:
            raise RequestRefusedError(200, _UNKNOWN)
        return found if len(found) == 1 else sorted(found, key=_order)

    def matching(self, pattern: str) -> list[tuple[Instrument, tuple[str, ...]]]:
        """Find what a typed text may mean, with the types of derivatives offered on it: 16 at most.

        The text is the start of a symbol or of a word of the name; the exact symbol comes first.
        """
        text = pattern.strip().upper()
        if not text:
            return []
        found = [
            each
            for each in self.instruments.values()
            if each.security_type not in EXPIRING
            and (
                wire_symbol(each).startswith(text)
                or any(word.startswith(text) for word in each.name.upper().split())
            )
        ]
        found.sort(key=lambda each: (wire_symbol(each) != text, wire_symbol(each), each.symbol))
        return [(each, self._derivatives(each)) for each in found[:_SAMPLES]]

    def _derivatives(self, underlying: Instrument) -> tuple[str, ...]:
        named = self._by_name.get(wire_symbol(underlying), [])
        return tuple(sorted({each.security_type for each in named} & set(EXPIRING)))

    def options_on(self, con_id: int, symbol: str, exchange: str) -> list[Instrument]:
        """Return the options on an underlying; an exchange that is not empty restricts them.

        Raises
        ------
        RequestRefusedError
            200 if the underlying is not offered, or is no underlying of that symbol.
        """
        underlying = self._by_id.get(con_id)
        if underlying is None or wire_symbol(underlying) != symbol:
            raise RequestRefusedError(200, _UNKNOWN)
        named = self._by_name.get(symbol, [])
        options = [
            each
            for each in named
            if each.security_type == "OPT" and each.underlying == symbol and exchange in ("", each.exchange)
        ]
        return sorted(options, key=_order)

    def by_id(self, con_id: int) -> Instrument | None:
        """Return the contract with an id, or None."""
        return self._by_id.get(con_id)

    def underlying_of(self, instrument: Instrument) -> Instrument | None:
        """Return the offered stock or index a derivative is on, or None."""
        if instrument.security_type not in EXPIRING:
            return None
        named = self._by_name.get(instrument.underlying, [])
        return next((each for each in named if each.security_type in ("STK", "IND")), None)

    # price increments

    def bands(self, instrument: Instrument) -> Bands:
        """Return an instrument's price increments."""
        declared = instrument.bands if isinstance(instrument, Listing) else ()
        return declared or ((ZERO, instrument.tick),)

    def rule_id(self, instrument: Instrument) -> int:
        """Return the number of the market rule an instrument's prices obey."""
        return self._rules[self.bands(instrument)]

    def rule(self, number: int) -> Bands | None:
        """Return the price increments of a market rule, or None if there is no such rule."""
        return self._bands.get(number)


def tick_at(instrument: Instrument, price: Decimal) -> Decimal:
    """Return the increment that prices near `price` must be a multiple of."""
    if not isinstance(instrument, Listing) or not instrument.bands:
        return instrument.tick
    place = bisect_right(instrument.bands, abs(price), key=lambda band: band[0])
    return instrument.bands[max(place - 1, 0)][1]


def is_us_stock(instrument: Instrument) -> bool:
    """Say whether a contract is a stock that smart routing takes to the exchanges of the United States."""
    return (instrument.security_type, instrument.exchange, instrument.currency) == ("STK", "SMART", "USD")


def conforms(instrument: Instrument, price: Decimal) -> bool:
    """Say whether a price is one an order may have: a multiple of the increment that holds at it."""
    return not price % tick_at(instrument, price)


def _order(instrument: Instrument) -> tuple[str, str, Decimal, str, str]:
    return (
        instrument.security_type,
        instrument.expiry,
        instrument.strike or ZERO,
        instrument.right,
        instrument.symbol,
    )


def _is_listed(instrument: Instrument, today: str) -> bool:
    return not instrument.expiry or instrument.expiry >= today


def _fits(instrument: Instrument, query: ContractQuery) -> bool:
    """Say whether everything a client says of a contract is true of this one."""
    local = instrument.local_symbol or instrument.symbol
    kind = instrument.security_type
    return (
        (not query.con_id or query.con_id == instrument.con_id)
        and query.symbol in ("", wire_symbol(instrument))
        and query.local_symbol in ("", local)
        and query.security_type in ("", kind)
        and query.currency in ("", instrument.currency)
        and _fits_venue(instrument, query)
        and (kind not in EXPIRING or _fits_terms(instrument, query))
    )


def _fits_venue(instrument: Instrument, query: ContractQuery) -> bool:
    venues = {"", instrument.exchange, instrument.primary_exchange}
    if instrument.security_type in _SMART_ROUTED:
        venues.add("SMART")
    primary = _VENUE_ALIASES.get(query.primary_exchange, query.primary_exchange)
    if instrument.primary_exchange and primary not in venues:
        return False
    exchange = _VENUE_ALIASES.get(query.exchange, query.exchange)
    return exchange in venues or (exchange in STOCK_VENUES and is_us_stock(instrument))


def _fits_terms(instrument: Instrument, query: ContractQuery) -> bool:
    multiplier, strike = _number(query.multiplier), _number(query.strike)
    return (
        instrument.expiry.startswith(query.expiry[:8])
        and query.trading_class in ("", instrument.trading_class)
        and (not multiplier or multiplier == instrument.multiplier)
        and (instrument.strike is None or not strike or strike == instrument.strike)
        and (not instrument.right or _RIGHTS.get(query.right.upper(), "-") in ("", instrument.right))
    )


def _number(text: str) -> Decimal | None:
    """Read a strike or multiplier; what is no number fits no contract."""
    try:
        return parse_wire_decimal(text, name="number")
    except NumberFormatError:
        return Decimal(-1)
