"""Orders in no list of the broker that cannot live any more, and whether anything of them was executed.

An order in doubt is dead, whatever became of it before, in two cases:

* It was for the day, and its day is over: midnight has passed after the close of its session.
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
proof either.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from execution.audit import AuditLogger
from execution.clocks import NANOS, timestamp
from execution.errors import BrokerUnavailableError
from execution.ibkr.session import IBSession
from execution.models import ZERO, OrderStatus, TimeInForce
from execution.numbers import format_decimal
from execution.orders.entry import Entry
from execution.orders.evidence import ErrorSeen
from execution.orders.inbox import Inbox
from execution.reconciliation.claims import Claim
from execution.reconciliation.policies import ExpiredDay
from execution.reconciliation.positions import Pair, Positions

ASKED: Final = ("open orders", "completed orders", "executions since midnight", "positions")
"""The lists that a reconciliation asks the broker for."""

_FOR_THE_DAY: Final = (TimeInForce.DAY, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.OPG)
_BROKERS_DAY: Final = ZoneInfo("America/New_York")
_NO_SUCH_ORDER: Final = (135, 161, 10147)
_WRONG_STATE: Final = 10148
_CENT: Final = Decimal("0.01")


class SessionDay(Protocol):
    """A trading session."""

    @property
    def date(self) -> dt.date:
        """Its date at the exchange."""

    @property
    def close_ns(self) -> int:
        """Close, UTC nanoseconds."""


class TradingDays(Protocol):
    """Knows the sessions of the exchange; an exchange's calendar is one."""

    def session_closing_after(self, ns: int) -> SessionDay | None:
        """Return the first session that closes after a moment; None where it is not known."""

    def midnight_ns(self, date: dt.date) -> int:
        """Return the moment at which a date begins at the exchange."""


@dataclass(frozen=True, slots=True)
class Lapse:
    """Why an order cannot live any more, and what is known of its executions.

    Attributes
    ----------
    cause
        Why it cannot live.
    symbol
        What it trades.
    ours, theirs
        The position by the journal and by the broker.
    proof
        Why nothing of it was executed; empty where that does not follow.
    obstacle
        Why it does not follow.
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
    """

    def __init__(
        self,
        inbox: Inbox,
        audit: AuditLogger,
        positions: Positions,
        claim: Claim,
        days: TradingDays | None,
        policy: ExpiredDay,
    ) -> None:
        self._inbox = inbox
        self._audit = audit
        self._positions = positions
        self._claim = claim
        self._days = days
        self._policy = policy
        self._absent: dict[str, str] = {}
        self._one_account = False

    def hear(self, seen: ErrorSeen, entry: Entry) -> None:
        """Take what TWS says of an order's number: that it has no such order at work, after a cancel."""
        gone = seen.code == _WRONG_STATE and "cancelled" in seen.text.lower().rpartition("state:")[2]
        earlier = entry.order_id <= self._inbox.blotter.ids_before_session
        if earlier and not entry.acknowledged and (gone or seen.code in _NO_SUCH_ORDER):
            self._absent[entry.client_order_id] = f"{seen.code}: {seen.text}"

    async def find(
        self, session: IBSession, missing: Sequence[Entry], breaks: Mapping[str, Pair]
    ) -> dict[str, Lapse]:
        """Return the orders that cannot live any more, by client order id.

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
        for entry in missing:
            cause = self._cause(entry)
            if cause:
                found[entry.client_order_id] = self._weigh(entry, cause, missing, breaks)
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
        return bool(lapse.proof) and ours == lapse.ours and not entry.awaits_executions

    def end(self, entry: Entry, lapse: Lapse) -> None:
        """Record that an order ended without further executions, and apply it."""
        name = entry.client_order_id
        note = f"ended unseen: {lapse.cause}; {lapse.proof}"
        self._audit.note("order_lapsed", client_order_id=name, note=note, **lapse.to_body())
        self._inbox.deliver(self._inbox.blotter.resolved(name, OrderStatus.CANCELLED, note))

    # -- dead ------------------------------------------------------------------------------------------

    def _cause(self, entry: Entry) -> str:
        """Return why an order cannot live; empty if it may."""
        name, blotter = entry.client_order_id, self._inbox.blotter
        if entry.awaits_executions or entry.status.is_final or name in self._inbox.open_references:
            return ""
        if name in self._absent and not entry.acknowledged:
            return f"TWS has no such order at work ({self._absent[name]})"
        if entry.order_id > blotter.ids_before_session:  # what was written just now may be on its way
            return ""
        return self._day_over(entry)

    def _day_over(self, entry: Entry) -> str:
        request, now_ns = entry.request, self._audit.now_ns()
        if request.time_in_force not in _FOR_THE_DAY or not self._is_stock(request.symbol):
            return ""
        session = None if self._days is None else self._days.session_closing_after(entry.submitted_ns)
        if self._days is None or session is None or self._waits_for_another(entry):
            return ""
        over_ns = self._days.midnight_ns(session.date + dt.timedelta(days=1))
        if now_ns < over_ns or _day_of(now_ns) <= session.date:
            return ""
        return (
            f"a {request.time_in_force} order of {timestamp(entry.submitted_ns)}, whose session closed at "
            f"{timestamp(session.close_ns)}"
        )

    def _waits_for_another(self, entry: Entry) -> bool:
        """Return whether it is the exit of an entry at work: its day may begin when that fills."""
        head = self._inbox.blotter.entries.get(entry.parent)
        return head is not None and head.client_order_id in self._inbox.open_references

    def _is_stock(self, symbol: str) -> bool:
        return symbol not in self._claim.security_types

    # -- filled before? --------------------------------------------------------------------------------

    def _weigh(self, entry: Entry, cause: str, missing: Iterable[Entry], breaks: Mapping[str, Pair]) -> Lapse:
        """Compare positions; neither proof nor obstacle leaves it to the cash."""
        symbol = entry.request.symbol
        held = self._positions.ours().get(symbol, ZERO)
        ours, theirs = breaks.get(symbol, (held, held))
        lapse = Lapse(cause, symbol, ours, theirs)
        if not (self._claim.covers(symbol) and self._one_account):
            return replace(lapse, obstacle="positions of this symbol and account are not compared")
        moved = (theirs - ours) * entry.request.side.sign
        if moved:
            could = 0 < moved <= entry.larger.quantity - entry.filled
            what = "the positions differ" + (", by what it could have filled" if could else "")
            return replace(lapse, obstacle=what, fits=moved if could else None)
        if _day_of(entry.submitted_ns) == _day_of(self._audit.now_ns()):
            return replace(
                lapse,
                proof="the day's executions name none of it, and the broker's position is the journal's",
            )
        return replace(lapse, obstacle=self._hides(entry, missing))

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
        if self._claim.security_types:
            return "the positions are equal, but cash moves by futures or options too"
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


def _day_of(ns: int) -> dt.date:
    return dt.datetime.fromtimestamp(ns // NANOS, _BROKERS_DAY).date()
