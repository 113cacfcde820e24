"""Reading each kind of request, field by field, at every server version."""

from __future__ import annotations

from typing import Final

from backtesting.gateway.errors import RequestFormatError, RequestRefusedError
from backtesting.gateway.wire import account_requests as account
from backtesting.gateway.wire import market_requests as market
from backtesting.gateway.wire import order_requests as orders
from backtesting.gateway.wire.codec import FieldReader
from backtesting.gateway.wire.gates import ISSUER_ID, MANUAL_ORDER_TIME
from backtesting.gateway.wire.order_layout import read_order
from backtesting.gateway.wire.unserved import CONTRACT

_LARGEST_CLIENT_ID: Final = 999_999_999
_LOG_LEVELS: Final = range(1, 6)
_CONTRACT_TEXTS: Final = CONTRACT[1:]


def skip_version(reader: FieldReader) -> None:
    """Read the version of a request, which says nothing any more."""
    reader.integer("version")


def _contract(reader: FieldReader) -> orders.ContractQuery:
    con_id = reader.integer("con id", 0)
    return orders.ContractQuery(con_id, *reader.values(_CONTRACT_TEXTS))


def _legs(reader: FieldReader, contract: orders.ContractQuery) -> None:
    if contract.security_type == "BAG":
        for _ in range(reader.count("legs")):
            reader.values(("con id", "ratio", "action", "exchange"))


# orders


def start_api(reader: FieldReader, _version: int) -> orders.StartApi:
    """Read 71."""
    skip_version(reader)
    client_id = reader.integer("client id")
    if not 0 <= client_id <= _LARGEST_CLIENT_ID:
        raise RequestFormatError(f"The client id {client_id} is out of range")
    return orders.StartApi(client_id, reader.text("optional capabilities"))


def place_order(reader: FieldReader, version: int) -> orders.PlaceOrder:
    """Read 3."""
    order_id = reader.integer("order id")
    contract = _contract(reader)
    read = read_order(reader, version, contract.security_type, contract.exchange)
    values, numbers = read.values, read.numbers
    return orders.PlaceOrder(
        order_id=order_id,
        contract=contract,
        side=values["action"],
        quantity=numbers["totalQuantity"],
        order_type=values["orderType"],
        limit_price=numbers["lmtPrice"],
        stop_price=numbers["auxPrice"],
        time_in_force=values["tif"],
        account=values["account"],
        order_ref=values["orderRef"],
        outside_rth=values["outsideRth"] == "1",
        what_if=values["whatIf"] == "1",
        unserved=tuple(read.unserved),
        transmit=values["transmit"] == "1",
        parent_id=read.integer("parentId"),
        oca_group=values["ocaGroup"],
        oca_type=read.integer("ocaType"),
        all_or_none=values["allOrNone"] == "1",
        good_till=values["goodTillDate"],
        trail_stop_price=numbers["trailStopPrice"],
        trail_percent=numbers["trailingPercent"],
        limit_offset=numbers["lmtPriceOffset"],
        fields=values,
    )


def cancel_order(reader: FieldReader, version: int) -> orders.CancelOrder:
    """Read 4."""
    skip_version(reader)
    order_id = reader.integer("order id")
    return orders.CancelOrder(
        order_id, reader.text("manual cancel time") if version >= MANUAL_ORDER_TIME else ""
    )


def auto_open_orders(reader: FieldReader, _version: int) -> orders.AutoOpenOrders:
    """Read 15."""
    skip_version(reader)
    return orders.AutoOpenOrders(reader.flag("bind"))


def completed_orders(reader: FieldReader, _version: int) -> orders.CompletedOrders:
    """Read 99."""
    return orders.CompletedOrders(reader.flag("api only"))


def executions(reader: FieldReader, _version: int) -> orders.Executions:
    """Read 7."""
    skip_version(reader)
    request_id = reader.integer("request id")
    client_id = reader.integer("client id", 0)
    texts = reader.values(("account", "time", "symbol", "security type", "exchange", "side"))
    return orders.Executions(request_id, client_id, *texts)


def next_id(reader: FieldReader, _version: int) -> orders.NextId:
    """Read 8."""
    skip_version(reader)
    reader.integer("count", 1)
    return orders.NextId()


# accounts


def account_updates(reader: FieldReader, _version: int) -> account.AccountUpdates:
    """Read 6."""
    skip_version(reader)
    return account.AccountUpdates(reader.flag("subscribe"), reader.text("account"))


def account_summary(reader: FieldReader, _version: int) -> account.AccountSummary:
    """Read 62."""
    skip_version(reader)
    return account.AccountSummary(reader.integer("request id"), reader.text("group"), reader.text("tags"))


