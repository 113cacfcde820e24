"""Records that cannot be changed and are made quickly.

A frozen dataclass sets each field through `object.__setattr__`, a call of Python each: an execution with its
twelve fields takes 2 microseconds to be made, and a day has a hundred thousand facts of that size. `frozen`
makes the same dataclass with another constructor: the object is of an open twin class while its fields are
set, and of its own class, which refuses to be changed, from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform

_T = TypeVar("_T")
_become = vars(object)["__class__"].__set__
"""Gives an object another class, past a class of its own that refuses it."""


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(plain: type[_T]) -> type[_T]:
    """Make a class a frozen dataclass with slots, for records that are made often.

    Parameters
    ----------
    plain
        A class with annotated fields. Defaults are plain values: no factories, none left out of `__init__`.

    Raises
    ------
    TypeError
        If a field has a default factory or is not an argument.
    """
    made: Any = dataclass(frozen=True, slots=True)(plain)
    terms = fields(made)
    for one in terms:
        if one.default_factory is not MISSING or not one.init:
            raise TypeError(f"{plain.__name__}.{one.name}: a plain default is all that such a record has")
    opened = type(plain.__name__, (), {"__slots__": tuple(one.name for one in terms)})
    made.__init__ = _constructor(made, opened, terms)
    return made  # type: ignore[no-any-return]


def _constructor(made: Any, opened: type, terms: tuple[Field[Any], ...]) -> Callable[..., None]:
    """Return an ``__init__`` with the arguments of the dataclass's own."""
    by_place = [one for one in terms if not one.kw_only]
    by_name = [one for one in terms if one.kw_only]
    arguments = ["self", *map(_argument, by_place)] + (["*", *map(_argument, by_name)] if by_name else [])
    lines = ["_become(self, _opened)", *(f"self.{one.name} = {one.name}" for one in terms)]
    lines.append("self.__class__ = _made")
    if hasattr(made, "__post_init__"):
        lines.append("self.__post_init__()")
    source = f"def __init__({', '.join(arguments)}):\n " + "\n ".join(lines)
    known = {f"_of_{one.name}": one.default for one in terms if one.default is not MISSING}
    names: dict[str, Any] = {"_become": _become, "_opened": opened, "_made": made, **known}
    # As dataclasses make theirs; the source has the names of the class's own fields and nothing from outside.
    exec(source, names)  # noqa: S102  # nosec B102
    constructor: Callable[..., None] = names["__init__"]
    constructor.__qualname__ = f"{made.__qualname__}.__init__"
    constructor.__module__ = made.__module__
    constructor.__annotations__ = {**{one.name: one.type for one in terms}, "return": None}
    return constructor


def _argument(one: Field[Any]) -> str:
    return one.name if one.default is MISSING else f"{one.name}=_of_{one.name}"
