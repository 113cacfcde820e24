"""The interactive order tester, driven through a pseudo-terminal and through a pipe, in both languages."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import pandas as pd
import pytest
from rich.console import Console

from execution.examples.order_tester_screen import CHOICES, MENU, Screen
from execution.examples.order_tester_texts import CATALOGUES, language_of
from execution.models import Order, OrderStatus, OrderType, Side

PROGRAM = [sys.executable, "-m", "execution.examples.interactive_order_tester", "--days-a-second", "4"]
PATIENCE = 60.0
_NUMBERS = {name: number for number, name in CHOICES.items()}
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_catalogues_have_the_same_keys_and_places() -> None:
    english, spanish = CATALOGUES["en"], CATALOGUES["es"]
    assert set(english) == set(spanish)
    assert {k: places(v) for k, v in english.items()} == {k: places(v) for k, v in spanish.items()}
    assert all(text for catalogue in CATALOGUES.values() for text in catalogue.values())


def test_hardly_a_text_was_left_untranslated() -> None:
    english, spanish = CATALOGUES["en"], CATALOGUES["es"]
    same = {key for key in english if english[key] == spanish[key]}
    assert same == {"column.id", "type.STOP", "words.no"}


@pytest.mark.parametrize(
    ("locale", "language"), [("es_ES.UTF-8", "es"), ("es", "es"), ("en_US", "en"), (None, "en"), ("C", "en")]
)
def test_the_language_is_that_of_the_locale(locale: str | None, language: str) -> None:
    assert language_of(locale) == language


@pytest.mark.parametrize("language", CATALOGUES)
def test_a_long_id_takes_no_room_from_what_a_person_decides_by(language: str) -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    order = Order(
        *("4", "cbb95efc-60f8-402c-a67a-25fe16945347", "SPXSIM", Decimal(5), OrderType.MARKET, Side.SELL),
        *(
            None,
            None,
            OrderStatus.FILLED,
            pd.Timestamp("2026-01-02", tz="UTC"),
            Decimal(5),
            Decimal("1247.17"),
        ),
    )
    texts = CATALOGUES[language]
    Screen(texts, console).orders("open_orders", [order])
    shown = console.export_text()
    assert "…" not in shown
    for word in ("side.SELL", "type.MARKET", "status.FILLED", "column.average"):
        assert texts[word] in shown
    assert "1247.17" in shown


def test_every_entry_of_the_menu_is_named_in_both_languages() -> None:
    for catalogue in CATALOGUES.values():
        assert all(f"menu.{name}" in catalogue for _, names in MENU for name in names)


class Person:
    """Reads what the program says and answers, as at a terminal."""

    def __init__(self, terminal: int, language: str) -> None:
        self.texts = CATALOGUES[language]
        self.screen = ""
        self._terminal = terminal
        self._read_to = 0

    def until(self, text: str) -> str:
        """Wait until a text appears behind what was waited for before; return what came with it."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.screen.find(text, self._read_to)) < 0:
            left = deadline - time.monotonic()
            assert left > 0, f"never said {text!r}; its screen:\n{self.screen[-3000:]}"
            if select.select([self._terminal], [], [], left)[0]:
                self.screen += _COLOUR.sub("", os.read(self._terminal, 65536).decode())
        start, self._read_to = self._read_to, found + len(text)
        return self.screen[start : self._read_to]

    def says(self, key: str) -> str:
        """Wait until the program says a text of its catalogue, as far as its first place."""
        return self.until(self.texts[key].split("{")[0])

    def answer(self, *answers: str) -> None:
        """Give answers, each to the next question."""
        for text in answers:
            self.until("? ")
            self.until(": ")
            os.write(self._terminal, f"{text}\n".encode())

    def choose(self, name: str) -> None:
        self.says("prompt.choice")
        self.until(": ")
        os.write(self._terminal, f"{_NUMBERS[name]}\n".encode())


