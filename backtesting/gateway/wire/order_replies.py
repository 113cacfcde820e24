"""Messages about orders, spelt as real gateways spell them.

openOrder has some 135 fields, of which most are constant for what is simulated. The constant ones are kept
here as ready-made runs between the others, so that an order is told in one join; each run names its fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final

from backtesting.broker import WorkingOrder
from backtesting.gateway.tickets import Ticket
from backtesting.gateway.wire import gates
from backtesting.gateway.wire.codec import (
    UNSET_DOUBLE,
    UNSET_INTEGER,
    UNSET_LONG,
    double,
    message,
    number,
    price,
    time_text,
)
from backtesting.gateway.wire.contract_replies import contract_run
from backtesting.gateway.wire.frames import frame
from backtesting.gateway.wire.order_requests import PlaceOrder
from execution.models import Instrument, OrderRequest

_SMART: Final = "SMART"


def _run(text: str) -> str:
    """Return constant fields as they stand on the wire; here a bar stands between them."""
    return text.replace("|", "\0")


_HIDDEN: Final = _run("0|0|")  # hidden, discretionary amount, good after
_ADVISOR: Final = _run("|||")  # group, method, percentage, profile
_ADVISOR_WITHOUT_PROFILE: Final = _run("||")
_SETTLEMENT: Final = _run("||0||-1")  # percent offset, settling firm, short slot, location, exemption
_AUCTION: Final = _run("||||")  # starting price, stock reference price, delta, stock range
_OPEN_NEUTRAL: Final = _run("None||0||||?|0|0|")  # TWS names the type None and sends the whole group
_ENDED_NEUTRAL: Final = _run("None||0|0|0|")
_LEGS: Final = _run("0|0|0")  # legs, their prices, routing parameters
_SCALE: Final = _run(f"{UNSET_INTEGER}|{UNSET_INTEGER}||")  # two sizes, increment, hedge type
_UNSET_MARGINS: Final = "\0".join((UNSET_DOUBLE,) * 9)
_NO_COSTS: Final = _run("||||")  # commission, least, most, currency, warning
_RANDOM: Final = _run("0|0|0")  # randomised size and price, conditions
_ADJUSTED: Final = _run(f"{UNSET_DOUBLE}|{UNSET_DOUBLE}|{UNSET_DOUBLE}|0")  # stop, its limit, amount, unit
_HEDGING: Final = _run("|||0|1|0|0")  # soft dollar tier, cash quantity, hedge price, container, discretion
_NO_COMPETITION: Final = _run("||||")
_COMPETITION: Final = _run("|100|0.02||")  # what TWS adds to orders that SMART routes
_STRANGERS: Final = _run("0|Not an insider or substantial shareholder|0|0")


@dataclass(frozen=True, slots=True)
class Margins:
    """What an order would do to its account, each as (before, change, after), and what it would cost."""

    initial: tuple[Decimal, Decimal, Decimal]
    maintenance: tuple[Decimal, Decimal, Decimal]
    equity: tuple[Decimal, Decimal, Decimal]
    commission: Decimal | None
    least_commission: Decimal | None = None
    most_commission: Decimal | None = None
    currency: str = "USD"
    warning: str = ""

    def texts(self) -> tuple[str, str]:
        """Return the nine margins, and the commissions with their currency and the warning."""
        stages = zip(self.initial, self.maintenance, self.equity, strict=True)
        margins = "\0".join(double(value) for stage in stages for value in stage)
        costs = (self.commission, self.least_commission, self.most_commission)
        told = ("" if value is None else double(value) for value in costs)
        return margins, "\0".join((*told, self.currency, self.warning))


@lru_cache(maxsize=64)
def _newer(version: int, competing: bool) -> str:
    """Return price management's successors: the fields that newer versions have at the end of openOrder."""
    fields = []
    if version >= gates.ORDER_DURATION:
        fields.append("")
    if version >= gates.POST_TO_ATS:
        fields.append("")
    if version >= gates.AUTO_CANCEL_PARENT:
        fields.append("0")
    if version >= gates.PEGGED_BEST:
        fields.append(_COMPETITION if competing else _NO_COMPETITION)
    return "".join(f"\0{text}" for text in fields)


def _flag(fields: Mapping[str, str], name: str) -> str:
    text = fields.get(name)
    return "0" if not text or text == UNSET_INTEGER else text


