"""The daily-loss kill switch.

1. A session day begins with the first snapshot of that day. Its base is the equity of the last snapshot of
   the day before, or the initial equity on the first day.
2. The day's loss is the base minus the equity now, realised and unrealised alike.
3. When the loss reaches the limit the switch trips and stays tripped, over the following days too, until a
   person resets it with a reason. The reset counts the day's further loss from the last snapshot.

It looks at snapshots only, so the same snapshots always give the same outcome. That it tripped is a matter of
record: after a restart `restore` latches it again, whatever a replay comes to.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from decimal import Decimal

from execution.clocks import utc_ns
from execution.events import KillSwitchEvent
from execution.models import ZERO, PortfolioSnapshot
from execution.numbers import ARITHMETIC, format_decimal
from risk.errors import KillSwitchResetError, LimitsError
from risk.protocols import SessionSource


def session_day_of(sessions: SessionSource) -> Callable[[int], int]:
    """Return the function that names the session day of a moment, by the session's close.

    A moment at a close still belongs to that session; one between two sessions belongs to the later one, as
    its orders do. Everything beyond the calendar's end is one day, named -1.
    """

    def day(ns: int) -> int:
        session = sessions.session_closing_after(ns - 1)
        return -1 if session is None else session.close_ns

    return day


class KillSwitch:
    """Trips when a session day has lost `max_daily_loss`.

    Parameters
    ----------
    max_daily_loss
        Loss in account currency that trips it; None never trips.
    session_date_of
        Names the session day of a moment in UTC nanoseconds; see `session_day_of`.
    initial_equity
        Equity before the first snapshot; by default the first snapshot's own.

    Raises
    ------
    LimitsError
        If the limit is not a positive number.
    """

    def __init__(
        self,
        max_daily_loss: Decimal | None,
        session_date_of: Callable[[int], Hashable],
        *,
        initial_equity: Decimal | None = None,
    ) -> None:
        if max_daily_loss is not None and not (max_daily_loss.is_finite() and max_daily_loss > 0):
            raise LimitsError(f"max_daily_loss {max_daily_loss} must be positive; leave it out to have none")
        self.max_daily_loss = max_daily_loss
        self.event: KillSwitchEvent | None = None
        """What tripped it, while it is tripped."""
        self._session_date_of = session_date_of
        self._day: Hashable = None
        self._base = initial_equity
        self._last = initial_equity
        self._pardoned_ns = -1

    @property
    def tripped(self) -> bool:
        """Whether new risk is refused."""
        return self.event is not None

    @property
    def daily_loss(self) -> Decimal:
        """Loss of the current session day in account currency; negative is a gain."""
        if self._base is None or self._last is None:
            return ZERO
        return ARITHMETIC.subtract(self._base, self._last)

    def on_snapshot(self, snapshot: PortfolioSnapshot) -> KillSwitchEvent | None:
        """Look at the book; return an event the moment the limit is reached, and None otherwise."""
        day = self._session_date_of(utc_ns(snapshot.timestamp))
        if day != self._day:
            self._day = day
            self._base = snapshot.equity if self._last is None else self._last
        self._last = snapshot.equity
        if utc_ns(snapshot.timestamp) <= self._pardoned_ns:
            self._base = snapshot.equity
            return None
        loss = self.daily_loss
        if self.event is not None or self.max_daily_loss is None or loss < self.max_daily_loss:
            return None
        self.event = KillSwitchEvent(snapshot.timestamp, loss, self.max_daily_loss)
        return self.event

    def restore(self, event: KillSwitchEvent) -> None:
        """Latch what was recorded earlier; from now on it is tripped, whatever the snapshots say."""
        self.event = event

    def pardon(self, until_ns: int) -> None:
        """Leave out losses up to a moment (UTC nanoseconds): it was reset then, and a replay keeps it so."""
        self._pardoned_ns = until_ns

    def reset(self, reason: str) -> None:
        """Allow new risk again; the day's further loss counts from the last snapshot.

        Raises
        ------
        KillSwitchResetError
            If it is not tripped, or the reason is empty.
        """
        if self.event is None:
            raise KillSwitchResetError("the kill switch is not tripped: there is nothing to reset")
        if not reason.strip():
            raise KillSwitchResetError(
                "the kill switch needs a reason to be reset: say why trading may go on"
            )
        self.event = None
        self._base = self._last

    def __repr__(self) -> str:
        state = "tripped" if self.tripped else "armed"
        limit = "none" if self.max_daily_loss is None else format_decimal(self.max_daily_loss)
        return f"KillSwitch({state}, daily_loss={format_decimal(self.daily_loss)}, limit={limit})"
