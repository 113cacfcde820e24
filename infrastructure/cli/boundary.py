"""The outermost boundary of the command line: errors become one line on stderr and an exit status."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Sequence
from typing import Any

from infrastructure.cli.streams import READER_LEFT, drop_unwritable, silence

OK, FAILED, USAGE, CONNECTION, HALTED, INTERNAL = 0, 1, 2, 3, 4, 70
INTERRUPTED = 130

_FAILED = frozenset({"JOURNAL_CORRUPT"})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_HALTED = frozenset({"RISK_REFUSED", "LIVE_INTERLOCK", "ORDER_IN_DOUBT", "KILL_SWITCH", "BROKER_REJECTED"})


def status_of(error: BaseException) -> int:
    """Return the exit status of an error.

    An error's own ``exit_status`` wins; else its ``code`` and its built-in base decide. Without a ``code`` it
    is a fault of this program, unless the system refused a file that it names.
    """
    code = getattr(error, "code", None)
    if not isinstance(code, str):
        return USAGE if isinstance(error, OSError) and _remedy(error) else INTERNAL
    own = getattr(error, "exit_status", None)
    if isinstance(own, int):
        return own
    if code in _FAILED:
        return FAILED
    if code in _HALTED:
        return HALTED
    return CONNECTION if isinstance(error, ConnectionError | TimeoutError) else USAGE


def guard(app: Callable[..., Any], arguments: Sequence[str]) -> int:
    """Run the application and return its exit status.

    Parameters
    ----------
    app
        The typer application.
    arguments
        The command line without the program's name; ``--debug`` may stand anywhere in it.
    """
    debug = "--debug" in arguments
    rest = [argument for argument in arguments if argument != "--debug"]
    try:
        app(args=rest, prog_name="trade")
    except SystemExit as leave:
        # Typer and rich make statuses of their own of these, and typer says nothing of an interruption.
        if _came_of(leave, BrokenPipeError):
            silence(sys.stdout)
            return READER_LEFT
        if _came_of(leave, KeyboardInterrupt):
            print("interrupted", file=sys.stderr)
            return INTERRUPTED
        return leave.code if isinstance(leave.code, int) else (OK if leave.code is None else FAILED)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  # the outermost boundary: nothing may reach the user as a trace
        status = status_of(error)
        if debug:
            import traceback

            print(_masked("".join(traceback.format_exception(error))), file=sys.stderr)
        print(_masked(_line(error, status)), file=sys.stderr)
        if isinstance(error, OSError) and error.errno in _FULL:
            drop_unwritable(sys.stdout)
        return status
    return OK


def _came_of(error: BaseException, kind: type[BaseException]) -> bool:
    """Return whether an error was raised while one of a kind was handled."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, kind):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def _remedy(error: OSError) -> str:
    """Return what a person can do about a refusal of the operating system, empty if that is not known."""
    if error.errno in _FULL:
        return "free space, or write elsewhere"
    if error.filename is None:
        return ""
    if isinstance(error, PermissionError):
        return "check its owner and permissions, or name another"
    return "check the path"


def _line(error: Exception, status: int) -> str:
    said = " ".join(str(error).split())
    if isinstance(error, OSError) and status == USAGE and not hasattr(error, "code"):
        place = f"{error.filename}: " if error.filename is not None else ""
        return f"error: {place}{error.strerror}; {_remedy(error)}"
    if status != INTERNAL:
        return f"error: {said}"
    return f"error: internal: {type(error).__name__}: {said} (run again with --debug and report the trace)"


def _masked(text: str) -> str:
    secrets = sys.modules.get("infrastructure.secrets")  # not imported: then no secret was ever read
    return text if secrets is None else str(secrets.REDACTOR.mask(text))
