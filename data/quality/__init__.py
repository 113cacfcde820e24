"""Checks of bars against the calendar, the corporate actions and themselves; nothing is mended here.

A gap stays a gap: a proposal says where the missing bars could come from, or which action would explain a
jump, and leaves it to a person.
"""

from data.quality.check import Thresholds, check
from data.quality.finding import Finding, Kind, Severity
from data.quality.proposals import Proposals, PullRange, proposals
from data.quality.reading import read_leniently
from data.quality.rows import Rows
from data.quality.sources import Against, Checked, CheckPlan, plan_folder, plan_store

__all__ = [
    "Against",
    "CheckPlan",
    "Checked",
    "Finding",
    "Kind",
    "Proposals",
    "PullRange",
    "Rows",
    "Severity",
    "Thresholds",
    "check",
    "plan_folder",
    "plan_store",
    "proposals",
    "read_leniently",
]
