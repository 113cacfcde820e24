"""Requests whose answers have an end mark: each waits for its own, within a deadline, and fails otherwise.

TWS answers some requests without a number (open orders, positions, completed orders, the time). They are made
one at a time: with two under way the first end mark would complete both. The deadline counts from the last
row of the answer, so that a long answer is not cut off and one that stops is found. A request that nobody
waits for any more (its caller was cancelled) is waited out before the next of its name is sent.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from execution.errors import BrokerUnavailableError, NotConnectedError

_UNRECORDED = frozenset(("current time", "bars"))
"""Market data and the time are not on record: they concern neither orders nor the connection."""
_LONGEST_ERROR = 300


@dataclass(slots=True)
class _Pending:
    """A request under way: what has arrived for it, and the future that its end mark resolves."""

    future: asyncio.Future[None]
    heard: float
    rows: list[list[str]] = field(default_factory=list)
    count: int = 0
    orphaned: bool = False


class Requests:
    """The requests of one session.

    Parameters
    ----------
    is_open
        Whether there is a session.
    give_up
        Ends the session, with the reason: called when a request without a number was not answered, because
        its late end mark would complete the next one.
    note
        Takes each request for the record, when it has ended.

    Attributes
    ----------
    patience
        Seconds without a further row after which an answer does not come.
    """

    def __init__(
        self,
        is_open: Callable[[], bool],
        give_up: Callable[[str], None],
        note: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._is_open = is_open
        self._give_up = give_up
        self._note = note
        self._pending: dict[str, _Pending] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.patience = 30.0

    async def ask(
        self,
        name: str,
        send: Callable[[], None],
        *,
        number: int = 0,
        patience: float | None = None,
        vital: bool = True,
    ) -> list[list[str]]:
        """Send a request and return the rows of its complete answer.

        Parameters
        ----------
        name
            What is asked for.
        send
            Writes the request.
        number
            The request's own number; 0 if TWS answers without one, which lets it wait its turn.
        patience
            Seconds without a further row, instead of the usual ones.
        vital
            Give the session up if no answer comes.

        Raises
        ------
        BrokerUnavailableError
            If TWS refuses, the connection is lost, or the answer is not complete in time.
        NotConnectedError
            If there is no session.
        """
        if number:
            return await self._ask(name, f"{name} {number}", send, patience, vital, {"number": number})
        async with self._locks[name]:
            await self._wait_out(name, patience)
            return await self._ask(name, name, send, patience, vital, {})

    async def _ask(
        self,
        name: str,
        key: str,
        send: Callable[[], None],
        patience: float | None,
        vital: bool,
        facts: dict[str, Any],
    ) -> list[list[str]]:
        if not self._is_open():
            raise NotConnectedError(f"{key}: there is no session with the broker")
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._pending[key] = pending = _Pending(loop.create_future(), began)
        outcome, error = "cut off", ""
        try:
            send()
            await self._answer(pending, key, patience, vital)
            outcome = "answered"
        except (BrokerUnavailableError, NotConnectedError) as failed:
            outcome, error = "failed", str(failed)[:_LONGEST_ERROR]
            raise
        finally:
            if pending.future.done():
                self._pending.pop(key, None)
            else:
                pending.orphaned = True
            if name not in _UNRECORDED:
                facts |= {"request": name, "outcome": outcome, "rows": pending.count}
                facts["milliseconds"] = round((loop.time() - began) * 1000)
                self._note("api_request", facts | ({"error": error} if error else {}))
        return pending.rows

    async def _wait_out(self, key: str, patience: float | None) -> None:
        """Let a request that nobody waits for end: its end mark must not complete the next one."""
        orphan = self._pending.get(key)
        if orphan is not None:
            await self._answer(orphan, key, patience, vital=True)
            self._pending.pop(key, None)

    async def _answer(self, pending: _Pending, key: str, patience: float | None, vital: bool) -> None:
        loop = asyncio.get_running_loop()
        allowed = self.patience if patience is None else patience
        while not pending.future.done():
            left = pending.heard + allowed - loop.time()
            if left <= 0:
                self._overdue(pending, key, allowed, vital)
                break
            await asyncio.wait({pending.future}, timeout=left)
        pending.future.result()

    def _overdue(self, pending: _Pending, key: str, allowed: float, vital: bool) -> None:
        late = f"{key}: no complete answer within {allowed:g} s"
        pending.future.set_exception(BrokerUnavailableError(f"{late}; what stands at the broker is unknown"))
        if vital and self._is_open():
            self._give_up(late)

    # -- what arrives --------------------------------------------------------------------------------------

    def row(self, key: str, fields: list[str] | None = None) -> bool:
        """Take a row of an answer, keep it if it is given; return whether it was asked for."""
        pending = self._pending.get(key)
        if pending is None:
            return False
        pending.heard = asyncio.get_running_loop().time()
        pending.count += 1
        if fields is not None:
            pending.rows.append(fields)
        return True

    def finish(self, key: str) -> None:
        """Take an end mark."""
        pending = self._pending.get(key)
        if pending is not None and not pending.future.done():
            pending.future.set_result(None)
            if pending.orphaned:
                del self._pending[key]

    def fail(self, key: str, error: BrokerUnavailableError) -> None:
        """Take the refusal of a request."""
        pending = self._pending.get(key)
        if pending is not None and not pending.future.done():
            pending.future.set_exception(error)
            if pending.orphaned:
                pending.future.exception()  # nobody asks any more
                del self._pending[key]

    def fail_all(self, why: str) -> None:
        """End every request: no answer will come."""
        for key in tuple(self._pending):
            self.fail(key, BrokerUnavailableError(f"{key}: {why} before the answer was complete"))
