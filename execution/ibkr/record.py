"""The record of what is asked of TWS and sent to it, in the journal, off the way of orders.

Each exchange is appended when it has ended and becomes durable with the next commit, whoever makes it; if
nobody does, one is made within a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from execution.audit import AuditLogger
from execution.errors import JournalError

_WITHIN = 1.0


class InteractionRecord:
    """Writes exchanges with TWS to the audit trail.

    Parameters
    ----------
    audit
        Gives the audit trail; None records nothing.
    """

    def __init__(self, audit: Callable[[], AuditLogger | None]) -> None:
        self._audit = audit
        self._due: asyncio.TimerHandle | None = None
        self._log = structlog.get_logger("connection")

    def note(self, kind: str, facts: dict[str, Any]) -> None:
        """Record one exchange."""
        audit = self._audit()
        if audit is None:
            return
        audit.log_interaction(kind, facts)
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(_WITHIN, self._commit, audit)

    def _commit(self, audit: AuditLogger) -> None:
        self._due = None
        try:
            audit.commit()
        except JournalError as error:  # held by the journal, it follows with the next commit
            self._log.error("exchanges with TWS are not on record yet", why=str(error))

    def settle(self) -> None:
        """Leave the commit to others: the connection is being closed."""
        due, self._due = self._due, None
        if due is not None:
            due.cancel()
