"""Orders that cannot live any more: what follows from it, and what does not, on the simulated gateway."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from data.calendars import ExchangeClock
from execution.audit import AuditLogger
from execution.clocks import SteppedClock
from execution.connection import IBKRConnectionManager
from execution.errors import BrokerUnavailableError, OrderInDoubtError
from execution.executor import IBKROrderExecutor
from execution.ibkr.contract_book import ContractBook
from execution.ibkr.session import IBSession
from execution.journal import MemoryJournal
from execution.models import Instrument, OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from execution.orders.blotter import Blotter
from execution.orders.entry import Entry
from execution.orders.evidence import ErrorSeen, OpenOrderSeen
from execution.orders.inbox import Inbox
from execution.reconciliation.claims import Claim, ClaimPolicy
from execution.reconciliation.doubts import DoubtKind, Resolution
from execution.reconciliation.lapses import Lapses
from execution.reconciliation.policies import ExpiredDay
from execution.reconciliation.positions import Positions

if TYPE_CHECKING:
    from ..conftest import Floor, MakeFloor

FUTURE = Instrument(
    "ESH8", "FUT", "CME", tick=Decimal("0.25"), multiplier=Decimal(50), underlying="ES", expiry="20180316"
)
CALL = Instrument(
    "AAA C100",
    "OPT",
    underlying="AAA",
    expiry="20180119",
    strike=Decimal(100),
    right="C",
    multiplier=Decimal(100),
)


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
    assert lapses._cause(entry) == ("", "")  # of this session: it may be on its way
    blotter.new_session()
    assert bool(lapses._cause(entry)[0]) is over
    late = Entry(order("late", time_in_force=life), 1, close)  # it works in the next session
    blotter.submitted(late)
    blotter.new_session()
    assert lapses._cause(late) == ("", "")


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


def in_contract(one: Instrument, side: Side = Side.BUY, limit: str = "50", **more: Any) -> OrderRequest:
    return OrderRequest(
        one.symbol, Decimal(1), OrderType.LIMIT, side, Decimal(limit), client_order_id="o", **more
    )


def till(calendar: ExchangeClock, day: int) -> pd.Timestamp:
    """Return four minutes after a session opens, between two bars."""
    return pd.Timestamp(int(calendar.opens_ns[day]) + 4 * 60_000_000_000, tz="UTC")


@pytest.mark.parametrize(
    ("day", "status"), [(0, OrderStatus.CANCELLED), (1, OrderStatus.CANCELLED), (2, OrderStatus.SUBMITTED)]
)
async def test_an_order_good_till_a_moment_ends_by_evidence_when_it_has_passed(
    floor: MakeFloor, calendar: ExchangeClock, day: int, status: OrderStatus
) -> None:
    async with floor() as f:
        request = order(time_in_force=TimeInForce.GTD, good_till=till(calendar, day))
        await f.executor.submit_order(request)
        await f.shut()
        night(f, calendar)
        if day == 1:  # the new session goes on past that moment, and then comes another night
            moment = int(calendar.opens_ns[2]) + 60_000_000_000
            list(f.server.service.play_until(moment))
            f.clock.advance_to(moment)
        f.another(days=calendar)
        await f.executor.ensure_ready()
        (ended,) = f.executor.orders()
        assert (ended.status, ended.filled_quantity) == (status, Decimal(0))
        if status is OrderStatus.CANCELLED:
            assert "a GTD order that was good till" in (ended.reason or "")
            assert f.kinds().count("order_lapsed") == 1


@pytest.mark.parametrize("one", [FUTURE, CALL])
async def test_an_order_for_the_day_in_another_contract_ends_by_its_hours(
    floor: MakeFloor, calendar: ExchangeClock, one: Instrument
) -> None:
    async with floor(contracts=(one,), contract_details=True) as f:
        await over_night(f, calendar, in_contract(one), instruments=(one,), contract_details=True)
        await f.executor.ensure_ready()
        (ended,) = f.executor.orders()
        assert ended.status is OrderStatus.CANCELLED
        assert "whose session closed at 2018-01-02" in (ended.reason or "")
        (event,) = [e for e in f.journal.events() if e.kind == "order_lapsed"]
        assert event.body["cash"] == ["1000000", "1000000"]


async def test_without_the_hours_of_its_contract_it_is_not_known_whether_an_order_lives(
    floor: MakeFloor, calendar: ExchangeClock
) -> None:
    async with floor(contracts=(FUTURE,)) as f:
        await over_night(f, calendar, in_contract(FUTURE), instruments=(FUTURE,))
        found = await doubted(f)
        assert found["o"].startswith("whether it can still live is not known: the hours of ESH8 from 2018-01")
        (doubt,) = f.executor.doubts()
        assert "`trade orders resolve o --as cancelled|filled|rejected" in doubt.next_step


async def test_where_the_book_has_futures_cash_proves_nothing(
    floor: MakeFloor, calendar: ExchangeClock
) -> None:
    async with floor(contracts=(FUTURE,), contract_details=True) as f:
        bought = OrderRequest("ESH8", Decimal(1), OrderType.MARKET, Side.BUY, client_order_id="bought")
        await f.executor.submit_order(bought)
        await f.step(2)
        assert f.executor.inbox.net == {"ESH8": Decimal(1)}
        await over_night(f, calendar, order(), instruments=(FUTURE,), contract_details=True)
        assert (await doubted(f))["o"].endswith("but cash moves by ESH8, no stock, too")


def lapses_of(now: pd.Timestamp, held: str, one: Instrument) -> tuple[Lapses, Inbox]:
    """Return lapses at a moment, over a book that holds some of a contract."""
    clock = SteppedClock(int(now.value))
    audit, blotter = AuditLogger(MemoryJournal(clock.now_ns), clock), Blotter()
    inbox = Inbox(blotter, audit, None)
    inbox.net[one.symbol] = Decimal(held)
    claim = Claim(account="DU1", security_types={one.symbol: one.security_type})
    positions = Positions(inbox, audit, claim)
    contracts = ContractBook([one])
    return Lapses(inbox, audit, positions, claim, None, ExpiredDay.SETTLE, contracts), inbox


@pytest.mark.parametrize(
    ("one", "now", "side", "held", "theirs", "says", "fits"),
    [
        # The call has expired: that it is gone may be its end, and need not be the order's fill.
        (CALL, "2018-01-22", Side.SELL, "1", "0", "; its contract has ended, so it may have expired", None),
        (FUTURE, "2018-03-19", Side.BUY, "-1", "0", "; its contract has ended, so it may have", None),
        (FUTURE, "2018-03-19", Side.BUY, "0", "1", "differ, by what it could have filled", "1"),
        # A short call may be assigned on any day, which looks like a purchase.
        (CALL, "2018-01-04", Side.BUY, "-5", "-4", "; it may have been exercised or assigned", None),
        (CALL, "2018-01-04", Side.BUY, "5", "6", "differ, by what it could have filled", "1"),
        (CALL, "2018-01-04", Side.BUY, "5", "9", "the positions differ", None),
    ],
)
async def test_an_exercise_or_the_end_of_a_contract_is_never_taken_for_a_fill(
    one: Instrument, now: str, side: Side, held: str, theirs: str, says: str, fits: str | None
) -> None:
    lapses, inbox = lapses_of(pd.Timestamp(f"{now} 12:30", tz="UTC"), held, one)
    written = pd.Timestamp("2018-01-03 15:00", tz="UTC")
    request = in_contract(
        one, side, time_in_force=TimeInForce.GTD, good_till=written + pd.Timedelta(minutes=5)
    )
    entry = Entry(request, 1, int(written.value))
    inbox.blotter.submitted(entry)
    inbox.blotter.new_session()
    session: Any = type("Session", (), {"accounts": ["DU1"]})()
    found = await lapses.find(session, [entry], {one.symbol: (Decimal(held), Decimal(theirs))})
    lapse = found["o"]
    assert says in lapse.obstacle
    assert lapse.obstacle.startswith("the positions differ")
    assert lapse.fits == (None if fits is None else Decimal(fits))
    assert not lapses.holds(entry, lapse)


async def test_a_position_that_is_gone_with_its_contract_has_a_step_of_its_own(
    floor: MakeFloor, calendar: ExchangeClock
) -> None:
    ends = Instrument("AAA C90", "OPT", underlying="AAA", expiry="20180102", strike=Decimal(90), right="C")
    async with floor(contracts=(ends,)) as f:
        f.executor.inbox.net[ends.symbol] = Decimal(3)  # bought, and by now expired at the broker
        f.clock.advance_to(int(calendar.opens_ns[2]))
        assert not (await f.executor.reconcile()).agrees
        (doubt,) = f.executor.doubts()
        assert doubt.kind is DoubtKind.POSITION
        assert "last traded on 2018-01-02" in doubt.next_step
        assert "`trade orders accept-position 'AAA C90' --cash AMOUNT" in doubt.next_step


async def test_an_order_that_shows_up_while_the_cash_is_asked_for_has_not_lapsed(
    floor: MakeFloor, calendar: ExchangeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with floor() as f:
        await over_night(f, calendar, order())
        true = IBSession.account_summary

        async def meanwhile(self: IBSession, account: str | None = None) -> dict[str, Decimal]:
            entry = f.executor.blotter.entries["o"]
            f.executor.inbox.take(
                OpenOrderSeen(entry.order_id, 1, entry.perm_id, "o", "DU1", "AAA", "BUY", Decimal(10))
            )
            return await true(self, account)

        await f.executor.manager.connect()
        monkeypatch.setattr(IBSession, "account_summary", meanwhile)
        await f.executor.reconcile()
        assert "order_lapsed" not in f.kinds()
        assert not f.executor.orders()[0].status.is_final


@pytest.mark.parametrize("back", [False, True])
async def test_nothing_lapses_by_lists_that_were_asked_for_while_tws_was_without_the_broker(
    floor: MakeFloor, calendar: ExchangeClock, monkeypatch: pytest.MonkeyPatch, back: bool
) -> None:
    async with floor() as f:
        await over_night(f, calendar, order())
        true = IBSession.account_summary

        async def lost(self: IBSession, account: str | None = None) -> dict[str, Decimal]:
            for code in ("1100", "1102") if back else ("1100",):
                self._on_message(["4", "2", "-1", code, "told so", ""])
            return await true(self, account)

        await f.executor.manager.connect()
        with monkeypatch.context() as patch:
            patch.setattr(IBSession, "account_summary", lost)
            assert set((await f.executor.reconcile()).in_doubt) == {"o"}
        if not back:
            assert set((await f.executor.reconcile()).in_doubt) == {"o"}  # a person asks in between
            f.executor.manager.session._on_message(["4", "2", "-1", "1102", "told so", ""])
        assert "order_lapsed" not in f.kinds()
        await f.executor.ensure_ready()
        assert f.kinds().count("order_lapsed") == 1


def test_what_tws_answered_of_one_attempt_is_not_about_the_next() -> None:
    lapses, inbox = lapses_of(pd.Timestamp("2018-01-02 16:00", tz="UTC"), "0", FUTURE)
    request = in_contract(FUTURE, time_in_force=TimeInForce.GTC)
    first = Entry(request, 1, int(pd.Timestamp("2018-01-02 15:00", tz="UTC").value))
    inbox.blotter.submitted(first)
    inbox.blotter.new_session()
    lapses.hear(ErrorSeen(1, 10147, "not found"), first)
    assert lapses._cause(first)[0] == "TWS has no such order at work (10147: not found)"
    inbox.blotter.released("o", "settled as not-sent")
    again = Entry(request, 2, first.submitted_ns + 60_000_000_000, attempt=2)
    inbox.blotter.submitted(again)
    assert lapses._cause(again) == ("", "")
    inbox.blotter.new_session()
    assert lapses._cause(again) == ("", "")
