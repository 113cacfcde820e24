"""The market of a gateway: the tape, and what can be asked about it."""

from __future__ import annotations

from collections.abc import Sequence

from backtesting.gateway.market.bars import BarSource, Tape
from backtesting.gateway.market.corporate_action_file import CorporateAction
from backtesting.gateway.market.history import HistoryRoom
from backtesting.gateway.market.quote_file import QuoteTable
from backtesting.gateway.market.quotes import Quote, Quotes
from backtesting.gateway.market.views import Views
from data.calendars import MarketClock
from execution.models import Instrument


class Market(Tape):
    """Bars as they are played, quotes and history.

    Parameters
    ----------
    bars
        Bars by symbol, of one size each or of several.
    instruments
        Where price increments and lots come from; a symbol that is not named has a cent and 1.
    calendar
        Regular hours, for history that asks for them; None where all hours are regular.
    slippage
        That quotes are derived with, in hundredths of a basis point.
    quotes
        A quotes file, if there is one.

    Raises
    ------
    GatewayError
        If there are no bars at all, or two series of one symbol and size.
    """

    def __init__(
        self,
        bars: BarSource,
        instruments: Sequence[Instrument] = (),
        calendar: MarketClock | None = None,
        *,
        slippage: int = 0,
        quotes: QuoteTable | None = None,
    ) -> None:
        super().__init__(bars, instruments)
        self.slippage = slippage
        self.views = Views(self, calendar, slippage)
        self.history = HistoryRoom(self, self.views)
        self._quotes = Quotes(self, instruments, slippage, quotes)

    def adjust(self, action: CorporateAction) -> None:
        """Tell the close of the day before a split or dividend adjusted."""
        self._quotes.adjust(action)

    def is_quoted(self, symbol: str) -> bool:
        """Say whether a symbol has bars or quotes."""
        return symbol in self.series or self.has_quotes(symbol)

    def has_quotes(self, symbol: str) -> bool:
        """Say whether a symbol's quotes come from a file."""
        return self._quotes.has_rows(symbol)

    def quote(self, symbol: str) -> Quote:
        """Return what a symbol is bid, asked and was last traded at; prices not known are None."""
        return self._quotes.find(symbol)
