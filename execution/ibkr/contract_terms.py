"""What a contract takes by its details at the broker, so that what would be rejected is refused unsent.

Only what TWS states is judged: price increments by market rule, size increment and smallest size, order types
and times in force it lists, the hours in which an order that lives at once can trade, and the last day of
trading. What it leaves empty allows everything, and so does a contract whose details are not known.
"""

from __future__ import annotations

import datetime as dt
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from execution.clocks import NANOS, timestamp
from execution.errors import InvalidOrderError, NumberFormatError
from execution.models import ZERO, Instrument, OrderRequest, OrderType, TimeInForce
from execution.numbers import format_decimal, parse_integer, parse_wire_decimal

Bands = tuple[tuple[Decimal, Decimal], ...]
"""Price increments by the price from which they hold, ascending."""

_NAMES = {
    OrderType.MARKET: "MKT",
    OrderType.LIMIT: "LMT",
    OrderType.STOP: "STP",
    OrderType.STOP_LIMIT: "STPLMT",
    OrderType.MARKET_ON_CLOSE: "MOC",
    OrderType.LIMIT_ON_CLOSE: "LOC",
    OrderType.MARKET_IF_TOUCHED: "MIT",
    OrderType.LIMIT_IF_TOUCHED: "LIT",
    OrderType.TRAIL: "TRAIL",
    OrderType.TRAIL_LIMIT: "TRAILLMT",
}
# FOK is left out: TWS takes it for stocks whose details do not list it.
_LIVES = {TimeInForce.GTC: "GTC", TimeInForce.GTD: "GTD", TimeInForce.IOC: "IOC", TimeInForce.OPG: "OPG"}
_AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)
_DATE_LENGTH = 8
_HOURS_ON_RECORD = 8
"""Stretches of trading: two days at the least, also where a day has three."""
_SPAN = re.compile(r"(\d{8}):(\d{4})-(\d{8}):(\d{4})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ContractTerms:
    """What a contract takes.

    `bands` are its price increments, `order_types` the names TWS lists, `last_day` is ``yyyymmdd`` in `zone`,
    `hours` are the coming stretches of trading in UTC nanoseconds. Zero and empty mean that TWS does not say.
    """

    con_id: int
    bands: Bands = ()
    size_increment: Decimal = ZERO
    least_size: Decimal = ZERO
    order_types: frozenset[str] = frozenset()
    last_day: str = ""
    zone: str = ""
    multiplier: Decimal = Decimal(1)
    local_symbol: str = ""
    hours: tuple[tuple[int, int], ...] = ()

    def increment_at(self, price: Decimal) -> Decimal:
        """Return the increment that a price must be a multiple of; zero if TWS does not say."""
        if not self.bands:
            return ZERO
        place = bisect_right(self.bands, abs(price), key=lambda band: band[0])
        return self.bands[max(place - 1, 0)][1]

    @property
    def finest(self) -> Decimal:
        """The finest increment, which distances obey."""
        return min((step for _, step in self.bands), default=ZERO)

    def check(self, request: OrderRequest, now_ns: int) -> None:
        """Refuse what TWS would reject.

        Raises
        ------
        InvalidOrderError
            With the field, what the contract takes, and that nothing was sent.
        """
        self._check_kind(request)
        self._check_size(request.symbol, request.quantity)
        for name in ("limit_price", "stop_price", "trail_stop"):
            price = getattr(request, name)
            if price is not None:
                _require_multiple(request.symbol, name, price, self.increment_at(price))
        for name in ("trail_amount", "limit_offset"):
            distance = getattr(request, name)
            if distance is not None:
                _require_multiple(request.symbol, name, distance, self.finest)
        self._check_day(request.symbol, now_ns)
        if request.time_in_force in _AT_ONCE:
            self._check_hours(request, now_ns)

    def _check_kind(self, request: OrderRequest) -> None:
        known = self.order_types
        if "LMT" not in known:  # the list is not there, or is none
            return
        wanted = [("order_type", request.order_type.value, _NAMES[request.order_type])]
        if request.time_in_force in _LIVES:
            life = request.time_in_force
            wanted.append(("time_in_force", life.value, _LIVES[life]))
        if request.all_or_none:
            wanted.append(("all_or_none", "True", "AON"))
        if request.oca_group is not None:
            wanted.append(("oca_group", request.oca_group, "OCA"))
        for name, value, word in wanted:
            if word not in known:
                usual = ", ".join(sorted(known & {*_NAMES.values(), *_LIVES.values()}))
                raise InvalidOrderError(
                    f"{name}: {value}: {request.symbol} does not take it at this exchange; of the types and "
                    f"times it takes {usual}. Nothing was sent"
                )

    def _check_size(self, symbol: str, quantity: Decimal) -> None:
        _require_multiple(symbol, "quantity", quantity, self.size_increment)
        if quantity < self.least_size:
            raise InvalidOrderError(
                f"quantity: {format_decimal(quantity)} of {symbol} is less than the smallest order of "
                f"{format_decimal(self.least_size)}; nothing was sent"
            )

    def _check_day(self, symbol: str, now_ns: int) -> None:
        if len(self.last_day) != _DATE_LENGTH:
            return
        try:
            zone = ZoneInfo(self.zone or "America/New_York")
        except (ZoneInfoNotFoundError, OSError, ValueError):
            return
        today = dt.datetime.fromtimestamp(now_ns // NANOS, zone).strftime("%Y%m%d")
        if today > self.last_day:
            raise InvalidOrderError(
                f"symbol: {symbol} was last traded on {self.last_day}; give a contract that has not expired. "
                "Nothing was sent"
            )

    def _check_hours(self, request: OrderRequest, now_ns: int) -> None:
        later = [start for start, end in self.hours if end > now_ns]
        if later and min(later) > now_ns:
            raise InvalidOrderError(
                f"time_in_force: {request.time_in_force.value}: {request.symbol} is not traded before "
                f"{timestamp(min(later)):%a %H:%M} UTC; use DAY, or send it then. Nothing was sent"
            )

    def as_body(self) -> dict[str, Any]:
        """Return the terms as plain values for the journal."""
        return {
            "con_id": self.con_id,
            "increments": [[format_decimal(edge), format_decimal(step)] for edge, step in self.bands],
            "size_increment": format_decimal(self.size_increment),
            "least_size": format_decimal(self.least_size),
            "order_types": ",".join(sorted(self.order_types)),
            "last_day": self.last_day,
            "multiplier": format_decimal(self.multiplier),
            "local_symbol": self.local_symbol,
            "hours": [list(span) for span in self.hours[:_HOURS_ON_RECORD]],
        }


def _require_multiple(symbol: str, name: str, value: Decimal, step: Decimal) -> None:
    if step and value % step:
        raise InvalidOrderError(
            f"{name}: {format_decimal(value)} of {symbol} is no multiple of {format_decimal(step)}, which "
            "its contract asks for here; nothing was sent"
        )


def rule_of(details: Any, instrument: Instrument) -> int:
    """Return the number of the market rule of a contract at its exchange; 0 if its details name none."""
    rules = [text for text in str(details.marketRuleIds or "").split(",") if text]
    venues = str(details.validExchanges or "").split(",")
    if not rules:
        return 0
    venue = instrument.exchange or details.contract.exchange
    place = venues.index(venue) if venue in venues else 0
    return parse_integer(rules[min(place, len(rules) - 1)], name="market rule")


def read_rule(fields: Sequence[str]) -> Bands:
    """Read a market rule (message 93): its increments, each from a price on.

    Raises
    ------
    NumberFormatError
        If a number in it cannot be read.
    """
    numbers = fields[3 : 3 + 2 * parse_integer(fields[2], name="number of increments")]
    parsed = [parse_wire_decimal(text, name="price increment") for text in numbers]
    pairs = [
        (edge, step)
        for edge, step in zip(parsed[::2], parsed[1::2], strict=True)
        if edge is not None and step
    ]
    return tuple(sorted(pairs))


def to_terms(details: Any, bands: Bands) -> ContractTerms:
    """Return the terms in contract details as the client library decoded them.

    Parameters
    ----------
    details
        Its `ContractDetails`.
    bands
        The increments of the market rule; empty takes the smallest increment of the details.
    """
    contract = details.contract
    tick = _number(details.minTick)
    return ContractTerms(
        con_id=int(contract.conId),
        bands=bands or (((ZERO, tick),) if tick else ()),
        size_increment=_number(getattr(details, "sizeIncrement", 0)),
        least_size=_number(getattr(details, "minSize", 0)),
        order_types=frozenset(word for word in str(details.orderTypes or "").split(",") if word),
        last_day=str(details.realExpirationDate or contract.lastTradeDateOrContractMonth or "")[
            :_DATE_LENGTH
        ],
        zone=str(details.timeZoneId or ""),
        multiplier=_number(contract.multiplier) or Decimal(1),
        local_symbol=str(contract.localSymbol or ""),
        hours=_spans(str(details.tradingHours or ""), str(details.timeZoneId or "")),
    )


def _spans(text: str, zone: str) -> tuple[tuple[int, int], ...]:
    """Read ``20180102:0930-20180102:1600;20180103:CLOSED``; what cannot be read says nothing."""
    try:
        local = ZoneInfo(zone)
        found = [
            tuple(
                int(dt.datetime.strptime(day + clock, "%Y%m%d%H%M").replace(tzinfo=local).timestamp()) * NANOS
                for day, clock in ((from_day, start), (to_day, end))
            )
            for from_day, start, to_day, end in _SPAN.findall(text)
        ]
    except (ZoneInfoNotFoundError, OSError, ValueError):
        return ()
    return tuple(sorted((start, end) for start, end in found))


def _number(value: Any) -> Decimal:
    try:
        return parse_wire_decimal(str(value or ""), name="contract detail") or ZERO
    except NumberFormatError:  # what cannot be read restricts nothing
        return ZERO
