"""Orders of somebody else in the account: who counts them, and as what.

Orders placed by hand, by another client or by another journal are external. The claim says what becomes of
them; it is journalled, because the book that a journal amounts to depends on it:

* adopt: their executions are booked, and what they may still trade is held as exposure.
* ignore: the account is shared, and only the stated symbols are ours: there the same is done as for adopt;
  every other symbol, its orders and its positions belong to others and are left out.
* refuse: nothing else may trade here. While an external order is open nothing is sent, and what it executed
  stays a difference until a person accepts it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from execution.clocks import timestamp
from execution.errors import InvalidOrderError
from execution.models import ZERO, Fill, OrderRequest, OrderType, Side
from execution.numbers import format_decimal
from execution.orders.entry import Execution
from execution.orders.evidence import Evidence

EXTERNAL = "external-"
"""What the names of orders of somebody else begin with here, and no order of ours does."""
OVER = ("Filled", "Cancelled", "ApiCancelled", "Inactive")
"""Statuses of an order that trades no more."""


class ClaimPolicy(enum.StrEnum):
    """What becomes of orders and positions of somebody else in the account."""

    ADOPT = "adopt"
    IGNORE = "ignore"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Claim:
    """What of the account is ours.

    `account` None takes every account of the login; `symbols` is the partition of `ClaimPolicy.IGNORE`;
    `security_types` names the kind of contract by symbol where it is not a stock.
    """

    policy: ClaimPolicy = ClaimPolicy.ADOPT
    account: str | None = None
    symbols: frozenset[str] = frozenset()
    security_types: Mapping[str, str] = field(default_factory=dict)

    def covers(self, symbol: str) -> bool:
        """Return whether a symbol is ours to reconcile."""
        return self.policy is not ClaimPolicy.IGNORE or symbol in self.symbols

    def counts(self, account: str, symbol: str, security_type: str) -> bool:
        """Return whether what happens to a contract in an account concerns our book."""
        return (
            self.account in (None, account)
            and security_type in ("", self.security_types.get(symbol, "STK"))
            and self.covers(symbol)
        )

    def to_body(self) -> dict[str, Any]:
        """Return it as plain values for the journal."""
        return {
            "policy": self.policy.value,
            "account": self.account,
            "symbols": sorted(self.symbols),
            "security_types": dict(sorted(self.security_types.items())),
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Claim:
        """Rebuild it from the journal."""
        return cls(
            ClaimPolicy(body["policy"]), body["account"], frozenset(body["symbols"]), body["security_types"]
        )


@dataclass(slots=True)
class ExternalOrder:
    """An order of somebody else, by what the broker tells of it."""

    key: str
    perm_id: int
    client_id: int
    order_ref: str
    account: str
    symbol: str
    side: Side
    quantity: Decimal = ZERO
    limit_price: Decimal | None = None
    reported_filled: Decimal = ZERO
    is_open: bool = False
    executions: dict[str, Execution] = field(default_factory=dict)
    order_id: int = 0
    """Its client's number of it, as it was last shown; 0 if it has none."""
    ended_unseen: bool = False
    """Whether it left the list of open orders, and the broker did not say how."""
    withdrawn: Decimal = ZERO
    """Size that corrections took from executions; the broker's reports may still count it."""
    recounted: bool = False
    """Whether a report was lower than one before a correction: the broker's figure may fall since then."""

    def count(self, filled: Decimal) -> None:
        """Take the size that the broker reports as executed: it falls only after a correction."""
        if filled < self.reported_filled and (self.recounted or self.withdrawn):
            self.reported_filled, self.withdrawn, self.recounted = filled, ZERO, True
        else:
            self.reported_filled = max(self.reported_filled, filled)

    @property
    def filled(self) -> Decimal:
        """Size executed, by the executions or the broker's reports, whichever is more."""
        return max(self.reported_filled - self.withdrawn, self.executed)

    @property
    def executed(self) -> Decimal:
        """Size executed, by the executions alone."""
        return sum((e.quantity for e in self.executions.values()), ZERO)

    @property
    def may_have_traded_unseen(self) -> bool:
        """Whether it may have executions that were never told."""
        return self.reported_filled > self.executed + self.withdrawn or (
            self.ended_unseen and self.executed < self.quantity
        )

    @property
    def remaining(self) -> Decimal:
        """Size that it may still trade."""
        return max(ZERO, self.quantity - self.filled) if self.is_open else ZERO

    def describe(self) -> str:
        """Say what it is, in a few words."""
        whose = f"client {self.client_id}" if self.client_id else "a person in TWS"
        return (
            f"open order {self.perm_id or self.key} of {whose}: {self.side} "
            f"{format_decimal(self.remaining)} {self.symbol}"
        )

    def as_body(self) -> dict[str, Any]:
        """Return what it is as plain values for the journal."""
        return {
            "key": self.key,
            "perm_id": self.perm_id,
            "client": self.client_id,
            "order_ref": self.order_ref,
            "account": self.account,
            "symbol": self.symbol,
            "side": self.side.value,
            "quantity": format(self.quantity, "f"),
            "limit_price": None if self.limit_price is None else format(self.limit_price, "f"),
        }

    def request(self) -> OrderRequest | None:
        """Return what it may still trade as an order that can be reserved; None if there is nothing."""
        if not self.remaining:
            return None
        try:
            return OrderRequest(
                self.symbol, self.remaining, OrderType.MARKET, self.side, client_order_id=self.key
            )
        except InvalidOrderError:  # a symbol that nothing here can trade is no exposure of this book's
            return None

    def fill(self, execution: Execution) -> Fill:
        """Return one execution as a domain object."""
        return Fill(
            fill_id=f"{self.key}-{execution.number}",
            order_id=str(self.perm_id),
            symbol=self.symbol,
            quantity=execution.quantity,
            price=execution.price,
            side=self.side,
            timestamp=timestamp(execution.time),
            commission=execution.commission,
            account=self.account,
        )


def key_of(seen: Evidence) -> str:
    """Return the name of an external order: by its permanent id, else by its client's number of it."""
    perm_id = getattr(seen, "perm_id", 0)
    if perm_id:
        return f"{EXTERNAL}{perm_id}"
    return f"{EXTERNAL}{getattr(seen, 'client_id', 0)}-{getattr(seen, 'order_id', 0)}"
