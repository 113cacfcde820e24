"""Columns of a file of bars, parsed strictly: a number is a plain decimal, a time names its zone.

Every fault is a `BarFileError` that names the place of the first row that has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.bars import FloatArray, Int64Array
from data.errors import BarFileError

Place: TypeAlias = Callable[[int], str]
"""Names the place of a row for messages."""

_NUMBER = r"^-?[0-9]{1,15}(\.[0-9]{1,10})?$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_LOCAL = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
_ZONED = _LOCAL + r"(Z|[+-][0-9]{2}:[0-9]{2})$"


def floats(column: pa.ChunkedArray, name: str, where: Place) -> FloatArray:
    """Return a column of numbers; text must spell plain decimals."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        _require(column, _NUMBER, where, name, "is not a plain decimal number such as 101.25")
    try:
        numbers: FloatArray = pc.cast(column, pa.float64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise BarFileError(f"{where(0)}: column {name!r} has type {column.type}; store numbers") from error
    return np.array(numbers, dtype=np.float64)


def dates(column: pa.ChunkedArray, where: Place, date_format: str | None) -> Int64Array:
    """Return dates as days since the epoch; `date_format` says how text spells them, None for 2014-06-06."""
    if date_format is not None:
        column = pc.strptime(column, format=date_format, unit="s", error_is_null=True)
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        _require(column, _DATE, where, "date", "is not a date such as 2014-06-06")
    if pa.types.is_timestamp(column.type):
        whole = pc.equal(pc.floor_temporal(column, unit="day"), column)
        if column.type.tz is not None or not pc.all(whole).as_py():
            raise BarFileError(f"{where(0)}: column 'date' holds times; store dates, or bar ends as 'end'")
    days = _cast(column, pa.date32(), where, "date", "is not a date such as 2014-06-06")
    return np.asarray(days.cast(pa.int32()).to_numpy(), dtype=np.int64)


def ends(column: pa.ChunkedArray, where: Place) -> Int64Array:
    """Return a column of moments as UTC nanoseconds; each must name its zone."""
    remedy = "has no timezone; write UTC such as 2014-06-06T13:31:00Z"
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        raise BarFileError(f"{where(0)}: column 'end' {remedy}")
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        _require(column, _LOCAL, where, "end", "is not a time such as 2014-06-06T13:31:00Z")
        _require(column, _ZONED, where, "end", remedy)
        _require_one_way_of_zones(column, where)
    ends = _cast(
        column, pa.timestamp("ns", "UTC"), where, "end", "is not a time such as 2014-06-06T13:31:00Z"
    )
    return np.asarray(ends.cast(pa.int64()).to_numpy(), dtype=np.int64)


def _require_one_way_of_zones(column: pa.ChunkedArray, where: Place) -> None:
    """Refuse a file in which some times are in UTC and others are not: it was put together from two.

    Offsets alone may differ: those of a city do, twice a year.
    """
    utc = pc.ends_with(column, "Z").to_numpy()
    other = ~pc.match_substring_regex(column, r"(Z|[+-]00:00)$").to_numpy()
    if utc.any() and other.any():
        one, two = int(np.argmax(utc)), int(np.argmax(other))
        raise BarFileError(
            f"{where(two)}: end {str(column[two].as_py())!r} is in another time zone than "
            f"{str(column[one].as_py())!r}; write all of them in UTC"
        )


def _require(column: pa.ChunkedArray, pattern: str, where: Place, name: str, fault: str) -> None:
    fits = pc.fill_null(pc.match_substring_regex(column, pattern), fill_value=False).to_numpy()
    if not fits.all():
        i = int(np.argmin(fits))
        raise BarFileError(f"{where(i)}: {name} {str(column[i].as_py())[:40]!r} {fault}")


def _cast(column: pa.ChunkedArray, kind: pa.DataType, where: Place, name: str, fault: str) -> pa.ChunkedArray:
    try:
        result = pc.cast(column, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        for i in range(len(column)):
            try:
                pc.cast(column[i], kind)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise BarFileError(f"{where(i)}: {name} {str(column[i].as_py())[:40]!r} {fault}") from error
        raise
    if result.null_count:
        i = int(np.argmax(pc.is_null(result).to_numpy()))
        raise BarFileError(f"{where(i)}: {name} is empty; correct or remove the row")
    return result
