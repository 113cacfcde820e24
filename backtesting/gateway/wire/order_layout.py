"""The layout of placeOrder: some 115 fields, groups that come and go, and which of them are simulated.

Every field is read under its name. Of those that are not simulated, a neutral value is ignored and any other
is reported, so that an order is never executed as less than it says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final

from backtesting.gateway.errors import RequestFormatError
from backtesting.gateway.wire.codec import (
    INFINITE,
    UNSET_DOUBLE,
    UNSET_INTEGER,
    FieldReader,
    decimal_field,
    flag_field,
    integer_field,
    is_unset,
)
from backtesting.gateway.wire.gates import (
    AUTO_CANCEL_PARENT,
    FA_PROFILE_GONE,
    MANUAL_ORDER_TIME,
    ORDER_DURATION_SENT,
    PEGGED_BEST,
    POST_TO_ATS,
    REJECT_JSON,
)


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_OWN: Final = _names(
    "secIdType secId action totalQuantity orderType lmtPrice auxPrice tif ocaGroup account openClose origin "
    "orderRef"
)
"""Fields that differ from order to order; those behind them a client sends nearly always alike."""

_BASIC: Final = _OWN + _names(
    "transmit parentId blockOrder sweepToFill displaySize triggerMethod outsideRth hidden"
)
_EXTENDED: Final = _names(
    "sharesAllocation discretionaryAmt goodAfterTime goodTillDate faGroup faMethod faPercentage faProfile "
    "modelCode shortSaleSlot designatedLocation exemptCode ocaType rule80A settlingFirm allOrNone minQty "
    "percentOffset eTradeOnly firmQuoteOnly nbboPriceCap auctionStrategy startingPrice stockRefPrice delta "
    "stockRangeLower stockRangeUpper overridePercentageConstraints volatility volatilityType "
    "deltaNeutralOrderType deltaNeutralAuxPrice"
)
_DELTA_NEUTRAL: Final = _names(
    "deltaNeutralConId deltaNeutralSettlingFirm deltaNeutralClearingAccount deltaNeutralClearingIntent "
    "deltaNeutralOpenClose deltaNeutralShortSale deltaNeutralShortSaleSlot deltaNeutralDesignatedLocation"
)
_TRAIL: Final = _names(
    "continuousUpdate referencePriceType trailStopPrice trailingPercent scaleInitLevelSize "
    "scaleSubsLevelSize scalePriceIncrement"
)
_SCALE: Final = _names(
    "scalePriceAdjustValue scalePriceAdjustInterval scaleProfitOffset scaleAutoReset scaleInitPosition "
    "scaleInitFillQty scaleRandomPercent"
)
_HEDGE: Final = _names("scaleTable activeStartTime activeStopTime hedgeType")
_CLEARING: Final = _names("optOutSmartRouting clearingAccount clearingIntent notHeld deltaNeutralContract")
_ALGO: Final = _names("algoStrategy")
_MISC: Final = _names("algoId whatIf orderMiscOptions solicited randomizeSize randomizePrice")
_PEG_BENCH: Final = _names(
    "referenceContractId isPeggedChangeAmountDecrease peggedChangeAmount referenceChangeAmount "
    "referenceExchangeId"
)
_ADJUST: Final = _names(
    "adjustedOrderType triggerPrice lmtPriceOffset adjustedStopPrice adjustedStopLimitPrice "
    "adjustedTrailingAmount adjustableTrailingUnit extOperator softDollarName softDollarValue cashQty "
    "mifid2DecisionMaker mifid2DecisionAlgo mifid2ExecutionTrader mifid2ExecutionAlgo "
    "dontUseAutoPriceForHedge isOmsContainer discretionaryUpToLimitPrice usePriceMgmtAlgo"
)
_NEWER: Final = (
    (ORDER_DURATION_SENT, "duration"),
    (POST_TO_ATS, "postToAts"),
    (AUTO_CANCEL_PARENT, "autoCancelParent"),
    (REJECT_JSON, "advancedErrorOverride"),
    (MANUAL_ORDER_TIME, "manualOrderTime"),
)
_LEG: Final = _names("conId ratio action exchange openClose shortSaleSlot designatedLocation exemptCode")
_CONDITION_FIELDS: Final = {1: 6, 3: 3, 4: 3, 5: 4, 6: 5, 7: 5}
"""Fields of each kind of condition after its number."""

_PEG_NAMES: Final = {"PEGBENCH": "PEG BENCH", "PEGBEST": "PEG BEST", "PEGMID": "PEG MID"}

_SIMULATED: Final = _names(
    "action totalQuantity orderType lmtPrice auxPrice tif account orderRef outsideRth whatIf transmit "
    "parentId ocaGroup ocaType allOrNone goodTillDate trailStopPrice trailingPercent lmtPriceOffset"
)
_WITHOUT_EFFECT: Final = _names(
    "openClose origin displaySize triggerMethod eTradeOnly firmQuoteOnly overridePercentageConstraints "
    "rule80A optOutSmartRouting clearingIntent dontUseAutoPriceForHedge usePriceMgmtAlgo extOperator "
    "solicited manualOrderTime mifid2DecisionMaker mifid2DecisionAlgo mifid2ExecutionTrader "
    "mifid2ExecutionAlgo orderMiscOptions modelCode algoId referencePriceType adjustableTrailingUnit "
    "advancedErrorOverride"
)
_ACCEPTED: Final = frozenset((*_SIMULATED, *_WITHOUT_EFFECT))
_NEUTRAL: Final = frozenset(
    ("", "0", "0.0", "0.00", "-1", "None", UNSET_INTEGER, UNSET_DOUBLE, "1.7976931348623157e+308")
)
_SAID_BACK: Final = "None"
"""How TWS tells of no delta neutral order; a client that changes an order it was told of sends that back."""

_NONE: Final = frozenset(("", "0"))
_OWN_PRICES: Final = _names("totalQuantity lmtPrice auxPrice")
_PRICES: Final = _names(
    "trailStopPrice trailingPercent lmtPriceOffset discretionaryAmt "
    "percentOffset nbboPriceCap startingPrice stockRefPrice delta stockRangeLower stockRangeUpper volatility "
    "deltaNeutralAuxPrice scalePriceIncrement triggerPrice adjustedStopPrice adjustedStopLimitPrice "
    "adjustedTrailingAmount cashQty"
)
_COUNTS: Final = _names("parentId ocaType displaySize triggerMethod")
_OWN_COUNTS: Final = ("origin",)
_FLAGS: Final = _names("transmit outsideRth allOrNone whatIf")


class OrderFields:
    """The fields of an order by name, and the names of those that ask for something not simulated.

    Attributes
    ----------
    values
        Fields of the order by name, as sent.
    unserved
        Names of attributes that ask for what is not simulated.
    numbers
        Prices and sizes; None where unset.
    """

    __slots__ = ("numbers", "unserved", "values")

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.unserved: list[str] = []
        self.numbers: dict[str, Decimal | None] = {}

    def take(self, reader: FieldReader, names: Sequence[str]) -> None:
        """Read named fields and note what is not simulated."""
        read = reader.texts(names)
        self.values |= read
        self.unserved += [
            name
            for name, text in read.items()
            if text not in _NEUTRAL and name not in _ACCEPTED and not is_unset(text)
        ]

    def refuse(self, reader: FieldReader, what: str, names: Sequence[str]) -> None:
        """Read a group that is not simulated."""
        reader.values(names)
        if what not in self.unserved:
            self.unserved.append(what)

    def check(self) -> None:
        """Read every number and flag, so that what is none is refused wherever it stands."""
        self.check_own()
        self.check_rest()

    def check_own(self) -> None:
        """Read the numbers among the fields that differ from order to order."""
        values = self.values
        for name in _OWN_PRICES:
            text = values[name]
            self.numbers[name] = decimal_field(name, text) if text else None
        for name in _OWN_COUNTS:
            self.integer(name)

    def check_rest(self) -> None:
        """Read the numbers and flags behind them."""
        values = self.values
        for name in _PRICES:
            text = values[name]
            self.numbers[name] = decimal_field(name, text) if text else None
        for name in _FLAGS:
            flag_field(name, values[name])
        for name in _COUNTS:
            self.integer(name)

    def add(self, other: OrderFields) -> None:
        """Take over fields that have been read and checked before."""
        self.values |= other.values
        self.unserved += other.unserved
        self.numbers |= other.numbers

    def integer(self, name: str) -> int:
        """Return a field as a whole number; zero if unset."""
        text = self.values[name]
        return integer_field(name, text, 0) if text != "0" else 0


@lru_cache(maxsize=64)
def _extended(version: int) -> tuple[str, ...]:
    return _EXTENDED if version < FA_PROFILE_GONE else tuple(n for n in _EXTENDED if n != "faProfile")


@lru_cache(maxsize=64)
def _newer(version: int) -> tuple[str, ...]:
    return tuple(name for gate, name in _NEWER if version >= gate)


@lru_cache(maxsize=64)
def _plain(version: int) -> tuple[str, ...]:
    """Return the fields of an order that has none of the groups that come and go, behind its own."""
    return (
        *(*_BASIC[len(_OWN) :], *_extended(version), *_TRAIL, *_HEDGE, *_CLEARING, *_ALGO, *_MISC),
        *("conditions", *_ADJUST, *_newer(version)),
    )


def _is_plain(rest: Mapping[str, str]) -> bool:
    """Say whether fields read as those of a plain order are one: whether nothing announces a group."""
    return (
        not rest["deltaNeutralOrderType"]
        and not rest["hedgeType"]
        and not rest["algoStrategy"]
        and rest["conditions"] in _NONE
        and rest["deltaNeutralContract"] != "1"
        and rest["scalePriceIncrement"] in _NONE
    )


class _Habits:
    """What clients send behind an order's own fields, read and checked once: nearly always the same."""

    def __init__(self, most: int = 256, longest: int = 2048) -> None:
        self._most = most
        self._longest = longest
        self._known: dict[tuple[int, str], OrderFields] = {}

    def read(self, texts: Sequence[str], version: int) -> OrderFields | None:
        """Return the fields of a plain order; None if they announce a group."""
        key = version, "\0".join(texts)
        known = self._known.get(key)
        if known is not None:
            return known
        found = OrderFields()
        found.take(FieldReader(texts), _plain(version))
        if not _is_plain(found.values):
            return None
        found.check_rest()
        if len(key[1]) <= self._longest:
            if len(self._known) >= self._most:
                self._known.clear()
            self._known[key] = found
        return found


