"""Names of messages and of their fields, for people: fault scripts, the frame journal, traces.

The handshake has no message number; it goes by number 0 here.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final, Literal

Direction = Literal["in", "out"]
"""``in``: from a client to the gateway; ``out``: from the gateway to a client."""

HANDSHAKE: Final = 0

_REQUESTS: Final = """
0 handshake 1 reqMktData 2 cancelMktData 3 placeOrder 4 cancelOrder 5 reqOpenOrders 6 reqAccountUpdates
7 reqExecutions 8 reqIds 9 reqContractDetails 10 reqMktDepth 11 cancelMktDepth 12 reqNewsBulletins
13 cancelNewsBulletins 14 setServerLogLevel 15 reqAutoOpenOrders 16 reqAllOpenOrders 17 reqManagedAccts
18 requestFA 19 replaceFA 20 reqHistoricalData 21 exerciseOptions 22 reqScannerSubscription
23 cancelScannerSubscription 24 reqScannerParameters 25 cancelHistoricalData 49 reqCurrentTime
50 reqRealTimeBars 51 cancelRealTimeBars 52 reqFundamentalData 53 cancelFundamentalData
54 calculateImpliedVolatility 55 calculateOptionPrice 56 cancelCalculateImpliedVolatility
57 cancelCalculateOptionPrice 58 reqGlobalCancel 59 reqMarketDataType 61 reqPositions 62 reqAccountSummary
63 cancelAccountSummary 64 cancelPositions 71 startApi 74 reqPositionsMulti 75 cancelPositionsMulti
76 reqAccountUpdatesMulti 77 cancelAccountUpdatesMulti 78 reqSecDefOptParams 79 reqSoftDollarTiers
80 reqFamilyCodes 81 reqMatchingSymbols 82 reqMktDepthExchanges 83 reqSmartComponents 84 reqNewsArticle
85 reqNewsProviders 86 reqHistoricalNews 87 reqHeadTimestamp 88 reqHistogramData 89 cancelHistogramData
90 cancelHeadTimestamp 91 reqMarketRule 92 reqPnL 93 cancelPnL 94 reqPnLSingle 95 cancelPnLSingle
96 reqHistoricalTicks 97 reqTickByTickData 98 cancelTickByTickData 99 reqCompletedOrders 100 reqWshMetaData
101 cancelWshMetaData 102 reqWshEventData 103 cancelWshEventData 104 reqUserInfo
"""

_REPLIES: Final = """
0 handshakeReply 1 tickPrice 2 tickSize 3 orderStatus 4 error 5 openOrder 6 updateAccountValue
7 updatePortfolio 8 updateAccountTime 9 nextValidId 10 contractDetails 11 execDetails 12 updateMktDepth
13 updateMktDepthL2 14 updateNewsBulletin 15 managedAccounts 16 receiveFA 17 historicalData
18 bondContractDetails 19 scannerParameters 20 scannerData 21 tickOptionComputation 45 tickGeneric
46 tickString 47 tickEFP 49 currentTime 50 realtimeBar 51 fundamentalData 52 contractDetailsEnd
53 openOrderEnd 54 accountDownloadEnd 55 execDetailsEnd 56 deltaNeutralValidation 57 tickSnapshotEnd
58 marketDataType 59 commissionReport 61 position 62 positionEnd 63 accountSummary 64 accountSummaryEnd
71 positionMulti 72 positionMultiEnd 73 accountUpdateMulti 74 accountUpdateMultiEnd
75 securityDefinitionOptionParameter 76 securityDefinitionOptionParameterEnd 77 softDollarTiers
78 familyCodes 79 symbolSamples 80 mktDepthExchanges 81 tickReqParams 82 smartComponents 83 newsArticle
84 tickNews 85 newsProviders 86 historicalNews 87 historicalNewsEnd 88 headTimestamp 89 histogramData
90 historicalDataUpdate 91 rerouteMktDataReq 92 rerouteMktDepthReq 93 marketRule 94 pnl 95 pnlSingle
96 historicalTicks 97 historicalTicksBidAsk 98 historicalTicksLast 99 tickByTick 100 orderBound
101 completedOrder 102 completedOrdersEnd 103 replaceFAEnd 104 wshMetaData 105 wshEventData
106 historicalSchedule 107 userInfo
"""


def _table(text: str) -> dict[int, str]:
    words = text.split()
    return {int(number): name for number, name in zip(words[::2], words[1::2], strict=True)}


NAMES: Final[dict[Direction, dict[int, str]]] = {"in": _table(_REQUESTS), "out": _table(_REPLIES)}
"""Names by direction and message number."""

_CONTRACT: Final = (
    "conId symbol secType expiry strike right multiplier exchange primaryExchange currency localSymbol "
    "tradingClass"
)
_SHORT_CONTRACT: Final = (
    "conId symbol secType expiry strike right multiplier exchange currency localSymbol tradingClass"
)

_FIELDS: Final[dict[Direction, dict[int, str]]] = {
    "in": {
        3: f"orderId {_CONTRACT} secIdType secId action totalQuantity orderType lmtPrice auxPrice tif "
        "ocaGroup account openClose origin orderRef transmit parentId",
        4: "version orderId manualCancelTime",
        6: "version subscribe account",
        7: "version reqId clientId account time symbol secType exchange side",
        9: f"version reqId {_CONTRACT}",
        20: f"reqId {_CONTRACT} includeExpired end barSize duration useRth "
        "whatToShow formatDate keepUpToDate",
        25: "version reqId",
        49: "version",
        61: "version",
        62: "version reqId group tags",
        71: "version clientId optionalCapabilities",
        76: "version reqId account modelCode ledgerAndNlv",
    },
    "out": {
        0: "serverVersion time",
        3: "orderId status filled remaining avgFillPrice permId parentId lastFillPrice clientId whyHeld "
        "mktCapPrice",
        4: "version reqId code text advancedOrderReject",
        5: f"orderId {_SHORT_CONTRACT} action totalQuantity orderType lmtPrice auxPrice tif ocaGroup account "
        "openClose origin orderRef clientId permId",
        6: "version key value currency account",
        8: "version time",
        9: "version orderId",
        11: f"reqId orderId {_SHORT_CONTRACT} execId time account exchange side shares price permId clientId "
        "liquidation cumQty avgPrice orderRef evRule evMultiplier modelCode lastLiquidity",
        15: "version accounts",
        17: "reqId start end count",
        49: "version time",
        53: "version",
        55: "version reqId",
        59: "version execId commission currency realizedPNL yield redemptionDate",
        61: f"version account {_SHORT_CONTRACT} position avgCost",
        62: "version",
        63: "version reqId account tag value currency",
        64: "version reqId",
        90: "reqId barCount date open close high low average volume",
    },
}

FIELD_NAMES: Final[dict[Direction, dict[int, tuple[str, ...]]]] = {
    direction: {number: tuple(names.split()) for number, names in table.items()}
    for direction, table in _FIELDS.items()
}
"""Names of the leading fields after the message number, where they do not move with the server version."""

_BY_NAME: Final[dict[str, tuple[Direction, int]]] = {
    name: (direction, number) for direction, table in NAMES.items() for number, name in table.items()
}


def name_of(direction: Direction, number: int) -> str:
    """Return a message's name, or its number as text if it has none."""
    return NAMES[direction].get(number, str(number))


