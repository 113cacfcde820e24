from __future__ import annotations

from backtesting.gateway.market.lockstep import LockstepBarrier


def test_the_first_request_joins_and_the_next_ends_a_step() -> None:
    barrier = LockstepBarrier()
    assert barrier.ask(1)
    assert not barrier.ready
    assert not barrier.ask(1)
    assert barrier.ready


def test_time_waits_for_everybody_who_takes_part() -> None:
    barrier = LockstepBarrier()
    barrier.ask(1)
    barrier.ask(2)
    barrier.ask(1)
    assert not barrier.ready
    barrier.ask(2)
    assert barrier.release() == {1: 1, 2: 1}
    assert not barrier.ready


def test_a_client_that_leaves_is_no_longer_waited_for() -> None:
    barrier = LockstepBarrier()
    barrier.ask(1)
    barrier.ask(2)
    barrier.ask(1)
    barrier.leave(2)
    barrier.leave(9)
    assert barrier.ready


def test_time_stands_when_the_last_has_left_and_who_returns_joins_anew() -> None:
    barrier = LockstepBarrier()
    barrier.ask(1)
    barrier.ask(1)
    barrier.leave(1)
    assert not barrier.ready
    assert barrier.ask(1)
