from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console, RenderableType

from execution.events import ConnectionEventHandler, OrderEventHandler, StepProgress
from execution.models import Fill, Order
from monitoring.live_table import LiveTable

MakeStep = Callable[..., StepProgress]


@pytest.fixture
def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, height=40, color_system=None)


@pytest.fixture
def pipe() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=60)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def drawn(table: LiveTable) -> str:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(table.render())
    return shown(console)


def test_without_a_terminal_there_is_one_line_an_interval_and_one_at_the_end(
    pipe: Console, clock: Any, step: MakeStep
) -> None:
    with LiveTable(pipe, clock, line_interval=10) as table:
        for index in range(1, 26):
            clock.now += 1
            table.on_step(step(index, total=25))
    lines = shown(pipe).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("2020-01-10 21:00 UTC  step 10/25  1/s  0:15 left  orders 0")
    assert "step 25/25" in lines[-1]
    assert "\x1b" not in shown(pipe)


def test_an_end_without_news_repeats_nothing(pipe: Console, clock: Any, step: MakeStep) -> None:
    with LiveTable(pipe, clock, line_interval=10) as table:
        clock.now += 11
        table.on_step(step(1))
    assert len(shown(pipe).splitlines()) == 1


def test_a_run_without_steps_says_that_it_waits(pipe: Console, clock: Any) -> None:
    table = LiveTable(pipe, clock)
    assert table.line() == "waiting for the first step"
    assert "waiting" in drawn(table)


def test_five_thousand_steps_a_second_are_drawn_four_times(
    terminal: Console, clock: Any, step: MakeStep, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = LiveTable(terminal, clock, refresh=0.25)
    drawings: list[float] = []
    render = table.render

    def counted() -> RenderableType:
        drawings.append(clock.now)
        return render()

    monkeypatch.setattr(table, "render", counted)
    progress = step(1, total=5000)
    with table:
        drawings.clear()
        for _ in range(5000):
            clock.now += 0.0002
            table.on_step(progress)
        assert 3 <= len(drawings) <= 4
    assert "5,000" in shown(terminal)


def test_the_table_shows_progress_orders_positions_profit_and_events(
    terminal: Console, clock: Any, step: MakeStep, fill: Callable[..., Fill], order: Callable[..., Order]
) -> None:
    table = LiveTable(terminal, clock, title="ma_crossover SPY")
    table.on_connected()
    table.on_step(step(1, total=200, submitted=2, refused=1))
    clock.now += 2
    table.on_fill(fill())
    table.on_order_status(order("a"))
    table.on_order_rejected(order("a"), "no [bold]such\x1b[2J thing")
    table.note("kill switch armed")
    table.on_step(step(100, total=200, submitted=1, equity="1000250", held=("SPY",)))
    text = drawn(table)
    for part in (
        "ma_crossover SPY",
        "100 of 200 steps",
        "1/s",
        "1:40 left",
        "orders 3",
        "refused 1",
        "fills 1",
        "P&L +250.00",
        "SPY",
        "12.50",
        "2020-01-01 21:00 BUY 10 SPY @ 101.5",
        "kill switch armed",
        "connected",
    ):
        assert part in text, part
    assert "no [bold]such?[2J thing" in text
    table.on_disconnected()
    assert "disconnected" in drawn(table)


def test_without_a_total_no_time_left_is_claimed(terminal: Console, clock: Any, step: MakeStep) -> None:
    table = LiveTable(terminal, clock)
    clock.now += 1
    table.on_step(step(7))
    assert "left" not in drawn(table)
    assert "left" not in table.line()
    assert "7 steps" in drawn(table)


def test_a_long_list_of_positions_is_cut(terminal: Console, clock: Any, step: MakeStep) -> None:
    table = LiveTable(terminal, clock)
    table.on_step(step(1, held=tuple(f"S{n}" for n in range(20))))
    assert "and 8 more" in drawn(table)


def test_hours_are_shown_when_it_takes_hours(terminal: Console, clock: Any, step: MakeStep) -> None:
    table = LiveTable(terminal, clock)
    clock.now += 60
    table.on_step(step(1, total=62))
    assert "1:01:00 left" in table.line()


def test_it_implements_the_handler_protocols(terminal: Console, clock: Any) -> None:
    table = LiveTable(terminal, clock)
    assert isinstance(table, OrderEventHandler)
    assert isinstance(table, ConnectionEventHandler)
