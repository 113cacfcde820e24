"""What clients ask of the account desk, as typed values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ManagedAccounts:
    """17: the accounts of this login."""


@dataclass(frozen=True, slots=True)
class Positions:
    """61 and 64: positions and their changes, until cancelled."""

    subscribe: bool


@dataclass(frozen=True, slots=True)
class PositionsMulti:
    """74: positions of one account under a request id, and their changes."""

    request_id: int
    account: str
    model: str


@dataclass(frozen=True, slots=True)
class CancelPositionsMulti:
    """75: end of such a subscription."""

    request_id: int


@dataclass(frozen=True, slots=True)
class AccountSummary:
    """62: values of the account by tag."""

    request_id: int
    group: str
    tags: str


@dataclass(frozen=True, slots=True)
class CancelAccountSummary:
    """63: end of a summary."""

    request_id: int


@dataclass(frozen=True, slots=True)
class AccountUpdates:
    """6: values and holdings of the account and their changes, until cancelled."""

    subscribe: bool
    account: str


@dataclass(frozen=True, slots=True)
class AccountUpdatesMulti:
    """76: values of the account under a request id."""

    request_id: int
    account: str
    model: str
    ledger_only: bool = False


@dataclass(frozen=True, slots=True)
class CancelAccountUpdatesMulti:
    """77: end of such a subscription."""

    request_id: int


@dataclass(frozen=True, slots=True)
class PnL:
    """92: profit and loss of an account, until cancelled."""

    request_id: int
    account: str
    model: str


@dataclass(frozen=True, slots=True)
class CancelPnL:
    """93: end of such a subscription."""

    request_id: int


@dataclass(frozen=True, slots=True)
class PnLSingle:
    """94: profit and loss of one holding, until cancelled."""

    request_id: int
    account: str
    model: str
    con_id: int


@dataclass(frozen=True, slots=True)
class CancelPnLSingle:
    """95: end of such a subscription."""

    request_id: int


@dataclass(frozen=True, slots=True)
class FamilyCodes:
    """80: the families the accounts belong to."""


@dataclass(frozen=True, slots=True)
class SoftDollarTiers:
    """79: commission arrangements of the login."""

    request_id: int


@dataclass(frozen=True, slots=True)
class UserInfo:
    """104: the white branding of the login."""

    request_id: int
