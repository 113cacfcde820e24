"""The help of every command: what an option's text says in brackets is what a person reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from infrastructure.cli import app

BRACKETED = re.compile(r"\[[^\]]+\]")


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


EVERY = dict(commands(typer.main.get_command(app)))


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_no_word_in_brackets_is_lost_to_markup(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    app(args=[*path, "--help"], prog_name="trade", standalone_mode=False)
    shown = squeezed(capsys.readouterr().out)
    command = EVERY[path]
    texts = [command.help or "", *(getattr(param, "help", None) or "" for param in command.params)]
    words = [word for text in texts for word in BRACKETED.findall(text)]
    assert [word for word in words if squeezed(word) not in shown] == []


def test_there_are_words_in_brackets_to_be_lost() -> None:
    helps = [getattr(param, "help", None) or "" for command in EVERY.values() for param in command.params]
    assert sum(bool(BRACKETED.search(text)) for text in helps) > 20


def test_the_page_of_the_command_line_names_every_command_and_no_other() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    named = set()
    for cell in re.findall(r"^\| (`trade .+?) \| ", page, re.M):
        group: list[str] = []
        for text in re.findall(r"`([^`]+)`", cell):
            words = [word for word in text.split() if not word.isupper()]
            if words[0] == "trade":
                group = words[1:-1]
            named.add((*group, words[-1]))
    leaves = {path for path, command in EVERY.items() if not hasattr(command, "commands")} | {("gateway",)}
    assert named == leaves
