"""Greeks of a book are sums over its positions, or unknown with the reason."""

from __future__ import annotations

from decimal import Decimal

import pytest

from execution.clocks import timestamp
from execution.models import Position
from risk.greeks import LONGEST_AGE_NS, OptionGreeks, book_greeks

NOW = 10 * LONGEST_AGE_NS
CALL, PUT = "AAA 261218C100", "AAA 261218P90"


def held(**quantities: int) -> list[Position]:
    """So many of each, a share at 50; ``CALL`` and ``PUT`` are the options."""
    names = {"CALL": CALL, "PUT": PUT}
    return [
        Position(names.get(s, s), Decimal(n), Decimal(1), Decimal(50 * n), Decimal(0), timestamp(NOW))
        for s, n in quantities.items()
    ]


def greeks(delta: float, *, age_ns: int = 0) -> OptionGreeks:
    return OptionGreeks(delta, 0.02, 0.15, -0.05, 200.0, 100.0, NOW - age_ns)


def test_shares_count_with_their_value_and_options_with_their_greeks() -> None:
    told = book_greeks(held(SPY=-2, CALL=3, PUT=-1), {CALL: greeks(0.5), PUT: greeks(-0.25)}, NOW)
    assert told.unknown is None
    assert told.delta == pytest.approx(-100 + 3 * 100 * 0.5 * 200 + 100 * 0.25 * 200)
    assert told.gamma == pytest.approx((3 - 1) * 100 * 0.02 * 200 * 200 / 100)
    assert told.vega == pytest.approx((3 - 1) * 100 * 0.15)
    assert told.theta == pytest.approx((3 - 1) * 100 * -0.05)


def test_a_book_without_options_has_no_gamma_and_one_without_anything_no_delta() -> None:
    assert book_greeks(held(SPY=2), {}, NOW) == book_greeks(held(SPY=2), {CALL: greeks(0.5)}, NOW)
    told = book_greeks(held(SPY=2), {}, NOW)
    assert (told.delta, told.gamma, told.vega, told.theta) == (100, 0, 0, 0)
    assert book_greeks([], {}, NOW).delta == 0


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({}, "AAA 261218C100 has no Greeks on record"),
        (
            {CALL: greeks(0.5, age_ns=LONGEST_AGE_NS + 1)},
            "the newest Greeks of AAA 261218C100 on record are of",
        ),
        ({CALL: greeks(0.5, age_ns=-1)}, "AAA 261218C100 has no Greeks on record"),
    ],
)
def test_an_option_without_greeks_of_the_last_day_leaves_all_unknown(
    known: dict[str, OptionGreeks], why: str
) -> None:
    told = book_greeks(held(SPY=2, CALL=1), known, NOW)
    assert told.unknown is not None
    assert told.unknown.startswith(why)
    assert (told.delta, told.gamma, told.vega, told.theta) == (None, None, None, None)
    assert book_greeks(held(SPY=2, CALL=0), known, NOW).delta == 100  # what is not held is not needed
