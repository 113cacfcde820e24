"""Example: time-series momentum, long only."""

from __future__ import annotations

from pydantic import Field

from execution.models import Bar
from strategies.base import Gap, Proposal, Split, Strategy, StrategyContext, StrategyParams
from strategies.indicators import RateOfChange
from strategies.registry import strategy
from strategies.signals import Direction, Signal


class MomentumParams(StrategyParams):
    """`lookback` in bars; `threshold` is the return over it, as a fraction, that must be exceeded."""

    lookback: int = Field(default=90, ge=1)
    threshold: float = Field(default=0.0, gt=-1.0, allow_inf_nan=False)


class _State:
    __slots__ = ("change", "rising")

    def __init__(self, params: MomentumParams) -> None:
        self.change = RateOfChange(params.lookback)
        self.rising: bool | None = None


@strategy("momentum")
class Momentum(Strategy):
    """Buys when the return over the lookback rises above the threshold; sells while it is not above.

    An example of the contract, with no claim of alpha; see Moskowitz, Ooi and Pedersen, "Time series
    momentum", Journal of Financial Economics 104 (2012), for the idea. An entry is proposed once, when the
    threshold is passed: if it is refused or lapses unfilled, the next passing is awaited. An exit is proposed
    on every bar until nothing is held. State depends on the last lookback + 2 bars alone,
    and on none before a gap. Each turn, and each bar with an order, is a signal on record; its strength is
    the return beyond the threshold.
    """

    Params = MomentumParams

    def __init__(self, params: MomentumParams, context: StrategyContext) -> None:
        super().__init__(params, context)
        self._settings = params
        self._states: dict[str, _State] = {}

    def on_gap(self, gap: Gap) -> None:
        """Begin the return of the symbol anew."""
        self._states.pop(gap.symbol, None)

    def on_split(self, split: Split) -> None:
        """Go on in the new shares."""
        state = self._states.get(split.symbol)
        if state is not None:
            state.change.scale(split.price_factor)

    def on_bar(self, bar: Bar) -> Proposal:
        """Take a completed bar; return a signal with an entry or an exit, a signal alone, or nothing."""
        state = self._states.get(bar.symbol)
        if state is None:
            state = self._states[bar.symbol] = _State(self._settings)
        change = state.change.update(bar.close)
        if change is None:
            return None
        was_rising, state.rising = state.rising, change > self._settings.threshold
        held = self.portfolio.position(bar.symbol)
        order = None
        if not state.rising:
            order = self.context.orders.exit_long(bar, held)
        elif was_rising is False and held <= 0:
            order = self.context.orders.enter_long(bar)
        if order is None and was_rising in (None, state.rising):
            return None
        return Signal(
            bar.symbol,
            Direction.LONG if state.rising else Direction.FLAT,
            strength=change - self._settings.threshold,
            features={"return": change, "lookback": self._settings.lookback, "close": bar.close},
        ).leading_to(order)
