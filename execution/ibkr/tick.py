"""Quotes on the wire: prices, sizes and the Greeks of options, and what a login is entitled to."""

from __future__ import annotations

from dataclasses import dataclass, field

from execution.numbers import parse_integer, parse_wire_decimal

LIVE_KINDS = (1, 2)
"""Market data types: live, and live as of the close."""
DELAYED_KINDS = (3, 4)
"""Delayed by fifteen minutes or more."""

_PRICES = {1: "bid", 2: "ask", 4: "last", 66: "bid", 67: "ask", 68: "last"}
_SIZES = {8: "volume", 74: "volume", 27: "open_interest", 28: "open_interest"}
_FIRST_DELAYED = 66
_COMPUTED = (13, 83)
"""Greeks by the model: of live and of delayed quotes. Those of bid, ask and last are left alone."""
_UNKNOWN = {"implied_volatility": -1.0, "delta": -2.0, "gamma": -2.0, "vega": -2.0, "theta": -2.0}
"""What TWS sends where it has no figure."""


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What a login gets of an instrument's quotes.

    `kind` is a market data type, 0 if nothing, None if TWS is silent, as it may be where nothing is traded.
    """

    symbol: str
    kind: int | None
    said: str = ""

    @property
    def is_live(self) -> bool:
        """Whether a decision may rest on them."""
        return self.kind in LIVE_KINDS


@dataclass(frozen=True, slots=True)
class QuoteTick:
    """What changed of a quote: figures by name, those of `data.schema.OptionBarRow` and ``last``."""

    symbol: str
    values: dict[str, float] = field(default_factory=dict)
    delayed: bool = False


def read_tick(fields: list[str], symbol: str) -> QuoteTick | None:
    """Read message 1, 2 or 21; return None for what is not kept.

    Raises
    ------
    NumberFormatError
        If a number cannot be read.
    """
    kind = fields[0]
    if kind == "21":
        return _read_greeks(fields, symbol)
    if kind not in ("1", "2"):
        return None
    number = parse_integer(fields[3], name="tick type")
    name = (_PRICES if kind == "1" else _SIZES).get(number)
    value = parse_wire_decimal(fields[4], name="tick")
    if name is None or value is None or (kind == "1" and value <= 0):  # -1 and 0: there is no such quote
        return None
    return QuoteTick(symbol, {name: float(value)}, number >= _FIRST_DELAYED)


def _read_greeks(fields: list[str], symbol: str) -> QuoteTick | None:
    number = parse_integer(fields[2], name="tick type")
    if number not in _COMPUTED:
        return None
    names = ("implied_volatility", "delta", "price", "dividend", "gamma", "vega", "theta", "underlying_price")
    values = {}
    for name, text in zip(names, fields[4:12], strict=True):
        value = parse_wire_decimal(text, name=name)
        if value is not None and float(value) != _UNKNOWN.get(name) and name not in ("price", "dividend"):
            values[name] = float(value)
    if values.get("underlying_price", 0.0) <= 0:
        values.pop("underlying_price", None)
    return QuoteTick(symbol, values, number > _FIRST_DELAYED)
