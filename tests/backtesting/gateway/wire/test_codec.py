from __future__ import annotations

from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtesting.gateway.errors import RequestFormatError
from backtesting.gateway.wire.codec import (
    FieldReader,
    decimal_field,
    double,
    message,
    midnight_ns,
    numeral,
    parse_time,
    price,
    split,
    time_text,
)
from execution.clocks import utc_ns

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@given(st.lists(TEXT, min_size=1, max_size=10))
def test_any_fields_survive_the_wire(fields: list[str]) -> None:
    assert split(message(*fields)[4:]) == fields


@pytest.mark.parametrize("payload", [b"71\x002", b"\xff\xfe\0"])
def test_text_that_is_not_closed_or_not_utf8_is_a_format_error(payload: bytes) -> None:
    with pytest.raises(RequestFormatError):
        split(payload)


@pytest.mark.parametrize("text", ["", "1.0", "1e3", " 1", "\uff11", "0x1", "1" * 30, "nan", "2147483648"])
def test_a_whole_number_is_read_strictly(text: str) -> None:
    with pytest.raises(RequestFormatError, match="'order id'"):
        FieldReader([text]).integer("order id")


def test_what_cannot_be_read_is_told_in_printable_ascii_and_briefly() -> None:
    with pytest.raises(RequestFormatError) as refused:
        FieldReader(["\x1b[2J\n\u4e2d" + "9" * 500]).integer("order id")
    assert refused.value.text.isascii()
    assert refused.value.text.isprintable()
    assert len(refused.value.text) < 200


def test_a_flag_is_nothing_but_zero_or_one() -> None:
    assert [FieldReader([text]).flag("keep") for text in ("", "0", "1")] == [False, False, True]
    with pytest.raises(RequestFormatError):
        FieldReader(["True"]).flag("keep")


def test_missing_and_surplus_fields_are_named() -> None:
    with pytest.raises(RequestFormatError, match="ends before field 'symbol'"):
        FieldReader([]).text("symbol")
    with pytest.raises(RequestFormatError, match="2 fields too many"):
        FieldReader(["a", "b"]).end()


@pytest.mark.parametrize(
    "text",
    [
        *("nan", "Infinite", "1_000", "١٢", "1e300", "--1", "1,5"),
        *("1e400", "1e999", "9e307", "1.7E308", "1.797e308", "-1.7976931348623157E308"),
    ],
)
def test_a_price_is_read_strictly(text: str) -> None:
    with pytest.raises(RequestFormatError):
        decimal_field("lmtPrice", text)


@pytest.mark.parametrize(
    "text",
    ["", "1.7976931348623157E308", "1.7976931348623157e+308", "1.797693135e+308", "1.7976931348623157E+308"],
)
def test_an_unset_price_is_none(text: str) -> None:
    assert decimal_field("lmtPrice", text) is None


def test_prices_of_orders_are_spelt_as_doubles() -> None:
    assert [double(v) for v in (None, Decimal(2000), Decimal("14.610"))] == ["0.0", "2000.0", "14.61"]


def test_executed_and_quoted_prices_keep_two_decimals() -> None:
    assert [price(v) for v in (Decimal(0), Decimal("292.2"), Decimal(7), Decimal("292.315"), 4029.0)] == [
        *("0", "292.20", "7.00", "292.315"),
        "4029.00",
    ]
    assert [numeral(v) for v in (1e-05, 300.0, 5, Decimal("1E+3"))] == ["0.00001", "300", "5", "1000"]


def test_a_count_is_no_more_than_there_are_fields() -> None:
    assert FieldReader(["2", "a", "b"]).count("legs") == 2
    for text in ("-1", "3", "x"):
        with pytest.raises(RequestFormatError, match="'legs'"):
            FieldReader([text, ""]).count("legs")


@given(st.datetimes(min_value=pd.Timestamp("1998-01-01"), max_value=pd.Timestamp("2030-01-01")))
def test_a_time_survives_the_wire_outside_the_repeated_hour(moment: object) -> None:
    ns = utc_ns(pd.Timestamp(moment, tz="UTC").floor("s"))  # type: ignore[arg-type]
    back = parse_time(time_text(ns))
    assert back in (ns, ns - 3_600_000_000_000)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("20180102 09:30:00 US/Eastern", "2018-01-02 14:30"),
        ("20180102  09:30:00", "2018-01-02 14:30"),
        ("20180102-14:30:00", "2018-01-02 14:30"),
        ("20180102 15:30:00 Europe/Berlin", "2018-01-02 14:30"),
    ],
)
def test_times_are_read_in_every_spelling(text: str, utc: str) -> None:
    assert parse_time(text) == utc_ns(pd.Timestamp(utc, tz="UTC"))


@pytest.mark.parametrize("text", ["2018-01-02", "20181302 09:30:00", "20180102 09:30:00 No/Where", "x"])
def test_a_time_that_is_none_is_a_format_error(text: str) -> None:
    with pytest.raises(RequestFormatError):
        parse_time(text)


def test_the_day_starts_at_midnight_in_new_york() -> None:
    evening = utc_ns(pd.Timestamp("2018-01-03 03:00", tz="UTC"))
    assert midnight_ns(evening) == utc_ns(pd.Timestamp("2018-01-02 05:00", tz="UTC"))
