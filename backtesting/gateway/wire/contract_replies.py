"""Messages about contracts, and how a contract is spelt in every other message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Final

from backtesting.gateway.wire import gates
from backtesting.gateway.wire.codec import UNSET_INTEGER, double, message, number, numeral
from execution.models import Instrument

SMART: Final = "SMART"
USUAL_LISTING: Final = "NASDAQ"
"""Of a stock of which nothing is known; on the wire only."""

ORDER_TYPES: Final = (
    "ACTIVETIM,AON,DAY,GTC,GTD,IOC,FOK,LIT,LMT,LOC,MIT,MKT,MOC,OCA,OPG,STP,STPLMT,TRAIL,TRAILLMT,WHATIF"
)
_PENNY_RULE: Final = 26
_GROUPS: Final = {"STK": "1", "OPT": "2", "CASH": "4"}
"""Aggregated groups: which contracts TWS may route together."""

_CHILDREN_OF_UNDERLYINGS: Final = ("OPT", "FUT", "FOP")


def wire_symbol(instrument: Instrument) -> str:
    """Return the symbol a contract goes by on the wire: of a derivative its underlying's."""
    return instrument.underlying or instrument.symbol


def primary_exchange(instrument: Instrument) -> str:
    """Return where a contract is listed; a stock of which that is not known is said to be on NASDAQ."""
    if instrument.primary_exchange or instrument.security_type != "STK" or instrument.exchange != SMART:
        return instrument.primary_exchange
    return USUAL_LISTING


def home_exchange(instrument: Instrument) -> str:
    """Return where a contract is traded, whatever routes it: its primary exchange, else its only one."""
    return primary_exchange(instrument) or instrument.exchange


def trading_class(instrument: Instrument) -> str:
    """Return the trading class: NMS for a stock that names none."""
    if instrument.trading_class:
        return instrument.trading_class
    return "NMS" if instrument.security_type == "STK" else wire_symbol(instrument)


def multiplier(instrument: Instrument) -> str:
    """Return the multiplier; empty where it is one."""
    return "" if instrument.multiplier == 1 else number(instrument.multiplier)


@lru_cache(maxsize=4096)
def contract_run(instrument: Instrument, strike: str, right: str, exchange: str) -> str:
    """Return the eleven contract fields shared by most messages as one run of fields.

    `strike` and `right` are how this message spells the lack of them; they differ from message to message.
    """
    return "\0".join(
        (
            str(instrument.con_id),
            wire_symbol(instrument),
            instrument.security_type,
            instrument.expiry,
            strike if instrument.strike is None else number(instrument.strike),
            instrument.right or right,
            multiplier(instrument),
            exchange,
            instrument.currency,
            instrument.local_symbol or instrument.symbol,
            trading_class(instrument),
        )
    )


@dataclass(frozen=True, slots=True)
class ContractFacts:
    """What contract details tell beyond the instrument.

    `market_rule` is the number of its price increments, `exchanges` are those it trades on (SMART, its
    exchange and its primary exchange if none are named), `last_trade_time` is ``hh:mm`` in `zone` for a
    future, `security_ids` are pairs such as ``("ISIN", "US0378331005")``.
    """

    trading_hours: str = ""
    liquid_hours: str = ""
    zone: str = "US/Eastern"
    market_rule: int = _PENNY_RULE
    exchanges: tuple[str, ...] = ()
    order_types: str = ORDER_TYPES
    industry: str = ""
    category: str = ""
    subcategory: str = ""
    stock_type: str = "COMMON"
    last_trade_time: str = ""
    underlying_con_id: int = 0
    underlying_type: str = ""
    security_ids: tuple[tuple[str, str], ...] = ()


