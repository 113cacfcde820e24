"""One order as far as its evidence goes, and its executions."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from execution.clocks import timestamp
from execution.models import ZERO, Fill, Order, OrderRequest, OrderStatus
from execution.numbers import ARITHMETIC, own_arithmetic, round_money
from execution.orders.evidence import ExecutionSeen, OpenOrderSeen
from execution.orders.terms import ChangeOutcome, Modification, larger_of


def parts_of(exec_id: str) -> tuple[str, int]:
    """Split an execution id into what stays and the number of its correction, 0 if it has none."""
    base, _, suffix = exec_id.rpartition(".")
    numbered = bool(base) and suffix.isascii() and suffix.isdigit()
    return (base, int(suffix)) if numbered else (exec_id, 0)


@dataclass(slots=True)
class Execution:
    """One execution as it stands after its corrections."""

    number: int
    exec_id: str
    correction: int
    quantity: Decimal
    price: Decimal
    time: int
    commission: Decimal | None = None
    charged_by: int = -1
    """Number of the correction that told the commission."""
    entered: bool = False
    """Entered by a person; the broker's own executions take its place."""
    earlier: tuple[str, ...] = ()
    """The ids it had before its corrections."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Every id it is known by."""
        return (*self.earlier, self.exec_id)

    def revise(self, seen: ExecutionSeen, correction: int) -> None:
        """Take a correction; one to nothing takes its commission back with it."""
        self.earlier = (*self.earlier, self.exec_id)
        self.exec_id, self.correction = seen.exec_id, correction
        self.quantity, self.price = seen.quantity, seen.price
        if not seen.quantity and self.commission is not None:
            self.commission = ZERO

    def charge(self, commission: Decimal, correction: int) -> bool:
        """Take a commission told with a correction; return whether it changes what is known."""
        known = self.commission
        if known is not None and correction <= self.charged_by:
            return False
        if not self.quantity and correction < self.correction:
            return False  # the bust gave it back
        self.commission, self.charged_by = commission, correction
        return known is None or known != commission


@dataclass(slots=True, weakref_slot=True)
class Entry:
    """What is known of one order."""

    request: OrderRequest
    order_id: int
    submitted_ns: int
    attempt: int = 1
    dry_run: bool = False
    reserved_price: Decimal | None = None
    perm_id: int = 0
    status: OrderStatus = OrderStatus.PENDING
    reason: str | None = None
    refusal: str | None = None
    """What the broker said when it refused it; what we said in doubt is no refusal."""
    acknowledged: bool = False
    inactive: bool = False
    told_filled: bool = False
    """Whether the broker itself called it filled, beside what its executions amount to."""
    reported_filled: Decimal = ZERO
    counts_anew: bool = False
    """Whether the broker's reports so far may count what a correction took from an execution never seen."""
    executions: dict[str, Execution] = field(default_factory=dict)
    parent: str = ""
    """Client order id of the bracket's entry whose exit this is."""
    exits: tuple[Entry, ...] = field(default=(), repr=False)
    """The exits of the bracket whose entry this is."""
    modification: Modification | None = None
    modifications: int = 0
    outcomes: dict[int, tuple[ChangeOutcome, str]] = field(default_factory=dict)
    shown: OpenOrderSeen | None = None
    """The broker's last word on the terms while a change is open."""
    refused_cancels: int = 0
    """Refusals of a cancel after which the broker has not shown the order at work yet."""
    survived_cancels: int = 0
    """Refusals of a cancel after which the broker showed the order at work: those cancels end nothing."""
    withdrawn: Decimal = ZERO
    """Size that corrections took from executions; the broker's reports may still count it."""
    recounted: bool = False
    """Whether a report was lower than one before a correction: the broker's figure may fall since then."""
    resolved: bool = False
    """Whether a person settled its fate; the broker's word undoes that."""
    client_id: int | None = field(default=None, compare=False, repr=False)
    """The TWS client id under which it was written: its order id counts among that client's."""
    number: int = field(default=0, compare=False, repr=False)
    """Its place among the orders of a blotter, counted from 1."""
    asked: OrderRequest = field(init=False)
    """The request as it was first made; `request` has the terms now."""

    def __post_init__(self) -> None:
        self.asked = self.request

    @property
    def larger(self) -> OrderRequest:
        """The order at the size it counts with: the larger one while a change is open."""
        return (
            self.request if self.modification is None else larger_of(self.request, self.modification.request)
        )

    @property
    def held_at(self) -> Decimal | None:
        """The price it is reserved at."""
        return self.reserved_price if self.modification is None else self.modification.reserved_price

    @property
    def built(self) -> Decimal:
        """What its exits may trade: what it has traded, and what an exit is larger than it will become."""
        largest = max((one.larger.quantity for one in self.exits), default=ZERO)
        becomes = self.filled if self.status.is_final else self.larger.quantity
        return self.filled + max(ZERO, largest - becomes)

    @property
    def client_order_id(self) -> str:
        """The order's identity on our side."""
        return self.request.client_order_id or ""

    @property
    def filled(self) -> Decimal:
        """Size executed, by the executions."""
        total = ZERO
        for execution in self.executions.values():
            total = ARITHMETIC.add(total, execution.quantity)
        return total

    @property
    def can_trade(self) -> bool:
        """Whether it is open: not final, or executions of it are known to come."""
        return not self.status.is_final or self.awaits_executions

    @property
    def awaits_executions(self) -> bool:
        """Whether the broker reported more filled than the executions show."""
        return self.reported_filled > self.filled + self.withdrawn

    def identities(self) -> dict[str, int | str | None]:
        """Return what else it is known by: strategy, id within the session, permanent id."""
        return {
            "strategy": self.request.strategy,
            "session_order_id": self.order_id,
            "perm_id": self.perm_id or None,
        }

    def fills(self) -> list[Fill]:
        """Return the executions as domain objects, in order of arrival."""
        return [self.fill(execution) for execution in self.executions.values()]

    def fill(self, execution: Execution) -> Fill:
        """Return one execution as a domain object; its id counts the order's executions."""
        return Fill(
            fill_id=f"{self.client_order_id}-{execution.number}",
            order_id=str(self.perm_id or self.order_id),
            symbol=self.request.symbol,
            quantity=execution.quantity,
            price=execution.price,
            side=self.request.side,
            timestamp=timestamp(execution.time),
            commission=execution.commission,
            client_order_id=self.client_order_id,
            account=self.request.account,
        )

    def order(self) -> Order:
        """Return the order as a domain object."""
        filled, request = self.filled, self.request
        average = None
        if filled:
            with own_arithmetic():
                paid = sum((e.quantity * e.price for e in self.executions.values()), ZERO)
                average = round_money(paid / filled)
        return Order(
            order_id=str(self.perm_id or self.order_id),
            client_order_id=request.client_order_id,
            symbol=request.symbol,
            quantity=request.quantity,
            order_type=request.order_type,
            side=request.side,
            limit_price=request.limit_price,
            stop_price=request.stop_price,
            status=self.status,
            submitted_at=timestamp(self.submitted_ns),
            filled_quantity=filled,
            average_fill_price=average,
            time_in_force=request.time_in_force,
            account=request.account,
            strategy=request.strategy,
            reason=self.reason,
        )
