from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtesting.gateway.errors import FrameError
from backtesting.gateway.wire.frames import GREETING, LIMIT, FrameReader, frame


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(0, 400), max_size=12))
def test_frames_come_out_whole_however_the_stream_is_cut(payloads: list[bytes], cuts: list[int]) -> None:
    stream = GREETING + b"".join(map(frame, payloads))
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    reader = FrameReader()
    got = [p for a, b in pairwise(places) for p in reader.feed(stream[a:b])]
    assert got == payloads


def test_a_stream_without_the_greeting_is_refused_at_its_first_wrong_byte() -> None:
    with pytest.raises(FrameError, match="greeting"):
        list(FrameReader().feed(b"GET / HTTP/1.1\r\n"))
    with pytest.raises(FrameError, match="greeting"):
        list(FrameReader().feed(b"AX"))


@pytest.mark.parametrize("size", [0, LIMIT + 1, 2**32 - 1])
def test_an_empty_or_oversized_frame_is_refused_before_its_bytes_arrive(size: int) -> None:
    with pytest.raises(FrameError, match="bytes"):
        list(FrameReader().feed(GREETING + size.to_bytes(4, "big")))


def test_the_frames_before_a_bad_one_are_still_handed_out() -> None:
    frames = FrameReader().feed(GREETING + frame(b"good") + b"\xff\xff\xff\xff")
    assert next(frames) == b"good"
    with pytest.raises(FrameError):
        next(frames)
