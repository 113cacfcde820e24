"""Errors of the execution library: each has a stable code, says the consequence and the next step.

Every class also subclasses the built-in that callers expect (``ValueError``, ``ConnectionError``,
``TimeoutError``), so plain ``except`` clauses work. The table in ``docs/errors.md`` is generated from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from execution.models import Order


class ExecutionError(Exception):
    """Anything the execution library refuses or cannot do; see the subclass for what it means."""

    code = "EXECUTION_ERROR"

    def __init__(self, message: str, **context: Any) -> None:
        super().__init__(message)
        self.context = context


class InvalidOrderError(ExecutionError, ValueError):
    """The order is malformed. Nothing was sent or recorded. Correct the named field and submit again."""

    code = "INVALID_ORDER"


class NumberFormatError(ExecutionError, ValueError):
    """A number from outside is not a plain finite decimal. Nothing was used. Correct the named value."""

    code = "NUMBER_FORMAT"


class RiskCheckError(ExecutionError):
    """A pre-trade rule refused the order. Nothing was sent; the refusal is in the audit trail."""

    code = "RISK_REFUSED"

    def __init__(self, message: str, *, rule: str = "RISK_REFUSED", **context: Any) -> None:
        super().__init__(message, **context)
        self.rule = rule


class OrderRejectedError(ExecutionError):
    """The broker refused the order; it is not live. Read the broker's reason before sending another."""

    code = "BROKER_REJECTED"


class ModificationRejectedError(OrderRejectedError):
    """The broker did not make the change; the order goes on with the terms it had, or had ended before.

    Read the reason; ``order`` in the context is the order as it stands.
    """

    code = "MODIFY_REJECTED"


class NotModifiableError(ExecutionError, ValueError):
    """The order is not at work, a change or a cancel of it is under way, or TWS may give its id anew.

    Nothing was sent; it is as it was. The message names which, and what to do.
    """

    code = "NOT_MODIFIABLE"


class NotConnectedError(ExecutionError, ConnectionError):
    """No usable session with the broker; nothing was sent. Check TWS or the gateway, then retry."""

    code = "NOT_CONNECTED"


class PacingError(NotConnectedError):
    """The messages TWS takes in a second are used up; nothing was sent. Try again a second later."""

    code = "PACING"


class NotReadyError(NotConnectedError):
    """Connected, but orders and positions are not reconciled yet; nothing was sent. Wait, then retry."""

    code = "NOT_RECONCILED"


class BrokerUnavailableError(ExecutionError, ConnectionError):
    """A request to the broker failed or was cut off: its answer is unknown, never empty. Ask again."""

    code = "BROKER_UNAVAILABLE"


class AcknowledgementTimeoutError(ExecutionError, TimeoutError):
    """The order was written and the broker has not answered: its state is UNKNOWN.

    Do not send it again. It keeps its reservation until reconciliation finds it or proves it absent;
    ``order`` carries what is known.
    """

    code = "ACK_TIMEOUT"

    def __init__(self, message: str, order: Order) -> None:
        super().__init__(message, order=order)
        self.order = order


class OrderInDoubtError(ExecutionError):
    """An order may or may not have reached the broker. Trading is held until it is resolved.

    See ``trade orders doubt`` for the order, its evidence and a safe next step.
    """

    code = "ORDER_IN_DOUBT"


class SettlementError(ExecutionError, ValueError):
    """What was to be settled by hand is not open to it. Nothing changed; the message says what stands."""

    code = "SETTLEMENT"


class DuplicateOrderError(ExecutionError, ValueError):
    """The client order id was used before with another body. Nothing was sent. Use a new id."""

    code = "DUPLICATE_CLIENT_ORDER_ID"


class UnknownOrderError(ExecutionError, ValueError):
    """No order is known under this id. ``trade orders list`` shows the ids that are."""

    code = "UNKNOWN_ORDER"


class JournalError(ExecutionError):
    """The journal cannot be opened or written. No order is sent without it. Check disk and permissions."""

    code = "JOURNAL_UNAVAILABLE"


class JournalLockedError(JournalError):
    """Another trader holds this journal. Stop it (``trade stop``) or use another profile or account."""

    code = "JOURNAL_LOCKED"


class JournalCorruptError(JournalError):
    """The hash chain does not verify: the record was altered or cut. Keep the file; restore from a copy."""

    code = "JOURNAL_CORRUPT"


class AnchorError(JournalError):
    """The anchors of a journal cannot be read or written, or do not verify.

    Trading goes on, but a cut of the journal's tail would not be seen. Check the folder and the key.
    """

    code = "ANCHOR"


class RetentionError(JournalError, ValueError):
    """Records younger than the retention period were to be removed. Nothing was. Ask for 7y or more."""

    code = "RETENTION"
