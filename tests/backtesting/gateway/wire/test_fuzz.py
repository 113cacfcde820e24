"""Spoilt messages and noise: whatever comes in, it is read, refused, or ends the connection.

`FUZZ_INPUTS` sets how many inputs are tried; each is a function of its number, so that a failing one is
repeated by its number alone.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import ib_insync as ibi
import pytest

from backtesting.gateway.errors import FrameError, RequestRefusedError, VersionError
from backtesting.gateway.wire.codec import split
from backtesting.gateway.wire.frames import GREETING, FrameReader, frame
from backtesting.gateway.wire.gates import negotiate
from backtesting.gateway.wire.replies import error
from backtesting.gateway.wire.requests import decode, request_id_of

INPUTS = int(os.environ.get("FUZZ_INPUTS", "5000"))
VERSIONS = (157, 176, 178)
LONGEST_ANSWER = 400
"""Bytes: what a client sent is not sent back to it at length."""

STOCK = ibi.Stock("AAA", "SMART", "USD")
BAG = ibi.Bag(symbol="AAA", comboLegs=[ibi.ComboLeg(conId=1, ratio=1, action="BUY", exchange="SMART")])
GARBAGE = (
    *(b"", b"\0", b"\xff\xfe", "\u0661\u4e2d".encode(), b"NaN", b"-NaN", b"Infinity", b"1e400", b"1e999"),
    *(b"-1", b"0", b"1", b"2147483648", b"9" * 400, b"1.7976931348623157E308", b"1" * 19, b"1_0", b" 1"),
    *(
        b"BAG",
        b"OPT",
        b"IBKRATS",
        b"PEG BEST",
        b"PEG MID",
        b"PEG BENCH",
        b"Infinite",
        b"a" * 5000,
        b"\x1b[2J",
    ),
)


def _full_order() -> ibi.Order:
    return ibi.Order(
        action="BUY",
        totalQuantity=1,
        orderType="LMT",
        lmtPrice=1.5,
        hedgeType="D",
        hedgeParam="1",
        scalePriceIncrement=0.5,
        deltaNeutralOrderType="MKT",
        algoStrategy="Twap",
        algoParams=[ibi.TagValue("a", "b")],
        conditions=[ibi.PriceCondition(price=3.0), ibi.TimeCondition(time="x")],
    )


REQUESTS: tuple[Callable[[Any], None], ...] = (
    lambda c: c.placeOrder(7, STOCK, ibi.LimitOrder("BUY", 1, 2.5)),
    lambda c: c.placeOrder(7, STOCK, _full_order()),
    lambda c: c.placeOrder(7, BAG, ibi.MarketOrder("BUY", 1)),
    lambda c: c.startApi(),
    lambda c: c.cancelOrder(5, ""),
    lambda c: c.reqMktData(7, BAG, "", False, False, []),
    lambda c: c.reqContractDetails(7, STOCK),
    lambda c: c.reqHistoricalData(7, BAG, "", "1 Y", "1 day", "TRADES", True, 2, True, []),
    lambda c: c.reqRealTimeBars(7, STOCK, 5, "TRADES", True, []),
    lambda c: c.reqExecutions(6, ibi.ExecutionFilter()),
    lambda c: c.reqHeadTimeStamp(7, STOCK, "TRADES", True, 1),
    lambda c: c.reqAccountUpdates(True, "DU1"),
    lambda c: c.reqAccountSummary(10, "All", "a,b"),
    lambda c: c.reqAccountUpdatesMulti(9, "DU1", "", False),
    lambda c: c.reqPositionsMulti(9, "DU1", ""),
    lambda c: c.reqPnLSingle(4, "DU1", "", 77),
    lambda c: c.reqSecDefOptParams(4, "AAA", "", "STK", 77),
    lambda c: c.reqMatchingSymbols(4, "AA"),
    lambda c: c.reqMarketRule(26),
    lambda c: c.reqIds(1),
    lambda c: c.reqCurrentTime(),
    lambda c: c.reqAutoOpenOrders(True),
    lambda c: c.reqCompletedOrders(True),
    lambda c: c.setServerLogLevel(5),
    lambda c: c.reqMktDepth(8, STOCK, 5, True, []),
    lambda c: c.reqScannerSubscription(8, ibi.ScannerSubscription(), [], []),
    lambda c: c.reqWshEventData(8, ibi.WshEventData()),
    lambda c: c.replaceFA(8, 1, "<a/>"),
    lambda c: c.reqFamilyCodes(),
)


@pytest.fixture(scope="module")
def seeds(asked: Callable[..., list[list[str]]]) -> dict[int, list[bytes]]:
    """Real messages of every kind, by server version."""
    return {
        version: ["\0".join(fields).encode() + b"\0" for send in REQUESTS for fields in asked(version, send)]
        for version in VERSIONS
    }


def _spoilt(payload: bytes, chance: random.Random) -> bytes:
    """Return a message with one to three faults."""
    for _ in range(chance.randint(1, 3)):
        fields = payload.split(b"\0")
        place = chance.randrange(len(fields))
        kind = chance.randrange(7)
        if kind == 0:
            fields[place] = chance.choice(GARBAGE)
        elif kind == 1:
            del fields[place]
        elif kind == 2:
            fields.insert(place, fields[place])
        elif kind == 3:
            other = chance.randrange(len(fields))
            fields[place], fields[other] = fields[other], fields[place]
        payload = b"\0".join(fields)
        if kind == 4 and payload:
            spot = chance.randrange(len(payload))
            payload = payload[:spot] + bytes([payload[spot] ^ 1 << chance.randrange(8)]) + payload[spot + 1 :]
        elif kind == 5:
            payload = payload[: chance.randrange(len(payload) + 1)]
        elif kind == 6:
            payload += chance.randbytes(chance.randrange(9))
    return payload


def _offer(chance: random.Random) -> bytes:
    whole = b"v157..%d" % chance.choice(VERSIONS)
    return whole if chance.random() < 0.9 else _spoilt(whole, chance) or b"?"


def _stream(number: int, seeds: dict[int, list[bytes]]) -> tuple[bytes, list[int]]:
    """Return the bytes a client sends and the places where its segments end."""
    chance = random.Random(number)
    if not number % 10:
        stream = (GREETING if number % 20 else b"") + chance.randbytes(chance.randrange(1, 80))
    else:
        version = chance.choice(VERSIONS)
        payload = _spoilt(chance.choice(seeds[version]), chance)
        stream = GREETING + frame(_offer(chance)) + (frame(payload) if payload else b"")
        if not number % 7:
            spot = chance.randrange(len(stream))
            stream = stream[:spot] + bytes([chance.randrange(256)]) + stream[spot + 1 :]
    return stream, sorted(chance.randrange(len(stream) + 1) for _ in range(chance.randrange(3)))


def _serve(stream: bytes, cuts: list[int]) -> str:
    """Do with the bytes what a session does, and say how it ended."""
    reader, version, outcome = FrameReader(), 0, "nothing"
    start = 0
    try:
        for end in (*cuts, len(stream)):
            for payload in reader.feed(stream[start:end]):
                if not version:
                    version = negotiate(payload, newest=178)
                    continue
                outcome = _answer(payload, version)
            start = end
    except (FrameError, VersionError):
        return "cut off"
    return outcome


def _answer(payload: bytes, version: int) -> str:
    fields: list[str] = []
    try:
        fields = split(payload)
        decode(fields, version)
    except RequestRefusedError as refusal:
        told = error(version, request_id_of(fields) if fields else -1, refusal.number, refusal.text)
        if len(told) > LONGEST_ANSWER or len(split(told[4:])) != 5 + (version >= 166):
            raise ValueError(f"this is no answer: {told!r}") from refusal
        return f"refused {refusal.number}"
    return "read"


def test_spoilt_messages_are_read_refused_or_end_the_connection(seeds: dict[int, list[bytes]]) -> None:
    outcomes: dict[str, int] = {}
    for number in range(INPUTS):
        stream, cuts = _stream(number, seeds)
        try:
            outcome = _serve(stream, cuts)
        except Exception as error:
            error.add_note(f"input {number}, cut at {cuts}: {stream.hex()}")
            raise
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert {"read", "refused 320", "cut off"} <= set(outcomes)
