"""Which of our instruments a contract on the wire is."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.errors import InvalidOrderError, NumberFormatError
from execution.ibkr.contract_book import ContractBook, WireContract, wire_terms
from execution.ibkr.holdings import BrokerPosition, read_positions, read_summary
from execution.models import Instrument

D = Decimal
MARCH = Instrument("ESH8", "FUT", "CME", multiplier=D(50), underlying="ES", expiry="20180316")
JUNE = Instrument("ESM8", "FUT", "CME", multiplier=D(50), underlying="ES", expiry="20180615")
MICRO = Instrument("MES", "FUT", "CME", multiplier=D(5), underlying="ES", expiry="20180316")
CALL = Instrument(
    "SPY C", "OPT", multiplier=D(100), underlying="SPY", expiry="20180119", strike=D(270), right="C"
)
PUT = replace(CALL, symbol="SPY P", right="P")
WEEKLY = replace(CALL, symbol="SPXW", underlying="SPX", trading_class="SPXW")
MONTHLY = replace(CALL, symbol="SPX", underlying="SPX")
EURO = Instrument("EURUSD", "CASH")
POUND = Instrument("GBPUSD", "CASH", "IDEALPRO", underlying="GBP")
EUROPOUND = Instrument("EUR.GBP", "CASH")
EVERYTHING = (MARCH, JUNE, MICRO, CALL, PUT, WEEKLY, MONTHLY, EURO, POUND, EUROPOUND, Instrument("SPY"))


def as_told(one: Instrument, con_id: int = 0, **more: Any) -> WireContract:
    """Return an instrument as TWS tells it, with what only TWS knows."""
    terms = wire_terms(one)
    return replace(
        WireContract(
            con_id,
            terms.symbol,
            one.security_type,
            one.expiry,
            one.strike,
            one.right,
            one.multiplier,
            "",
            terms.currency,
            "told by TWS",
            one.trading_class or "TOLD",
        ),
        **more,
    )


@given(st.permutations(range(len(EVERYTHING))), st.booleans())
def test_each_of_many_contracts_is_found_whatever_comes_first_and_with_or_without_ids(
    order: list[int], numbered: bool
) -> None:
    book = ContractBook(EVERYTHING)
    for _ in range(2):
        for place in order:
            one = EVERYTHING[place]
            assert book.symbol_of(as_told(one, 100 + place if numbered else 0)) == one.symbol


def test_a_stock_that_was_not_offered_goes_by_its_own_symbol_unless_that_is_taken() -> None:
    book = ContractBook([replace(MARCH, symbol="ES")])
    assert book.symbol_of(WireContract(0, "IBM", "STK", currency="USD")) == "IBM"
    assert book.symbol_of(WireContract(0, "BRK B", "STK", currency="USD")) == "BRK B"
    assert book.symbol_of(WireContract(0, "ES", "STK", currency="USD")) == "ES STK"


@pytest.mark.parametrize(
    ("contract", "name"),
    [
        (as_told(MARCH, expiry="20180921"), "ES FUT 20180921"),
        (as_told(MARCH, expiry="20180921", con_id=77), "ES FUT 77"),
        (as_told(CALL, strike=D("272.50")), "SPY OPT 20180119 272.5C"),
        (as_told(CALL, multiplier=D(10)), "SPY OPT 20180119 270C"),  # adjusted after a split
        (as_told(EURO, currency="JPY"), "EUR CASH JPY"),
        (WireContract(0, "RY", "STK", currency="CAD"), "RY STK CAD"),
        (as_told(MARCH, exchange="EUREX"), "ES FUT 20180316"),
    ],
)
def test_a_contract_that_is_none_of_ours_has_a_name_that_nobody_trades(
    contract: WireContract, name: str
) -> None:
    book = ContractBook(EVERYTHING)
    assert book.symbol_of(contract) == name
    assert name not in book.instruments
    Instrument(name)  # it has the form of a symbol


def test_the_first_contract_that_fits_gives_the_id_and_another_one_is_a_stranger() -> None:
    book = ContractBook([Instrument("SPY")])
    assert book.symbol_of(as_told(Instrument("SPY"), 756733)) == "SPY"
    assert book.symbol_of(as_told(Instrument("SPY"), 999)) == "SPY STK 999"
    assert book.symbol_of(as_told(Instrument("SPY"))) == "SPY"  # without an id, by description
    assert ContractBook([Instrument("SPY", con_id=5)]).symbol_of(as_told(Instrument("SPY"), 999)) != "SPY"


def test_a_contract_that_two_instruments_fit_equally_is_neither() -> None:
    book = ContractBook([replace(MARCH, exchange="SMART"), replace(MARCH, symbol="ESX", exchange="CBOT")])
    assert book.symbol_of(as_told(MARCH)) == "ES FUT 20180316"


def test_an_expiry_may_be_a_month() -> None:
    assert ContractBook([replace(MARCH, expiry="201803")]).symbol_of(as_told(MARCH)) == "ESH8"


def test_one_contract_under_two_symbols_is_refused() -> None:
    with pytest.raises(InvalidOrderError, match="ESX and ESH8 are the same contract"):
        ContractBook([MARCH, replace(MARCH, symbol="ESX")])
    with pytest.raises(InvalidOrderError, match="same contract"):
        ContractBook([Instrument("A", con_id=1, underlying="Z"), Instrument("B", con_id=1, underlying="Z")])


def test_an_instrument_offered_again_replaces_the_one_before() -> None:
    book = ContractBook([replace(MARCH, con_id=3)])
    book.offer([replace(MARCH, expiry="20181221")])
    assert book.symbol_of(as_told(MARCH, 3)) == "ES FUT 3"
    assert book.symbol_of(as_told(replace(MARCH, expiry="20181221"), 4)) == "ESH8"
    assert list(book.instruments) == ["ESH8"]


def test_a_pair_goes_by_its_base_currency_in_the_other_at_idealpro() -> None:
    for one, base, quote in ((EURO, "EUR", "USD"), (POUND, "GBP", "USD"), (EUROPOUND, "EUR", "GBP")):
        terms = wire_terms(one)
        assert (terms.symbol, terms.currency, terms.exchange) == (base, quote, "IDEALPRO")


def test_numbers_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(NumberFormatError, match="strike"):
        WireContract.read(["1", "ES", "OPT", "", "abc", "", "", "", "", "", ""], 0)
    with pytest.raises(NumberFormatError, match="contract id"):
        ContractBook().symbol_in(["x"], 0)


def position(one: Instrument, quantity: str, cost: str) -> list[str]:
    terms = wire_terms(one)
    strike = "0.0" if one.strike is None else str(one.strike)
    multiplier = "" if one.multiplier == 1 else str(one.multiplier)
    described = ["0", terms.symbol, one.security_type, one.expiry, strike, one.right, multiplier]
    return ["61", "3", "DU1", *described, "", terms.currency, "", "", quantity, cost]


def test_positions_carry_our_symbols_and_their_cost_in_price_terms() -> None:
    book = ContractBook((MARCH, EURO))
    rows = [
        position(MARCH, "-2", "125012.5"),
        position(EURO, "20000", "1.2005"),
        position(JUNE, "1", "100"),
        position(Instrument("IBM"), "0", "100"),
    ]
    march, euro, stranger = read_positions(rows, book)
    assert march == BrokerPosition("DU1", "ESH8", D(-2), D("125012.5"), "FUT", D(50))
    assert march.average_price == D("2500.25")
    assert (euro.symbol, euro.average_price) == ("EURUSD", D("1.2005"))
    assert (stranger.symbol, stranger.is_ours) == ("ES FUT 20180615", False)


def test_a_summary_is_that_of_the_account() -> None:
    rows = [["63", "1", "1", "DU1", "Cash", "5", "USD"], ["63", "1", "1", "DU2", "Cash", "", "USD"]]
    assert read_summary(rows, "DU1") == {"Cash": 5}
    assert read_summary(rows, "DU2") == {}
