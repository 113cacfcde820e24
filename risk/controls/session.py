"""SESSION: orders trade inside a session only."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from execution.clocks import timestamp
from execution.models import OrderRequest
from risk.controls.base import Control, Figures, OrderView, Refused


class SessionControl(Control):
    """Refuses orders that would trade outside a session, not orders decided outside one."""

    code: ClassVar[str] = "SESSION"

    def check(self, order: OrderRequest, view: OrderView) -> Figures | Refused:
        """Pass if the order keeps to regular hours and there is a session for it to trade in."""
        limit = "inside a session"
        if order.outside_rth:
            return self.refuses(
                limit, "outside_rth", "the order may trade outside regular hours: clear outside_rth"
            )
        session = view.book.next_session()
        if session is None:
            return self.refuses(
                limit, "no session", "the calendar knows no further session: extend the calendar's range"
            )
        return self.code, limit, _told(session.open_ns)


@lru_cache(maxsize=64)  # the session is the same for all of a day's orders
def _told(open_ns: int) -> str:
    return f"session from {timestamp(open_ns):%Y-%m-%dT%H:%M:%SZ}"
