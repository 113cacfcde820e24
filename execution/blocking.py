"""The executor for code that blocks: a script, a notebook, a REPL.

The executor, its connection and its handlers live on an event loop in a thread of their own, so this works
beside any loop the caller may run (a notebook has one). Each method waits for its namesake there and returns
what that returns or raises what that raises. Handlers are called in that thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from decimal import Decimal
from types import TracebackType
from typing import Any, Self, TypeVar

from execution.desk.flattening import Flattened
from execution.desk.margin import MarginImpact
from execution.errors import NotConnectedError
from execution.executor import IBKROrderExecutor
from execution.models import Order, OrderRequest, Position

_T = TypeVar("_T")


class BlockingOrderExecutor:
    """`IBKROrderExecutor` with calls that wait.

    Parameters
    ----------
    make
        Builds the executor; called in its thread when the block is entered. A journal is opened there too,
        and closed with the block.

    Examples
    --------
    ::

        def make() -> IBKROrderExecutor:
            return IBKROrderExecutor(IBKRConnectionManager(port=7497))

        with BlockingOrderExecutor(make) as executor:
            executor.submit_order(OrderRequest("SPY", Decimal(10), OrderType.MARKET, Side.BUY))
    """

    def __init__(self, make: Callable[[], IBKROrderExecutor]) -> None:
        self._make = make
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="order-executor", daemon=True)
        self._executor: IBKROrderExecutor | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._executor = self._wait(self._start())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect, leaving open orders at the broker, and end the thread; a second call does nothing."""
        if self._executor is not None:
            executor, self._executor = self._executor, None
            try:
                self._wait(_let_go(executor))
            finally:
                self._end()

    # -- the calls ------------------------------------------------------------------------------------------

    def ensure_ready(self) -> None:
        """Connect if needed and reconcile."""
        self._run(lambda executor: executor.ensure_ready())

    def submit_order(self, request: OrderRequest) -> Order:
        """Submit an order and wait for the broker's first answer."""
        return self._run(lambda executor: executor.submit_order(request))

    def submit_bracket(
        self, entry: OrderRequest, take_profit: OrderRequest, stop_loss: OrderRequest
    ) -> tuple[Order, Order, Order]:
        """Submit an entry with its two exits, all or none."""
        return self._run(lambda executor: executor.submit_bracket(entry, take_profit, stop_loss))

    def modify_order(self, order_id: str, **changes: Any) -> Order:
        """Change an order at work; the changes are those of `IBKROrderExecutor.modify_order`."""
        return self._run(lambda executor: executor.modify_order(order_id, **changes))

    def cancel_order(self, order_id: str) -> None:
        """Ask for the cancellation of an open order."""
        self._run(lambda executor: executor.cancel_order(order_id))

    def cancel_all(self) -> dict[str, str]:
        """Cancel every open order; return those whose end is not confirmed."""
        return self._run(lambda executor: executor.cancel_all())

    def flatten(self, account: str | None = None) -> Flattened:
        """Cancel every open order and close every position."""
        return self._run(lambda executor: executor.flatten(account))

    def what_if(self, request: OrderRequest) -> MarginImpact:
        """Ask what an order would do to its account's margins."""
        return self._run(lambda executor: executor.what_if(request))

    def get_order_status(self, order_id: str) -> Order:
        """Return an order, by any of its ids."""
        return self._run(lambda executor: executor.get_order_status(order_id))

    def get_open_orders(self) -> list[Order]:
        """Return the orders that can still trade."""
        return self._run(lambda executor: executor.get_open_orders())

    def get_positions(self) -> list[Position]:
        """Ask the broker for its positions."""
        return self._run(lambda executor: executor.get_positions())

    def get_account_summary(self, account: str | None = None) -> dict[str, Decimal]:
        """Return the broker's net liquidation value and cash of one account."""
        return self._run(lambda executor: executor.get_account_summary(account))

    # -- parts ----------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)  # the client library asks the thread for its loop
        self._loop.run_forever()

    async def _start(self) -> IBKROrderExecutor:
        executor = self._make()
        try:
            executor.restore()
            await executor.ensure_ready()
        except BaseException:
            await _let_go(executor)
            raise
        return executor

    def _run(self, call: Callable[[IBKROrderExecutor], Coroutine[Any, Any, _T]]) -> _T:
        if self._executor is None:
            raise NotConnectedError("the executor is not running; use it inside its `with` block")
        return self._wait(call(self._executor))

    def _wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _let_go(executor: IBKROrderExecutor) -> None:
    """End the connection and close the journal, so that the next block, or another program, can have both."""
    try:
        await executor.manager.stop()
    finally:
        executor.audit.journal.close()
