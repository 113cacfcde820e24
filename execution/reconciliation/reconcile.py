"""The barrier: after every connect nothing is submitted until broker and journal agree.

1. Ask for open orders, completed orders, executions and positions, each with its end mark. A request that
   fails fails the reconciliation: nothing is concluded from an answer that did not come.
2. What arrived is journalled and applied like any other fact.
3. Each order that is still open on our side must have been seen at the broker. If one was not, or a position
   differs, the broker is asked again over a quarantine. One that was never
   acknowledged and is found nowhere was never sent or was lost; it is released only where that is opted for,
   because only then the broker is known to have nothing in flight. Everything else is in doubt. An order
   that has ended, and of which the broker reports more filled than its executions show, is in doubt as well:
   it stays ended, because that is proven, and the way stays closed until the executions come or are entered.
4. What is booked must amount to the broker's positions; a difference that no known corporate action explains
   is a break. See `execution.reconciliation.positions`.
5. An order in doubt that cannot live any more, and of which nothing can have been executed, has ended. See
   `execution.reconciliation.lapses`.
6. Orders of somebody else are counted, left out or refused as the claim says. See
   `execution.reconciliation.claims`.

Orders may go on while it runs: only those that stood when the broker was asked are judged by its answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal

from execution.audit import AuditLogger
from execution.ibkr.contract_book import ContractBook
from execution.ibkr.session import IBSession
from execution.models import OrderStatus
from execution.numbers import format_decimal
from execution.orders.entry import Entry
from execution.orders.inbox import Inbox
from execution.reconciliation.claims import Claim, ClaimPolicy
from execution.reconciliation.lapses import Lapse, Lapses
from execution.reconciliation.lifetimes import TradingDays
from execution.reconciliation.policies import ExpiredDay
from execution.reconciliation.positions import Pair, Positions

_LATER_LOOKS = 3


@dataclass(slots=True)
class Reconciliation:
    """Outcome: client order ids in doubt with the reason, and positions that differ (ours, broker's).

    `lapsed` are the orders that ended unseen, by evidence; `lapses` what was found of those that cannot live
    any more. `ended` are the symbols among `breaks` whose contract is not traded any more, with its last day.
    `refused` are the open orders of somebody else, with what they are, where none may trade here;
    `twins` those that the broker holds beside an order of ours, under the same reference.
    """

    in_doubt: dict[str, str] = field(default_factory=dict)
    released: list[str] = field(default_factory=list)
    breaks: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    twins: dict[str, str] = field(default_factory=dict)
    lapsed: list[str] = field(default_factory=list)
    lapses: dict[str, Lapse] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether nothing is in doubt, no position differs, and nobody else trades where none may."""
        return not (self.in_doubt or self.breaks or self.refused or self.twins)

    def describe(self) -> str:
        """Say what does not agree, in one line."""
        parts = [f"order {name}: {why}" for name, why in self.in_doubt.items()]
        parts += [
            f"position {symbol}: journal {ours}, broker {theirs}"
            for symbol, (ours, theirs) in self.breaks.items()
        ]
        parts += [f"{what}, which the claim refuses" for what in self.refused.values()]
        parts += self.twins.values()
        return "; ".join(parts) or "broker and journal agree"


class Reconciler:
    """Compares the journal's orders and positions with the broker's.

    Parameters
    ----------
    inbox, audit
        Where facts are applied and recorded.
    release_absent
        Treat an order that was never acknowledged and is found nowhere as never sent.
    positions
        Compares positions.
    claim
        What of the account is ours.
    quarantine
        Seconds over which the broker is asked again before an order is called absent or a position broken:
        what was on its way may appear meanwhile.
    sleep
        Waits between the looks.
    days, expired_day
        Sessions of the exchange, and what becomes of orders for a day that is over; see
        `execution.reconciliation.lapses`.
    contracts
        Our instruments, and what the broker stated of their contracts.

    Attributes
    ----------
    lapses
        Finds the orders that cannot live any more.
    """

    def __init__(
        self,
        inbox: Inbox,
        audit: AuditLogger,
        positions: Positions,
        claim: Claim,
        *,
        release_absent: bool,
        quarantine: float = 0.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        days: TradingDays | None = None,
        expired_day: ExpiredDay = ExpiredDay.SETTLE,
        contracts: ContractBook | None = None,
    ) -> None:
        self.lapses = Lapses(inbox, audit, positions, claim, days, expired_day, contracts)
        self._inbox = inbox
        self._audit = audit
        self._release_absent = release_absent
        self._positions = positions
        self._claim = claim
        self._quarantine = quarantine
        self._sleep = sleep
        self.outcome: Reconciliation | None = None
        """The last outcome; None while there is none."""

    async def run(
        self, session: IBSession, *, undisturbed: Callable[[], bool] = lambda: True
    ) -> Reconciliation:
        """Reconcile over a session.

        Parameters
        ----------
        session
            Asked for what stands at the broker.
        undisturbed
            Says in the end whether TWS had the broker all the time. Else nothing is concluded from what its
            lists do not name: they may be out of date.

        Raises
        ------
        BrokerUnavailableError
            If an answer did not come; nothing is concluded.
        """
        pauses = [self._quarantine / _LATER_LOOKS] * _LATER_LOOKS if self._quarantine else []
        self._state_claim()
        known_before, repeated_before = self._inbox.known_again, self._inbox.repeated
        while True:
            stood, seen, breaks = await self._look(session)
            if not pauses or not self._is_new(breaks, self._missing(stood, seen)):
                break
            await self._sleep(pauses.pop())  # what was on its way may be there by then
        result = Reconciliation(breaks=breaks)
        last_days = {symbol: self.lapses.lifetimes.last_traded(symbol) for symbol in breaks}
        result.ended = {symbol: day for symbol, day in last_days.items() if day}
        result.lapses = await self.lapses.find(session, self._missing(stood, seen), breaks)
        self._judge_orders(stood, seen, result, undisturbed=undisturbed())
        externals = self._inbox.blotter.externals.open()
        for order in externals:
            entry = self._inbox.blotter.twinned(order)
            if entry is not None:
                result.twins[order.key] = (
                    f"{order.describe()}, a second order under the reference {order.order_ref}, whose own "
                    f"permanent id is {entry.perm_id}"
                )
            elif self._claim.policy is ClaimPolicy.REFUSE:
                result.refused[order.key] = order.describe()
        self._audit.log_reconciled(
            in_doubt=result.in_doubt,
            released=result.released,
            lapsed=result.lapsed,
            breaks={symbol: [str(ours), str(theirs)] for symbol, (ours, theirs) in result.breaks.items()},
            open_orders=sorted(seen),
            foreign=sorted(self._inbox.foreign_references),
            external_open=[order.key for order in externals],
            known_executions=self._inbox.known_again - known_before,
            known_orders=self._inbox.repeated - repeated_before,
        )
        self.outcome = result
        return result

    def _state_claim(self) -> None:
        """Record what of the account is ours, unless the journal says so already."""
        blotter = self._inbox.blotter
        if blotter.claim != self._claim:
            self._audit.log("claims", **self._claim.to_body())
            blotter.claim = self._claim

    async def _look(self, session: IBSession) -> tuple[set[str], set[str], dict[str, Pair]]:
        """Ask for everything; return which orders stood, which were seen, and which positions differ."""
        self._inbox.close()
        stood = {entry.client_order_id for entry in self._inbox.blotter.open_entries()}
        self._inbox.forget_open_orders()
        await session.open_orders()
        self._inbox.close()
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
        self._inbox.keep_listed_references()
        self._inbox.deliver(self._inbox.blotter.externals_listed(self._inbox.open_keys), commit=False)
        return stood, seen, await self._positions.differing(session)

    def _is_new(self, breaks: dict[str, Pair], missing: list[Entry]) -> bool:
        """Return whether something differs that the last outcome does not tell of.

        What stood out a quarantine before, and was called in doubt, is no nearer to its end after another.
        """
        before = self.outcome or Reconciliation()
        return any(before.breaks.get(symbol) != pair for symbol, pair in breaks.items()) or any(
            entry.client_order_id not in before.in_doubt for entry in missing
        )

    def _missing(self, stood: set[str], seen: set[str]) -> list[Entry]:
        return [
            entry
            for entry in self._inbox.blotter.open_entries()
            if entry.client_order_id in stood
            and (entry.client_order_id not in seen or entry.status is OrderStatus.UNKNOWN)
        ]

    def _judge_orders(
        self, stood: set[str], seen: set[str], result: Reconciliation, *, undisturbed: bool
    ) -> None:
        for entry in self._missing(stood, seen):
            name = entry.client_order_id
            if not entry.acknowledged and self._release_absent and undisturbed:
                self._release(entry, "in no list of the broker, and the broker has nothing in flight")
                result.released.append(name)
                continue
            lapse = result.lapses.get(name)
            if lapse is not None and undisturbed and self.lapses.holds(entry, lapse):
                self.lapses.end(entry, lapse)
                result.lapsed.append(name)
                continue
            why = self._doubt(entry)
            # One that has ended stays ended: only its executions are missing.
            if not entry.status.is_final and self._is_news(entry, why):
                self._audit.log_doubt(name, why)
                self._inbox.deliver(self._inbox.blotter.doubted(name, why))
            result.in_doubt[name] = why

    def _is_news(self, entry: Entry, why: str) -> bool:
        """Return whether a doubt is not on record yet, for what was found out just now."""
        told = {} if self.outcome is None else self.outcome.in_doubt
        return entry.status is not OrderStatus.UNKNOWN or told.get(entry.client_order_id) != why

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
