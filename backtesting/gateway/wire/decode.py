"""From the fields of a message to a typed request, with a strict count of fields at every server version."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from backtesting.gateway.errors import RequestFormatError, RequestRefusedError
from backtesting.gateway.wire import account_requests as account
from backtesting.gateway.wire import decoders
from backtesting.gateway.wire import market_requests as market
from backtesting.gateway.wire import order_requests as orders
from backtesting.gateway.wire.codec import FieldReader, message
from backtesting.gateway.wire.unserved import UNSERVED, layout

if TYPE_CHECKING:
    from backtesting.gateway.wire.requests import Request

Decoder = Callable[[FieldReader, int], "Request"]
"""Reads the fields after a message's number, at a server version."""

_SHORT_INTEGER: Final = re.compile(r"-?[0-9]{1,10}", re.ASCII)
_LARGEST_REQUEST_ID: Final = 2_147_483_647

_ID_AFTER_VERSION: Final = "1 2 4 7 9 10 11 21 22 23 25 50 51 52 53 54 55 56 57 62 63 67 68 69 70 74 75 76 77"
_ID_FIRST: Final = "3 20 22 78 79 81 83 84 86 87 88 89 90 92 93 94 95 96 97 98 100 101 102 103 104"
_REQUEST_ID_FIELD: Final = {
    **dict.fromkeys(_ID_AFTER_VERSION.split(), 2),
    **dict.fromkeys(_ID_FIRST.split(), 1),
    "19": 4,
}
"""Where a request carries its id, by message number: after the number, or after a version field."""

_NO_ID: Final = {"18": _LARGEST_REQUEST_ID}
"""Requests without an id whose errors TWS sends under another one than -1."""

_NO_SCANNERS: Final = '<?xml version="1.0" encoding="UTF-8"?><ScanParameterResponse></ScanParameterResponse>'


def request_id_of(fields: list[str]) -> int:
    """Return the id a failed request is to be answered under; -1 if it has none that can be read."""
    place = _REQUEST_ID_FIELD.get(fields[0])
    if place is None or place >= len(fields):
        return _NO_ID.get(fields[0], -1)
    text = fields[place]
    return int(text) if _SHORT_INTEGER.fullmatch(text) else -1


def decode(fields: list[str], version: int) -> Request:
    """Decode one message.

    Parameters
    ----------
    fields
        All fields, the message number being the first.
    version
        The negotiated server version.

    Raises
    ------
    RequestFormatError
        If a field is missing, surplus or unreadable, or the message number unknown (320).
    RequestRefusedError
        If the request is known but not served, with the code and text TWS would use.
    """
    reader = FieldReader(fields)
    number = reader.integer("message id")
    decoder = _DECODERS.get(number)
    if decoder is None:
        raise _unserved(reader, number, version, fields)
    request = decoder(reader, version)
    reader.end()
    return request


def _unserved(reader: FieldReader, number: int, version: int, fields: list[str]) -> RequestRefusedError:
    known = UNSERVED.get(number)
    if known is None:
        return RequestFormatError(f"Unknown message id: {number}")
    reader.values(layout(number, version))
    reader.end()
    return RequestRefusedError(known.number, known.text.format(id=request_id_of(fields)))


def _bare(value: Request) -> Decoder:
    """Return the decoder of a request that has nothing but a version."""

    def read(reader: FieldReader, _version: int) -> Request:
        decoders.skip_version(reader)
        return value

    return read


def _empty(value: Request) -> Decoder:
    """Return the decoder of a request that has no fields at all."""
    return lambda _reader, _version: value


def _versioned_id(make: Callable[[int], Request]) -> Decoder:
    """Return the decoder of a request that has a version and an id."""

    def read(reader: FieldReader, _version: int) -> Request:
        decoders.skip_version(reader)
        return make(reader.integer("request id"))

    return read


def _id(make: Callable[[int], Request]) -> Decoder:
    """Return the decoder of a request that has an id and no version."""
    return lambda reader, _version: make(reader.integer("request id"))


_DECODERS: Final[dict[int, Decoder]] = {
    1: decoders.market_data,
    2: _versioned_id(market.CancelMarketData),
    3: decoders.place_order,
    4: decoders.cancel_order,
    5: _bare(orders.OpenOrders()),
    6: decoders.account_updates,
    7: decoders.executions,
    8: decoders.next_id,
    9: decoders.contract_details,
    13: _bare(market.Ignored()),
    14: decoders.log_level,
    15: decoders.auto_open_orders,
    16: _bare(orders.OpenOrders(everyone=True)),
    17: _bare(account.ManagedAccounts()),
    20: decoders.history,
    24: _bare(market.NothingToList(message(19, 1, _NO_SCANNERS))),
    25: _versioned_id(market.CancelHistory),
    49: _bare(market.CurrentTime()),
    50: decoders.real_time_bars,
    51: _versioned_id(market.CancelRealTimeBars),
    58: _bare(orders.GlobalCancel()),
    59: decoders.market_data_type,
    61: _bare(account.Positions(subscribe=True)),
    62: decoders.account_summary,
    63: _versioned_id(account.CancelAccountSummary),
    64: _bare(account.Positions(subscribe=False)),
    71: decoders.start_api,
    74: decoders.positions_multi,
    75: _versioned_id(account.CancelPositionsMulti),
    76: decoders.account_updates_multi,
    77: _versioned_id(account.CancelAccountUpdatesMulti),
    78: decoders.option_chain,
    79: _id(account.SoftDollarTiers),
    80: _empty(account.FamilyCodes()),
    81: decoders.matching_symbols,
    82: _empty(market.NothingToList(message(80, 0))),
    83: decoders.smart_components,
    85: _empty(market.NothingToList(message(85, 0))),
    87: decoders.head_timestamp,
    90: _id(market.CancelHeadTimestamp),
    91: _id(market.MarketRule),
    92: decoders.pnl,
    93: _id(account.CancelPnL),
    94: decoders.pnl_single,
    95: _id(account.CancelPnLSingle),
    99: decoders.completed_orders,
    104: _id(account.UserInfo),
}
