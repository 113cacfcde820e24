"""The markets and gateways that conformance scripts name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import numpy as np

from backtesting.gateway.config import AccountConfig, GatewayConfig
from data.bars import BarSeries, FloatArray
from data.calendars import ExchangeClock
from execution.models import Instrument
from execution.timeframes import Timeframe
from strategies.spec import CostSpec

from .script import ScriptError

MINUTE_NS: Final = 60_000_000_000
SESSIONS: Final = ExchangeClock("XNYS", dt.date(2018, 1, 2), dt.date(2018, 2, 28))


def daily_bars(days: int = 10) -> dict[str, BarSeries]:
    """AAA opens at 100, 101, … and BBB at 50, 51, …; each reaches 2 either side and closes 0.5 higher."""
    steps = np.arange(days, dtype=np.float64)

    def series(symbol: str, first: float) -> BarSeries:
        opens = first + steps
        starts, ends = SESSIONS.opens_ns[:days], SESSIONS.closes_ns[:days]
        columns = (opens, opens + 2, opens - 2, opens + 0.5, np.full(days, 1000.0))
        return BarSeries(symbol, Timeframe.DAY, starts, ends, *columns)

    return {"AAA": series("AAA", 100.0), "BBB": series("BBB", 50.0)}


def minute_bars() -> dict[str, BarSeries]:
    """The first and last five minutes of two days: opens 100, 101, …, one either side, closes 0.25 higher."""
    starts = np.array(
        [
            moment
            for day in (0, 1)
            for moment in (
                *(SESSIONS.opens_ns[day] + i * MINUTE_NS for i in range(5)),
                *(SESSIONS.closes_ns[day] - (5 - i) * MINUTE_NS for i in range(5)),
            )
        ]
    )
    opens = 100.0 + np.arange(20.0)
    columns = (opens, opens + 1, opens - 1, opens + 0.25, np.full(20, 1000.0))
    return {"AAA": BarSeries("AAA", Timeframe.MINUTE, starts, starts + MINUTE_NS, *columns)}


CONTRACTS: Final = (
    *(
        Instrument(
            local,
            "FUT",
            "CME",
            tick=Decimal("0.25"),
            multiplier=Decimal(50),
            expiry=expiry,
            underlying="ES",
            local_symbol=local,
            trading_class="ES",
        )
        for local, expiry in (("ESH8", "20180316"), ("ESM8", "20180615"))
    ),
    *(
        Instrument(
            f"AAA 180216{right}",
            "OPT",
            multiplier=Decimal(100),
            expiry="20180216",
            strike=Decimal(100),
            right=right,
            underlying="AAA",
            local_symbol=f"AAA   180216{right}00100000",
            trading_class="AAA",
        )
        for right in "CP"
    ),
    Instrument(
        "EURUSD",
        "CASH",
        "IDEALPRO",
        tick=Decimal("0.00005"),
        underlying="EUR",
        local_symbol="EUR.USD",
        trading_class="EUR.USD",
    ),
)
"""What is offered beyond stocks to scripts that say ``contracts=yes``; all of it has daily bars."""


def more_bars() -> dict[str, BarSeries]:
    """Return daily bars of the further contracts: each has AAA's, at its own price."""
    first = daily_bars()["AAA"]
    scales = {"ESH8": 27.0, "ESM8": 27.0, "AAA 180216C": 0.05, "AAA 180216P": 0.05, "EURUSD": 0.012}

    def scaled(symbol: str, scale: float) -> BarSeries:
        def rescaled(column: FloatArray) -> FloatArray:
            prices = column * scale
            return prices.round(4) if symbol == "EURUSD" else (prices * 4).round() / 4

        columns = (rescaled(first.open), rescaled(first.high), rescaled(first.low), rescaled(first.close))
        return BarSeries(symbol, Timeframe.DAY, first.start_ns, first.end_ns, *columns, first.volume)

    return {symbol: scaled(symbol, scale) for symbol, scale in scales.items()}


BARS: Final = {"daily": daily_bars, "minute": minute_bars}


def gateway_config(fields: Mapping[str, str], version: int) -> GatewayConfig:
    """Return how a script's gateway is run."""
    settings: dict[str, Any] = {"newest_version": max(version, 176)}
    rest = dict(fields)
    for name in ("bars", "contracts"):
        rest.pop(name, None)
    kind, cash = rest.pop("kind", "unchecked"), Decimal(rest.pop("cash", "1000000"))
    settings["accounts"] = tuple(
        AccountConfig(name, Decimal(own or cash), own_kind or kind)
        for name, own_kind, own in (
            (*part.split(":"), "", "")[:3] for part in rest.pop("accounts", "DU0000001").split(",")
        )
    )
    settings["initial_cash"] = settings["accounts"][0].cash
    for name, text in rest.items():
        if name == "master":
            settings["master_client_id"] = int(text)
        elif name == "readonly":
            settings["read_only"] = text == "yes"
        elif name == "data":
            settings["market_data"] = text
        elif name == "speed":
            settings["speed"] = text
        elif name == "participation":
            settings["costs"] = CostSpec(participation=Decimal(text))
        else:
            raise ScriptError(f"gateway: no such setting: {name}")
    return GatewayConfig(**settings)