def _display_size(fields: Mapping[str, str]) -> str:
    text = fields.get("displaySize", "")
    return UNSET_INTEGER if text in ("", "0") else text


def _offset(wish: PlaceOrder) -> str:
    return UNSET_DOUBLE if wish.limit_offset is None else double(wish.limit_offset)


def _prices(
    request: OrderRequest, limit: Decimal | None, stop: Decimal | None
) -> tuple[str, str, str, str, str]:
    """Return limit price, auxiliary price, trailing stop as sent and as told at the end, and percentage.

    The trailing stop of an order that does not trail is its limit plus one: so TWS has it. `limit` and `stop`
    are those of a trailing order as they stand now.
    """
    if not request.order_type.trails:
        fixed = request.limit_price
        shown = UNSET_DOUBLE if fixed is None else double(fixed + 1)
        return double(fixed), double(request.stop_price), "", shown, ""
    trail = "" if stop is None else double(stop)
    percent = "" if request.trail_percent is None else double(request.trail_percent)
    return double(limit), double(request.trail_amount), trail, trail or UNSET_DOUBLE, percent


def _prices_now(order: WorkingOrder) -> tuple[str, str, str, str, str]:
    if order.request.order_type.trails:
        return _prices(order.request, order.limit, order.stop)
    return _prices(order.request, None, None)


def open_order(version: int, account: str, ticket: Ticket, status: str) -> bytes:
    """5: an order as the gateway holds it."""
    costs = _NO_COSTS
    if ticket.commission is not None:
        costs = _run(f"{double(ticket.commission)}|||{ticket.instrument.currency}|")
    return _open_order(
        version,
        account,
        ticket.order.request,
        ticket.instrument,
        ticket.wish,
        _prices_now(ticket.order),
        ids=(ticket.order_id, ticket.client_id, ticket.perm_id, ticket.modifications),
        order_type=ticket.order_type,
        order_ref=ticket.order_ref,
        group=(ticket.oca_group, ticket.oca_type, ticket.parent_order_id),
        quantity=ticket.quantity,
        state=("0", status, _UNSET_MARGINS, costs),
    )


def what_if_order(
    version: int,
    account: str,
    request: OrderRequest,
    instrument: Instrument,
    wish: PlaceOrder,
    margins: Margins,
    *,
    client_id: int,
    perm_id: int,
    status: str = "PreSubmitted",
) -> bytes:
    """5: what an order would do to its account; the only answer to a what-if."""
    before_to_after, costs = margins.texts()
    return _open_order(
        version,
        account,
        request,
        instrument,
        wish,
        _prices(request, request.limit_price, request.trail_stop),
        ids=(wish.order_id, client_id, perm_id, 0),
        order_type=wish.order_type,
        order_ref=wish.order_ref,
        group=(wish.oca_group, wish.oca_type or 3, wish.parent_id),
        quantity=request.quantity,
        state=("1", status, before_to_after, costs),
    )


def _open_order(
    version: int,
    account: str,
    request: OrderRequest,
    instrument: Instrument,
    wish: PlaceOrder,
    prices: tuple[str, str, str, str, str],
    *,
    ids: tuple[int, int, int, int],
    order_type: str,
    order_ref: str,
    group: tuple[str, int, int],
    quantity: Decimal,
    state: tuple[str, str, str, str],
) -> bytes:
    sent = wish.fields
    exchange = wish.contract.exchange or _SMART
    order_id, client_id, perm_id, changes = ids
    oca_group, oca_type, parent_id = group
    limit, aux, trail_sent, trail, percent = prices
    size = number(quantity)
    competing = exchange == _SMART and instrument.security_type == "STK" and not parent_id
    fields = (
        "5",
        str(order_id),
        contract_run(instrument, "0", "?", exchange),
        request.side.value,
        size,
        order_type,
        *(limit, aux, request.time_in_force.value, oca_group, account),
        "",  # open or close
        sent.get("origin") or "0",
        *(order_ref, str(client_id), str(perm_id)),
        "1" if request.outside_rth else "0",
        _HIDDEN,
        f"{perm_id}.{changes}/{account}/{size}",
        _ADVISOR if version < gates.FA_PROFILE_GONE else _ADVISOR_WITHOUT_PROFILE,
        sent.get("modelCode", ""),
        *(wish.good_till, sent.get("rule80A", "")),
        _SETTLEMENT,
        "0",  # auction strategy
        _AUCTION,
        _display_size(sent),
        *("0", "0", "1" if request.all_or_none else "0", ""),  # block, sweep; all or none; least quantity
        str(oca_type),
        *("0", "0", ""),  # electronic trade only, firm quote only, limit of the quote
        str(parent_id),
        *(_flag(sent, "triggerMethod"), "", "0"),  # and volatility with its type
        _OPEN_NEUTRAL,
        *("0", "0", trail_sent, percent, "", "", ""),  # continuous, reference; basis points, legs described
        _LEGS,
        _SCALE,
        *(_flag(sent, "optOutSmartRouting"), "", sent.get("clearingIntent") or "IB"),
        *("0", "0", "", _flag(sent, "solicited")),  # not held, delta neutral contract, algorithm
        *state,
        _RANDOM,
        *("None", UNSET_DOUBLE, trail, _offset(wish)),  # adjusted order type and its trigger
        _ADJUSTED,
        _HEDGING,
        _flag(sent, "usePriceMgmtAlgo") + _newer(version, competing) + "\0",
    )
    return frame("\0".join(fields).encode())


