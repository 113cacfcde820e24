"""Example: the moving-average crossover, long only."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from execution.models import Bar
from strategies.base import Gap, Proposal, Split, Strategy, StrategyContext, StrategyParams
from strategies.indicators import SMA
from strategies.registry import strategy


class MACrossoverParams(StrategyParams):
    """Windows in bars; `fast` is the shorter one."""

    fast: int = Field(default=20, ge=1)
    slow: int = Field(default=50, ge=1)

    @model_validator(mode="after")
    def _fast_is_shorter(self) -> Self:
        if self.fast >= self.slow:
            raise ValueError(f"fast = {self.fast} must be less than slow = {self.slow}")
        return self


class _State:
    __slots__ = ("above", "fast", "slow")

    def __init__(self, params: MACrossoverParams) -> None:
        self.fast = SMA(params.fast)
        self.slow = SMA(params.slow)
        self.above: bool | None = None


@strategy("ma_crossover")
class MACrossover(Strategy):
    """Buys when the fast average of closes crosses above the slow one; sells while it is not above.

    An example of the contract, with no claim of alpha. An entry is proposed once, at the crossing: if it is
    refused or lapses unfilled, the next crossing is awaited. An exit is proposed on every bar until nothing
    is held. State depends on the last slow + 1 bars alone, and on none before a gap.
    """

    Params = MACrossoverParams

    def __init__(self, params: MACrossoverParams, context: StrategyContext) -> None:
        super().__init__(params, context)
        self._windows = params
        self._states: dict[str, _State] = {}

    def on_gap(self, gap: Gap) -> None:
        """Begin the averages of the symbol anew."""
        self._states.pop(gap.symbol, None)

    def on_split(self, split: Split) -> None:
        """Go on in the new shares."""
        state = self._states.get(split.symbol)
        if state is not None:
            state.fast.scale(split.price_factor)
            state.slow.scale(split.price_factor)

    def on_bar(self, bar: Bar) -> Proposal:
        """Take a completed bar; return an entry, an exit or nothing."""
        state = self._states.get(bar.symbol)
        if state is None:
            state = self._states[bar.symbol] = _State(self._windows)
        fast, slow = state.fast.update(bar.close), state.slow.update(bar.close)
        if fast is None or slow is None:
            return None
        was_above, state.above = state.above, fast > slow
        held = self.portfolio.position(bar.symbol)
        if not state.above:
            return self.context.orders.exit_long(bar, held)
        if was_above is False and held <= 0:
            return self.context.orders.enter_long(bar)
        return None
