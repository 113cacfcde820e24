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


class DatabaseUnavailableError(DataError, ConnectionError):
    """The database cannot be opened or migrated. Orders stay safe in the journal and are projected later.

    Check the URL, the file's folder and permissions, or the server.
    """

    code = "DATABASE_UNAVAILABLE"


class ProjectionError(DataError):
    """An event of the journal cannot be projected. The batch was rolled back, the journal is intact.

    Run ``trade audit verify``; if the chain is sound, report the event's number as a defect.
    """

    code = "PROJECTION"
