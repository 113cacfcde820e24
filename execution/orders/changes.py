"""What a fact does to orders and executions, in the words in which it is recorded and told."""

from __future__ import annotations

from execution.book.adjustments import Adjustment
from execution.frozen import frozen
from execution.models import Fill, Order, OrderStatus
from execution.orders.evidence import Evidence
from execution.orders.terms import ChangeOutcome
from execution.reconciliation.claims import ExternalOrder


@frozen
class StatusChanged:
    """An order went from `old` to its status now."""

    order: Order
    old: OrderStatus


@frozen
class Filled:
    """An execution of one of our orders; `late_commission` marks a commission that joined a told fill.

    `external` marks one of an order of somebody else that is claimed for this account.
    """

    fill: Fill
    exec_id: str
    late_commission: bool = False
    external: bool = False


@frozen
class External:
    """A fact that belongs to no order of ours."""

    evidence: Evidence


@frozen
class ExternalChanged:
    """An order of somebody else in the account appeared, changed or ended."""

    order: ExternalOrder
    appeared: bool = False


@frozen
class Corrected:
    """An execution that is already booked has other figures from now on; of a bust the new quantity is zero.

    `order` is ours as it stands now, None for an execution of somebody else's.
    """

    old: Fill
    new: Fill
    exec_id: str
    reason: str
    order: Order | None = None


@frozen
class Modified:
    """A change of an order found its end; number 0 is one that was not asked for here."""

    order: Order
    number: int
    outcome: ChangeOutcome
    reason: str


@frozen
class Adjusted:
    """Book and positions were adjusted by something other than a trade."""

    adjustment: Adjustment


Change = StatusChanged | Filled | External | ExternalChanged | Corrected | Modified | Adjusted


def merged(changes: list[Change]) -> list[Change]:
    """Join commissions that arrived in the same group as their fill, so that each fill is told once."""
    told: dict[str, int] = {}
    result: list[Change] = []
    for change in changes:
        if isinstance(change, Filled):
            if change.late_commission and change.fill.fill_id in told:
                first = told[change.fill.fill_id]
                result[first] = Filled(change.fill, change.exec_id, external=change.external)
                continue
            told[change.fill.fill_id] = len(result)
        elif isinstance(change, Corrected):
            told.pop(change.new.fill_id, None)  # it was told with the old figures: what follows stands alone
        result.append(change)
    return result
