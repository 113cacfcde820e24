"""The cash an account should hold by what is on record: the broker's own figure, and what moved it since.

Interest, fees and transfers are in no execution, so that the figure is a cross-check and no account: where
the broker's cash is the one that is due, nothing traded unseen; where it is not, nothing follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from execution.book.adjustments import Adjustment, AdjustmentKind
from execution.models import ZERO, Fill
from execution.numbers import round_money


@dataclass(slots=True)
class Cash:
    """What the cash is due to be.

    Attributes
    ----------
    agreed
        The broker's figure when it was last on record; None while there is none.
    moved
        What executions, commissions and adjustments on record have moved since.
    """

    agreed: Decimal | None = None
    moved: Decimal = ZERO

    @property
    def due(self) -> Decimal | None:
        """What the account should hold; None where the broker's figure was never on record."""
        return None if self.agreed is None else self.agreed + self.moved

    def agree(self, cash: Decimal) -> None:
        """Take the broker's figure, which holds all that is on record so far."""
        self.agreed, self.moved = cash, ZERO

    def trade(self, fill: Fill) -> None:
        """Take an execution, with its commission where that is known."""
        self.moved += worth(fill)

    def charge(self, fill: Fill) -> None:
        """Take the commission of an execution that was taken before without one."""
        self.moved -= fill.commission or ZERO

    def revise(self, old: Fill, new: Fill) -> None:
        """Take an execution with other figures than before."""
        self.moved += worth(new) - worth(old)

    def adjust(self, adjustment: Adjustment) -> None:
        """Take what moved cash and was no trade."""
        self.moved += adjustment.cash
        if adjustment.kind is AdjustmentKind.SPLIT and adjustment.price is not None:
            self.moved += round_money(adjustment.fraction * adjustment.price)


def worth(fill: Fill) -> Decimal:
    """Return what an execution moves in cash, negative of a purchase; for a multiplier of one."""
    return -fill.side.sign * fill.quantity * fill.price - (fill.commission or ZERO)
