"""The barrier: after every connect nothing is submitted until broker and journal agree.

1. Ask for open orders, completed orders, executions and positions, each with its end mark. A request that
   fails fails the reconciliation: nothing is concluded from an answer that did not come.
2. What arrived is journalled and applied like any other fact.
3. Each order that is still open on our side must have been seen at the broker. If one was not, or a position
   differs, the broker is asked again over a quarantine. One that was never
   acknowledged and is found nowhere was never sent or was lost; it is released only where that is opted for,
   because only then the broker is known to have nothing in flight. Everything else is in doubt.
4. The executions must amount to the broker's positions; a difference is a break.

The first reconciliation of a journal adopts the broker's positions and cash as the opening book.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import structlog

from execution.audit import AuditLogger
from execution.blotter import Entry
from execution.errors import BrokerUnavailableError
from execution.ibkr.session import BrokerPosition, IBSession
from execution.inbox import Inbox
from execution.models import ZERO, OrderStatus
from execution.numbers import format_decimal

_LATER_LOOKS = 3


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
    security_types
        Kind of contract by symbol where it is not a stock.
    quarantine
        Seconds over which the broker is asked again before an order is called absent or a position broken:
        what was on its way may appear meanwhile.
    sleep
        Waits between the looks.
    """

    def __init__(
        self,
        inbox: Inbox,
        audit: AuditLogger,
        *,
        release_absent: bool,
        account: str | None,
        security_types: Mapping[str, str] | None = None,
        quarantine: float = 0.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._inbox = inbox
        self._audit = audit
        self._release_absent = release_absent
        self._account = account
        self.opening: dict[str, Any] | None = None
        self._security_types = dict(security_types or {})
        self._quarantine = quarantine
        self._sleep = sleep
        self._log = structlog.get_logger("reconcile")

    async def run(self, session: IBSession) -> Reconciliation:
        """Reconcile over a session.

        Raises
        ------
        BrokerUnavailableError
            If an answer did not come; nothing is concluded.
        """
        pauses = [self._quarantine / _LATER_LOOKS] * _LATER_LOOKS if self._quarantine else []
        while True:
            seen, breaks = await self._look(session)
            if not pauses or (not breaks and not self._missing(seen)):
                break
            await self._sleep(pauses.pop())  # what was on its way may be there by then
        result = Reconciliation(breaks=breaks)
        self._judge_orders(seen, result)
        self._audit.log_reconciled(
            in_doubt=result.in_doubt,
            released=result.released,
            breaks={symbol: [str(ours), str(theirs)] for symbol, (ours, theirs) in result.breaks.items()},
            open_orders=sorted(seen),
            foreign=sorted(self._inbox.foreign_references),
        )
        return result

    async def _look(self, session: IBSession) -> tuple[set[str], dict[str, tuple[Decimal, Decimal]]]:
        self._inbox.close()
        self._inbox.forget_open_orders()
        await session.open_orders()
        seen = set(self._inbox.open_references)
        completed = await session.completed_orders()
        await session.executions()
        waiting = {entry.client_order_id for entry in self._inbox.blotter.open_entries()}
        for fact in completed:
            if fact.order_ref in waiting:
                self._inbox.take(fact)
            else:
                self._inbox.note_reference(fact.order_ref)
        self._inbox.close()
        return seen, await self._differing_positions(session)

    def _missing(self, seen: set[str]) -> list[Entry]:
        return [
            entry
            for entry in self._inbox.blotter.open_entries()
            if entry.client_order_id not in seen or entry.status is OrderStatus.UNKNOWN
        ]

    def _judge_orders(self, seen: set[str], result: Reconciliation) -> None:
        result.in_doubt.update(self._inbox.blotter.corrected)
        for entry in self._missing(seen):
            name = entry.client_order_id
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

    async def _differing_positions(self, session: IBSession) -> dict[str, tuple[Decimal, Decimal]]:
        counted = await self.positions(session)
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
                "trading_time": self._audit.now_ns(),
            }
            self._audit.log("opening", **self.opening)
        ours = dict(self._inbox.net)
        for symbol, held_at_start in self.opening["positions"].items():
            ours[symbol] = ours.get(symbol, ZERO) + Decimal(held_at_start["quantity"])
        figures = {s: (ours.get(s, ZERO), theirs.get(s, ZERO)) for s in sorted(set(ours) | set(theirs))}
        return {symbol: pair for symbol, pair in figures.items() if pair[0] != pair[1]}

    async def positions(self, session: IBSession) -> list[BrokerPosition]:
        """Ask for the positions that count: of this account, and of the kinds of contract that are traded.

        An option on a symbol is not the symbol: a position of another kind is reported, and never added up.
        """
        counted = []
        for position in await session.positions():
            if self._account not in (None, position.account):
                continue
            if position.security_type == self._security_types.get(position.symbol, "STK"):
                counted.append(position)
            else:
                self._log.warning("position of another kind left out", position=str(position))
        return counted
