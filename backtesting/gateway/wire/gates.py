"""Server versions: what is negotiated, and from which version a field exists.

Version 158 is never answered: TWS sends an order's duration from 158 on, the common clients read it from 159.
"""

from __future__ import annotations

import re

from backtesting.gateway.errors import VersionError

OLDEST = 157
NEWEST = 176
NEWEST_SERVED = 178  # for tests; see GatewayConfig.newest_version
SKIPPED = frozenset((158,))
SERVED = tuple(version for version in range(OLDEST, NEWEST_SERVED + 1) if version not in SKIPPED)
"""Every version that can be negotiated."""

ORDER_DURATION_SENT = 158  # a client of at least this version writes it into placeOrder
ORDER_DURATION = 159
POST_TO_ATS = 160
AUTO_CANCEL_PARENT = 162
ONE_SIZE_INCREMENT = 163
SIZE_INCREMENTS = 164
REJECT_JSON = 166
MANUAL_ORDER_TIME = 169
PEGGED_BEST = 170
WSH_FILTERS = 171
WSH_DATES = 173
ISSUER_ID = 176
FA_PROFILE_GONE = 177
PRICE_REVISION = 178

_RANGE = re.compile(rb"v(\d{1,4})(?:\.\.(\d{1,4}))?(?: [ -~]{0,200})?")


def negotiate(offer: bytes, newest: int = NEWEST) -> int:
    """Choose the protocol version for a client's offer, such as ``v157..176 +PACEAPI``.

    Parameters
    ----------
    offer
        What the client sent after its greeting.
    newest
        The highest version to answer.

    Raises
    ------
    VersionError
        If the offer cannot be read or holds no version that is served.
    """
    found = _RANGE.fullmatch(offer)
    if not found:
        raise VersionError(f"handshake {offer[:40]!r} is no version range")
    low = int(found[1])
    version = min(newest, NEWEST_SERVED, int(found[2] or found[1]))
    while version in SKIPPED:
        version -= 1
    if version < max(low, OLDEST):
        raise VersionError(f"no common protocol version: the client offers {offer[:40].decode()}")
    return version
