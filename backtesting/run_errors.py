"""Errors of run folders, ledgers and reports: each has a stable code and says the next step."""

from __future__ import annotations


class RunError(Exception):
    """Something about a run's folder or files cannot be done; see the subclass for what it means."""

    code = "RUN_ERROR"


class RunExistsError(RunError, FileExistsError):
    """A run of this id has a folder already. Nothing was changed. Use another id, or resume that run."""

    code = "RUN_EXISTS"


class RunsUnwritableError(RunError, OSError):
    """The folder of runs cannot be written. Nothing was started. Name another with ``--runs-dir``."""

    code = "RUNS_UNWRITABLE"


class RunNotFoundError(RunError, LookupError):
    """No run of this id is on disk. ``trade run list`` shows the runs that are."""

    code = "RUN_NOT_FOUND"


class RunImmutableError(RunError, PermissionError):
    """The run has ended and its files are evidence. Nothing was written. Start a new run instead."""

    code = "RUN_IMMUTABLE"


class RunLockedError(RunError, BlockingIOError):
    """A process is working in this run. Nothing was changed. Wait for it, or stop it (``trade stop``)."""

    code = "RUN_LOCKED"


class RunUnreadableError(RunError, ValueError):
    """The run's ``run.json`` is damaged; the run is left alone. Restore it from a copy or delete the run."""

    code = "RUN_UNREADABLE"


class LedgerContentError(RunError, ValueError):
    """Orders, fills or snapshots make no ledger. Nothing was written. Look at the record that is named."""

    code = "LEDGER_CONTENT"
