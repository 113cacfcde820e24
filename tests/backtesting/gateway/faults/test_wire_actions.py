"""What happens to messages on the wire, as a real client and a client on the bare wire see it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import ib_insync as ibi
import pytest

from backtesting.gateway.faults.action import Span
from backtesting.gateway.faults.agenda import Agenda
from backtesting.gateway.faults.gateway_actions import Note

AAA = ibi.Stock("AAA", "SMART", "USD")


async def ping(client: Any) -> list[list[str]]:
    """Return what comes up to the answer of a request for the accounts."""
    client.send(17, 1)
    answer: list[list[str]] = await client.until("15")
    return answer


def kinds(messages: list[list[str]]) -> list[str]:
    return [fields[0] for fields in messages]


async def test_a_dropped_message_never_comes(rigged: Any) -> None:
    async with rigged("rules: [{when: {message: nextValidId, nth: 2}, do: drop}]") as rig:
        client = await rig.wire()
        client.send(8, 1, 1)
        assert kinds(await ping(client)) == ["15"]
        client.send(8, 1, 1)
        assert kinds(await ping(client)) == ["9", "15"]


async def test_a_message_comes_as_often_as_it_is_duplicated(rigged: Any) -> None:
    async with rigged("rules: [{when: {message: managedAccounts, nth: 2}, do: {duplicate: 3}}]") as rig:
        client = await rig.wire()
        client.send(17, 1)
        client.send(8, 1, 1)
        assert kinds(await client.until("9")) == ["15", "15", "15", "9"]


async def test_a_request_can_be_served_twice(rigged: Any) -> None:
    async with rigged("rules: [{when: {message: reqIds}, do: duplicate}]") as rig:
        client = await rig.wire()
        client.send(8, 1, 1)
        assert kinds(await ping(client)) == ["9", "9", "15"]


async def test_a_delay_of_steps_lets_later_messages_pass(rigged: Any) -> None:
    async with rigged("rules: [{when: {message: positionEnd}, do: {delay: {steps: 2}}}]") as rig:
        client = await rig.wire()
        client.send(49, 1)
        await client.until("49")
        client.send(61, 1)
        client.send(49, 1)
        assert kinds(await client.until("49")) == ["49"]
        client.send(49, 1)
        assert kinds(await client.until("49")) == ["62", "49"]


@pytest.mark.parametrize("span", ["wall: 0.01", "seconds: 1"])
async def test_a_delay_can_be_of_wall_or_simulated_time(rigged: Any, span: str) -> None:
    async with rigged(f"rules: [{{when: {{message: positionEnd}}, do: {{delay: {{{span}}}}}}}]") as rig:
        client = await rig.wire()
        client.send(49, 1)
        await client.until("49")
        client.send(61, 1)
        assert kinds(await ping(client)) == ["15"]
        if "seconds" in span:
            client.send(49, 1)
        assert kinds(await client.until("62"))[-1] == "62"


async def test_a_request_can_reach_the_gateway_late(rigged: Any) -> None:
    async with rigged("rules: [{when: {message: reqIds}, do: {delay: {wall: 0.01}}}]") as rig:
        client = await rig.wire()
        client.send(8, 1, 1)
        assert kinds(await ping(client)) == ["15"]
        assert kinds(await client.until("9")) == ["9"]


async def test_a_message_is_held_until_another_has_passed(rigged: Any) -> None:
    async with rigged(
        "rules: [{when: {message: nextValidId, nth: 2}, do: {reorder: managedAccounts}}]"
    ) as rig:
        client = await rig.wire()
        client.send(8, 1, 1)
        client.send(61, 1)
        client.send(17, 1)
        assert kinds(await client.until("9")) == ["62", "15", "9"]


@pytest.mark.parametrize("gap", [0, 0.002])
async def test_a_message_in_single_bytes_is_read_by_a_real_client(rigged: Any, gap: float) -> None:
    script = f"rules: [{{when: {{message: position}}, do: {{split: {{size: 9, gap: {gap}}}}}}}]"
    async with rigged(script) as rig:
        ib = await rig.ib()
        await rig.step(ib)
        trade = ib.placeOrder(AAA, ibi.MarketOrder("BUY", 10))
        await rig.step(ib)
        assert trade.orderStatus.status == "Filled"
        await asyncio.wait_for(ib.reqPositionsAsync(), 10)
        assert [row.position for row in ib.positions()] == [10.0]


async def test_a_replaced_field_reaches_the_client(rigged: Any) -> None:
    script = "rules: [{when: {message: nextValidId}, do: {corrupt: {field: orderId, value: many}}}]"
    async with rigged(script) as rig:
        client = await rig.wire(welcome=False)
        assert (await client.until("9"))[-1] == ["9", "1", "many"]


async def test_flipped_bytes_differ_by_seed_only(rigged: Any) -> None:
    async def seen(seed: int) -> list[str]:
        script = (
            f"{{seed: {seed}, rules: [{{when: {{message: reqManagedAccts}}, do: {{corrupt: {{flip: 2}}}}}}]}}"
        )
        async with rigged(script) as rig:
            client = await rig.wire()
            client.send(17, 1)
            return [str(item) for item in await client.receive()]

    assert await seen(1) == await seen(1)


async def test_a_reset_connection_is_a_reset_for_the_client(rigged: Any) -> None:
    async with rigged("rules: [{when: {message: reqIds}, do: [drop, rst]}]") as rig:
        client = await rig.wire()
        client.send(8, 1, 1)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(client.reader.readexactly(1), 10)


async def test_a_close_comes_behind_the_message_and_the_client_hears_of_it(rigged: Any) -> None:
    async with rigged("rules: [{when: {message: currentTime}, do: fin}]") as rig:
        ib = await rig.ib()
        gone = asyncio.Event()
        ib.disconnectedEvent += gone.set
        assert await asyncio.wait_for(ib.reqCurrentTimeAsync(), 10)
        await asyncio.wait_for(gone.wait(), 10)
        assert not ib.isConnected()


async def test_in_a_black_hole_the_client_believes_it_is_connected(rigged: Any) -> None:
    async with rigged("rules: [{when: {message: currentTime}, do: black_hole}]") as rig:
        ib = await rig.ib()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ib.reqCurrentTimeAsync(), 0.05)
        trade = ib.placeOrder(AAA, ibi.MarketOrder("BUY", 1))
        await asyncio.sleep(0.02)
        assert ib.isConnected()
        assert trade.orderStatus.status == "PendingSubmit"
        assert not rig.server.service.book.tickets


async def test_a_black_hole_may_be_of_one_direction_and_end(rigged: Any) -> None:
    script = "rules: [{when: {message: reqIds}, do: {black_hole: {stop: sending, lasts: {wall: 0.02}}}}]"
    async with rigged(script) as rig:
        client = await rig.wire()
        client.send(8, 1, 1)
        await asyncio.sleep(0.05)
        assert kinds(await ping(client)) == ["15"]


async def test_in_a_pause_everything_waits_in_order(rigged: Any) -> None:
    async with rigged("rules: [{when: {message: reqIds}, do: {pause: {wall: 0.02}}}]") as rig:
        client = await rig.wire()
        client.send(8, 1, 1)
        client.send(17, 1)
        await asyncio.sleep(0)
        assert kinds(await client.until("15")) == ["9", "15"]


async def test_latency_keeps_the_order_of_messages(rigged: Any) -> None:
    script = "rules: [{when: {event: start}, do: {latency: {inwards: 0.002, outwards: 0.003}}}]"
    async with rigged(script) as rig:
        client = await rig.wire()
        for _ in range(5):
            client.send(8, 1, 1)
            client.send(17, 1)
        assert kinds([await client.receive() for _ in range(10)]) == ["9", "15"] * 5
        refused = await rig.wire(1, welcome=False)
        assert (await refused.receive())[:4] == ["4", "2", "-1", "326"]


async def test_a_stalled_message_holds_up_what_follows(rigged: Any) -> None:
    async with rigged("rules: [{when: {message: nextValidId, nth: 2}, do: {stall: 0.01}}]") as rig:
        client = await rig.wire()
        client.send(8, 1, 1)
        assert kinds(await ping(client)) == ["9", "15"]


async def test_a_delivery_can_fill_its_pages_exactly(rigged: Any) -> None:
    async with rigged("rules: [{when: {message: managedAccounts, nth: 2}, do: full_page}]") as rig:
        client = await rig.wire()
        client.send(17, 1)
        async with asyncio.timeout(10):
            data = await client.reader.readexactly(4096)
        assert data.endswith(b".\0\0")
        client.send(8, 1, 1)
        assert kinds(await client.until("9")) == ["9"]


async def test_an_early_commission_leaves_every_other_message_in_its_place(
    rigged: Any, placed: Callable[..., list[str]]
) -> None:
    order = placed(AAA, ibi.MarketOrder("BUY", 10))

    async def told(script: str) -> list[str]:
        async with rigged(script) as rig:
            client = await rig.wire()
            client.send(49, 1)
            await client.until("49")
            client.send(*order)
            client.send(49, 1)
            return [fields[0] for fields in await client.until("49") if fields[0] in ("11", "5", "3", "59")]

    plain = await told("{rules: [{when: {event: start}, do: note}]}")
    early = await told("commission_early")
    assert plain == ["5", "3", "11", "5", "3", "5", "3", "59"]
    assert early == ["5", "3", "59", "11", "5", "3", "5", "3"]


async def test_in_lockstep_nobody_waits_for_a_client_whose_line_is_dead(
    rigged: Any, placed: Callable[..., list[str]]
) -> None:
    async with rigged("black_hole") as rig:
        dead, other = await rig.wire(1), await rig.wire(2)
        for client in (dead, other):
            client.send(49, 1)
            await client.until("49")
        other.send(49, 1)
        dead.send(*placed(AAA, ibi.MarketOrder("BUY", 10)))
        before = rig.server.service.clock.now_ns()
        assert (await other.until("49"))[-1][0] == "49"
        assert rig.server.service.clock.now_ns() > before


async def test_a_fault_that_breaks_ends_its_rule_and_nothing_else(
    rigged: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_self: object, _scene: object) -> None:
        raise KeyError("a mistake of ours")

    script = "{rules: [{name: bad, when: {message: nextValidId}, do: note}, {when: {event: step}, do: note}]}"
    async with rigged(script) as rig:
        monkeypatch.setattr(Note, "_play", broken)
        client = await rig.wire()
        for _ in range(2):
            client.send(8, 1, 1)
            assert (await client.receive())[0] == "9"
        client.send(49, 1)
        client.send(49, 1)
        await client.until("49")
        assert (await client.until("49"))[-1][0] == "49"  # time goes on
        assert all(live.over for live in rig.engine.rules)
        assert "note broke: KeyError" in rig.engine.trace[-1]
    assert sum("report it" in record.getMessage() for record in caplog.records) == 2


async def test_what_was_left_for_later_may_break_without_stopping_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> None:
        raise KeyError("a mistake of ours")

    kept: list[int] = []
    agenda = Agenda(lambda: 5)
    agenda.after(Span(steps=1), broken)
    agenda.at(5, broken)
    agenda.at(5, lambda: kept.append(1))
    agenda.on_step()
    assert kept == [1]
    assert len(caplog.records) == 2
