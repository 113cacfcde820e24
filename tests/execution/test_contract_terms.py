"""What a contract takes by its details, and orders that are refused unsent."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import ib_insync
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.clocks import utc_ns
from execution.errors import InvalidOrderError, NumberFormatError
from execution.ibkr.contract_terms import ContractTerms, read_rule, rule_of, to_terms
from execution.models import Instrument, OrderRequest, OrderType, Side, TimeInForce

if TYPE_CHECKING:
    from .conftest import MakeFloor, MakeRig, ScriptedBroker

D = Decimal
BANDS = ((D(0), D("0.0001")), (D(1), D("0.01")), (D(100), D("0.05")))
NOW = utc_ns(pd.Timestamp("2018-01-02 15:00", tz="UTC"))
TERMS = ContractTerms(
    1,
    BANDS,
    size_increment=D(5),
    least_size=D(10),
    order_types=frozenset(("LMT", "MKT", "STPLMT", "TRAIL", "DAY", "GTC")),
    last_day="20180119",
    zone="US/Eastern",
)


def order(kind: OrderType = OrderType.LIMIT, quantity: str = "10", **more: Any) -> OrderRequest:
    if kind is OrderType.LIMIT:
        more.setdefault("limit_price", D("2.50"))
    return OrderRequest("AAA", D(quantity), kind, Side.BUY, **more)


@pytest.mark.parametrize(
    "fine",
    [
        order(),
        order(quantity="15"),
        order(limit_price=D("0.0003")),
        order(limit_price=D("100.05")),
        order(time_in_force=TimeInForce.GTC),
        order(time_in_force=TimeInForce.FOK),  # TWS takes it for stocks whose details do not list it
        order(OrderType.STOP_LIMIT, limit_price=D("0.5001"), stop_price=D("100.10")),
        order(OrderType.TRAIL, trail_amount=D("0.0002")),
    ],
)
def test_an_order_within_the_terms_passes(fine: OrderRequest) -> None:
    TERMS.check(fine, NOW)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (order(limit_price=D("0.00005")), "limit_price: 0.00005 of AAA is no multiple of 0.0001"),
        (order(limit_price=D("1.001")), "no multiple of 0.01"),
        (order(limit_price=D("100.01")), "no multiple of 0.05"),
        (order(OrderType.STOP_LIMIT, limit_price=D(2), stop_price=D("100.01")), "stop_price"),
        (order(OrderType.TRAIL, trail_amount=D("0.00015")), "trail_amount"),
        (order(OrderType.TRAIL, trail_amount=D(1), trail_stop=D("100.01")), "trail_stop"),
        (order(quantity="12"), "quantity: 12 of AAA is no multiple of 5"),
        (order(quantity="5"), "less than the smallest order of 10"),
        (order(OrderType.STOP, stop_price=D(2)), "order_type: STOP: AAA does not take it .* DAY|GTC"),
        (order(time_in_force=TimeInForce.IOC), "time_in_force: IOC"),
        (order(all_or_none=True), "all_or_none"),
        (order(oca_group="g"), "oca_group"),
    ],
)
def test_an_order_that_the_contract_would_not_take_is_refused(bad: OrderRequest, words: str) -> None:
    with pytest.raises(InvalidOrderError, match=words):
        TERMS.check(bad, NOW)


def test_a_contract_is_traded_on_its_last_day_and_not_after() -> None:
    late = utc_ns(pd.Timestamp("2018-01-20 04:59", tz="UTC"))  # still the 19th in New York
    TERMS.check(order(), late)
    with pytest.raises(InvalidOrderError, match="last traded on 20180119"):
        TERMS.check(order(), late + 60_000_000_000)
    odd = ContractTerms(1, last_day="20180119", zone="Nowhere/Land")
    odd.check(order(), late + 10**18)  # a zone that nobody knows restricts nothing


def test_an_order_that_lives_at_once_is_refused_while_nothing_is_traded() -> None:
    told = details(tradingHours="20180103:0930-20180103:1600;20180104:CLOSED;20180105:0930-20180105:1600")
    told.timeZoneId = "US/Eastern"
    told.orderTypes = ""
    terms = to_terms(told, ())
    at_once = order(time_in_force=TimeInForce.FOK)
    morning = utc_ns(pd.Timestamp("2018-01-03 14:30", tz="UTC"))
    hour = 3_600_000_000_000
    for moment, opening in ((morning - 1, "Wed 14:30"), (morning + 7 * hour, "Fri 14:30")):
        with pytest.raises(InvalidOrderError, match=f"FOK: AAA is not traded before {opening} UTC"):
            terms.check(at_once, moment)
        terms.check(order(), moment)  # a DAY order waits
    terms.check(at_once, morning)
    terms.check(at_once, morning + 1000 * hour)  # what comes later is not told
    told.timeZoneId = "Nowhere/Land"
    assert to_terms(told, ()).hours == ()


def test_what_tws_does_not_say_allows_everything() -> None:
    ContractTerms(1).check(order(OrderType.STOP, quantity="0.001", stop_price=D("0.12345")), NOW)


@given(st.decimals("0.0001", "1000", places=4))
def test_a_price_passes_if_and_only_if_it_is_whole_in_the_increment_of_its_band(price: Decimal) -> None:
    step = next(step for edge, step in reversed(BANDS) if price >= edge)
    if price % step:
        with pytest.raises(InvalidOrderError):
            TERMS.check(order(limit_price=price), NOW)
    else:
        TERMS.check(order(limit_price=price), NOW)


def details(**more: Any) -> ib_insync.ContractDetails:
    contract = ib_insync.Contract(conId=7, exchange="SMART", multiplier="50", localSymbol="ESH8")
    usual = {"minTick": 0.25, "orderTypes": "LMT,MKT", "timeZoneId": "US/Central"}
    return ib_insync.ContractDetails(contract=contract, **{**usual, **more})


def test_details_are_read_as_they_are_and_what_is_unset_says_nothing() -> None:
    terms = to_terms(details(minSize=1.7976931348623157e308, sizeIncrement=1), ())
    assert terms.bands == ((D(0), D("0.25")),)
    assert (terms.con_id, terms.multiplier, terms.local_symbol) == (7, D(50), "ESH8")
    assert (terms.size_increment, terms.least_size) == (D(1), D(0))
    assert terms.order_types == {"LMT", "MKT"}
    assert to_terms(details(minTick=5e-05), ()).finest == D("0.00005")
    assert to_terms(details(minTick=0), ()).increment_at(D(1)) == 0
    assert ContractTerms(1).finest == 0


@pytest.mark.parametrize(
    ("rules", "venues", "exchange", "rule"),
    [
        ("26,67", "SMART,NYSE", "NYSE", 67),
        ("26,67", "SMART,NYSE", "SMART", 26),
        ("26", "SMART,NYSE", "NYSE", 26),
        ("26", "SMART", "ARCA", 26),
        ("", "SMART", "SMART", 0),
    ],
)
def test_the_market_rule_is_that_of_the_exchange(rules: str, venues: str, exchange: str, rule: int) -> None:
    found = rule_of(details(marketRuleIds=rules, validExchanges=venues), Instrument("AAA", exchange=exchange))
    assert found == rule


def test_a_market_rule_is_read_from_its_fields() -> None:
    assert read_rule(["93", "26", "2", "0", "0.0001", "1", "0.01"]) == (
        (D(0), D("0.0001")),
        (D(1), D("0.01")),
    )
    with pytest.raises(NumberFormatError):
        read_rule(["93", "26", "1", "zero", "0.01"])


# -- over the wire ---------------------------------------------------------------------------------------

PENNIES_ABOVE_ONE = Instrument("SPY", tick=D("0.0001"), primary_exchange="ARCA")


async def test_what_the_contract_would_not_take_leaves_no_trace_at_the_broker(floor: MakeFloor) -> None:
    async with floor(contracts=(PENNIES_ABOVE_ONE,), bands="0:0.0001 1:0.01", contract_details=True) as f:
        await f.step()
        executor = f.executor
        with pytest.raises(InvalidOrderError, match=r"limit_price: 50.0001 of SPY is no multiple of 0.01"):
            await executor.submit_order(
                OrderRequest("SPY", D(1), OrderType.LIMIT, Side.BUY, D("50.0001"), client_order_id="o-1")
            )
        assert f.book.tickets == {}
        assert executor.known("o-1") is None
        taken = OrderRequest("SPY", D(1), OrderType.LIMIT, Side.BUY, D("0.5001"), client_order_id="o-2")
        await executor.submit_order(taken)
        with pytest.raises(InvalidOrderError, match="no multiple"):
            await executor.modify_order("o-2", limit_price=D("50.0001"))
        with pytest.raises(InvalidOrderError, match="no multiple"):
            await executor.what_if(
                OrderRequest("SPY", D(1), OrderType.LIMIT, Side.BUY, D("50.0001"), client_order_id="o-3")
            )
        assert len(f.book.tickets) == 1
        (ticket,) = f.book.tickets.values()
        assert executor.manager.contracts.terms_of("SPY") is not None
        assert ticket.order_ref == "o-2"


async def test_rounding_takes_the_increment_of_the_price(floor: MakeFloor) -> None:
    async with floor(
        contracts=(PENNIES_ABOVE_ONE,), bands="0:0.0001 1:0.01", contract_details=True, round_orders=True
    ) as f:
        await f.step()
        order = await f.executor.submit_order(
            OrderRequest("SPY", D(1), OrderType.LIMIT, Side.BUY, D("50.0199"), client_order_id="o-1")
        )
        assert order.limit_price == D("50.01")


async def test_orders_go_by_the_contract_id_once_it_is_known(floor: MakeFloor) -> None:
    async with floor(contracts=(PENNIES_ABOVE_ONE,), contract_details=True) as f:
        contracts = f.executor.manager.contracts
        known = contracts.sure_con_id(PENNIES_ABOVE_ONE)
        await f.step()
        await f.executor.submit_order(
            OrderRequest("SPY", D(1), OrderType.MARKET, Side.BUY, client_order_id="o-1")
        )
        (ticket,) = f.book.tickets.values()
        assert known == ticket.instrument.con_id > 0
        await f.step()
        assert (await f.executor.reconcile()).agrees


async def test_details_are_asked_for_once_a_day_and_what_is_unknown_is_said(floor: MakeFloor) -> None:
    strange = Instrument("NONE")
    async with floor(contract_details=True, instruments=(strange, PENNIES_ABOVE_ONE)) as f:
        events = [e.body for e in f.journal.events() if e.kind == "api_contract"]
        assert [(body["symbol"], body["found"]) for body in events] == [("NONE", 0), ("SPY", 0)]
        assert all(body["error"].startswith("200: ") for body in events)
        asked = f.kinds().count("api_request")
        await f.executor.manager.learn_contracts()
        f.executor.manager._learning._monotonic = lambda: 10.0**9
        f.journal.commit()
        assert f.kinds().count("api_request") == asked
        await f.executor.manager.learn_contracts()
        f.journal.commit()
        assert f.kinds().count("api_request") == asked + 2


async def test_details_that_do_not_come_hold_nothing_up(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig(instruments=(Instrument("AAA"),), timeout=0.1)  # the broker answers no such request
    await r.executor.ensure_ready()
    assert r.executor.is_ready
    assert r.manager.contracts.terms_of("AAA") is None
    asked = [e.body for e in r.journal.events() if e.kind == "api_request"]
    assert (asked[0]["request"], asked[0]["outcome"]) == ("contract details", "failed")
    assert broker.requests.count("9") == 1


async def test_an_order_in_a_contract_that_the_broker_does_not_know_is_refused_with_its_words(
    floor: MakeFloor,
) -> None:
    nobody = Instrument("ZZZ")
    async with floor(instruments=[nobody], contract_details=True) as f:
        placed = OrderRequest("ZZZ", Decimal(1), OrderType.MARKET, Side.BUY, client_order_id="o-1")
        with pytest.raises(InvalidOrderError, match=r"ZZZ: the broker answered 200: .*Nothing was sent"):
            await f.executor.submit_order(placed)
        assert f.executor.orders() == []
        f.executor.manager.contracts.forget_unknown()
        session = f.executor.manager.session
        session._on_message(["4", "2", "-1", "2157", "Sec-def data farm connection is broken", ""])
        session.unknown_contracts.clear()
        await f.executor.reconcile()
        f.executor.manager.contracts.check(placed, 0)  # with the farm away 200 says nothing for certain
