"""Which faults a seed has: a subset that is the same for the same seed."""

from __future__ import annotations

import pytest

from backtesting.simulation.options import ONCE, PER_MINUTE, PER_OPPORTUNITY, Options

ALL = {**PER_OPPORTUNITY, **PER_MINUTE, **ONCE}


def test_options_are_the_same_for_the_same_seed() -> None:
    assert Options.draw(11) == Options.draw(11)


def test_every_fault_is_drawn_somewhere_and_none_everywhere() -> None:
    drawn = [Options.draw(seed).rates for seed in range(300)]
    for fault in ALL:
        assert 0 < sum(fault in rates for rates in drawn) < 150
    assert any(not rates for rates in drawn)


def test_rates_are_those_of_the_table() -> None:
    for seed in range(100):
        for fault, rate in Options.draw(seed).rates.items():
            assert rate in ALL[fault]


def test_a_chosen_fault_comes_at_its_highest_rate() -> None:
    assert Options.only("N1").rates == {"N1": max(PER_OPPORTUNITY["N1"])}
    with pytest.raises(KeyError):
        Options.only("N99")
