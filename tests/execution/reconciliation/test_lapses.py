"""Orders that cannot live any more: what follows from it, and what does not, on the simulated gateway."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from data.calendars import ExchangeClock
from execution.audit import AuditLogger
from execution.clocks import SteppedClock
from execution.connection import IBKRConnectionManager
from execution.errors import BrokerUnavailableError, OrderInDoubtError
from execution.executor import IBKROrderExecutor
from execution.ibkr.session import IBSession
from execution.journal import MemoryJournal
from execution.models import OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from execution.orders.blotter import Blotter
from execution.orders.entry import Entry
from execution.orders.inbox import Inbox
from execution.reconciliation.claims import Claim, ClaimPolicy
from execution.reconciliation.doubts import DoubtKind, Resolution
from execution.reconciliation.lapses import Lapses
from execution.reconciliation.policies import ExpiredDay
from execution.reconciliation.positions import Positions

if TYPE_CHECKING:
    from ..conftest import Floor, MakeFloor


def order(name: str = "o", side: Side = Side.BUY, limit: str = "50", **more: Any) -> OrderRequest:
    return OrderRequest(
        "AAA", Decimal(10), OrderType.LIMIT, side, Decimal(limit), client_order_id=name, **more
    )


def night(f: Floor, calendar: ExchangeClock) -> None:
    """Let the gateway play to the next session while nobody is connected."""
    moment = int(calendar.opens_ns[1]) + 60_000_000_000
    for _ in f.server.service.play_until(moment):
        pass
    f.clock.advance_to(moment)


async def over_night(f: Floor, calendar: ExchangeClock, *requests: OrderRequest, **options: Any) -> None:
    """Leave orders at work, end, and come back in the next session."""
    for request in requests:
        await f.executor.submit_order(request)
    await f.shut()
    night(f, calendar)
    f.another(**{"days": calendar, **options})


async def test_an_order_for_a_day_that_is_over_ends_by_evidence(
    floor: MakeFloor, calendar: ExchangeClock
) -> None:
    async with floor() as f:
        await over_night(f, calendar, order())
        await f.executor.ensure_ready()
        (ended,) = f.executor.orders()
        assert (ended.status, ended.filled_quantity) == (OrderStatus.CANCELLED, Decimal(0))
        assert "whose session closed at 2018-01-02 21:00:00+00:00" in (ended.reason or "")
        (event,) = [e for e in f.journal.events() if e.kind == "order_lapsed"]
        assert event.body["positions"] == ["0", "0"]
        assert event.body["cash"] == ["1000000", "1000000"]
        assert "completed orders" in event.body["asked"]
        assert f.executor.doubts() == []
        await f.shut()
        assert f.another().orders() == [ended]


async def test_its_room_is_free_again_and_its_id_is_not(floor: MakeFloor, calendar: ExchangeClock) -> None:
    async with floor() as f:
        await over_night(f, calendar, order())
        await f.executor.ensure_ready()
        assert f.executor.submit(order()).status is OrderStatus.CANCELLED  # the stored order; nothing is sent


async def doubted(f: Floor) -> dict[str, str]:
    """Reconcile in vain; return what is in doubt with the last line of its evidence."""
    with pytest.raises(OrderInDoubtError):
        await f.executor.ensure_ready()
    assert "order_lapsed" not in f.kinds()
    return {d.name: d.evidence[-1] if d.evidence else "" for d in f.executor.doubts()}


def another_client(f: Floor) -> IBKROrderExecutor:
    manager = IBKRConnectionManager("127.0.0.1", f.server.port, 9, timeout=5.0, throttled=False)
    return IBKROrderExecutor(manager)


async def trade_by_hand(f: Floor, request: OrderRequest) -> None:
    """Trade in the account under another client id, as a person would."""
    other = another_client(f)
    await other.submit_order(request)
    for _ in range(2):
        await other.manager.session.current_time()
    await other.manager.disconnect()


def market(side: Side, size: str = "10") -> OrderRequest:
    return OrderRequest("AAA", Decimal(size), OrderType.MARKET, side, client_order_id=f"hand-{side}")


async def test_a_position_that_the_order_could_explain_is_left_to_a_person_with_the_command(
    floor: MakeFloor, calendar: ExchangeClock
) -> None:
    async with floor() as f:
        await f.executor.submit_order(order(limit="50"))
        await f.shut()
        await trade_by_hand(f, market(Side.BUY))
        night(f, calendar)
        f.another(days=calendar)
        found = await doubted(f)
        assert found["o"].endswith("the positions differ, by what it could have filled")
        (doubt,) = [d for d in f.executor.doubts() if d.kind is DoubtKind.ORDER]
        assert "position AAA: journal 0, broker 10" in doubt.evidence
        assert "`trade orders resolve o --as filled --price PRICE --by NAME --reason TEXT`" in doubt.next_step
        settled = await f.executor.resolve(
            "o", Resolution.FILLED, by="A. Smith", reason="statement", price=Decimal(101)
        )
        assert settled.status is OrderStatus.FILLED
        assert f.executor.is_ready


async def test_a_fill_that_an_opposite_trade_by_hand_hides_is_not_taken_for_none(
    floor: MakeFloor, calendar: ExchangeClock
) -> None:
    async with floor() as f:
        await f.executor.submit_order(order(limit="102"))  # it will fill when nobody looks
        await f.shut()
        await trade_by_hand(f, market(Side.SELL))
        night(f, calendar)
        f.another(days=calendar)
        found = await doubted(f)
        assert found["o"].endswith("the positions are equal, but the broker's cash is not what is due")
        (doubt,) = f.executor.doubts()
        assert "`trade orders resolve o --as cancelled --by NAME --reason TEXT`" in doubt.next_step


async def test_two_orders_of_one_side_end_together(floor: MakeFloor, calendar: ExchangeClock) -> None:
    async with floor() as f:
        await over_night(f, calendar, order("a"), order("b", limit="49"))
        await f.executor.ensure_ready()
        assert [one.status for one in f.executor.orders()] == [OrderStatus.CANCELLED] * 2


async def test_an_order_of_the_other_side_may_hide_a_fill(floor: MakeFloor, calendar: ExchangeClock) -> None:
    async with floor() as f:
        await over_night(f, calendar, order("a"), order("b", Side.SELL, "500"))
        found = await doubted(f)
        assert "but b, of the other side, is in doubt too" in found["a"]
        assert "but a, of the other side, is in doubt too" in found["b"]


async def test_an_order_of_somebody_else_that_went_unseen_may_hide_a_fill(
    floor: MakeFloor, calendar: ExchangeClock
) -> None:
    async with floor() as f:
        await f.executor.submit_order(order())
        second = another_client(f)
        await second.submit_order(order("theirs", Side.SELL, "500"))
        await second.manager.disconnect()
        assert (await f.executor.reconcile()).agrees
        assert [one.order_ref for one in f.executor.blotter.externals.open()] == ["theirs"]
        await f.shut()
        night(f, calendar)
        f.another(days=calendar)
        found = await doubted(f)
        assert "of somebody else, ended there unseen" in found["o"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"expired_day": ExpiredDay.DOUBT}, "execution.expired_day leaves it to a person"),
        ({"claim": ClaimPolicy.IGNORE, "claim_symbols": ["BBB"]}, "are not compared"),
    ],
)
async def test_what_may_not_be_settled_says_why(
    floor: MakeFloor, calendar: ExchangeClock, options: dict[str, Any], why: str
) -> None:
    async with floor() as f:
        await over_night(f, calendar, order(), **options)
        assert why in (await doubted(f))["o"]


async def test_without_sessions_no_day_is_known_to_be_over(floor: MakeFloor, calendar: ExchangeClock) -> None:
    async with floor() as f:
        await over_night(f, calendar, order(), days=None)
        assert "cannot live" not in str(await doubted(f))


@pytest.mark.parametrize(
    ("life", "at", "over"),
    [
        (TimeInForce.DAY, "close", False),
        (TimeInForce.DAY, "midnight", True),
        (TimeInForce.IOC, "midnight", True),
        (TimeInForce.GTC, "midnight", False),
    ],
)
def test_a_day_is_over_at_the_midnight_after_its_close(
    calendar: ExchangeClock, life: TimeInForce, at: str, over: bool
) -> None:
    close, midnight = int(calendar.closes_ns[0]), calendar.midnight_ns(calendar.dates[1])
    clock = SteppedClock(close if at == "close" else midnight)
    audit, blotter = AuditLogger(MemoryJournal(clock.now_ns), clock), Blotter()
    inbox = Inbox(blotter, audit, None)
    claim = Claim(account="DU1")
    lapses = Lapses(inbox, audit, Positions(inbox, audit, claim), claim, calendar, ExpiredDay.SETTLE)
    entry = Entry(order(time_in_force=life), 1, close - 1)
    blotter.submitted(entry)
    assert lapses._cause(entry) == ""  # of this session: it may be on its way
    blotter.new_session()
    assert bool(lapses._cause(entry)) is over
    late = Entry(order("late", time_in_force=life), 1, close)  # it works in the next session
    blotter.submitted(late)
    blotter.new_session()
    assert lapses._cause(late) == ""


async def test_an_order_that_outlives_its_day_is_found_at_work(
    floor: MakeFloor, calendar: ExchangeClock
) -> None:
    async with floor() as f:
        await over_night(f, calendar, order(time_in_force=TimeInForce.GTC))
        await f.executor.ensure_ready()
        assert f.executor.orders()[0].status is OrderStatus.SUBMITTED


async def test_where_the_broker_gives_no_cash_nothing_follows(
    floor: MakeFloor, calendar: ExchangeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none(self: IBSession, account: str | None = None) -> dict[str, Decimal]:
        raise BrokerUnavailableError("account summary: no answer")

    async with floor() as f:
        await over_night(f, calendar, order())
        monkeypatch.setattr(IBSession, "account_summary", none)
        assert "the broker gave no cash (account summary: no answer)" in (await doubted(f))["o"]
        monkeypatch.setattr(IBSession, "account_summary", lambda *_: asyncio.sleep(0, {}))
        assert "cash is not on record" in (await doubted(f))["o"]


async def test_what_comes_while_the_cash_is_asked_for_is_not_passed_over(
    floor: MakeFloor, calendar: ExchangeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with floor() as f:
        await over_night(f, calendar, order())
        true = IBSession.account_summary

        async def late(self: IBSession, account: str | None = None) -> dict[str, Decimal]:
            f.executor.inbox.net["AAA"] = Decimal(10)
            return await true(self, account)

        await f.executor.manager.connect()
        monkeypatch.setattr(IBSession, "account_summary", late)
        assert set((await f.executor.reconcile()).in_doubt) == {"o"}
