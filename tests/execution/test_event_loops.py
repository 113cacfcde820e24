"""What keeps a connection alive survives a second event loop, and a journal that fails meanwhile."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from execution.connection import IBKRConnectionManager
from execution.errors import JournalError
from execution.models import OrderRequest, OrderType, Side

if TYPE_CHECKING:
    from .conftest import MakeRig, ScriptedBroker


class Doorman:
    """Accepts a login and says nothing more."""

    def __init__(self) -> None:
        self.port = 0
        self.logins = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        self.drop()
        await self._server.wait_closed()
        await asyncio.sleep(0.02)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        await reader.readexactly(4)
        await self._frame(reader)
        writer.write(_framed("176", "20180102 09:30:00 US/Eastern"))
        await self._frame(reader)
        writer.write(_framed("15", "1", "DU1") + _framed("9", "1", "1"))
        self.logins += 1

    async def _frame(self, reader: asyncio.StreamReader) -> None:
        await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))

    def drop(self) -> None:
        for writer in self._writers:
            writer.close()
        self._writers.clear()


def _framed(*fields: str) -> bytes:
    body = "".join(f"{field}\0" for field in fields).encode()
    return len(body).to_bytes(4, "big") + body


def test_a_connection_started_in_a_second_event_loop_comes_back_by_itself_too() -> None:
    manager = IBKRConnectionManager("127.0.0.1", 1, 1, timeout=2.0, reconnect_backoff=0.01)

    async def once() -> None:
        gateway = Doorman()
        await gateway.start()
        manager.port = gateway.port
        await manager.start()
        gateway.drop()
        async with asyncio.timeout(5):
            while gateway.logins < 2 or not manager.is_connected():  # noqa: ASYNC110 - seen from outside only
                await asyncio.sleep(0.01)
        await manager.stop()
        await gateway.stop()

    for _ in range(2):
        asyncio.run(once())


async def test_a_journal_that_fails_while_a_session_is_made_costs_neither_heartbeat_nor_reconnects(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig()
    await r.manager.start()
    limit = OrderRequest(
        "AAA", Decimal(10), OrderType.LIMIT, Side.BUY, limit_price=Decimal(100), client_order_id="o-1"
    )
    await r.executor.submit_order(limit)
    broker.on_place = lambda _id, _ref: []
    changing = asyncio.create_task(r.executor.modify_order("o-1", limit_price=Decimal(101)))
    await broker.until(lambda: len(broker.placed) == 2)  # a change is under way

    def commit() -> None:
        raise JournalError("disk full")

    async def lose_the_session() -> None:
        epoch = r.manager.epoch
        await broker.drop()
        await broker.until(lambda: r.manager.epoch > epoch and r.manager.is_connected())

    with monkeypatch.context() as broken:
        broken.setattr(r.journal, "commit", commit)
        await lose_the_session()
        changing.cancel()
        task = r.manager._watch._task
        assert task is not None
        assert not task.done()
        assert r.manager.outage is None
    await lose_the_session()
    await r.manager.stop()
