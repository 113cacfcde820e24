"""When a rule applies: a message that passes, an event, a time, or another rule."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from backtesting.gateway.faults.action import Span, Strict
from backtesting.gateway.message_names import (
    NAMES,
    Direction,
    all_names,
    field_index,
    find,
    nearest,
    order_id_of,
)
from backtesting.gateway.wire.codec import EASTERN
from execution.clocks import NANOS

Event = Literal["start", "connect", "join", "disconnect", "step"]

STATUSES = frozenset(
    (
        "ApiPending",
        "PendingSubmit",
        "PreSubmitted",
        "Submitted",
        "PendingCancel",
        "ApiCancelled",
        "Cancelled",
        "Filled",
        "Inactive",
    )
)
_ORDER_STATUS, _OPEN_ORDER, _ERROR = 3, 5, 4
_CODE_AT = 3


class After(Strict):
    """After another rule has been applied, or after the script's start."""

    rule: str | None = None
    steps: int | None = None
    seconds: float | None = None
    wall: float | None = None

    @model_validator(mode="after")
    def _has_length(self) -> Self:
        if self.model_fields_set:
            _ = self.span
            return self
        raise ValueError("give rule, or one of steps, seconds (simulated) and wall, or both")

    @property
    def span(self) -> Span:
        """How long after."""
        if self.steps is None and self.seconds is None and self.wall is None:
            return Span(steps=0)
        return Span(steps=self.steps, seconds=self.seconds, wall=self.wall)


class When(Strict):
    """When a rule applies.

    `message` names a message (or its number, with `direction`) and may be narrowed by `client`, `order`,
    `status`, `code`, `symbol` and `fields` (by name or place; the message number is place 0). Of the messages
    that match, `nth` takes one, `every` each so-manieth, `probability` some, `times` the first so many.
    Without a message the rule applies once: at an `event` (`times` bounds it), `at` a simulated time (of New
    York if it names no zone) or `after` another rule or a span. With a message or an event, `at` and `after`
    say from when on.
    """

    message: str | int | None = None
    direction: Direction | None = None
    client: int | None = None
    order: int | None = None
    status: str | None = None
    code: int | None = None
    symbol: str | None = None
    fields: Mapping[str | int, str | int | float] = Field(default_factory=dict)
    nth: int | None = None
    every: int | None = None
    times: int | None = None
    probability: float | None = None
    event: Event | None = None
    at: str | dt.datetime | None = None
    after: After | None = None

    @field_validator("nth", "every", "times")
    @classmethod
    def _positive(cls, value: int | None) -> int | None:
        if value is not None and value < 1:
            raise ValueError("must be 1 or more")
        return value

    @field_validator("probability")
    @classmethod
    def _chance(cls, value: float | None) -> float | None:
        if value is not None and not 0 <= value <= 1:
            raise ValueError("must be from 0 to 1")
        return value

    @field_validator("status")
    @classmethod
    def _status(cls, value: str | None) -> str | None:
        if value is not None and value not in STATUSES:
            raise ValueError(f"no such order status{nearest(value, STATUSES)}")
        return value

    @field_validator("at")
    @classmethod
    def _moment(cls, value: str | dt.datetime | None) -> str | dt.datetime | None:
        if isinstance(value, str):
            dt.datetime.fromisoformat(value)
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.message is None:
            if self.event is None and self.at is None and self.after is None:
                raise ValueError("say when: one of message, event, at, after")
            given = [
                key
                for key in ("direction", "order", "status", "code", "symbol", "nth", "every", "probability")
                if getattr(self, key) is not None
            ] + (["fields"] if self.fields else [])
            if given:
                raise ValueError(f"{given[0]} narrows a message: name the message too")
            return self
        if self.event is not None:
            raise ValueError("a rule waits for a message or for an event, not for both: make two rules")
        if self.status is not None and self.kind not in (("out", _ORDER_STATUS), ("out", _OPEN_ORDER)):
            raise ValueError("status narrows orderStatus and openOrder only")
        if self.code is not None and self.kind != ("out", _ERROR):
            raise ValueError("code narrows the message error only")
        if self.symbol is not None and self._place("symbol") is None:
            raise ValueError("symbol narrows messages that hold a contract only")
        for key in self.fields:
            if self._place(key) is None:
                raise ValueError(f"field {key!r} is not known of this message: give its place, such as 3")
        return self

    @property
    def kind(self) -> tuple[Direction, int]:
        """Direction and number of the message."""
        return message_kind(self.message, self.direction)

    @property
    def at_ns(self) -> int | None:
        """The simulated time, in nanoseconds."""
        return None if self.at is None else moment_ns(self.at)

    def _place(self, key: str | int) -> int | None:
        return key if isinstance(key, int) else field_index(*self.kind, key)

    def matches(self, client: int | None, direction: Direction, number: int, fields: list[str]) -> bool:
        """Return whether a message is of the kind meant, counts and chance apart."""
        if self.client is not None and client != self.client:
            return False
        if self.order is not None and order_id_of(direction, number, fields) != self.order:
            return False
        if self.status is not None and self.status != _status_of(number, fields):
            return False
        wanted: dict[str | int, Any] = dict(self.fields)
        if self.code is not None:
            wanted[_CODE_AT] = self.code
        if self.symbol is not None:
            wanted["symbol"] = self.symbol
        for key, value in wanted.items():
            place = self._place(key)
            if place is None or place >= len(fields) or fields[place] != str(value):
                return False
        return True


def moment_ns(moment: str | dt.datetime) -> int:
    """Return a time in nanoseconds; New York time if it names no zone.

    Raises
    ------
    ValueError
        If it is no time in ISO form.
    """
    if isinstance(moment, str):
        moment = dt.datetime.fromisoformat(moment)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=EASTERN)
    return round(moment.timestamp()) * NANOS


def message_kind(message: str | int | None, direction: Direction | None = None) -> tuple[Direction, int]:
    """Return direction and number of a message by name or number.

    Raises
    ------
    ValueError
        If there is none, or a number is given without its direction; the message says what to write.
    """
    if isinstance(message, int):
        if direction is None:
            found = [NAMES[way][message] for way in NAMES if message in NAMES[way]]
            raise ValueError(
                f"message {message}: add direction in or out, or write its name: {', '.join(found)}"
            )
        return direction, message
    known = find(message or "")
    if known is None:
        raise ValueError(f"no message is called {message!r}{nearest(message or '', all_names())}")
    if direction is not None and direction != known[0]:
        raise ValueError(f"{message} passes {known[0]}wards only: leave direction out")
    return known


def _status_of(number: int, fields: list[str]) -> str | None:
    if number == _ORDER_STATUS:
        return fields[2] if len(fields) > 2 else None  # noqa: PLR2004  after number and order id
    return next((text for text in fields if text in STATUSES), None)
