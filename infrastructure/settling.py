"""What a person asks of a running trader about its doubts, and tells it: the control socket's second room.

Each command is answered while the trader waits, too: it waits for exactly these. What was settled wakes it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from data.calendars import ExchangeClock
from execution.book.adjustments import Adjustment, AdjustmentKind, CorporateAction, describe, read_ratio
from execution.clocks import SystemClock, timestamp
from execution.errors import InvalidOrderError, SettlementError
from execution.models import ZERO
from execution.numbers import format_decimal, parse_decimal
from execution.reconciliation.doubts import Resolution
from execution.reconciliation.reconcile import Reconciliation
from execution.reconciliation.settlement import signed
from infrastructure.audit_trail import open_journal
from infrastructure.errors import ConfigError
from infrastructure.settings import Settings
from strategies.trader import Trader

JOURNAL = "journal.db"
Answer = dict[str, Any]


class Settling:
    """Answers the commands that settle what is in doubt.

    Parameters
    ----------
    trader
        Whom they are for.
    """

    def __init__(self, trader: Trader) -> None:
        self._trader = trader
        self.commands: dict[str, Callable[..., Awaitable[Answer]]] = {
            "doubts": self.doubts,
            "resolve": self.resolve,
            "accept_position": self.accept_position,
            "adjust": self.adjust,
            "reconcile": self.reconcile,
            "risk_reset": self.risk_reset,
            "risk_status": self.risk_status,
            "externals": self.externals,
        }

    async def doubts(self) -> Answer:
        """List what is in doubt."""
        trader = self._trader
        return {
            "ready": trader.executor.is_ready,
            "waits_for": trader.orchestrator.waits_for,
            "doubts": [doubt.as_dict() for doubt in await trader.executor.read_doubts()],
        }

    async def resolve(
        self,
        order: str,
        outcome: str,
        by: str,
        reason: str,
        quantity: str | None = None,
        price: str | None = None,
    ) -> Answer:
        """Settle an order."""
        settled = await self._trader.executor.resolve(
            order,
            Resolution(outcome),
            by=by,
            reason=reason,
            quantity=_amount(quantity, "quantity"),
            price=_amount(price, "price"),
        )
        return self._went_on(
            order=settled.client_order_id, status=settled.status.value, reason=settled.reason
        )

    async def accept_position(
        self, symbol: str, by: str, reason: str, price: str | None = None, cash: str | None = None
    ) -> Answer:
        """Take the broker's position over."""
        adjustment = await self._trader.executor.adjust_position(
            symbol, by=by, reason=reason, price=_amount(price, "price"), cash=_amount(cash, "cash") or ZERO
        )
        return self._went_on(**_told(adjustment))

    async def adjust(
        self,
        symbol: str,
        by: str,
        reason: str,
        split: str | None = None,
        dividend: str | None = None,
        new_symbol: str | None = None,
        price: str | None = None,
        ex_date: str | None = None,
    ) -> Answer:
        """Book a corporate action; a dividend on what was held when its ex date began at the exchange."""
        if dividend is not None and ex_date is None:
            raise InvalidOrderError("--dividend: give its --ex-date too: it is paid on what was held then")
        time_ns = self._trader.clock.now_ns() if ex_date is None else self._began(ex_date)
        action = _action(symbol, time_ns, split, dividend, new_symbol, price)
        adjustment = await self._trader.executor.apply_action(action, by=by, reason=reason)
        return self._went_on(**_told(adjustment))

    async def reconcile(self) -> Answer:
        """Ask the broker now; orders go on meanwhile if they may."""
        executor = self._trader.executor
        result = await (executor.check() if executor.is_ready else executor.reconcile())
        return self._went_on(**as_dict(result))

    async def risk_reset(self, by: str, reason: str) -> Answer:
        """Reset the kill switch."""
        self._trader.reset_kill_switch(by, reason)
        return self._went_on(reset=True)

    async def risk_status(self) -> Answer:
        """Tell how the kill switch stands."""
        switch = self._trader.kill_switch
        limit = switch.max_daily_loss
        return {
            "tripped": switch.tripped,
            "daily_loss": format_decimal(switch.daily_loss),
            "limit": None if limit is None else format_decimal(limit),
            "since": None if switch.event is None else str(switch.event.timestamp),
        }

    async def externals(self) -> Answer:
        """List the open orders of somebody else in the account."""
        return {
            "externals": [
                {
                    "key": order.key,
                    "order_id": order.perm_id,
                    "client_id": order.client_id,
                    "reference": order.order_ref,
                    "account": order.account,
                    "symbol": order.symbol,
                    "side": order.side.value,
                    "quantity": format_decimal(order.quantity),
                    "remaining": format_decimal(order.remaining),
                }
                for order in self._trader.executor.blotter.externals.open()
            ]
        }

    def _began(self, ex_date: str) -> int:
        """Return when an ex date began at the exchange, which is when sources say an action took hold."""
        clock = self._trader.orchestrator.market_clock
        opening = self._trader.executor.opening
        if not isinstance(clock, ExchangeClock):
            raise SettlementError("--ex-date: this trader's calendar knows no dates; nothing was adjusted")
        time_ns = clock.midnight_ns(read_date(ex_date))
        if time_ns > self._trader.clock.now_ns():
            raise SettlementError(f"--ex-date {ex_date}: it has not come yet; nothing was adjusted")
        if opening is None or time_ns < opening["trading_time"]:
            began = "has not begun" if opening is None else f"began at {timestamp(opening['trading_time'])}"
            raise SettlementError(
                f"--ex-date {ex_date}: the book {began}, so what was held before is not on record; nothing "
                "was adjusted"
            )
        return time_ns

    def _went_on(self, **answer: Any) -> Answer:
        self._trader.go_on()
        return {**answer, "ready": self._trader.executor.is_ready}


