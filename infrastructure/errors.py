"""Errors of configuration, start-up and control: each has a stable code, a consequence and a next step.

The command line turns any error with a ``code`` into one line on stderr and an exit status. The table in
``docs/errors.md`` is generated from the classes here and in the other packages.
"""

from __future__ import annotations


class InfrastructureError(Exception):
    """A part could not be configured, started or reached; see the subclass for what it means."""

    code = "INFRASTRUCTURE_ERROR"


class ConfigError(InfrastructureError, ValueError):
    """A setting, configuration file or option is not usable. Nothing was started. Correct the named place."""

    code = "CONFIG"


class SecretError(ConfigError):
    """A secret's file or keyring entry cannot be read. Nothing was started. Provide it or name another."""

    code = "SECRET_UNAVAILABLE"


class LiveInterlockError(InfrastructureError):
    """The agreements for real money do not all hold, or a paper run points at a live broker.

    No connection was made. The message lists each agreement and its state; change the ones you mean to.
    """

    code = "LIVE_INTERLOCK"


class TraderUnreachableError(InfrastructureError, ConnectionError):
    """No running trader answers on its control socket. Nothing was changed.

    ``trade live`` starts one; ``--profile`` and ``--config`` must be those it was started with.
    """

    code = "TRADER_UNREACHABLE"


class GatewayUnreachableError(InfrastructureError, ConnectionError):
    """No simulated gateway answers there. Nothing was changed.

    ``trade gateway`` starts one; its first line says where it listens.
    """

    code = "GATEWAY_UNREACHABLE"
