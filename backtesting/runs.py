"""Run folders: `runs/<run-id>/` holds everything one run produced, and never changes once the run has ended.

A run is `running` until it is `finished`, `failed` (it ended with an error or a failed verdict) or
`abandoned` (given up without an end). Whether a process works in it now is a different question, answered by
a lock on `run.lock`: a run that is `running` and not locked was interrupted and can be resumed under its id.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backtesting.run_errors import (
    RunExistsError,
    RunImmutableError,
    RunLockedError,
    RunsUnwritableError,
    RunUnreadableError,
)
from backtesting.run_files import acquire, json_text, load, write_whole
from backtesting.run_identity import config_hash, git_sha, plain
from backtesting.run_pruning import PRUNABLE_PROFILES, PruneDecision, prune
from backtesting.run_records import (
    ENDED,
    RESERVED,
    RUN_ID,
    RUNNING,
    RunRecord,
    find,
    find_unfinished,
    latest_finished,
    list_runs,
)
from execution.clocks import utc_ns

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ENDED",
    "PRUNABLE_PROFILES",
    "RUNNING",
    "PruneDecision",
    "RunFolder",
    "RunRecord",
    "config_hash",
    "find",
    "find_unfinished",
    "git_sha",
    "latest_finished",
    "list_runs",
    "plain",
    "prune",
]


class RunFolder:
    """The folder of a run this process works in; it holds the run's lock until `close` or the end.

    Open one with `create` or `resume`, and close it (it is a context manager).
    """

    def __init__(self, path: Path, content: dict[str, Any], lock: int) -> None:
        self.path = path
        self._content = content
        self._lock: int | None = lock

    @classmethod
    def create(cls, root: Path, run_id: str, manifest: Mapping[str, Any], *, now: pd.Timestamp) -> RunFolder:
        """Make the folder of a new run and lock it.

        Parameters
        ----------
        root
            Folder of all runs; made if missing.
        run_id
            1 to 64 letters, digits, ``_ . -``; the folder's name.
        manifest
            What the run is: profile, config hash, git SHA, data hashes and so on. Give it `profile` and
            `config_hash`, which `prune` and `find_unfinished` look at.
        now
            Wall time of the start.

        Raises
        ------
        RunExistsError
            If there is a folder of this id.
        RunsUnwritableError
            If no folder can be made in `root`.
        ValueError
            If the id cannot be a folder's name or the manifest has a reserved key.
        """
        _check_id(run_id)
        utc_ns(now)  # refuses a time without timezone
        taken = [key for key in RESERVED if key in manifest]
        if taken:
            raise ValueError(
                f"manifest: {', '.join(taken)} is written by the run folder itself; leave it out"
            )
        content = {
            "run_id": run_id,
            "state": RUNNING,
            "created": now.isoformat(),
            "ended": None,
            **plain(manifest),
        }
        path = root / run_id
        _make_root(root)
        try:
            path.mkdir()
        except FileExistsError as error:
            raise RunExistsError(
                f"run {run_id}: {path} is there already; resume it or use another id"
            ) from error
        except OSError as error:
            raise _unwritable(root, error) from error
        run = cls(path, content, acquire(path))
        run._save()
        return run

    @classmethod
    def resume(cls, root: Path, run_id: str) -> RunFolder:
        """Take up an interrupted run.

        Raises
        ------
        RunNotFoundError
            If there is no such run.
        RunImmutableError
            If it has ended.
        RunLockedError
            If another process works in it.
        """
        record = find(root, run_id)
        if record.state in ENDED:
            raise RunImmutableError(f"run {run_id} is {record.state} and cannot be resumed; start a new run")
        lock = acquire(record.path)
        try:
            return cls(record.path, load(record.path), lock)
        except RunUnreadableError:
            os.close(lock)
            raise

    @property
    def run_id(self) -> str:
        """Identifier of the run."""
        return self.path.name

    @property
    def state(self) -> str:
        """One of running, finished, failed, abandoned."""
        return str(self._content["state"])

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What the run is, as stated so far."""
        return {key: value for key, value in self._content.items() if key not in RESERVED}

    def file(self, name: str) -> Path:
        """Return the path of a file of the run that is about to be written.

        Raises
        ------
        RunImmutableError
            If the run has ended.
        ValueError
            If the name leads out of the folder.
        """
        self._require_open(name)
        path = self.path / name
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise ValueError(f"{name}: leads out of the run's folder {self.path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write_bytes(self, name: str, content: bytes) -> Path:
        """Write a file that appears whole or not at all; return its path."""
        return write_whole(self.file(name), content)

    def write_text(self, name: str, text: str) -> Path:
        """Write a UTF-8 text file that appears whole or not at all; return its path."""
        return self.write_bytes(name, text.encode())

    def writejson_text(self, name: str, value: Any) -> Path:
        """Write plain values as JSON with sorted keys; decimals become text."""
        return self.write_text(name, json_text(value))

    def write_summary(self, summary: Mapping[str, Any]) -> Path:
        """Write `summary.json`: the run's identity followed by its outcome."""
        return self.writejson_text("summary.json", {**self.manifest, **summary, "run_id": self.run_id})

    def update_manifest(self, **facts: Any) -> None:
        """Add facts that were not known at the start."""
        self._require_open("run.json")
        self._content.update(plain(facts))
        self._save()

    def end(self, state: str, *, now: pd.Timestamp) -> None:
        """End the run: record its state, make every file read-only, let go of the lock.

        Parameters
        ----------
        state
            finished, failed or abandoned.
        now
            Wall time of the end.
        """
        if state not in ENDED:
            raise ValueError(f"state {state!r}: use one of {', '.join(ENDED)}")
        self._require_open("run.json")
        self._content.update(state=state, ended=now.isoformat())
        self._save()
        for path in sorted(self.path.rglob("*")):
            if path.is_file() and not path.is_symlink():
                path.chmod(path.stat().st_mode & 0o444)  # nobody may read more than before
        self.close()

    def close(self) -> None:
        """Let go of the lock; an unfinished run can then be resumed."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _require_open(self, name: str) -> None:
        if self.state in ENDED:
            raise RunImmutableError(
                f"{self.path / name}: run {self.run_id} is {self.state}; start a new run instead"
            )
        if self._lock is None:
            raise RunLockedError(
                f"{self.path / name}: this process has let go of run {self.run_id}; resume it first"
            )

    def _save(self) -> None:
        write_whole(self.path / "run.json", json_text(self._content).encode())


def _make_root(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(root, error) from error


def _unwritable(root: Path, error: OSError) -> RunsUnwritableError:
    return RunsUnwritableError(
        f"runs folder {root} cannot be written: {error.strerror}; name another with --runs-dir"
    )


def _check_id(run_id: str) -> None:
    if not RUN_ID.fullmatch(run_id):
        raise ValueError(
            f"run id {run_id[:70]!r}: use 1 to 64 letters, digits, _ . - and begin with one of the first two"
        )
