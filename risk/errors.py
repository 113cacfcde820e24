"""Errors of the risk package. A refused order is not one: it is a `RiskDecision` with its rule's code."""

from __future__ import annotations


class RiskError(Exception):
    """Risk was asked something that makes no sense. Nothing was approved; see the subclass."""

    code = "RISK_ERROR"


class ReservationError(RiskError, ValueError):
    """An order cannot be reserved: it has no client order id, or its id holds a reservation already.

    The order must not be sent. Give each order an id of its own, and reserve it once.
    """

    code = "RESERVATION"


class LimitsError(RiskError, ValueError):
    """A limit is negative or not a number. Nothing trades on it. Correct the named key under ``risk``."""

    code = "RISK_LIMITS"


class KillSwitchResetError(RiskError, ValueError):
    """The kill switch was not reset: it is not tripped, or no reason was given. State why and try again."""

    code = "KILL_SWITCH_RESET"
