"""What a TWS error code means for the order it names.

An error is evidence, not a state: ib_insync marks a live order cancelled on more than twenty codes. Here a
code is classified first, and only a code that rejects an order nobody has acknowledged ends it. A code that
is in no table is `UNKNOWN`: the order it names becomes UNKNOWN and the broker is asked about it. A table can
be taught codes at run time; what a journal is folded with has to know the codes it was written with.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from types import MappingProxyType


class CodeClass(enum.StrEnum):
    """Consequence of a code."""

    REJECTS_NEW = "rejects-new"
    MODIFY_REJECTED = "modify-rejected"
    CANCEL_REJECTED = "cancel-rejected"
    CANCELLED = "cancelled"
    INFORMATIONAL = "informational"
    CONNECTIVITY = "connectivity"
    PACING = "pacing"
    MARKET_DATA = "market-data"
    UNKNOWN = "unknown"


LINK_LOST = frozenset((1100, 2110))
"""TWS has lost the broker: what it tells of orders may be out of date, and what it is sent may be lost."""

LINK_RESTORED = {1101: "lost", 1102: "kept"}
"""TWS has the broker again, and what became of market data subscriptions meanwhile."""

CLIENT_ID_IN_USE = 326
PORT_RESET = 1300
"""TWS drops this connection: there will be one on another port, or on this one again."""
READ_ONLY = 321
"""With the words ``read-only`` in its text; 321 says other things too."""

_TABLE: Mapping[int, CodeClass] = MappingProxyType(
    {
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
        **dict.fromkeys(
            (326, 502, 503, 504, 507, 509, 512, 1100, 1101, 1102, 1300, 2110), CodeClass.CONNECTIVITY
        ),
        100: CodeClass.PACING,
        **dict.fromkeys((162, 354, 366, 10197), CodeClass.MARKET_DATA),  # they end a request, and no order
    }
)


class CodeTable:
    """The classes of codes; it can be taught more while it is in use.

    Parameters
    ----------
    more
        Classes that are added to the known ones, or replace them.
    """

    def __init__(self, more: Mapping[int, CodeClass] | None = None) -> None:
        self._taught: dict[int, CodeClass] = {}
        for code, meaning in (more or {}).items():
            self.teach(code, meaning)

    def teach(self, code: int, meaning: CodeClass) -> None:
        """Class a code from now on; raise ValueError for what can be no code of TWS."""
        if not 0 < code < 1_000_000:  # noqa: PLR2004 - TWS's codes have up to five digits
            raise ValueError(f"{code} is no code of TWS")
        self._taught[code] = CodeClass(meaning)

    def classify(self, code: int) -> CodeClass:
        """Return the class of a code; one that is not in the table is UNKNOWN and must be asked about."""
        taught = self._taught.get(code)
        return classify(code) if taught is None else taught

    @property
    def taught(self) -> dict[int, CodeClass]:
        """What was added to the known codes or replaced in them."""
        return dict(self._taught)


def classify(code: int) -> CodeClass:
    """Return the class of a code as this version knows it."""
    if 2100 <= code < 2200 and code != 2110:  # noqa: PLR2004 - TWS's range of warnings
        return CodeClass.INFORMATIONAL
    return _TABLE.get(code, CodeClass.UNKNOWN)


def read_codes(texts: Iterable[str]) -> dict[int, CodeClass]:
    """Read ``CODE=CLASS`` texts, such as ``10349=informational``; raise ValueError with the remedy."""
    table = CodeTable()
    for text in texts:
        number, _, name = text.partition("=")
        number, name = number.strip(), name.strip().lower()
        if not (number.isascii() and number.isdecimal() and name in set(CodeClass)):
            raise ValueError(f"{text!r}: write CODE=CLASS, the class one of {', '.join(CodeClass)}")
        table.teach(int(number[:9]), CodeClass(name))
    return table.taught
