"""Run folders: `runs/<run-id>/` holds everything one run produced, and never changes once the run has ended.

A run is `running` until it is `finished`, `failed` (it ended with an error or a failed verdict) or
`abandoned` (given up without an end). Whether a process works in it now is a different question, answered by
a lock on `run.lock`: a run that is `running` and not locked was interrupted and can be resumed under its id.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from backtesting.run_errors import (
    RunExistsError,
    RunImmutableError,
    RunLockedError,
    RunNotFoundError,
    RunsUnwritableError,
    RunUnreadableError,
)
from execution.clocks import utc_ns
from execution.numbers import format_decimal

RUNNING = "running"
ENDED = ("finished", "failed", "abandoned")
PRUNABLE_PROFILES = ("demo", "backtest")
"""Profiles whose runs may be deleted; the records of paper and live trading never are."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_LOCK_ATTEMPTS = 3  # a list of runs holds each lock for an instant to see whether it is free
_RESERVED = ("run_id", "state", "created", "ended")


def plain(value: Any) -> Any:
    """Turn a value into what JSON can hold exactly: decimals as text, times in ISO form, tuples as lists.

    Raises
    ------
    TypeError
        If it holds something else, for example a set, whose order is not its own.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Decimal):
        return format_decimal(value)
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no canonical form: {value!r}")


def config_hash(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a configuration's canonical JSON (sorted keys, no spaces, ASCII)."""
    text = json.dumps(plain(config), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def git_sha(root: Path) -> str:
    """Return the commit checked out at `root`, with "+dirty" if files differ; "unknown" outside git."""
    try:
        head = _git(root, "rev-parse", "--verify", "HEAD")
        changes = _git(root, "status", "--porcelain")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{head}+dirty" if changes else head


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What `run.json` says of a run, and whether a process works in it now.

    `state` is "unreadable" where `run.json` is missing or damaged; `manifest` is then empty.
    """

    run_id: str
    path: Path
    state: str
    created: pd.Timestamp | None
    ended: pd.Timestamp | None
    locked: bool
    manifest: Mapping[str, Any]

    @property
    def profile(self) -> str:
        """Profile of the run; empty if it states none."""
        return str(self.manifest.get("profile", ""))


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
        taken = [key for key in _RESERVED if key in manifest]
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
        run = cls(path, content, _acquire(path))
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
        lock = _acquire(record.path)
        try:
            return cls(record.path, _load(record.path), lock)
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
        return {key: value for key, value in self._content.items() if key not in _RESERVED}

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
        return _write(self.file(name), content)

    def write_text(self, name: str, text: str) -> Path:
        """Write a UTF-8 text file that appears whole or not at all; return its path."""
        return self.write_bytes(name, text.encode())

    def write_json(self, name: str, value: Any) -> Path:
        """Write plain values as JSON with sorted keys; decimals become text."""
        return self.write_text(name, _json(value))

    def write_summary(self, summary: Mapping[str, Any]) -> Path:
        """Write `summary.json`: the run's identity followed by its outcome."""
        return self.write_json("summary.json", {**self.manifest, **summary, "run_id": self.run_id})

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
        _write(self.path / "run.json", _json(self._content).encode())


def list_runs(root: Path) -> list[RunRecord]:
    """Return every run below `root`, oldest first; folders without a readable `run.json` come first."""
    if not root.is_dir():
        return []
    folders = [path for path in root.iterdir() if path.is_dir() and _RUN_ID.fullmatch(path.name)]
    return sorted(map(_record, folders), key=lambda run: (str(run.created or ""), run.run_id))


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
    return max(runs, key=lambda run: (str(run.ended or ""), run.run_id), default=None)


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
        lock = _acquire(path)
    except RunLockedError:
        return False
    # Renamed first, so that a half-deleted folder never reads as a run.
    grave = path.with_name(f".pruned-{path.name}")
    path.rename(grave)
    os.close(lock)
    shutil.rmtree(grave)
    return True


def _record(path: Path) -> RunRecord:
    locked = _is_locked(path)
    try:
        content = _load(path)
        created, ended = (_moment(content[key]) for key in ("created", "ended"))
    except (RunUnreadableError, KeyError, ValueError):
        return RunRecord(path.name, path, "unreadable", None, None, locked, {})
    manifest = {key: value for key, value in content.items() if key not in _RESERVED}
    return RunRecord(path.name, path, str(content.get("state")), created, ended, locked, manifest)


def _moment(text: str | None) -> pd.Timestamp | None:
    if text is None:
        return None
    moment = pd.Timestamp(text)
    utc_ns(moment)
    return moment


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads((path / "run.json").read_bytes())
    except (OSError, ValueError) as error:
        raise RunUnreadableError(f"{path / 'run.json'}: {error}; restore it or remove the folder") from error
    if not isinstance(content, dict):
        raise RunUnreadableError(
            f"{path / 'run.json'}: is not a JSON object; restore it or remove the folder"
        )
    return content


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
    if not _RUN_ID.fullmatch(run_id):
        raise ValueError(
            f"run id {run_id[:70]!r}: use 1 to 64 letters, digits, _ . - and begin with one of the first two"
        )


def _acquire(path: Path) -> int:
    lock = os.open(path / "run.lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    for attempt in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if attempt + 1 == _LOCK_ATTEMPTS:
                os.close(lock)
                raise RunLockedError(
                    f"run {path.name}: another process works in {path}; wait for it or stop it"
                ) from error
            time.sleep(0.02)
        else:
            break
    return lock


def _is_locked(path: Path) -> bool:
    with _probe(path / "run.lock") as lock:
        if lock is None:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


@contextmanager
def _probe(path: Path) -> Iterator[int | None]:
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield lock
    finally:
        os.close(lock)


def _json(value: Any) -> str:
    return json.dumps(plain(value), sort_keys=True, indent=2, ensure_ascii=False) + "\n"


def _write(path: Path, content: bytes) -> Path:
    partial = path.with_name(f".{path.name}.tmp")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return path
