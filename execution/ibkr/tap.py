"""What TWS sends in a session, read from the raw fields as it comes.

What concerns orders is read here and does not reach the client library: its own book of orders and fills
would grow by every order of a session, and marks live orders cancelled on many codes. The library decodes
what has too many layouts to read twice: answers to what-ifs, completed orders, contract details.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import fields as fields_of
from typing import Any

import ib_insync
import structlog

from execution.errors import BrokerUnavailableError, ExecutionError
from execution.ibkr import translate
from execution.ibkr.contract_book import ContractBook
from execution.ibkr.handshake import Handshake
from execution.ibkr.keepalive import discard_unsent
from execution.ibkr.requests import Requests
from execution.ibkr.subscriptions import BarSubscriptions
from execution.link.connection_errors import ReadOnlyApiError
from execution.models import Bar
from execution.orders.codes import LINK_RESTORED, READ_ONLY, CodeClass, classify
from execution.orders.evidence import CompletedOrderSeen, ErrorSeen, Evidence, OpenOrderSeen

_MARKET_DATA_LOST = 1101
_NO_SUCH_CONTRACT = 200
_DEFINITIONS = {1100: True, 2110: True, 2157: True, 1101: False, 1102: False, 2158: False}
"""Whether the servers that know contracts are out of reach from a code on."""
_LONGEST_MESSAGE = 300
_MOST_UNREADABLE_NOTED = 20
_OTHERS_COUNT_BELOW = 2**30
_PREFIX = 4
"""Bytes before a message that say how long it is."""


class Tap:
    """The inbound half of a session; `IBSession` asks and sends.

    Attributes
    ----------
    undecodable
        Messages that could not be read since the last reconciliation.
    answers
        Answers so far, and rows of answers.
    market_data_lost, bars_missed
        What became of subscriptions while TWS was without the broker.
    api_read_only
        Whether TWS turned out to run with Read-Only API.
    """

    def __init__(
        self,
        *,
        on_evidence: Callable[[Evidence], None],
        on_data: Callable[[], None],
        on_bar: Callable[[Bar], None],
        on_disconnected: Callable[[str], None],
        on_read_only: Callable[[str], None] = lambda _: None,
        on_note: Callable[[str, dict[str, Any]], None] = lambda _kind, _facts: None,
        classify_code: Callable[[int], CodeClass] = classify,
        contracts: ContractBook | None = None,
        throttled: bool = True,
        time_zone: str = "America/New_York",
    ) -> None:
        self._ib = ib_insync.IB()
        client = self._ib.client
        if not throttled:
            client.MaxRequests = 0
        client.decoder.parse = parse_numbers  # type: ignore[method-assign]
        self._interpret = client.decoder.interpret
        client.decoder.interpret = self._on_message  # type: ignore[method-assign]
        self._on_data = on_data
        client.conn.hasData -= client._onSocketHasData
        client.conn.hasData += self._take_packet
        self._on_evidence = on_evidence
        self._on_disconnected = on_disconnected
        self._on_read_only = on_read_only
        self._note = on_note
        self._classify = classify_code
        self._contracts = contracts or ContractBook()
        # eventkit keeps handlers weakly: hold it here
        self._disconnect_handler = self._disconnected
        client.apiEnd += self._disconnect_handler
        self._handshake = Handshake(client)
        self._requests = Requests(lambda: self.is_open, self._give_up, on_note)
        self._subscriptions = BarSubscriptions(client, self._requests, on_bar, time_zone)
        self._time_zone = time_zone
        self._what_ifs: set[int] = set()
        self._margins: dict[int, ib_insync.OrderState] = {}
        self._details: dict[int, list[Any]] = {}
        self._unknown: dict[int, str] = {}
        self._definitions_down = False
        self._completed: list[CompletedOrderSeen] = []
        self._row = ""
        self._hear_the_library()
        self._log = structlog.get_logger("ibkr")
        self.undecodable = 0
        self.market_data_lost = False
        self.bars_missed = False
        self.messages_received = 0
        self.messages_unreadable = 0
        self.answers = 0
        self.api_read_only = False

    def _hear_the_library(self) -> None:
        """Take from the library what it is left to decode."""
        wrapper = self._ib.wrapper
        wrapper.openOrder = self._on_what_if  # type: ignore[method-assign,assignment]
        wrapper.completedOrder = self._on_completed  # type: ignore[method-assign,assignment]
        wrapper.contractDetails = self._on_details  # type: ignore[method-assign,assignment]

    @property
    def is_open(self) -> bool:
        """Whether the handshake is done and the socket stands."""
        client = self._ib.client
        transport = client.conn.transport
        return bool(client._apiReady and transport is not None and not transport.is_closing())

    # -- the end ----------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connection."""
        self._ib.client.apiEnd -= self._disconnect_handler
        self._ib.disconnect()
        self._requests.fail_all("the connection was closed")

    def abort(self, why: str) -> None:
        """End a connection that is dead: nothing that it has not delivered is to arrive later."""
        transport = self._ib.client.conn.transport
        discard_unsent(transport)
        self._ib.client.apiEnd -= self._disconnect_handler
        self._ib.disconnect()
        if transport is not None:
            transport.abort()
        self._requests.fail_all(f"the connection was given up ({why})")

    def _give_up(self, late: str) -> None:
        self.abort(late)
        self._on_disconnected(late)

    def _disconnected(self) -> None:
        self._requests.fail_all("the connection was lost")
        self._on_disconnected("connection lost")

    # -- messages ---------------------------------------------------------------------------------------

    def _take_packet(self, data: bytes) -> None:
        """Take the messages of a packet; the library parts them while it logs in, and to log them."""
        client = self._ib.client
        if client._apiReady and not client._logger.isEnabledFor(logging.DEBUG):
            self._take_messages(data)
        else:
            piece = data
            while not self._handed_on(piece):
                piece = b""  # the library has put that message behind it: go on with the next
        self._on_data()

    def _take_messages(self, data: bytes) -> None:
        """Part a packet into messages as the library does, which copies all that is left for each of them."""
        client = self._ib.client
        held, start = client._data + data, 0
        client._numBytesRecv += len(data)
        try:
            while (first := start + _PREFIX) < len(held):
                after = first + int.from_bytes(held[start:first], "big")
                if after > len(held):
                    break
                start = after
                client._numMsgRecv += 1
                fields = held[first:after].decode(errors="backslashreplace").split("\0")
                fields.pop()
                self._take_message(fields)
                if client.connState == client.DISCONNECTED:
                    break
        finally:  # a message that something stumbled over is behind it
            if client.connState != client.DISCONNECTED:
                client._data = held[start:]

    def _take_message(self, fields: list[str]) -> None:
        try:
            self._on_message(fields)
        except (IndexError, ValueError) as error:
            self._take_unreadable(fields, str(error))

    def _handed_on(self, piece: bytes) -> bool:
        """Hand bytes to the library; return False if it stumbled over a message before it is logged in."""
        try:
            self._ib.client._onSocketHasData(piece)
        except (IndexError, ValueError) as error:
            self._take_unreadable([], str(error))
            return False
        return True

    def _on_message(self, fields: list[str]) -> None:
        self.messages_received += 1
        if not (fields and fields[0].isdecimal()):
            self._take_unreadable(fields, "it does not begin with the number of a message")
            return
        what_if = False
        try:
            what_if = bool(self._what_ifs) and fields[0] == "5" and int(fields[1]) in self._what_ifs
            evidence = None if what_if else translate.to_evidence(fields, self._time_zone, self._contracts)
            if evidence is not None:
                self._on_evidence(evidence)
            self._collect(fields, evidence)
        except (ExecutionError, IndexError, ValueError) as error:
            self._take_unreadable(fields, str(error))
        if fields[0] == _COMPLETED:
            self._take_completed(fields)
        elif what_if or fields[0] not in _READ_HERE:
            self._interpret(fields)

    def _take_completed(self, fields: list[str]) -> None:
        """Decode a row of a listing; most rows were in the listing before."""
        self._row = "\0".join((str(self._ib.client.serverVersion()), *fields))
        known = _known_rows.get(self._row)
        if known is not None:
            self._completed.append(known.seen_in(self._contracts))
            return
        before = len(self._completed)
        self._interpret(fields)
        if len(self._completed) == before:
            # An order of ours that is missing in the listing is in doubt: this need not close the way.
            self._note_unreadable(fields, "a completed order that the client library cannot decode")

    def _take_unreadable(self, fields: list[str], why: str) -> None:
        # The gateway is not trusted: what cannot be read may have been a fill, so it is never skipped
        # silently. The count makes the next reconciliation mandatory.
        self.undecodable += 1
        self._note_unreadable(fields, why)

    def _note_unreadable(self, fields: list[str], why: str) -> None:
        self.messages_unreadable += 1
        raw = str(fields)[:_LONGEST_MESSAGE]
        self._log.error("message from the broker cannot be read", error=why, message=raw)
        if self.messages_unreadable <= _MOST_UNREADABLE_NOTED:
            self._note("api_unreadable", {"error": why[:_LONGEST_MESSAGE], "raw": raw})

    def _collect(self, fields: list[str], evidence: Evidence | None) -> None:
        kind = fields[0]
        if kind == "90":
            self._subscriptions.update(fields)
        elif kind in _ROWS:
            self.answers += self._requests.row(_ROWS[kind].format(*fields), fields)
        elif kind in _COUNTED:
            self.answers += self._requests.row(_COUNTED[kind])
        elif kind == _EXECUTION:
            self.answers += self._requests.row(f"executions {fields[1]}")
        elif kind == _NEXT_ID:
            self.answers += 1
        if kind in _ENDS:
            self.answers += 1
            self._requests.finish(_ENDS[kind].format(*fields))
        if isinstance(evidence, ErrorSeen):
            self._take_error(evidence)
        elif isinstance(evidence, OpenOrderSeen):
            self._keep_clear_of(evidence)

    def _keep_clear_of(self, seen: OpenOrderSeen) -> None:
        """Give the id that any client's order has to no request or order of ours.

        Another client that counts from far above must not use up the ids that are left.
        """
        if seen.client_id == self._ib.wrapper.clientId or seen.order_id < _OTHERS_COUNT_BELOW:
            self._ib.client.updateReqId(seen.order_id + 1)

    def _take_error(self, seen: ErrorSeen) -> None:
        informs = self._classify(seen.code) is CodeClass.INFORMATIONAL
        if self._handshake.is_under_way and not informs:
            self._handshake.take(seen)
        if seen.code in LINK_RESTORED:
            # Even where subscriptions go on (1102), what came meanwhile did not come here.
            self.bars_missed = True
        if seen.code == _MARKET_DATA_LOST:
            self.market_data_lost = True
            self._subscriptions.lost()
        if seen.code in _DEFINITIONS:
            self._definitions_down = _DEFINITIONS[seen.code]
        if seen.code == READ_ONLY and "read-only" in seen.text.lower():
            self._take_read_only(seen)
        if seen.request_id > 0 and not informs:
            self.answers += 1
            self._fail_request(seen)

    def _fail_request(self, seen: ErrorSeen) -> None:
        if seen.code == _NO_SUCH_CONTRACT and seen.request_id in self._details:
            if not self._definitions_down:
                self._unknown[seen.request_id] = f"{seen.code}: {seen.text}"
            self._requests.finish(f"contract details {seen.request_id}")
        for name in _NUMBERED:
            key = f"{name} {seen.request_id}"
            problem = f"{key}: the broker answered {seen.code}: {seen.text}"
            self._requests.fail(key, BrokerUnavailableError(problem))

    def _take_read_only(self, seen: ErrorSeen) -> None:
        self._requests.fail(
            "open orders",
            ReadOnlyApiError(
                f"open orders: TWS runs with Read-Only API ({seen.code}: {seen.text}); untick it in the "
                "API settings of TWS"
            ),
        )
        if not self.api_read_only:
            self.api_read_only = True
            self._on_read_only(seen.text)

    # -- what the library decodes -------------------------------------------------------------------------

    def _on_what_if(self, order_id: int, _contract: Any, _order: Any, state: Any) -> None:
        """Take the answer to a what-if; the first of two may have no figures."""
        if order_id in self._what_ifs and translate.has_margins(state):
            self._margins[order_id] = state
            self._requests.finish(f"what if {order_id}")

    def _on_completed(self, contract: Any, order: Any, state: Any) -> None:
        completed = translate.Completed.of(contract, order, state)
        if len(_known_rows) >= _MOST_KNOWN:
            _known_rows.clear()
        _known_rows[self._row] = completed
        self._completed.append(completed.seen_in(self._contracts))

    def _on_details(self, number: int, details: Any) -> None:
        found = self._details.get(number)
        if found is not None:
            found.append(details)
            self.answers += self._requests.row(f"contract details {number}")


