"""The barrier: after every connect nothing is submitted until broker and journal agree.

1. Ask for open orders, completed orders, executions and positions, each with its end mark. A request that
   fails fails the reconciliation: nothing is concluded from an answer that did not come.
2. What arrived is journalled and applied like any other fact.
3. Each order that is still open on our side must have been seen at the broker. One that was never
   acknowledged and is found nowhere was never sent or was lost; it is released only where that is opted for,
   because only then the broker is known to have nothing in flight. Everything else is in doubt.
4. The executions must amount to the broker's positions; a difference is a break.

The first reconciliation of a journal adopts the broker's positions and cash as the opening book.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from execution.audit import AuditLogger
from execution.blotter import Entry
from execution.errors import BrokerUnavailableError
from execution.ibkr.session import IBSession
from execution.inbox import Inbox
from execution.models import ZERO, OrderStatus
from execution.numbers import format_decimal


@dataclass(slots=True)
class Reconciliation:
    """Outcome: client order ids in doubt with the reason, and positions that differ (ours, broker's)."""

    in_doubt: dict[str, str] = field(default_factory=dict)
    released: list[str] = field(default_factory=list)
    breaks: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether nothing is in doubt and no position differs."""
        return not self.in_doubt and not self.breaks

    def describe(self) -> str:
        """Say what does not agree, in one line."""
        parts = [f"order {name}: {why}" for name, why in self.in_doubt.items()]
        parts += [
            f"position {symbol}: journal {ours}, broker {theirs}"
            for symbol, (ours, theirs) in self.breaks.items()
        ]
        return "; ".join(parts) or "broker and journal agree"


class Reconciler:
    """Compares the journal's orders and positions with the broker's.

    Parameters
    ----------
    inbox, audit
        Where facts are applied and recorded.
    release_absent
        Treat an order that was never acknowledged and is found nowhere as never sent.
    account
        The account whose positions count; None takes every row.
    """

    def __init__(
        self, inbox: Inbox, audit: AuditLogger, *, release_absent: bool, account: str | None
    ) -> None:
        self._inbox = inbox
        self._audit = audit
        self._release_absent = release_absent
        self._account = account
        self.opening: dict[str, Any] | None = None
        self._session: IBSession | None = None

    async def run(self, session: IBSession) -> Reconciliation:
        """Reconcile over a session.

        Raises
        ------
        BrokerUnavailableError
            If an answer did not come; nothing is concluded.
        """
        self._inbox.close()
        self._inbox.forget_open_orders()
        if session is not self._session:
            self._audit.log_reconciling()
            self._inbox.blotter.new_session()
            self._session = session
        await session.open_orders()
        seen = set(self._inbox.open_references)
        completed = await session.completed_orders()
        await session.executions()
        waiting = {entry.client_order_id for entry in self._inbox.blotter.open_entries()}
        for fact in completed:
            if fact.order_ref in waiting:
                self._inbox.take(fact)
        self._inbox.close()
        result = Reconciliation()
        self._judge_orders(seen, result)
        await self._judge_positions(session, result)
        self._audit.log_reconciled(
            in_doubt=result.in_doubt,
            released=result.released,
            breaks={symbol: [str(ours), str(theirs)] for symbol, (ours, theirs) in result.breaks.items()},
            open_orders=sorted(seen),
        )
        return result

    def _judge_orders(self, seen: set[str], result: Reconciliation) -> None:
        for entry in self._inbox.blotter.open_entries():
            name = entry.client_order_id
            if name in seen and entry.status is not OrderStatus.UNKNOWN:
                continue
            if not entry.acknowledged and self._release_absent:
                self._release(entry, "in no list of the broker, and the broker has nothing in flight")
                result.released.append(name)
                continue
            why = self._doubt(entry)
            self._audit.log_doubt(name, why)
            self._inbox.deliver(self._inbox.blotter.doubted(name, why))
            result.in_doubt[name] = why

    def _doubt(self, entry: Entry) -> str:
        if entry.awaits_executions:
            return (
                f"the broker reports {format_decimal(entry.reported_filled)} filled, "
                f"its executions show {format_decimal(entry.filled)}"
            )
        if entry.status is OrderStatus.UNKNOWN and entry.reason:
            return entry.reason
        if entry.acknowledged:
            return "acknowledged before, now in no list of the broker"
        return "recorded before sending, never acknowledged, in no list of the broker"

    def _release(self, entry: Entry, evidence: str) -> None:
        self._audit.log_release(entry.client_order_id, evidence)
        self._inbox.deliver(self._inbox.blotter.released(entry.client_order_id, evidence))

    async def _judge_positions(self, session: IBSession, result: Reconciliation) -> None:
        positions = await session.positions()
        counted = [p for p in positions if self._account in (None, p.account)]
        theirs: dict[str, Decimal] = {}
        for p in counted:
            theirs[p.symbol] = theirs.get(p.symbol, ZERO) + p.quantity
        if self.opening is None:
            costs = {p.symbol: format_decimal(p.average_cost) for p in counted}
            summary = await session.account_summary(self._account)
            if "TotalCashValue" not in summary:
                raise BrokerUnavailableError(
                    f"account summary: the broker gave no cash for {self._account or 'the account'}; "
                    "check the account's name"
                )
            held = {
                symbol: theirs[symbol] - self._inbox.net.get(symbol, ZERO)
                for symbol in theirs
                if theirs[symbol] != self._inbox.net.get(symbol, ZERO)
            }
            self.opening = {
                "positions": {
                    symbol: {"quantity": format_decimal(quantity), "average_cost": costs[symbol]}
                    for symbol, quantity in sorted(held.items())
                },
                "cash": format_decimal(summary["TotalCashValue"]),
            }
            self._audit.log("opening", **self.opening)
        ours = dict(self._inbox.net)
        for symbol, held_at_start in self.opening["positions"].items():
            ours[symbol] = ours.get(symbol, ZERO) + Decimal(held_at_start["quantity"])
        for symbol in sorted(set(ours) | set(theirs)):
            left, right = ours.get(symbol, ZERO), theirs.get(symbol, ZERO)
            if left != right:
                result.breaks[symbol] = (left, right)
