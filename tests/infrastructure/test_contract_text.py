"""Contracts as a person writes them."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from execution.errors import InvalidOrderError
from execution.models import Instrument
from infrastructure.contract_text import read_contract, read_contracts

GOOD = {
    "SPY": Instrument("SPY"),
    "FUT:ES:20261218:CME:50": Instrument(
        "ES 20261218", "FUT", "CME", multiplier=Decimal(50), underlying="ES", expiry="20261218"
    ),
    "OPT:SPY:20261218:600.5:C": Instrument(
        "SPY 261218C600.5", "OPT", multiplier=Decimal(100), underlying="SPY", expiry="20261218",
        strike=Decimal("600.5"), right="C",
    ),
    "MINI = OPT:SPY:20261218:600:P:CBOE:10": Instrument(
        "MINI", "OPT", "CBOE", multiplier=Decimal(10), underlying="SPY", expiry="20261218",
        strike=Decimal(600), right="P",
    ),
    "FOP:ES:20261218:5000:P:CME:50": Instrument(
        "ES 261218P5000", "FOP", "CME", multiplier=Decimal(50), underlying="ES", expiry="20261218",
        strike=Decimal(5000), right="P",
    ),
    "IND:SPX:CBOE": Instrument("SPX", "IND", "CBOE", underlying="SPX"),
}  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_a_contract_is_read(text: str) -> None:
    assert read_contract(text) == GOOD[text]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("spy", "write a stock such as SPY, or FUT:UNDERLYING"),
        ("X=SPY", "write a stock such as SPY"),
        ("BAG:A:B", "kind 'BAG' is none of FUT, OPT, FOP, IND"),
        ("FUT:ES:20261218:CME", "write FUT:UNDERLYING:YYYYMMDD:EXCHANGE:MULTIPLIER"),
        ("FUT:ES:20261218::50", "an empty field"),
        ("=FUT:ES:20261218:CME:50", "an empty field"),
        ("FUT:ES:202612:CME:50", "ES: expiry '202612'; write the last trading day as yyyymmdd"),
        ("FUT:ES:20261232:CME:50", "ES: expiry '20261232'"),
        ("FUT:ES:20261218:CME:0", "tick, lot and multiplier must be positive"),
        ("FUT:ES:20261218:CME:fifty", "ES: multiplier"),
        ("OPT:SPY:20261218:600:X", "right 'X' is neither C nor P"),
        ("OPT:SPY:20261218:600:C:A:B:C", "write OPT:UNDERLYING"),
        ("FOP:ES:20261218:5000:P", "write FOP:UNDERLYING"),
        ("IND:SPX", "write IND:SYMBOL:EXCHANGE"),
        (" , ", "name at least one symbol"),
        ("SPY,SPY", "SPY is named twice"),
    ],
)
def test_what_is_none_is_refused_with_how_it_is_written(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        read_contracts(text)


def test_a_list_keeps_its_order() -> None:
    found = read_contracts("QQQ, FUT:ES:20261218:CME:50,SPY")
    assert [one.symbol for one in found] == ["QQQ", "ES 20261218", "SPY"]
    assert issubclass(InvalidOrderError, ValueError)
