"""What TWS codes mean."""

from __future__ import annotations

import pytest

from execution.blotter import Blotter
from execution.codes import CodeClass, classify


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
