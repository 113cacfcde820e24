"""Orders of somebody else in the account: counted, left out or refused, on the simulated gateway."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from backtesting.gateway.control import GatewayControl
from execution.errors import OrderInDoubtError
from execution.events import RiskDecision
from execution.models import Fill, OrderRequest
from execution.orders.blotter import Blotter, External
from execution.orders.evidence import ExecutionSeen, OpenOrderSeen
from execution.reconciliation.claims import Claim, ClaimPolicy

if TYPE_CHECKING:
    from ..conftest import Floor, MakeFloor

ACCOUNT = "DU0000001"


class Held:
    """A validator that keeps what is reserved."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[str, Decimal, Decimal | None]] = {}

    def evaluate(self, request: OrderRequest) -> RiskDecision:
        return RiskDecision(True)

    def reserve(self, request: OrderRequest, price: Decimal | None = None) -> Decimal | None:
        assert request.client_order_id not in self.held
        self.held[request.client_order_id or ""] = (request.side.value, request.quantity, price)
        return price

    def release(self, client_order_id: str) -> None:
        self.held.pop(client_order_id, None)

    def on_fill(self, fill: Fill) -> None:
        """Leave it."""


def by_hand(floor: Floor, **fields: Any) -> None:
    GatewayControl(floor.server).order(**{"symbol": "AAA", "quantity": 10, "side": "BUY", **fields})


async def test_an_order_placed_by_hand_counts_and_its_executions_are_booked(floor: MakeFloor) -> None:
    validator = Held()
    async with floor(validator=validator) as f:
        by_hand(f, type="LMT", limit="50")
        await f.executor.reconcile()
        (order,) = f.executor.blotter.externals.open()
        assert validator.held == {order.key: ("BUY", Decimal(10), Decimal(50))}
        assert order.client_id == 0
        by_hand(f, type="MKT", quantity=3)
        while not f.book.broker.ledgers[ACCOUNT].position("AAA"):
            await f.step()
        result = await f.executor.reconcile()
        assert result.agrees
        assert f.executor.inbox.net == {"AAA": Decimal(3)}
        assert {"external_fill", "claims"} <= set(f.kinds())
        assert "fill" not in f.handler.names()
        await f.shut()
        kept = Held()
        again = f.another(validator=kept)
        assert again.inbox.net == {"AAA": Decimal(3)}
        assert kept.held == validator.held
        await again.ensure_ready()
        assert again.is_ready


@pytest.mark.parametrize(("policy", "level"), [(ClaimPolicy.ADOPT, "warning"), (ClaimPolicy.REFUSE, "error")])
async def test_an_order_of_somebody_else_is_one_line_of_the_log(
    floor: MakeFloor, policy: ClaimPolicy, level: str
) -> None:
    async with floor(claim=policy) as f:
        with capture_logs() as lines:
            by_hand(f, type="LMT", limit="50")
            for _ in range(2):
                await f.executor.reconcile()
            (order,) = f.executor.blotter.externals.open()
            GatewayControl(f.server).cancel(order.perm_id)
            await f.executor.reconcile()
    assert [(line["log_level"], line["what"]) for line in lines if line["event"].startswith("somebody")] == [
        (level, order.describe().replace(" 0 ", " 10 "))
    ]
    assert not [line for line in lines if "outside of what is ours" in line["event"]]


async def test_an_order_that_is_not_ours_to_count_is_named_once_and_is_no_warning(floor: MakeFloor) -> None:
    async with floor(claim=ClaimPolicy.IGNORE, claim_symbols=["BBB"]) as f:
        with capture_logs() as lines:
            by_hand(f, type="LMT", limit="50")
            for _ in range(2):
                await f.executor.reconcile()
    (line,) = [line for line in lines if "outside of what is ours" in line["event"]]
    assert line["log_level"] == "info"


async def test_an_external_order_that_ended_holds_nothing_any_more(floor: MakeFloor) -> None:
    validator = Held()
    async with floor(validator=validator) as f:
        by_hand(f, type="LMT", limit="50")
        await f.executor.reconcile()
        (order,) = f.executor.blotter.externals.open()
        GatewayControl(f.server).cancel(order.perm_id)
        await f.executor.reconcile()
        assert validator.held == {}
        (ended,) = [e.body for e in f.journal.events() if e.kind == "external_order_ended"]
        assert (ended["key"], ended["filled"]) == (order.key, "0")
        await f.shut()
        assert f.another(validator=(kept := Held())).blotter.externals.open() == []
        assert kept.held == {}


