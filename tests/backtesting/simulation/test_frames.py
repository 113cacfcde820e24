"""Deliveries are cut into their frames and put together again, changed only as a fault says."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtesting.simulation import frames
from backtesting.simulation.frames import cut, frame, joined, swapped

KINDS = st.sampled_from(["3", "5", "11", "59", "4", "61"])
DELIVERIES = st.lists(st.tuples(KINDS, st.text("abc0", max_size=4)), max_size=12)


@given(DELIVERIES)
def test_a_delivery_is_the_sum_of_its_frames(made: list[tuple[str, str]]) -> None:
    data = b"".join(frame(*fields) for fields in made)
    taken = cut(data)
    assert joined(taken) == data
    assert [one.kind.decode() for one in taken] == [kind for kind, _ in made]


@given(DELIVERIES, st.integers(0, 99))
def test_swapping_keeps_every_frame_and_the_order_within_a_kind(
    made: list[tuple[str, str]], seed: int
) -> None:
    taken = cut(b"".join(frame(*fields) for fields in made))
    other = swapped(random.Random(seed), taken)
    assert len(other) == len(taken)
    for kind in {one.kind for one in taken}:
        assert [one.data for one in other if one.kind == kind] == [
            one.data for one in taken if one.kind == kind
        ]
    for before, after in zip(taken, other, strict=True):
        if before.kind not in frames.NEWS:
            assert after is before


def test_an_execution_is_live_unless_it_was_asked_for() -> None:
    live, asked, other = cut(frame("11", "-1", "7") + frame("11", "12", "7") + frame("3", "-1"))
    assert (live.is_live, asked.is_live, other.is_live) == (True, False, False)


@pytest.mark.parametrize("garbage", frames.GARBAGE)
def test_garbage_is_the_same_for_the_same_seed(garbage: object) -> None:
    assert callable(garbage)
    assert garbage(random.Random(1)) == garbage(random.Random(1))