def contract_details(
    version: int,
    request_id: int,
    instrument: Instrument,
    trading_hours: str = "",
    liquid_hours: str = "",
    facts: ContractFacts | None = None,
) -> bytes:
    """10: everything about a contract; hours given in `facts` go before those given by themselves."""
    known = facts or ContractFacts(trading_hours=trading_hours, liquid_hours=liquid_hours)
    dated = version < gates.SIZE_INCREMENTS
    exchange, traded_as = instrument.exchange, trading_class(instrument)
    venues = known.exchanges or tuple(
        dict.fromkeys(name for name in (SMART, exchange, primary_exchange(instrument)) if name)
        if instrument.security_type in ("STK", "OPT")
        else (exchange,)
    )
    derived = instrument.security_type in _CHILDREN_OF_UNDERLYINGS
    last_trade = instrument.expiry
    if last_trade and known.last_trade_time:
        last_trade = f"{last_trade} {known.last_trade_time} {known.zone}"
    return message(
        10,
        *((8,) if dated else ()),
        request_id,
        wire_symbol(instrument),
        instrument.security_type,
        last_trade,
        "0" if instrument.strike is None else number(instrument.strike),
        instrument.right,
        exchange,
        instrument.currency,
        instrument.local_symbol or instrument.symbol,
        *(traded_as, traded_as, instrument.con_id, number(instrument.tick)),
        *(("",) if dated else ()),
        multiplier(instrument),
        known.order_types,
        ",".join(venues),
        *("1", known.underlying_con_id),
        instrument.name or instrument.symbol,
        primary_exchange(instrument),
        instrument.expiry[:6],
        *(known.industry, known.category, known.subcategory),
        *(known.zone, known.trading_hours or trading_hours, known.liquid_hours or liquid_hours),
        *("", ""),
        len(known.security_ids),
        *(text for pair in known.security_ids for text in pair),
        _GROUPS.get(instrument.security_type, UNSET_INTEGER),
        *(wire_symbol(instrument) if derived else "", known.underlying_type if derived else ""),
        ",".join((str(known.market_rule),) * len(venues)),
        instrument.expiry,
        known.stock_type if instrument.security_type == "STK" else "",
        *_sizes(version, instrument),
    )


def _sizes(version: int, instrument: Instrument) -> Sequence[str]:
    lot = number(instrument.lot)
    if version >= gates.SIZE_INCREMENTS:
        return lot, lot, lot
    return (lot,) if version == gates.ONE_SIZE_INCREMENT else ()


def contract_details_end(request_id: int) -> bytes:
    """52: no further contract fits."""
    return message(52, 1, request_id)


def symbol_samples(version: int, request_id: int, found: Iterable[tuple[Instrument, Sequence[str]]]) -> bytes:
    """79: contracts that match a typed text, each with the types of derivatives offered on it."""
    rows = list(found)
    fields: list[object] = []
    for instrument, derivatives in rows:
        fields += (instrument.con_id, wire_symbol(instrument), instrument.security_type)
        fields += (home_exchange(instrument), instrument.currency)
        fields += (len(derivatives), *derivatives)
        if version >= gates.ISSUER_ID:
            fields += (instrument.name, "")
    return message(79, request_id, len(rows), *fields)


def option_chain(
    request_id: int,
    exchange: str,
    underlying_con_id: int,
    traded_as: str,
    size: Decimal,
    expiries: Sequence[str],
    strikes: Sequence[Decimal],
) -> bytes:
    """75: the options on an underlying at one exchange; `size` is their multiplier."""
    return message(
        *(75, request_id, exchange, underlying_con_id, traded_as, number(size)),
        *(len(expiries), *expiries),
        *(len(strikes), *map(double, strikes)),
    )


def option_chain_end(request_id: int) -> bytes:
    """76: no further exchange."""
    return message(76, request_id)


def market_rule(rule_id: int, bands: Sequence[tuple[Decimal, Decimal]]) -> bytes:
    """93: price increments by the price from which they hold."""
    flat = (numeral(value) for band in bands for value in band)
    return message(93, rule_id, len(bands), *flat)


def smart_components(request_id: int, components: Sequence[tuple[int, str, str]] = ()) -> bytes:
    """82: bit number, exchange and letter of the exchanges in consolidated quotes."""
    return message(82, request_id, len(components), *(value for row in components for value in row))
