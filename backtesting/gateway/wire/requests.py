"""Requests of clients: every typed value in one place, and how a message becomes one."""

from __future__ import annotations

from backtesting.gateway.wire.account_requests import (
    AccountSummary,
    AccountUpdates,
    AccountUpdatesMulti,
    CancelAccountSummary,
    CancelAccountUpdatesMulti,
    CancelPnL,
    CancelPnLSingle,
    CancelPositionsMulti,
    FamilyCodes,
    ManagedAccounts,
    PnL,
    PnLSingle,
    Positions,
    PositionsMulti,
    SoftDollarTiers,
    UserInfo,
)
from backtesting.gateway.wire.decode import decode, request_id_of
from backtesting.gateway.wire.market_requests import (
    CancelHeadTimestamp,
    CancelHistory,
    CancelMarketData,
    CancelRealTimeBars,
    ContractDetails,
    CurrentTime,
    HeadTimestamp,
    History,
    Ignored,
    MarketData,
    MarketDataType,
    MarketRule,
    MatchingSymbols,
    NothingToList,
    OptionChain,
    RealTimeBars,
    SmartComponents,
)
from backtesting.gateway.wire.order_requests import (
    AutoOpenOrders,
    CancelOrder,
    CompletedOrders,
    ContractQuery,
    Executions,
    GlobalCancel,
    NextId,
    OpenOrders,
    PlaceOrder,
    StartApi,
)

Request = (
    StartApi
    | PlaceOrder
    | CancelOrder
    | GlobalCancel
    | OpenOrders
    | AutoOpenOrders
    | CompletedOrders
    | Executions
    | NextId
    | ManagedAccounts
    | Positions
    | PositionsMulti
    | CancelPositionsMulti
    | AccountSummary
    | CancelAccountSummary
    | AccountUpdates
    | AccountUpdatesMulti
    | CancelAccountUpdatesMulti
    | PnL
    | CancelPnL
    | PnLSingle
    | CancelPnLSingle
    | FamilyCodes
    | SoftDollarTiers
    | UserInfo
    | CurrentTime
    | ContractDetails
    | MatchingSymbols
    | MarketRule
    | OptionChain
    | SmartComponents
    | MarketDataType
    | MarketData
    | CancelMarketData
    | RealTimeBars
    | CancelRealTimeBars
    | History
    | CancelHistory
    | HeadTimestamp
    | CancelHeadTimestamp
    | Ignored
    | NothingToList
)
"""What `decode` returns."""

__all__ = [
    "AccountSummary",
    "AccountUpdates",
    "AccountUpdatesMulti",
    "AutoOpenOrders",
    "CancelAccountSummary",
    "CancelAccountUpdatesMulti",
    "CancelHeadTimestamp",
    "CancelHistory",
    "CancelMarketData",
    "CancelOrder",
    "CancelPnL",
    "CancelPnLSingle",
    "CancelPositionsMulti",
    "CancelRealTimeBars",
    "CompletedOrders",
    "ContractDetails",
    "ContractQuery",
    "CurrentTime",
    "Executions",
    "FamilyCodes",
    "GlobalCancel",
    "HeadTimestamp",
    "History",
    "Ignored",
    "ManagedAccounts",
    "MarketData",
    "MarketDataType",
    "MarketRule",
    "MatchingSymbols",
    "NextId",
    "NothingToList",
    "OpenOrders",
    "OptionChain",
    "PlaceOrder",
    "PnL",
    "PnLSingle",
    "Positions",
    "PositionsMulti",
    "RealTimeBars",
    "Request",
    "SmartComponents",
    "SoftDollarTiers",
    "StartApi",
    "UserInfo",
    "decode",
    "request_id_of",
]
