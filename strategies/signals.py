"""Signals: what a strategy saw in a symbol and wants of it, on record before the orders it leads to.

A strategy returns a `Signal` from `on_bar` in place of an order, with the orders it leads to, if any. The
step gives it an id, a function of strategy, symbol, bar end and count like that of an order, and its orders
carry that id. The journal holds the signal before them; the projector makes a row of it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from execution.journal.chain import canonical
from execution.models import OrderRequest
from strategies.errors import SignalError

_LONGEST_NAME = 64


class Direction(StrEnum):
    """Which side of the market a signal takes; FLAT wants nothing held."""

    LONG = "LONG"
    SHORT = "SHORT"
    FLAT = "FLAT"


@dataclass(frozen=True, slots=True)
class Signal:
    """What a strategy saw and wants.

    Parameters
    ----------
    symbol, direction
        Of what, and which side.
    strength
        How strongly, in units of the strategy's own; a finite number.
    target
        Signed position that is wanted, if that is known.
    features
        What it rests on, as JSON: texts, numbers, true and false, None, and lists and mappings of these.
    name
        Tells apart the signals of one strategy; by default it is the strategy's name.
    orders
        The orders it leads to; see `leading_to`.

    Raises
    ------
    SignalError
        If the strength is not finite, or the features are not JSON.
    """

    symbol: str
    direction: Direction
    strength: float | None = None
    target: Decimal | None = None
    features: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    orders: tuple[OrderRequest, ...] = ()

    def __post_init__(self) -> None:
        if self.direction not in list(Direction):
            raise SignalError(f"direction {self.direction!r}: use one of {', '.join(Direction)}")
        if self.strength is not None and not math.isfinite(self.strength):
            raise SignalError(f"strength {self.strength}: use a finite number, or None")
        if self.target is not None and not self.target.is_finite():
            raise SignalError(f"target {self.target}: use a finite Decimal, or None")
        if len(self.name) > _LONGEST_NAME:
            raise SignalError(f"name {self.name[:_LONGEST_NAME]!r}: use at most {_LONGEST_NAME} characters")
        try:
            canonical(dict(self.features))
        except (TypeError, ValueError) as error:
            raise SignalError(
                f"features of {self.symbol}: {error}; use texts, finite numbers, lists and mappings, such as "
                "float(value) for a number of numpy"
            ) from error

    def leading_to(self, *orders: OrderRequest | None) -> Signal:
        """Return it with the orders it leads to; None, which a factory gives for no size, is left out."""
        return dataclasses.replace(self, orders=tuple(order for order in orders if order is not None))


@dataclass(frozen=True, slots=True)
class StatedSignal:
    """A signal with its identity.

    `time_ns` is the end of the bar it was stated on, UTC nanoseconds. `replayed` marks one of a step that lay
    in the past when it was run: nothing was sent for it.
    """

    signal_id: str
    strategy: str
    time_ns: int
    signal: Signal
    replayed: bool = False

    def to_body(self) -> dict[str, Any]:
        """Return it as plain values for the journal."""
        signal = self.signal
        return {
            "signal_id": self.signal_id,
            "strategy": self.strategy,
            "name": signal.name or self.strategy,
            "symbol": signal.symbol,
            "direction": str(signal.direction),
            "strength": None if signal.strength is None else float(signal.strength),
            "target": None if signal.target is None else format(signal.target, "f"),
            "features": dict(signal.features),
            "trading_time": self.time_ns,
            **({"replayed": True} if self.replayed else {}),
        }