async def test_what_others_executed_before_the_book_began_is_in_its_opening(floor: MakeFloor) -> None:
    async with floor(ready=False) as f:
        await f.executor.manager.connect()
        by_hand(f, type="MKT")
        while not f.book.broker.ledgers[ACCOUNT].position("AAA"):
            await f.step()
        await f.executor.ensure_ready()
        opening = f.executor.opening
        assert opening is not None
        assert opening["positions"]["AAA"]["quantity"] == "10"
        assert f.executor.inbox.net == {}
        assert (await f.executor.reconcile()).agrees


async def test_where_nobody_else_may_trade_an_open_order_closes_the_way(floor: MakeFloor) -> None:
    async with floor(claim=ClaimPolicy.REFUSE) as f:
        by_hand(f, type="LMT", limit="50")
        result = await f.executor.reconcile()
        assert not result.agrees
        with pytest.raises(OrderInDoubtError, match="a person in TWS: BUY 10 AAA, which the claim refuses"):
            await f.executor.ensure_ready()
        (doubt,) = f.executor.doubts()
        assert "cancel it where it was placed" in doubt.next_step
        GatewayControl(f.server).cancel(f.executor.blotter.externals.open()[0].perm_id)
        await f.executor.ensure_ready()
        by_hand(f, type="MKT", quantity=3)
        while not f.book.broker.ledgers[ACCOUNT].position("AAA"):
            await f.step()
        assert (await f.executor.reconcile()).breaks == {"AAA": (Decimal(0), Decimal(3))}
        await f.executor.adjust_position("AAA", by="A. Smith", reason="it was mine")
        assert f.executor.is_ready


async def test_in_a_shared_account_only_our_symbols_are_reconciled(floor: MakeFloor) -> None:
    async with floor(claim=ClaimPolicy.IGNORE, claim_symbols=["BBB"]) as f:
        by_hand(f, type="MKT", quantity=3)
        by_hand(f, type="MKT", quantity=5, symbol="BBB")
        while not f.book.broker.ledgers[ACCOUNT].position("BBB"):
            await f.step()
        result = await f.executor.reconcile()
        assert result.agrees
        assert f.executor.inbox.net == {"BBB": Decimal(5)}
        assert [p.symbol for p in await f.executor.get_positions()] == ["BBB"]


async def test_an_external_execution_that_is_corrected_is_booked_anew(floor: MakeFloor) -> None:
    async with floor() as f:
        by_hand(f, type="MKT", quantity=8)
        while not f.book.broker.ledgers[ACCOUNT].position("AAA"):
            await f.step()
        await f.executor.reconcile()
        GatewayControl(f.server).correct(quantity="6")
        await f.executor.reconcile()
        assert f.executor.inbox.net == {"AAA": Decimal(6)}
        assert (await f.executor.reconcile()).agrees


def test_other_accounts_and_other_kinds_of_contract_are_not_claimed() -> None:
    blotter = Blotter(client_id=1)
    blotter.claim, blotter.book_open = Claim(account="DU1"), True

    def executed(account: str, kind: str) -> ExecutionSeen:
        return ExecutionSeen("x.01", 9, 3, 77, "", account, "AAA", "BUY", Decimal(1), Decimal(2), 1, kind)

    for account, kind in (("DU2", "STK"), ("DU1", "OPT")):
        assert [type(c) for c in blotter.apply(executed(account, kind))] == [External]
    seen = OpenOrderSeen(9, 3, 0, "", "DU1", "AAA", "SSHORT", Decimal(5), security_type="STK")
    blotter.apply(seen)
    (order,) = blotter.externals.open()
    assert (order.key, order.side, order.describe()) == (
        "external-3-9",
        "SELL",
        "open order external-3-9 of client 3: SELL 5 AAA",
    )


def test_a_claim_comes_back_from_the_journal_as_it_was() -> None:
    claim = Claim(ClaimPolicy.IGNORE, "DU1", frozenset(("AAA", "BBB")), {"ES": "FUT"})
    assert Claim.from_body(claim.to_body()) == claim


async def test_an_order_of_somebody_else_is_an_event_of_its_own_once(floor: MakeFloor) -> None:
    async with floor() as f:
        by_hand(f, type="LMT", limit="50")
        await f.executor.reconcile()
        await f.executor.reconcile()
        (order,) = f.executor.blotter.externals.open()
        (event,) = [e for e in f.journal.events() if e.kind == "external_order"]
        assert event.body == order.as_body()
        assert (event.body["symbol"], event.body["quantity"], event.body["client"]) == ("AAA", "10", 0)
        await f.shut()
        await f.another().ensure_ready()
        assert f.kinds().count("external_order") == 1
