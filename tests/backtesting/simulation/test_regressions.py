"""Accidents of other systems, played again: the same moments, in a world without other faults.

Each world ends with all invariants checked. Each accident is also played with the protection taken out, to
show that it is the protection that prevents it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from types import ModuleType

import pytest

from backtesting.gateway.faults.gateway_actions import ConnectivityLost, ConnectivityRestored, SendError
from backtesting.simulation.market import CLIENT_ID, SYMBOLS
from backtesting.simulation.options import Options
from backtesting.simulation.outcome import Outcome
from backtesting.simulation.traffic import Deed
from backtesting.simulation.world import World
from execution.models import OrderStatus, OrderType, Side, TimeInForce

SEED = 7
NEVER = 1e-12
"""A rate at which a fault does not come by itself; its machinery is there to be used."""


class Played:
    """A world whose deeds and accidents are given."""

    def __init__(self, *deeds: Deed) -> None:
        self.world = World(SEED, Options(rates={"G4": NEVER}, latency=0.01, make_up=False))
        self.world.deeds = sorted(deeds, key=lambda deed: deed.at)
        self.incidents = self.world.injector.incidents

    def at(self, seconds: float, what: Callable[[], object]) -> None:
        self.world.loop.call_later(seconds, what)

    def lose_broker(self, *, events: str = "lost", orders: str = "queue") -> None:
        self.incidents._fire(ConnectivityLost(orders=orders, events=events))  # type: ignore[arg-type]

    def find_broker(self) -> None:
        self.incidents._fire(ConnectivityRestored(data="kept"))
        self.flush()

    def err(self, name: str, code: int, text: str) -> None:
        for ticket in self.world.book.open_tickets(CLIENT_ID):
            if ticket.order_ref == name:
                self.incidents._fire(SendError(code=code, text=text, id=ticket.order_id, client=CLIENT_ID))
        self.flush()

    def forget_number(self, name: str) -> None:
        """Let the gateway not know an order's number for a second: a change of it is a new order then."""
        book = self.world.book
        ticket = next(each for each in book.open_tickets(CLIENT_ID) if each.order_ref == name)
        last = book.last_id[CLIENT_ID]
        book.drop_id(ticket)
        book.last_id[CLIENT_ID] = ticket.order_id - 1

        def remember() -> None:
            book.by_client.setdefault((CLIENT_ID, ticket.order_id), ticket)
            book.last_id[CLIENT_ID] = last

        self.world.loop.call_later(1.0, remember)

    def flush(self) -> None:
        for session in self.world.server.service.sessions.values():
            session.flush()

    def kill(self) -> None:
        self.world.kill("on purpose")

    def run(self) -> Outcome:
        return self.world.run()

    def recorded(self, kind: str, name: str) -> list[dict[str, object]]:
        return [
            event.body
            for event in self.world.disk.events
            if event.kind == kind and event.body.get("client_order_id") == name
        ]

    def numbers_used_twice(self) -> list[int]:
        events = [event for event in self.world.disk.events if event.kind == "order_submitted"]
        numbers = Counter(int(event.body["order_id"]) for event in events)
        return [number for number, count in numbers.items() if count > 1]

    def last_status(self, name: str) -> OrderStatus:
        return OrderStatus(str(self.recorded("order_status", name)[-1]["new"]))

    def orders_at_broker(self, name: str) -> int:
        return len(self.world.invariants.broker.by_ref.get(name, []))


def resting(at: float, name: str) -> Deed:
    """An order far below the market."""
    return Deed(
        at,
        "order",
        name,
        order_type=OrderType.LIMIT,
        offset=Decimal("0.05"),
        quantity=Decimal(10),
        life=TimeInForce.GTC,
    )


def filling(at: float, name: str) -> Deed:
    """An order that takes some minutes to fill."""
    return Deed(at, "order", name, symbol=SYMBOLS[1], quantity=Decimal(1000), order_type=OrderType.MARKET)


def found(outcome: Outcome) -> set[str]:
    return {violation.invariant for violation in outcome.violations}


# -- LEAN.Brokerages.InteractiveBrokers #249: fills told while TWS is without its broker are lost for ever


def fills_while_the_broker_is_away() -> Played:
    played = Played(filling(300.0, "o"))
    played.at(300.2, played.lose_broker)
    played.at(420.0, played.find_broker)
    return played


def test_lean_249_fills_that_were_never_told_are_found_when_the_broker_is_back() -> None:
    played = fills_while_the_broker_is_away()
    assert not played.run().violations
    assert played.last_status("o") is OrderStatus.FILLED


def test_lean_249_comes_back_where_nobody_asks_for_executions(mutants: ModuleType) -> None:
    with mutants.mutated("executions_not_asked_for"):
        assert found(fills_while_the_broker_is_away().run())


# -- LEAN.Brokerages.InteractiveBrokers #242: an order is lost in the nightly restart, its id is reused