_HABITS: Final = _Habits()


def read_order(reader: FieldReader, version: int, security_type: str, exchange: str) -> OrderFields:
    """Read the order of a placeOrder message, which follows its contract.

    Nearly every order is plain and read in two goes, of which the second is remembered; any other is read
    group by group.

    Raises
    ------
    RequestFormatError
        If a field is missing, or a count or number cannot be read.
    """
    names = _plain(version)
    if reader.left == len(_OWN) + len(names) and security_type != "BAG" and exchange != "IBKRATS":
        order = OrderFields()
        order.take(reader, _OWN)
        if not order.values["orderType"].startswith("PEG"):
            order.check_own()
            rest = _HABITS.read(reader.values(names), version)
            if rest is not None:
                order.add(rest)
                return order
            reader.back(len(names))
        reader.back(len(_OWN))
    return _read_groups(reader, version, security_type, exchange)


def _read_groups(reader: FieldReader, version: int, security_type: str, exchange: str) -> OrderFields:
    order = OrderFields()
    values = order.values
    order.take(reader, _BASIC)
    if security_type == "BAG":
        _combo(reader, order)
    order.take(reader, _extended(version))
    if values["deltaNeutralOrderType"] == _SAID_BACK:
        reader.values(_DELTA_NEUTRAL)
    elif values["deltaNeutralOrderType"]:
        order.refuse(reader, "deltaNeutralOrderType", _DELTA_NEUTRAL)
    order.take(reader, _TRAIL)
    increment = decimal_field("scalePriceIncrement", values["scalePriceIncrement"])
    if increment is not None and increment > 0:
        order.refuse(reader, "scalePriceIncrement", _SCALE)
    order.take(reader, _HEDGE)
    if values["hedgeType"]:
        order.refuse(reader, "hedgeType", ("hedgeParam",))
    order.take(reader, _CLEARING)
    if values["deltaNeutralContract"] == "1":
        order.refuse(reader, "deltaNeutralContract", ("conId", "delta", "price"))
    order.take(reader, _ALGO)
    if values["algoStrategy"]:
        _pairs(reader, order, "algoStrategy")
    order.take(reader, _MISC)
    kind = _PEG_NAMES.get(values["orderType"], values["orderType"])
    if kind == "PEG BENCH":
        order.refuse(reader, "orderType PEG BENCH", _PEG_BENCH)
    _conditions(reader, order)
    order.take(reader, _ADJUST)
    order.take(reader, _newer(version))
    if version >= PEGGED_BEST:
        _pegged(reader, order, kind, exchange)
    order.check()
    return order


