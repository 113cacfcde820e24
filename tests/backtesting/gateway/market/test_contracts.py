"""Finding contracts by what clients say of them, and the file that declares them."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtesting.gateway.errors import ContractFileError, GatewayError, RequestRefusedError
from backtesting.gateway.market.contract_entry import is_pair
from backtesting.gateway.market.contract_file import load_contracts
from backtesting.gateway.market.contracts import ContractBook, conforms, listing, offered, tick_at
from backtesting.gateway.wire.requests import ContractQuery
from execution.clocks import NANOS
from execution.models import Instrument

ANYTHING = ContractQuery(0, "", "", "", "", "", "", "", "", "", "", "")

FILE = """
- {symbol: ESH8, sec_type: FUT, underlying: ES, expiry: 20180316, multiplier: 50, exchange: CME, tick: 0.25,
   zone: US/Central, hours: 1700-1600, liquid_hours: 0830-1600, name: E-mini S&P 500}
- {symbol: ESM8, sec_type: FUT, underlying: ES, expiry: 20180615, multiplier: 50, exchange: CME, tick: 0.25}
- {symbol: AAA C100, sec_type: OPT, underlying: AAA, expiry: 20180119, strike: 100, right: C}
- {symbol: AAA C105, sec_type: OPT, underlying: AAA, expiry: 20180119, strike: 105, right: C}
- {symbol: AAA P100, sec_type: OPT, underlying: AAA, expiry: 20180119, strike: 100, right: P}
- {symbol: AAA C100 FEB, sec_type: OPT, underlying: AAA, expiry: 20180216, strike: 100, right: C}
- {symbol: EURUSD, sec_type: CASH}
- {symbol: SPX, sec_type: IND, exchange: CBOE, name: S&P 500 Stock Index}
- {symbol: FUND, sec_type: ETF, primary_exchange: ARCA, bands: "0:0.0001 1:0.01", name: A fund of funds}
"""


def query(**said: object) -> ContractQuery:
    return dataclasses.replace(ANYTHING, **said)  # type: ignore[arg-type]  # fields by name


def ns(date: dt.date) -> int:
    return int(dt.datetime.combine(date, dt.time(15), dt.UTC).timestamp()) * NANOS


@pytest.fixture
def book(tmp_path: Path) -> ContractBook:
    path = tmp_path / "contracts.yaml"
    path.write_text(FILE)
    return ContractBook(offered(["AAA", "BBB", "EURUSD"], load_contracts(path)))


def symbols(found: list[Instrument]) -> list[str]:
    return [each.symbol for each in found]


@pytest.mark.parametrize(
    ("said", "symbol"),
    [
        ({"symbol": "AAA", "security_type": "STK", "exchange": "SMART", "currency": "USD"}, "AAA"),
        (
            {"symbol": "AAA", "security_type": "STK", "trading_class": "NMS", "primary_exchange": "ARCA"},
            "AAA",
        ),
        ({"con_id": 700_000_001}, "AAA"),
        ({"local_symbol": "ESH8", "security_type": "FUT", "exchange": "CME"}, "ESH8"),
        ({"symbol": "ES", "security_type": "FUT", "expiry": "201803", "exchange": "CME"}, "ESH8"),
        ({"symbol": "ES", "security_type": "FUT", "expiry": "20180615", "multiplier": "50"}, "ESM8"),
        (
            {
                "symbol": "AAA",
                "security_type": "OPT",
                "expiry": "20180119",
                "strike": "100.0",
                "right": "CALL",
                "exchange": "SMART",
            },
            "AAA C100",
        ),
        ({"local_symbol": "AAA   180119P00100000", "security_type": "OPT"}, "AAA P100"),
        ({"symbol": "EUR", "security_type": "CASH", "currency": "USD", "exchange": "IDEALPRO"}, "EURUSD"),
        ({"local_symbol": "EUR.USD", "security_type": "CASH"}, "EURUSD"),
        ({"symbol": "SPX", "security_type": "IND", "exchange": "CBOE"}, "SPX"),
        ({"symbol": "FUND", "security_type": "STK", "primary_exchange": "ARCA"}, "FUND"),
    ],
)
def test_a_description_finds_the_contract_it_means(
    book: ContractBook, said: dict[str, object], symbol: str
) -> None:
    assert book.find_one(query(**said)).symbol == symbol


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ({"symbol": "ZZZ"}, 200),
        ({}, 200),
        ({"con_id": 12}, 200),
        ({"con_id": 700_000_001, "symbol": "BBB"}, 200),
        ({"symbol": "AAA", "security_type": "STK", "currency": "EUR"}, 200),
        ({"symbol": "AAA", "security_type": "STK", "exchange": "IBIS"}, 200),
        ({"symbol": "FUND", "security_type": "STK", "primary_exchange": "NYSE"}, 200),
        ({"symbol": "ES", "security_type": "FUT", "exchange": "SMART"}, 200),
        ({"symbol": "ES", "security_type": "FUT", "expiry": "201803", "multiplier": "5"}, 200),
        ({"symbol": "AAA", "security_type": "OPT", "strike": "101"}, 200),
        ({"symbol": "AAA", "security_type": "OPT", "strike": "high"}, 200),
        ({"symbol": "AAA", "security_type": "OPT", "right": "X"}, 200),
        ({"symbol": "EUR", "security_type": "CASH", "exchange": "SMART"}, 200),
        ({"symbol": "AAA", "security_type": "BAG"}, 200),
        ({"symbol": "AAA", "security_type": "SHARE"}, 321),
    ],
)
def test_what_is_not_offered_is_refused(book: ContractBook, said: dict[str, object], number: int) -> None:
    with pytest.raises(RequestRefusedError) as refused:
        book.find_one(query(**said))
    assert refused.value.number == number


def test_several_that_fit_are_ambiguous_for_an_order_and_listed_for_details(book: ContractBook) -> None:
    futures = query(symbol="ES", security_type="FUT", exchange="CME")
    with pytest.raises(RequestRefusedError) as refused:
        book.find_one(futures)
    assert (refused.value.number, refused.value.text) == (
        200,
        "The contract description specified for ES is ambiguous.",
    )
    assert symbols(book.find_all(futures)) == ["ESH8", "ESM8"]
    options = query(symbol="AAA", security_type="OPT", exchange="SMART")
    assert symbols(book.find_all(options)) == ["AAA C100", "AAA P100", "AAA C105", "AAA C100 FEB"]
    assert symbols(book.find_all(dataclasses.replace(options, right="C", expiry="201801"))) == [
        "AAA C100",
        "AAA C105",
    ]


def test_what_has_expired_is_found_only_if_it_is_asked_for(book: ContractBook) -> None:
    futures = query(symbol="ES", security_type="FUT")
    last_day, day_after = ns(dt.date(2018, 3, 16)), ns(dt.date(2018, 3, 17))
    assert symbols(book.find_all(futures, last_day)) == ["ESH8", "ESM8"]
    assert symbols(book.find_all(futures, day_after)) == ["ESM8"]
    assert symbols(book.find_all(futures, day_after, include_expired=True)) == ["ESH8", "ESM8"]


def test_a_contract_gets_its_id_from_its_place_unless_it_has_one() -> None:
    book = ContractBook([Instrument("CCC"), Instrument("AAA"), Instrument("BBB", con_id=5)])
    assert {s: i.con_id for s, i in book.instruments.items()} == {
        "AAA": 700_000_001,
        "BBB": 5,
        "CCC": 700_000_003,
    }
    assert book.by_id(5) is book.instruments["BBB"]
    assert book.by_id(6) is None


@pytest.mark.parametrize(
    ("instruments", "what"),
    [
        ([Instrument("AAA"), Instrument("AAA", "IND")], "symbol AAA"),
        ([Instrument("AAA", con_id=5), Instrument("BBB", con_id=5)], "contract id 5"),
    ],
)
def test_a_contract_is_offered_once(instruments: list[Instrument], what: str) -> None:
    with pytest.raises(GatewayError, match=what):
        ContractBook(instruments)


def test_a_typed_text_matches_symbols_and_words_of_names(book: ContractBook) -> None:
    assert [(i.symbol, kinds) for i, kinds in book.matching("aa")] == [("AAA", ("OPT",))]
    assert [i.symbol for i, _ in book.matching("stock")] == ["SPX"]
    assert [i.symbol for i, _ in book.matching("FUND")] == ["FUND"]
    assert [i.symbol for i, _ in book.matching("eur")] == ["EURUSD"]
    assert book.matching(" ") == []
    many = ContractBook([Instrument(f"A{n:02}") for n in range(40)])
    assert len(many.matching("A")) == 16


def test_options_are_listed_by_their_underlying(book: ContractBook) -> None:
    con_id = book.instruments["AAA"].con_id
    assert len(book.options_on(con_id, "AAA", "")) == 4
    assert book.options_on(con_id, "AAA", "CBOE") == []
    assert book.options_on(book.instruments["BBB"].con_id, "BBB", "") == []
    for wrong_id, symbol in ((con_id, "BBB"), (1, "AAA")):
        with pytest.raises(RequestRefusedError, match="200"):
            book.options_on(wrong_id, symbol, "")
    assert book.underlying_of(book.instruments["AAA P100"]) is book.instruments["AAA"]
    assert book.underlying_of(book.instruments["ESH8"]) is None
    assert book.underlying_of(book.instruments["AAA"]) is None


def test_prices_move_in_the_steps_of_their_market_rule(book: ContractBook) -> None:
    fund, stock, future = (book.instruments[s] for s in ("FUND", "AAA", "ESH8"))
    assert [tick_at(fund, Decimal(p)) for p in ("0", "0.99", "1", "250")] == [
        Decimal("0.0001"),
        Decimal("0.0001"),
        Decimal("0.01"),
        Decimal("0.01"),
    ]
    assert conforms(fund, Decimal("0.9999"))
    assert not conforms(fund, Decimal("1.0001"))
    assert tick_at(stock, Decimal(5)) == Decimal("0.01")
    assert tick_at(future, Decimal(2700)) == Decimal("0.25")
    assert (book.rule_id(stock), book.rule_id(future)) == (26, 67)
    for each in book.instruments.values():
        assert book.rule(book.rule_id(each)) == book.bands(each)
    assert book.rule(1) is None


def test_a_six_letter_symbol_is_a_pair_only_if_it_is_declared() -> None:
    (stock,) = offered(["EURUSD"])
    assert stock.security_type == "STK"
    assert is_pair("EURUSD")
    assert not is_pair("EUREUR")
    assert not is_pair("EURUS")
    assert listing(stock).stock_type == "COMMON"


def test_yaml_and_csv_declare_the_same(tmp_path: Path) -> None:
    yaml, csv = tmp_path / "c.yml", tmp_path / "c.CSV"
    yaml.write_text(
        "- {symbol: SPYX, sec_type: ETF, tick: 0.05}\n- symbol: GBPCHF\n  sec_type: CASH\n  lot: ~\n"
    )
    csv.write_text("symbol,sec_type,tick\nSPYX, ETF,0.05\n\nGBPCHF,CASH,\n")
    fund, pair = load_contracts(yaml)
    assert load_contracts(csv) == (fund, pair)
    assert (fund.security_type, fund.stock_type, fund.tick) == ("STK", "ETF", Decimal("0.05"))
    assert (pair.underlying, pair.currency, pair.exchange) == ("GBP", "CHF", "IDEALPRO")
    assert (pair.local_symbol, pair.trading_class, pair.tick) == ("GBP.CHF", "GBP.CHF", Decimal("0.00005"))


def test_local_symbols_are_those_of_the_exchanges(book: ContractBook) -> None:
    assert book.instruments["ESM8"].local_symbol == "ESM8"
    assert book.instruments["AAA C105"].local_symbol == "AAA   180119C00105000"


def test_a_name_that_is_not_ascii_is_spelt_as_tws_spells_it(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("- {symbol: NESN, name: Nestlé}\n", encoding="utf-8")
    assert load_contracts(path)[0].name == "Nestl\\xe9"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "- {symbol: AAA, expirey: 20180101}",
            ":1: contract AAA: unknown key 'expirey'; did you mean 'expiry'?",
        ),
        ("- {symbol: AAA, zzzzzz: 1}", "unknown key 'zzzzzz'; use symbol, sec_type"),
        ("- {sec_type: STK}", "contract (without a symbol): symbol is missing; every contract needs it"),
        ("- {symbol: aaa}", "contract aaa: symbol 'aaa': use capital letters"),
        ("- {symbol: AAA, sec_type: SHARE}", "sec_type 'SHARE': Input should be 'STK'"),
        (
            "- {symbol: F, sec_type: FUT, underlying: ES, expiry: 201803, multiplier: 50, exchange: CME}",
            "expiry '201803': write the last trading day as yyyymmdd",
        ),
        (
            "- {symbol: F, sec_type: FUT, underlying: ES, expiry: 2018316, multiplier: 50, exchange: CME}",
            "expiry '2018316': write the last trading day",
        ),
        ("- {symbol: F, sec_type: FUT, underlying: ES}", "expiry: a contract of type FUT needs it"),
        ("- {symbol: AAA, strike: 5}", "strike: a contract of type STK does not take it"),
        ("- {symbol: AAA, tick: 1e-2}", "tick '1e-2': '1e-2' is not a plain decimal number"),
        ("- {symbol: AAA, tick: 0}", "tick '0': must be positive"),
        ("- {symbol: AAA, tick: 0.01, bands: '0:0.01'}", "tick: give a tick or bands, not both"),
        ("- {symbol: AAA, bands: '1:0.01'}", "bands: start at price 0 and go up"),
        ("- {symbol: AAA, bands: '0:0.02 1:0.05'}", "every increment must be a multiple of the finest"),
        ("- {symbol: AAA, bands: '0.01'}", "write from-price:increment pairs"),
        ("- {symbol: AAA, bands: {0: 0.01}}", "bands must be a single value"),
        ("- {symbol: AAA, zone: Mars/Olympus}", "zone 'Mars/Olympus': is no time zone"),
        ("- {symbol: AAA, hours: 9-16}", "hours '9-16': write hhmm-hhmm such as 0930-1600"),
        ("- {symbol: AAA, currency: usd}", "currency 'usd': use three capital letters"),
        ("- {symbol: AAA, local_symbol: A|B}", "local_symbol 'A|B': use up to 40 letters"),
        ("- {symbol: AAA, con_id: 1.5}", "con_id '1.5': '1.5' is not a whole number"),
        ("- {symbol: FX1, sec_type: CASH}", "underlying: name the base currency"),
        ('- {symbol: AAA, name: "a\\0b"}', "use up to 120 printable characters"),
        ("- {symbol: AAA, symbol: BBB}", "'symbol' is given twice"),
        ("- {symbol: AAA}\n- {symbol: AAA}", ":2: contract AAA: its symbol is AAA's already; remove one"),
        ("- {symbol: AAA, con_id: 5}\n- {symbol: BBB, con_id: 5}", "its con_id is AAA's already"),
        (
            "- {symbol: EURUSD, sec_type: CASH}\n- {symbol: FX, sec_type: CASH, underlying: EUR}",
            "contract FX: its description is EURUSD's already",
        ),
        ("- AAA", ":1: expected keys such as 'symbol:'"),
        ("symbol: AAA", "expected a list of contracts"),
        ("- {symbol: AAA", "not valid YAML"),
        ("", "expected a list of contracts"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named_with_its_remedy(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "contracts.yaml"
    path.write_text(text)
    with pytest.raises(ContractFileError) as refused:
        load_contracts(path)
    assert complaint in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("sec_type\nSTK\n", "the header must name each column once"),
        ("symbol,symbol\nA,B\n", "the header must name each column once"),
        ("symbol,sec_type\nAAA\n", ":2: 1 cells under 2 columns"),
        ('symbol\n"AAA\n', "no CSV"),
        ("", "the header must name each column once"),
    ],
)
def test_a_csv_file_that_cannot_be_read_says_where(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "contracts.csv"
    path.write_text(text)
    with pytest.raises(ContractFileError, match=complaint):
        load_contracts(path)


def test_a_file_that_is_not_there_or_is_no_text_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "contracts.yaml"
    with pytest.raises(ContractFileError, match="cannot be read"):
        load_contracts(path)
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(ContractFileError, match="give a contracts file in UTF-8"):
        load_contracts(path)


@given(st.text(max_size=200))
def test_any_text_is_a_contracts_file_or_one_error(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a.yaml", "a.csv"):
            path = Path(folder) / name
            path.write_text(text, encoding="utf-8", errors="surrogatepass")
            with contextlib.suppress(ContractFileError):
                assert all(one.symbol for one in load_contracts(path))


@pytest.mark.parametrize("exchange", ["SMART", "NYSE", "NASDAQ", "ISLAND", "ARCA", ""])
def test_a_us_stock_is_found_at_any_exchange_it_can_be_traded_at(book: ContractBook, exchange: str) -> None:
    found = book.find_one(query(symbol="AAA", security_type="STK", exchange=exchange))
    assert found.symbol == "AAA"
