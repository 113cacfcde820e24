"""What TWS codes mean."""

from __future__ import annotations

import pytest

from execution.orders.blotter import Blotter
from execution.orders.codes import LINK_LOST, LINK_RESTORED, CodeClass, CodeTable, classify, read_codes


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
