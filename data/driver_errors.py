"""What a driver's error means to a person: one line with the remedy instead of a statement and a state."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from alembic.util import CommandError
from sqlalchemy import ExceptionContext
from sqlalchemy.exc import DBAPIError, OperationalError

from data.errors import DatabaseUnavailableError

_STATES = {
    "42P01": "migrate it first: trade db upgrade",
    "42703": "migrate it first: trade db upgrade",
    "53100": "the server's disk is full: free it and run the same command again; nothing was half written",
    "57014": "the server cancelled it: raise this user's statement_timeout, then run the same command again",
    "25006": "the server or this user is read-only: use the primary server and a user that may write",
    "3F000": "no schema of this user's search_path is there: create one or correct search_path",
    "42883": "the server lacks it or search_path hides it: name its schema there too, such as desk, public",
    "55P03": "a refresh of the server's own is under way: run the same command again",
    "42P07": "something else made it: name a database or a schema of this program's own",
    "42501": "this user may not: use the owner of the tables, or grant it (infrastructure/deploy/init.sql)",
}
"""Answers of PostgreSQL that a person can do something about."""

_REASONS = (
    ("not a database|malformed",
     "the file is something else or damaged: move it away and restore a backup; what a run did is in its "
     "journal, too"),
    ("no such table|no such column", "migrate it first: trade db upgrade"),
    ("table .* already exists", _STATES["42P07"]),
    ("disk is full|could not write init file",
     "free the disk and run the same command again; nothing was half written"),
    # What SQLite says where not even its index of the log finds room.
    ("disk I/O error", "the disk is full or failing: free it and run the same command again; "
     "nothing was half written"),
    ("readonly database", "the file or its folder is read-only: give yourself the right to write"),
    ("is locked", "another program holds it: stop that one and try again"),
    ("invalid connection option|invalid .* value", "correct what follows the ? in the URL"),
    ("SSL|certificate", "make sslmode and sslrootcert in the URL fit what the server offers"),
    ("password authentication failed|no password supplied|role .* does not exist",
     "correct the user and the password in the URL; an @ / : or ? within them is written %40 %2F %3A or %3F"),
    ("database .* does not exist", "correct the name at the end of the URL, or make it: CREATE DATABASE"),
    ("no pg_hba.conf entry", "have the server's pg_hba.conf let this user in from this machine"),
    ("resolve host|translate host name", "correct the host in the URL"),
    ("too many clients|connection slots", "end programs that hold connections, or raise max_connections"),
    ("starting up|shutting down|recovery mode", "wait until the server is ready and try again"),
    ("refused|timeout expired|timed out|No route|unreachable",
     "check host and port in the URL, and whether the server runs"),
)  # fmt: skip
"""What drivers say without a state, such as where a connection failed; the first that is found counts."""


_GONE = ("08", "57P", "25P03")
"""States, or their beginnings, after which the server has ended the session."""


def note_lost_connection(context: ExceptionContext) -> None:
    """Have the pool drop a connection whose server is gone, rather than ask it for a rollback.

    The driver takes a connection for lost only once its library has read the end of the stream. Where the
    socket broke before that ("connection socket closed"), or the server has said that it ends the session,
    the pool's rollback would fail, too, and write a traceback to the log. An error without a state came from
    no server: after it nothing is known of what the socket still holds.
    """
    context.is_disconnect = context.is_disconnect or server_is_gone(context.original_exception)


def server_is_gone(error: BaseException) -> bool:
    """Return whether the connection on which this was raised is of no use any more."""
    if not isinstance(error, psycopg.OperationalError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(_GONE)


def _says_something(record: logging.LogRecord) -> bool:
    """Return whether a record of the driver is more than what ensues from an error that is raised anyhow."""
    return not str(record.msg).startswith("error ignored ")


logging.getLogger("psycopg").addFilter(_says_something)


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn what the driver raises within the block into errors that name the remedy.

    Parameters
    ----------
    name
        The database as messages call it, without a password.

    Raises
    ------
    DatabaseUnavailableError
        For whatever a person can do something about; the rest is passed on, being a fault of this program.
    """
    try:
        yield
    except CommandError as error:
        raise DatabaseUnavailableError(
            f"database {name}: {error}; it was made by another version of this program"
        ) from error
    except DBAPIError as error:
        state = str(getattr(error.orig, "sqlstate", None))
        known = state in _STATES
        reason = str(error.orig).splitlines()[0] if str(error.orig) else type(error.orig).__name__
        named = re.search("not a database|image is malformed|invalid connection option", reason)
        if not (known or named or isinstance(error, OperationalError)):
            raise
        raise DatabaseUnavailableError(
            f"database {name}: {reason}; {_STATES.get(state) or _remedy(reason)}"
        ) from error


def _remedy(reason: str) -> str:
    for said, remedy in _REASONS:
        if re.search(said, reason):
            return remedy
    return "check the URL, the folder and its permissions, or whether the server runs"