def find(name: str) -> tuple[Direction, int] | None:
    """Return direction and number of a message's name; None if no message is called so."""
    return _BY_NAME.get(name)


def all_names() -> tuple[str, ...]:
    """Return the names of all messages."""
    return tuple(_BY_NAME)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the known word most like another, or nothing if none is like it."""
    lowered = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.5)
    return f"; did you mean {lowered[found[0]]!r}?" if found else ""


def field_index(direction: Direction, number: int, name: str) -> int | None:
    """Return where a named field stands, the message number being 0; None if it has no such name."""
    names = FIELD_NAMES[direction].get(number, ())
    return names.index(name) + 1 if name in names else None


_ORDER_ID_AT: Final[dict[tuple[Direction, int], int]] = {
    ("in", 3): 1,
    ("in", 4): 2,
    ("out", 3): 1,
    ("out", 4): 2,
    ("out", 5): 1,
    ("out", 11): 2,
}
_EXEC_ID_AT: Final = {("out", 11): 14, ("out", 59): 2}


def order_id_of(direction: Direction, number: int, fields: list[str]) -> int | None:
    """Return the order a message is about (for an error: its request id); None if it names none."""
    place = _ORDER_ID_AT.get((direction, number))
    if place is None or place >= len(fields):
        return None
    text = fields[place]
    return int(text) if text.lstrip("-").isdecimal() and text.isascii() and len(text) < 12 else None  # noqa: PLR2004


def exec_id_of(direction: Direction, number: int, fields: list[str]) -> str | None:
    """Return the execution id a message names, if it does."""
    place = _EXEC_ID_AT.get((direction, number))
    return fields[place] if place is not None and place < len(fields) else None
