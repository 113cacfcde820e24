"""Errors of the data package: each has a stable code, says the consequence and the next step."""

from __future__ import annotations

from typing import Any


class DataError(Exception):
    """Anything the data package refuses or cannot do; see the subclass for what it means."""

    code = "DATA_ERROR"

    def __init__(self, message: str, **context: Any) -> None:
        super().__init__(message)
        self.context = context


class BarFileError(DataError, ValueError):
    """A file of bars is missing or unsound. Nothing of the folder was used. Correct the named line."""

    code = "BAR_FILE"


class CalendarError(DataError, ValueError):
    """No such trading calendar, or its range is empty. Nothing was loaded. Correct name or dates."""

    code = "CALENDAR"


class CalendarRangeError(CalendarError):
    """The calendar was built for fewer days than were asked about; it does not guess. Widen its range."""

    code = "CALENDAR_RANGE"


class CalendarRecordsError(CalendarError):
    """The exchange's holidays are not recorded for such days. Leave them out, or name another exchange."""

    code = "CALENDAR_RECORDS"


class DatabaseUnavailableError(DataError, ConnectionError):
    """The database cannot be opened or migrated. Orders stay safe in the journal and are projected later.

    Check the URL, the file's folder and permissions, or the server.
    """

    code = "DATABASE_UNAVAILABLE"


class ProjectionError(DataError):
    """An event of the journal cannot be projected. The batch was rolled back, the journal is intact.

    Run ``trade audit verify``; if the chain is sound, report the event's number as a defect. If the journal
    is an older copy, put the newer one back; if that is lost, make the rows anew by `trade db rebuild`.
    """

    code = "PROJECTION"


class ServerNotInstalledError(DataError):
    """A throw-away server was asked for on a machine that has none. Nothing was started.

    Run ``infrastructure/deploy/install-test-servers.sh`` as root.
    """

    code = "SERVER_NOT_INSTALLED"


class BarDataError(DataError, ValueError):
    """Bars offered to a store are unsound. Nothing of them was written. Correct the named row."""

    code = "BAR_DATA"


class BarConflictError(DataError, ValueError):
    """Two values for one bar, learnt at the same moment: nobody can say which is right. Nothing was written.

    Keep one of the two, or write the correction with a later ``known_at``.
    """

    code = "BAR_CONFLICT"


class BarStoreError(DataError, OSError):
    """The store of bars cannot be read or written. A write that failed left everything as it was.

    Free the disk or restore the named file, then run the same command again: it finishes the work.
    """

    code = "BAR_STORE"


class RetentionError(DataError, ValueError):
    """A retention was asked for that the record of trading does not allow. Nothing was removed.

    Keep orders, fills and audit events for at least seven years; name a table and an age.
    """

    code = "RETENTION"


class SchemaError(DataError):
    """The database's tables are not those of this program. Nothing was read or changed.

    Run ``trade db status``; then ``trade db upgrade``, or use the version of the program that made them.
    """

    code = "SCHEMA"


class BackupError(DataError):
    """A backup could not be written, or a restored database is not equal to its backup.

    A half-written backup is removed; a database that was being restored stays empty. Do as the message says.
    """

    code = "BACKUP"


class CorporateActionDataError(DataError, ValueError):
    """Corporate actions are unsound, or a source does not cover what was asked. Nothing of them was used.

    Correct the named line, or name a source that covers the symbol.
    """

    code = "CORPORATE_ACTION_DATA"


class RecordsError(DataError):
    """What was asked of the database's records has no table, column or time of this name. Nothing was read.

    Choose one of those that the message names; ``trade db show`` lists the tables.
    """

    code = "RECORDS"


class ReferenceFileError(DataError, ValueError):
    """A file of contracts or universes is missing or unsound. Nothing of it was written.

    Correct the named line and run the same command again.
    """

    code = "REFERENCE_FILE"


class FundamentalsFileError(DataError, ValueError):
    """A file of fundamentals is missing or unsound. Nothing of it was written. Correct the named line."""

    code = "FUNDAMENTALS_FILE"


class HistoryRefusedError(DataError, ValueError):
    """A source of bars refused one instrument. Nothing of it was stored, the others go on.

    Check symbol, exchange and what the login is entitled to; then pull again.
    """

    code = "HISTORY_REFUSED"


class HistoryUnavailableError(DataError, ConnectionError):
    """A source of bars cannot be reached or does not answer. What came before is stored.

    Check that it runs and run the same command again: it goes on with what is missing.
    """

    code = "HISTORY_UNAVAILABLE"


class DelayedDataError(DataError):
    """The login gets delayed quotes of an instrument or none. Nothing was started or decided.

    Subscribe to the market data at the broker, or set ``data.allow_delayed`` where no orders depend on it.
    """

    code = "DELAYED_DATA"


class SourceNotInstalledError(DataError, ImportError):
    """A source of data needs a package that is not installed. Nothing was asked. Install the named extra."""

    code = "SOURCE_NOT_INSTALLED"
