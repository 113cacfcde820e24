"""The layout of placeOrder: some 115 fields, groups that come and go, and which of them are simulated.

Every field is read under its name. Of those that are not simulated, a neutral value is ignored and any other
is reported, so that an order is never executed as less than it says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from backtesting.gateway.errors import RequestFormatError
from backtesting.gateway.wire.codec import UNSET_DOUBLE, UNSET_INTEGER, FieldReader, decimal_field
from backtesting.gateway.wire.gates import (
    AUTO_CANCEL_PARENT,
    MANUAL_ORDER_TIME,
    ORDER_DURATION_SENT,
    PEGGED_BEST,
    POST_TO_ATS,
    REJECT_JSON,
)


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_BASIC: Final = _names(
    "secIdType secId action totalQuantity orderType lmtPrice auxPrice tif ocaGroup account openClose origin "
    "orderRef transmit parentId blockOrder sweepToFill displaySize triggerMethod outsideRth hidden"
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
_LEG: Final = _names("conId ratio action exchange openClose shortSaleSlot designatedLocation exemptCode")
_CONDITION_FIELDS: Final = {1: 6, 3: 3, 4: 3, 5: 4, 6: 5, 7: 5}
"""Fields of each kind of condition after its number."""

_SERVED: Final = frozenset(
    _names("action totalQuantity orderType lmtPrice auxPrice tif account orderRef outsideRth whatIf transmit")
)
_WITHOUT_EFFECT: Final = frozenset(
    _names(
        "openClose origin triggerMethod ocaType eTradeOnly firmQuoteOnly overridePercentageConstraints "
        "optOutSmartRouting clearingIntent dontUseAutoPriceForHedge usePriceMgmtAlgo extOperator "
        "manualOrderTime mifid2DecisionMaker mifid2DecisionAlgo mifid2ExecutionTrader mifid2ExecutionAlgo "
        "orderMiscOptions modelCode algoId referencePriceType adjustableTrailingUnit advancedErrorOverride"
    )
)
_NEUTRAL: Final = frozenset(
    ("", "0", "0.0", "-1", "None", UNSET_INTEGER, UNSET_DOUBLE, "1.7976931348623157e+308")
)


@dataclass(slots=True)
class OrderFields:
    """The fields of an order by name, and the names of those that ask for something not simulated."""

    values: dict[str, str] = field(default_factory=dict)
    unserved: list[str] = field(default_factory=list)

    def decimal(self, name: str) -> Decimal | None:
        """Return a field as a number; None if unset."""
        return decimal_field(name, self.values[name])

    def take(self, reader: FieldReader, names: Sequence[str]) -> None:
        """Read named fields and note what is not simulated."""
        read = reader.texts(names)
        self.values.update(read)
        for name, value in read.items():
            if value not in _NEUTRAL and name not in _SERVED and name not in _WITHOUT_EFFECT:
                self.unserved.append(name)

    def refuse(self, reader: FieldReader, what: str, names: Sequence[str]) -> None:
        """Read a group that is not simulated."""
        reader.texts(names)
        if what not in self.unserved:
            self.unserved.append(what)


def read_order(reader: FieldReader, version: int, security_type: str, exchange: str) -> OrderFields:
    """Read the order of a placeOrder message, which follows its contract.

    Raises
    ------
    RequestFormatError
        If a field is missing, or a count cannot be read.
    """
    order = OrderFields()
    order.take(reader, _BASIC)
    if order.values["transmit"] != "1":
        order.unserved.append("transmit=0")
    if security_type == "BAG":
        _combo(reader, order)
    order.take(reader, _EXTENDED)
    if order.values["deltaNeutralOrderType"]:
        order.refuse(reader, "deltaNeutralOrderType", _DELTA_NEUTRAL)
    order.take(reader, _TRAIL)
    increment = order.decimal("scalePriceIncrement")
    if increment is not None and increment > 0:
        order.refuse(reader, "scalePriceIncrement", _SCALE)
    order.take(reader, _HEDGE)
    if order.values["hedgeType"]:
        order.refuse(reader, "hedgeType", ("hedgeParam",))
    order.take(reader, _CLEARING)
    if order.values["deltaNeutralContract"] == "1":
        order.refuse(reader, "deltaNeutralContract", ("conId", "delta", "price"))
    order.take(reader, ("algoStrategy",))
    if order.values["algoStrategy"]:
        _pairs(reader, order, "algoStrategy")
    order.take(reader, _MISC)
    if order.values["orderType"] == "PEG BENCH":
        order.refuse(reader, "orderType PEG BENCH", _PEG_BENCH)
    _conditions(reader, order)
    order.take(reader, _ADJUST)
    _newer(reader, order, version, exchange)
    return order


def _combo(reader: FieldReader, order: OrderFields) -> None:
    for _ in range(reader.integer("combo legs", 0)):
        order.refuse(reader, "combo legs", _LEG)
    for _ in range(reader.integer("order combo legs", 0)):
        order.refuse(reader, "combo legs", ("price",))
    _pairs(reader, order, "smart combo routing")


def _pairs(reader: FieldReader, order: OrderFields, name: str) -> None:
    for _ in range(reader.integer(f"{name} parameters", 0)):
        order.refuse(reader, name, ("tag", "value"))


def _conditions(reader: FieldReader, order: OrderFields) -> None:
    count = reader.integer("conditions", 0)
    for _ in range(count):
        kind = reader.integer("condition type")
        if kind not in _CONDITION_FIELDS:
            raise RequestFormatError(f"Unable to parse field: 'condition type' for input string: '{kind}'")
        order.refuse(reader, "conditions", [str(i) for i in range(_CONDITION_FIELDS[kind])])
    if count:
        reader.texts(("conditionsIgnoreRth", "conditionsCancelOrder"))


def _newer(reader: FieldReader, order: OrderFields, version: int, exchange: str) -> None:
    for gate, name in (
        (ORDER_DURATION_SENT, "duration"),
        (POST_TO_ATS, "postToAts"),
        (AUTO_CANCEL_PARENT, "autoCancelParent"),
        (REJECT_JSON, "advancedErrorOverride"),
        (MANUAL_ORDER_TIME, "manualOrderTime"),
    ):
        if version >= gate:
            order.take(reader, (name,))
    if version < PEGGED_BEST:
        return
    if exchange == "IBKRATS":
        order.take(reader, ("minTradeQty",))
    kind = order.values["orderType"]
    if kind == "PEG BEST":
        order.take(reader, ("minCompeteSize", "competeAgainstBestOffset"))
        if order.values["competeAgainstBestOffset"] == "Infinite":
            order.take(reader, ("midOffsetAtWhole", "midOffsetAtHalf"))
    elif kind == "PEG MID":
        order.take(reader, ("midOffsetAtWhole", "midOffsetAtHalf"))