_MOST_KNOWN = 4096
_known_rows: dict[str, translate.Completed] = {}
"""Completed orders by the message that they were decoded from, of any session: listings repeat."""

_NUMBERS: dict[type[Any], list[tuple[str, type[Any], Any]]] = {}
"""Fields of the library's records that are no texts, with type and default."""


def parse_numbers(record: Any) -> None:
    """Turn the texts of a decoded record into numbers, as the library does but at a third of its cost.

    The library looks up the fields of the class for each record; a listing has thousands.
    """
    numbers = _NUMBERS.get(type(record))
    if numbers is None:
        known = [(field.name, type(field.default), field.default) for field in fields_of(record)]
        numbers = _NUMBERS[type(record)] = [one for one in known if one[1] in (int, float, bool)]
    for name, kind, default in numbers:
        text = getattr(record, name)
        if text:
            setattr(record, name, bool(int(text)) if kind is bool else kind(text))
        else:
            setattr(record, name, default)


_COMPLETED = "101"
_NEXT_ID = "9"
_EXECUTION = "11"
_NUMBERED = ("executions", "account summary", "bars", "what if", "contract details")
_ROWS = {
    "61": "positions",
    "49": "current time",
    "63": "account summary {2}",
    "17": "bars {1}",
    "93": "market rule {1}",
    "7": "portfolio {19}",
}
"""Rows that are kept, by the request they answer."""
_COUNTED = {"5": "open orders", "101": "completed orders"}
"""Rows that are read as they come."""
_ENDS = {
    "53": "open orders",
    "62": "positions",
    "49": "current time",
    "55": "executions {2}",
    "64": "account summary {2}",
    "17": "bars {1}",
    "52": "contract details {2}",
    "93": "market rule {1}",
    "102": "completed orders",
    "54": "portfolio {2}",
}
_READ_HERE = frozenset(
    ("3", "5", "6", "7", "8", "11", "17", "49", "53", "54", "55", "59", "61", "62", "63", "64", "90", "102")
)
"""Messages that the client library is not given."""
