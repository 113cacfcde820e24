"""Which of our instruments a contract on the wire is: by contract id once known, before that by description.

On the wire a future or option goes by its underlying's symbol, so that a stock, two expiries of a future and
an option can all be called ES. What comes in is given our symbol here, once, before anything else sees it; a
contract that is none of ours gets a name that says what it is and is nobody's symbol.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from execution.errors import InvalidOrderError
from execution.ibkr.contract_terms import ContractTerms
from execution.models import ZERO, Instrument, OrderRequest
from execution.numbers import format_decimal, parse_integer, parse_wire_decimal

SMART = "SMART"
FOREX_EXCHANGE = "IDEALPRO"
_PAIR_LETTERS = 6
_RIGHTS = {"C": "C", "CALL": "C", "P": "P", "PUT": "P"}
_ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class WireContract:
    """A contract as TWS describes it; what it does not say is empty."""

    con_id: int
    symbol: str
    security_type: str
    expiry: str = ""
    strike: Decimal | None = None
    right: str = ""
    multiplier: Decimal = _ONE
    exchange: str = ""
    currency: str = ""
    local_symbol: str = ""
    trading_class: str = ""

    @classmethod
    def read(cls, fields: Sequence[str], start: int) -> WireContract:
        """Read the run of eleven fields that most messages describe a contract by.

        Parameters
        ----------
        fields
            The message.
        start
            Where the run begins: the place of the contract id.

        Raises
        ------
        NumberFormatError
            If a number in it cannot be read.
        IndexError
            If the message ends before the run does.
        """
        con_id, symbol, kind, expiry, strike, right, multiplier, exchange, currency, local, traded_as = (
            fields[start + i] for i in range(11)
        )
        return cls(
            parse_integer(con_id or "0", name="contract id"),
            symbol,
            kind,
            expiry.split(" ")[0],
            parse_wire_decimal(strike, name="strike") or None,
            _RIGHTS.get(right, ""),
            parse_wire_decimal(multiplier, name="multiplier") or _ONE,
            exchange,
            currency,
            local,
            traded_as,
        )


@dataclass(frozen=True, slots=True)
class WireTerms:
    """What an instrument's contract says on the wire where that is not what the instrument says."""

    symbol: str
    exchange: str
    currency: str


def wire_terms(instrument: Instrument) -> WireTerms:
    """Return symbol, exchange and currency on the wire: a pair such as EURUSD is EUR in USD at IDEALPRO."""
    symbol, exchange, currency = instrument.symbol, instrument.exchange, instrument.currency
    if instrument.security_type == "CASH":
        exchange = FOREX_EXCHANGE if exchange == SMART else exchange
        pair = symbol.replace(".", "").replace("/", "")
        if not instrument.underlying and len(pair) == _PAIR_LETTERS:
            return WireTerms(pair[:3], exchange, pair[3:])
    return WireTerms(instrument.underlying or symbol, exchange, currency)


