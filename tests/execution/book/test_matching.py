"""The numbered fill rules, one by one, and what must hold for any order against any bar."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.book.matching import (
    AT_OPEN,
    LIMIT,
    LIMIT_IF_TOUCHED,
    LIMIT_ON_CLOSE,
    MARKET,
    MARKET_IF_TOUCHED,
    MARKET_ON_CLOSE,
    NO_FILL,
    STOP,
    STOP_LIMIT,
    WITHIN,
    capacity,
    match,
    match_close,
    match_limit,
    match_touched,
    slip,
    trail,
    trigger,
    trigger_trail,
)

BUY, SELL = 1, -1
OPEN, HIGH, LOW = 10_000, 10_200, 9_800


def against(
    kind: int, sign: int, limit: int = 0, stop: int = 0, *, triggered: bool = False, slippage: int = 0
) -> tuple[int, int, bool]:
    return match(kind, sign, limit, stop, triggered, OPEN, HIGH, LOW, slippage)


@pytest.mark.parametrize("sign", [BUY, SELL])
def test_rule_1_a_market_order_fills_at_the_open(sign: int) -> None:
    assert against(MARKET, sign) == (OPEN, AT_OPEN, False)


@pytest.mark.parametrize(
    ("sign", "limit", "expected"),
    [
        (BUY, 10_100, (OPEN, AT_OPEN)),
        (BUY, OPEN, (OPEN, AT_OPEN)),
        (BUY, 9_999, (9_999, WITHIN)),
        (BUY, LOW, (LOW, WITHIN)),
        (BUY, LOW - 1, (0, NO_FILL)),
        (SELL, 9_900, (OPEN, AT_OPEN)),
        (SELL, OPEN, (OPEN, AT_OPEN)),
        (SELL, 10_001, (10_001, WITHIN)),
        (SELL, HIGH, (HIGH, WITHIN)),
        (SELL, HIGH + 1, (0, NO_FILL)),
    ],
)
def test_rule_2_a_limit_order_fills_at_the_open_or_better_or_where_the_bar_touches_it(
    sign: int, limit: int, expected: tuple[int, int]
) -> None:
    assert match_limit(sign, limit, OPEN, HIGH, LOW) == expected
    assert against(LIMIT, sign, limit) == (*expected, False)


@pytest.mark.parametrize(
    ("sign", "stop", "expected"),
    [
        (BUY, 9_900, (OPEN, AT_OPEN)),
        (BUY, OPEN, (OPEN, AT_OPEN)),
        (BUY, HIGH, (HIGH, WITHIN)),
        (BUY, HIGH + 1, (0, NO_FILL)),
        (SELL, 10_100, (OPEN, AT_OPEN)),
        (SELL, OPEN, (OPEN, AT_OPEN)),
        (SELL, LOW, (LOW, WITHIN)),
        (SELL, LOW - 1, (0, NO_FILL)),
    ],
)
def test_rule_3_a_stop_is_triggered_by_a_gap_or_by_a_touch(
    sign: int, stop: int, expected: tuple[int, int]
) -> None:
    assert trigger(sign, stop, OPEN, HIGH, LOW) == expected
    assert against(STOP, sign, stop=stop) == (*expected, expected[1] != NO_FILL)


@pytest.mark.parametrize(
    ("sign", "stop", "limit", "expected"),
    [
        (BUY, 10_100, 10_150, (10_100, WITHIN, True)),  # triggered within, inside its limit
        (
            BUY,
            10_100,
            10_050,
            (0, NO_FILL, True),
        ),  # triggered within, beyond its limit: waits for the next bar
        (BUY, 9_900, 10_050, (OPEN, AT_OPEN, True)),  # triggered by the open, inside its limit
        (BUY, 9_900, 9_950, (9_950, WITHIN, True)),  # triggered by the open, the bar comes back to its limit
        (BUY, 9_900, 9_700, (0, NO_FILL, True)),  # triggered by the open, the bar never reaches its limit
        (BUY, 10_300, 10_400, (0, NO_FILL, False)),  # never triggered
        (SELL, 9_900, 9_850, (9_900, WITHIN, True)),
        (SELL, 9_900, 9_950, (0, NO_FILL, True)),
        (SELL, 10_100, 10_150, (10_150, WITHIN, True)),
        (SELL, 9_700, 9_600, (0, NO_FILL, False)),
    ],
)
def test_rule_4_a_stop_limit_becomes_a_limit_order_when_it_is_triggered(
    sign: int, stop: int, limit: int, expected: tuple[int, int, bool]
) -> None:
    assert against(STOP_LIMIT, sign, limit, stop) == expected


def test_rule_4_a_stop_limit_triggered_on_an_earlier_bar_is_a_limit_order() -> None:
    assert against(STOP_LIMIT, BUY, 9_900, 12_000, triggered=True) == (9_900, WITHIN, True)


def test_rule_5_slippage_moves_market_and_stop_fills_against_the_order() -> None:
    assert against(MARKET, BUY, slippage=100)[0] == 10_001
    assert against(MARKET, SELL, slippage=100)[0] == 9_999
    assert against(STOP, BUY, stop=HIGH, slippage=100)[0] == HIGH + 2  # 1.02 ticks, rounded up


def test_rule_5_slippage_never_passes_a_limit() -> None:
    assert against(LIMIT, BUY, 10_050, slippage=1_000)[0] == OPEN
    assert against(STOP_LIMIT, BUY, 10_105, 10_100, slippage=1_000) == (10_105, WITHIN, True)
    assert against(STOP_LIMIT, SELL, 9_895, 9_900, slippage=1_000) == (9_895, WITHIN, True)
    assert against(STOP_LIMIT, BUY, 10_150, 10_100, slippage=100) == (10_102, WITHIN, True)


def test_slippage_is_rounded_up_to_a_tick_and_a_price_stays_positive() -> None:
    assert slip(BUY, 1, 1) == 2
    assert slip(SELL, 1, 1) == 1
    assert slip(BUY, 12_345, 0) == 12_345


def test_capacity_is_a_share_of_the_volume_rounded_down() -> None:
    assert capacity(999.0, 100_000) == 99
    assert capacity(9.0, 100_000) == 0
    assert capacity(0.0, 1_000_000) == 0


@st.composite
def bars(draw: st.DrawFn) -> tuple[int, int, int]:
    low = draw(st.integers(1, 20_000))
    high = draw(st.integers(low, low + 2_000))
    return draw(st.integers(low, high)), high, low


PRICES = st.integers(1, 25_000)


@given(
    bar=bars(),
    kind=st.sampled_from([MARKET, LIMIT, STOP, STOP_LIMIT]),
    sign=st.sampled_from([BUY, SELL]),
    limit=PRICES,
    stop=PRICES,
    triggered=st.booleans(),
    slippage=st.integers(0, 5_000),
)
def test_no_fill_is_better_than_the_bar_or_worse_than_the_limit(
    bar: tuple[int, int, int],
    kind: int,
    sign: int,
    limit: int,
    stop: int,
    triggered: bool,
    slippage: int,
) -> None:
    open_, high, low = bar
    price, when, now = match(kind, sign, limit, stop, triggered, open_, high, low, slippage)
    if when == NO_FILL:
        assert price == 0
        assert kind != MARKET
        return
    if sign == BUY:
        assert low <= price <= max(high, slip(BUY, high, slippage))
    else:
        assert high >= price >= min(low, slip(SELL, low, slippage))
    if kind in (LIMIT, STOP_LIMIT):
        assert sign * (price - limit) <= 0
    if kind in (STOP, STOP_LIMIT):
        assert now
    if kind == STOP and not triggered:
        assert sign * (price - stop) >= 0 or price == 1


@given(bar=bars(), sign=st.sampled_from([BUY, SELL]), stop=PRICES, slippage=st.integers(0, 5_000))
def test_what_is_left_of_a_triggered_stop_is_a_market_order(
    bar: tuple[int, int, int], sign: int, stop: int, slippage: int
) -> None:
    assert match(STOP, sign, 0, stop, True, *bar, slippage) == match(MARKET, sign, 0, 0, True, *bar, slippage)


@given(bar=bars(), sign=st.sampled_from([BUY, SELL]), limit=PRICES)
def test_a_more_generous_limit_fills_whenever_a_tighter_one_does(
    bar: tuple[int, int, int], sign: int, limit: int
) -> None:
    tight = match_limit(sign, limit, *bar)
    generous = match_limit(sign, limit + sign, *bar)
    assert tight[1] == NO_FILL or generous[1] != NO_FILL


@given(bar=bars(), stop=PRICES, limit=PRICES, slippage=st.integers(0, 5_000))
def test_a_sell_is_the_mirror_image_of_a_buy_without_slippage(
    bar: tuple[int, int, int], stop: int, limit: int, slippage: int
) -> None:
    open_, high, low = bar
    axis = 100_000
    for kind in (MARKET, LIMIT, STOP, STOP_LIMIT):
        buy = match(kind, BUY, limit, stop, False, open_, high, low, 0)
        sell = match(kind, SELL, axis - limit, axis - stop, False, axis - open_, axis - low, axis - high, 0)
        assert sell[1:] == buy[1:]
        assert sell[0] == (axis - buy[0] if buy[1] else 0)


# -- if touched, trailing and on the close --------------------------------------------------------------


@pytest.mark.parametrize(
    ("sign", "touch", "expected"),
    [
        (BUY, 10_100, (OPEN, AT_OPEN, True)),  # the market is below the trigger already
        (BUY, 9_900, (9_900, WITHIN, True)),
        (BUY, LOW - 1, (0, NO_FILL, False)),
        (SELL, 9_900, (OPEN, AT_OPEN, True)),
        (SELL, 10_100, (10_100, WITHIN, True)),
        (SELL, HIGH + 1, (0, NO_FILL, False)),
    ],
)
def test_rule_6_an_if_touched_order_is_triggered_from_the_other_side(
    sign: int, touch: int, expected: tuple[int, int, bool]
) -> None:
    assert match_touched(MARKET_IF_TOUCHED, sign, 0, touch, False, OPEN, HIGH, LOW, 0) == expected


def test_rule_6_a_touched_limit_order_is_a_limit_order() -> None:
    def touched(limit: int, *, triggered: bool = False) -> tuple[int, int, bool]:
        return match_touched(LIMIT_IF_TOUCHED, BUY, limit, 9_900, triggered, OPEN, HIGH, LOW, 0)

    assert touched(9_950) == (9_900, WITHIN, True)
    assert touched(9_850) == (0, NO_FILL, True)  # touched within, beyond its limit: the next bar decides
    assert touched(9_850, triggered=True) == (9_850, WITHIN, True)
    assert match_touched(MARKET_IF_TOUCHED, BUY, 0, 9_000, True, OPEN, HIGH, LOW, 100)[0] == 10_001


@pytest.mark.parametrize(
    ("sign", "stop", "price", "expected"),
    [
        (SELL, 0, 1000, 900),
        (SELL, 950, 1000, 950),
        (SELL, 850, 1000, 900),
        (BUY, 0, 1000, 1100),
        (BUY, 1050, 1000, 1050),
        (BUY, 1150, 1000, 1100),
    ],
)
def test_rule_7_a_stop_follows_and_never_moves_away(sign: int, stop: int, price: int, expected: int) -> None:
    assert trail(sign, stop, price, 100, 0) == expected
    assert trail(sign, stop, price, 0, 100_000) == expected


def test_rule_7_a_share_of_the_price_is_rounded_up_and_a_stop_stays_positive() -> None:
    assert trail(SELL, 0, 1001, 0, 25_000) == 1001 - 26
    assert trail(SELL, 0, 50, 100, 0) == 1


@pytest.mark.parametrize(
    ("stop", "bar", "expected"),
    [
        (950, (940, 990, 930, 980), (940, AT_OPEN, 950)),  # gaps through
        (950, (1000, 1010, 960, 990), (0, NO_FILL, 950 - 0)),  # neither reached nor left behind
        (800, (1000, 1010, 890, 1000), (900, WITHIN, 900)),  # the open trails it to 900, the low reaches that
        (800, (1000, 1200, 950, 1150), (0, NO_FILL, 1100)),  # the low first, then the high trails it
        (800, (1000, 1200, 950, 1050), (1100, WITHIN, 1100)),  # the close shows that it came back through
        (0, (1000, 1000, 1000, 1000), (0, NO_FILL, 900)),
    ],
)
def test_rule_7_a_bar_is_taken_in_its_worst_order(
    stop: int, bar: tuple[int, int, int, int], expected: tuple[int, int, int]
) -> None:
    assert trigger_trail(SELL, stop, 100, 0, *bar) == expected


@given(bar=bars(), share=st.floats(0, 1), stop=PRICES, amount=st.integers(1, 500))
def test_rule_7_a_trailing_buy_is_the_mirror_image_of_a_sell(
    bar: tuple[int, int, int], share: float, stop: int, amount: int
) -> None:
    open_, high, low = bar
    close = low + int(share * (high - low))
    axis = 100_000
    sell = trigger_trail(SELL, axis - stop, amount, 0, axis - open_, axis - low, axis - high, axis - close)
    price, when, after = trigger_trail(BUY, stop, amount, 0, open_, high, low, close)
    assert sell == (axis - price if when else 0, when, axis - after)
    assert after <= stop or when == AT_OPEN
    if when == NO_FILL:
        assert close < after


@pytest.mark.parametrize(
    ("kind", "sign", "limit", "expected"),
    [
        (MARKET_ON_CLOSE, BUY, 0, (10_002, WITHIN)),
        (MARKET_ON_CLOSE, SELL, 0, (10_000, WITHIN)),
        (LIMIT_ON_CLOSE, BUY, 10_001, (10_001, WITHIN)),
        (LIMIT_ON_CLOSE, BUY, 10_000, (0, NO_FILL)),
        (LIMIT_ON_CLOSE, SELL, 10_002, (0, NO_FILL)),
    ],
)
def test_rule_9_an_order_on_the_close_fills_at_the_close(
    kind: int, sign: int, limit: int, expected: tuple[int, int]
) -> None:
    assert match_close(kind, sign, limit, 10_001, 1 if kind == MARKET_ON_CLOSE else 0) == expected
