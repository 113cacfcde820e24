"""How long an order can live at the most."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from decimal import Decimal
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from data.calendars import ExchangeClock
from execution.clocks import NANOS
from execution.ibkr.contract_book import ContractBook
from execution.ibkr.contract_terms import ContractTerms
from execution.journal import JournalEvent, MemoryJournal
from execution.models import Instrument, OrderRequest, OrderType, Side, TimeInForce
from execution.orders.entry import Entry
from execution.orders.terms import Modification
from execution.reconciliation.lifetimes import Lifetimes, close_of

FUTURE = Instrument(
    "ESH8", "FUT", "CME", tick=Decimal("0.25"), multiplier=Decimal(50), underlying="ES", expiry="20180316"
)
ABROAD = Instrument("7203", exchange="TSEJ", currency="JPY")
SESSION = 1
ZONES = {"NY": "America/New_York", "CT": "America/Chicago", "HK": "Asia/Hong_Kong", "TK": "Asia/Tokyo"}


def at(text: str) -> int:
    """Read ``NY 2018-01-02 09:30``; UTC nanoseconds."""
    zone, _, moment = text.partition(" ")
    return int(dt.datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(ZONES[zone])).timestamp()) * NANOS


def spans(zone: str, *texts: str) -> list[tuple[int, int]]:
    """Read stretches such as ``2018-01-02 09:30/2018-01-02 16:00``."""
    pairs = [text.split("/") for text in texts]
    return [(at(f"{zone} {start}"), at(f"{zone} {end}")) for start, end in pairs]


OPTIONS = spans("NY", "2018-01-02 09:30/2018-01-02 16:15", "2018-01-03 09:30/2018-01-03 16:15")
CHICAGO = spans(
    "CT",
    "2018-01-01 17:00/2018-01-02 16:00",
    "2018-01-02 17:00/2018-01-03 16:00",
    "2018-01-03 17:00/2018-01-04 16:00",
)
HONG_KONG = spans(
    "HK",
    "2018-01-02 09:15/2018-01-02 12:00",
    "2018-01-02 13:00/2018-01-02 16:30",
    "2018-01-02 17:15/2018-01-03 03:00",
    "2018-01-03 09:15/2018-01-03 12:00",
    "2018-01-03 13:00/2018-01-03 16:30",
)


@pytest.mark.parametrize(
    ("hours", "since", "close"),
    [
        (OPTIONS, "NY 2018-01-02 10:00", "NY 2018-01-02 16:15"),
        (OPTIONS, "NY 2018-01-02 03:00", "NY 2018-01-02 16:15"),
        (OPTIONS, "NY 2018-01-02 16:15", None),  # the day after may go on in the evening
        # The next stretch begins an hour later and may be the same day: one day more does no harm.
        (CHICAGO, "CT 2018-01-02 10:00", "CT 2018-01-03 16:00"),
        (CHICAGO, "CT 2018-01-02 16:30", "CT 2018-01-04 16:00"),
        (HONG_KONG, "HK 2018-01-02 10:00", "HK 2018-01-03 03:00"),
        (HONG_KONG, "HK 2018-01-02 14:00", "HK 2018-01-03 03:00"),
        (HONG_KONG, "HK 2018-01-03 14:00", None),
        ([], "NY 2018-01-02 10:00", None),
    ],
)
def test_a_trading_day_ends_with_its_last_stretch(
    hours: list[tuple[int, int]], since: str, close: str | None
) -> None:
    if hours is CHICAGO and since.endswith("16:30"):
        hours = [*hours, *spans("CT", "2018-01-07 17:00/2018-01-08 16:00")]
    assert close_of(hours, at(since)) == (None if close is None else at(close))


class World:
    """Lifetimes at a moment, with what is on record."""

    def __init__(self, now: str, *contracts: Instrument, days: ExchangeClock | None = None) -> None:
        self.now_ns = at(now)
        self.book = ContractBook(contracts)
        self.records: list[tuple[int, Sequence[tuple[int, int]], str]] = []
        self.reads = 0
        self.lifetimes = Lifetimes(days, self.book, lambda: self.now_ns, self.events)

    def events(self) -> Iterable[JournalEvent]:
        self.reads += 1
        clock = [0]
        journal = MemoryJournal(lambda: clock[0])
        for time_ns, hours, symbol in self.records:
            clock[0] = time_ns
            journal.append("api_contract", {"symbol": symbol, "found": 1, "hours": [list(h) for h in hours]})
        journal.append("api_contract", {"symbol": "ESH8", "found": 2})
        journal.commit()
        return journal.events()

    def state(self, when: str, hours: Sequence[tuple[int, int]], symbol: str = "ESH8") -> None:
        self.records.append((at(when), hours, symbol))

    async def over(self, entry: Entry) -> tuple[str, str]:
        await self.lifetimes.learn([entry], SESSION)
        life = self.lifetimes.of(entry)
        return life.over, life.unknown


def entry(symbol: str, written: str, life: TimeInForce = TimeInForce.DAY, till: str = "") -> Entry:
    good_till = pd.Timestamp(at(till), tz="UTC") if till else None
    request = OrderRequest(
        symbol,
        Decimal(1),
        OrderType.LIMIT,
        Side.BUY,
        Decimal(50),
        time_in_force=life,
        client_order_id="o",
        good_till=good_till,
    )
    return Entry(request, 1, at(written))


@pytest.mark.parametrize(
    ("now", "over"),
    [
        ("NY 2018-01-04 00:30", True),
        ("NY 2018-01-03 23:59", False),  # the day of its close is not over: it would be listed
        ("CT 2018-01-03 16:05", False),
    ],
)
async def test_the_day_of_a_future_ends_by_the_hours_that_were_stated(now: str, over: bool) -> None:
    world = World(now, FUTURE)
    world.state("CT 2018-01-02 09:00", CHICAGO)
    found, unknown = await world.over(entry("ESH8", "CT 2018-01-02 10:00"))
    assert bool(found) is over
    assert unknown == ""
    if over:
        assert "whose session closed at 2018-01-03 22:00:00+00:00" in found


async def test_hours_that_were_stated_later_tell_of_a_later_close() -> None:
    world = World("NY 2018-01-03 12:00", FUTURE)
    world.state("CT 2018-01-03 09:00", spans("CT", "2018-01-03 08:30/2018-01-03 15:00"))
    world.state(
        "CT 2018-01-03 09:30",
        spans("CT", "2018-01-03 08:30/2018-01-03 15:00", "2018-01-04 08:30/2018-01-04 15:00"),
    )
    late = entry("ESH8", "CT 2018-01-02 10:00")
    assert await world.over(late) == ("", "")  # the day that they begin with is not over
    world.now_ns = at("NY 2018-01-04 00:30")
    assert "closed at 2018-01-03 21:00:00+00:00" in (await world.over(late))[0]
    assert world.reads == 1


async def test_without_hours_on_record_it_is_not_known_and_looked_up_once_a_session() -> None:
    world = World("NY 2018-01-03 12:00", FUTURE)
    order = entry("ESH8", "CT 2018-01-02 10:00")
    for _ in range(3):
        over, unknown = await world.over(order)
    assert over == ""
    assert unknown == "the hours of ESH8 from 2018-01-02 16:00:00+00:00 on are not on record in full"
    assert world.reads == 1
    world.state("CT 2018-01-02 09:00", OPTIONS)
    await world.lifetimes.learn([order], SESSION + 1)
    assert world.lifetimes.of(order).over
    world.now_ns = at("NY 2018-01-02 18:00")
    fresh = World("NY 2018-01-02 18:00", FUTURE)
    assert await fresh.over(order) == ("", "")  # its own day is not over in any case


async def test_a_stock_abroad_goes_by_its_own_hours_and_not_by_the_calendar_here(
    calendar: ExchangeClock,
) -> None:
    # Tokyo is closed on 2018-01-02 and 03, New York is not.
    hours = spans(
        "TK",
        "2018-01-04 09:00/2018-01-04 11:30",
        "2018-01-04 12:30/2018-01-04 15:00",
        "2018-01-05 09:00/2018-01-05 11:30",
    )
    world = World("NY 2018-01-03 18:00", ABROAD, days=calendar)
    world.state("TK 2018-01-02 08:00", hours, "7203")
    order = entry("7203", "TK 2018-01-02 09:30")
    assert await world.over(order) == ("", "")
    world.now_ns = at("NY 2018-01-05 00:30")
    assert "closed at 2018-01-04 06:00:00+00:00" in (await world.over(order))[0]


async def test_a_good_till_date_ends_an_order_some_minutes_after_it() -> None:
    world = World("NY 2018-01-02 14:09")
    order = entry("AAA", "NY 2018-01-02 10:00", TimeInForce.GTD, "NY 2018-01-02 14:00")
    assert await world.over(order) == ("", "")
    world.now_ns = at("NY 2018-01-02 14:10")
    assert await world.over(order) == ("a GTD order that was good till 2018-01-02 19:00:00+00:00", "")
    longer = entry("AAA", "NY 2018-01-02 10:00", TimeInForce.GTD, "NY 2018-01-03 14:00").request
    order.modification = Modification(1, longer)
    assert await world.over(order) == ("", "")  # the change may have been made
    assert world.reads == 0


async def test_an_order_till_cancelled_ends_by_itself_only_with_its_contract() -> None:
    world = World("NY 2018-03-16 23:00", FUTURE)
    order = entry("ESH8", "CT 2018-01-02 10:00", TimeInForce.GTC)
    assert await world.over(order) == ("", "")
    world.now_ns = at("NY 2018-03-17 08:15")  # past midnight in the last of all zones
    assert await world.over(order) == ("its contract was last traded on 2018-03-16", "")
    assert await World("NY 2028-03-17 08:15").over(entry("AAA", "NY 2018-01-02 10:00", TimeInForce.GTC)) == (
        "",
        "",
    )


def test_the_last_day_ends_in_the_zone_of_the_contract_and_in_new_york() -> None:
    world = World("NY 2018-03-16 23:59", FUTURE)
    world.book.describe("ESH8", ContractTerms(7, last_day="20180315", zone="Europe/London"))
    assert world.lifetimes.last_traded("ESH8") == "2018-03-15"
    world.now_ns = at("NY 2018-03-15 23:59")
    assert world.lifetimes.last_traded("ESH8") == ""
    world.book.describe("ESH8", ContractTerms(7, last_day="20180315", zone="no such zone"))
    world.now_ns = at("NY 2018-03-16 07:00")
    assert world.lifetimes.last_traded("ESH8") == ""
    world.now_ns = at("NY 2018-03-16 08:15")
    assert world.lifetimes.last_traded("ESH8") == "2018-03-15"


def test_of_a_contract_month_the_last_day_is_not_known() -> None:
    month = Instrument("CLH8", "FUT", "NYMEX", underlying="CL", expiry="201803")
    assert World("NY 2019-01-02 10:00", month).lifetimes.last_traded("CLH8") == ""
