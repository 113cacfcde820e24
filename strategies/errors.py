"""Errors of the strategies package: each has a stable code and says in one line what to correct."""

from __future__ import annotations


class StrategyError(Exception):
    """A strategy cannot be found, built or sized as configured. Nothing was traded; see the subclass."""

    code = "STRATEGY_ERROR"


class UnknownStrategyError(StrategyError, ValueError):
    """No strategy is registered under this name. Correct the name; ``trade strategies`` lists them."""

    code = "UNKNOWN_STRATEGY"


class UnknownIndicatorError(StrategyError, ValueError):
    """No indicator is registered under this name. Correct the name; ``trade strategies`` lists them."""

    code = "UNKNOWN_INDICATOR"


class StrategyParamsError(StrategyError, ValueError):
    """A parameter of the strategy is wrong. Nothing ran. Correct the named key in ``strategy.params``."""

    code = "STRATEGY_PARAMS"


class DuplicateNameError(StrategyError, ValueError):
    """Two classes ask for one registered name. Neither replaces the other. Rename one of them."""

    code = "DUPLICATE_NAME"


class StrategyModuleError(StrategyError, ImportError):
    """A module in the strategies namespace cannot be imported. Fix or remove the named module."""

    code = "STRATEGY_MODULE"


class SizingError(StrategyError, ValueError):
    """An order cannot be sized: wrong sizing settings or an unlisted symbol. Correct what is named."""

    code = "SIZING"


class SignalError(StrategyError, ValueError):
    """A signal cannot be put on record. The strategy lost the bar. Correct the named field in its code."""

    code = "SIGNAL"
