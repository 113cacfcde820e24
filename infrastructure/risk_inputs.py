"""What the risk of a book rests on beside its positions, kept up to date while a trader runs for weeks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from execution.clocks import TradingClock
from infrastructure.daily_returns import StoredReturns
from infrastructure.recorded_greeks import RecordedGreeks
from infrastructure.settings import Settings

LOOK_EVERY_SECONDS = 300.0


class RiskInputs:
    """Daily returns by symbol and Greeks by option, read from the house's store beside the event loop.

    Parameters
    ----------
    settings
        Name the store, the calendar, and who knows of corporate actions.
    symbols
        Symbols whose returns are followed.
    clock
        Says which sessions have closed.
    """

    def __init__(self, settings: Settings, symbols: Iterable[str], clock: TradingClock) -> None:
        self.returns = StoredReturns(settings, symbols, clock)
        self.greeks = RecordedGreeks(settings, clock)

    async def read(self) -> None:
        """Read what is new."""
        await asyncio.to_thread(self.returns.refresh)
        await asyncio.to_thread(self.greeks.refresh)

    async def follow(self, every_seconds: float = LOOK_EVERY_SECONDS) -> None:
        """Read what is new from time to time, until cancelled."""
        while True:
            await asyncio.sleep(every_seconds)
            await self.read()
