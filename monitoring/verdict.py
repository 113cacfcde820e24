"""The verdict of a run: whether our books and the broker's agree, and the record is intact.

Each line states both figures. Nothing is rounded or tolerated: a cent of cash is a difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from execution.models import ZERO
from execution.numbers import format_decimal

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class BookFacts:
    """One side's view of a run.

    `orders` maps each client order id that was sent to (quantity, filled quantity); orders proven never sent
    are left out. `fills` is the number of executions, `positions` the signed quantity by symbol.
    """

    orders: Mapping[str, tuple[Decimal, Decimal]]
    fills: int
    positions: Mapping[str, Decimal]
    cash: Decimal


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """What verifying the journal's hash chain found: whether it holds, its length and its last hash."""

    ok: bool
    events: int
    head: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class VerdictLine:
    """One thing that must agree, with both figures as text; `detail` says what differs."""

    name: str
    ours: str
    theirs: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Everything that must agree at the end of a run."""

    lines: tuple[VerdictLine, ...]
    ok: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ok", all(line.ok for line in self.lines))

    @classmethod
    def of(
        cls, ours: BookFacts, theirs: BookFacts, chain: ChainFacts, *, in_doubt: Sequence[str] = ()
    ) -> Verdict:
        """Compare our books with the broker's.

        Parameters
        ----------
        ours, theirs
            What our journal says, and what the broker says.
        chain
            Outcome of verifying the journal.
        in_doubt
            Client order ids whose fate is unknown.
        """
        executed = [sum((filled for _, filled in side.orders.values()), ZERO) for side in (ours, theirs)]
        return cls(
            (
                _orders(ours, theirs),
                _line("shares executed", *executed),
                _line("fills", ours.fills, theirs.fills),
                *_positions(ours.positions, theirs.positions),
                _line("cash", ours.cash, theirs.cash),
                VerdictLine(
                    "journal chain",
                    f"{chain.events:,} events, head {chain.head[:12] or 'none'}",
                    "intact" if chain.ok else "broken",
                    chain.ok,
                    chain.problem,
                ),
                VerdictLine("orders in doubt", str(len(in_doubt)), "0", not in_doubt, _some(in_doubt)),
            )
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as plain values for JSON and the report."""
        return {
            "ok": self.ok,
            "lines": [
                {
                    "name": line.name,
                    "ours": line.ours,
                    "theirs": line.theirs,
                    "ok": line.ok,
                    "detail": line.detail,
                }
                for line in self.lines
            ],
        }

    def text(self) -> str:
        """Return the verdict as lines for a terminal."""
        rows = [("", "ours", "broker"), *((line.name, line.ours, line.theirs) for line in self.lines)]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        marks = [" ", *("✓" if line.ok else "✗" for line in self.lines)]
        details = ["", *(line.detail for line in self.lines)]
        table = [
            f"{mark} {row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {detail}".rstrip()
            for mark, row, detail in zip(marks, rows, details, strict=True)
        ]
        wrong = sum(not line.ok for line in self.lines)
        table.append(
            "verdict: everything agrees" if self.ok else f"verdict: {wrong} of {len(self.lines)} differ"
        )
        return "\n".join(table)


def _orders(ours: BookFacts, theirs: BookFacts) -> VerdictLine:
    missing = sorted(ours.orders.keys() - theirs.orders.keys())
    foreign = sorted(theirs.orders.keys() - ours.orders.keys())
    other = sorted(
        key for key in ours.orders.keys() & theirs.orders.keys() if ours.orders[key] != theirs.orders[key]
    )
    parts = (
        ("not at the broker", missing),
        ("not in our journal", foreign),
        ("with other quantities", other),
    )
    detail = "; ".join(f"{label}: {_some(keys)}" for label, keys in parts if keys)
    return VerdictLine("orders sent", f"{len(ours.orders):,}", f"{len(theirs.orders):,}", not detail, detail)


def _positions(ours: Mapping[str, Decimal], theirs: Mapping[str, Decimal]) -> list[VerdictLine]:
    symbols = sorted(symbol for symbol in {*ours, *theirs} if ours.get(symbol) or theirs.get(symbol))
    if not symbols:
        return [VerdictLine("positions", "flat", "flat", True)]
    return [
        _line(f"position {symbol}", ours.get(symbol, ZERO), theirs.get(symbol, ZERO)) for symbol in symbols
    ]


def _line(name: str, ours: Decimal | int, theirs: Decimal | int) -> VerdictLine:
    detail = "" if ours == theirs else f"difference {_figure(ours - theirs)}"
    return VerdictLine(name, _figure(ours), _figure(theirs), ours == theirs, detail)


def _figure(value: Decimal | int) -> str:
    whole, _, fraction = format_decimal(Decimal(value)).partition(".")
    sign = "-" if whole.startswith("-") else ""
    grouped = f"{sign}{int(whole.lstrip('-')):,}"
    return f"{grouped}.{fraction}" if fraction else grouped


def _some(keys: Sequence[str]) -> str:
    shown = ", ".join(keys[:_SHOWN])
    return shown if len(keys) <= _SHOWN else f"{shown} and {len(keys) - _SHOWN} more"
