"""Events of the journal as lines for people: when, what, and the facts without JSON's punctuation."""

from __future__ import annotations

from typing import Any

from execution.clocks import timestamp
from execution.journal.event import JournalEvent

_LEADING = {
    "api_request": ("request", "outcome"),
    "broker_message": ("message",),
    "connection": ("event",),
}
"""What says most in events of a kind comes first, without its name."""


def readable(event: JournalEvent) -> str:
    """Return an event as one line: number, time of recording (UTC), kind, and its facts.

    Facts that are empty are left out. The complete record is the event's body.
    """
    body = dict(event.body)
    leading = [str(body.pop(name)) for name in _LEADING.get(event.kind, ()) if name in body]
    moment = timestamp(event.time_ns).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return f"{event.seq:>8} {moment} {event.kind:<16} {' '.join([*leading, *_facts(body)])}".rstrip()


def _facts(body: dict[str, Any], within: str = "") -> list[str]:
    facts: list[str] = []
    for name, value in body.items():
        if isinstance(value, dict):
            facts += _facts(value, f"{within}{name}.")
        elif value is not None and value not in ("", []):
            facts.append(f"{within}{name}={_text(value)}")
    return facts


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(_text(each) for each in value)
    text = str(value)
    return repr(text) if " " in text or not text.isprintable() else text
