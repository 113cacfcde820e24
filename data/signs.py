"""Whose price may be zero or negative: one rule for whatever reads, stores or checks bars by symbol.

1. A contract says so itself: `execution.models.Instrument.is_signed`. Who has the contract hands its symbol
   on as one of `declared`.
2. Of bars in files there is only a symbol. That of a future is written by this house as its underlying and
   its expiry, ``CL 20200519``: such a name says enough. Any other has to be declared (``--futures``).
"""

from __future__ import annotations

import re
from collections.abc import Collection

_FUTURE = re.compile(r"[A-Z0-9][A-Z0-9.-]* [0-9]{8}", re.ASCII)


def is_signed(symbol: str, declared: Collection[str] = ()) -> bool:
    """Return whether the price of a symbol may be zero or negative.

    Parameters
    ----------
    symbol
        This house's name of a contract.
    declared
        Symbols that somebody says it of.
    """
    return symbol in declared or _FUTURE.fullmatch(symbol) is not None
