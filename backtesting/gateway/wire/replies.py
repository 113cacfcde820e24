"""Messages of the gateway: every encoder in one place, by room, and the error that answers any request."""

from __future__ import annotations

from backtesting.gateway.wire import gates
from backtesting.gateway.wire.account_replies import (
    account_download_end,
    account_summary,
    account_summary_end,
    account_time,
    account_update_multi,
    account_update_multi_end,
    account_value,
    family_codes,
    managed_accounts,
    pnl,
    pnl_single,
    portfolio_value,
    position,
    position_end,
    position_multi,
    position_multi_end,
    soft_dollar_tiers,
    user_info,
)
from backtesting.gateway.wire.codec import message
from backtesting.gateway.wire.contract_replies import (
    ContractFacts,
    contract_details,
    contract_details_end,
    market_rule,
    option_chain,
    option_chain_end,
    smart_components,
    symbol_samples,
    wire_symbol,
)
from backtesting.gateway.wire.data_replies import (
    current_time,
    head_timestamp,
    market_data_type,
    real_time_bar,
    snapshot_end,
    tick_generic,
    tick_price,
    tick_request_parameters,
    tick_size,
    tick_string,
)
from backtesting.gateway.wire.execution_replies import (
    commission_report,
    execution_details,
    execution_details_end,
)
from backtesting.gateway.wire.order_replies import (
    Margins,
    completed_order,
    completed_orders_end,
    next_valid_id,
    open_order,
    open_order_end,
    order_bound,
    order_status,
    what_if_order,
)


def error(version: int, request_id: int, code: int, text: str) -> bytes:
    """4: an error, warning or notice; request id -1 if it belongs to none."""
    json = ("",) if version >= gates.REJECT_JSON else ()
    return message(4, 2, request_id, code, text, *json)


__all__ = [
    "ContractFacts",
    "Margins",
    "account_download_end",
    "account_summary",
    "account_summary_end",
    "account_time",
    "account_update_multi",
    "account_update_multi_end",
    "account_value",
    "commission_report",
    "completed_order",
    "completed_orders_end",
    "contract_details",
    "contract_details_end",
    "current_time",
    "error",
    "execution_details",
    "execution_details_end",
    "family_codes",
    "head_timestamp",
    "managed_accounts",
    "market_data_type",
    "market_rule",
    "next_valid_id",
    "open_order",
    "open_order_end",
    "option_chain",
    "option_chain_end",
    "order_bound",
    "order_status",
    "pnl",
    "pnl_single",
    "portfolio_value",
    "position",
    "position_end",
    "position_multi",
    "position_multi_end",
    "real_time_bar",
    "smart_components",
    "snapshot_end",
    "soft_dollar_tiers",
    "symbol_samples",
    "tick_generic",
    "tick_price",
    "tick_request_parameters",
    "tick_size",
    "tick_string",
    "user_info",
    "what_if_order",
    "wire_symbol",
]