def as_dict(result: Reconciliation) -> Answer:
    """Return the outcome of a reconciliation as plain values."""
    return {
        "agrees": result.agrees,
        "in_doubt": result.in_doubt,
        "released": result.released,
        "lapsed": result.lapsed,
        "breaks": {
            symbol: {"journal": format_decimal(ours), "broker": format_decimal(theirs)}
            for symbol, (ours, theirs) in result.breaks.items()
        },
        "refused": result.refused,
    }


def reset_at_rest(settings: Settings, by: str, reason: str) -> Path:
    """Reset the kill switch of a trader that does not run, in its journal; return the journal's file.

    Raises
    ------
    ConfigError
        If it cannot be told which journal is meant.
    SettlementError
        If a name or a reason is missing, or the kill switch is not tripped.
    JournalLockedError
        If a trader runs on it.
    """
    signed(by, reason, "")
    path = _journal_of(settings)
    journal = open_journal(path, settings)
    try:
        tripped = False
        for event in journal.events():
            if event.kind in ("kill_switch", "kill_switch_reset"):
                tripped = event.kind == "kill_switch"
            elif event.kind == "checkpoint":
                tripped = event.body["kill_switch"] is not None
        if not tripped:
            raise SettlementError(f"{path}: the kill switch is not tripped; there is nothing to reset")
        body = {"trading_time": SystemClock().now_ns(), "by": by, "reason": reason}
        journal.append("kill_switch_reset", body)
        journal.commit()
    finally:
        journal.close()
    return path


def _journal_of(settings: Settings) -> Path:
    folder = settings.var_dir / settings.profile
    account = settings.broker.account
    found = [folder / account / JOURNAL] if account else sorted(folder.glob(f"*/{JOURNAL}"))
    if len(found) != 1 or not found[0].is_file():
        raise ConfigError(
            f"broker.account: {len(found)} journals in {folder}; name the account of the one that is meant "
            "(--set broker.account=DU1234567) and the right --profile"
        )
    return found[0]


def read_date(text: str) -> dt.date:
    """Read an ex date, ``2026-05-05``; raise `InvalidOrderError` for anything else."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise InvalidOrderError(f"--ex-date {text[:40]!r}: write a date as 2026-05-05") from error


def _action(
    symbol: str,
    time_ns: int,
    split: str | None,
    dividend: str | None,
    new_symbol: str | None,
    price: str | None,
) -> CorporateAction:
    if sum(given is not None for given in (split, dividend, new_symbol)) != 1:
        raise InvalidOrderError("give one of --split RATIO, --dividend AMOUNT and --symbol-change NEW")
    if split is not None:
        ratio, paid = read_ratio(split), _amount(price, "price")
        return CorporateAction(AdjustmentKind.SPLIT, symbol, time_ns, ratio, price=paid)
    if dividend is not None:
        return CorporateAction(
            AdjustmentKind.DIVIDEND, symbol, time_ns, amount=parse_decimal(dividend, name="dividend")
        )
    return CorporateAction(AdjustmentKind.SYMBOL_CHANGE, symbol, time_ns, new_symbol=new_symbol or "")


def _amount(text: str | None, name: str) -> Decimal | None:
    return None if text is None else parse_decimal(text, name=name)


def _told(adjustment: Adjustment) -> Answer:
    return {"adjusted": adjustment.symbol, "what": describe(adjustment)}
