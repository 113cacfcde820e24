"""What a run looks like while it runs: a table that redraws in place, or plain lines without a terminal.

Each event costs a few assignments; drawing happens at most once in `refresh` seconds, whatever the pace of
the steps.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from execution.clocks import MonotonicClock
from execution.events import StepProgress
from execution.models import Fill, Order
from execution.numbers import format_decimal

_EVENTS = 6
_MOST_POSITIONS = 12


class LiveTable:
    """Shows progress with time left, pace, orders, fills, positions, profit and the latest events.

    A ProgressHandler, OrderEventHandler and ConnectionEventHandler, and a context manager. Without a
    terminal it prints one line in `line_interval` seconds, and one at the end.

    Parameters
    ----------
    console
        Where to draw.
    clock
        Wall clock, for the pace and for throttling.
    title
        Heading, for example strategy and symbols.
    refresh
        Least seconds between two drawings on a terminal.
    line_interval
        Least seconds between two lines without one.
    """

    def __init__(
        self,
        console: Console,
        clock: MonotonicClock,
        *,
        title: str = "",
        refresh: float = 0.25,
        line_interval: float = 10.0,
    ) -> None:
        self._console = console
        self._clock = clock
        self._title = title
        self._terminal = console.is_terminal
        self._interval = refresh if self._terminal else line_interval
        self._live: Live | None = None
        self._progress: StepProgress | None = None
        self._start = self._due = clock.monotonic()
        self._steps = self._orders = self._refused = self._fills = 0
        self._drawn_steps = -1
        self._connected: bool | None = None
        self._events: deque[Fill | str] = deque(maxlen=_EVENTS)
        self._base: Decimal | None = None

    def __enter__(self) -> LiveTable:
        self._start = self._clock.monotonic()
        self._due = self._start + self._interval
        if self._terminal:
            self._live = Live(self.render(), console=self._console, auto_refresh=False)
            self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.draw()
        if self._live is not None:
            self._live.stop()
            self._live = None

    def on_step(self, progress: StepProgress) -> None:
        """Take the outcome of one step."""
        if self._base is None:
            self._base = progress.snapshot.equity
        self._progress = progress
        self._steps += 1
        self._orders += progress.submitted
        self._refused += progress.refused
        if self._clock.monotonic() >= self._due:
            self.draw()

    def on_order_status(self, order: Order) -> None:
        """Take an order whose status changed; the figures of the step say enough of it."""

    def on_fill(self, fill: Fill) -> None:
        """Take an execution."""
        self._fills += 1
        self._events.append(fill)

    def on_order_rejected(self, order: Order, reason: str) -> None:
        """Take an order that the broker refused."""
        self._events.append(f"rejected {order.symbol} {order.client_order_id}: {reason}")

    def on_connected(self) -> None:
        """Take note that a session stands."""
        self._connected = True
        self._events.append("connected")

    def on_disconnected(self) -> None:
        """Take note that the session is gone."""
        self._connected = False
        self._events.append("disconnected")

    def note(self, text: str) -> None:
        """Show a text among the latest events."""
        self._events.append(text)

    def draw(self) -> None:
        """Draw now; without a terminal, print a line if there is something new to say."""
        self._due = self._clock.monotonic() + self._interval
        if self._live is not None:
            self._live.update(self.render(), refresh=True)
        elif not self._terminal and self._drawn_steps != self._steps:
            self._drawn_steps = self._steps
            self._console.print(self.line(), markup=False, highlight=False, soft_wrap=True)

    def line(self) -> str:
        """Return the state of the run as one line of text."""
        progress = self._progress
        if progress is None:
            return "waiting for the first step"
        done = f"{progress.index:,}" if progress.total is None else f"{progress.index:,}/{progress.total:,}"
        left = self._left()
        return (
            f"{progress.end:%Y-%m-%d %H:%M} UTC  step {done}  {self._pace():,.0f}/s"
            f"{'' if left is None else f'  {_duration(left)} left'}"
            f"  orders {self._orders:,}  refused {self._refused:,}  fills {self._fills:,}"
            f"  equity {progress.snapshot.equity:,.2f}"
        )

    def render(self) -> RenderableType:
        """Return the table as it stands."""
        progress = self._progress
        if progress is None:
            return Panel(Text("waiting for the first step", style="dim"), title=Text(self._title), width=76)
        parts: list[RenderableType] = [self._bar(progress), self._figures(progress)]
        if progress.snapshot.positions:
            parts.append(self._positions(progress))
        if self._events:
            parts.append(
                Text("\n".join(map(_event, self._events)), style="dim", overflow="ellipsis", no_wrap=True)
            )
        return Panel(Group(*parts), title=Text(self._title), title_align="left")

    def _bar(self, progress: StepProgress) -> RenderableType:
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(ratio=1)
        row.add_column(justify="right", no_wrap=True)
        done = (
            f"{progress.index:,}" if progress.total is None else f"{progress.index:,} of {progress.total:,}"
        )
        left = self._left()
        tail = f"{done} steps  {self._pace():,.0f}/s" + ("" if left is None else f"  {_duration(left)} left")
        # Without a total there is no share to show: the bar stays empty rather than pulse.
        row.add_row(
            ProgressBar(total=progress.total or 1, completed=progress.index if progress.total else 0), tail
        )
        return row

    def _figures(self, progress: StepProgress) -> RenderableType:
        snapshot = progress.snapshot
        row = Table.grid(padding=(0, 3))
        gain = snapshot.equity - (snapshot.equity if self._base is None else self._base)
        state = {None: "", True: "connected", False: "disconnected"}[self._connected]
        row.add_row(
            Text(f"{progress.end:%Y-%m-%d %H:%M} UTC", style="bold"),
            Text(state, style="red bold" if self._connected is False else "green"),
        )
        row.add_row(f"orders {self._orders:,}", f"refused {self._refused:,}", f"fills {self._fills:,}")
        row.add_row(
            f"equity {snapshot.equity:,.2f}",
            Text(f"P&L {gain:+,.2f}", style="green" if gain >= 0 else "red"),
            f"exposure {snapshot.gross_exposure:,.0f}",
            f"fees {snapshot.fees:,.2f}",
        )
        return row

    def _positions(self, progress: StepProgress) -> RenderableType:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("symbol")
        for name in ("quantity", "cost", "value", "unrealised"):
            table.add_column(name, justify="right")
        positions = progress.snapshot.positions
        for held in positions[:_MOST_POSITIONS]:
            table.add_row(
                Text(held.symbol),
                format_decimal(held.quantity),
                f"{held.average_cost:,.2f}",
                f"{held.value:,.2f}",
                Text(f"{held.gain:+,.2f}", style="green" if held.gain >= 0 else "red"),
            )
        if len(positions) > _MOST_POSITIONS:
            table.add_row(f"and {len(positions) - _MOST_POSITIONS} more", "", "", "", "")
        return table

    def _pace(self) -> float:
        elapsed = self._clock.monotonic() - self._start
        return self._steps / elapsed if elapsed > 0 else 0.0

    def _left(self) -> float | None:
        progress, pace = self._progress, self._pace()
        if progress is None or progress.total is None or pace <= 0:
            return None
        return max(0, progress.total - progress.index) / pace


def _event(event: Fill | str) -> str:
    if isinstance(event, str):
        # A broker's text must not move the cursor.
        return "".join(character if character.isprintable() else "?" for character in event)
    return (
        f"{event.timestamp:%Y-%m-%d %H:%M} {event.side} {format_decimal(event.quantity)} {event.symbol}"
        f" @ {format_decimal(event.price)}"
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
