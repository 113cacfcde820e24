"""Greeks of options for the risk of the book: the newest that a recorder put into the database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import structlog

from data.errors import DataError
from execution.clocks import TradingClock, timestamp, utc_ns
from infrastructure.settings import Settings
from infrastructure.stores import store_of
from risk.greeks import LONGEST_AGE_NS, OptionGreeks


class RecordedGreeks(Mapping[str, OptionGreeks]):
    """The newest Greeks of each option that the database of the settings knows; a folder of bars has none.

    Parameters
    ----------
    settings
        Name the store.
    clock
        Says which Greeks are too old to be looked at.
    """

    def __init__(self, settings: Settings, clock: TradingClock) -> None:
        self._settings = settings
        self._clock = clock
        self._known: dict[str, OptionGreeks] = {}

    def __getitem__(self, symbol: str) -> OptionGreeks:
        return self._known[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def refresh(self) -> None:
        """Read them anew; where that fails what is known stays, with a line in the log."""
        if self._settings.database.url is None:
            return  # asked first: the database's drivers take a second to import
        from data.stores import DatabaseBarStore
        from data.stores.option_minutes import newest_greeks

        since = timestamp(self._clock.now_ns() - LONGEST_AGE_NS)
        try:
            with store_of(self._settings) as store:
                found = newest_greeks(store.database, since) if isinstance(store, DatabaseBarStore) else []
        except DataError as error:
            structlog.get_logger("risk").warning("no new Greeks for the risk of the book", why=str(error))
            return
        self._known = {
            one.symbol: OptionGreeks(
                one.delta, one.gamma, one.vega, one.theta,
                one.underlying_price, float(one.multiplier), utc_ns(one.end),
            )
            for one in found
        }  # fmt: skip
