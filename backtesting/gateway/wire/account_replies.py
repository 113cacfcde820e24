"""Messages about accounts, holdings and what they earn."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from backtesting.gateway.wire.codec import UNSET_DOUBLE, message, number
from backtesting.gateway.wire.contract_replies import (
    contract_run,
    multiplier,
    primary_exchange,
    trading_class,
    wire_symbol,
)
from execution.models import Instrument


def managed_accounts(accounts: Iterable[str]) -> bytes:
    """15: the accounts of the login."""
    return message(15, 1, ",".join(accounts))


def account_value(account: str, tag: str, value: str, currency: str) -> bytes:
    """6: one value of an account."""
    return message(6, 2, tag, value, currency, account)


def portfolio_value(
    account: str,
    instrument: Instrument,
    quantity: Decimal,
    mark: Decimal,
    average_cost: Decimal,
    unrealized: Decimal,
    realized: Decimal,
) -> bytes:
    """7: a holding with its value; strike and right are 0 where there is none."""
    value = quantity * mark * instrument.multiplier
    return message(
        *(7, 8, instrument.con_id, wire_symbol(instrument), instrument.security_type, instrument.expiry),
        "0" if instrument.strike is None else number(instrument.strike),
        instrument.right or "0",
        multiplier(instrument),
        primary_exchange(instrument),
        instrument.currency,
        instrument.local_symbol or instrument.symbol,
        trading_class(instrument),
        *(number(quantity), number(mark), number(value), number(average_cost)),
        *(number(unrealized), number(realized)),
        account,
    )


def account_time(clock: str) -> bytes:
    """8: when account values were computed, ``hh:mm``."""
    return message(8, 1, clock)


def account_download_end(account: str) -> bytes:
    """54: the account is told."""
    return message(54, 1, account)


def position(account: str, instrument: Instrument, quantity: Decimal, average_cost: Decimal) -> bytes:
    """61: a holding; average cost in price terms times the multiplier."""
    fields = contract_run(instrument, "0.0", "", primary_exchange(instrument))
    return message(61, 3, account, fields, number(quantity), number(average_cost))


def position_end() -> bytes:
    """62: the holdings are told."""
    return message(62, 1)


def position_multi(
    request_id: int,
    account: str,
    instrument: Instrument,
    quantity: Decimal,
    average_cost: Decimal,
    model: str = "",
) -> bytes:
    """71: a holding under a request id."""
    fields = contract_run(instrument, "0.0", "", primary_exchange(instrument))
    return message(71, 1, request_id, account, fields, number(quantity), number(average_cost), model)


def position_multi_end(request_id: int) -> bytes:
    """72: the holdings of a request are told."""
    return message(72, 1, request_id)


def account_summary(request_id: int, account: str, tag: str, value: str, currency: str) -> bytes:
    """63: one value of an account under a request id."""
    return message(63, 1, request_id, account, tag, value, currency)


def account_summary_end(request_id: int) -> bytes:
    """64: the summary is told."""
    return message(64, 1, request_id)


def account_update_multi(
    request_id: int, account: str, tag: str, value: str, currency: str, model: str = ""
) -> bytes:
    """73: one value of an account or model under a request id."""
    return message(73, 1, request_id, account, model, tag, value, currency)


def account_update_multi_end(request_id: int) -> bytes:
    """74: the values of a request are told."""
    return message(74, 1, request_id)


def _amount(value: Decimal | None) -> str:
    return UNSET_DOUBLE if value is None else number(value)


def pnl(
    request_id: int, daily: Decimal | None, unrealized: Decimal | None, realized: Decimal | None
) -> bytes:
    """94: profit and loss of an account; None where it is not known."""
    return message(94, request_id, _amount(daily), _amount(unrealized), _amount(realized))


def pnl_single(
    request_id: int,
    quantity: Decimal,
    daily: Decimal | None,
    unrealized: Decimal | None,
    realized: Decimal | None,
    value: Decimal | None,
) -> bytes:
    """95: profit and loss of one holding; None where it is not known."""
    amounts = map(_amount, (daily, unrealized, realized, value))
    return message(95, request_id, number(quantity), *amounts)


def soft_dollar_tiers(request_id: int) -> bytes:
    """77: the login has no soft dollar arrangement."""
    return message(77, request_id, 0)


def family_codes() -> bytes:
    """78: every account is of one family without a code, as logins of one customer are."""
    return message(78, 1, "*", "")


def user_info(request_id: int, branding: str = "") -> bytes:
    """107: the white branding of the login; empty for IBKR's own customers."""
    return message(107, request_id, branding)