def order_lost_in_the_nightly_restart() -> Played:
    before = [
        Deed(200.0 + number, "order", f"before{number}", side=side, quantity=Decimal(10))
        for number, side in enumerate((Side.BUY, Side.SELL) * 15)
    ]
    played = Played(*before, resting(300.0, "lost"), resting(700.0, "after"))

    def roll_back() -> None:
        book = played.world.book
        book.roll_back_ids(CLIENT_ID, 40)
        for ticket in book.tickets.values():
            book.drop_id(ticket)

    played.at(299.9, played.incidents.lose_newest)
    played.at(301.0, roll_back)
    played.at(302.0, played.kill)
    return played


def test_lean_242_a_lost_order_is_settled_and_its_number_goes_to_no_other() -> None:
    played = order_lost_in_the_nightly_restart()
    assert not played.run().violations
    assert not played.numbers_used_twice()
    assert played.orders_at_broker("before0") == 1
    assert played.orders_at_broker("after") == 1
    assert played.recorded("order_doubted", "lost")


def test_lean_242_comes_back_where_numbers_outlive_their_session(mutants: ModuleType) -> None:
    with mutants.mutated("order_ids_outlive_their_session"):
        played = order_lost_in_the_nightly_restart()
        played.run()
    assert played.numbers_used_twice()


# -- nautilus_trader #4564: a change while TWS is without its broker becomes a second live order


def change_while_the_broker_is_away() -> Played:
    played = Played(resting(300.0, "o"), Deed(400.0, "modify", "change", pick=1))
    played.at(390.0, lambda: played.lose_broker(events="late"))
    played.at(429.9, lambda: played.forget_number("o"))
    played.at(430.0, played.find_broker)
    return played


def test_nautilus_4564_no_change_is_sent_while_the_broker_is_away() -> None:
    played = change_while_the_broker_is_away()
    assert not played.run().violations
    assert played.orders_at_broker("o") == 1


def test_nautilus_4564_comes_back_where_1100_is_no_reason_to_wait(mutants: ModuleType) -> None:
    with mutants.mutated("sent_while_frozen"):
        assert found(change_while_the_broker_is_away().run())


# -- nautilus_trader #3176: at each restart reconciliation makes orders anew, under other ids


def three_restarts() -> Played:
    again = [Deed(at, "again", f"again{at}") for at in (500.0, 700.0, 900.0)]
    first = resting(250.0, "o")
    played = Played(first, filling(260.0, "p"), *again)
    for at in (450.0, 650.0, 850.0):
        played.at(at, played.kill)
    return played


def test_nautilus_3176_a_restart_makes_no_orders() -> None:
    played = three_restarts()
    assert not played.run().violations
    submitted = [
        event.body["client_order_id"] for event in played.world.disk.events if event.kind == "order_submitted"
    ]
    assert sorted(submitted) == ["o", "p"]
    assert len(played.world.invariants.broker.placed) == 2


def test_nautilus_3176_comes_back_where_the_journal_is_not_read(mutants: ModuleType) -> None:
    with mutants.mutated("journal_not_read_at_restart"):
        assert found(three_restarts().run())


# -- erdewit/ib_insync #502: a change that is refused is shown as a cancelled order


def refused_change() -> Played:
    played = Played(resting(300.0, "o"), Deed(700.0, "cancel", "end", pick=0))
    played.at(400.0, lambda: played.err("o", 105, "Order being modified does not match original order."))
    played.at(420.0, lambda: played.err("o", 103, "Duplicate order id"))
    return played


def test_ib_insync_502_a_refused_change_leaves_the_order_at_work() -> None:
    played = refused_change()
    assert not played.run().violations
    changes = [body["new"] for body in played.recorded("order_status", "o")]
    assert "REJECTED" not in changes
    assert changes[-1] == OrderStatus.CANCELLED
    assert played.recorded("order_cancelled", "o")


def test_ib_insync_502_comes_back_where_an_error_is_a_cancel(mutants: ModuleType) -> None:
    with mutants.mutated("error_taken_as_cancel"):
        assert found(refused_change().run())


# -- pysystemtrade #1580: 10349 tells of a preset, the orders are taken as cancelled, sent again, and all fill


def preset_notice() -> Played:
    played = Played(filling(300.0, "o"), Deed(320.0, "again", "again"))
    played.at(300.5, lambda: played.err("o", 10349, "Order TIF was set to DAY based on order preset."))
    return played


def test_pysystemtrade_1580_a_notice_about_a_preset_ends_no_order() -> None:
    played = preset_notice()
    assert not played.run().violations
    assert played.orders_at_broker("o") == 1
    assert played.last_status("o") is OrderStatus.FILLED
    assert "CANCELLED" not in [body["new"] for body in played.recorded("order_status", "o")]


@pytest.mark.parametrize("name", ["error_taken_as_cancel"])
def test_pysystemtrade_1580_comes_back_where_an_error_is_a_cancel(mutants: ModuleType, name: str) -> None:
    with mutants.mutated(name):
        assert found(preset_notice().run())
