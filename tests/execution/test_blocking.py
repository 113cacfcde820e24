"""The executor with calls that wait, from a thread without an event loop."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from backtesting.gateway.testing import GatewayThread
from data.samples import sample_bars
from execution.audit import AuditLogger
from execution.blocking import BlockingOrderExecutor
from execution.clocks import SystemClock
from execution.connection import IBKRConnectionManager
from execution.errors import ExecutionError, NotConnectedError, UnknownOrderError
from execution.executor import IBKROrderExecutor
from execution.journal import SqliteJournal
from execution.models import OrderRequest, OrderStatus, OrderType, Side

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def gateway() -> Iterator[GatewayThread]:
    folder = sample_bars(["SPXSIM"])
    with GatewayThread(folder.series, sessions=folder.clock) as running:
        yield running


def limit(name: str, price: str = "10") -> OrderRequest:
    return OrderRequest(
        "SPXSIM", Decimal(1), OrderType.LIMIT, Side.BUY, limit_price=Decimal(price), client_order_id=name
    )


def maker(port: int) -> Any:
    def make() -> IBKROrderExecutor:
        manager = IBKRConnectionManager(port=port, timeout=5, reconnect_max_attempts=1)
        return IBKROrderExecutor(manager, quarantine=0)

    return make


def test_every_call_waits_for_its_answer(gateway: GatewayThread) -> None:
    with BlockingOrderExecutor(maker(gateway.port)) as executor:
        executor.ensure_ready()
        assert executor.submit_order(limit("o-1")).status is OrderStatus.SUBMITTED
        assert executor.modify_order("o-1", limit_price=Decimal(11)).limit_price == 11
        assert executor.get_order_status("o-1").quantity == 1
        stop = OrderRequest("SPXSIM", Decimal(1), OrderType.STOP, Side.SELL, stop_price=Decimal(5))
        profit = OrderRequest("SPXSIM", Decimal(1), OrderType.LIMIT, Side.SELL, limit_price=Decimal(99999))
        assert len(executor.submit_bracket(limit("o-2"), profit, stop)) == 3
        assert executor.what_if(limit("o-3")).equity_after is not None
        assert len(executor.get_open_orders()) == 4
        executor.cancel_order("o-1")
        assert executor.cancel_all() == {}
        assert executor.get_positions() == []
        assert executor.get_account_summary()["TotalCashValue"] == 1_000_000
        assert executor.flatten().is_complete
        with pytest.raises(UnknownOrderError):
            executor.get_order_status("o-9")
    with pytest.raises(NotConnectedError, match="with"):
        executor.get_open_orders()
    executor.close()


async def test_it_works_beside_a_running_loop(gateway: GatewayThread) -> None:
    with BlockingOrderExecutor(maker(gateway.port)) as executor:
        assert executor.submit_order(limit("o-1")).status is OrderStatus.SUBMITTED


def test_a_start_that_fails_leaves_nothing_running() -> None:
    executor = BlockingOrderExecutor(maker(1))
    with pytest.raises(ExecutionError), executor:
        pass
    assert not executor._thread.is_alive()


def on_file(port: int, path: Path) -> Any:
    def make() -> IBKROrderExecutor:
        clock = SystemClock()
        audit = AuditLogger(SqliteJournal(path, clock.now_ns), clock)
        manager = IBKRConnectionManager(port=port, timeout=5, reconnect_max_attempts=1, audit=audit)
        return IBKROrderExecutor(manager, quarantine=0, audit=audit)

    return make


def test_the_journal_is_free_for_the_next_block_also_after_a_start_that_failed(
    gateway: GatewayThread, tmp_path: Path
) -> None:
    with pytest.raises(NotConnectedError), BlockingOrderExecutor(on_file(1, tmp_path / "journal.db")):
        pass
    for _ in range(2):  # as a cell of a notebook that is run again
        with BlockingOrderExecutor(on_file(gateway.port, tmp_path / "journal.db")) as executor:
            assert executor.submit_order(limit("o-1")).status is OrderStatus.SUBMITTED
            assert len(executor.get_open_orders()) == 1