class ContractBook:
    """Our instruments, found by what TWS says of a contract.

    Parameters
    ----------
    instruments
        What may be traded; a US stock need not be named.
    """

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        self._instruments: dict[str, Instrument] = {}
        self._by_con_id: dict[int, str] = {}
        self._con_ids: dict[str, int] = {}
        self._by_name: dict[tuple[str, str, str], list[Instrument]] = {}
        self._terms: dict[str, ContractTerms] = {}
        self._unknown: dict[str, str] = {}
        self.offer(instruments)

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """Our instruments by our symbol."""
        return self._instruments

    def offer(self, instruments: Iterable[Instrument]) -> None:
        """Add instruments; one that is known under the same symbol is replaced.

        Raises
        ------
        InvalidOrderError
            If two symbols stand for the same contract: a position could be either's.
        """
        for instrument in instruments:
            self._forget(instrument.symbol)
            for other in self._by_name.get(_name(instrument), ()):
                if _same(instrument, other):
                    raise InvalidOrderError(
                        f"{instrument.symbol} and {other.symbol} are the same contract "
                        f"({instrument.security_type} {_name(instrument)[0]}); give it one symbol"
                    )
            self._instruments[instrument.symbol] = instrument
            self._by_name.setdefault(_name(instrument), []).append(instrument)
            if instrument.con_id:
                self.learn(instrument.symbol, instrument.con_id)

    def _forget(self, symbol: str) -> None:
        self._terms.pop(symbol, None)
        self._unknown.pop(symbol, None)
        known = self._instruments.pop(symbol, None)
        if known is not None:
            self._by_name[_name(known)].remove(known)
        self._by_con_id.pop(self._con_ids.pop(symbol, 0), None)

    def learn(self, symbol: str, con_id: int) -> None:
        """Take note of a contract's id; what was said of it before no longer counts."""
        self._by_con_id.pop(self._con_ids.get(symbol, 0), None)
        self._con_ids[symbol] = con_id
        self._by_con_id[con_id] = symbol

    # -- what contracts take -------------------------------------------------------------------------------

    def describe(self, symbol: str, terms: ContractTerms) -> None:
        """Take what the broker's details say of one of our instruments."""
        self._terms[symbol] = terms
        self._unknown.pop(symbol, None)
        self.learn(symbol, terms.con_id)

    def unknown(self, symbol: str, why: str) -> None:
        """Take the broker's word that it knows no contract for one of our instruments, or several."""
        self._unknown[symbol] = why

    def forget_unknown(self) -> list[str]:
        """Start a new session, in which the broker may know more; return what it did not know before."""
        forgotten = list(self._unknown)
        self._unknown.clear()
        return forgotten

    def terms_of(self, symbol: str) -> ContractTerms | None:
        """Return what the broker's details say of a symbol; None while they are not known."""
        return self._terms.get(symbol)

    def sure_con_id(self, instrument: Instrument) -> int:
        """Return the contract id by which an instrument can be ordered; 0 goes by its description."""
        terms = self._terms.get(instrument.symbol)
        return instrument.con_id or (0 if terms is None else terms.con_id)

    def check(self, request: OrderRequest, now_ns: int) -> None:
        """Refuse an order that its contract would not take; raise `InvalidOrderError`, nothing was sent."""
        why = self._unknown.get(request.symbol)
        if why is not None:
            raise InvalidOrderError(
                f"{why}. The broker takes no order in it; correct the instrument. Nothing was sent"
            )
        terms = self._terms.get(request.symbol)
        if terms is not None:
            terms.check(request, now_ns)

    def increment_at(self, symbol: str, price: Decimal) -> Decimal:
        """Return the increment that the broker asks for at a price; zero while it is not known."""
        terms = self._terms.get(symbol)
        return ZERO if terms is None else terms.increment_at(price)

    # -- what comes in -------------------------------------------------------------------------------------

    def symbol_in(self, fields: Sequence[str], start: int) -> str:
        """Return our symbol of the contract that a message describes; see `WireContract.read`."""
        known = self._by_con_id.get(parse_integer(fields[start] or "0", name="contract id"))
        return self.symbol_of(WireContract.read(fields, start)) if known is None else known

    def symbol_of(self, contract: WireContract) -> str:
        """Return our symbol of a contract, or a name that is nobody's symbol if it is none of ours.

        The first contract that fits an instrument's description gives it its id; from then on another one
        that fits it too is not it.
        """
        if contract.con_id:
            known = self._by_con_id.get(contract.con_id)
            if known is not None:
                return known
        fitting = [one for one in self._candidates(contract) if _fits(one, contract)]
        if len(fitting) > 1:  # the one that says most is meant: SPXW names its class, SPX may not
            fitting.sort(key=_said, reverse=True)
            if _said(fitting[0]) == _said(fitting[1]):
                fitting = []
        symbol = fitting[0].symbol if fitting else self._plain_stock(contract)
        if symbol is None:
            return self._name_of_stranger(contract)
        if contract.con_id:
            if symbol in self._con_ids:  # it would have been found by its id
                return self._name_of_stranger(contract)
            self.learn(symbol, contract.con_id)
        return symbol

    def _candidates(self, contract: WireContract) -> list[Instrument]:
        kind, currency = contract.security_type or "STK", contract.currency or "USD"
        return self._by_name.get((contract.symbol, kind, currency), [])

    def _plain_stock(self, contract: WireContract) -> str | None:
        """Return the symbol of what was not offered and is taken as a US stock; None if it is none."""
        plain = contract.security_type in ("STK", "") and contract.currency in ("USD", "")
        return contract.symbol if plain and contract.symbol not in self._instruments else None

    def _name_of_stranger(self, contract: WireContract) -> str:
        kind = contract.security_type or "STK"
        if contract.con_id:
            return f"{contract.symbol} {kind} {contract.con_id}"
        strike = "" if contract.strike is None else format_decimal(contract.strike)
        abroad = "" if contract.currency == "USD" else contract.currency
        parts = (contract.symbol, kind, contract.expiry, strike + contract.right, abroad)
        return " ".join(part for part in parts if part)


def _name(instrument: Instrument) -> tuple[str, str, str]:
    terms = wire_terms(instrument)
    return terms.symbol, instrument.security_type, terms.currency


def _same(one: Instrument, other: Instrument) -> bool:
    if one.con_id and other.con_id:
        return one.con_id == other.con_id
    return _description(one) == _description(other)


def _description(one: Instrument) -> tuple[object, ...]:
    strike = None if one.strike is None else one.strike.normalize()
    terms = (one.expiry, strike, one.right, one.multiplier.normalize(), one.trading_class, one.local_symbol)
    return (wire_terms(one).exchange, one.primary_exchange, *terms)


def _said(one: Instrument) -> int:
    return sum(bool(text) for text in (one.trading_class, one.local_symbol, one.expiry, one.con_id))


def _fits(instrument: Instrument, contract: WireContract) -> bool:
    """Return whether nothing that a contract says contradicts an instrument."""
    if instrument.con_id and contract.con_id and instrument.con_id != contract.con_id:
        return False
    if instrument.security_type in ("STK", "CASH", "IND"):
        return True
    month_only = min(len(instrument.expiry), len(contract.expiry))
    return (
        instrument.expiry[:month_only] == contract.expiry[:month_only]
        and instrument.strike == contract.strike
        and instrument.right == contract.right
        and instrument.multiplier == contract.multiplier
        and instrument.trading_class in ("", contract.trading_class)
        and instrument.local_symbol in ("", contract.local_symbol)
        and _at_same_place(instrument.exchange, contract.exchange)
    )


def _at_same_place(ours: str, theirs: str) -> bool:
    return not theirs or SMART in (ours, theirs) or ours == theirs
