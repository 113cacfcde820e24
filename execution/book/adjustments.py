"""Changes of the book that are no trades: corporate actions, and what a person accepted as it stands.

An adjustment is journalled like an execution and replayed like one. Nothing adjusts by itself but what a
corporate action explains exactly: the position it leaves must be the broker's. A fraction that the broker
does not keep is paid out at a price where one is given, and without one leaves the book at no value: the cash
then has to be booked when it comes.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Protocol

from execution.errors import InvalidOrderError
from execution.models import ZERO
from execution.numbers import format_decimal, round_money


class AdjustmentKind(enum.StrEnum):
    """What an adjustment comes from; ACCEPTED is a difference that a person took over from the broker."""

    SPLIT = "split"
    DIVIDEND = "dividend"
    SYMBOL_CHANGE = "symbol-change"
    ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One change of the book.

    Attributes
    ----------
    quantity
        Change of the signed position in `symbol`, fractions paid out included.
    fraction
        Signed part of a position that a split left and the broker paid out.
    price
        Price of one unit: of the fraction, or of what was accepted; None where it is not known.
    cash
        Change of cash beyond that of the fraction.
    new_symbol
        Where the position goes when the symbol changes.
    by, reason
        Who ordered it and why; `by` is empty for one that a source of corporate actions explains.
    action
        Identity of the corporate action, which is booked once.
    """

    kind: AdjustmentKind
    symbol: str
    time: int
    quantity: Decimal = ZERO
    fraction: Decimal = ZERO
    price: Decimal | None = None
    cash: Decimal = ZERO
    new_symbol: str = ""
    by: str = ""
    reason: str = ""
    action: str = ""

    @property
    def changes(self) -> dict[str, Decimal]:
        """Change of the signed position by symbol."""
        moved = {self.new_symbol: -self.quantity} if self.new_symbol else {}
        return {self.symbol: self.quantity, **moved}

    def to_body(self) -> dict[str, Any]:
        """Return it as plain values for the journal."""
        body = {k: format(v, "f") if isinstance(v, Decimal) else v for k, v in asdict(self).items()}
        del body["kind"]  # the journal's own word
        return {"what": self.kind.value, **body}

    @classmethod
    def from_body(cls, body: dict[str, Any]) -> Adjustment:
        """Rebuild it from the journal."""
        amounts: dict[str, Any] = {name: Decimal(body[name]) for name in ("quantity", "fraction", "cash")}
        price = None if body["price"] is None else Decimal(body["price"])
        texts = {name: body[name] for name in ("new_symbol", "by", "reason", "action")}
        kind = AdjustmentKind(body["what"])
        return cls(kind, body["symbol"], body["time"], price=price, **amounts, **texts)


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """A split (`ratio` new units for each old one), a dividend (`amount` a unit) or a new symbol.

    `time` is the moment from which it holds, UTC nanoseconds.
    """

    kind: AdjustmentKind
    symbol: str
    time: int
    ratio: Fraction | None = None
    amount: Decimal | None = None
    new_symbol: str = ""
    price: Decimal | None = field(default=None, kw_only=True)
    """Price at which a fraction is paid out."""

    def __post_init__(self) -> None:
        given = {
            AdjustmentKind.SPLIT: self.ratio is not None and self.ratio > 0 and self.ratio != 1,
            AdjustmentKind.DIVIDEND: self.amount is not None and self.amount > 0,
            AdjustmentKind.SYMBOL_CHANGE: bool(self.new_symbol) and self.new_symbol != self.symbol,
        }
        if not given.get(self.kind, False):
            raise InvalidOrderError(
                f"corporate action of {self.symbol}: a split needs a positive ratio other than 1, a dividend "
                "a positive amount, a symbol change the new symbol"
            )

    @property
    def identity(self) -> str:
        """Name under which it is booked once."""
        return f"{self.symbol}/{self.kind}/{self.time}"

    def describe(self) -> str:
        """Say what it is."""
        match self.kind:
            case AdjustmentKind.SPLIT:
                return f"split of {self.symbol}: {self.ratio} for 1"
            case AdjustmentKind.DIVIDEND:
                return f"dividend of {self.symbol}: {self.amount} a unit"
            case _:
                return f"{self.symbol} is {self.new_symbol} from now on"


class CorporateActionSource(Protocol):
    """Who knows of splits, dividends and new symbols."""

    def actions(self, symbol: str, since_ns: int, until_ns: int) -> Sequence[CorporateAction]:
        """Return the actions of a symbol that took hold after `since_ns` and up to `until_ns`, in order."""


def after(action: CorporateAction, held: Decimal, broker: Decimal) -> tuple[Decimal, Decimal] | None:
    """Return the change of a position by an action and the fraction paid out, if it leaves the broker's.

    Parameters
    ----------
    action
        A split or a change of symbol.
    held, broker
        The signed position before, and the broker's now, in the same symbol.
    """
    if action.kind is AdjustmentKind.SYMBOL_CHANGE:
        return (-held, ZERO) if held and not broker else None
    if action.ratio is None or not held:
        return None
    exact = Fraction(held) * action.ratio
    whole = Decimal(int(exact))
    if broker not in (whole, _decimal(exact)):
        return None
    return broker - held, _decimal(exact - Fraction(broker))


def adjustment_of(
    action: CorporateAction, held: Decimal, broker: Decimal, *, by: str = "", reason: str = ""
) -> Adjustment | None:
    """Return what an action does to a position, or None if it does not lead to the broker's.

    Parameters
    ----------
    action
        What happened.
    held, broker
        The signed position in its symbol by the journal, and the broker's.
    by, reason
        The person who says so, and why; by default the action speaks for itself.
    """
    facts: dict[str, Any] = {"by": by, "reason": reason or action.describe(), "action": action.identity}
    if action.kind is AdjustmentKind.DIVIDEND:
        cash = round_money((action.amount or ZERO) * held)
        return Adjustment(action.kind, action.symbol, action.time, cash=cash, **facts) if cash else None
    moved = after(action, held, broker)
    if moved is None:
        return None
    quantity, fraction = moved
    return Adjustment(
        action.kind,
        action.symbol,
        action.time,
        quantity,
        fraction,
        action.price,
        new_symbol=action.new_symbol,
        **facts,
    )


def read_ratio(text: str) -> Fraction:
    """Read a split's ratio: ``2``, ``0.1`` or ``1/15``; raise `InvalidOrderError` for anything else."""
    new, _, old = text.partition("/")
    parts = [part.strip() for part in (new, old or "1")]
    if not all(part.isascii() and part.replace(".", "", 1).isdigit() and len(part) <= 12 for part in parts):  # noqa: PLR2004 - longer is no ratio
        raise InvalidOrderError(f"{text[:40]!r} is not a ratio; write new shares for each old one: 2 or 1/15")
    try:
        ratio = Fraction(parts[0]) / Fraction(parts[1])
    except ZeroDivisionError:
        ratio = Fraction(0)
    if ratio <= 0 or ratio == 1:
        raise InvalidOrderError(f"{text[:40]!r}: a split's ratio is positive and not 1")
    return ratio


def describe(adjustment: Adjustment) -> str:
    """Say what an adjustment does, in one line."""
    moves = ", ".join(f"{s} {format_decimal(q)}" for s, q in adjustment.changes.items() if q) or "no position"
    cash = f", cash {format_decimal(adjustment.cash)}" if adjustment.cash else ""
    return f"{adjustment.kind}: {moves}{cash} ({adjustment.reason})"


def _decimal(value: Fraction) -> Decimal:
    return round_money(Decimal(value.numerator) / Decimal(value.denominator))
