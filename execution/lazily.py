"""pandas and numpy, imported when they are first used.

Modules that only name their types in annotations, or use them in a rare place, take them from here: a
command that reads a journal or asks a running trader then starts in half the time.
`typing.get_type_hints` works as with the real modules.
"""

from __future__ import annotations

import importlib
from typing import Any


class _OnUse:
    """A module that is imported by the first look at one of its names."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        found = getattr(importlib.import_module(self._module), name)
        vars(self)[name] = found  # hot code looks it up as fast as in the module itself
        return found


pd = _OnUse("pandas")
np = _OnUse("numpy")
npt = _OnUse("numpy.typing")
