"""One-cancels-all groups: what a fill of one order does to its mates.

1. A group is a name within an account. Orders of type 1 (cancel, with block) end with the first execution of
   a mate, however small. Orders of types 2 (reduce, with block) and 3 (reduce, without) shrink in proportion
   to the fraction of the filled order that was executed, rounded down to a lot; at nothing left they end.
2. "With block" is TWS's protection against filling more than one order at a time. Executions are booked one
   after the other here, so no group is ever overfilled, whatever its type.
3. Where one bar could fill several mates, their order within the bar is unknown. What fills at the open is
   first, then what waited for its trigger (a stop loss), then the rest (a profit target): the worse outcome
   is taken.

Source: Interactive Brokers, TWS API documentation, "One Cancels All"; TWS users' guide, "One-Cancels All":
the remaining orders are "adjusted downward in proportion to the fraction that was executed".
"""

from __future__ import annotations

from typing import Final

from backtesting.orders import WorkingOrder

CANCEL_ALL: Final = 1
REDUCE_WITH_BLOCK: Final = 2
REDUCE: Final = 3


class OcaGroups:
    """Who is in which group; orders are in it from acceptance to their end."""

    def __init__(self) -> None:
        self.members: dict[tuple[str, str], list[WorkingOrder]] = {}
        """Orders by account and group; empty when no group is at work."""

    def add(self, order: WorkingOrder) -> None:
        """Let an order take part in the group that it names, if any."""
        if order.oca_group is not None:
            self.members.setdefault((order.account, order.oca_group), []).append(order)

    def remove(self, order: WorkingOrder) -> None:
        """Take an order out of its group; an order that is in none stays in none."""
        if order.oca_group is None:
            return
        key = (order.account, order.oca_group)
        left = [member for member in self.members.get(key, ()) if member is not order]
        if left:
            self.members[key] = left
        else:
            self.members.pop(key, None)

    def mates(self, order: WorkingOrder) -> list[WorkingOrder]:
        """Return the other orders of its group, in order of acceptance."""
        if order.oca_group is None:
            return []
        members = self.members.get((order.account, order.oca_group), ())
        return sorted((mate for mate in members if mate is not order), key=lambda mate: mate.perm_id)

    def shares(self, order: WorkingOrder, before: int) -> list[tuple[WorkingOrder, int]]:
        """Return each mate with the lots that an execution leaves it.

        Parameters
        ----------
        order
            The order that was executed, its remaining lots after the execution.
        before
            Its remaining lots before it.
        """
        left = order.remaining_lots
        return [
            (mate, 0 if mate.oca_type == CANCEL_ALL else mate.remaining_lots * left // before)
            for mate in self.mates(order)
        ]