def _combo(reader: FieldReader, order: OrderFields) -> None:
    for _ in range(reader.count("combo legs")):
        order.refuse(reader, "combo legs", _LEG)
    for _ in range(reader.count("order combo legs")):
        order.refuse(reader, "combo legs", ("price",))
    _pairs(reader, order, "smart combo routing")


def _pairs(reader: FieldReader, order: OrderFields, name: str) -> None:
    for _ in range(reader.count(f"{name} parameters")):
        order.refuse(reader, name, ("tag", "value"))


def _conditions(reader: FieldReader, order: OrderFields) -> None:
    count = reader.count("conditions")
    order.values["conditions"] = str(count)
    for _ in range(count):
        kind = reader.integer("condition type")
        if kind not in _CONDITION_FIELDS:
            raise RequestFormatError(f"Unable to parse field: 'condition type' for input string: '{kind}'")
        order.refuse(reader, "conditions", [str(i) for i in range(_CONDITION_FIELDS[kind])])
    if count:
        reader.values(("conditionsIgnoreRth", "conditionsCancelOrder"))


def _pegged(reader: FieldReader, order: OrderFields, kind: str, exchange: str) -> None:
    if exchange == "IBKRATS":
        order.take(reader, ("minTradeQty",))
    if kind == "PEG BEST":
        order.take(reader, ("minCompeteSize", "competeAgainstBestOffset"))
        offset = order.values["competeAgainstBestOffset"]
        if offset in INFINITE:
            order.take(reader, ("midOffsetAtWhole", "midOffsetAtHalf"))
        elif not is_unset(offset):
            decimal_field("competeAgainstBestOffset", offset)
    elif kind == "PEG MID":
        order.take(reader, ("midOffsetAtWhole", "midOffsetAtHalf"))
