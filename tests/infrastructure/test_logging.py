from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
import structlog

from infrastructure.logging import bound, configure, escape, get_logger
from infrastructure.secrets import Redactor


@pytest.fixture(autouse=True)
def restore_logging() -> Any:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_a_text_line_carries_run_id_and_what_was_bound() -> None:
    stream = io.StringIO()
    configure("text", "INFO", "run-7", stream)
    with bound(symbol="SPY", interval="1D", bar_end="2020-01-02", correlation_id="c-1"):
        get_logger("step").info("order submitted", quantity=5, note="two words")
    (line,) = lines(stream)
    for part in (
        "info",
        "step: order submitted",
        "run_id=run-7",
        "symbol=SPY",
        "interval=1D",
        "correlation_id=c-1",
    ):
        assert part in line
    assert 'note="two words"' in line
    get_logger("step").info("after")
    assert "symbol" not in lines(stream)[1]


def test_a_json_line_is_one_object_with_the_same_facts() -> None:
    stream = io.StringIO()
    configure("json", "INFO", "run-7", stream)
    get_logger("x").warning("hello", symbols=["A", "B"])
    found = json.loads(stream.getvalue())
    assert (found["event"], found["level"], found["run_id"], found["symbols"]) == (
        "hello",
        "warning",
        "run-7",
        ["A", "B"],
    )


def test_records_of_the_standard_library_take_the_same_way() -> None:
    stream = io.StringIO()
    configure("json", "INFO", "run-7", stream)
    logging.getLogger("other").error("it is %s", "so", extra={"symbol": "SPY"})
    found = json.loads(stream.getvalue())
    assert (found["event"], found["logger"], found["run_id"], found["symbol"]) == (
        "it is so",
        "other",
        "run-7",
        "SPY",
    )


@pytest.mark.parametrize(("level", "shown"), [("INFO", 0), ("DEBUG", 1)])
def test_chatty_libraries_speak_at_debug_level_only(level: Any, shown: Any) -> None:
    stream = io.StringIO()
    configure("text", level, "r", stream)
    logging.getLogger("ib_insync.client").info("placeOrder: ...")
    assert len(lines(stream)) == shown


def test_values_cannot_forge_a_line() -> None:
    stream = io.StringIO()
    configure("text", "INFO", "r", stream)
    get_logger("x").info("a\nb", text="c\x1b[31m\u2028d")
    (line,) = lines(stream)
    assert "\\n" in line
    assert "\\x1b" in line
    assert escape("\r\u2029") == "\\r\\u2029"


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_are_masked_in_messages_values_and_traces(form: Any) -> None:
    stream = io.StringIO()
    redactor = Redactor()
    redactor.register("hunter22")
    configure(form, "INFO", "r", stream, redactor=redactor)
    try:
        int("no hunter22")
    except ValueError:
        get_logger("x").exception("failed hunter22", url="x://hunter22")
    assert "hunter22" not in stream.getvalue()
    assert "ValueError" in stream.getvalue()


def test_configuring_again_replaces_the_first_stream() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure("text", "INFO", "r", first)
    configure("text", "INFO", "r", second)
    get_logger("x").info("once")
    assert (len(lines(first)), len(lines(second))) == (0, 1)
