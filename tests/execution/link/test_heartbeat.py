"""When a connection is called dead, and when it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.link.heartbeat import Heartbeat, HeartbeatTerms

TERMS = HeartbeatTerms()


class Line:
    """A session and its monotonic clock; an answer comes if `answers_after` says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.bytes_received = 0
        self.answers = 0
        self.asked: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def ask(self) -> None:
        self.asked.append(self.now)

    def byte(self) -> None:
        self.bytes_received += 1

    def answer(self) -> None:
        self.byte()
        self.answers += 1


def dead_after(line: Line, heartbeat: Heartbeat, seconds: float, each: object = None) -> float | None:
    """Look until the connection is called dead; return the seconds that took, or None if it lives."""
    began = line.now
    while line.now < began + seconds:
        line.now += heartbeat.terms.look_seconds
        if callable(each):
            each()
        if heartbeat.check() is not None:
            return line.now - began
    return None


def test_silence_is_found_within_ten_seconds_of_the_last_byte() -> None:
    line = Line()
    heartbeat = Heartbeat(line, TERMS, line)
    took = dead_after(line, heartbeat, 60)
    assert took is not None
    assert took <= TERMS.longest_silence < 10
    assert len(line.asked) == 1


@given(st.floats(0, 60, allow_nan=False))
def test_whenever_the_last_byte_came_ten_seconds_are_enough(last: float) -> None:
    line = Line()
    heartbeat = Heartbeat(line, TERMS, line)
    began = line.now

    def until_last() -> None:
        if line.now - began <= last:
            line.answer()

    took = dead_after(line, heartbeat, 100, until_last)
    assert took is not None
    assert took - last <= TERMS.longest_silence


def test_any_byte_is_life_and_nothing_is_asked_while_answers_come() -> None:
    line = Line()
    heartbeat = Heartbeat(line, TERMS, line)
    assert dead_after(line, heartbeat, 120, line.answer) is None
    assert line.asked == []


def test_a_quiet_line_that_answers_lives_and_one_question_is_under_way_at_a_time() -> None:
    line = Line()
    heartbeat = Heartbeat(line, TERMS, line)
    answered = 0

    def reply() -> None:
        nonlocal answered
        if len(line.asked) > answered and line.now - line.asked[-1] >= 2:
            answered += 1
            line.answer()
        assert len(line.asked) - answered <= 1

    assert dead_after(line, heartbeat, 120, reply) is None
    assert 20 <= answered <= 24


def test_bytes_without_any_answer_are_a_gateway_that_no_longer_listens() -> None:
    line = Line()
    heartbeat = Heartbeat(line, TERMS, line)
    took = dead_after(line, heartbeat, 300, line.byte)
    assert took is not None
    assert TERMS.interval + TERMS.deaf_after <= took <= TERMS.longest_deafness < 15


def test_a_gateway_that_tells_much_and_answers_late_but_in_time_is_left_alone() -> None:
    line = Line()
    heartbeat = Heartbeat(line, TERMS, line)
    answered = 0

    def chatter() -> None:
        nonlocal answered
        line.byte()
        if len(line.asked) > answered and line.now - line.asked[-1] >= TERMS.deaf_after - 1:
            answered += 1
            line.answer()

    assert dead_after(line, heartbeat, 300, chatter) is None
    assert answered > 20


def test_time_in_which_this_process_stood_still_does_not_count() -> None:
    line = Line()
    heartbeat = Heartbeat(line, TERMS, line)
    assert dead_after(line, heartbeat, 4) is None  # asked by now
    line.now += 3600  # stopped, or asleep
    assert heartbeat.check() is None
    line.answer()  # what lay in the socket is read
    assert dead_after(line, heartbeat, 2.5) is None
    assert dead_after(line, heartbeat, 60) is not None


def test_a_long_deadline_gives_a_deaf_gateway_longer_too() -> None:
    assert HeartbeatTerms(3, 5).deaf_after == 10
    assert HeartbeatTerms(3, 20).deaf_after == 40


@pytest.mark.parametrize("terms", [(0, 5, 30), (3, 0, 30), (3, 5, 4)])
def test_terms_that_make_no_sense_are_refused(terms: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        HeartbeatTerms(*terms)
