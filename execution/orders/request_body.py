"""Order requests as plain values, for the journal, and back."""

from __future__ import annotations

from decimal import Decimal
from operator import attrgetter
from typing import Any, Final

from execution.clocks import timestamp, utc_ns
from execution.models import OrderRequest, OrderType, Side, TimeInForce

_AMOUNTS: Final = ("trail_amount", "trail_percent", "trail_stop", "limit_offset")
_amounts_of = attrgetter(*_AMOUNTS)
_NO_AMOUNTS: Final = (None,) * len(_AMOUNTS)
_WORDS: Final = {word: str(word) for words in (Side, OrderType, TimeInForce) for word in words}
"""Plain texts of the words; asking one for its `value` runs a function of Python."""


def request_to_body(request: OrderRequest) -> dict[str, Any]:
    """Return an order request as plain values; `terms` holds what most orders do not have, if anything."""
    body: dict[str, Any] = {
        "client_order_id": request.client_order_id,
        "symbol": request.symbol,
        "side": _WORDS[request.side],
        "quantity": format(request.quantity, "f"),
        "order_type": _WORDS[request.order_type],
        "limit_price": _text(request.limit_price),
        "stop_price": _text(request.stop_price),
        "time_in_force": _WORDS[request.time_in_force],
        "outside_rth": request.outside_rth,
        "account": request.account,
        "strategy": request.strategy,
    }
    if request.signal_id is not None:
        body["signal_id"] = request.signal_id
    terms: dict[str, Any] = {}
    amounts = _amounts_of(request)
    if amounts != _NO_AMOUNTS:
        terms = {n: _text(value) for n, value in zip(_AMOUNTS, amounts, strict=True) if value is not None}
    if request.good_till is not None:
        terms["good_till"] = utc_ns(request.good_till)
    if request.all_or_none:
        terms["all_or_none"] = True
    if request.oca_group is not None:
        terms |= {"oca_group": request.oca_group, "oca_type": request.oca_type}
    return body | {"terms": terms} if terms else body


def request_from_body(body: dict[str, Any]) -> OrderRequest:
    """Rebuild an order request from the journal."""
    terms: dict[str, Any] = dict(body.get("terms", {}))
    for name in _AMOUNTS:
        if name in terms:
            terms[name] = Decimal(terms[name])
    if "good_till" in terms:
        terms["good_till"] = timestamp(terms["good_till"])
    return OrderRequest(
        symbol=body["symbol"],
        quantity=Decimal(body["quantity"]),
        order_type=OrderType(body["order_type"]),
        side=Side(body["side"]),
        limit_price=_amount(body["limit_price"]),
        stop_price=_amount(body["stop_price"]),
        time_in_force=TimeInForce(body["time_in_force"]),
        account=body["account"],
        client_order_id=body["client_order_id"],
        strategy=body["strategy"],
        outside_rth=body["outside_rth"],
        signal_id=body.get("signal_id"),
        **terms,
    )


def _text(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
