"""Errors of the connection, beside those of `execution.errors`."""

from __future__ import annotations

from execution.errors import BrokerUnavailableError, ExecutionError, NotConnectedError, NotReadyError


class ClientIdInUseError(NotConnectedError):
    """TWS says that another connection holds this client id (326); nothing was sent.

    After a lost connection TWS frees the id by itself, which is waited for: with another id our orders would
    belong to somebody else. If it lasts, another program uses the id: stop it.
    """

    code = "CLIENT_ID_IN_USE"


class PlannedDowntimeError(NotReadyError):
    """The gateway is away in a planned window; nothing was sent. Nothing to do before the window ends."""

    code = "PLANNED_DOWNTIME"


class AccountChangedError(NotConnectedError):
    """The new login does not offer the accounts that were authorised before; the session was closed.

    Nothing was sent. Log in to TWS as before, or stop the trader and start it for the other account.
    """

    code = "ACCOUNT_CHANGED"


class ReadOnlyApiError(BrokerUnavailableError):
    """TWS runs with Read-Only API: it shows no orders and takes none, so nothing can be reconciled or sent.

    Untick "Read-Only API" in the API settings of TWS; the next try goes on by itself.
    """

    code = "READ_ONLY_API"


class GatewayWeekError(ExecutionError, ValueError):
    """A planned window of the gateway's week cannot be read; nothing was started. Correct the named text."""

    code = "GATEWAY_WEEK"
