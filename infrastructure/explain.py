"""Tell an order's story from the journal: signal, risk decision, order, fills, profit and loss."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

from execution import journal
from execution.book.ledger import Ledger
from execution.clocks import timestamp
from execution.errors import UnknownOrderError
from execution.journal import JournalEvent
from execution.models import Fill, Side
from execution.numbers import format_decimal


def explain_order(journal_path: Path, order_id: str) -> dict[str, Any]:
    """Collect everything a journal knows of one order.

    Parameters
    ----------
    journal_path
        The journal file.
    order_id
        Client order id.

    Raises
    ------
    UnknownOrderError
        If the journal does not know it.
    """
    story: dict[str, Any] = {}
    ledger = Ledger(history={})
    for event in journal.read(journal_path):
        body = event.body
        if event.kind == "fill":
            gained, paid = _book(ledger, body)
            if body["client_order_id"] == order_id:
                _add_fill(story, body, gained, paid)
        elif event.kind == "fill_corrected" and not body["external"]:
            gained = _rebook(ledger, body)
            if body.get("client_order_id") == order_id:
                _add_correction(story, body, gained)
        elif event.kind == "commission":
            ledger.charge(Decimal(body["commission"]))
            if body["client_order_id"] == order_id:
                story["profit_and_loss"]["fees"] = body["commission"]
        elif body.get("client_order_id") == order_id:
            _add(story, event)
    if not story:
        raise UnknownOrderError(
            f"order {order_id!r} is not in {journal_path}; see `trade audit show --kind order_submitted`"
        )
    stated = story["signal"].get("id")
    if stated is not None:
        story["signal"] |= _signal(journal_path, stated)
    return story


def _signal(journal_path: Path, signal_id: str) -> dict[str, Any]:
    """Read what a strategy stated before the order; a journal that was pruned may hold it no more."""
    for event in journal.read(journal_path):
        body = event.body
        if event.kind == "signal" and body["signal_id"] == signal_id:
            told = {name: body[name] for name in ("name", "direction", "strength", "target", "features")}
            return {"stated_on_bar_ending": str(timestamp(body["trading_time"])), **told}
    return {"stated_on_bar_ending": "not in this journal any more"}


def _add(story: dict[str, Any], event: JournalEvent) -> None:
    body = event.body
    if event.kind in ("order_submitted", "order_refused"):
        decided = str(timestamp(body["trading_time"]))
        story["signal"] = {"strategy": body["strategy"], "decided": decided, "symbol": body["symbol"]}
        if body.get("signal_id") is not None:
            story["signal"]["id"] = body["signal_id"]
        story["risk_decision"] = {
            "approved": body["decision"]["approved"],
            "rule": body["decision"]["rule"],
            "reason": body["decision"]["reason"],
            "checks": [f"{c}: limit {lim}, actual {act}" for c, lim, act in body["decision"]["checks"]],
        }
        story["order"] = {
            name: body[name]
            for name in ("side", "quantity", "order_type", "limit_price", "stop_price", "time_in_force")
        }
        story["order"]["sent"] = event.kind == "order_submitted" and not body["dry_run"]
        story.setdefault("history", [])
        story.setdefault("fills", [])
        story.setdefault("profit_and_loss", {"realized": "0", "fees": "0"})
    elif event.kind == "order_status":
        at = timestamp(body["trading_time"])
        why = f" ({body['reason']})" if body["reason"] else ""
        story["history"].append(f"{at}: {body['old']} -> {body['new']}, filled {body['filled']}{why}")
    elif event.kind == "order_resolved":
        story["history"].append(f"settled by {body['by']}: {body['status']} ({body['reason']})")
    elif event.kind == "order_lapsed":
        story["history"].append(body["note"])
    elif event.kind == "order_released":
        story["history"].append(f"released: {body['evidence']}")
    elif event.kind == "order_cancelled":
        story["history"].append(f"cancel asked for: {body['reason']}")


def _book(ledger: Ledger, body: dict[str, Any]) -> tuple[Decimal, Decimal]:
    before = ledger.realized_pnl
    fill = _fill(body)
    ledger.apply(fill)
    return ledger.realized_pnl - before, fill.commission or Decimal(0)


def _rebook(ledger: Ledger, body: dict[str, Any]) -> Decimal:
    before = ledger.realized_pnl
    ledger.revise(_fill({**body, **body["old"]}), _fill(body))
    return ledger.realized_pnl - before


def _fill(body: dict[str, Any]) -> Fill:
    commission = None if body["commission"] is None else Decimal(body["commission"])
    return Fill(
        body["fill_id"],
        "",
        body["symbol"],
        Decimal(body["quantity"]),
        Decimal(body["price"]),
        Side(body["side"]),
        timestamp(body["time"]),
        commission,
    )


def _add_correction(story: dict[str, Any], body: dict[str, Any], gained: Decimal) -> None:
    story["history"].append(f"corrected: {body['reason']}")
    story["fills"].append(
        f"corrected: {body['side']} {body['quantity']} {body['symbol']} at {body['price']}, instead of "
        f"{body['old']['quantity']} at {body['old']['price']}"
    )
    paid = Decimal(body["commission"] or 0) - Decimal(body["old"]["commission"] or 0)
    result = story["profit_and_loss"]
    result["realized"] = format_decimal(Decimal(result["realized"]) + gained)
    result["fees"] = format_decimal(Decimal(result["fees"]) + paid)


def _add_fill(story: dict[str, Any], body: dict[str, Any], gained: Decimal, paid: Decimal) -> None:
    story["fills"].append(
        f"{timestamp(body['time'])}: {body['side']} {body['quantity']} {body['symbol']} at {body['price']}, "
        f"commission {body['commission'] or 'not known yet'}"
    )
    result = story["profit_and_loss"]
    result["realized"] = format_decimal(Decimal(result["realized"]) + gained)
    result["fees"] = format_decimal(Decimal(result["fees"]) + paid)
