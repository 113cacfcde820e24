"""What is written to the socket about orders: at once, below the pace that TWS allows, or not at all.

The client library keeps what is above the pace in a queue, and a lost connection empties that queue. So an
order never goes behind it: where there is no room in this second nothing is sent, and the caller is told.
Some messages of every second are kept for cancels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import ib_insync

from execution.errors import NotConnectedError, PacingError
from execution.ibkr.order_text import OrderTexts

MOST_A_SECOND = 49
"""TWS takes 50 messages a second."""
KEPT_FOR_CANCELS = 3
"""Messages of every second that only cancels may use."""
_BETWEEN_NOTES = 1.0
_NEXT_ID_REQUEST = b"8\x001\x001\x00"


class Lane:
    """Writes orders, cancels and heartbeats of one session.

    Parameters
    ----------
    client
        The client library's connection.
    is_open
        Whether there is a session.
    note
        Takes what concerns orders for the record: a kind of event and its facts.

    Attributes
    ----------
    beats
        Heartbeats sent.
    """

    def __init__(
        self,
        client: ib_insync.Client,
        is_open: Callable[[], bool],
        note: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._client = client
        if client.MaxRequests:
            client.MaxRequests = MOST_A_SECOND
        self._is_open = is_open
        self._note = note
        self._texts = OrderTexts(client.serverVersion)
        self._refused = 0
        self._noted: float | None = None
        self.beats = 0

    def require(self, *, reserve: int = KEPT_FOR_CANCELS, messages: int = 1) -> None:
        """Raise unless messages would leave at once; see `IBSession.require_open_lane`."""
        if not self._is_open():
            raise NotConnectedError("there is no session with the broker; nothing was sent")
        client = self._client
        if not client.MaxRequests:
            return
        now = asyncio.get_running_loop().time()
        recent = sum(1 for sent in client._timeQ if now - sent <= client.RequestsInterval)
        if client._msgQ or recent > client.MaxRequests - reserve - messages:
            self._refuse(now, recent)

    def _refuse(self, now: float, recent: int) -> None:
        self._refused += 1
        if self._noted is None or now - self._noted >= _BETWEEN_NOTES:  # a caller may try in a tight loop
            self._note("api_paced", {"refused": self._refused, "messages_within_a_second": recent})
            self._noted, self._refused = now, 0
        raise PacingError(
            f"{recent} messages went out within a second, TWS takes 50; nothing was sent, try again"
        )

    def place(self, order_id: int, contract: ib_insync.Contract, order: ib_insync.Order) -> None:
        """Write an order, or a change of one."""
        self._client.updateReqId(order_id + 1)
        # Not through the library's own book of orders: it asserts on what it believes to have ended, after
        # the message was written.
        self._send(self._texts.text(order_id, contract, order).encode())

    def cancel(self, order_id: int) -> None:
        """Ask for the cancellation of one of this client's orders."""
        try:
            self.require(reserve=0)
        except NotConnectedError as error:  # a full lane is one, too
            self._note("api_cancel", {"order_id": order_id, "written": False, "error": str(error)})
            raise
        self._client.cancelOrder(order_id, "")
        self._note("api_cancel", {"order_id": order_id, "written": True})

    def beat(self) -> None:
        """Ask for the next valid order id, ahead of a queue; it counts in the pace."""
        self._send(_NEXT_ID_REQUEST)
        self.beats += 1

    def _send(self, message: bytes) -> None:
        """Write a message ahead of a queue; it counts in the pace, where one is kept."""
        client = self._client
        client.conn.sendMsg(client._prefix(message))
        if client.MaxRequests:
            now, sent = asyncio.get_running_loop().time(), client._timeQ
            while sent and now - sent[0] > client.RequestsInterval:
                sent.popleft()
            sent.append(now)
