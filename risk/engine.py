"""The risk engine: judges orders before they are sent, and holds the exposure of those that are.

1. `evaluate` asks the rules of `risk.controls` in their stated order, counting the position, everything that
   open orders may still trade, and the order itself. The first refusal ends it; every rule asked is recorded.
2. `reserve` holds the order's remaining quantity at its reference price until it is final.
3. `on_fill` gives back what was executed, which by then is in the position; `release` gives back the rest.

A bracket is judged as a whole (`evaluate_bracket`): its entry's exposure counts once, its exits undo it and
are held as far as it has traded (`reserve_exit`, `on_built`).

The executor calls `evaluate` and `reserve` back to back inside its lock, so two orders never pass on the same
room. A fill is to be booked in the portfolio no later than it is told to `on_fill`: in between it counts
twice, never not at all. The engine asks no clock but the trading clock, and decides alike for the same book.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from decimal import Decimal

from execution.book.portfolio import Portfolio
from execution.clocks import TradingClock
from execution.events import RiskDecision
from execution.models import ZERO, Fill, OrderRequest
from execution.numbers import reckoned
from execution.reconciliation.claims import EXTERNAL
from risk.after_entry import AfterEntry
from risk.controls import Control, Figures, Refused, RiskView, controls_for
from risk.controls.order_quantity import OrderQuantityControl
from risk.controls.session import SessionControl
from risk.controls.symbols import RestrictedSymbolControl
from risk.errors import LimitsError
from risk.kill_switch import KillSwitch
from risk.limits import RiskLimits
from risk.protocols import SessionSource
from risk.rate import OrderRate
from risk.reservations import Reservations

_EVEN_FOR_REDUCING = (SessionControl, RestrictedSymbolControl, OrderQuantityControl)
"""Rules that an order which only reduces is held to like any other."""


class RiskEngine:
    """Pre-trade rules with reservation; a `execution.validators.PreTradeValidator`.

    Parameters
    ----------
    limits
        The numbers; None leaves a rule out.
    portfolio
        The book that fills are booked in.
    sessions, clock
        The market's calendar and time.
    kill_switch
        The daily-loss limit; None leaves it out.
    multipliers
        Contract multipliers by symbol; a symbol left out has 1.

    Raises
    ------
    LimitsError
        If a limit is negative or not a finite number, or a symbol is allowed and restricted.
    """

    def __init__(
        self,
        limits: RiskLimits,
        portfolio: Portfolio,
        sessions: SessionSource,
        clock: TradingClock,
        kill_switch: KillSwitch | None = None,
        multipliers: Mapping[str, Decimal] | None = None,
    ) -> None:
        _require_sound(limits)
        self.limits = limits
        self.reservations = Reservations()
        self._controls = controls_for(limits)
        self._portfolio = portfolio
        self._sessions = sessions
        self._clock = clock
        self._kill_switch = kill_switch
        self._rate = OrderRate()
        self._multipliers = dict(multipliers or {})
        self._view = self._view_of(portfolio)
        self.exposures = self._view.exposures

    @reckoned
    def evaluate(self, request: OrderRequest) -> RiskDecision:
        """Judge an order against every rule, counting what is reserved; change nothing."""
        return _judge(request, self._controls, self._view)

    @reckoned
    def evaluate_bracket(self, entry: OrderRequest, exits: Sequence[OrderRequest]) -> RiskDecision:
        """Judge an entry with its exits, which work only once it has traded, and end each other.

        The entry is judged like any order. Where it takes risk its exits reduce, and are held only to the
        rules that reducing orders are held to. Where the entry itself reduces a position, an exit takes that
        risk again: each is then judged by every rule, in the book as the entry leaves it.

        Returns
        -------
        RiskDecision
            The first refusal, or an approval; with the checks of all orders that were asked about.
        """
        decision = self.evaluate(entry)
        asked = list(decision.checks)
        if decision.approved:
            if self._view.of(entry).reduces:
                controls, view = self._controls, self._view_of(AfterEntry(self._portfolio, entry))
            else:
                controls = tuple(c for c in self._controls if isinstance(c, _EVEN_FOR_REDUCING))
                view = self._view
            for leg in exits:
                decision = _judge(leg, controls, view)
                asked += decision.checks
                if not decision.approved:
                    break
        return dataclasses.replace(decision, checks=tuple(asked))

    @reckoned
    def reserve(self, request: OrderRequest, price: Decimal | None = None) -> Decimal | None:
        """Hold the order's worst-case exposure under its client order id.

        Parameters
        ----------
        request
            The order.
        price
            Price of one unit at which it was reserved before, when a reservation is restored; by default the
            reference price now.

        Returns
        -------
        Decimal or None
            The price at which it is held; None if there is none, which counts as zero.

        Raises
        ------
        ReservationError
            If the order has no client order id, or the id is reserved already.
        """
        held_at = self._view.reference_price(request) if price is None else price
        self.reservations.hold(request, held_at or ZERO)
        self._count(request)
        return held_at

    @reckoned
    def evaluate_exit(self, request: OrderRequest, entry: OrderRequest | None) -> RiskDecision:
        """Judge an exit anew, with no order of its bracket reserved; see `BracketValidator`."""
        view = self._view if entry is None else self._view_of(AfterEntry(self._portfolio, entry))
        return _judge(request, self._controls, view)

    @reckoned
    def reserve_exit(
        self,
        request: OrderRequest,
        price: Decimal | None = None,
        *,
        entry: str,
        built: Decimal,
        undone: Decimal,
    ) -> Decimal | None:
        """Hold an exit of a bracket as far as its entry has traded; see `Reservations.hold_exit`."""
        held_at = self._view.reference_price(request) if price is None else price
        self.reservations.hold_exit(request, held_at or ZERO, entry=entry, built=built, undone=undone)
        self._count(request)
        return held_at

    def on_built(self, entry: str, built: Decimal) -> None:
        """Take what the exits of a bracket may trade by now."""
        self.reservations.build(entry, built)

    def release(self, client_order_id: str) -> None:
        """Give back what is left of a reservation; an unknown id is ignored."""
        self.reservations.release(client_order_id)

    def on_fill(self, fill: Fill) -> None:
        """Shrink the reservation of the filled order by the executed size; orders of others are ignored."""
        if fill.client_order_id is not None:
            self.reservations.shrink(fill.client_order_id, fill.quantity)

    def is_reserved(self, client_order_id: str | None) -> bool:
        """Return whether an order holds a reservation, that is: was approved here and can still trade."""
        return client_order_id in self.reservations

    def _count(self, request: OrderRequest) -> None:
        name = request.client_order_id
        if name is not None and not name.startswith(EXTERNAL):
            self._rate.add(name, self._clock.now_ns())

    def _view_of(self, portfolio: Portfolio) -> RiskView:
        return RiskView(
            portfolio,
            self.reservations,
            self._sessions,
            self._clock,
            self._kill_switch,
            self._multipliers,
            self._rate,
        )


def _judge(request: OrderRequest, controls: Sequence[Control], view: RiskView) -> RiskDecision:
    asked: list[Figures] = []
    seen = view.of(request)
    for control in controls:
        found = control.check(request, seen)
        if isinstance(found, Refused):
            asked.append(found.figures)
            return RiskDecision(False, control.code, found.reason, tuple(asked))
        asked.append(found)
    return RiskDecision(True, checks=tuple(asked))


def _require_sound(limits: RiskLimits) -> None:
    for field in dataclasses.fields(limits):
        value = getattr(limits, field.name)
        figures = {field.name: value}
        if isinstance(value, Mapping):
            figures = {f"{field.name}.{symbol}": figure for symbol, figure in value.items()}
        for name, figure in figures.items():
            if isinstance(figure, Decimal) and not (figure.is_finite() and figure >= 0):
                raise LimitsError(f"risk.{name} = {figure}: a limit is a number of at least 0")
    if limits.max_orders_per_minute is not None and limits.max_orders_per_minute < 0:
        raise LimitsError(
            f"risk.max_orders_per_minute = {limits.max_orders_per_minute}: a limit is a number of at least 0"
        )
    both = sorted(set(limits.allowed_symbols) & set(limits.restricted_symbols))
    if both:
        raise LimitsError(
            f"risk.restricted_symbols: {', '.join(both)} is allowed too; take it out of one of the lists"
        )
