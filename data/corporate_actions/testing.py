"""The contract of a `CorporateActionSource`, as tests that an author runs over his own.

    class TestMySource(ActionSourceContract):
        def make(self, actions):
            return MySource(...)

pytest collects the tests of the class. They put three actions of one stock behind the source, and of another
the knowledge that it had none.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from data.corporate_actions.action import ActionKind, CorporateAction
from data.corporate_actions.source import CorporateActionSource
from data.errors import CorporateActionDataError

_FIRST, _SECOND, _THIRD = dt.date(2018, 3, 1), dt.date(2018, 6, 4), dt.date(2019, 1, 3)
_DAY = dt.timedelta(days=1)
_EVER = dt.date(1990, 1, 1), dt.date(2024, 1, 1)
SAMPLE = (
    CorporateAction("AAA", _FIRST, ActionKind.DIVIDEND, Decimal("0.5")),
    CorporateAction("AAA", _SECOND, ActionKind.SPLIT, Fraction(4)),
    CorporateAction("AAA", _THIRD, ActionKind.RENAME, new_symbol="BBB"),
)
"""A dividend in shares of its day, a split and a change of ticker, by date."""


class ActionSourceContract(ABC):
    """What every source of corporate actions keeps; subclass it and give `make`."""

    kinds: Collection[ActionKind] = tuple(ActionKind)
    """Kinds that the source knows of; it is given no others."""
    covers_everything = False
    """Whether the source states of every symbol that what it does not list did not happen."""

    @abstractmethod
    def make(self, actions: Mapping[str, Sequence[CorporateAction]]) -> CorporateActionSource:
        """Return the source, with these actions behind it; of a symbol with none it knows that."""

    def _set_up(self) -> tuple[CorporateActionSource, list[CorporateAction]]:
        known = [action for action in SAMPLE if action.kind in self.kinds]
        return self.make({"AAA": known, "CCC": ()}), known

    def test_all_actions_come_by_date_with_their_values(self) -> None:
        """Kind, ex date, value and new name are those of the source; a split's ratio is exact."""
        source, known = self._set_up()
        found = source.actions("AAA", *_EVER)
        _require(_told(found) == _told(known), f"{_told(found)} was told, {_told(known)} was due")
        _require(all(one.symbol == "AAA" for one in found), "an action of another symbol was told")

    def test_both_ends_of_a_range_belong_to_it(self) -> None:
        """An action on the first or the last date is told, one a day outside is not."""
        source, known = self._set_up()
        for action in known:
            day = action.ex_date
            _require(_told(source.actions("AAA", day, day)) == _told([action]), f"{day} alone: not told")
            others = [one for one in known if one.ex_date > day]
            found = source.actions("AAA", day + _DAY, _EVER[1])
            _require(_told(found) == _told(others), f"after {day}: not exactly what follows")
            before = source.actions("AAA", _EVER[0], day - _DAY)
            _require(len(before) + len(others) + 1 == len(known), f"before {day}: not exactly what precedes")

    def test_none_is_an_answer_and_unknown_is_a_refusal(self) -> None:
        """A symbol that is covered and had none gives an empty answer, one that is not covered an error."""
        source, _ = self._set_up()
        _require(source.actions("CCC", *_EVER) == (), "a symbol without actions had some")
        try:
            found = source.actions("ZZZ", *_EVER)
        except CorporateActionDataError as error:
            _require("ZZZ" in str(error), "the refusal does not name the symbol")
        else:
            _require(
                self.covers_everything and found == (), "ZZZ is not covered, and was answered as having none"
            )

    def test_asking_again_gives_the_same(self) -> None:
        """An answer changes nothing in the source."""
        source, _ = self._set_up()
        first = source.actions("AAA", *_EVER)
        source.actions("AAA", _SECOND, _SECOND)
        _require(source.actions("AAA", *_EVER) == first, "the second answer differs from the first")


def _told(actions: Sequence[CorporateAction]) -> list[tuple[object, ...]]:
    return [
        (one.ex_date, one.kind, None if one.value is None else Fraction(one.value), one.new_symbol)
        for one in actions
    ]


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)
