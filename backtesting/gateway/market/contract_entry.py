"""One entry of the contracts file: its fields, what they require of each other, the contract they make."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StringConstraints,
    ValidationError,
    model_validator,
)

from backtesting.gateway.market.contracts import Bands, Listing
from execution.models import ZERO
from execution.numbers import parse_decimal, parse_integer

CURRENCIES: Final = frozenset(
    ("AUD", "CAD", "CHF", "CNH", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "ILS", "JPY", "KRW", "MXN", "NOK")
) | {"NZD", "PLN", "SEK", "SGD", "TRY", "USD", "ZAR"}
"""Currencies a forex pair can be made of."""

_MONTH_CODES: Final = "FGHJKMNQUVXZ"
_PAIR_LETTERS: Final = 6
_HOURS: Final = r"(?:([01]\d|2[0-3])[0-5]\d-([01]\d|2[0-3])[0-5]\d)?"


def _decimal(value: object) -> object:
    if not isinstance(value, str) or value == "":
        return None if value in ("", None) else value
    number = parse_decimal(value, name="value")
    if number <= 0:
        raise ValueError("must be positive")
    return number


def _integer(value: object) -> object:
    return parse_integer(value, name="value") if isinstance(value, str) and value else 0


def _bands(value: object) -> object:
    """Read ``0:0.0001 1:0.01``: from each price on, the increment behind the colon."""
    if not isinstance(value, str):
        return value
    bands = []
    for part in value.split():
        edge, colon, increment = part.partition(":")
        if not colon:
            raise ValueError("write from-price:increment pairs such as 0:0.0001 1:0.01")
        bands.append((parse_decimal(edge, name="price"), parse_decimal(increment, name="increment")))
    return tuple(bands)


def _date(value: str) -> str:
    if value:
        try:
            dt.datetime.strptime(value, "%Y%m%d")  # noqa: DTZ007  a date has no zone
        except ValueError as error:
            raise ValueError("write the last trading day as yyyymmdd") from error
        if len(value) != 8:  # noqa: PLR2004  strptime takes 2018121 as well
            raise ValueError("write the last trading day as yyyymmdd")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError("is no time zone such as US/Central") from error
    return value


Token = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ./&_-]{0,39}$")]
OptionalToken = Annotated[str, StringConstraints(pattern=r"^(?:[A-Za-z0-9][A-Za-z0-9 ./&_-]{0,39})?$")]
Words = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\\]{0,120}$")]
Amount = Annotated[Decimal | None, BeforeValidator(_decimal)]


class ContractEntry(BaseModel):
    """One entry of a contracts file. `symbol` is the house's name, unique and the name of its bars."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    symbol: Token
    sec_type: Literal["STK", "ETF", "FUT", "OPT", "CASH", "IND"] = "STK"
    underlying: OptionalToken = ""
    expiry: Annotated[str, BeforeValidator(_date)] = ""
    strike: Amount = None
    right: Literal["", "C", "P"] = ""
    multiplier: Amount = None
    exchange: OptionalToken = ""
    primary_exchange: OptionalToken = ""
    currency: Annotated[str, StringConstraints(pattern=r"^(?:[A-Z]{3})?$")] = ""
    trading_class: OptionalToken = ""
    local_symbol: OptionalToken = ""
    con_id: Annotated[int, BeforeValidator(_integer)] = 0
    tick: Amount = None
    bands: Annotated[Bands, BeforeValidator(_bands)] = ()
    lot: Amount = None
    zone: Annotated[str, BeforeValidator(_zone)] = "US/Eastern"
    hours: Annotated[str, StringConstraints(pattern=f"^{_HOURS}$")] = ""
    liquid_hours: Annotated[str, StringConstraints(pattern=f"^{_HOURS}$")] = ""
    name: Words = ""
    industry: Words = ""
    category: Words = ""
    subcategory: Words = ""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        needed = _NEEDED.get(self.sec_type, ())
        for field in needed:
            if not getattr(self, field):
                raise ValueError(f"{field}: a contract of type {self.sec_type} needs it")
        for field in ("underlying", "expiry", "strike", "right"):
            if getattr(self, field) and field not in (*needed, *_ALLOWED.get(self.sec_type, ())):
                raise ValueError(f"{field}: a contract of type {self.sec_type} does not take it")
        if self.sec_type == "CASH" and not self.underlying and not is_pair(self.symbol):
            raise ValueError("underlying: name the base currency, or the pair by six letters such as EURUSD")
        if self.tick is not None and self.bands:
            raise ValueError("tick: give a tick or bands, not both")
        _check_bands(self.bands)
        return self

    def listing(self) -> Listing:
        """Return the contract, with the usual values where the entry says nothing."""
        kind = "STK" if self.sec_type == "ETF" else self.sec_type
        usual = _USUAL[kind]
        base, quote = self._pair()
        underlying = base if kind == "CASH" else self.underlying
        return Listing(
            self.symbol,
            kind,
            self.exchange or str(usual["exchange"]),
            self.currency or quote,
            tick=min((step for _, step in self.bands), default=self.tick or Decimal(usual["tick"])),
            lot=self.lot or Decimal(1),
            multiplier=self.multiplier or Decimal(usual["multiplier"]),
            primary_exchange=self.primary_exchange,
            con_id=self.con_id,
            name=self.name.encode("ascii", "backslashreplace").decode(),  # as TWS spells names
            expiry=self.expiry,
            strike=self.strike,
            right=self.right,
            local_symbol=self.local_symbol or self._local_symbol(base, quote),
            trading_class=self.trading_class or self._trading_class(base, quote),
            underlying=underlying,
            bands=self.bands,
            zone=self.zone,
            hours=self.hours,
            liquid_hours=self.liquid_hours,
            industry=self.industry,
            category=self.category,
            subcategory=self.subcategory,
            stock_type={"ETF": "ETF", "STK": "COMMON"}.get(self.sec_type, ""),
        )

    def _pair(self) -> tuple[str, str]:
        if self.sec_type != "CASH":
            return "", "USD"
        if self.underlying:
            return self.underlying, self.currency or "USD"
        return self.symbol[:3], self.symbol[3:]

    def _local_symbol(self, base: str, quote: str) -> str:
        if self.sec_type == "CASH":
            return f"{base}.{self.currency or quote}"
        if self.sec_type == "FUT":
            month = _MONTH_CODES[int(self.expiry[4:6]) - 1]
            return f"{self.trading_class or self.underlying}{month}{self.expiry[3]}"
        if self.sec_type == "OPT" and self.strike is not None:
            thousandths = int(self.strike * 1000)
            root = self.trading_class or self.underlying
            return f"{root:<6}{self.expiry[2:]}{self.right}{thousandths:08d}"
        return ""

    def _trading_class(self, base: str, quote: str) -> str:
        return f"{base}.{self.currency or quote}" if self.sec_type == "CASH" else self.underlying


