"""The pre-trade protocol: evaluate an order against the rules, reserve its exposure, release it.

The executor calls evaluate and reserve back to back inside its lock, so that two orders can never pass on
the same room. Whoever validates keeps the reservation until the order is final or its fills replaced it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from decimal import Decimal, localcontext
from typing import Protocol, runtime_checkable

from execution.events import RiskDecision
from execution.models import Fill, OrderRequest


class PreTradeValidator(Protocol):
    """What the executor needs of a risk engine."""

    def evaluate(self, request: OrderRequest) -> RiskDecision:
        """Judge an order against every rule, counting what is reserved; change nothing."""

    def reserve(self, request: OrderRequest, price: Decimal | None = None) -> Decimal | None:
        """Hold the order's worst-case exposure under its client order id; return the price it is held at.

        `price` is the one that was returned when the order was first reserved, if that is restored.
        """

    def release(self, client_order_id: str) -> None:
        """Give back what is left of a reservation; an unknown id is ignored."""

    def on_fill(self, fill: Fill) -> None:
        """Shrink the reservation of the filled order by the executed size."""


@runtime_checkable
class BracketValidator(Protocol):
    """What a validator may offer besides: a bracket as a whole.

    One that does not is asked about the entry, and holds every exit in full.
    """

    def evaluate_bracket(self, entry: OrderRequest, exits: Sequence[OrderRequest]) -> RiskDecision:
        """Judge an entry with its exits, one of which will at most undo it; change nothing."""

    def evaluate_exit(self, request: OrderRequest, entry: OrderRequest | None) -> RiskDecision:
        """Judge what is left of an exit that is changed, after what is left of its entry; change nothing.

        No order of its bracket is reserved while this is asked.
        """

    def reserve_exit(
        self,
        request: OrderRequest,
        price: Decimal | None = None,
        *,
        entry: str,
        built: Decimal,
        undone: Decimal,
    ) -> Decimal | None:
        """Hold an exit with the others of its bracket: the largest counts, up to what is built.

        `entry` names the bracket; `price` is as for `PreTradeValidator.reserve`.
        """

    def on_built(self, entry: str, built: Decimal) -> None:
        """Take what the exits of a bracket may trade by now; told before the book has it."""


def judge_bracket(
    validator: PreTradeValidator, entry: OrderRequest, exits: Sequence[OrderRequest]
) -> RiskDecision:
    """Judge a bracket; a validator that knows none is asked about the entry, which the exits only undo."""
    if isinstance(validator, BracketValidator):
        return validator.evaluate_bracket(entry, exits)
    return validator.evaluate(entry)


class CallbackValidator:
    """Adapts a plain ``request -> bool`` callback, as the executor's constructor accepts it."""

    def __init__(self, callback: Callable[[OrderRequest], bool]) -> None:
        self._callback = callback

    def evaluate(self, request: OrderRequest) -> RiskDecision:
        """Ask the callback; False refuses with the rule ``CALLBACK``."""
        with localcontext():  # what it sets for its own decimals ends with it
            said: object = self._callback(request)
        if said == True:  # noqa: E712 - what is merely no empty value, such as a coroutine, approves nothing
            return RiskDecision(approved=True)
        reason = "the risk check callback refused the order"
        if isinstance(said, Coroutine):
            said.close()
            reason = (
                "the risk check callback is asynchronous; give a plain function that returns True or False"
            )
        elif said != False:  # noqa: E712 - as above
            reason = f"the risk check callback returned {str(said)[:40]!r}; let it return True or False"
        return RiskDecision(approved=False, rule="CALLBACK", reason=reason)

    def evaluate_bracket(self, entry: OrderRequest, exits: Sequence[OrderRequest]) -> RiskDecision:
        """Ask the callback about each of the three orders; the first refusal decides."""
        for request in (entry, *exits):
            decision = self.evaluate(request)
            if not decision.approved:
                return decision
        return RiskDecision(approved=True)

    def evaluate_exit(self, request: OrderRequest, entry: OrderRequest | None) -> RiskDecision:  # noqa: ARG002 - the protocol has it
        """Ask the callback."""
        return self.evaluate(request)

    def reserve_exit(
        self,
        request: OrderRequest,
        price: Decimal | None = None,
        *,
        entry: str,  # noqa: ARG002 - the protocol has them
        built: Decimal,  # noqa: ARG002
        undone: Decimal,  # noqa: ARG002
    ) -> Decimal | None:
        """Do nothing."""
        return self.reserve(request, price)

    def on_built(self, entry: str, built: Decimal) -> None:
        """Do nothing."""

    def reserve(self, request: OrderRequest, price: Decimal | None = None) -> Decimal | None:  # noqa: ARG002 - the protocol has them
        """Do nothing: a bare callback has no notion of reserved exposure."""
        return None

    def release(self, client_order_id: str) -> None:
        """Do nothing."""

    def on_fill(self, fill: Fill) -> None:
        """Do nothing."""
