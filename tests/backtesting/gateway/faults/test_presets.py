"""Every fault that is known of real gateways arrives at a real client as those who met it describe it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

import ib_insync as ibi
import pytest

from backtesting.gateway.faults.script import load_preset, preset_about, preset_names

AAA = ibi.Stock("AAA", "SMART", "USD")
Errors = list[tuple[int, int, str]]


def market(quantity: float = 10, side: str = "BUY") -> ibi.Order:
    return ibi.MarketOrder(side, quantity)


def resting(price: float = 1.0) -> ibi.Order:
    return ibi.LimitOrder("BUY", 10, price, tif="GTC")


async def connected(rig: Any, client_id: int = 7) -> tuple[ibi.IB, Errors]:
    """Return a client that takes part in lockstep, and the errors it has been told."""
    ib = await rig.ib(client_id)
    errors: Errors = []
    ib.errorEvent += lambda number, code, text, _: errors.append((number, code, text))
    await rig.step(ib)
    return ib, errors


async def answered(ib: ibi.IB) -> None:
    """Wait until the gateway has served all that was asked so far."""
    await asyncio.wait_for(ib.reqPositionsAsync(), 10)


async def gone(ib: ibi.IB) -> None:
    async with asyncio.timeout(10):
        while ib.isConnected():  # noqa: ASYNC110  the event is reset with the client
            await asyncio.sleep(0.001)


def statuses(trade: ibi.Trade) -> list[str]:
    return [entry.status for entry in trade.log if not entry.errorCode]


def codes(errors: Errors) -> list[int]:
    return [code for _, code, _ in errors if code != 399]  # the exchange is closed at the end of a day


async def test_drop(rigged: Any) -> None:
    async with rigged("drop") as rig:
        ib, _ = await connected(rig)
        trade = ib.placeOrder(AAA, resting())
        await answered(ib)
        assert trade.orderStatus.status == "PendingSubmit"  # though it works at the gateway
        assert len(rig.server.service.book.open_tickets()) == 1


async def test_delay(rigged: Any) -> None:
    async with rigged("delay") as rig:
        ib, _ = await connected(rig)
        trade = ib.placeOrder(AAA, market())
        await rig.step(ib)
        assert trade.orderStatus.status == "Filled"
        assert trade.orderStatus.filled == 10
        assert trade.filled() == 0
        await rig.step(ib, 2)
        assert trade.filled() == 10


async def test_duplicate(rigged: Any) -> None:
    async with rigged("duplicate") as rig:
        ib, _ = await connected(rig)
        trade = ib.placeOrder(AAA, market())
        await rig.step(ib)
        assert trade.filled() == 10  # ib_insync knows the execution id
        client = await rig.wire(3)
        client.send(7, 3, 1, 0, "", "", "", "", "", "")
        came = [fields[0] for fields in await client.until("55")]
        assert came == ["11", "11", "59", "55"]


async def test_reorder(rigged: Any) -> None:
    async with rigged("reorder") as rig:
        ib, _ = await connected(rig)
        trade = ib.placeOrder(AAA, market())
        seen: list[tuple[str, float]] = []
        trade.statusEvent += lambda t: seen.append((t.orderStatus.status, t.filled()))
        await rig.step(ib)
        assert ("Filled", 0) in seen  # the status told of a fill that was not known
        assert trade.filled() == 10


async def test_split(rigged: Any) -> None:
    async with rigged("split") as rig:
        ib, _ = await connected(rig)
        trade = ib.placeOrder(AAA, market())
        await rig.step(ib)
        assert trade.orderStatus.status == "Filled"


async def test_corrupt(rigged: Any) -> None:
    async with rigged("corrupt") as rig:
        ib, _ = await connected(rig)
        first = ib.placeOrder(AAA, market())
        await rig.step(ib)
        assert first.fills == []  # the client could not read its price and lost it
        second = ib.placeOrder(AAA, market())
        await rig.step(ib)
        assert len(second.fills) == 1


async def test_rst(rigged: Any) -> None:
    async with rigged("rst") as rig:
        ib, _ = await connected(rig)
        trade = ib.placeOrder(AAA, resting())
        await gone(ib)
        assert trade.orderStatus.status == "PendingSubmit"  # frozen for ever
        again, _ = await connected(rig, 7)
        assert [order.orderId for order in again.orders()] == [trade.order.orderId]


async def test_fin(rigged: Any) -> None:
    async with rigged("fin") as rig:
        ib, _ = await connected(rig)
        trade = ib.placeOrder(AAA, resting())
        await gone(ib)
        assert trade.order.permId  # the message before the end was read
        assert trade.orderStatus.status == "PendingSubmit"
        assert ib.trades() == []


async def test_black_hole(rigged: Any) -> None:
    async with rigged("black_hole") as rig:
        ib, errors = await connected(rig)
        trade = ib.placeOrder(AAA, resting())
        await asyncio.sleep(0.02)
        ib.cancelOrder(trade.order)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ib.reqCurrentTimeAsync(), 0.05)
        assert ib.isConnected()
        assert statuses(trade) == ["PendingSubmit", "PendingCancel"]
        assert errors == []
        assert not rig.server.service.book.tickets


async def test_pause(rigged: Any) -> None:
    async with rigged("pause") as rig:
        ib, _ = await connected(rig)
        trade = ib.placeOrder(AAA, market())
        await asyncio.sleep(0.005)
        assert trade.orderStatus.status == "PendingSubmit"
        await rig.step(ib)
        assert trade.orderStatus.status == "Filled"


async def test_latency(rigged: Any) -> None:
    async with rigged("latency") as rig:
        ib, _ = await connected(rig)
        trade = ib.placeOrder(AAA, market())
        await rig.step(ib)
        assert trade.orderStatus.status == "Filled"


async def test_full_page(rigged: Any) -> None:
    async with rigged("full_page") as rig:
        client = await rig.wire()
        client.send(61, 1)
        async with asyncio.timeout(10):
            delivery = await client.reader.readexactly(4096)
        assert delivery[4:7] == b"62\0"
        ib, _ = await connected(rig)
        await answered(ib)  # this client reads it all the same


async def test_restart_with_state(rigged: Any) -> None:
    async with rigged("restart_with_state") as rig:
        ib, _ = await connected(rig)
        trade = ib.placeOrder(AAA, resting())
        await gone(ib)
        again, _ = await connected(rig)
        assert [order.permId for order in again.orders()] == [trade.order.permId]
        assert again.client.getReqId() > trade.order.orderId


async def test_restart_without_state(rigged: Any) -> None:
    async with rigged("restart_without_state") as rig:
        ib, _ = await connected(rig)
        ib.placeOrder(AAA, resting())
        await gone(ib)
        again, _ = await connected(rig)
        assert again.orders() == []
        trade = again.placeOrder(AAA, market())
        await rig.step(again)
        assert trade.orderStatus.status == "Filled"


async def test_ids_rolled_back(rigged: Any) -> None:
    async with rigged("ids_rolled_back") as rig:
        first = await rig.wire(7, welcome=False)
        assert (await first.until("9"))[-1] == ["9", "1", "1"]
        ib_client = await rig.ib(8)
        lost = ib_client.placeOrder(AAA, resting())
        await gone(ib_client)
        again = await rig.wire(8, welcome=False)
        assert (await again.until("9"))[-1] == ["9", "1", str(lost.order.orderId)]
        assert not rig.server.service.book.open_tickets()


async def test_id_in_use(rigged: Any) -> None:
    async with rigged("id_in_use") as rig:
        ib = await rig.ib(7)
        ib.disconnect()
        await until_left(rig)
        second = ibi.IB()
        errors: list[int] = []
        second.errorEvent += lambda _number, code, _text, _contract: errors.append(code)
        with pytest.raises(TimeoutError):
            await second.connectAsync("127.0.0.1", rig.server.port, clientId=7, timeout=0.1)
        assert errors == [326]
        assert (await rig.ib(7)).isConnected()


async def until_left(rig: Any) -> None:
    async with asyncio.timeout(10):
        while rig.server.service.connections:  # noqa: ASYNC110  the gateway offers no event for it
            await asyncio.sleep(0.001)


async def test_outage_data_kept(rigged: Any) -> None:
    async with rigged("outage_data_kept") as rig:
        ib, errors = await connected(rig)
        trade = ib.placeOrder(AAA, market())
        await answered(ib)
        assert codes(errors) == [1100]
        assert ib.isConnected()
        queued = ib.placeOrder(AAA, resting())
        await rig.step(ib)
        assert trade.fills == []  # it has happened, and nobody can know
        assert len(rig.server.service.book.tickets) == 1  # the second order is queued
        await rig.step(ib, 2)
        await answered(ib)
        assert codes(errors) == [1100, 1102]
        assert trade.orderStatus.status == "Filled"
        assert queued.orderStatus.status == "PreSubmitted"


async def test_outage_data_lost(rigged: Any) -> None:
    async with rigged("outage_data_lost") as rig:
        ib, errors = await connected(rig)
        bars = await ib.reqHistoricalDataAsync(AAA, "", "5 D", "1 day", "TRADES", True, keepUpToDate=True)
        await rig.step(ib)
        before = len(bars)
        trade = ib.placeOrder(AAA, market())
        await rig.step(ib, 4)
        assert codes(errors) == [1100, 1100, 1101]
        assert trade.fills == []  # lost for ever, unless asked for
        assert len(bars) == before  # nothing is subscribed again by itself
        assert [row.position for row in await ib.reqPositionsAsync()] == [10]


async def test_farm_flaps(rigged: Any) -> None:
    async with rigged("farm_flaps") as rig:
        ib, errors = await connected(rig)
        trade = ib.placeOrder(AAA, resting())
        await answered(ib)
        assert trade.orderStatus.status == "Submitted"
        assert codes(errors) == [2103, 2105, 2157]
        assert not await ib.reqHistoricalDataAsync(AAA, "", "5 D", "1 day", "TRADES", True)
        assert codes(errors)[-1] == 162
        await rig.step(ib)
        assert codes(errors)[-4:] == [2119, 2104, 2106, 2158]
        assert trade.orderStatus.status == "Submitted"
        assert len(await ib.reqHistoricalDataAsync(AAA, "", "5 D", "1 day", "TRADES", True)) > 0


async def test_farms_inactive(rigged: Any) -> None:
    async with rigged("farms_inactive") as rig:
        ib, errors = await connected(rig)
        trade = ib.placeOrder(AAA, resting())
        await answered(ib)
        assert codes(errors) == [2107, 2108, 2110]
        assert errors[0][2].endswith("available upon demand.ushmds")
        assert trade.orderStatus.status == "Submitted"


async def test_port_reset(rigged: Any) -> None:
    async with rigged("port_reset") as rig:
        ib, errors = await connected(rig)
        ib.placeOrder(AAA, resting())
        await gone(ib)
        assert codes(errors) == [1300]
        assert errors[0][2].endswith(str(rig.server.port))


async def test_silent_drop(rigged: Any) -> None:
    async with rigged("silent_drop") as rig:
        ib, errors = await connected(rig)
        lost, kept = ib.placeOrder(AAA, market()), ib.placeOrder(AAA, market())
        await rig.step(ib, 2)
        assert statuses(lost) == ["PendingSubmit"]
        assert kept.orderStatus.status == "Filled"
        assert errors == []


async def test_commission_late(rigged: Any) -> None:
    async with rigged("commission_late") as rig:
        ib, _ = await connected(rig)
        trade = ib.placeOrder(AAA, market())
        await rig.step(ib)
        assert trade.fills[0].commissionReport.commission == 0
        await rig.step(ib, 2)
        assert trade.fills[0].commissionReport.commission > 0


async def test_commission_missing(rigged: Any) -> None:
    async with rigged("commission_missing") as rig:
        ib, _ = await connected(rig)
        trade = ib.placeOrder(AAA, market())
        await rig.step(ib, 3)
        assert trade.orderStatus.status == "Filled"
        assert trade.fills[0].commissionReport.execId == ""


async def test_commission_early(rigged: Any) -> None:
    async with rigged("commission_early") as rig:
        ib, _ = await connected(rig)
        trade = ib.placeOrder(AAA, market())
        await rig.step(ib, 2)
        assert len(trade.fills) == 1
        assert trade.fills[0].commissionReport.execId == ""  # it came before its execution was known


async def test_execution_corrected(rigged: Any) -> None:
    async with rigged("execution_corrected") as rig:
        ib, _ = await connected(rig)
        trade = ib.placeOrder(AAA, market())
        await rig.step(ib)
        await answered(ib)
        ids = [fill.execution.execId for fill in trade.fills]
        assert [name.rpartition(".")[2] for name in ids] == ["01", "02"]
        assert ids[0].rpartition(".")[0] == ids[1].rpartition(".")[0]
        assert trade.fills[1].execution.price == 99.5
        assert trade.filled() == 20  # what a client that counts both believes


async def test_execution_busted(rigged: Any) -> None:
    async with rigged("execution_busted") as rig:
        ib, _ = await connected(rig)
        trade = ib.placeOrder(AAA, market())
        await rig.step(ib)
        await answered(ib)
        assert [fill.execution.shares for fill in trade.fills] == [10, 0]
        assert [row.position for row in await ib.reqPositionsAsync()] in ([], [0])


async def test_cancel_fill_race(rigged: Any) -> None:
    async with rigged("cancel_fill_race") as rig:
        ib, errors = await connected(rig)
        trade = ib.placeOrder(AAA, market())
        await answered(ib)
        ended: list[str] = []
        trade.filledEvent += lambda _: ended.append("filled")
        trade.cancelledEvent += lambda _: ended.append("cancelled")
        ib.cancelOrder(trade.order)
        await rig.step(ib)
        await answered(ib)
        assert "PendingCancel" in statuses(trade)
        assert trade.filled() == 10
        assert [(number, code) for number, code, _ in errors] == [(trade.order.orderId, 10148)]
        assert errors[0][2].endswith("state: Filled.")
        assert "filled" in ended


async def test_fill_without_status(rigged: Any) -> None:
    async with rigged("fill_without_status") as rig:
        ib, _ = await connected(rig)
        trade = ib.placeOrder(AAA, market())
        await rig.step(ib, 2)
        assert trade.filled() == 10
        assert trade.orderStatus.status == "Submitted"
        assert not trade.isDone()


async def test_status_without_fill(rigged: Any) -> None:
    async with rigged("status_without_fill") as rig:
        ib, _ = await connected(rig)
        trade = ib.placeOrder(AAA, market())
        await rig.step(ib, 2)
        assert trade.orderStatus.status == "Filled"
        assert trade.orderStatus.filled == 10
        assert trade.filled() == 0


async def test_manual_order(rigged: Any) -> None:
    async with rigged("manual_order") as rig:
        ib, _ = await connected(rig)
        ib.placeOrder(AAA, resting())
        await answered(ib)
        assert len(ib.trades()) == 1  # nobody is told of the other
        seen = {trade.order.orderRef: trade for trade in await ib.reqAllOpenOrdersAsync()}
        manual = seen["by-hand"]
        assert manual.order.orderId <= 0
        assert manual.order.clientId == 0
        assert manual.order.permId


async def test_manual_edit(rigged: Any) -> None:
    async with rigged("manual_edit") as rig:
        ib, errors = await connected(rig)
        trade = ib.placeOrder(AAA, resting())
        await answered(ib)
        await answered(ib)
        assert trade.order.lmtPrice == 12.5
        assert trade.order.totalQuantity == 3
        assert errors == []


async def test_manual_cancel(rigged: Any) -> None:
    async with rigged("manual_cancel") as rig:
        ib, errors = await connected(rig)
        trade = ib.placeOrder(AAA, resting())
        await answered(ib)
        await answered(ib)
        assert trade.orderStatus.status == "Cancelled"
        assert codes(errors) == [202]


async def test_other_client(rigged: Any) -> None:
    async with rigged("other_client") as rig:
        ib, _ = await connected(rig)
        ib.placeOrder(AAA, resting())
        await rig.step(ib, 2)
        assert {row.contract.symbol: row.position for row in await ib.reqPositionsAsync()} == {"BBB": 7}
        mine = [trade for trade in ib.trades() if trade.order.orderRef == "other"]
        assert mine == []  # an execution of another client belongs to no trade of ours


async def test_pacing(rigged: Any) -> None:
    async with rigged("pacing") as rig:
        client = await rig.wire()
        client.send(49, 1)
        await client.until("49")
        client.send(49, 1)  # the next second of simulated time
        await client.until("49")
        for _ in range(51):
            client.send(17, 1)
        told = (await client.until("4"))[-1]
        assert told[3:5] == ["100", "Max rate of messages per second has been exceeded:max=50 rec=51 (1)"]
        bystander = await rig.wire(2)
        rig.server.service.step(1)
        for _ in range(51):
            client.send(17, 1)
        assert [m for m in await until_closed(client) if m[0] == "4"][-1][3] == "100"
        bystander.send(17, 1)
        assert (await bystander.until("15"))[-1][0] == "15"


async def until_closed(client: Any) -> list[list[str]]:
    messages = []
    with contextlib.suppress(EOFError):
        while True:
            messages.append(await client.receive())
    return messages


async def test_read_only(rigged: Any) -> None:
    async with rigged("read_only") as rig:
        ib = await rig.ib(7, readonly=True)
        errors: Errors = []
        ib.errorEvent += lambda number, code, text, _contract: errors.append((number, code, text))
        trade = ib.placeOrder(AAA, resting())
        await answered(ib)
        assert errors[0][:2] == (trade.order.orderId, 321)
        assert "Read-Only" in errors[0][2]
        assert trade.orderStatus.status == "Cancelled"
        assert not rig.server.service.book.tickets
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ib.reqAllOpenOrdersAsync(), 0.05)


async def test_nightly_reset(rigged: Any) -> None:
    async with rigged("nightly_reset") as rig:
        ib, errors = await connected(rig)
        trade = ib.placeOrder(AAA, resting())
        await gone(ib)
        assert codes(errors) == [1100, 1100, 2103, 2105]
        for _ in range(2):
            refused = ibi.IB()
            with pytest.raises((ConnectionError, TimeoutError)):
                await refused.connectAsync("127.0.0.1", rig.server.port, clientId=7, timeout=0.2)
        again = ibi.IB()
        rig.clients.append(again)
        notices: list[int] = []
        again.errorEvent += lambda _number, code, _text, _contract: notices.append(code)
        await again.connectAsync("127.0.0.1", rig.server.port, clientId=7, timeout=10)
        assert [code for code in notices if code in (1102, 2104, 2106)][-3:] == [1102, 2104, 2106]
        assert [order.permId for order in again.orders()] == [trade.order.permId]


async def test_midnight(rigged: Any) -> None:
    async with rigged("midnight") as rig:
        ib, _ = await connected(rig)
        ib.placeOrder(AAA, market())
        await rig.step(ib)
        client = await rig.wire(3)
        client.send(7, 3, 1, 0, "", "", "", "", "", "")
        assert (await client.until("55"))[0][0] == "55"
        assert [row.position for row in await ib.reqPositionsAsync()] == [10]


async def test_two_factor_sunday(rigged: Any) -> None:
    async with rigged("two_factor_sunday") as rig:
        waiting = ibi.IB()
        with pytest.raises(ConnectionRefusedError):
            await waiting.connectAsync("127.0.0.1", rig.server.port, clientId=7, timeout=5)
        rig.engine.standing.accept()
        while not rig.server._server.is_serving():  # noqa: ASYNC110  the gateway offers no event for it
            await asyncio.sleep(0)
        assert (await rig.ib(7)).isConnected()


async def test_login_message(rigged: Any) -> None:
    async with rigged("login_message") as rig:
        client = await rig.wire(welcome=False)
        told = await client.receive()
        assert told[:4] == ["4", "2", "-1", "10141"]
        with pytest.raises(EOFError):
            await client.receive()
        rig.engine.standing.login_message = None
        assert (await rig.ib(7)).isConnected()


async def test_error_on_live_order(rigged: Any) -> None:
    async with rigged("error_on_live_order") as rig:
        ib, errors = await connected(rig)
        trade = ib.placeOrder(AAA, resting())
        await answered(ib)
        assert codes(errors) == [10349]
        assert trade.orderStatus.status == "Cancelled"
        assert len(rig.server.service.book.open_tickets()) == 1  # it lives all the same


ISSUE: Final[dict[str, tuple[str, ...]]] = {
    "drop": ("drop",),
    "delay": ("delay", "latency", "pause"),
    "duplicate": ("duplicate",),
    "reorder": ("reorder",),
    "split": ("split", "full_page"),
    "corrupt any message": ("corrupt",),
    "RST": ("rst",),
    "FIN": ("fin",),
    "black hole": ("black_hole",),
    "restart with state": ("restart_with_state",),
    "restart without state": ("restart_without_state",),
    "restart with nextValidId rolled back": ("ids_rolled_back",),
    "326 window": ("id_in_use",),
    "1100/1102": ("outage_data_kept",),
    "1100/1101": ("outage_data_lost",),
    "farm flaps": ("farm_flaps", "farms_inactive"),
    "1300": ("port_reset",),
    "silent drop of an order": ("silent_drop",),
    "late commission": ("commission_late",),
    "missing commission": ("commission_missing",),
    "early commission": ("commission_early",),
    "execution correction": ("execution_corrected",),
    "bust": ("execution_busted",),
    "cancel/fill race": ("cancel_fill_race",),
    "fill without status": ("fill_without_status",),
    "status without fill": ("status_without_fill",),
    "manual order by another client": ("manual_order", "other_client"),
    "manual edit by another client": ("manual_edit",),
    "manual cancel by another client": ("manual_cancel",),
    "50 msg/s pacing": ("pacing",),
    "read-only": ("read_only",),
    "nightly reset": ("nightly_reset",),
    "midnight loss of executions": ("midnight",),
    "two-factor Sunday": ("two_factor_sunday", "login_message"),
    "an error that ends no order": ("error_on_live_order",),
}
"""The faults that are promised, and the presets that bring them about."""


def test_every_promised_fault_has_a_preset_and_a_test() -> None:
    presets = [name for names in ISSUE.values() for name in names]
    assert sorted(presets) == list(preset_names())
    tests: dict[str, Callable[..., Any]] = globals()
    for name in presets:
        assert f"test_{name}" in tests


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_can_be_read_and_says_what_it_does(name: str) -> None:
    assert load_preset(name).rules
    assert preset_about(name).endswith(".")
