"""What a client's order says, as the broker takes it; what TWS refuses on sight is refused with its code.

Checked here is what TWS checks before it looks at account or market: the type, the time in force and their
combination, the account, the prices a type needs, and the increments of a contract whose increments depend on
the price. One tick for all prices, sizes and margin are the broker's.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection
from decimal import Decimal
from typing import Final

import pandas as pd

from backtesting.errors import PRICE_INCREMENT, PRICE_INCREMENT_TEXT
from backtesting.gateway.errors import RequestFormatError, RequestRefusedError
from backtesting.gateway.market.contracts import conforms
from backtesting.gateway.wire.codec import EASTERN, parse_time
from backtesting.gateway.wire.requests import PlaceOrder
from execution.clocks import timestamp
from execution.errors import InvalidOrderError
from execution.models import Instrument, OrderRequest, OrderType, Side, TimeInForce

ORDER_TYPES: Final = {
    "MKT": OrderType.MARKET,
    "LMT": OrderType.LIMIT,
    "STP": OrderType.STOP,
    "STP LMT": OrderType.STOP_LIMIT,
    "TRAIL": OrderType.TRAIL,
    "TRAIL LIMIT": OrderType.TRAIL_LIMIT,
    "MOC": OrderType.MARKET_ON_CLOSE,
    "LOC": OrderType.LIMIT_ON_CLOSE,
    "MIT": OrderType.MARKET_IF_TOUCHED,
    "LIT": OrderType.LIMIT_IF_TOUCHED,
}
"""Order types by their name on the wire; on the open go MKT and LMT with time in force OPG."""

UNSERVED_TYPES: Final = frozenset(
    (
        "REL",
        "PEG MKT",
        "PEG PRIM",
        "PEG MID",
        "PEG STK",
        "PEG BEST",
        "PEG BENCH",
        "PASSV REL",
        "MTL",
        "MKT PRT",
        "STP PRT",
        "BOX TOP",
        "VOL",
        "SNAP MKT",
        "SNAP MID",
        "SNAP PRIM",
        "MIDPRICE",
        "TRAIL MIT",
        "TRAIL LIT",
        "TRAIL LMT + MKT",
        "TRAIL REL + MKT",
        "REL + MKT",
        "REL + LMT",
        "LMT + MKT",
        "RPI",
        "QUOTE",
        "ALERT",
    )
)
"""Order types of TWS that are not simulated."""

DEFAULT_OCA_TYPE: Final = 3
"""What TWS takes where the client says 0: reduce with no overfill block."""

_ON_OPEN: Final = frozenset((OrderType.MARKET, OrderType.LIMIT))
_ON_CLOSE: Final = frozenset((OrderType.MARKET_ON_CLOSE, OrderType.LIMIT_ON_CLOSE))
_IMMEDIATE: Final = frozenset((OrderType.MARKET, OrderType.LIMIT))
_TIMES: Final = {"": TimeInForce.DAY, **{time.value: time for time in TimeInForce}}
_SIDES: Final = {"BUY": Side.BUY, "SELL": Side.SELL}
_CLIENT_ORDER_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_DATE = re.compile(r"\d{8}", re.ASCII)
_BAD_TIME: Final = (
    "The date, time, or time-zone entered is invalid. The correct format is yyyymmdd hh:mm:ss xxx where "
    "yyyymmdd and xxx are optional. E.g.: 20031126 15:59:00 EST"
)


def invalid(cause: str) -> RequestRefusedError:
    """Return the refusal of a request that is wrong in itself (321)."""
    return RequestRefusedError(321, f"Error validating request.-'bC' : cause - {cause}")


def chosen_account(wished: str, accounts: Collection[str]) -> str:
    """Return the account an order is for: with one account it need not be named.

    Raises
    ------
    RequestRefusedError
        435 if none of several is named, 321 if it is not one of the login.
    """
    if wished in accounts:
        return wished
    if wished:
        raise invalid("Invalid account code")
    if len(accounts) > 1:
        raise RequestRefusedError(435, "You must specify an account.")
    return next(iter(accounts))


def order_request(
    wish: PlaceOrder, instrument: Instrument, account: str, *, oca_group: str | None = None
) -> OrderRequest:
    """Return a client's order as the broker takes it.

    Parameters
    ----------
    wish
        What the client sent.
    instrument
        The contract meant.
    account
        The account it is for.
    oca_group
        The group of a child that names none itself: all children of a parent are in one.

    Raises
    ------
    RequestRefusedError
        With TWS's code: 110, 111, 113, 158, 321, 337, 387 or 434.
    """
    if not wish.quantity:
        raise RequestRefusedError(434, "The order size cannot be zero.")
    kind, side = _kind(wish), _SIDES.get(wish.side)
    if side is None:
        raise invalid("Invalid side")
    time_in_force = _time_in_force(wish, kind)
    if wish.unserved:
        raise invalid(f"Not served by this gateway: {', '.join(wish.unserved[:5])}")
    limit = wish.limit_price if kind.needs_limit else None
    amount = percent = stop = offset = None
    if kind.trails:
        amount, percent, stop = _trail(wish)
        if kind is OrderType.TRAIL_LIMIT:
            offset = wish.limit_offset
            limit = wish.limit_price or None if offset is None else None
    if not 0 <= wish.oca_type <= DEFAULT_OCA_TYPE:
        raise invalid("Invalid OCA type")
    reference = wish.order_ref
    try:
        request = OrderRequest(
            symbol=instrument.symbol,
            quantity=wish.quantity,
            order_type=kind,
            side=side,
            limit_price=limit,
            stop_price=wish.stop_price if kind.needs_stop else None,
            time_in_force=time_in_force,
            account=account,
            client_order_id=reference if reference and _CLIENT_ORDER_ID.fullmatch(reference) else None,
            outside_rth=wish.outside_rth,
            good_till=good_till(wish.good_till) if time_in_force is TimeInForce.GTD else None,
            trail_amount=amount,
            trail_percent=percent,
            trail_stop=stop,
            limit_offset=offset,
            all_or_none=wish.all_or_none,
            oca_group=wish.oca_group or oca_group,
            oca_type=(wish.oca_type if wish.oca_group else 0) or DEFAULT_OCA_TYPE,
        )
    except InvalidOrderError as error:
        raise invalid(str(error)) from error
    for price in (request.limit_price, request.stop_price, request.trail_stop):
        if price is not None and not conforms(instrument, price):
            raise RequestRefusedError(PRICE_INCREMENT, PRICE_INCREMENT_TEXT)
    return request


def good_till(text: str) -> pd.Timestamp:
    """Parse a good-till date: New York time if no zone is named; a date alone means its end.

    Raises
    ------
    RequestRefusedError
        337, if it is no date and time.
    """
    try:
        if _DATE.fullmatch(text):
            day = dt.datetime.strptime(text, "%Y%m%d").replace(tzinfo=EASTERN)
            return pd.Timestamp(day + dt.timedelta(days=1)).tz_convert("UTC")
        return timestamp(parse_time(text))
    except (RequestFormatError, ValueError, OverflowError) as error:
        raise RequestRefusedError(337, _BAD_TIME) from error


def _kind(wish: PlaceOrder) -> OrderType:
    kind = ORDER_TYPES.get(wish.order_type)
    if kind is not None:
        return kind
    if wish.order_type in UNSERVED_TYPES:
        raise RequestRefusedError(387, "Unsupported order type for this exchange and security type.")
    raise invalid("Invalid order type was entered")


def _time_in_force(wish: PlaceOrder, kind: OrderType) -> TimeInForce:
    found = _TIMES.get(wish.time_in_force)
    if found is None:
        raise invalid("Invalid time in force")
    if found is TimeInForce.DAY or found is TimeInForce.GTC:
        fits = True
    elif found is TimeInForce.OPG:
        fits = kind in _ON_OPEN
    else:
        fits = found is TimeInForce.GTD or kind in _IMMEDIATE
    if kind in _ON_CLOSE and found is not TimeInForce.DAY:
        raise RequestRefusedError(113, "The Tif option should be set to DAY for MOC and LOC orders.")
    if not fits:
        raise RequestRefusedError(111, "The TIF (Tif type) and the order type are incompatible.")
    return found


def _trail(wish: PlaceOrder) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """Return amount, percent and first stop; a zero is what clients send for none."""
    amount, percent = wish.stop_price or None, wish.trail_percent or None
    if amount is None and percent is None:
        raise RequestRefusedError(158, "You must specify an offset amount or a percent offset value.")
    return amount, percent, wish.trail_stop_price or None
