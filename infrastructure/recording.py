"""Record market data for as long as nobody says stop: connect, record, connect again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog

from data.errors import DelayedDataError
from data.sources.history import OPTIONS
from data.sources.ibkr import require_live_data
from data.sources.recorder import MinuteRecorder, OptionRecorder
from data.sources.recording import SHORTEST_SECONDS, record
from data.stores import BarStore, DatabaseBarStore
from execution.clocks import TradingClock
from execution.errors import NotConnectedError
from execution.ibkr.market_data import MarketDataSession
from execution.models import Instrument
from infrastructure.errors import ConfigError
from infrastructure.settings import Settings

OWN_CLIENT = 52
"""Added to the trader's client id, unless another is named."""


@dataclass(slots=True)
class Recorded:
    """What was recorded.

    Minutes stored, those that the store did not take, delayed ticks left out, connections made, and by
    symbol what TWS refused.
    """

    minutes: int = 0
    option_minutes: int = 0
    lost: int = 0
    delayed_ticks: int = 0
    connections: int = 0
    refused: dict[str, str] = field(default_factory=dict)


class Recording:
    """A recording of some contracts into a store.

    Parameters
    ----------
    settings
        Where TWS or the gateway is, and whether delayed quotes may be recorded.
    instruments
        What to record: options with their Greeks, of all others the trades.
    store
        Where minutes go; options need one in a database.
    clock
        Says when something is learnt.

    Raises
    ------
    ConfigError
        If an option is among them and the store is no database.
    """

    def __init__(
        self, settings: Settings, instruments: Sequence[Instrument], store: BarStore, clock: TradingClock
    ) -> None:
        self._settings = settings
        self._instruments = list(instruments)
        self._clock = clock
        self.report = Recorded()
        options = [one.symbol for one in instruments if one.security_type in OPTIONS]
        signed = [one.symbol for one in instruments if one.is_signed]
        self._minutes = MinuteRecorder(store, signed=signed)
        self._options: OptionRecorder | None = None
        if options:
            if not isinstance(store, DatabaseBarStore):
                raise ConfigError(
                    f"{', '.join(options)}: Greeks of options are kept in a database; set database.url or "
                    "give --store sqlite:///FILE, made by trade db upgrade"
                )
            self._options = OptionRecorder(store.database, allow_delayed=settings.data.allow_delayed)

    async def run(
        self,
        stop: asyncio.Event,
        *,
        client_id: int | None = None,
        every_seconds: float = SHORTEST_SECONDS,
        told: Callable[[Recorded], None] = lambda _: None,
    ) -> Recorded:
        """Record until told to stop; a connection that is lost is made again, however long that takes.

        Raises
        ------
        DelayedDataError
            If TWS says at the first connection that quotes are delayed, unless `data.allow_delayed`, or not
            to be had. Later it is asked again, and nothing is recorded meanwhile.
        NotConnectedError
            If there is no first connection after `data.ib.reconnect_max_attempts` tries in a row.
        """
        ib = self._settings.data.ib
        number = ib.client_id + OWN_CLIENT if client_id is None else client_id
        failed = 0
        while not stop.is_set() and self._instruments:
            session = MarketDataSession(timeout=ib.timeout_seconds)
            try:
                if not await _unless(stop, self._ready(session, number)):
                    break
                failed = 0
                self.report.connections += 1
                refused = await record(
                    session,
                    self._instruments,
                    self._clock,
                    stop,
                    minutes=self._minutes,
                    options=self._options,
                    every_seconds=every_seconds,
                    written=lambda: told(self._counted()),
                )
            except (NotConnectedError, DelayedDataError) as error:
                failed += 1
                hopeless = isinstance(error, DelayedDataError) or failed > ib.reconnect_max_attempts
                if hopeless and not self.report.connections:
                    raise
                structlog.get_logger("recorder").warning("nothing comes", tries=failed, error=str(error))
                longest = ib.reconnect_longest_pause_seconds
                await _pause(min(ib.reconnect_backoff_seconds * failed, longest), stop)
                continue
            finally:
                session.close()
            self.report.refused |= refused
            self._instruments = [one for one in self._instruments if one.symbol not in refused]
            if self._instruments:
                await _pause(ib.reconnect_backoff_seconds, stop)
        report = self._counted()
        report.lost += self._minutes.waiting + (0 if self._options is None else self._options.waiting)
        return report

    async def _ready(self, session: MarketDataSession, number: int) -> None:
        ib, data = self._settings.data.ib, self._settings.data
        await session.open(ib.host, ib.port, number)
        await require_live_data(session, self._instruments, allow_delayed=data.allow_delayed)

    def _counted(self) -> Recorded:
        report, options = self.report, self._options
        report.minutes, report.lost = self._minutes.written, self._minutes.lost
        if options is not None:
            report.option_minutes, report.delayed_ticks = options.written, options.delayed
            report.lost += options.lost
        return report


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Do something, or give it up when told to stop; return whether it was done."""
    doing, told = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({doing, told}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            return False
        await doing
        return True
    finally:
        for task in (doing, told):
            task.cancel()
        await asyncio.wait({doing, told})


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
