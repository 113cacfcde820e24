"""The text of an order message, as the client library would write it, at a fraction of the time.

The library spells some 130 fields for every order, of which ours differ in twenty. So for each contract it is
let write one order whose twenty fields hold marks; its message is cut at the marks, and each order after that
puts its own values between the pieces. Layout and spelling stay the library's, for the version of the server.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import ib_insync
from ib_insync.util import UNSET_DOUBLE, UNSET_INTEGER

_MARK = "\1"
_ORDER_ID = "orderId"
VARYING = (
    "action",
    "totalQuantity",
    "orderType",
    "lmtPrice",
    "auxPrice",
    "tif",
    "ocaGroup",
    "account",
    "orderRef",
    "transmit",
    "parentId",
    "outsideRth",
    "goodTillDate",
    "ocaType",
    "allOrNone",
    "trailStopPrice",
    "trailingPercent",
    "lmtPriceOffset",
    "whatIf",
)
"""What one of our orders may say for itself; in all else it is like every other."""
PLAIN = ("action", "totalQuantity", "orderType", "lmtPrice", "auxPrice", "tif", "account", "orderRef")
"""What most orders say for themselves."""
_rare_of = attrgetter(*(name for name in VARYING if name not in PLAIN))
_NOTHING_RARE = _rare_of(ib_insync.Order(transmit=True))

_Cut = tuple[list[str], Callable[[object], tuple[Any, ...]]]
"""A message cut at its marks, their names between the pieces; and what goes there, taken from an order."""

_MOST_CUT = 4096
_cuts: dict[tuple[Any, ...], tuple[_Cut, _Cut]] = {}
"""What was cut before, by version and contract: a new session orders the same contracts."""

_key_of = attrgetter(
    "conId",
    "symbol",
    "secType",
    "lastTradeDateOrContractMonth",
    "strike",
    "right",
    "multiplier",
    "exchange",
    "primaryExchange",
    "currency",
    "localSymbol",
    "tradingClass",
)


class OrderTexts:
    """Writes the messages of orders for one version of the server.

    Parameters
    ----------
    version
        Gives the server's version, once it is known.
    """

    def __init__(self, version: Callable[[], int]) -> None:
        self._version = version

    def text(self, order_id: int, contract: ib_insync.Contract, order: ib_insync.Order) -> str:
        """Return the message that places an order, or changes it."""
        key = (self._version(), *_key_of(contract))
        cuts = _cuts.get(key)
        if cuts is None:
            if len(_cuts) >= _MOST_CUT:
                _cuts.clear()
            cuts = _cuts[key] = (self._cut(contract, PLAIN), self._cut(contract, VARYING))
        pieces, values = cuts[_rare_of(order) != _NOTHING_RARE]
        spelt = [value if value.__class__ is str else _spelt(value) for value in values(order)]
        parts = pieces.copy()
        parts[1::2] = [str(order_id), *spelt]
        return "".join(parts)

    def _cut(self, contract: ib_insync.Contract, varying: tuple[str, ...]) -> _Cut:
        marked = ib_insync.Order(**{name: f"{_MARK}{name}{_MARK}" for name in varying})  # type: ignore[arg-type]
        scribe = _Scribe(self._version())
        scribe.write(f"{_MARK}{_ORDER_ID}{_MARK}", contract, marked)
        pieces = scribe.message.split(_MARK)
        names = pieces[1::2]
        if names[0] != _ORDER_ID or sorted(names[1:]) != sorted(varying):
            raise AssertionError(f"the client library writes orders unlike those known: {names}")
        return pieces, attrgetter(*names[1:])


class _Scribe:
    """Stands in for the library's connection: keeps what would be sent."""

    def __init__(self, version: int) -> None:
        self.message = ""
        self._server_version = version

    def write(self, order_id: str, contract: ib_insync.Contract, order: ib_insync.Order) -> None:
        """Let the library write an order."""
        library: Any = ib_insync.Client
        library.placeOrder(self, order_id, contract, order)

    def send(self, *fields: Any) -> None:
        """Let the library spell the fields."""
        library: Any = ib_insync.Client
        library.send(self, *fields)

    def serverVersion(self) -> int:  # noqa: N802  the library's name
        return self._server_version

    def isConnected(self) -> bool:  # noqa: N802  the library's name
        return True

    def sendMsg(self, message: str) -> None:  # noqa: N802  the library's name
        self.message = message


def _spelt(value: Any) -> str:
    if value is True or value is False:
        return "1" if value else "0"
    if value in (UNSET_DOUBLE, UNSET_INTEGER, None):
        return ""
    return "Infinite" if value == math.inf else str(value)
