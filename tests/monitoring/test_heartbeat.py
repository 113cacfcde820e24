from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import structlog

from execution.clocks import SteppedClock
from execution.events import StepProgress
from monitoring.counters import Counters
from monitoring.heartbeat import Heartbeat

NOON = 1_577_880_000_000_000_000  # 2020-01-01 12:00 UTC


def build(
    counters: Counters, clock: Any, trading_clock: SteppedClock | None = None, **options: Any
) -> Heartbeat:
    return Heartbeat(
        counters,
        lambda: "ready",
        trading_clock=trading_clock or SteppedClock(NOON),
        clock=clock,
        logger=structlog.get_logger(),
        **options,
    )


def test_a_line_appears_once_an_interval_of_wall_time_whatever_the_steps_do(
    clock: Any, step: Callable[..., StepProgress]
) -> None:
    counters = Counters()
    heart = build(counters, clock, interval=30)
    with structlog.testing.capture_logs() as lines:
        for index in range(1, 101):
            counters.on_step(step(index))
            heart.on_step(step(index))
            clock.now += 1
    assert [line["steps"] for line in lines] == [1, 31, 61, 91]


def test_trading_time_that_stands_still_does_not_stop_the_heart(clock: Any) -> None:
    heart = build(Counters(), clock, SteppedClock(NOON), interval=10)
    with structlog.testing.capture_logs() as lines:
        heart.beat()
        clock.now += 10
        assert heart.beat()
    assert [line["trading_time"] for line in lines] == ["2020-01-01T12:00:00+00:00"] * 2


def test_the_line_tells_what_else_there_is_as_it_stands_then(clock: Any) -> None:
    behind = iter([7, 0])
    heart = build(Counters(), clock, interval=10, beyond=lambda: {"database_behind_events": next(behind)})
    with structlog.testing.capture_logs() as lines:
        heart.beat()
        clock.now += 10
        heart.beat()
    assert [line["database_behind_events"] for line in lines] == [7, 0]


def test_the_line_tells_the_state_of_the_run(clock: Any, step: Callable[..., StepProgress]) -> None:
    counters = Counters()
    counters.on_step(step(1, submitted=2, equity="1000000.50"))
    with structlog.testing.capture_logs() as lines:
        build(counters, clock).beat()
    assert lines == [
        {
            "event": "heartbeat",
            "log_level": "info",
            "trading_time": "2020-01-01T12:00:00+00:00",
            "connection": "ready",
            "last_bar": "2020-01-01T21:00:00+00:00",
            "steps": 1,
            "orders": 2,
            "open_orders": 0,
            "fills": 0,
            "equity": "1000000.5",
        }
    ]


def test_before_the_first_bar_the_figures_are_absent_not_zero(clock: Any) -> None:
    with structlog.testing.capture_logs() as lines:
        build(Counters(), clock).beat()
    assert lines[0]["last_bar"] is None
    assert lines[0]["equity"] is None


def test_after_a_long_pause_there_is_one_line_not_a_burst(clock: Any) -> None:
    heart = build(Counters(), clock, interval=10)
    heart.beat()
    clock.now += 1000
    assert heart.beat()
    assert not heart.beat()


def test_an_interval_that_is_not_positive_is_refused(clock: Any) -> None:
    with pytest.raises(ValueError, match="interval"):
        build(Counters(), clock, interval=0)
