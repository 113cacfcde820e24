"""What one client wants to hear of its accounts, and what it has been told."""

from __future__ import annotations

from dataclasses import dataclass, field

from backtesting.gateway.desks.account_values import Values


@dataclass(slots=True)
class ValuesWatch:
    """A subscription to values of one or more accounts."""

    accounts: tuple[str, ...]
    tags: frozenset[str] = frozenset()
    """Of a summary."""
    ledger_only: bool = False
    told: dict[str, Values] = field(default_factory=dict)
    """The values told last, by account."""

    def news(self, account: str, values: Values) -> Values:
        """Return the values that have changed since they were told, and count them as told."""
        told = self.told.get(account, {})
        changed = {key: text for key, text in values.items() if told.get(key) != text}
        self.told[account] = values
        return changed


@dataclass(slots=True)
class HoldingsWatch:
    """A subscription to the holdings of one or more accounts."""

    accounts: tuple[str, ...]
    told: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """The message sent last, by account and symbol."""

    def is_news(self, account: str, symbol: str, data: bytes) -> bool:
        """Say whether a message differs from the one sent last, and count it as sent."""
        if self.told.get((account, symbol)) == data:
            return False
        self.told[account, symbol] = data
        return True


@dataclass(slots=True)
class ProfitWatch:
    """A subscription to the profit of an account, or of one of its holdings."""

    account: str
    symbol: str | None = None
    told: bytes = b""


@dataclass(slots=True)
class Watch:
    """All subscriptions of one client to its accounts; requests by their id."""

    positions: HoldingsWatch | None = None
    updates: ValuesWatch | None = None
    portfolio: HoldingsWatch = field(default_factory=lambda: HoldingsWatch(()))
    positions_multi: dict[int, HoldingsWatch] = field(default_factory=dict)
    values_multi: dict[int, ValuesWatch] = field(default_factory=dict)
    summaries: dict[int, ValuesWatch] = field(default_factory=dict)
    profits: dict[int, ProfitWatch] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(
            self.positions
            or self.updates
            or self.positions_multi
            or self.values_multi
            or self.summaries
            or self.profits
        )
