"""What is known of the runs in a folder: a record of each, found by id, by configuration or by its end."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtesting.run_errors import RunNotFoundError, RunUnreadableError
from backtesting.run_files import is_locked, load

if TYPE_CHECKING:
    import pandas as pd
else:
    from execution.lazily import pd

RUNNING = "running"
ENDED = ("finished", "failed", "abandoned")
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
RESERVED = ("run_id", "state", "created", "ended")
"""What the run's folder writes into `run.json` itself."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What `run.json` says of a run, and whether a process works in it now.

    The texts are the moments `created` and `ended` in ISO form. `state` is "unreadable" where `run.json` is
    missing or damaged; `manifest` is then empty.
    """

    run_id: str
    path: Path
    state: str
    created_text: str | None
    ended_text: str | None
    locked: bool
    manifest: Mapping[str, Any]

    @property
    def created(self) -> pd.Timestamp | None:
        """When it began; None where it cannot be read."""
        return None if self.created_text is None else pd.Timestamp(self.created_text)

    @property
    def ended(self) -> pd.Timestamp | None:
        """When it ended; None if it has not."""
        return None if self.ended_text is None else pd.Timestamp(self.ended_text)

    @property
    def profile(self) -> str:
        """Profile of the run; empty if it states none."""
        return str(self.manifest.get("profile", ""))


def list_runs(root: Path) -> list[RunRecord]:
    """Return every run below `root`, oldest first; folders without a readable `run.json` come first."""
    if not root.is_dir():
        return []
    folders = [path for path in root.iterdir() if path.is_dir() and RUN_ID.fullmatch(path.name)]
    return sorted(map(_record, folders), key=lambda run: (run.created_text or "", run.run_id))


def find(root: Path, run_id: str) -> RunRecord:
    """Return one run by its id, or by the beginning of it if that is unambiguous.

    Raises
    ------
    RunNotFoundError
        If no run, or more than one, answers to it.
    """
    known = [run for run in list_runs(root) if run.run_id.startswith(run_id)]
    exact = [run for run in known if run.run_id == run_id]
    if len(exact or known) != 1:
        found = "no run" if not known else f"{len(known)} runs"
        raise RunNotFoundError(f"run {run_id}: {found} of this id in {root}; see `trade run list`")
    return (exact or known)[0]


def find_unfinished(root: Path, config_hash: str) -> RunRecord | None:
    """Return the newest interrupted run of this configuration in which no process works, or None."""
    runs = [
        run
        for run in list_runs(root)
        if run.state == RUNNING and not run.locked and run.manifest.get("config_hash") == config_hash
    ]
    return runs[-1] if runs else None


def latest_finished(root: Path, *, profiles: Sequence[str] | None = None) -> RunRecord | None:
    """Return the run that finished last (of the given profiles), or None."""
    runs = [
        run
        for run in list_runs(root)
        if run.state == "finished" and (profiles is None or run.profile in profiles)
    ]
    return max(runs, key=lambda run: (run.ended_text or "", run.run_id), default=None)


def _record(path: Path) -> RunRecord:
    locked = is_locked(path)
    try:
        content = load(path)
        created, ended = (_checked(content[key]) for key in ("created", "ended"))
    except (RunUnreadableError, KeyError, TypeError, ValueError):
        return RunRecord(path.name, path, "unreadable", None, None, locked, {})
    manifest = {key: value for key, value in content.items() if key not in RESERVED}
    return RunRecord(path.name, path, str(content.get("state")), created, ended, locked, manifest)


def _checked(text: str | None) -> str | None:
    if text is not None and dt.datetime.fromisoformat(text).tzinfo is None:
        raise ValueError(f"{text} has no timezone")
    return text
