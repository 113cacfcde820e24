"""What TWS says of a contract beside its terms for orders: who it is, and in which trade its company is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from execution.errors import NumberFormatError
from execution.models import Instrument
from execution.numbers import parse_wire_decimal

_LONGEST = 128


@dataclass(frozen=True, slots=True)
class Description:
    """A contract with what TWS knows of it filled in; `industry` and `category` may be empty."""

    instrument: Instrument
    industry: str = ""
    category: str = ""


def described(instrument: Instrument, details: Any) -> Description:
    """Return an instrument with id, name, primary exchange and smallest increment of its details.

    `details` is the client library's `ContractDetails`. What a caller has stated, such as a name, stays.
    """
    contract = details.contract
    known = replace(
        instrument,
        con_id=int(contract.conId),
        name=instrument.name or _text(details.longName),
        primary_exchange=instrument.primary_exchange or _text(contract.primaryExchange),
    )
    try:
        tick = parse_wire_decimal(str(details.minTick), name="smallest increment")
    except NumberFormatError:
        tick = None  # what cannot be read says nothing
    if tick is not None and tick > 0:
        known = replace(known, tick=tick)
    return Description(known, _text(details.industry), _text(details.category))


def _text(value: Any) -> str:
    return " ".join(str(value or "").split())[:_LONGEST]
