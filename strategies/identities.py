"""What orders and signals of a strategy are called: a function of the bar that they are decided on.

A step that runs twice makes the same names, so it sends nothing twice.
"""

from __future__ import annotations

import re
from hashlib import sha256

from execution.clocks import timestamp
from execution.vocabulary import LONGEST_REFERENCE

_DIGEST = 4
_LONGEST_STRATEGY = 20
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9]+")


def symbol_in_ids(symbol: str) -> str:
    """Return a symbol as it is spelled in order ids."""
    return _NOT_IN_IDS.sub("-", symbol)[:12]


def order_identity(strategy: str, symbol: str, end_ns: int, count: int) -> str:
    """Return the client order id of a strategy's `count`-th order on the bar that ends at `end_ns`.

    The symbol is shortened by `symbol_in_ids`; the count has to run over all symbols that look alike there.
    Where it would be longer than `LONGEST_REFERENCE`, the strategy goes by its beginning and a digest.
    """
    identity = unshortened_identity(strategy, symbol, end_ns, count)
    too_long = len(identity) - LONGEST_REFERENCE
    if too_long <= 0:
        return identity
    digest = "." + sha256(strategy.encode()).hexdigest()[:_DIGEST]
    named = strategy[:_LONGEST_STRATEGY]
    return named[: max(0, len(named) - too_long - len(digest))] + digest + identity[len(named) :]


def unshortened_identity(strategy: str, symbol: str, end_ns: int, count: int) -> str:
    """Return the id that an order had when references could be longer."""
    return f"{_of_bar(strategy, symbol, end_ns)}-{count}"


def signal_identity(strategy: str, symbol: str, end_ns: int, count: int) -> str:
    """Return the id of a strategy's `count`-th signal on a bar; see `order_identity`."""
    return f"{_of_bar(strategy, symbol, end_ns)}-s{count}"


def _of_bar(strategy: str, symbol: str, end_ns: int) -> str:
    return f"{strategy[:_LONGEST_STRATEGY]}-{symbol_in_ids(symbol)}-{timestamp(end_ns):%Y%m%dT%H%M%SZ}"
