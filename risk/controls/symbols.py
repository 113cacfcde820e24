"""RESTRICTED_SYMBOL and SYMBOL_NOT_ALLOWED: what may be traded at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from execution.models import OrderRequest
from risk.controls.base import Control, Figures, OrderView, Refused


@dataclass(frozen=True, slots=True)
class RestrictedSymbolControl(Control):
    """Refuses every order in a symbol of the restricted list, one that would close a position included."""

    code: ClassVar[str] = "RESTRICTED_SYMBOL"
    symbols: frozenset[str]

    def check(self, order: OrderRequest, view: OrderView) -> Figures | Refused:  # noqa: ARG002 - the symbol says it all
        """Pass if the symbol is not on the list."""
        limit = "not restricted"
        if order.symbol not in self.symbols:
            return self.code, limit, limit
        return self.refuses(
            limit, "restricted", f"{order.symbol} is on the restricted list: it is not traded, in either way"
        )


@dataclass(frozen=True, slots=True)
class AllowedSymbolControl(Control):
    """Refuses orders in symbols that are not on the list of those allowed, but for reducing ones."""

    code: ClassVar[str] = "SYMBOL_NOT_ALLOWED"
    symbols: frozenset[str]

    def check(self, order: OrderRequest, view: OrderView) -> Figures | Refused:
        """Pass if the symbol is on the list, or the order only reduces a position."""
        limit = "allowed"
        if order.symbol in self.symbols:
            return self.code, limit, limit
        if view.reduces:
            return self.code, limit, "not allowed, the order reduces"
        return self.refuses(
            limit, "not allowed", f"{order.symbol} is not among the allowed symbols: add it, or leave it"
        )
