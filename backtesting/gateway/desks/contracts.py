"""The contract desk: what can be traded, when, and at which prices.

A stock's liquid hours are the calendar's session, its trading hours 04:00 to four hours after the close; a
contract with hours of its own has those on the days of the calendar; everything else has the calendar's.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from decimal import Decimal
from itertools import groupby
from typing import Final
from zoneinfo import ZoneInfo

from backtesting.gateway.errors import RequestRefusedError
from backtesting.gateway.market.contracts import STOCK_VENUES, ContractBook, Listing, is_us_stock, listing
from backtesting.gateway.session import ClientSession
from backtesting.gateway.state import GatewayState, Handlers
from backtesting.gateway.wire import contract_replies, replies
from backtesting.gateway.wire import requests as ask
from backtesting.gateway.wire.codec import EASTERN
from data.calendars import Session
from execution.clocks import NANOS
from execution.models import Instrument

_HOURS_DAYS: Final = 6
_EARLY_OPEN: Final = dt.time(4)
_LATE_TRADING: Final = dt.timedelta(hours=4)
_LETTERS: Final = {"NYSE": "N", "NASDAQ": "Q", "ARCA": "P", "AMEX": "A", "BATS": "Z", "IEX": "V"}
"""Letters of the exchanges in consolidated quotes."""


class ContractDesk:
    """Contract details, searches, market rules and option chains."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._contracts: ContractBook = state.book.contracts
        self.handlers: Handlers = {
            ask.ContractDetails: self._details,
            ask.MatchingSymbols: self._matching,
            ask.MarketRule: self._rule,
            ask.OptionChain: self._chain,
            ask.SmartComponents: self._components,
        }

    def _details(self, session: ClientSession, wish: ask.ContractDetails) -> None:
        found = self._contracts.find_all(
            wish.contract, self._state.now_ns, include_expired=wish.include_expired
        )
        for instrument in found:
            facts, shown = self._facts(instrument), _at(wish.contract.exchange, instrument)
            session.send(replies.contract_details(session.version, wish.request_id, shown, facts=facts))
        session.send(replies.contract_details_end(wish.request_id))

    def _matching(self, session: ClientSession, wish: ask.MatchingSymbols) -> None:
        found = self._contracts.matching(wish.pattern)
        session.send(replies.symbol_samples(session.version, wish.request_id, found))

    def _rule(self, session: ClientSession, wish: ask.MarketRule) -> None:
        bands = self._contracts.rule(wish.rule_id)
        if bands is None:
            raise RequestRefusedError(321, "Error validating request.-'bH' : cause - Invalid market rule id")
        session.send(replies.market_rule(wish.rule_id, bands))

    def _chain(self, session: ClientSession, wish: ask.OptionChain) -> None:
        options = self._contracts.options_on(wish.con_id, wish.symbol, wish.exchange)
        today = f"{self._days()[0]:%Y%m%d}"
        chains = groupby(
            sorted((each for each in options if each.expiry >= today), key=_chain_key), key=_chain_key
        )
        for (exchange, traded_as, size), members in chains:
            listed = list(members)
            session.send(
                replies.option_chain(
                    wish.request_id,
                    exchange,
                    wish.con_id,
                    traded_as,
                    size,
                    sorted({each.expiry for each in listed}),
                    sorted({each.strike for each in listed if each.strike is not None}),
                )
            )
        session.send(replies.option_chain_end(wish.request_id))

    def _components(self, session: ClientSession, wish: ask.SmartComponents) -> None:
        venues = sorted(
            {each.primary_exchange for each in self._contracts.instruments.values()} & set(_LETTERS)
        )
        rows = [(bit, venue, _LETTERS[venue]) for bit, venue in enumerate(venues)]
        session.send(replies.smart_components(wish.request_id, rows))

    def _facts(self, instrument: Instrument) -> replies.ContractFacts:
        one = listing(instrument)
        underlying = self._contracts.underlying_of(instrument)
        return replies.ContractFacts(
            trading_hours=self._hours(one, one.hours, extended=one.security_type == "STK"),
            liquid_hours=self._hours(one, one.liquid_hours or one.hours, extended=False),
            zone=one.zone,
            market_rule=self._contracts.rule_id(instrument),
            exchanges=("SMART", *STOCK_VENUES) if is_us_stock(instrument) else (),
            industry=one.industry,
            category=one.category,
            subcategory=one.subcategory,
            stock_type=one.stock_type,
            underlying_con_id=underlying.con_id if underlying else 0,
            underlying_type=_underlying_type(instrument, underlying),
        )

    def _days(self) -> list[dt.date]:
        today = dt.datetime.fromtimestamp(self._state.now_ns // NANOS, tz=EASTERN).date()
        return [today + dt.timedelta(days=offset) for offset in range(_HOURS_DAYS)]

    def _hours(self, one: Listing, declared: str, *, extended: bool) -> str:
        """Return the sessions of the coming days as contract details spell them."""
        zone = ZoneInfo(one.zone)
        days = []
        for date in self._days():
            session = self._state.calendar.session_on(date)
            if session is None:
                days.append(f"{date:%Y%m%d}:CLOSED")
                continue
            opens, closes = _span(session, zone, declared, extended=extended)
            days.append(f"{opens:%Y%m%d:%H%M}-{closes:%Y%m%d:%H%M}")
        return ";".join(days)


def _at(venue: str, instrument: Instrument) -> Instrument:
    """Return a stock as listed where a client asked for it: TWS names that exchange, not the routing."""
    if venue in ("", instrument.exchange) or not is_us_stock(instrument):
        return instrument
    return dataclasses.replace(
        instrument, exchange=venue, primary_exchange=contract_replies.primary_exchange(instrument)
    )


def _span(
    session: Session, zone: ZoneInfo, declared: str, *, extended: bool
) -> tuple[dt.datetime, dt.datetime]:
    """Return when a contract trades in one session of the calendar."""
    opens, closes = (
        dt.datetime.fromtimestamp(ns // NANOS, tz=zone) for ns in (session.open_ns, session.close_ns)
    )
    if declared:
        first, last = (dt.datetime.strptime(text, "%H%M").time() for text in declared.split("-"))  # noqa: DTZ007  times of day; the zone is added
        begins = dt.datetime.combine(session.date, first, zone)
        return begins - dt.timedelta(days=first >= last), dt.datetime.combine(session.date, last, zone)
    if extended:
        return dt.datetime.combine(session.date, _EARLY_OPEN, zone), closes + _LATE_TRADING
    return opens, closes


def _chain_key(option: Instrument) -> tuple[str, str, Decimal]:
    return option.exchange, option.trading_class, option.multiplier


def _underlying_type(instrument: Instrument, underlying: Instrument | None) -> str:
    if underlying is not None:
        return underlying.security_type
    return {"OPT": "STK", "FUT": "IND"}.get(instrument.security_type, "")