@contextmanager
def at_a_terminal(
    language: str, *more: str, **environment: str
) -> Iterator[tuple[Person, subprocess.Popen[bytes]]]:
    ours, theirs = pty.openpty()
    settings = {**os.environ, "COLUMNS": "110", "LINES": "50", "TERM": "xterm-256color", **environment}
    process = subprocess.Popen(
        [*PROGRAM, *more], stdin=theirs, stdout=theirs, stderr=theirs, env=settings, close_fds=True
    )
    os.close(theirs)
    try:
        yield Person(ours, language), process
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.parametrize(("language", "buy", "sell", "yes"), [("en", "b", "s", "y"), ("es", "c", "v", "s")])
def test_a_whole_session_at_a_terminal(language: str, buy: str, sell: str, yes: str) -> None:
    with at_a_terminal(language, "--lang", language) as (person, process):
        person.says("state.disconnected")
        person.choose("limit")
        person.says("not_connected")
        person.choose("connect")
        person.says("said.connected")
        person.choose("summary")
        person.says("figure.NetLiquidation")
        person.choose("market")
        person.answer("", "x")
        person.says("wrong.side")
        person.answer(buy, "ten")
        person.says("wrong.number")
        person.answer("10", yes)
        person.says("said.sent")
        person.says("status.FILLED")
        person.choose("limit")
        person.answer("spxsim", sell, "5", "9000", "gtc")
        person.says("table.draft")
        person.answer(yes)
        person.says("said.sent")
        person.choose("modify")
        person.answer("7")
        person.says("wrong.order")
        person.answer("1", "", "9100.50", yes)
        person.says("said.changed")
        person.choose("open_orders")
        person.until("9100.5")
        person.choose("cancel")
        person.answer("1", yes)
        person.says("said.cancel_asked")
        person.says("status.CANCELLED")
        person.choose("stop")
        person.answer("", buy, "1", "9500", "GTC", "n")
        person.says("said.nothing_sent")
        person.choose("stop")
        person.answer("", ".")
        person.says("said.nothing_sent")
        person.choose("bracket")
        person.answer("", buy, "1", "500", "", "600", "400", yes)
        for suffix in (":", "-tp:", "-sl:"):
            person.says("said.sent")
            person.until(suffix)
        person.choose("cancel_all")
        person.answer(yes)
        person.says("said.all_cancelled")
        person.choose("positions")
        person.until("SPXSIM")
        person.choose("flatten")
        person.answer(yes)
        person.says("said.flattened")
        person.says("status.FILLED")
        person.choose("positions")
        person.says("none.positions")
        person.choose("all_orders")
        person.says("table.all_orders")
        person.choose("events")
        person.says("table.events")
        person.choose("disconnect")
        person.says("said.disconnected")
        person.choose("quit")
        person.says("said.goodbye")
        assert process.wait(PATIENCE) == 0
        assert "Traceback" not in person.screen


@pytest.mark.parametrize("language", ["en", "es"])
def test_answers_can_be_piped_in_and_the_end_of_input_ends_it(language: str) -> None:
    lines = ["", "99", _NUMBERS["connect"], _NUMBERS["open_orders"], _NUMBERS["events"], _NUMBERS["cancel"]]
    done = subprocess.run(
        PROGRAM,
        input="\n".join(lines) + "\n",
        env={**os.environ, "LANG": f"{language}_XX.UTF-8", "LC_ALL": ""},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    texts = CATALOGUES[language]
    assert (done.returncode, done.stderr) == (0, "")
    for said in ("title", "at.simulated", "none.orders", "table.events"):
        assert texts[said] in done.stdout
    assert texts["wrong.choice"].format(text="99") in done.stdout
    assert texts["said.goodbye"].split("}")[1] in done.stdout


@pytest.mark.parametrize("port", ["7496", "4001"])
def test_a_live_port_is_refused_in_the_persons_language(port: str) -> None:
    done = subprocess.run(
        [*PROGRAM, "--lang", "es", "--host", "127.0.0.1", "--port", port],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip() == CATALOGUES["es"]["live_port"].format(port=port)
