"""Virtual time: it moves where others wait, in order, and stands still where nothing can happen."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from backtesting.simulation.loop import PROCESS, DeadlockError, Process, VirtualLoop
from backtesting.simulation.network import Network


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    """A loop with a network that nobody uses."""
    made = VirtualLoop(Network(None))  # type: ignore[arg-type]  # nothing is written
    yield made
    made.close()


def test_an_hour_of_sleep_takes_no_time_and_is_an_hour(loop: VirtualLoop) -> None:
    loop.run_until_complete(asyncio.sleep(3600))
    assert loop.time() == pytest.approx(3600)


def test_timers_ring_in_the_order_of_their_moments(loop: VirtualLoop) -> None:
    rung: list[tuple[float, str]] = []

    def ring(name: str) -> None:
        rung.append((loop.time(), name))

    async def main() -> None:
        for name, seconds in (("late", 2.0), ("early", 1.0), ("also early", 1.0)):
            loop.call_later(seconds, ring, name)
        await asyncio.sleep(3)

    loop.run_until_complete(main())
    assert [name for _, name in rung] == ["early", "also early", "late"]
    assert [moment for moment, _ in rung] == pytest.approx([1.0, 1.0, 2.0])


def test_waiting_for_what_nobody_will_give_is_a_deadlock(loop: VirtualLoop) -> None:
    async def main() -> None:
        await loop.create_future()

    with pytest.raises(DeadlockError, match="nothing is left to happen"):
        loop.run_until_complete(main())


def test_a_stall_makes_timers_late(loop: VirtualLoop) -> None:
    rung: list[float] = []

    async def main() -> None:
        loop.call_later(1.0, lambda: rung.append(loop.time()))
        loop.stall(30.0)
        await asyncio.sleep(0.5)

    loop.run_until_complete(main())
    assert rung == [pytest.approx(30.0)]


def test_a_thread_is_refused(loop: VirtualLoop) -> None:
    async def main() -> None:
        await asyncio.to_thread(print)

    with pytest.raises(NotImplementedError, match="no threads"):
        loop.run_until_complete(main())


def test_what_a_process_starts_ends_with_it(loop: VirtualLoop) -> None:
    process, ended = Process("trader"), []

    async def forever(name: str) -> None:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            ended.append(name)
            raise

    async def parent() -> None:
        asyncio.create_task(forever("child"))  # noqa: RUF006  the process holds it
        await forever("parent")

    async def main() -> None:
        token = PROCESS.set(process)
        asyncio.create_task(parent())  # noqa: RUF006  the process holds it
        PROCESS.reset(token)
        outsider = asyncio.create_task(asyncio.sleep(5))
        await asyncio.sleep(1)
        process.end()
        await outsider

    loop.run_until_complete(main())
    assert sorted(ended) == ["child", "parent"]
    assert not process.tasks()


def test_a_process_that_is_gone_starts_nothing(loop: VirtualLoop) -> None:
    process, ran = Process("trader"), []
    process.end()

    async def work() -> None:
        ran.append(1)

    async def main() -> None:
        token = PROCESS.set(process)
        asyncio.create_task(work())  # noqa: RUF006  it never runs
        PROCESS.reset(token)
        await asyncio.sleep(1)

    loop.run_until_complete(main())
    assert not ran


def test_a_process_forgets_tasks_that_are_done(loop: VirtualLoop) -> None:
    process = Process("trader")

    async def main() -> None:
        token = PROCESS.set(process)
        for _ in range(600):
            await asyncio.create_task(asyncio.sleep(0))
        PROCESS.reset(token)

    loop.run_until_complete(main())
    assert len(process._tasks) <= 257
