"""Logging, set up once per process: structlog in front, the standard library's loggers routed through it.

Every line carries the run id, and symbol, interval, bar end and correlation id where they were bound
(`bound`). Secrets are masked and control characters in values escaped, so that a message from outside can
neither reveal a secret nor forge a line.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, TextIO

import structlog
from structlog.contextvars import bound_contextvars

from infrastructure.secrets import REDACTOR, Redactor

CHATTY = ("ib_insync", "alembic", "asyncio")
"""Libraries whose routine lines are shown at debug level only: ib_insync prints whole orders at INFO."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_FIRST = ("timestamp", "level", "logger", "event")


def escape(text: str) -> str:
    """Return the text with control characters (line breaks, terminal escapes) in visible form."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def escape_values(logger: Any, method: str, event: Any) -> Any:  # noqa: ARG001  # structlog's signature
    """Escape control characters in every value of an event; a traceback keeps its line breaks."""
    return {
        key: value if key == "exception" or not isinstance(value, str) else escape(value)
        for key, value in event.items()
    }


class TextRenderer:
    """One line per event: time, level, logger, message, then ``key=value`` in a steady order."""

    def __call__(self, logger: Any, method: str, event: Any) -> str:  # noqa: ARG002  # structlog's signature
        """Render an event."""
        trace = event.pop("exception", None)
        head = f"{event['timestamp']} {event['level']:<8} {event.get('logger', '-')}: {event['event']}"
        pairs = [f"{key}={_quote(event[key])}" for key in sorted(event) if key not in _FIRST]
        line = " ".join([head, *pairs])
        if trace is None:
            return line
        return line + "".join("\n    " + escape(part) for part in str(trace).splitlines())


def configure(
    format: Literal["text", "json"] = "text",  # the setting's name
    level: str = "INFO",
    run_id: str = "-",
    stream: TextIO | None = None,
    *,
    redactor: Redactor = REDACTOR,
) -> None:
    """Send all logging of this process to one stream; a second call replaces the first.

    Parameters
    ----------
    format
        ``text`` for people, ``json`` for machines (one object a line).
    level
        Threshold: DEBUG, INFO, WARNING, ERROR or CRITICAL.
    run_id
        Written on every line.
    stream
        Where lines go; standard error unless given.
    redactor
        Masks secrets.
    """

    def add_run_id(logger: Any, method: str, event: Any) -> Any:  # noqa: ARG001  # structlog's signature
        event.setdefault("run_id", run_id)
        return event

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_run_id,
    ]
    render = (
        TextRenderer() if format == "text" else structlog.processors.JSONRenderer(sort_keys=True, default=str)
    )
    last: list[Any] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redactor,
        escape_values,
        render,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=last))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    threshold = logging.DEBUG if level == "DEBUG" else max(logging.WARNING, root.level)
    for name in CHATTY:
        logging.getLogger(name).setLevel(threshold)


def get_logger(name: str) -> Any:
    """Return a structured logger of this name."""
    return structlog.stdlib.get_logger(name)


@contextmanager
def bound(**values: Any) -> Iterator[None]:
    """Put values on every line logged inside: ``symbol``, ``interval``, ``bar_end``, ``correlation_id``."""
    with bound_contextvars(**values):
        yield


def _quote(value: Any) -> str:
    text = escape(str(value))
    return f'"{text}"' if text == "" or " " in text or "=" in text else text
