"""What positions are worth to the broker: its own figures, or none."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from execution.errors import BrokerUnavailableError
from execution.ibkr.session import BrokerPosition, BrokerValue, IBSession

_log = structlog.get_logger("valuation")


async def values_of(session: IBSession, held: Sequence[BrokerPosition]) -> list[BrokerValue | None]:
    """Ask what positions are worth; return a value or None for each of them, in their order.

    A value counts for the position whose account, contract and quantity it names. An account whose values do
    not come leaves its positions without: what they are is known all the same.
    """
    told: dict[tuple[str, str, str], BrokerValue] = {}
    for account in sorted({one.account for one in held}):
        try:
            for value in await session.values(account):
                told[value.account, value.symbol, value.security_type] = value
        except BrokerUnavailableError as error:
            _log.warning("positions without their values", account=account, why=str(error))
    found = [told.get((one.account, one.symbol, one.security_type)) for one in held]
    return [
        value if value is not None and value.quantity == one.quantity else None
        for one, value in zip(held, found, strict=True)
    ]
