"""Checks of bars against the calendar, the corporate actions and themselves; nothing is mended here.

A gap stays a gap: a proposal says where the missing bars could come from, or which action would explain a
jump, and leaves it to a person.
"""

from data.quality.check import Thresholds, check
from data.quality.finding import Finding, Kind, Severity
from data.quality.rows import Rows

__all__ = ["Finding", "Kind", "Rows", "Severity", "Thresholds", "check"]
