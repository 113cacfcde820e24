"""Records that are made quickly are frozen dataclasses in all else."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from typing import Any, ClassVar

import pytest

from execution.frozen import frozen


@frozen
class Quick:
    """A record."""

    kind: ClassVar[str] = "quick"
    size: int
    name: str = "one"
    note: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("a size is not negative")


@dataclass(frozen=True, slots=True)
class Plain:
    """The same, made as dataclasses make it."""

    kind: ClassVar[str] = "quick"
    size: int
    name: str = "one"
    note: str | None = field(default=None, kw_only=True)


def test_it_is_made_as_the_dataclass_is() -> None:
    quick, plain = Quick(3, note="x"), Plain(3, note="x")
    values: list[tuple[Any, ...]] = [(one.size, one.name, one.note, one.kind) for one in (quick, plain)]
    assert values[0] == values[1]
    assert repr(quick) == repr(plain).replace("Plain", "Quick")
    assert [one.name for one in fields(quick)] == [one.name for one in fields(plain)]
    signatures = [str(inspect.signature(kind)) for kind in (Quick, Plain)]
    assert signatures[0] == signatures[1]
    assert type(quick) is Quick


@pytest.mark.parametrize("arguments", [(), (1, "a", "b"), (1, "a", "b", "c")])
def test_wrong_arguments_are_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        Quick(*arguments)


def test_what_it_checks_when_it_is_made_is_checked() -> None:
    with pytest.raises(ValueError, match="not negative"):
        Quick(-1)
    with pytest.raises(ValueError, match="not negative"):
        replace(Quick(1), size=-1)


def test_it_is_not_changed_and_takes_nothing_else() -> None:
    quick = Quick(1)
    with pytest.raises(FrozenInstanceError):
        quick.size = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del quick.size
    with pytest.raises((AttributeError, TypeError)):
        quick.other = 2  # type: ignore[attr-defined]
    assert quick == Quick(1)


def unpickled(quick: Quick) -> Any:
    return pickle.loads(pickle.dumps(quick))  # noqa: S301 - written right here


def test_copies_are_equal_and_count_as_the_same_key() -> None:
    quick = Quick(1, note="x")
    for again in (copy.copy(quick), copy.deepcopy(quick), replace(quick), unpickled(quick)):
        assert (again, hash(again), type(again)) == (quick, hash(quick), Quick)


def test_a_field_that_is_made_anew_or_is_no_argument_is_refused() -> None:
    class Listed:
        items: list[int] = field(default_factory=list)

    class Counted:
        count: int = field(default=0, init=False)

    for kind, name in ((Listed, "items"), (Counted, "count")):
        with pytest.raises(TypeError, match=name):
            frozen(kind)