_NEEDED: Final = {
    "FUT": ("underlying", "expiry", "multiplier", "exchange"),
    "OPT": ("underlying", "expiry", "strike", "right"),
    "IND": ("exchange",),
}
_ALLOWED: Final = {"CASH": ("underlying",)}
_USUAL: Final[dict[str, dict[str, str]]] = {
    "STK": {"exchange": "SMART", "tick": "0.01", "multiplier": "1"},
    "FUT": {"exchange": "", "tick": "0.01", "multiplier": "1"},
    "OPT": {"exchange": "SMART", "tick": "0.01", "multiplier": "100"},
    "CASH": {"exchange": "IDEALPRO", "tick": "0.00005", "multiplier": "1"},
    "IND": {"exchange": "", "tick": "0.01", "multiplier": "1"},
}


def is_pair(symbol: str) -> bool:
    """Say whether a symbol is a pair of two different known currencies, six letters in all."""
    base, quote = symbol[:3], symbol[3:]
    return len(symbol) == _PAIR_LETTERS and base != quote and {base, quote} <= CURRENCIES


def _check_bands(bands: Bands) -> None:
    if not bands:
        return
    edges = [edge for edge, _ in bands]
    finest = min(step for _, step in bands)
    if edges[0] != ZERO or edges != sorted(set(edges)):
        raise ValueError("bands: start at price 0 and go up")
    if finest <= 0 or any(step % finest for _, step in bands):
        raise ValueError("bands: every increment must be a multiple of the finest one")


_FORMS: Final = {
    "hours": "write hhmm-hhmm such as 0930-1600",
    "liquid_hours": "write hhmm-hhmm such as 0930-1600",
    "currency": "use three capital letters such as USD",
    **dict.fromkeys(
        ("name", "industry", "category", "subcategory"), "use up to 120 printable characters, no backslash"
    ),
}


def complaint(error: ValidationError) -> str:
    """Say what is wrong with the first field that is."""
    first: Any = error.errors(include_url=False)[0]
    place = str(first["loc"][0]) if first["loc"] else ""
    reason = first["msg"].removeprefix("Value error, ").removeprefix("value: ")
    if first["type"] == "missing":
        reason = "is missing; every contract needs it"
    elif place:
        if first["type"] == "string_pattern_mismatch":
            reason = _FORMS.get(place, "use up to 40 letters, digits, space . / & _ -")
        reason = f"{str(first['input'])[:40]!r}: {reason}"
    return f"{place} {reason}".strip()
