"""The scripts' own language: what it reads, and that a gateway that answers otherwise is found out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .process import Cell
from .script import ScriptError, fits, read_line, read_script, words_of

CELL = Cell("ib_insync", 176)
PLACED = "client 1\nI placeOrder 1 BUY 100 LMT 10 AAA\n"


@pytest.fixture
def told(tmp_path: Path, follow: Callable[[Path, Cell], None]) -> Callable[[str], str]:
    """Follow a text as a script and return what is wrong; empty if it is followed."""

    def run(text: str) -> str:
        path = tmp_path / "script.txt"
        path.write_text(f"# a trial\n{text}", encoding="utf-8")
        try:
            follow(path, CELL)
        except ScriptError as error:
            return str(error)
        return ""

    return run


def test_words_fields_quotes_and_patterns_are_told_apart() -> None:
    assert words_of('error 1 202 "Order Canceled - reason:" text=/a b\\/c/ whyHeld=') == (
        ("error", "1", "202", "Order Canceled - reason:"),
        {"text": "/a b\\/c/", "whyHeld": ""},
    )


def test_a_line_may_be_for_one_library_or_some_versions() -> None:
    line = read_line(1, "[ib_async 163+] E @2 openOrder 1")
    assert (line.kind, line.client, line.words) == ("E", 2, ("openOrder", "1"))
    assert line.applies("ib_async", 176)
    assert not line.applies("ib_insync", 176)
    assert not line.applies("ib_async", 157)
    assert read_line(1, "[-163] E x").applies("ib_insync", 157)


@pytest.mark.parametrize(
    ("wanted", "value", "right"),
    [
        ("10.0", 10, True),
        ("10", 10.001, False),
        ("Submitted|PreSubmitted", "PreSubmitted", True),
        ("/Order.*age/", "Order\nMessage", True),
        ("/Order/", "Order Message", False),
        (">5&<6", 5.5, True),
        (">5&<6", 6.5, False),
        (">5", "unset", False),
        ("*", None, True),
        ("yes", True, True),
        ("", None, True),
    ],
)
def test_values_are_compared_as_a_trader_reads_them(wanted: str, value: object, right: bool) -> None:
    assert fits(wanted, value, {}) is right


def test_a_name_holds_its_first_value() -> None:
    bound: dict[str, str] = {}
    assert fits("$perm", 7, bound)
    assert fits("$perm", 7.0, bound)
    assert not fits("$perm", 8, bound)


def test_what_is_no_statement_is_reported_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "script.txt"
    path.write_text("# a trial\n\nexpect openOrder\n", encoding="utf-8")
    with pytest.raises(ScriptError, match=r"script\.txt:3: 'expect' is no statement"):
        read_script(path)


def test_a_script_that_tells_the_truth_is_followed(told: Callable[[str], str]) -> None:
    assert told(f"{PLACED}E openOrder 1 lmtPrice=10\nE orderStatus 1\nA openOrder|orderStatus") == ""


def test_a_wrong_value_is_found_out(told: Callable[[str], str]) -> None:
    assert "lmtPrice is '10.0', wanted 11" in told(f"{PLACED}E openOrder 1 lmtPrice=11\nE orderStatus 1")


def test_a_callback_that_was_not_expected_is_found_out(told: Callable[[str], str]) -> None:
    assert "unexpected: @1 openOrder" in told(PLACED)
    assert "it is openOrder" in told(f"{PLACED}E orderStatus 1")


def test_a_callback_that_does_not_come_is_found_out(told: Callable[[str], str]) -> None:
    assert "nothing came" in told("client 1\nE openOrder 1")


def test_a_request_that_the_library_cannot_send_is_found_out(told: Callable[[str], str]) -> None:
    assert "was not sent" in told("client 1\nI reqNothing 1\nE error")
    assert "no such field: price" in told("client 1\nI placeOrder 1 BUY 1 MKT AAA price=1\nE error")


def test_the_lock_of_the_second_library_has_hashes_and_names_no_registry(root: Path) -> None:
    text = (root / "requirements-ib_async.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert "ib-async==" in text
    assert "ib-insync==" not in text
    assert text.count("--hash=sha256:") >= text.count("==")
