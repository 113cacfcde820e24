"""Whatever clients, the desk and the market do, the book says of an order what the broker says of it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ib_insync as ibi
import pytest

from backtesting.errors import BrokerRejection
from backtesting.gateway.desks.book import OrderBook
from backtesting.gateway.desks.book_events import NoEvents
from backtesting.gateway.errors import RequestRefusedError
from backtesting.gateway.market.corporate_action_file import CorporateAction
from backtesting.gateway.tickets import Execution, Ticket
from backtesting.gateway.wire.requests import PlaceOrder, decode
from data.calendars import ExchangeClock
from execution.models import Bar, Instrument
from strategies.spec import CostSpec

MINUTE = 60 * 10**9
TYPES = ("MKT", "LMT", "STP", "STP LMT", "TRAIL", "MIT", "LIT", "MOC", "LOC")
TIMES = ("DAY", "DAY", "GTC", "GTC", "IOC", "FOK", "OPG", "GTD")

Act = tuple[Any, ...]

FOUND: tuple[list[Act], ...] = (
    [
        ("place", 1, "LIT", "GTC", "SELL", 30, 98, 0, True, "g", 3),
        ("place", 2, "MIT", "DAY", "SELL", 5, 97, 1, False, "", 2),
        ("advance", 101, 20.0),
        ("split",),
    ],
    [
        ("place", 1, "MKT", "OPG", "SELL", 22, 98, 0, False, "g", 3),
        ("advance", 98, 20.0),
        ("place", 2, "TRAIL", "GTC", "BUY", 11, 98, 1, True, "g", 0),
        ("place", 3, "STP", "GTD", "SELL", 10, 100, 0, True, "g", 0),
        ("advance", 99, 20.0),
    ],
    [
        ("place", 1, "MKT", "GTC", "SELL", 7, 98, 0, True, "g", 3),
        ("place", 2, "LIT", "GTC", "BUY", 6, 103, 1, False, "g", 1),
        ("place", 1, "STP", "DAY", "SELL", 27, 101, 0, True, "", 2),
    ],
    [
        ("night",),
        ("place", 1, "STP", "GTD", "SELL", 14, 101, 0, False, "", 1),
        ("night",),
        ("place", 2, "LIT", "GTC", "SELL", 22, 99, 1, True, "g", 0),
    ],
)
"""What went wrong once: a held child reduced, a mate that is a child, a parent changed, a parent too late."""


def acts(chance: random.Random) -> list[Act]:
    """Make up a few days: orders, changes, families, groups, cancels, bars, corrections."""
    script: list[Act] = []
    number = 0
    for _ in range(chance.randint(20, 80)):
        what = chance.random()
        if what < 0.45:
            number += 1
            mine = number if chance.random() < 0.8 else chance.randint(1, number)
            parent = chance.choice((0, 0, 0, mine - 1, max(0, mine - 2)))
            terms = (chance.choice(TYPES), chance.choice(TIMES), chance.choice(("BUY", "SELL")))
            size, price = chance.randint(1, 30), chance.randint(97, 103)
            links = (parent, chance.random() < 0.7, chance.choice(("", "", "g")), chance.randint(0, 3))
            script.append(("place", mine, *terms, size, price, *links))
        elif what < 0.55:
            script.append(("cancel", chance.randint(1, max(1, number))))
        elif what < 0.9:
            script.append(("advance", chance.randint(97, 103), chance.choice((5.0, 20.0, 400.0))))
        else:
            script.append((chance.choice(("night", "global", "bust", "bust", "split")),))
    return script


class Witness(NoEvents):
    """Listens, and says no to what cannot be."""

    def __init__(self) -> None:
        self.ended: set[int] = set()

    def _alive(self, ticket: Ticket) -> None:
        assert ticket.perm_id not in self.ended, "told of after its end"

    def on_accepted(self, ticket: Ticket) -> None:
        self._alive(ticket)

    def on_changed(self, ticket: Ticket) -> None:
        self._alive(ticket)
        assert ticket.completed_ns is None

    def on_cancelled(self, ticket: Ticket) -> None:
        self._alive(ticket)
        self.ended.add(ticket.perm_id)

    def on_execution(self, execution: Execution) -> None:
        self._alive(execution.ticket)
        assert 0 < execution.quantity <= execution.cumulative
        if execution.ticket.status == "Filled":
            self.ended.add(execution.ticket.perm_id)


@pytest.fixture
def template(placed: Callable[..., list[str]]) -> PlaceOrder:
    """An order as ib_insync sends it."""
    wish = decode(placed(ibi.Stock("AAA", "SMART", "USD"), ibi.LimitOrder("BUY", 1, 100)), 176)
    assert isinstance(wish, PlaceOrder)
    return wish


def wish_of(template: PlaceOrder, act: Act) -> PlaceOrder:
    _, number, kind, life, side, size, price, parent, transmit, group, oca_type = act
    return dataclasses.replace(
        template,
        order_id=number,
        order_type=kind,
        time_in_force=life,
        good_till="20180103 15:00:00" if life == "GTD" else "",
        side=side,
        quantity=Decimal(size),
        limit_price=Decimal(price),
        stop_price=Decimal(price) if kind != "TRAIL" else Decimal(2),
        parent_id=parent if parent < number else 0,
        transmit=transmit,
        oca_group=group,
        oca_type=oca_type,
    )


@pytest.mark.parametrize("seed", range(10))
def test_the_book_and_the_broker_agree_on_every_order(
    template: PlaceOrder, sessions: ExchangeClock, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(25):
        follow(template, sessions, acts(chance))


@pytest.mark.parametrize("script", FOUND)
def test_what_once_went_wrong_does_not_again(
    template: PlaceOrder, sessions: ExchangeClock, script: list[Act]
) -> None:
    follow(template, sessions, script)


def follow(template: PlaceOrder, sessions: ExchangeClock, script: list[Act]) -> None:
    """Do what a script says, and compare book and broker after each act."""
    costs = CostSpec(participation=Decimal("0.5"))
    book = OrderBook([Instrument("AAA")], costs, sessions, Decimal(10**6), "DU1")
    book.events = Witness()
    now = int(sessions.opens_ns[0])
    days = iter(sessions.opens_ns[1:10].tolist())
    for act in script:
        try:
            if act[0] == "place":
                book.place(1, wish_of(template, act), now)
            elif act[0] == "cancel":
                book.cancel(1, act[1], now)
            elif act[0] == "global":
                book.cancel_all(now)
            elif act[0] == "bust" and len(book.executions):
                book.bust(book.executions[len(book.executions) - 1].exec_id, now)
            elif act[0] == "split":
                book.apply(CorporateAction(dt.date(2018, 1, 3), "AAA", "split", Decimal(2)), now)
            elif act[0] == "night":
                now = next(days, now)
                book.advance(now, [])
            elif act[0] == "advance":
                price = float(act[1])
                bar = Bar(
                    "AAA", now, now + MINUTE, 100.0, max(price, 100.0), min(price, 100.0), price, act[2]
                )
                now += MINUTE
                book.advance(now, [bar])
        except (RequestRefusedError, BrokerRejection):
            pass  # refused: nothing may have changed
        for ticket in book.tickets.values():
            order = ticket.order
            assert (ticket.completed_ns is not None) == order.status.is_final
            assert (ticket.quantity, ticket.filled) == (order.quantity, order.filled)
            assert ticket.remaining >= 0
            if not order.status.is_final:
                assert ticket.remaining == order.remaining_lots
                assert ticket.status in ("PreSubmitted", "Submitted")
        live = {ticket.order.perm_id for ticket in book.open_tickets()}
        assert live == {order.perm_id for order in book.broker.open_orders()}
    held = sum((e.quantity * e.ticket.order.request.side.sign for e in book.executions), start=Decimal(0))
    if not book.applied and not book.archive.executions:
        assert book.broker.ledger.position("AAA") == held
