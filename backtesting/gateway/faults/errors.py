"""Errors of fault scripts and fault actions."""

from __future__ import annotations

from backtesting.gateway.errors import GatewayError


class FaultScriptError(GatewayError):
    """A fault script cannot be read, so no rule of it is in force. The message names file, rule and key."""

    code = "GATEWAY_FAULT_SCRIPT"


class FaultActionError(GatewayError):
    """A fault could not be brought about, for example for an order that does not exist; nothing was done."""

    code = "GATEWAY_FAULT_ACTION"