def account_updates_multi(reader: FieldReader, _version: int) -> account.AccountUpdatesMulti:
    """Read 76."""
    skip_version(reader)
    return account.AccountUpdatesMulti(
        reader.integer("request id"),
        reader.text("account"),
        reader.text("model"),
        reader.flag("ledger and net liquidation"),
    )


def positions_multi(reader: FieldReader, _version: int) -> account.PositionsMulti:
    """Read 74."""
    skip_version(reader)
    return account.PositionsMulti(reader.integer("request id"), reader.text("account"), reader.text("model"))


def pnl(reader: FieldReader, _version: int) -> account.PnL:
    """Read 92."""
    return account.PnL(reader.integer("request id"), reader.text("account"), reader.text("model"))


def pnl_single(reader: FieldReader, _version: int) -> account.PnLSingle:
    """Read 94."""
    return account.PnLSingle(
        reader.integer("request id"),
        reader.text("account"),
        reader.text("model"),
        reader.integer("con id", 0),
    )


# contracts and market


def contract_details(reader: FieldReader, version: int) -> market.ContractDetails:
    """Read 9."""
    skip_version(reader)
    return market.ContractDetails(
        reader.integer("request id"),
        _contract(reader),
        reader.flag("include expired"),
        reader.text("security id type"),
        reader.text("security id"),
        reader.text("issuer id") if version >= ISSUER_ID else "",
    )


def matching_symbols(reader: FieldReader, _version: int) -> market.MatchingSymbols:
    """Read 81."""
    return market.MatchingSymbols(reader.integer("request id"), reader.text("pattern"))


def option_chain(reader: FieldReader, _version: int) -> market.OptionChain:
    """Read 78."""
    return market.OptionChain(
        reader.integer("request id"),
        reader.text("underlying symbol"),
        reader.text("exchange"),
        reader.text("underlying security type"),
        reader.integer("underlying con id", 0),
    )


def smart_components(reader: FieldReader, _version: int) -> market.SmartComponents:
    """Read 83."""
    return market.SmartComponents(reader.integer("request id"), reader.text("exchange"))


def market_data_type(reader: FieldReader, _version: int) -> market.MarketDataType:
    """Read 59."""
    skip_version(reader)
    return market.MarketDataType(reader.integer("market data type"))


def market_data(reader: FieldReader, _version: int) -> market.MarketData:
    """Read 1."""
    skip_version(reader)
    request_id = reader.integer("request id")
    contract = _contract(reader)
    _legs(reader, contract)
    if reader.flag("delta neutral contract"):
        reader.values(("con id", "delta", "price"))
    request = market.MarketData(
        request_id,
        contract,
        reader.text("generic ticks"),
        reader.flag("snapshot"),
        reader.flag("regulatory snapshot"),
    )
    reader.text("options")
    return request


def real_time_bars(reader: FieldReader, _version: int) -> market.RealTimeBars:
    """Read 50."""
    skip_version(reader)
    request = market.RealTimeBars(
        reader.integer("request id"),
        _contract(reader),
        reader.integer("bar size", 5),
        reader.text("what to show"),
        reader.flag("regular hours only"),
    )
    reader.text("options")
    return request


def history(reader: FieldReader, _version: int) -> market.History:
    """Read 20."""
    request_id = reader.integer("request id")
    contract = _contract(reader)
    include_expired = reader.flag("include expired")
    end, bar_size, duration = reader.text("end"), reader.text("bar size"), reader.text("duration")
    rth = reader.flag("regular hours only")
    what = reader.text("what to show")
    date_format = reader.integer("date format", 1)
    _legs(reader, contract)
    keep = reader.flag("keep up to date")
    reader.text("chart options")
    return market.History(
        request_id, contract, end, bar_size, duration, what, date_format, keep, include_expired, rth
    )


def head_timestamp(reader: FieldReader, _version: int) -> market.HeadTimestamp:
    """Read 87."""
    request_id = reader.integer("request id")
    contract = _contract(reader)
    reader.flag("include expired")
    rth = reader.flag("regular hours only")
    return market.HeadTimestamp(
        request_id, contract, reader.text("what to show"), rth, reader.integer("date format", 1)
    )


def log_level(reader: FieldReader, _version: int) -> market.Ignored:
    """Read 14."""
    skip_version(reader)
    if reader.integer("log level") not in _LOG_LEVELS:
        raise RequestRefusedError(
            321, "Error validating request.-'bC' : cause - Server log level is not one of 1 to 5"
        )
    return market.Ignored()
