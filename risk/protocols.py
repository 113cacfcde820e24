"""What risk needs of others, in risk's own words; whoever wires the parts brings what fits.

`data.calendars.ExchangeClock` is a `SessionSource`; the package itself does not know it.
"""

from __future__ import annotations

from typing import Protocol


class TradingSession(Protocol):
    """One session of the market."""

    @property
    def open_ns(self) -> int:
        """Moment of the open, UTC nanoseconds."""

    @property
    def close_ns(self) -> int:
        """Moment of the close, UTC nanoseconds."""


class SessionSource(Protocol):
    """A market's calendar."""

    def session_closing_after(self, ns: int) -> TradingSession | None:
        """Return the first session that closes after `ns` (UTC nanoseconds), or None beyond the calendar."""
