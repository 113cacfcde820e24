"""Reservations stay true to what was told: the exits of a bracket, groups of facts, and restarts."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.audit import AuditLogger
from execution.book.adjustments import Adjustment, AdjustmentKind
from execution.book.ledger import Ledger
from execution.book.portfolio import LedgerPortfolio
from execution.clocks import SteppedClock
from execution.errors import RiskCheckError
from execution.events import RiskDecision
from execution.journal import MemoryJournal
from execution.models import OrderRequest, OrderStatus, OrderType, Side
from execution.orders.blotter import Blotter, Entry
from execution.orders.evidence import (
    CommissionSeen,
    ErrorSeen,
    Evidence,
    ExecutionSeen,
    OpenOrderSeen,
    OrderStatusSeen,
)
from execution.orders.inbox import Inbox
from execution.orders.recovery import recover
from execution.orders.reserving import Reserving
from execution.reconciliation.claims import Claim
from risk.engine import RiskEngine
from risk.limits import RiskLimits

if TYPE_CHECKING:
    from ..conftest import MakeFloor

T = OrderType


class AlwaysOpen:
    """A market with one session."""

    open_ns, close_ns = 0, 2**62

    def session_closing_after(self, ns: int) -> AlwaysOpen:
        return self


def engine(held: int = 0, **limits: object) -> RiskEngine:
    book = LedgerPortfolio(Ledger(cash=Decimal(1_000_000)))
    if held:
        book.ledger.open("AAA", Decimal(held), Decimal(100))
    book.set_mark("AAA", 100.0)
    return RiskEngine(RiskLimits(**limits), book, AlwaysOpen(), SteppedClock(1))  # type: ignore[arg-type]


def order(name: str, quantity: int, side: Side = Side.SELL, **terms: object) -> OrderRequest:
    return OrderRequest(
        "AAA",
        Decimal(quantity),
        terms.pop("kind", T.MARKET),  # type: ignore[arg-type]
        side,
        client_order_id=name,
        **terms,  # type: ignore[arg-type]
    )


def legs(quantity: int = 10) -> tuple[OrderRequest, OrderRequest, OrderRequest]:
    return (
        order("o-1", quantity, Side.BUY),
        order("o-1-tp", quantity, kind=T.LIMIT, limit_price=Decimal(200)),
        order("o-1-sl", quantity, kind=T.STOP, stop_price=Decimal(80)),
    )


def selling(risk: RiskEngine) -> Decimal:
    return risk.reservations.open_sells("AAA")


class Bench:
    """A bracket in an inbox over a risk engine, without a wire."""

    def __init__(self, risk: RiskEngine) -> None:
        self.risk = risk
        self.blotter = Blotter()
        self.audit = AuditLogger(MemoryJournal(lambda: 7), SteppedClock(1))
        self.inbox = Inbox(self.blotter, self.audit, risk)
        self.seen = 0
        parent = ""
        for number, request in enumerate(legs(), start=5):
            entry = Entry(request, number, 1, parent=parent)
            entry.reserved_price = self.inbox.reservations.hold(entry, request, None)
            self.audit.log_intent(entry, RiskDecision(approved=True))
            self.blotter.submitted(entry)
            parent = "o-1"

    def take(self, *facts: Evidence) -> None:
        for fact in facts:
            self.inbox.take(fact)
        self.inbox.close()

    def execution(self, name: str, quantity: int, exec_id: str = "") -> ExecutionSeen:
        entry = self.blotter.entries[name]
        self.seen += 1
        return ExecutionSeen(
            exec_id or f"x{self.seen}.01",
            entry.order_id,
            1,
            100 + entry.order_id,
            name,
            "",
            "AAA",
            entry.request.side.value,
            Decimal(quantity),
            Decimal(100),
            self.seen,
        )


def held(bench: Bench) -> tuple[int, int]:
    """Return what may be sold and bought."""
    return int(selling(bench.risk)), int(bench.risk.reservations.open_buys("AAA"))


@pytest.fixture
def bench() -> Bench:
    return Bench(engine())


def test_exits_hold_what_the_entry_has_built_once_and_what_is_not_undone(bench: Bench) -> None:
    assert held(bench) == (0, 10)
    bench.take(bench.execution("o-1", 4))
    assert held(bench) == (4, 6)
    bench.take(bench.execution("o-1-tp", 3))
    assert selling(bench.risk) == 1
    bench.take(bench.execution("o-1", 6))
    assert selling(bench.risk) == 7
    bench.take(bench.execution("o-1-sl", 7))
    assert selling(bench.risk) == 0


def test_an_execution_in_the_same_group_as_changed_terms_shrinks_a_reservation_once(bench: Bench) -> None:
    shown = OpenOrderSeen(5, 1, 105, "o-1", "", "AAA", "BUY", Decimal(20), "MKT")
    bench.take(shown, bench.execution("o-1", 4))
    assert bench.risk.reservations.open_buys("AAA") == 16


def test_a_late_execution_of_an_exit_that_ended_leaves_the_other_less_to_undo(bench: Bench) -> None:
    bench.take(bench.execution("o-1", 10))
    bench.take(OrderStatusSeen(7, 1, 107, "Cancelled", Decimal(0), Decimal(10)))
    assert held(bench) == (10, 0)
    bench.take(bench.execution("o-1-sl", 4))
    assert held(bench) == (6, 0)


def test_a_busted_entry_builds_nothing_any_more(bench: Bench) -> None:
    bench.take(bench.execution("o-1", 4, "y.01"))
    bench.take(bench.execution("o-1", 0, "y.02"))
    assert held(bench) == (0, 10)


def test_exits_that_outlive_an_entry_that_ended_early_are_held_at_their_own_size(bench: Bench) -> None:
    bench.take(bench.execution("o-1", 4))
    bench.take(OrderStatusSeen(5, 1, 105, "Cancelled", Decimal(4), Decimal(6)))
    assert bench.blotter.entries["o-1"].status is OrderStatus.CANCELLED
    assert selling(bench.risk) == 10


def test_a_correction_of_somebody_elses_execution_changes_what_their_order_may_still_trade(
    bench: Bench,
) -> None:
    bench.blotter.claim, bench.blotter.book_open = Claim(), True
    fills = [
        ExecutionSeen(f"z.0{n}", 0, 0, 900, "", "", "AAA", "BUY", Decimal(size), Decimal(90), 1)
        for n, size in ((1, 3), (2, 1))
    ]
    bench.take(OpenOrderSeen(0, 0, 900, "", "", "AAA", "BUY", Decimal(8), "LMT", Decimal(90)), fills[0])
    assert held(bench) == (0, 15)
    bench.take(fills[1])
    assert held(bench) == (0, 17)


def test_an_exit_that_is_larger_than_its_entry_is_not_taken_for_an_undoing_of_it(bench: Bench) -> None:
    bench.take(OpenOrderSeen(6, 1, 106, "o-1-tp", "", "AAA", "SELL", Decimal(25), "LMT", Decimal(200)))
    assert selling(bench.risk) == 15


async def test_shares_held_before_can_be_sold_while_a_bracket_stands_also_after_a_restart(
    floor: MakeFloor,
) -> None:
    def rules() -> RiskEngine:
        return engine(50, long_only=True)

    risk = rules()
    async with floor(validator=risk) as f:
        await f.step()
        limit = order("o-1", 10, Side.BUY, kind=T.LIMIT, limit_price=Decimal(50))
        await f.executor.submit_bracket(limit, *legs()[1:])
        await f.executor.submit_order(order("o-2", 50, kind=T.LIMIT, limit_price=Decimal(300)))
        with pytest.raises(RiskCheckError):
            await f.executor.submit_order(order("o-3", 1, kind=T.LIMIT, limit_price=Decimal(300)))
        await f.shut()
        again = rules()
        f.another(validator=again)
        assert list(again.reservations) == list(risk.reservations)
        assert selling(again) == selling(risk) == 50


async def test_an_exit_may_be_moved_while_the_other_stands(floor: MakeFloor) -> None:
    risk = engine(long_only=True)
    async with floor(validator=risk) as f:
        await f.step()
        await f.executor.submit_bracket(*legs())
        changed = await f.executor.modify_order("o-1-tp", limit_price=Decimal(190))
        assert changed.limit_price == 190
        assert selling(risk) == 0
        assert len(risk.reservations) == 3


_FACTS: list[Evidence] = [
    *(
        OpenOrderSeen(n, 1, 100 + n, name, "", "AAA", side, Decimal(size), kind)
        for n, name, side, kind in (
            (5, "o-1", "BUY", "MKT"),
            (6, "o-1-tp", "SELL", "LMT"),
            (7, "o-1-sl", "SELL", "STP"),
        )
        for size in (10, 14)
    ),
    *(
        ExecutionSeen(
            f"{name}.{part}.0{correction}",
            n,
            1,
            100 + n,
            name,
            "",
            "AAA",
            side,
            Decimal(size),
            Decimal(100),
            1,
        )
        for n, name, side in ((5, "o-1", "BUY"), (6, "o-1-tp", "SELL"), (7, "o-1-sl", "SELL"))
        for part in (1, 2)
        for correction, size in ((1, 4), (2, 3), (3, 0))
    ),
    *(
        OrderStatusSeen(n, 1, 100 + n, status, Decimal(0), Decimal(0))
        for n in (5, 6, 7)
        for status in ("Submitted", "Cancelled", "Inactive")
    ),
    OpenOrderSeen(0, 0, 900, "", "", "AAA", "SELL", Decimal(8), "LMT", Decimal(90)),
    ExecutionSeen("theirs.01", 0, 0, 900, "", "", "AAA", "SELL", Decimal(3), Decimal(90), 1),
    ExecutionSeen("theirs.02", 0, 0, 900, "", "", "AAA", "SELL", Decimal(2), Decimal(90), 1),
    OrderStatusSeen(0, 0, 900, "Cancelled", Decimal(3), Decimal(5)),
    ErrorSeen(5, 201, "no"),
    ErrorSeen(6, 9999, "what"),
    CommissionSeen("o-1.1.01", Decimal(1), "USD"),
    CommissionSeen("o-1.1.02", Decimal(2), "USD"),
]
_ACTS = st.sampled_from(["doubt", "accept", "split", "settle", "nothing"])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.lists(st.sampled_from(_FACTS), max_size=6), _ACTS), max_size=7))
def test_a_restart_comes_to_what_was_live_in_orders_positions_and_reservations(
    groups: list[tuple[list[Evidence], str]],
) -> None:
    live = Bench(engine())
    audit, blotter = live.audit, live.blotter
    audit.log("claims", **Claim().to_body())
    audit.log("opening", positions={}, cash="0", trading_time=1)
    blotter.claim, blotter.book_open = Claim(), True
    for facts, act in groups:
        live.take(*facts)
        _do(act, live)
    rebuilt, risk = Blotter(), engine()
    recovered = recover(audit.journal.events(), rebuilt)
    reserving = Reserving(rebuilt, risk)
    for entry in rebuilt.open_entries():
        reserving.reserve(entry)
    for order in rebuilt.externals.open():
        reserving.reserve_external(order)
    assert [e.order() for e in rebuilt.entries.values()] == [e.order() for e in blotter.entries.values()]
    assert [e.fills() for e in rebuilt.entries.values()] == [e.fills() for e in blotter.entries.values()]
    assert list(rebuilt.externals) == list(blotter.externals)
    assert rebuilt.actions == blotter.actions
    assert _flat(recovered.net()) == _flat(live.inbox.net)
    assert dict(risk.reservations) == dict(live.risk.reservations)
    for side in Side:
        ours, theirs = (one.reservations.side("AAA", side) for one in (live.risk, risk))
        assert (ours.quantity, ours.value, ours.orders) == (theirs.quantity, theirs.value, theirs.orders)


def _flat(net: dict[str, Decimal]) -> dict[str, Decimal]:
    return {symbol: held for symbol, held in net.items() if held}


def _do(act: str, live: Bench) -> None:
    """What is journalled beside the broker's facts."""
    entry = live.blotter.entries["o-1"]
    if act == "doubt" and not entry.status.is_final:
        live.audit.log_doubt("o-1", "no answer")
        live.inbox.deliver(live.blotter.doubted("o-1", "no answer"))
    elif act == "settle" and entry.status is OrderStatus.UNKNOWN:
        note = "settled"
        live.audit.note("order_resolved", client_order_id="o-1", status="CANCELLED", note=note, entered=[])
        live.inbox.deliver(live.blotter.resolved("o-1", OrderStatus.CANCELLED, note))
    elif act in ("accept", "split"):
        kind = AdjustmentKind(act if act == "split" else "accepted")
        identity = "AAA/split/1" if act == "split" else ""
        adjustment = Adjustment(kind, "AAA", 1, Decimal(2), action=identity)
        live.inbox.deliver(live.blotter.adjusted(adjustment))


