"""What TWS codes mean."""

from __future__ import annotations

from decimal import Decimal

import pytest

from execution.models import OrderRequest, OrderStatus, OrderType, Side
from execution.orders.blotter import Blotter
from execution.orders.codes import LINK_LOST, LINK_RESTORED, CodeClass, CodeTable, classify, read_codes
from execution.orders.entry import Entry
from execution.orders.evidence import ErrorSeen


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (201, CodeClass.REJECTS_NEW),
        (110, CodeClass.REJECTS_NEW),
        (105, CodeClass.MODIFY_REJECTED),
        (161, CodeClass.CANCEL_REJECTED),
        (202, CodeClass.CANCELLED),
        (10349, CodeClass.INFORMATIONAL),
        (399, CodeClass.INFORMATIONAL),
        (2104, CodeClass.INFORMATIONAL),
        (2110, CodeClass.CONNECTIVITY),
        (1100, CodeClass.CONNECTIVITY),
        (100, CodeClass.PACING),
        (2200, CodeClass.UNKNOWN),
        (424242, CodeClass.UNKNOWN),
    ],
)
def test_a_code_has_its_class(code: int, meaning: CodeClass) -> None:
    assert classify(code) is meaning


OF_THREE_DIGITS = (103, 110, 200, 201, 203, 321, 382, 383, 388, 426, 436, 451, 460, 462)
OF_FIVE_DIGITS = (10006, 10043, 10052, 10149, 10187, 10268, 10311, 10318, 10329)
KNOWN = {
    CodeClass.REJECTS_NEW: OF_THREE_DIGITS + OF_FIVE_DIGITS,
    CodeClass.MODIFY_REJECTED: (104, 105, 329),
    CodeClass.CANCEL_REJECTED: (135, 136, 161, 10147, 10148),
    CodeClass.CANCELLED: (202,),
    CodeClass.INFORMATIONAL: (165, 399, 404, 434, 492, 10167, 10349, *range(2100, 2110), *range(2111, 2200)),
    CodeClass.CONNECTIVITY: (326, 502, 503, 504, 507, 509, 512, 1100, 1101, 1102, 1300, 2110),
    CodeClass.PACING: (100,),
    CodeClass.MARKET_DATA: (162, 354, 366, 10197),
}
"""The codes that TWS is known to send about orders, the connection and requests; each has its consequence."""


@pytest.mark.parametrize("meaning", KNOWN)
def test_every_code_that_is_known_has_its_class(meaning: CodeClass) -> None:
    assert {code: classify(code) for code in KNOWN[meaning]} == dict.fromkeys(KNOWN[meaning], meaning)


@pytest.mark.parametrize("code", [*KNOWN[CodeClass.MARKET_DATA], *KNOWN[CodeClass.CONNECTIVITY], 100])
def test_a_code_that_concerns_no_order_moves_none(code: int) -> None:
    blotter = Blotter(client_id=1)
    request = OrderRequest("AAA", Decimal(1), OrderType.MARKET, Side.BUY, client_order_id="o")
    blotter.submitted(Entry(request, 7, 1))
    assert blotter.apply(ErrorSeen(7, code, "told so")) == []
    assert blotter.entries["o"].status is OrderStatus.PENDING


def test_the_table_can_be_replaced() -> None:
    assert Blotter(lambda code: CodeClass.PACING).classify(201) is CodeClass.PACING


def test_a_table_is_taught_at_run_time_and_the_others_are_not() -> None:
    table = CodeTable({424242: CodeClass.PACING})
    assert table.classify(424242) is CodeClass.PACING
    assert table.classify(424243) is CodeClass.UNKNOWN
    table.teach(424243, CodeClass.INFORMATIONAL)
    table.teach(201, CodeClass.UNKNOWN)
    assert [table.classify(code) for code in (424243, 201, 202)] == [
        CodeClass.INFORMATIONAL,
        CodeClass.UNKNOWN,
        CodeClass.CANCELLED,
    ]
    assert classify(201) is CodeClass.REJECTS_NEW
    assert CodeTable().taught == {}
    assert sorted(table.taught) == [201, 424242, 424243]


@pytest.mark.parametrize("code", [0, -1, 1_000_000])
def test_what_can_be_no_code_is_refused(code: int) -> None:
    with pytest.raises(ValueError, match="no code"):
        CodeTable().teach(code, CodeClass.PACING)


def test_codes_are_read_from_text_with_a_remedy_for_what_is_none() -> None:
    assert read_codes(["10349=informational", " 5 = Unknown "]) == {
        10349: CodeClass.INFORMATIONAL,
        5: CodeClass.UNKNOWN,
    }
    for text in ("10349", "x=pacing", "1=nothing", "=pacing", "-1=pacing", "\u0661=pacing"):
        with pytest.raises(ValueError, match="CODE=CLASS"):
            read_codes([text])


def test_broken_farms_say_nothing_about_orders_and_a_lost_link_does() -> None:
    assert {classify(code) for code in (2103, 2104, 2105, 2106, 2107, 2108, 2119, 2157, 2158)} == {
        CodeClass.INFORMATIONAL
    }
    assert {1100, 2110} == LINK_LOST
    assert LINK_RESTORED == {1101: "lost", 1102: "kept"}
