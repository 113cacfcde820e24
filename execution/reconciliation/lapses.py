"""Orders in no list of the broker that cannot live any more, and whether anything of them was executed.

An order in doubt is dead, whatever became of it before, in two cases:

* Its time is over: its day, the moment that it was good till, or the trading of its contract. See
  `execution.reconciliation.lifetimes`.
* It was written in an earlier session and acknowledged by nobody, and TWS answers a cancel of its number that
  it has no such order at work.

What is left to know is whether it filled before. That nothing of it was executed follows where the broker's
position of the symbol is the journal's, and one of two things holds. The list of executions reaches back
beyond the order: both are of the same day in New York. Or nothing could hide a fill: no order of the other
side is in doubt in the symbol, no order of somebody else ended there unseen, and the broker's cash is to the
cent what is due by the record. Then the order ends as cancelled, on record with this evidence
(`order_lapsed`), and the broker's word undoes it.

Everything else stays in doubt, with what was found. An equal position alone proves nothing: a fill may hide
behind an opposite trade made by hand. A position that differs by what the order could have filled is no
proof either; that of an option or of a contract past its last day may have been exercised, assigned or
settled, which is no end of an order and no execution of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from execution.audit import AuditLogger
from execution.errors import BrokerUnavailableError
from execution.ibkr.contract_book import ContractBook
from execution.ibkr.session import IBSession
from execution.models import ZERO, OrderStatus
from execution.numbers import format_decimal
from execution.orders.entry import Entry
from execution.orders.evidence import ErrorSeen
from execution.orders.inbox import Inbox
from execution.reconciliation.claims import Claim
from execution.reconciliation.lifetimes import FOR_THE_DAY, Lifetimes, TradingDays, broker_day
from execution.reconciliation.policies import ExpiredDay
from execution.reconciliation.positions import Pair, Positions

ASKED: Final = ("open orders", "completed orders", "executions since midnight", "positions")
"""The lists that a reconciliation asks the broker for."""

_NO_SUCH_ORDER: Final = (135, 161, 10147)
_WRONG_STATE: Final = 10148
_CENT: Final = Decimal("0.01")
_EXERCISED: Final = ("OPT", "FOP", "WAR")
"""Kinds of contract whose position an exercise or assignment may close on any day."""


@dataclass(frozen=True, slots=True)
class Lapse:
    """Why an order cannot live any more, and what is known of its executions.

    Attributes
    ----------
    cause
        Why it cannot live; empty where that is not known.
    symbol
        What it trades.
    ours, theirs
        The position by the journal and by the broker.
    proof
        Why nothing of it was executed; empty where that does not follow.
    obstacle
        Why it does not follow; without a cause, why it is not known whether the order can live.
    fits
        The size by which the positions differ, where the order could have filled just that.
    cash
        The broker's cash and what was due, where that was asked for.
    """

    cause: str
    symbol: str
    ours: Decimal
    theirs: Decimal
    proof: str = ""
    obstacle: str = ""
    fits: Decimal | None = None
    cash: Pair | None = None

    def lines(self) -> tuple[str, ...]:
        """Say what was found, for a person."""
        ours, theirs = format_decimal(self.ours), format_decimal(self.theirs)
        if not self.cause:
            return (f"whether it can still live is not known: {self.obstacle}",)
        found = [
            f"it cannot live any more: {self.cause}",
            f"position {self.symbol}: journal {ours}, broker {theirs}",
        ]
        if self.cash is not None:
            held, due = (format_decimal(amount) for amount in self.cash)
            found.append(f"cash: the broker has {held}, due by the record is {due}")
        return (*found, f"whether it filled before is not known: {self.obstacle}")

    def to_body(self) -> dict[str, Any]:
        """Return it as plain values for the journal."""
        return {
            "cause": self.cause,
            "proof": self.proof,
            "symbol": self.symbol,
            "positions": [format_decimal(self.ours), format_decimal(self.theirs)],
            "cash": None if self.cash is None else [format_decimal(amount) for amount in self.cash],
            "asked": list(ASKED),
        }


class Lapses:
    """Finds the orders that cannot live any more, and ends those of which nothing was executed.

    Parameters
    ----------
    inbox, audit
        Where it is recorded and applied.
    positions, claim
        The positions compared, and what of the account is ours.
    days
        Sessions of the exchange; None knows of no day that is over.
    policy
        Whether an order whose fill nothing could hide is settled.
    contracts
        Our instruments, and what the broker stated of their contracts; by default none but US stocks.

    Attributes
    ----------
    lifetimes
        Tells which orders cannot live any more by their terms and contracts.
    """

    def __init__(
        self,
        inbox: Inbox,
        audit: AuditLogger,
        positions: Positions,
        claim: Claim,
        days: TradingDays | None,
        policy: ExpiredDay,
        contracts: ContractBook | None = None,
    ) -> None:
        self.lifetimes = Lifetimes(days, contracts or ContractBook(), audit.now_ns, audit.journal.events)
        self._inbox = inbox
        self._audit = audit
        self._positions = positions
        self._claim = claim
        self._policy = policy
        self._absent: dict[tuple[str, int], str] = {}
        """What TWS answered to the cancel of an attempt that nobody had acknowledged, by id and number."""
        self._one_account = False

    def hear(self, seen: ErrorSeen, entry: Entry) -> None:
        """Take what TWS says of an order's number: that it has no such order at work, after a cancel."""
        gone = seen.code == _WRONG_STATE and "cancelled" in seen.text.lower().rpartition("state:")[2]
        earlier = entry.order_id <= self._inbox.blotter.ids_before_session
        if earlier and not entry.acknowledged and (gone or seen.code in _NO_SUCH_ORDER):
            self._absent[entry.client_order_id, entry.attempt] = f"{seen.code}: {seen.text}"

    async def find(
        self, session: IBSession, missing: Sequence[Entry], breaks: Mapping[str, Pair]
    ) -> dict[str, Lapse]:
        """Return the orders that cannot live any more, or of which that is not known, by client order id.

        Parameters
        ----------
        session
            Asked for the account's cash where that decides.
        missing
            The orders that the broker's lists do not settle.
        breaks
            Positions that differ.
        """
        self._one_account = self._claim.account is not None or len(session.accounts) == 1
        found: dict[str, Lapse] = {}
        await self.lifetimes.learn(missing, self._inbox.blotter.entries.session)
        for entry in missing:
            cause, unknown = self._cause(entry)
            if cause:
                found[entry.client_order_id] = self._weigh(entry, cause, missing, breaks)
            elif unknown:
                found[entry.client_order_id] = self._undecided(entry, unknown, breaks)
        undecided = [name for name, lapse in found.items() if not (lapse.proof or lapse.obstacle)]
        if undecided:
            cash, obstacle = await self._cash(session)
            for name in undecided:
                proof = "" if obstacle else "the broker's position and cash are what the record amounts to"
                found[name] = replace(found[name], cash=cash, obstacle=obstacle, proof=proof)
        return found

    def holds(self, entry: Entry, lapse: Lapse) -> bool:
        """Return whether nothing was executed of an order, by what was found and has been told since."""
        ours = self._positions.ours().get(lapse.symbol, ZERO)
        return bool(lapse.proof) and ours == lapse.ours and self._cause(entry) == (lapse.cause, "")

    def end(self, entry: Entry, lapse: Lapse) -> None:
        """Record that an order ended without further executions, and apply it."""
        name = entry.client_order_id
        note = f"ended unseen: {lapse.cause}; {lapse.proof}"
        self._audit.note("order_lapsed", client_order_id=name, note=note, **lapse.to_body())
        self._inbox.deliver(self._inbox.blotter.resolved(name, OrderStatus.CANCELLED, note))

    # -- dead ------------------------------------------------------------------------------------------

    def _cause(self, entry: Entry) -> tuple[str, str]:
        """Return why an order cannot live, or why that is not known; both are empty if it may."""
        name, blotter = entry.client_order_id, self._inbox.blotter
        if entry.awaits_executions or entry.status.is_final or name in self._inbox.open_references:
            return "", ""
        answer = self._absent.get((name, entry.attempt))
        if answer is not None and not entry.acknowledged:
            return f"TWS has no such order at work ({answer})", ""
        if entry.order_id > blotter.ids_before_session:  # what was written just now may be on its way
            return "", ""
        if entry.request.time_in_force in FOR_THE_DAY and self._waits_for_another(entry):
            return "", ""
        life = self.lifetimes.of(entry)
        return life.over, life.unknown

    def _waits_for_another(self, entry: Entry) -> bool:
        """Return whether it is the exit of an entry at work: its day may begin when that fills."""
        head = self._inbox.blotter.entries.get(entry.parent)
        return head is not None and head.client_order_id in self._inbox.open_references

    # -- filled before? --------------------------------------------------------------------------------

    def _weigh(self, entry: Entry, cause: str, missing: Iterable[Entry], breaks: Mapping[str, Pair]) -> Lapse:
        """Compare positions; neither proof nor obstacle leaves it to the cash."""
        symbol = entry.request.symbol
        ours, theirs = self._pair(symbol, breaks)
        lapse = Lapse(cause, symbol, ours, theirs)
        if not (self._claim.covers(symbol) and self._one_account):
            return replace(lapse, obstacle="positions of this symbol and account are not compared")
        moved = (theirs - ours) * entry.request.side.sign
        if moved:
            could = 0 < moved <= entry.larger.quantity - entry.filled
            what = "the positions differ" + (", by what it could have filled" if could else "")
            closed = self._closed_otherwise(symbol, ours, theirs)
            return replace(lapse, obstacle=what + closed, fits=moved if could and not closed else None)
        if broker_day(entry.submitted_ns) == broker_day(self._audit.now_ns()):
            return replace(
                lapse,
                proof="the day's executions name none of it, and the broker's position is the journal's",
            )
        return replace(lapse, obstacle=self._hides(entry, missing))

    def _undecided(self, entry: Entry, unknown: str, breaks: Mapping[str, Pair]) -> Lapse:
        symbol = entry.request.symbol
        return Lapse("", symbol, *self._pair(symbol, breaks), obstacle=unknown)

    def _pair(self, symbol: str, breaks: Mapping[str, Pair]) -> Pair:
        held = self._positions.ours().get(symbol, ZERO)
        return breaks.get(symbol, (held, held))

    def _closed_otherwise(self, symbol: str, ours: Decimal, theirs: Decimal) -> str:
        """Say what may have closed a position that no order closed."""
        if abs(theirs) >= abs(ours):
            return ""
        if self.lifetimes.last_traded(symbol):
            return "; its contract has ended, so it may have expired, been exercised, assigned or settled"
        exercised = self._claim.security_types.get(symbol) in _EXERCISED
        return "; it may have been exercised or assigned" if exercised else ""

    def _hides(self, entry: Entry, missing: Iterable[Entry]) -> str:
        """Return what could hide a fill of an order behind an equal position; empty if only cash tells."""
        symbol, side = entry.request.symbol, entry.request.side
        in_doubt = {one.client_order_id: one for one in missing}
        in_doubt |= {e.client_order_id: e for e in self._inbox.blotter.open_entries() if e.awaits_executions}
        others = [one.request for one in in_doubt.values() if one.request.symbol == symbol]
        against = [one.client_order_id for one in others if one.side is not side]
        if against:
            return f"the positions are equal, but {against[0]}, of the other side, is in doubt too"
        unseen = [
            one
            for one in self._inbox.blotter.externals
            if one.symbol == symbol and one.may_have_traded_unseen
        ]
        if unseen:
            return f"the positions are equal, but {unseen[0].key}, of somebody else, ended there unseen"
        if self._policy is ExpiredDay.DOUBT:
            return "the positions are equal, and execution.expired_day leaves it to a person"
        traded = sorted(set(self._positions.ours()) & set(self._claim.security_types))
        if traded:
            return f"the positions are equal, but cash moves by {', '.join(traded[:3])}, no stock, too"
        return ""

    async def _cash(self, session: IBSession) -> tuple[Pair | None, str]:
        """Ask for the account's cash; return it with what was due, and why that leaves it open."""
        try:
            summary = await session.account_summary(self._claim.account)
        except BrokerUnavailableError as error:
            return None, f"the positions are equal, but the broker gave no cash ({error})"
        self._inbox.close()
        held, due = summary.get("TotalCashValue"), self._inbox.cash.due
        if held is None or due is None:
            return None, "the positions are equal, but the account's cash is not on record"
        if abs(held - due) > _CENT:
            return (held, due), "the positions are equal, but the broker's cash is not what is due"
        return (held, due), ""
