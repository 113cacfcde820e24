"""The journal's positions against the broker's: the opening book, differences, and what explains them.

The first comparison of a journal adopts the broker's positions and cash as the opening book. A difference
that a known corporate action leads to exactly is adjusted, on record; everything else stays a break. A
dividend is paid on what was held when it took hold, by the journal, whenever it is heard of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import structlog

from execution.audit import AuditLogger
from execution.book.adjustments import (
    Adjustment,
    AdjustmentKind,
    CorporateAction,
    CorporateActionSource,
    adjustment_of,
    describe,
)
from execution.errors import BrokerUnavailableError
from execution.ibkr.session import BrokerPosition, IBSession
from execution.journal import JournalEvent
from execution.models import ZERO, Side
from execution.numbers import format_decimal, round_money
from execution.orders.inbox import Inbox
from execution.reconciliation.claims import Claim

_LOOKS = 5
"""How often positions and cash are asked for until nothing was executed meanwhile."""
Pair = tuple[Decimal, Decimal]
"""A position by the journal, and by the broker."""


class Positions:
    """Compares positions and books what explains a difference.

    Parameters
    ----------
    inbox, audit
        Where adjustments are applied and recorded.
    claim
        Which positions are ours.
    actions
        Who knows of corporate actions; None explains nothing.

    Attributes
    ----------
    opening
        The book adopted when the journal began: positions with cost, and cash.
    costs, prices
        The broker's average cost of one contract by symbol when it was last asked, and the same in price
        terms, as orders and executions have it: without the multiplier.
    """

    def __init__(
        self,
        inbox: Inbox,
        audit: AuditLogger,
        claim: Claim,
        actions: CorporateActionSource | None = None,
    ) -> None:
        self.opening: dict[str, Any] | None = None
        self.costs: dict[str, Decimal] = {}
        self.prices: dict[str, Decimal] = {}
        self._inbox = inbox
        self._audit = audit
        self._claim = claim
        self._actions = actions
        self._not_due: set[str] = set()
        self._log = structlog.get_logger("positions")

    async def asked(self, session: IBSession) -> list[BrokerPosition]:
        """Ask for the positions that count: of this account, of our symbols, of the traded kinds of contract.

        An option on a symbol is not the symbol: a position of another kind is reported, and never added up.
        """
        claim, counted = self._claim, []
        for position in await session.positions():
            if claim.account not in (None, position.account) or not claim.covers(position.symbol):
                continue
            if position.security_type == claim.security_types.get(position.symbol, "STK"):
                counted.append(position)
            else:
                self._log.warning("position of another kind left out", position=str(position))
        return counted

    async def differing(self, session: IBSession) -> dict[str, Pair]:
        """Ask for the positions, book what corporate actions explain, and return what differs then.

        Raises
        ------
        BrokerUnavailableError
            If an answer did not come.
        """
        counted = await (self._adopt(session) if self.opening is None else self.asked(session))
        theirs: dict[str, Decimal] = {}
        for p in counted:
            theirs[p.symbol] = theirs.get(p.symbol, ZERO) + p.quantity
        self.costs = average_costs(counted)
        self.prices = {p.symbol: round_money(self.costs.get(p.symbol, ZERO) / p.multiplier) for p in counted}
        self._explain(theirs)
        ours = self.ours()
        figures = {s: (ours.get(s, ZERO), theirs.get(s, ZERO)) for s in sorted(set(ours) | set(theirs))}
        return {
            symbol: pair
            for symbol, pair in figures.items()
            if pair[0] != pair[1] and self._claim.covers(symbol)
        }

    def ours(self) -> dict[str, Decimal]:
        """Return the signed positions that the journal amounts to."""
        ours = dict(self._inbox.net)
        for symbol, held in (self.opening or {"positions": {}})["positions"].items():
            ours[symbol] = ours.get(symbol, ZERO) + Decimal(held["quantity"])
        return ours

    def book(self, adjustment: Adjustment) -> bool:
        """Record an adjustment durably, apply and tell it; return False if it was booked before."""
        changes = self._inbox.blotter.adjusted(adjustment)
        self._inbox.deliver(changes)
        if changes:
            self._log.warning("book adjusted", what=describe(adjustment), by=adjustment.by or "known action")
        return bool(changes)

    async def _adopt(self, session: IBSession) -> list[BrokerPosition]:
        """Take positions and cash over as the opening book, of a stretch in which nothing was executed."""
        claim = self._claim
        for _ in range(_LOOKS):
            self._inbox.close()
            before = self._executed()
            counted = await self.asked(session)
            summary = await session.account_summary(claim.account)
            if "TotalCashValue" not in summary:
                raise BrokerUnavailableError(
                    f"account summary: the broker gave no cash for {claim.account or 'the account'}; "
                    "check the account's name"
                )
            self._inbox.close()
            if self._executed() == before:
                break
        theirs: dict[str, Decimal] = {}
        for one in counted:
            theirs[one.symbol] = theirs.get(one.symbol, ZERO) + one.quantity
        costs, net = average_costs(counted), self._inbox.net
        held = {s: theirs[s] - net.get(s, ZERO) for s in theirs if theirs[s] != net.get(s, ZERO)}
        self.opening = {
            "positions": {
                symbol: {
                    "quantity": format_decimal(quantity),
                    "average_cost": format_decimal(costs.get(symbol, ZERO)),
                }
                for symbol, quantity in sorted(held.items())
            },
            "cash": format_decimal(summary["TotalCashValue"]),
            "trading_time": self._audit.now_ns(),
        }
        self._inbox.cash.agree(summary["TotalCashValue"])
        self._inbox.blotter.book_open = True  # also if it is durable only with a later commit
        self._audit.log("opening", **self.opening)
        return counted

    def _executed(self) -> list[Decimal | int]:
        """Return what was executed so far, by ourselves and by others, as figures that change with each."""
        others = [len(order.executions) for order in self._inbox.blotter.externals]
        return [*self._inbox.net.values(), *others]

    def _explain(self, theirs: dict[str, Decimal]) -> None:
        if self._actions is None or self.opening is None:
            return
        since, until = self.opening["trading_time"], self._audit.now_ns()
        for symbol in sorted(self.ours()):
            if not self._claim.covers(symbol):
                continue
            for action in self._unbooked(self._actions.actions(symbol, since, until)):
                adjustment = adjustment_of(action, self.held_for(action), theirs.get(symbol, ZERO))
                if adjustment is not None:
                    self.book(adjustment)
                elif action.kind is AdjustmentKind.DIVIDEND:
                    self._not_due.add(action.identity)

    def held_for(self, action: CorporateAction) -> Decimal:
        """Return the signed position that an action concerns: of a dividend that when it took hold."""
        if action.kind is AdjustmentKind.DIVIDEND:
            return held_before(self._audit.journal.events(), action.symbol, action.time)
        return self.ours().get(action.symbol, ZERO)

    def _unbooked(self, actions: Sequence[CorporateAction]) -> list[CorporateAction]:
        booked = self._inbox.blotter.actions
        fresh = [action for action in actions if action.identity not in booked | self._not_due]
        # What moves the position has to be explained before a dividend is paid on it.
        return sorted(fresh, key=lambda a: (a.time, a.kind is AdjustmentKind.DIVIDEND))


def average_costs(positions: Iterable[BrokerPosition]) -> dict[str, Decimal]:
    """Return what one contract of each symbol cost, over all accounts; flat ones are left out."""
    held: dict[str, tuple[Decimal, Decimal]] = {}
    for one in positions:
        quantity, paid = held.get(one.symbol, (ZERO, ZERO))
        held[one.symbol] = (quantity + one.quantity, paid + one.quantity * one.average_cost)
    return {symbol: round_money(paid / quantity) for symbol, (quantity, paid) in held.items() if quantity}


def held_before(events: Iterable[JournalEvent], symbol: str, time_ns: int) -> Decimal:
    """Return the signed position in a symbol by a journal, before the trades at a moment and after it.

    Parameters
    ----------
    events
        The journal.
    symbol
        The symbol.
    time_ns
        The moment, UTC nanoseconds; corporate actions that took hold at it have been made.
    """
    held = ZERO
    for event in events:
        body = event.body
        if event.kind == "checkpoint" and body["opening"] is not None:
            body = body["opening"]
        match event.kind:
            case "opening" | "checkpoint" if "positions" in body:
                held = Decimal(body["positions"].get(symbol, {"quantity": "0"})["quantity"])
            case "fill" | "external_fill" | "fill_corrected" if body["symbol"] == symbol:
                if body["time"] < time_ns:
                    old = Decimal(body["old"]["quantity"]) if "old" in body else ZERO
                    held += Side(body["side"]).sign * (Decimal(body["quantity"]) - old)
            case "adjustment" if body["time"] <= time_ns:
                held += Adjustment.from_body(body).changes.get(symbol, ZERO)
            case _:
                pass
    return held
