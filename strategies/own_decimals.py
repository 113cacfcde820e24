"""A strategy's own settings for decimals: they hold in its code, and nowhere else.

A strategy that sets ``decimal.getcontext().prec = 5`` sets it for all that runs in its thread. Here it finds
what it set at its next call, and book, kill switch, risk rules and records never see it.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import getcontext, setcontext
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class OwnDecimals:
    """Calls a strategy under the settings that it made, the caller's to begin with."""

    def __init__(self) -> None:
        self._theirs = getcontext().copy()

    def call(self, work: Callable[_P, _T], *args: _P.args, **more: _P.kwargs) -> _T:
        """Return what the strategy's code returns."""
        ours = getcontext()
        setcontext(self._theirs)
        try:
            return work(*args, **more)
        finally:
            self._theirs = getcontext()
            setcontext(ours)