def test_what_a_correction_gives_back_of_an_order_at_work_is_reserved(bench: Bench) -> None:
    bench.take(bench.execution("o-1", 4, "y1.01"), bench.execution("o-1", 5, "y2.01"))
    shown = OpenOrderSeen(5, 1, 105, "o-1", "", "AAA", "BUY", Decimal(6), "MKT")
    bench.take(shown, OrderStatusSeen(5, 1, 105, "Submitted", Decimal(5), Decimal(1)))
    bench.take(bench.execution("o-1", 0, "y1.02"))
    assert bench.risk.reservations.open_buys("AAA") == 1
    bench.take(
        bench.execution("o-1", 1, "y3.01"), OrderStatusSeen(5, 1, 105, "Filled", Decimal(6), Decimal(0))
    )
    assert bench.risk.reservations.open_buys("AAA") == 0


def test_what_trades_after_a_bust_that_the_broker_counts_no_more_is_reserved_until_it_is_told(
    bench: Bench,
) -> None:
    bench.take(
        bench.execution("o-1", 6, "y.01"), OrderStatusSeen(5, 1, 105, "Submitted", Decimal(6), Decimal(4))
    )
    bench.take(bench.execution("o-1", 0, "y.02"))
    shown = OpenOrderSeen(5, 1, 105, "o-1", "", "AAA", "BUY", Decimal(4), "MKT")
    bench.take(shown, OrderStatusSeen(5, 1, 105, "Submitted", Decimal(1), Decimal(3)))
    bench.take(OrderStatusSeen(5, 1, 105, "Filled", Decimal(4), Decimal(0)))
    assert bench.risk.reservations.open_buys("AAA") == 4
    bench.take(bench.execution("o-1", 2, "z1.01"), bench.execution("o-1", 2, "z2.01"))
    assert bench.risk.reservations.open_buys("AAA") == 0
    assert bench.blotter.entries["o-1"].status is OrderStatus.FILLED
