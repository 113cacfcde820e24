"""What stands in an account: its orders and positions, what is in doubt, and what a person settles of it.

`IBKROrderExecutor` adds the orders that go out. The work is done in the rooms of `execution.rooms`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from execution.book.adjustments import Adjustment, CorporateAction
from execution.broker import BrokerAdapter
from execution.clocks import timestamp
from execution.desk.gate import GateState
from execution.desk.margin import MarginImpact
from execution.desk.valuation import values_of
from execution.errors import InvalidOrderError
from execution.models import ZERO, Order, OrderRequest, OrderStatus, Position
from execution.numbers import own_arithmetic, reckoned
from execution.reconciliation.doubts import Doubt, Resolution
from execution.reconciliation.reconcile import Reconciliation
from execution.rooms import Rooms


class BrokerAccount(BrokerAdapter):
    """The account as broker and journal know it.

    Parameters
    ----------
    rooms
        Where the work is done.
    """

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self.manager = rooms.desk.manager
        self.audit = rooms.desk.audit
        self.blotter = rooms.desk.blotter
        self.inbox = rooms.desk.inbox

    # -- agreement with the broker ------------------------------------------------------------------------

    async def ensure_ready(self) -> None:
        """Connect if needed and reconcile if the session is new or its reliability was in question.

        Raises
        ------
        NotConnectedError
            If no session can be had, or TWS has said that it lost the broker and not that it is back.
        OrderInDoubtError
            If an order's fate is unknown or positions differ; nothing is submitted until that is resolved.
        """
        await self._rooms.readiness.ensure()

    async def reconcile(self) -> Reconciliation:
        """Compare orders and positions with the broker's; open the way for submissions if they agree."""
        return await self._rooms.readiness.reconcile()

    async def check(self) -> Reconciliation:
        """Compare while orders go on; close the way for submissions only if there is a difference."""
        return await self._rooms.readiness.check()

    @property
    def is_ready(self) -> bool:
        """Whether orders may be sent: connected, reconciled, and nothing questionable since."""
        return self._rooms.desk.gate.is_open

    @property
    def gate_state(self) -> GateState:
        """Whether orders may be sent, and what stands in their way."""
        return self._rooms.desk.gate.state

    @property
    def is_frozen(self) -> bool:
        """Whether TWS said that it lost the broker; what it tells of orders may be out of date."""
        return self._rooms.desk.gate.is_frozen

    @property
    def opening(self) -> dict[str, Any] | None:
        """The book adopted when the journal began: positions with cost, and cash."""
        return self._rooms.positions.opening

    # -- asking ---------------------------------------------------------------------------------------------

    async def what_if(self, request: OrderRequest) -> MarginImpact:
        """Ask what an order would do to its account's margins; nothing is placed. One question at a time.

        Raises
        ------
        BrokerUnavailableError
            If TWS refuses the question or does not answer in time.
        """
        await self.manager.ensure_connected()
        with own_arithmetic():
            return await self._rooms.margins.what_if(self._rooms.submission.named(request))

    async def get_order_status(self, order_id: str) -> Order:
        """Return an order, by any of its ids; raise `UnknownOrderError` if it is not known."""
        return self._rooms.desk.find(order_id).order()

    async def get_open_orders(self) -> list[Order]:
        """Return the orders that can still trade, UNKNOWN ones included."""
        return [entry.order() for entry in self.blotter.open_entries()]

    async def get_positions(self) -> list[Position]:
        """Ask the broker for its positions and what they are worth to it.

        Market value and unrealised profit are the broker's, in the contract's currency; None where it tells
        none, or tells them of another quantity because the position is just changing.
        """
        with own_arithmetic():
            held = await self._rooms.positions.asked(self.manager.session)
            values = await values_of(self.manager.session, held)
            now = timestamp(self._rooms.desk.clock.now_ns())
            return [
                Position(
                    one.symbol,
                    one.quantity,
                    one.average_price,
                    value.market_value if value else None,
                    value.unrealized_pnl if value else None,
                    now,
                    account=one.account,
                )
                for one, value in zip(held, values, strict=True)
            ]

    @reckoned
    def booked_positions(self) -> dict[str, Decimal]:
        """Return the signed positions by symbol that the journal amounts to; flat ones are left out."""
        return {symbol: held for symbol, held in self._rooms.positions.ours().items() if held}

    async def open_orders(self) -> list[Order]:
        """Return the orders that can still trade."""
        return await self.get_open_orders()

    async def positions(self) -> list[Position]:
        """Return the broker's positions."""
        return await self.get_positions()

    async def get_account_summary(self, account: str | None = None) -> dict[str, Decimal]:
        """Return the broker's net liquidation value and cash, by TWS tag, of one account.

        Raises
        ------
        InvalidOrderError
            If the login has several accounts and none is named, or it does not have the one named.
        """
        session = self.manager.session
        account = account or self._rooms.desk.account
        known = ", ".join(session.accounts)
        if account is None and len(session.accounts) > 1:
            raise InvalidOrderError(f"account: this login has several ({known}); name one")
        if account is not None and session.accounts and account not in session.accounts:
            raise InvalidOrderError(f"account {account}: this login has {known}; name one of them")
        return await session.account_summary(account)

    def orders(self) -> list[Order]:
        """Return every order of this journal, in order of submission."""
        return [entry.order() for entry in self.blotter.entries.values()]

    def known(self, client_order_id: str) -> Order | None:
        """Return the order that was recorded under this id and may have been sent; None if there is none."""
        entry = self.blotter.entries.get(client_order_id)
        if entry is None or (entry.status is OrderStatus.NOT_SENT and not self._rooms.desk.dry_run):
            return None
        return entry.order()

    # -- settling -------------------------------------------------------------------------------------------

    def doubts(self) -> list[Doubt]:
        """Return what stands in doubt, with the journal's evidence and a safe next step for each."""
        return self._rooms.settlement.doubts()

    async def read_doubts(self) -> list[Doubt]:
        """Return what `doubts` does, and go on with orders while the journal is read."""
        return await self._rooms.settlement.read_doubts()

    async def resolve(
        self,
        order_id: str,
        resolution: Resolution,
        *,
        by: str,
        reason: str,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
    ) -> Order:
        """Settle an order whose fate the broker cannot tell; the broker is asked once more before.

        Parameters
        ----------
        order_id
            Any of its ids.
        resolution
            What became of it.
        by, reason
            Who says so, and why; both are kept in the journal.
        quantity, price
            What was executed beyond the executions on record. FILLED takes all that is left.

        Raises
        ------
        SettlementError
            If the broker knows the order, it is not in doubt, or name or reason are missing.
        InvalidOrderError
            If quantity or price do not fit the order.
        """
        with own_arithmetic():
            return await self._rooms.settlement.resolve(order_id, resolution, by, reason, quantity, price)

    async def adjust_position(
        self,
        symbol: str,
        *,
        by: str,
        reason: str,
        price: Decimal | None = None,
        cash: Decimal = ZERO,
    ) -> Adjustment:
        """Take the broker's position in a symbol over into the book, on record.

        Parameters
        ----------
        symbol
            Whose position differs.
        by, reason
            Who accepts it, and why.
        price
            Cost of a unit; by default the broker's average cost for what is new, our own for what went.
        cash
            What moved in cash with it; nothing by default.

        Raises
        ------
        SettlementError
            If the positions agree, or an order in the symbol is in doubt.
        """
        with own_arithmetic():
            return await self._rooms.settlement.accept_position(symbol, by, reason, price, cash)

    async def apply_action(self, action: CorporateAction, *, by: str, reason: str) -> Adjustment:
        """Book a split, dividend or new symbol of a held position that no source told of.

        Raises
        ------
        SettlementError
            If it does not lead to the position that the broker holds, or is booked already.
        """
        with own_arithmetic():
            return await self._rooms.settlement.apply_action(action, by, reason)
