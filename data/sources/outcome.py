"""What a pull found out about one instrument, and why there is nothing new of it if so, in words."""

from __future__ import annotations

from dataclasses import dataclass, field

from data.sources.history import Window
from execution.clocks import timestamp
from execution.models import Instrument


@dataclass(slots=True)
class Outcome:
    """Of one instrument: the span asked for, where its bars begin, and what became of its windows.

    All moments are UTC nanoseconds. `now_ns` is up to when bars can be had, `head_ns` None if the source does
    not say where its bars begin. `windows` are all of the span, `missing` those to be asked for.
    """

    instrument: Instrument
    start_ns: int
    end_ns: int
    now_ns: int
    head_ns: int | None
    windows: list[Window]
    missing: list[Window] = field(default_factory=list)
    known_empty: int = 0
    """Windows answered before with no bars."""
    empty: int = 0
    """Windows answered now with no bars."""
    forming: int = 0
    """Bars that came and are not over."""
    held: int = 0
    """Bars that came and were stored already."""
    new: int = 0
    """Bars that were inserted or revised."""

    def note(self) -> str:
        """Say why there is nothing new and what can be done about it; empty if there is something new."""
        if self.new:
            return ""
        if not self.windows:
            return self._nothing_to_ask()
        if not self.missing:
            return f"nothing was asked: {self._before()}"
        if self.held:
            return f"up to date: {self.held} bars came that are stored already{self._others()}"
        if self.forming:
            return f"{_bars(self.forming)} came, not over yet: pull again when the session is{self._others()}"
        if self.empty:
            first, last = self.missing[0].start_ns, self.missing[-1].end_ns
            return (
                f"the source has no bars from {_day(first)} to {_day(last)}: check the dates, --timeframe "
                f"and --calendar, and whether the contract traded then{self._others()}"
            )
        return ""  # it was refused on the way

    def _nothing_to_ask(self) -> str:
        if self.start_ns >= self.now_ns:
            return f"--start is not over at the source, where it is {_time(self.now_ns)}: name an earlier one"
        if self.head_ns is not None and self.head_ns >= min(self.end_ns, self.now_ns):
            return f"the source's bars begin on {_day(self.head_ns)}, after --end: name a later one"
        return "no time lies between --start and --end"

    def _before(self) -> str:
        count = len(self.windows) - len(self.missing)
        which = "the question was" if count == 1 else f"all {count} questions were"
        none = ", with no bars" if self.known_empty == count else f", {self.known_empty} of them with no bars"
        none = none if self.known_empty else ""
        return f"{which} answered before{none}; --again asks once more"

    def _others(self) -> str:
        count = len(self.windows) - len(self.missing)
        return f"; {count} more questions were answered before" if count else ""


def _bars(count: int) -> str:
    return "1 bar" if count == 1 else f"{count} bars"


def _day(ns: int) -> str:
    return f"{timestamp(ns):%Y-%m-%d}"


def _time(ns: int) -> str:
    return f"{timestamp(ns):%Y-%m-%d %H:%M} UTC"
