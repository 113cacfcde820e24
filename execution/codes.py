"""What a TWS error code means for the order it names.

An error is evidence, not a state: ib_insync marks a live order cancelled on more than twenty codes. Here a
code is classified first, and only a code that rejects an order nobody has acknowledged ends it.
"""

from __future__ import annotations

import enum


class CodeClass(enum.StrEnum):
    """Consequence of a code."""

    REJECTS_NEW = "rejects-new"
    MODIFY_REJECTED = "modify-rejected"
    CANCEL_REJECTED = "cancel-rejected"
    CANCELLED = "cancelled"
    INFORMATIONAL = "informational"
    CONNECTIVITY = "connectivity"
    PACING = "pacing"
    UNKNOWN = "unknown"


_TABLE: dict[int, CodeClass] = {
    **dict.fromkeys(
        (103, 110, 200, 201, 203, 321, 382, 383, 388, 426, 436, 443, 451, 460, 462, 10006, 10043, 10052),
        CodeClass.REJECTS_NEW,
    ),
    **dict.fromkeys(
        (10149, 10187, 10243, 10249, 10250, 10255, 10268, 10311, 10318, 10329), CodeClass.REJECTS_NEW
    ),
    **dict.fromkeys((104, 105, 329), CodeClass.MODIFY_REJECTED),
    **dict.fromkeys((135, 136, 161, 10147, 10148), CodeClass.CANCEL_REJECTED),
    202: CodeClass.CANCELLED,
    **dict.fromkeys((165, 399, 404, 434, 492, 10167, 10349), CodeClass.INFORMATIONAL),
    **dict.fromkeys((326, 502, 503, 504, 507, 1100, 1101, 1102, 1300, 2110), CodeClass.CONNECTIVITY),
    100: CodeClass.PACING,
}


def classify(code: int) -> CodeClass:
    """Return the class of a code; one that is not in the table is UNKNOWN and must be asked about."""
    if 2100 <= code < 2200 and code != 2110:  # noqa: PLR2004 - TWS's range of warnings
        return CodeClass.INFORMATIONAL
    return _TABLE.get(code, CodeClass.UNKNOWN)
