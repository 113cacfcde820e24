"""What clients ask about contracts, quotes, bars and time, as typed values."""

from __future__ import annotations

from dataclasses import dataclass

from backtesting.gateway.wire.order_requests import ContractQuery


@dataclass(frozen=True, slots=True)
class CurrentTime:
    """49: the time; in lockstep the end of the client's step."""


@dataclass(frozen=True, slots=True)
class ContractDetails:
    """9: everything about a contract."""

    request_id: int
    contract: ContractQuery
    include_expired: bool = False
    security_id_type: str = ""
    security_id: str = ""
    issuer_id: str = ""


@dataclass(frozen=True, slots=True)
class MatchingSymbols:
    """81: contracts whose symbol or name begins like this."""

    request_id: int
    pattern: str


@dataclass(frozen=True, slots=True)
class MarketRule:
    """91: price increments under the number of a market rule."""

    rule_id: int


@dataclass(frozen=True, slots=True)
class OptionChain:
    """78: expiries and strikes of the options on an underlying."""

    request_id: int
    symbol: str
    exchange: str
    security_type: str
    con_id: int


@dataclass(frozen=True, slots=True)
class SmartComponents:
    """83: the exchanges behind the letters of consolidated quotes."""

    request_id: int
    exchange: str


@dataclass(frozen=True, slots=True)
class MarketDataType:
    """59: live (1), frozen (2), delayed (3) or delayed frozen (4) data from now on."""

    kind: int


@dataclass(frozen=True, slots=True)
class MarketData:
    """1: quotes, once or until cancelled."""

    request_id: int
    contract: ContractQuery
    generic_ticks: str
    snapshot: bool
    regulatory_snapshot: bool


@dataclass(frozen=True, slots=True)
class CancelMarketData:
    """2: end of quotes."""

    request_id: int


@dataclass(frozen=True, slots=True)
class RealTimeBars:
    """50: bars of some seconds as they end."""

    request_id: int
    contract: ContractQuery
    bar_size: int
    what: str
    rth: bool


@dataclass(frozen=True, slots=True)
class CancelRealTimeBars:
    """51: end of such bars."""

    request_id: int


@dataclass(frozen=True, slots=True)
class History:
    """20: completed bars, and updates if asked for."""

    request_id: int
    contract: ContractQuery
    end: str
    bar_size: str
    duration: str
    what: str
    date_format: int
    keep_up_to_date: bool
    include_expired: bool = False
    rth: bool = True
    """Whether only bars of regular trading hours are wanted."""


@dataclass(frozen=True, slots=True)
class CancelHistory:
    """25: end of a subscription to bars."""

    request_id: int


@dataclass(frozen=True, slots=True)
class HeadTimestamp:
    """87: the start of the earliest bar there is."""

    request_id: int
    contract: ContractQuery
    what: str
    rth: bool
    date_format: int


@dataclass(frozen=True, slots=True)
class CancelHeadTimestamp:
    """90: end of such a request; TWS does not answer it."""

    request_id: int


@dataclass(frozen=True, slots=True)
class Ignored:
    """A request that has no effect in a simulation and that TWS does not answer either."""


@dataclass(frozen=True, slots=True)
class NothingToList:
    """A list without a request id that is empty here: news providers, depth exchanges, scanner parameters.

    An error would leave its client waiting for ever, so it is answered with the empty list.
    """

    answer: bytes
    """The whole message to send."""