def order_status(ticket: Ticket, status: str) -> bytes:
    """3: how far an order is."""
    filled, left = number(ticket.filled), number(ticket.remaining)
    mean, last = price(ticket.average_price), price(ticket.last_price)
    text = (
        f"3\0{ticket.order_id}\0{status}\0{filled}\0{left}\0{mean}\0{ticket.perm_id}\0"
        f"{ticket.parent_order_id}\0{last}\0{ticket.client_id}\0{ticket.why_held}\0"
    )
    return frame((text + "0\0").encode())  # the last: the price cap of the market


def completed_order(version: int, account: str, ticket: Ticket) -> bytes:
    """101: an order that has ended."""
    request, wish = ticket.order.request, ticket.wish
    sent = wish.fields
    limit, aux, trail_sent, trail, percent = _prices_now(ticket.order)
    filled = ticket.status == "Filled"
    told = f"Filled Size: {number(ticket.filled)}" if filled else "Cancelled by Trader"
    if ticket.reason:
        told = f"Cancelled by System:{ticket.reason}"
    exchange = wish.contract.exchange or _SMART
    return message(
        101,
        contract_run(ticket.instrument, "0", "?", exchange),
        request.side.value,
        "0" if filled else number(ticket.quantity),
        ticket.order_type,
        *(limit, aux, request.time_in_force.value, ticket.oca_group, account),
        "",  # open or close
        sent.get("origin") or "0",
        *(ticket.order_ref, ticket.perm_id),
        "1" if request.outside_rth else "0",
        _HIDDEN,
        _ADVISOR if version < gates.FA_PROFILE_GONE else _ADVISOR_WITHOUT_PROFILE,
        sent.get("modelCode", ""),
        *(wish.good_till, sent.get("rule80A", "")),
        _SETTLEMENT,
        _AUCTION,
        _display_size(sent),
        *("0", "1" if request.all_or_none else "0", ""),  # sweep; all or none; least quantity
        ticket.oca_type,
        *(_flag(sent, "triggerMethod"), "", "0"),  # and volatility with its type
        _ENDED_NEUTRAL,
        *("0", "0", trail_sent, percent, ""),  # continuous, reference; legs described
        _LEGS,
        _SCALE,
        *("", sent.get("clearingIntent") or "IB", "0", "0", "", _flag(sent, "solicited")),
        ticket.status,
        _RANDOM,
        *(trail, _offset(wish)),
        *("0", "1", "0", ""),  # cash quantity, hedge price, container, cancel date
        *(number(ticket.filled), UNSET_INTEGER),  # future referred to
        _STRANGERS,  # cancelled with its parent; shareholder; imbalance, routing
        ticket.parent_perm_id or UNSET_LONG,
        time_text(ticket.completed_ns or 0),
        told,
        *((_NO_COMPETITION,) if version >= gates.PEGGED_BEST else ()),
    )


def order_bound(perm_id: int, client_id: int, order_id: int) -> bytes:
    """100: an order entered by hand has got an id of the API."""
    return message(100, perm_id, client_id, order_id)


def open_order_end() -> bytes:
    """53: the live orders are told."""
    return message(53, 1)


def completed_orders_end() -> bytes:
    """102: the ended orders are told."""
    return message(102)


def next_valid_id(order_id: int) -> bytes:
    """9: the next order id."""
    return message(9, 1, order_id)
