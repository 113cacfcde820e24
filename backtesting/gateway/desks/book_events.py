"""Who is told what happens to orders, one call an event, in the order in which clients are to hear of it."""

from __future__ import annotations

from typing import Protocol

from backtesting.gateway.tickets import Execution, Ticket
from backtesting.margin import MarginImpact


class BookEvents(Protocol):
    """What a listener of the order book takes; the ticket is as it was at that moment."""

    def on_accepted(self, ticket: Ticket) -> None:
        """Take an order that has just been transmitted."""

    def on_changed(self, ticket: Ticket) -> None:
        """Take another status, hold, size or price of a live order."""

    def on_cancelling(self, ticket: Ticket) -> None:
        """Take that somebody asks to cancel an order; its end follows."""

    def on_cancelled(self, ticket: Ticket) -> None:
        """Take the end of an order that was not filled."""

    def on_rejected(self, ticket: Ticket, code: int, text: str) -> None:
        """Take an order that was refused after it had been looked at: it is Inactive."""

    def on_execution(self, execution: Execution) -> None:
        """Take an execution; its ticket's totals include it."""

    def on_corrected(self, execution: Execution) -> None:
        """Take the new version of an execution that was corrected or busted."""

    def on_adjusted(self, symbol: str) -> None:
        """Take that holdings of a symbol were changed by a corporate action."""

    def on_what_if(self, ticket: Ticket, impact: MarginImpact) -> None:
        """Take the answer to what an order would do."""


class NoEvents:
    """A listener to whom nothing matters; a base for those who take some events only."""

    def on_accepted(self, ticket: Ticket) -> None:
        """Ignore it."""

    def on_changed(self, ticket: Ticket) -> None:
        """Ignore it."""

    def on_cancelling(self, ticket: Ticket) -> None:
        """Ignore it."""

    def on_cancelled(self, ticket: Ticket) -> None:
        """Ignore it."""

    def on_rejected(self, ticket: Ticket, code: int, text: str) -> None:
        """Ignore it."""

    def on_execution(self, execution: Execution) -> None:
        """Ignore it."""

    def on_corrected(self, execution: Execution) -> None:
        """Ignore it."""

    def on_adjusted(self, symbol: str) -> None:
        """Ignore it."""

    def on_what_if(self, ticket: Ticket, impact: MarginImpact) -> None:
        """Ignore it."""
