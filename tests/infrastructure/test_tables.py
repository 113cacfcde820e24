"""Tables fit the terminal, and cut neither an id nor a time."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from infrastructure.cli.tables import print_rows

RUN: dict[str, str | None] = {
    "run_id": "9e3740a4-5c5b-4323-88c8-266df5a6f163",
    "state": "finished",
    "created": "2026-11-21 20:11:29",
}
CHECK: dict[str, str | None] = {
    "name": "clock",
    "detail": "timedatectl gives no answer to what was asked of it, twice",
    "note": None,
}


def printed(rows: list[dict[str, str | None]], width: int) -> list[str]:
    out = io.StringIO()
    print_rows(Console(file=out, width=width), "title", tuple(rows[0]), rows)
    return out.getvalue().rstrip().splitlines()


@pytest.mark.parametrize("width", [160, 80, 70, 40, 20])
def test_no_id_is_cut_whatever_the_width(width: int) -> None:
    lines = printed([RUN], width)
    for value in RUN.values():
        assert value is not None
        assert sum(value in line for line in lines) == 1


@pytest.mark.parametrize("width", [160, 80, 70])
def test_a_table_is_not_wider_than_the_terminal(width: int) -> None:
    lines = printed([RUN, CHECK | RUN], width)
    assert max(map(len, lines)) <= width
    assert "run id" in "".join(lines)


def test_there_is_a_frame_only_where_it_fits() -> None:
    assert "┃" in "".join(printed([RUN], 100))
    assert "┃" not in "".join(printed([RUN], 70))


def test_words_are_wrapped_where_a_column_has_them() -> None:
    lines = printed([CHECK], 44)
    assert sum(line.startswith("clock") for line in lines) == 1
    words = " ".join(" ".join(line.removeprefix("clock").split()) for line in lines[3:])
    assert words == CHECK["detail"]


def test_without_room_each_value_has_a_line_and_what_is_empty_has_none() -> None:
    assert printed([CHECK, {"name": "x", "detail": "[bold]", "note": "n"}], 20) == [
        "title",
        "",
        "name    clock",
        f"detail  {CHECK['detail']}",
        "",
        "name    x",
        "detail  [bold]",
        "note    n",
    ]
