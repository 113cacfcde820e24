"""The execution engine of a backtest: the executor's rules of submission over the simulated broker.

`submit` keeps the promises of the live executor: the same client order id with the same body returns the
stored order, with another body it is an error, a stored refusal refuses again; a rule is evaluated and the
exposure reserved before the broker is asked, and a broker's refusal gives the reservation back. What the
broker reports is applied in order: the handlers are told of a fill, the reservation shrinks by it, then they
are told of the status; a final status releases what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import structlog

from backtesting.broker import BrokerCancel, BrokerEvent, BrokerFill, SimulatedBroker, WorkingOrder
from backtesting.errors import BrokerRejection
from execution.broker import ExecutionEngine
from execution.clocks import TradingClock, timestamp
from execution.errors import DuplicateOrderError, RiskCheckError, UnknownOrderError
from execution.events import OrderEventHandler, RiskDecision
from execution.models import Fill, Order, OrderRequest, OrderStatus
from execution.validators import PreTradeValidator


@dataclass(frozen=True, slots=True)
class _Entry:
    request: OrderRequest
    outcome: Order | RiskDecision


class SimulatedExecution(ExecutionEngine):
    """Submits to a `SimulatedBroker` and turns what it reports into orders and fills.

    Parameters
    ----------
    broker
        Where orders go.
    validator
        The pre-trade rules.
    clock
        Trading time of a submission.
    handlers
        Receivers of order events; more can be added with `add_handler`.
    """

    def __init__(
        self,
        broker: SimulatedBroker,
        validator: PreTradeValidator,
        clock: TradingClock,
        handlers: Iterable[OrderEventHandler] = (),
        *,
        logger: Any = None,
    ) -> None:
        self._broker = broker
        self._validator = validator
        self._clock = clock
        self._handlers = list(handlers)
        self._log = logger or structlog.get_logger("backtest")
        self._entries: dict[str, _Entry] = {}
        self._fills: list[Fill] = []
        self._refusals: list[tuple[str, str]] = []
        self._unnamed = 0

    def add_handler(self, handler: OrderEventHandler) -> None:
        """Tell one more receiver of everything that happens from now on."""
        self._handlers.append(handler)

    def submit(self, order: OrderRequest) -> Order:
        """Evaluate, reserve and place one order; it fills no earlier than the next bar.

        An order without a client order id is given one that counts them (``unnamed-1``). An order that the
        broker refuses comes back as REJECTED.

        Raises
        ------
        RiskCheckError
            A rule refused it, now or when the same order was submitted before.
        DuplicateOrderError
            Its client order id was used with another body.
        """
        request = order
        if request.client_order_id is None:
            self._unnamed += 1
            request = replace(request, client_order_id=f"unnamed-{self._unnamed}")
        client_order_id = str(request.client_order_id)
        known = self._entries.get(client_order_id)
        if known is not None:
            return self._again(known, request)
        decision = self._validator.evaluate(request)
        if not decision.approved:
            self.record_refusal(request, decision)
            raise RiskCheckError(decision.reason, rule=decision.rule)
        self._validator.reserve(request)
        now_ns = self._clock.now_ns()
        try:
            working = self._broker.place(request, now_ns)
        except BrokerRejection as rejection:
            return self._reject(request, rejection, now_ns)
        return self._set(working, OrderStatus.SUBMITTED)

    def cancel(self, client_order_id: str) -> Order:
        """Cancel an order; return it as it stands, which is unchanged if it had already ended.

        Raises
        ------
        UnknownOrderError
            No order was placed under this id.
        """
        entry = self._entries.get(client_order_id)
        if entry is None or isinstance(entry.outcome, RiskDecision):
            raise UnknownOrderError(f"no order {client_order_id!r} was placed in this run")
        order = entry.outcome
        if not order.status.is_final:
            ended, *kin = self._broker.cancel(int(order.order_id), self._clock.now_ns())
            order = self._set(ended.order, OrderStatus.CANCELLED)
            self.apply(kin)
        return order

    def cancel_open(self) -> None:
        """Cancel every order that can still trade, in order of submission."""
        for order in self.orders():
            if not order.status.is_final:
                self.cancel(str(order.client_order_id))

    def apply(self, events: Iterable[BrokerEvent]) -> None:
        """Apply what the broker reported, in order; changes of orders that go on concern no handler."""
        for event in events:
            if isinstance(event, BrokerFill):
                self._on_fill(event)
            elif isinstance(event, BrokerCancel):
                self._set(event.order, OrderStatus.CANCELLED)

    def record_refusal(self, request: OrderRequest, decision: RiskDecision) -> None:
        """Keep a refusal for the record: one of `submit`, or one told by the risk manager before it."""
        client_order_id = request.client_order_id or ""
        self._entries.setdefault(client_order_id, _Entry(request, decision))
        self._refusals.append((client_order_id, decision.rule))

    def orders(self) -> list[Order]:
        """Return every order that was placed, as it stands now, in order of submission."""
        return [entry.outcome for entry in self._entries.values() if isinstance(entry.outcome, Order)]

    def placed_for(self) -> dict[str, str]:
        """Return the signal by client order id, in order of submission, of the orders that one led to."""
        return {
            name: entry.request.signal_id
            for name, entry in self._entries.items()
            if entry.request.signal_id is not None and isinstance(entry.outcome, Order)
        }

    def fills(self) -> list[Fill]:
        """Return every execution, in the order in which they happened."""
        return list(self._fills)

    def refusals(self) -> list[tuple[str, str]]:
        """Return (client order id, code of the rule) of every order that a rule refused."""
        return list(self._refusals)

    def _again(self, known: _Entry, request: OrderRequest) -> Order:
        if known.request != request:
            raise DuplicateOrderError(
                f"client order id {request.client_order_id!r} was used with another body: use a new id"
            )
        if isinstance(known.outcome, RiskDecision):
            raise RiskCheckError(known.outcome.reason, rule=known.outcome.rule)
        return known.outcome

    def _reject(self, request: OrderRequest, rejection: BrokerRejection, now_ns: int) -> Order:
        self._validator.release(str(request.client_order_id))
        order = Order(
            order_id="",
            client_order_id=request.client_order_id,
            symbol=request.symbol,
            quantity=request.quantity,
            order_type=request.order_type,
            side=request.side,
            limit_price=request.limit_price,
            stop_price=request.stop_price,
            status=OrderStatus.REJECTED,
            submitted_at=timestamp(now_ns),
            time_in_force=request.time_in_force,
            account=request.account,
            strategy=request.strategy,
            reason=str(rejection),
        )
        self._entries[str(request.client_order_id)] = _Entry(request, order)
        self._tell("on_order_rejected", lambda handler: handler.on_order_rejected(order, str(rejection)))
        return order

    def _on_fill(self, event: BrokerFill) -> None:
        request = event.order.request
        fill = Fill(
            fill_id=f"{request.client_order_id}-{event.number}",
            order_id=str(event.order.perm_id),
            symbol=request.symbol,
            quantity=event.quantity,
            price=event.price,
            side=request.side,
            timestamp=timestamp(event.time_ns),
            commission=event.commission,
            client_order_id=request.client_order_id,
            account=request.account,
        )
        self._fills.append(fill)
        # Booked before the reservation shrinks: in between it counts twice, never not at all.
        self._tell("on_fill", lambda handler: handler.on_fill(fill))
        self._validator.on_fill(fill)
        # The working order may have expired since, in the same step: its status is told by the next event.
        self._set(
            event.order, OrderStatus.PARTIALLY_FILLED if event.order.remaining_lots else OrderStatus.FILLED
        )

    def _set(self, working: WorkingOrder, status: OrderStatus) -> Order:
        client_order_id = str(working.request.client_order_id)
        order = _order(working, status)
        self._entries[client_order_id] = _Entry(working.request, order)
        if status.is_final:
            self._validator.release(client_order_id)
        self._tell("on_order_status", lambda handler: handler.on_order_status(order))
        return order

    def _tell(self, event: str, call: Callable[[OrderEventHandler], None]) -> None:
        for handler in self._handlers:
            try:
                call(handler)
            except Exception:  # noqa: BLE001 - a handler's bug must not stop the others or the order path
                self._log.exception(
                    "order event handler raised", handler=type(handler).__name__, event_name=event
                )


def _order(working: WorkingOrder, status: OrderStatus) -> Order:
    request = working.request
    return Order(
        order_id=str(working.perm_id),
        client_order_id=request.client_order_id,
        symbol=request.symbol,
        quantity=request.quantity,
        order_type=request.order_type,
        side=request.side,
        limit_price=request.limit_price,
        stop_price=request.stop_price,
        status=status,
        submitted_at=timestamp(working.placed_ns),
        filled_quantity=working.filled,
        average_fill_price=working.average_price,
        time_in_force=request.time_in_force,
        account=request.account,
        strategy=request.strategy,
        reason=working.reason if status is OrderStatus.CANCELLED else None,
    )
