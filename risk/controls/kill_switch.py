"""KILL_SWITCH: no new risk after the daily loss limit was reached."""

from __future__ import annotations

from typing import ClassVar

from execution.models import OrderRequest
from execution.numbers import format_decimal
from risk.controls.base import Control, Figures, OrderView, Refused


class KillSwitchControl(Control):
    """Refuses everything but reducing orders while the kill switch is tripped."""

    code: ClassVar[str] = "KILL_SWITCH"

    def check(self, order: OrderRequest, view: OrderView) -> Figures | Refused:  # noqa: ARG002 - the view has it
        """Pass if the switch is not tripped, or the order only reduces a position."""
        switch = view.book.kill_switch
        event = None if switch is None else switch.event
        if event is None:
            return self.code, "not tripped", "not tripped"
        if view.reduces:
            return self.code, "not tripped", "tripped, the order reduces"
        return self.refuses(
            "not tripped",
            "tripped",
            f"the daily loss limit of {format_decimal(event.limit)} was reached at {event.timestamp} "
            f"with a loss of {format_decimal(event.loss)}; until it is reset only reducing orders pass",
        )
