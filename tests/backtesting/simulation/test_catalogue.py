"""The catalogue names every fault once, and says how it comes or why it cannot."""

from __future__ import annotations

from backtesting.simulation.catalogue import BY_ID, FAULTS, INJECTED

COUNTS = {"N": 10, "G": 9, "B": 12, "D": 11, "P": 7, "C": 1, "R": 1, "S": 5}


def test_every_fault_of_every_kind_is_there_once() -> None:
    expected = [f"{kind}{number}" for kind, count in COUNTS.items() for number in range(1, count + 1)]
    assert [fault.id for fault in FAULTS] == expected
    assert len(BY_ID) == len(FAULTS)


def test_a_fault_either_comes_or_says_why_it_cannot() -> None:
    for fault in FAULTS:
        assert bool(fault.how) != bool(fault.why_not), fault.id
        assert fault.what
    assert {fault.id for fault in FAULTS if fault.injected} == set(INJECTED)
