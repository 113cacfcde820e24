"""Files of bars read leniently: rows that cannot be read become findings, the others are returned.

`data.files` ends at the first fault, which is right for bars that are to be traded; a check wants to know all
of them. A file it accepts is read by it. Of a CSV file it refuses, the lines that are no bars are taken out
and counted by reason, and what is left goes through the same parser.
"""

from __future__ import annotations

import datetime as dt
import gzip
import re
import zlib
from pathlib import Path
from typing import Final

import numpy as np

from data.bars import RawBars
from data.errors import BarFileError
from data.files.rows import PRICES, parse_rows
from data.quality.finding import Finding, Kind, Severity
from execution.timeframes import Timeframe

_NUMBER: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,10})?", re.ASCII)
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_SHOWN: Final = 5
"""Lines named in one finding; the count says how many there are."""


def read_leniently(path: Path, symbol: str) -> tuple[RawBars | None, list[Finding]]:
    """Read the bars of one file.

    Returns
    -------
    tuple
        The rows that can be read, None if there are none; and a finding for each reason why others cannot.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        return None, [_whole(symbol, f"{path}: cannot be read: {error.strerror}")]
    try:
        return parse_rows(path, content)[0], []
    except BarFileError as error:
        if path.suffix == ".parquet":
            return None, [_whole(symbol, str(error))]
        refusal = error
    try:
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig", "replace")
    except (OSError, EOFError, zlib.error):
        return None, [_whole(symbol, str(refusal))]
    kept, findings = _readable(path, text, symbol)
    if findings and not kept[1:]:
        return None, findings
    plain = path.with_name(f"{symbol}.csv")
    try:
        return parse_rows(plain, "\n".join(kept).encode())[0], findings
    except BarFileError as error:
        reason = str(error).replace(str(plain), str(path)) if findings else str(refusal)
        return None, [*findings, _whole(symbol, reason)]


def timeframe_of(raw: RawBars) -> Timeframe:
    """Return the size of the bars by the most common distance between them."""
    if raw.daily:
        return Timeframe.DAY
    distances = np.diff(np.unique(raw.times))
    if not len(distances):
        return Timeframe.MINUTE
    values, counts = np.unique(distances, return_counts=True)
    return Timeframe.HOUR if values[np.argmax(counts)] >= Timeframe.HOUR.nanos else Timeframe.MINUTE


def _readable(path: Path, text: str, symbol: str) -> tuple[list[str], list[Finding]]:
    """Return the header and the lines that are bars, and a finding for each reason why others are none."""
    kept: list[str] = []
    names: list[str] = []
    faults: dict[str, list[int]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        if not names:
            names = [name.strip() for name in line.split(",")]
            kept.append(line)
            continue
        fault = _fault(names, line.split(","))
        if fault is None:
            kept.append(line)
        else:
            faults.setdefault(fault, []).append(number)
    findings = []
    for fault, lines in faults.items():
        named = ", ".join(map(str, lines[:_SHOWN])) + (", …" if len(lines) > _SHOWN else "")
        rows, at = ("row", "line") if len(lines) == 1 else ("rows", "lines")
        what = f"{len(lines)} {rows} of {path.name} cannot be read: {fault} ({at} {named})"
        remedy = "correct these lines, or take the bars from another source"
        findings.append(
            Finding(Severity.ERROR, Kind.UNREADABLE, symbol, None, None, len(lines), what, remedy)
        )
    return kept, findings


def _fault(names: list[str], fields: list[str]) -> str | None:
    if len(fields) != len(names):
        return f"{len(names)} fields are due"
    for name, value in zip(names, fields, strict=True):
        if name in (*PRICES, "volume") and not _NUMBER.fullmatch(value):
            return f"{name} is no plain decimal number"
        if name == "date" and not _is_date(value):
            return "date is no date such as 2014-06-06"
        if name == "end" and not _is_time(value):
            return "end is no time with its zone such as 2014-06-06T13:31:00Z"
    return None


def _is_date(text: str) -> bool:
    try:
        return _DATE.fullmatch(text) is not None and bool(dt.date.fromisoformat(text))
    except ValueError:
        return False


def _is_time(text: str) -> bool:
    try:
        return _TIME.fullmatch(text) is not None and bool(dt.datetime.fromisoformat(text[:19]))
    except ValueError:
        return False


def _whole(symbol: str, what: str) -> Finding:
    remedy = "fetch the file again, or leave it out"
    return Finding(Severity.ERROR, Kind.UNREADABLE, symbol, None, None, 0, what, remedy)
