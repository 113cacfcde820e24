"""Strategies and indicators by name.

``@strategy("name")`` and ``@indicator("name")`` register a class. The built-in ones are loaded at the first
question. `strategies` is a namespace package, so another repository can put modules into it; those are
imported when a name is asked for that is not built in, or when all names are. A module that cannot be
imported is reported by its name; it does not keep a built-in strategy from running.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

import strategies
from strategies.base import Strategy, StrategyContext, StrategyParams
from strategies.errors import (
    DuplicateNameError,
    StrategyModuleError,
    StrategyParamsError,
    UnknownIndicatorError,
    UnknownStrategyError,
)

_BUILT_IN = ("strategies.indicators", "strategies.ma_crossover", "strategies.momentum")
_MACHINERY = frozenset(
    f"strategies.{name}"
    for name in (
        *("base", "closing", "errors", "link", "live", "record"),
        *("registry", "signals", "sizing", "spec", "step", "trader"),
    )
)

_strategies: dict[str, type[Strategy]] = {}
_indicators: dict[str, type[Any]] = {}

StrategyClass = TypeVar("StrategyClass", bound=type[Strategy])
AnyClass = TypeVar("AnyClass", bound=type[Any])
T = TypeVar("T")


def strategy(name: str) -> Callable[[StrategyClass], StrategyClass]:
    """Register a `Strategy` class under a name, which becomes its `name`.

    Raises
    ------
    DuplicateNameError
        If another class has the name. The same class defined anew (a reloaded module, a notebook cell run
        again) takes its own place.
    """

    def register(cls: StrategyClass) -> StrategyClass:
        _register(_strategies, "strategy", name, cls)
        cls.name = name
        return cls

    return register


def indicator(name: str) -> Callable[[AnyClass], AnyClass]:
    """Register an indicator class under a name; raise `DuplicateNameError` as `strategy` does."""

    def register(cls: AnyClass) -> AnyClass:
        _register(_indicators, "indicator", name, cls)
        return cls

    return register


def create(name: str, params: Mapping[str, Any], context: StrategyContext) -> Strategy:
    """Build a strategy from its name and parameters.

    Raises
    ------
    UnknownStrategyError
        If no strategy has the name; the message gives the nearest one and the list.
    StrategyParamsError
        If a parameter is unknown or wrong; the message names key, value and remedy in one line.
    StrategyModuleError
        If a module that may hold the strategy cannot be imported.
    """
    cls = strategy_class(name)
    return cls(_checked(cls, name, params), context)


def check(name: str, params: Mapping[str, Any]) -> None:
    """Raise what `create` would raise for this name and these parameters, and make nothing."""
    _checked(strategy_class(name), name, params)


def strategy_class(name: str) -> type[Strategy]:
    """Return the class registered under a strategy's name; raise `UnknownStrategyError` if there is none."""
    cls = _find(_strategies, name)
    if cls is None:
        raise UnknownStrategyError(_unknown("strategy", name, _strategies))
    return cls


def indicator_class(name: str) -> type[Any]:
    """Return the class registered under an indicator's name; raise `UnknownIndicatorError` if none is."""
    cls = _find(_indicators, name)
    if cls is None:
        raise UnknownIndicatorError(_unknown("indicator", name, _indicators))
    return cls


def strategy_names() -> list[str]:
    """Return the names of all strategies, sorted; raise `StrategyModuleError` if a module is broken."""
    _load_all()
    return sorted(_strategies)


def indicator_names() -> list[str]:
    """Return the names of all indicators, sorted; raise `StrategyModuleError` if a module is broken."""
    _load_all()
    return sorted(_indicators)


def _find(table: Mapping[str, type[T]], name: str) -> type[T] | None:
    _load_built_in()
    if name not in table:
        _load_all()
    return table.get(name)


def _register(table: dict[str, Any], kind: str, name: str, cls: type[Any]) -> None:
    other = table.get(name)
    if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
        raise DuplicateNameError(
            f"{kind} {name!r} of {cls.__module__} is taken by {other.__module__}.{other.__qualname__}: "
            "register it under another name"
        )
    table[name] = cls


def _load_built_in() -> None:
    for module in _BUILT_IN:
        importlib.import_module(module)


def _load_all() -> None:
    _load_built_in()
    found = {info.name for info in pkgutil.iter_modules(strategies.__path__, "strategies.")}
    for module in sorted(found - _MACHINERY):
        try:
            importlib.import_module(module)
        except Exception as error:
            # Whatever a module of others raises while it is imported, the operator must learn which it was.
            raise StrategyModuleError(
                f"module {module} cannot be imported ({type(error).__name__}: {error}): fix or remove it"
            ) from error


def _unknown(kind: str, name: str, names: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"unknown {kind} {name!r}: {hint}known: {', '.join(sorted(names))}"


def _checked(cls: type[Strategy], name: str, params: Mapping[str, Any]) -> StrategyParams:
    try:
        return cls.Params.model_validate(dict(params))
    except ValidationError as error:
        raise StrategyParamsError(_describe(name, cls.Params, error)) from error


def _describe(name: str, params: type[StrategyParams], error: ValidationError) -> str:
    fields = params.model_fields
    parts = []
    for problem in error.errors(include_url=False):
        key = ".".join(["params", *map(str, problem["loc"])])
        if problem["type"] == "extra_forbidden":
            nearest = difflib.get_close_matches(str(problem["loc"][0]), fields, n=1, cutoff=0.5)
            hint = f"did you mean {nearest[0]!r}? " if nearest else ""
            parts.append(f"{key} is not a parameter: {hint}known: {', '.join(fields) or 'none'}")
        else:
            text = problem["msg"].removeprefix("Value error, ")
            shown = f" = {problem['input']!r}" if problem["loc"] else ""
            parts.append(f"{key}{shown}: {text[:1].lower()}{text[1:]}")
    return f"strategy {name!r}: " + "; ".join(parts)
