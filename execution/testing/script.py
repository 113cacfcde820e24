"""What the broker in memory does with the next order, change or cancellation, instead of taking it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from decimal import Decimal


class Answer(enum.StrEnum):
    """An answer of the broker.

    TAKE it; REJECT it with a code; DELAY it until it is released; IGNORE: take it and say nothing; LOSE: it
    never arrives; CUT: take it and lose the session before saying so.
    """

    TAKE = "take"
    REJECT = "reject"
    DELAY = "delay"
    IGNORE = "ignore"
    LOSE = "lose"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; `quantity` bounds what trades by itself, None does not."""

    answer: Answer = Answer.TAKE
    code: int = 0
    text: str = ""
    quantity: Decimal | None = None
