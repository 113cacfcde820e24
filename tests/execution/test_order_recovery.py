"""Restarts on a journal that ends after any of its events: nothing is lost, nothing is sent twice.

A session of everything (orders, a bracket, changes, cancels, a flatten) is run on the simulated gateway while
it is recorded what the blotter made of each event. Then the journal is cut after each event in turn.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from execution.desk.unfilled_policy import UnfilledAction, UnfilledPolicy
from execution.journal import SqliteJournal
from execution.models import OrderStatus, OrderType
from execution.orders.blotter import Blotter, Entry
from execution.orders.recovery import recover

from .desk.test_modification import limit
from .test_bracket import bracket
from .test_executor import Ledger

if TYPE_CHECKING:
    from .conftest import Floor, MakeFloor

_FOLLOWING = ("order_status", "fill", "commission", "order_cancelled", "reconciled")
"""Events that recovery makes nothing of: a cut after one is the same as the cut before it."""


async def everything(f: Floor) -> None:
    await f.step()
    await f.executor.submit_order(limit("90", name="a-1"))
    await f.executor.modify_order("a-1", quantity=Decimal(12), limit_price=Decimal(91))
    await f.executor.submit_bracket(*bracket(200, 80))
    await f.step(2)
    await f.executor.modify_order("o-1-tp", limit_price=Decimal(190))
    await f.executor.submit_order(limit("80", name="a-2"))
    await f.executor.cancel_order("a-2")
    f.executor.enforce_unfilled()
    await f.step()
    await f.executor.flatten()
    await f.step(2)


def facts(entry: Entry) -> tuple[Any, ...]:
    return (
        entry.status,
        entry.request,
        entry.filled,
        entry.perm_id,
        entry.parent,
        entry.modification,
        entry.outcomes,
    )


async def test_folding_the_journal_gives_what_stood(floor: MakeFloor) -> None:
    async with floor(unfilled=UnfilledPolicy(60, UnfilledAction.MARKET)) as f:
        await everything(f)
        folded = Blotter(client_id=1)
        recover(f.journal.events(), folded)
        live = f.executor.blotter.entries
        assert {name: facts(entry) for name, entry in folded.entries.items()} == {
            name: facts(entry) for name, entry in live.items()
        }
        ends = {name: entry.status for name, entry in live.items()}
        assert ends["a-1"] is OrderStatus.FILLED
        assert live["a-1"].request.order_type is OrderType.MARKET
        assert ends["a-2"] is OrderStatus.CANCELLED
        assert all(status.is_final for status in ends.values())


async def test_a_restart_on_a_journal_cut_after_any_event_loses_and_doubles_nothing(floor: MakeFloor) -> None:
    async with floor(unfilled=UnfilledPolicy(60, UnfilledAction.MARKET), validator=Ledger(1000)) as f:
        await everything(f)
        events = [(event.kind, event.body) for event in f.journal.events()]
        placed = len(f.book.tickets)
        await f.shut()
        begun = [kind for kind, _ in events].index("order_submitted") + 1
        for cut in range(begun, len(events) + 1):
            if events[cut - 1][0] in _FOLLOWING and cut < len(events):
                continue
            f.path = f.path.with_name(f"cut-{cut}.db")
            journal = SqliteJournal(f.path, lambda: 0)
            for kind, body in events[:cut]:
                journal.append(kind, body)
            journal.commit()
            journal.close()
            validator = Ledger(1000)
            executor = f.another(validator=validator)
            open_before = {e.client_order_id for e in executor.blotter.open_entries()}
            assert set(validator.held) == open_before
            await executor.manager.connect()
            result = await executor.reconcile()
            # What the journal knows of is found with its fate, or in doubt; nothing is guessed.
            for name, entry in executor.blotter.entries.items():
                assert entry.status.is_final or name in result.in_doubt, (cut, name, entry.status)
                assert entry.modification is None or name in result.in_doubt, (cut, name)
            assert len(f.book.tickets) == placed, cut
            if cut == len(events):
                assert result.agrees
            await f.shut()
        f.another()  # for the floor to shut
