"""What the library is left to decode: its numbers are read as it reads them, only quicker."""

from __future__ import annotations

import copy

import ib_insync
import pytest
from ib_insync.decoder import Decoder

from execution.ibkr.tap import parse_numbers


@pytest.mark.parametrize("record", [ib_insync.Order(), ib_insync.OrderState(), ib_insync.Contract()])
@pytest.mark.parametrize("text", ["", "1", "0"])
def test_numbers_are_read_as_the_library_reads_them(record: object, text: str) -> None:
    ours, theirs = copy.copy(record), copy.copy(record)
    for told in (ours, theirs):
        for name, value in vars(told).items():
            if isinstance(value, int | float):
                setattr(told, name, text)
    parse_numbers(ours)
    Decoder(None, 176).parse(theirs)  # type: ignore[arg-type]  # nothing is passed on
    assert vars(ours) == vars(theirs)
    assert [type(value) for value in vars(ours).values()] == [type(value) for value in vars(theirs).values()]


def test_what_is_no_number_is_an_error_and_not_a_zero() -> None:
    order = ib_insync.Order()
    order.totalQuantity = "ten"  # type: ignore[assignment]  # as it comes from the wire
    with pytest.raises(ValueError, match="ten"):
        parse_numbers(order)
