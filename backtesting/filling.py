"""One order against one bar, for the orders that need more than a price: those that are not `plain`.

1. An order on the close takes part in the bar in which its session closes, at the close of that bar, also if
   it was placed within it: the close comes later. Its session is over without such a bar: it ends unfilled.
2. An order on the open takes part in the bar in which its session opens, at the open of that bar. What it
   does not fill there ends at once.
3. IOC and FOK are matched with the open of the first bar that starts at or after their placement; what is
   left ends at once. With a stop or trigger price they wait for it, and what its bar does not fill ends.
4. A GTD order that ends within a bar is matched with its open alone; the rest of the bar may lie behind its
   end.
5. All or none, and FOK: nothing fills unless the bar has room for all of it. It does not hold up those behind
   it.
"""

from __future__ import annotations

from backtesting.orders import WorkingOrder
from execution.book.matching import (
    AT_OPEN,
    CONTINGENT,
    LIMIT,
    LIMIT_IF_TOUCHED,
    LIMIT_ON_CLOSE,
    MARKET,
    MARKET_IF_TOUCHED,
    MARKET_ON_CLOSE,
    NO_FILL,
    TRAIL,
    TRAIL_LIMIT,
    match,
    match_close,
    match_touched,
    release_limit,
    slip,
    trigger_trail,
)
from execution.models import Bar, TimeInForce

AT_ONCE = frozenset((TimeInForce.IOC, TimeInForce.FOK))
"""Lives that end with the first bar that can fill them."""

WHOLE = TimeInForce.FOK
"""The life that fills in full or not at all."""

Ticks = tuple[int, int, int, int]
"""Open, high, low and close of a bar in ticks."""


def takes_part(order: WorkingOrder, bar: Bar) -> bool:
    """Say whether an order can fill in a bar (1, 2)."""
    ends = order.expires_ns
    if order.kind in (MARKET_ON_CLOSE, LIMIT_ON_CLOSE):
        return ends is not None and order.from_ns < bar.end_ns and bar.start_ns < ends <= bar.end_ns
    if order.from_ns > bar.start_ns or (ends is not None and ends <= bar.start_ns):
        return False
    opens = order.opens_ns
    return opens is None or bar.start_ns <= opens < bar.end_ns


def missed_its_open(order: WorkingOrder, bar: Bar) -> bool:
    """Say whether an order on the open can never fill, because a bar without it lies behind."""
    return order.opens_ns is not None and order.opens_ns < bar.start_ns


def knows_open_only(order: WorkingOrder, bar: Bar) -> bool:
    """Say whether only the open of a bar is known to lie within an order's life (2, 3, 4)."""
    life = order.request.time_in_force
    if life is TimeInForce.OPG:
        return True
    if life in AT_ONCE:
        return order.kind not in CONTINGENT or order.triggered
    return life is TimeInForce.GTD and order.expires_ns is not None and order.expires_ns < bar.end_ns


def ends_with_its_bar(order: WorkingOrder) -> bool:
    """Say whether what its bar did not fill of an order ends with that bar (2, 3)."""
    life = order.request.time_in_force
    return life is TimeInForce.OPG or (life in AT_ONCE and not order.waits_for_trigger)


def triggered_at_open(order: WorkingOrder, open_: int) -> bool:
    """Say whether the open of a bar is what triggered an order that was triggered in it."""
    sign = order.request.side.sign
    if order.kind in (MARKET_IF_TOUCHED, LIMIT_IF_TOUCHED):
        sign = -sign
    return sign * (open_ - order.stop_ticks) >= 0


def in_turn(working: list[WorkingOrder], bar: Bar, ticks: Ticks, centi_bps: int) -> list[WorkingOrder]:
    """Put mates of one OCA group that a bar may fill in the order of rule 3 of `backtesting.oca`.

    Each group keeps the places that its orders have by acceptance.
    """
    places: dict[tuple[str, str], list[int]] = {}
    for place, order in enumerate(working):
        if order.oca_group is not None:
            places.setdefault((order.account, order.oca_group), []).append(place)
    queue = list(working)
    for slots in places.values():
        if len(slots) > 1:
            mates = sorted(
                (working[slot] for slot in slots), key=lambda one: _rank(one, bar, ticks, centi_bps)
            )
            for slot, mate in zip(slots, mates, strict=True):
                queue[slot] = mate
    return queue


def _rank(order: WorkingOrder, bar: Bar, ticks: Ticks, centi_bps: int) -> int:
    if not takes_part(order, bar):
        return 2
    kept = order.triggered, order.stop_ticks, order.limit_ticks, order.offset_ticks
    waited = order.waits_for_trigger
    when = attempt(order, bar, ticks, centi_bps)[1]
    order.triggered, order.stop_ticks, order.limit_ticks, order.offset_ticks = kept
    if when == AT_OPEN:
        return 0
    return 1 if waited else 2


def attempt(order: WorkingOrder, bar: Bar, ticks: Ticks, centi_bps: int) -> tuple[int, int]:
    """Match an order that takes part; return (price in ticks, NO_FILL | AT_OPEN | WITHIN).

    Its trigger and its trailing stop are noted in it.
    """
    open_, high, low, close = ticks
    sign, kind = order.request.side.sign, order.kind
    if kind in (MARKET_ON_CLOSE, LIMIT_ON_CLOSE):
        return match_close(kind, sign, order.limit_ticks, close, centi_bps)
    if knows_open_only(order, bar):
        high = low = close = open_
    if kind in (TRAIL, TRAIL_LIMIT):
        return _attempt_trail(order, (open_, high, low, close), centi_bps)
    matcher = match_touched if kind in (MARKET_IF_TOUCHED, LIMIT_IF_TOUCHED) else match
    price, when, order.triggered = matcher(
        kind, sign, order.limit_ticks, order.stop_ticks, order.triggered, open_, high, low, centi_bps
    )
    return price, when


def _attempt_trail(order: WorkingOrder, ticks: Ticks, centi_bps: int) -> tuple[int, int]:
    open_, high, low, close = ticks
    sign = order.request.side.sign
    if order.triggered:
        plain = MARKET if order.kind == TRAIL else LIMIT
        price, when, _ = match(plain, sign, order.limit_ticks, 0, True, open_, high, low, centi_bps)
        return price, when
    if order.kind == TRAIL_LIMIT and not order.stop_ticks:
        follow(order, open_)
    price, when, order.stop_ticks = trigger_trail(
        sign, order.stop_ticks, order.trail_ticks, order.trail_ppm, open_, high, low, close
    )
    if order.kind == TRAIL_LIMIT:
        order.limit_ticks = max(1, order.stop_ticks + sign * (order.offset_ticks or 0))
    if when == NO_FILL:
        return 0, NO_FILL
    order.triggered = True
    if order.kind == TRAIL:
        return slip(sign, price, centi_bps), when
    return release_limit(sign, order.limit_ticks, price, when, open_, high, low, centi_bps)


def follow(order: WorkingOrder, ticks: int) -> None:
    """Give a trailing order its first stop from a market price, and its offset from a first limit price."""
    sign = order.request.side.sign
    if not order.stop_ticks and ticks:
        distance = order.trail_ticks or -(-ticks * order.trail_ppm // 1_000_000)
        order.stop_ticks = max(1, ticks + sign * distance)
    if order.kind == TRAIL_LIMIT and order.stop_ticks:
        if order.offset_ticks is None:
            order.offset_ticks = sign * (order.limit_ticks - order.stop_ticks)
        order.limit_ticks = max(1, order.stop_ticks + sign * order.offset_ticks)
