"""Deleting old runs of demos and backtests; those of paper and live trading stay."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backtesting.run_errors import RunLockedError
from backtesting.run_files import acquire
from backtesting.run_records import RunRecord, list_runs

if TYPE_CHECKING:
    import pandas as pd

PRUNABLE_PROFILES = ("demo", "backtest")
"""Profiles whose runs may be deleted; the records of paper and live trading never are."""


@dataclass(frozen=True, slots=True)
class PruneDecision:
    """What `prune` does with one run, and why."""

    run: RunRecord
    delete: bool
    reason: str


def prune(
    root: Path,
    *,
    now: pd.Timestamp,
    keep_last: int | None = None,
    older_than: pd.Timedelta | None = None,
    dry_run: bool = False,
) -> list[PruneDecision]:
    """Delete old runs of demos and backtests; return what was decided for every run, oldest first.

    A run is deleted if it is not among the `keep_last` newest prunable ones and is older than `older_than`
    (each bound counts only if it is given; with neither nothing is deleted). Runs of paper and live, of an
    unknown profile, unreadable ones and those a process works in are always kept.

    Parameters
    ----------
    root
        Folder of all runs.
    now
        Wall time that ages are counted from.
    keep_last
        Number of newest demo and backtest runs to keep.
    older_than
        Age below which a run is kept.
    dry_run
        Decide and delete nothing.
    """
    runs = list_runs(root)
    candidates = [run for run in runs if run.profile in PRUNABLE_PROFILES and run.created is not None]
    newest = (
        {run.run_id for run in candidates[max(0, len(candidates) - keep_last) :]}
        if keep_last is not None
        else set()
    )
    decisions = []
    for run in runs:
        reason = _why_kept(
            run, now, newest, older_than, bounded=keep_last is not None or older_than is not None
        )
        if reason is None and not dry_run and not _delete(run.path):
            reason = "a process works in it"
        decisions.append(PruneDecision(run, reason is None, reason or "old enough"))
    if not dry_run and root.is_dir():
        for leftover in root.glob(".pruned-*"):
            shutil.rmtree(leftover)
    return decisions


def _why_kept(
    run: RunRecord, now: pd.Timestamp, newest: set[str], older_than: pd.Timedelta | None, *, bounded: bool
) -> str | None:
    if run.created is None:
        return "its run.json cannot be read"
    if run.profile not in PRUNABLE_PROFILES:
        return f"runs of profile {run.profile or 'unknown'} are never deleted"
    if run.locked:
        return "a process works in it"
    if not bounded:
        return "no bound was given: use keep-last or older-than"
    if run.run_id in newest:
        return "among the newest"
    if older_than is not None and now - run.created < older_than:
        return "not old enough"
    return None


def _delete(path: Path) -> bool:
    try:
        lock = acquire(path)
    except RunLockedError:
        return False
    # Renamed first, so that a half-deleted folder never reads as a run.
    grave = path.with_name(f".pruned-{path.name}")
    path.rename(grave)
    os.close(lock)
    shutil.rmtree(grave)
    return True
