"""What every connection of one gateway shares: taps on the wire, limits, and a bound on what is logged."""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from backtesting.gateway.wire.gates import NEWEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backtesting.gateway.session import ClientSession

PAGE: Final = 4096
"""Some clients read in blocks of this size and lose a delivery that fills its blocks exactly."""

_log = logging.getLogger(__name__)


class Tamper(Protocol):
    """Stands between a gateway and its connections and may change whatever passes."""

    def on_connected(self, session: ClientSession) -> None:
        """Note a connection."""

    def on_inbound(self, session: ClientSession, payload: bytes) -> Sequence[bytes]:
        """Return what the gateway is to read in place of a frame's payload."""

    def on_outbound(self, session: ClientSession, messages: Sequence[bytes]) -> None:
        """Write what the client is to receive in place of these messages, now or later."""

    def on_closing(self, session: ClientSession) -> bool:
        """Return whether an orderly close may be made now; if not, it is made later by the tamper."""

    def on_lost(self, session: ClientSession) -> None:
        """Forget a connection that is closed."""


class Recorder(Protocol):
    """Keeps what passes on the wire."""

    def received(self, session: ClientSession, payload: bytes) -> None:
        """Keep the payload of a frame from a client."""

    def sent(self, session: ClientSession, data: bytes) -> None:
        """Keep the frames of one write to a client."""

    def closed(self, session: ClientSession) -> None:
        """Keep that a connection has ended."""


class WarningBudget:
    """Logs warnings about a peer up to a number a minute; what is left out is counted and told.

    Parameters
    ----------
    limit
        Warnings about one peer in each minute.
    peers
        Peers remembered; the one longest silent is forgotten first.
    """

    def __init__(self, limit: int = 5, peers: int = 256) -> None:
        self._limit = limit
        self._peers = peers
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self.suppressed = 0
        """Warnings left out so far."""

    def warn(self, peer: str, now: float, text: str, *values: object) -> None:
        """Log a warning about a peer at `now` (seconds) unless it has had its share."""
        since, count = self._seen.pop(peer, (now, 0))
        if now - since >= 60.0:  # noqa: PLR2004  a minute
            if count > self._limit:
                _log.warning("%s: %d further warnings were left out", peer, count - self._limit)
            since, count = now, 0
        count += 1
        self._seen[peer] = (since, count)
        if len(self._seen) > self._peers:
            self._seen.popitem(last=False)
        if count <= self._limit:
            _log.warning(text, *values)
        else:
            self.suppressed += 1


@dataclass(slots=True)
class Line:
    """Taps, limits and counters shared by the connections of one gateway; None as a tap costs nothing."""

    tamper: Tamper | None = None
    recorder: Recorder | None = None
    newest_version: int = NEWEST
    avoid_full_pages: bool = True
    """Never write a whole number of pages; see `PAGE`."""
    opened: int = 0
    """Connections so far."""
    warnings: WarningBudget = field(default_factory=WarningBudget)
