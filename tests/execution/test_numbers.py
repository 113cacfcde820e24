"""Numbers from outside, ticks, lots and the rounding of money."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.errors import NumberFormatError
from execution.numbers import (
    format_decimal,
    from_ticks,
    parse_decimal,
    parse_integer,
    parse_wire_decimal,
    round_money,
    round_to_tick,
    to_lots,
    to_ticks,
)


@pytest.mark.parametrize("text", ["0", "-1", "101.25", "0.0000000001", "999999999999999", "-0.5"])
def test_a_plain_decimal_is_read_exactly(text: str) -> None:
    assert parse_decimal(text, name="price") == Decimal(text)


@pytest.mark.parametrize(
    "text",
    # Spaces, signs, exponents, separators, missing parts, names, then digits that are not ASCII, then length.
    [
        *(
            "",
            " 1",
            "1 ",
            "1\n",
            "+1",
            "1e3",
            "1_000",
            "1,000",
            ".5",
            "5.",
            "01",
            "--1",
            "nan",
            "inf",
            "0x10",
        ),
        *("\u0661\u0662", "\uff11", "1234567890123456", "0.12345678901"),
    ],
)
def test_anything_but_a_plain_decimal_is_refused_by_name(text: str) -> None:
    with pytest.raises(NumberFormatError, match="limit price"):
        parse_decimal(text, name="limit price")


def test_a_number_that_is_not_text_is_refused() -> None:
    with pytest.raises(NumberFormatError):
        parse_decimal(1.5, name="price")  # type: ignore[arg-type]
    with pytest.raises(NumberFormatError):
        parse_integer(7, name="count")  # type: ignore[arg-type]


def test_whole_numbers_are_read_and_fractions_refused() -> None:
    assert parse_integer("-12", name="count") == -12
    for text in ("1.0", "", "007", "1" * 19):
        with pytest.raises(NumberFormatError, match="count"):
            parse_integer(text, name="count")


@pytest.mark.parametrize("text", ["", "1.7976931348623157E308", "1.7976931348623157e+308"])
def test_unset_on_the_wire_is_none(text: str) -> None:
    assert parse_wire_decimal(text, name="price") is None


def test_wire_numbers_may_have_an_exponent_and_a_trailing_point() -> None:
    assert parse_wire_decimal("1.5E-5", name="price") == Decimal("0.000015")
    assert parse_wire_decimal("100.", name="price") == 100
    assert parse_wire_decimal("-2", name="position") == -2


@pytest.mark.parametrize("text", ["1E19", "-1E19", "abc", "1e", "NaN", "Infinity", "1 "])
def test_wire_numbers_out_of_range_or_shape_are_refused(text: str) -> None:
    with pytest.raises(NumberFormatError, match="price"):
        parse_wire_decimal(text, name="price")


@pytest.mark.parametrize(
    ("value", "text"),
    [("1.500", "1.5"), ("100", "100"), ("1E+3", "1000"), ("0.00", "0"), ("-0", "0"), ("-0.10", "-0.1")],
)
def test_decimals_are_written_plainly(value: str, text: str) -> None:
    assert format_decimal(Decimal(value)) == text


def test_money_is_rounded_half_to_even_at_six_places() -> None:
    assert round_money(Decimal("1.0000005")) == Decimal("1.000000")
    assert round_money(Decimal("1.0000015")) == Decimal("1.000002")
    assert round_money(Decimal("-1.0000015")) == Decimal("-1.000002")


def test_prices_off_the_tick_and_sizes_off_the_lot_are_refused() -> None:
    with pytest.raises(NumberFormatError, match=r"limit: 100\.005 is not a multiple"):
        to_ticks(Decimal("100.005"), Decimal("0.01"), name="limit")
    with pytest.raises(NumberFormatError, match="quantity"):
        to_lots(Decimal("1.5"), Decimal(1))
    assert to_lots(Decimal("300"), Decimal(100)) == 3


def test_rounding_to_the_tick_reads_a_float_by_its_shortest_spelling() -> None:
    assert round_to_tick(0.285, Decimal("0.01")) == Decimal(
        "0.28"
    )  # half to even, though the float lies below
    assert round_to_tick(1.005, Decimal("0.01"), ROUND_CEILING) == Decimal("1.01")
    assert round_to_tick(Decimal("1.009"), Decimal("0.01"), ROUND_FLOOR) == Decimal("1.00")


TICKS = st.sampled_from([Decimal("0.01"), Decimal("0.05"), Decimal("0.0001"), Decimal("0.25"), Decimal(1)])


@given(st.integers(-(10**12), 10**12), TICKS)
def test_ticks_survive_the_way_to_a_price_and_back(ticks: int, tick: Decimal) -> None:
    assert to_ticks(from_ticks(ticks, tick), tick) == ticks


@given(st.floats(0.01, 1e6), TICKS)
def test_a_rounded_price_is_on_the_tick_and_within_half_of_it(price: float, tick: Decimal) -> None:
    rounded = round_to_tick(price, tick)
    assert rounded % tick == 0
    assert abs(rounded - Decimal(repr(price))) <= tick / 2


@given(st.decimals(-(10**12), 10**12, places=8))
def test_writing_and_reading_a_decimal_gives_it_back(value: Decimal) -> None:
    assert parse_decimal(format_decimal(value), name="value") == value
