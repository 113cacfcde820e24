"""The executions of the day: filtered as clients ask for them, corrected as a broker corrects them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from backtesting.gateway.desks.order_terms import invalid
from backtesting.gateway.errors import GatewayError
from backtesting.gateway.tickets import Execution
from backtesting.gateway.wire.contract_replies import home_exchange, wire_symbol
from backtesting.gateway.wire.requests import Executions
from execution.models import Side

_SIDES: Final = {"BUY": Side.BUY, "BOT": Side.BUY, "SELL": Side.SELL, "SLD": Side.SELL}


class ExecutionLog:
    """Executions, oldest first; a corrected one stands in the place of the one it corrects."""

    def __init__(self) -> None:
        self._kept: list[Execution] = []
        self.changes = 0
        """How often it has changed; who follows it need look only then."""

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Execution]:
        return iter(self._kept)

    def __getitem__(self, place: int) -> Execution:
        return self._kept[place]

    def append(self, execution: Execution) -> None:
        """Take the newest."""
        self.changes += 1
        self._kept.append(execution)

    def find(self, exec_id: str) -> Execution:
        """Return the execution with this id.

        Raises
        ------
        GatewayError
            If it is not among those of the day, or has been corrected since.
        """
        for execution in self._kept:
            if execution.exec_id == exec_id:
                return execution
        raise GatewayError(f"execution {exec_id} is not one of today's {len(self._kept)}: ask for executions")

    def replace(self, old: Execution, new: Execution) -> None:
        """Put a correction in the place of what it corrects."""
        self.changes += 1
        self._kept[self._kept.index(old)] = new

    def since(self, midnight_ns: int) -> list[Execution]:
        """Return the executions that happened and became known at or after a moment."""
        first = len(self._kept)
        while first and self._kept[first - 1].booked_ns >= midnight_ns:
            first -= 1
        return [execution for execution in self._kept[first:] if execution.time_ns >= midnight_ns]

    def matching(self, wish: Executions, midnight_ns: int, since_ns: int = 0) -> list[Execution]:
        """Return the executions of the day that pass a client's filter; what is empty or 0 lets all pass.

        Raises
        ------
        RequestRefusedError
            321, if the side is none.
        """
        side = _SIDES.get(wish.side.upper())
        if wish.side and side is None:
            raise invalid("Invalid side")
        return [
            execution
            for execution in self.since(midnight_ns)
            if execution.time_ns >= since_ns and _passes(execution, wish, side)
        ]

    def release(self, before_ns: int | None = None) -> list[Execution]:
        """Let go of the executions that became known before a moment, or of all, and return them."""
        kept = [] if before_ns is None else [each for each in self._kept if each.booked_ns >= before_ns]
        gone = self._kept[: len(self._kept) - len(kept)]
        self.changes += 1
        self._kept = kept
        return gone


def _passes(execution: Execution, wish: Executions, side: Side | None) -> bool:
    ticket = execution.ticket
    instrument = ticket.instrument
    return (
        wish.client_id in (0, ticket.client_id)
        and wish.account in ("", ticket.account)
        and wish.symbol in ("", wire_symbol(instrument))
        and wish.security_type in ("", instrument.security_type)
        and wish.exchange in ("", "SMART", home_exchange(instrument))
        and side in (None, ticket.order.request.side)
    )
