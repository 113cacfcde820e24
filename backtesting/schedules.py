"""Interactive Brokers' published commissions for US products, and the fees passed through with them.

Source: interactivebrokers.com, "Commissions", Stocks/ETFs (Fixed and Tiered, United States), Futures,
Options, Spot Currencies, as of `AS_OF`; fees of third parties by their own notices (SEC, FINRA, the CAT
plan). One date's rates are charged whatever the date of the trade.

1. Stocks, Fixed: a rate per share, at least a minimum and at most a share of the trade's value; where the
   most is less than the least, the most is charged.
2. Stocks, Tiered: the rate falls with the shares the account has traded in the month, each share at the rate
   of its tier; minimum and maximum as above. Added are clearing, the exchange's fee for taking liquidity
   (market and stop orders; no rebate is paid for providing it), and the exchanges' and FINRA's shares of the
   commission.
3. Both: the SEC's fee on the value of sales, FINRA's trading activity fee on shares sold, the audit trail's
   on all shares. They come on top of minimum and maximum.
4. Futures: a rate per contract, with the exchange's and the NFA's fee of an E-mini contract at CME. Options:
   a rate per contract and a minimum per order. Currencies: a share of the value and a minimum.
5. Amounts are those of a whole order; parts are charged as the difference (`backtesting.costs`).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from execution.models import ZERO, Instrument
from execution.numbers import round_money
from strategies.spec import IBKR_FIXED, IBKR_TIERED

AS_OF: Final = "2026-04-13"
"""Date of the schedule."""

FIXED_PER_SHARE: Final = Decimal("0.005")
FIXED_MINIMUM: Final = Decimal("1.00")
TIERS: Final = (
    (Decimal(300_000), Decimal("0.0035")),
    (Decimal(3_000_000), Decimal("0.0020")),
    (Decimal(20_000_000), Decimal("0.0015")),
    (Decimal(100_000_000), Decimal("0.0010")),
    (Decimal("Infinity"), Decimal("0.0005")),
)
"""Shares of a month up to which a rate per share holds, and the rate."""
TIERED_MINIMUM: Final = Decimal("0.35")
MAXIMUM_SHARE: Final = Decimal("0.01")
"""Largest commission of a stock order, as a share of its value."""

CLEARING_PER_SHARE: Final = Decimal("0.0002")
TAKING_PER_SHARE: Final = Decimal("0.0030")
NYSE_SHARE: Final = Decimal("0.000175")
FINRA_SHARE: Final = Decimal("0.00056")
"""The exchanges' and FINRA's pass-through, as shares of the commission (Tiered only)."""

SEC_SHARE: Final = Decimal("0.0000206")
"""Section 31 fee: 20.60 USD a million of sales, from 2026-04."""
TAF_PER_SHARE: Final = Decimal("0.000195")
TAF_MAXIMUM: Final = Decimal("9.79")
"""FINRA trading activity fee on shares sold, from 2026-01."""
CAT_PER_SHARE: Final = Decimal("0.000003")
"""Consolidated audit trail fee on shares bought and sold, as charged in 2026-04."""

FUTURE_PER_CONTRACT: Final = Decimal("0.85")
FUTURE_EXCHANGE: Final = Decimal("1.38")
FUTURE_NFA: Final = Decimal("0.02")
OPTION_PER_CONTRACT: Final = Decimal("0.65")
OPTION_MINIMUM: Final = Decimal("1.00")
CURRENCY_SHARE: Final = Decimal("0.00002")
CURRENCY_MINIMUM: Final = Decimal("2.00")


@dataclass(frozen=True, slots=True)
class Traded:
    """What an order has traded in all: `value` is price times quantity, without the contract's multiplier.

    `volume_before` is what the account had traded in the month before the order; `takes` whether it takes
    liquidity.
    """

    instrument: Instrument
    sells: bool
    quantity: Decimal
    value: Decimal
    volume_before: Decimal = ZERO
    takes: bool = True


def ibkr_commission(plan: str, traded: Traded) -> Decimal:
    """Return the commission and fees of a whole order under ``ibkr_fixed`` or ``ibkr_tiered``.

    Raises
    ------
    ValueError
        If the plan is neither.
    """
    if plan not in (IBKR_FIXED, IBKR_TIERED):
        raise ValueError(f"commission plan {plan!r}: use {IBKR_FIXED} or {IBKR_TIERED}")
    kind, quantity = traded.instrument.security_type, traded.quantity
    if kind == "FUT":
        return round_money(quantity * (FUTURE_PER_CONTRACT + FUTURE_EXCHANGE + FUTURE_NFA))
    if kind == "OPT":
        return round_money(max(OPTION_MINIMUM, quantity * OPTION_PER_CONTRACT))
    if kind == "CASH":
        return round_money(max(CURRENCY_MINIMUM, traded.value * CURRENCY_SHARE))
    if plan == IBKR_FIXED:
        charge = _bounded(quantity * FIXED_PER_SHARE, FIXED_MINIMUM, traded.value)
    else:
        charge = _tiered(traded)
    return round_money(charge + regulatory_fees(traded))


def regulatory_fees(traded: Traded) -> Decimal:
    """Return what the SEC, FINRA and the audit trail take of a stock order."""
    fees = traded.quantity * CAT_PER_SHARE
    if traded.sells:
        fees += traded.value * SEC_SHARE + min(TAF_MAXIMUM, traded.quantity * TAF_PER_SHARE)
    return fees


def _tiered(traded: Traded) -> Decimal:
    rated = _at_tiers(traded.volume_before + traded.quantity) - _at_tiers(traded.volume_before)
    charge = _bounded(rated, TIERED_MINIMUM, traded.value)
    passed = charge * (NYSE_SHARE + FINRA_SHARE)
    per_share = CLEARING_PER_SHARE + (TAKING_PER_SHARE if traded.takes else ZERO)
    return charge + passed + traded.quantity * per_share


def _at_tiers(shares: Decimal) -> Decimal:
    charge, below = ZERO, ZERO
    for upto, rate in TIERS:
        charge += (min(shares, upto) - below) * rate
        if shares <= upto:
            break
        below = upto
    return charge


def _bounded(charge: Decimal, minimum: Decimal, value: Decimal) -> Decimal:
    return min(max(charge, minimum), value * MAXIMUM_SHARE)
