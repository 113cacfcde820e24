"""Every type of order and time in force over the wire: how it is taken, and how it ends."""

from __future__ import annotations

from typing import Any

import ib_insync as ibi
import pytest

STOCK = ibi.Stock("AAA", "SMART", "USD")
FILL = ["11", "5 5 Filled", "3 5 Filled", "5 5 Filled", "3 5 Filled", "59"]
TRIGGER = ["5 5 Submitted", "3 5 Submitted", *FILL]


def order(kind: str, side: str = "BUY", **fields: Any) -> ibi.Order:
    return ibi.Order(action=side, totalQuantity=10, orderType=kind, **fields)


@pytest.mark.parametrize(
    ("wish", "status", "ending"),
    [
        (order("MKT"), "Submitted", FILL),
        (order("LMT", lmtPrice=200), "Submitted", FILL),
        (order("STP", auxPrice=100.5), "PreSubmitted trigger", TRIGGER),
        (order("STP LMT", auxPrice=100.5, lmtPrice=103), "PreSubmitted trigger", TRIGGER),
        (order("MIT", "SELL", auxPrice=100.5), "PreSubmitted trigger", TRIGGER),
        (order("LIT", "SELL", auxPrice=100.5, lmtPrice=100), "PreSubmitted trigger", TRIGGER),
        (order("TRAIL", "SELL", auxPrice=1, trailStopPrice=100.5), "PreSubmitted trigger", TRIGGER),
        (
            order("TRAIL LIMIT", "SELL", auxPrice=1, trailStopPrice=100.5, lmtPriceOffset=2),
            "PreSubmitted trigger",
            TRIGGER,
        ),
        (order("MKT", tif="IOC"), "Submitted", FILL),
        (order("LMT", lmtPrice=200, tif="FOK"), "Submitted", FILL),
        (order("LMT", lmtPrice=200, allOrNone=True), "Submitted", FILL),
        (order("LMT", lmtPrice=50, tif="IOC"), "Submitted", ["3 5 Cancelled", "4 5 202"]),
        (order("LMT", lmtPrice=50, tif="FOK"), "Submitted", ["3 5 Cancelled", "4 5 202"]),
        (
            order("LMT", lmtPrice=50, tif="GTD", goodTillDate="20180102-14:31:30"),
            "Submitted",
            ["3 5 Cancelled", "4 5 202"],
        ),
    ],
)
async def test_an_order_is_taken_and_ends_as_its_type_says(
    floor: Any, placed: Any, step: Any, told: Any, kinds: Any, wish: ibi.Order, status: str, ending: list[str]
) -> None:
    async with floor() as open_floor:
        client = await open_floor.client()
        await step(client)
        client.send(*placed(STOCK, wish, order_id=5))
        heard = await told(client)
        assert kinds(heard) == [f"5 5 {status.split(maxsplit=1)[0]}", f"3 5 {status}"]
        assert wish.orderType in heard[0]
        assert (wish.tif or "DAY") in heard[0]
        later: list[str] = []
        for _ in range(3):
            later += kinds(await step(client))
        assert later == ending


@pytest.mark.parametrize(
    ("wish", "ending"),
    [
        (order("MOC"), FILL),
        (order("LOC", lmtPrice=200), FILL),
        (order("LOC", lmtPrice=50), ["3 5 Cancelled", "4 5 202"]),
        (order("MKT", tif="OPG"), FILL),
        (order("LMT", lmtPrice=50, tif="OPG"), ["3 5 Cancelled", "4 5 202"]),
        (order("STP", "SELL", auxPrice=50), ["3 5 Cancelled", "4 5 202"]),
    ],
)
async def test_an_order_for_a_moment_of_the_day_waits_for_it(
    floor: Any, bars: Any, placed: Any, step: Any, told: Any, kinds: Any, wish: ibi.Order, ending: list[str]
) -> None:
    async with floor(bars=bars) as open_floor:
        client = await open_floor.client()
        await step(client)
        await step(client)  # the close of the first day
        client.send(*placed(STOCK, wish, order_id=5))
        heard = kinds(await told(client))
        assert "4 5 399" in heard
        assert heard[0 if wish.orderType != "MKT" else 1] == "5 5 PreSubmitted"
        assert kinds(await step(client)) == ending


async def test_a_global_cancel_ends_families_once(floor: Any, placed: Any, told: Any, kinds: Any) -> None:
    async with floor() as open_floor:
        client = await open_floor.client()
        client.send(*placed(STOCK, ibi.LimitOrder("BUY", 10, 90, transmit=False), order_id=1))
        child = ibi.LimitOrder("SELL", 10, 120, parentId=1)
        client.send(*placed(STOCK, child, order_id=2))
        await told(client)
        client.send(58, 1)
        assert kinds(await told(client)) == [
            "3 1 PendingCancel",
            "3 1 Cancelled",
            "4 1 202",
            "3 2 Cancelled",
            "4 2 202",
        ]
