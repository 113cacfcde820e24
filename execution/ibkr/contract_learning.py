"""Learning what the instruments' contracts take: once a connection, and again when a day has passed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from execution.errors import BrokerUnavailableError, NumberFormatError
from execution.ibkr.contract_book import ContractBook
from execution.ibkr.session import IBSession
from execution.models import Instrument

_GOOD_FOR = 86_400.0
"""Seconds for which details are taken to hold."""
_AT_ONCE = 20
_LONGEST = 300


class ContractLearning:
    """Asks for the details of the instruments in a book.

    What is not answered is left out: orders for it are judged by what is known of it here.

    Parameters
    ----------
    contracts
        The book, which is told.
    note
        Takes what was learned for the record.
    monotonic
        Monotonic seconds.
    """

    def __init__(
        self,
        contracts: ContractBook,
        note: Callable[[str, dict[str, Any]], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._contracts = contracts
        self._note = note
        self._monotonic = monotonic
        self._learned: dict[str, float] = {}
        self._session: IBSession | None = None
        self._log = structlog.get_logger("contracts")

    async def learn(self, session: IBSession) -> None:
        """Ask for what is not known, or was asked for too long ago."""
        if session is not self._session:
            self._session = session
            for symbol in self._contracts.forget_unknown():
                self._learned.pop(symbol, None)
        now = self._monotonic()
        due = [
            instrument
            for symbol, instrument in sorted(self._contracts.instruments.items())
            if now - self._learned.get(symbol, now - _GOOD_FOR) >= _GOOD_FOR
        ]
        for first in range(0, len(due), _AT_ONCE):
            await asyncio.gather(*(self._ask(session, one) for one in due[first : first + _AT_ONCE]))

    async def _ask(self, session: IBSession, instrument: Instrument) -> None:
        symbol = instrument.symbol
        try:
            found = await session.contract_terms(instrument)
        except (BrokerUnavailableError, NumberFormatError) as error:
            self._log.warning("contract details did not come", symbol=symbol, why=str(error))
            return
        self._learned[symbol] = self._monotonic()
        refusal = session.unknown_contracts.get(symbol)
        if refusal is not None:
            self._log.error("the broker knows no such contract", symbol=symbol, why=refusal)
            self._contracts.unknown(symbol, f"{symbol}: the broker answered {refusal}")
            self._note("api_contract", {"symbol": symbol, "found": 0, "error": refusal[:_LONGEST]})
            return
        if len(found) == 1:
            self._contracts.describe(symbol, found[0])
            self._note("api_contract", {"symbol": symbol, "found": 1, **found[0].as_body()})
            return
        why = f"{len(found)} contracts fit it" if found else "the broker knows no such contract"
        self._log.warning("contract is not told apart", symbol=symbol, why=why)
        self._note("api_contract", {"symbol": symbol, "found": len(found)})
