"""Rows as a table that fits the terminal, so that an id or a time is never cut in two.

1. A table with its frame, if the widest cells have room.
2. Else one without a frame, in which only columns of prose are wrapped.
3. Else each row by itself: a name and its value a line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PROSE = 20
"""A column with words and a cell beyond this width can be wrapped, down to this width."""
_FRAMED, _BARE = 3, 2
"""Columns of the terminal that the frame, or the space between, takes for each column of the table."""

Cells = Sequence[Sequence[str]]


def print_rows(console: Console, title: str, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows under a title in the form that the console has room for."""
    heads = [name.replace("_", " ") for name in names]
    cells = [["" if row.get(name) is None else str(row.get(name)) for name in names] for row in rows]
    widths = [max(map(_width, column)) for column in zip(heads, *cells, strict=True)]
    if sum(widths) + _FRAMED * len(widths) + 1 <= console.width:
        console.print(_table(title, heads, cells, wrapped=(), framed=True))
        return
    wrapped = {n for n, column in enumerate(zip(*cells, strict=True)) if _is_prose(column)}
    left = console.width - _BARE * (len(widths) - 1)
    left -= sum(width for n, width in enumerate(widths) if n not in wrapped)
    if left >= _PROSE * len(wrapped):
        console.print(_table(title, heads, cells, wrapped=wrapped, framed=False))
    else:
        _print_one_by_one(console, title, heads, cells)


def _table(title: str, heads: Sequence[str], cells: Cells, *, wrapped: Any, framed: bool) -> Table:
    look: dict[str, Any] = {} if framed else {"box": box.SIMPLE_HEAD, "pad_edge": False, "show_edge": False}
    table = Table(title=title, title_justify="left", padding=(0, 1) if framed else (0, _BARE, 0, 0), **look)
    for number, head in enumerate(heads):
        table.add_column(head, overflow="fold", no_wrap=number not in wrapped and not framed)
    for row in cells:
        table.add_row(*map(Text, row))
    return table


def _print_one_by_one(console: Console, title: str, heads: Sequence[str], cells: Cells) -> None:
    console.print(Text(title, style="italic"))
    widest = max(map(_width, heads))
    for row in cells:
        console.print()
        for head, cell in zip(heads, row, strict=True):
            if cell:
                console.print(Text(f"{head:{widest}}  {cell}"), soft_wrap=True)


def _is_prose(column: Sequence[str]) -> bool:
    return max(map(_width, column)) > _PROSE and any(" " in cell for cell in column)


def _width(text: str) -> int:
    return max((len(line) for line in text.splitlines()), default=0)
