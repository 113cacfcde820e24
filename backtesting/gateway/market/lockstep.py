"""Simulated time in lockstep: it moves when every client that takes part has finished its step.

A client takes part from its first request for the time, which only tells it the time. Each later request
says that its step is done and is answered once the next step has been played. With nobody taking part,
time stands.
"""

from __future__ import annotations


class LockstepBarrier:
    """Who takes part in lockstep, and who has asked for the next step."""

    def __init__(self) -> None:
        self._asked: dict[int, int] = {}

    def ask(self, client_id: int) -> bool:
        """Note a request for the time; return True if it joined the client and is to be answered at once."""
        if client_id not in self._asked:
            self._asked[client_id] = 0
            return True
        self._asked[client_id] += 1
        return False

    def leave(self, client_id: int) -> None:
        """Forget a client; the others no longer wait for it."""
        self._asked.pop(client_id, None)

    @property
    def ready(self) -> bool:
        """Whether somebody takes part and everybody has finished."""
        return bool(self._asked) and all(self._asked.values())

    def release(self) -> dict[int, int]:
        """Start the next round; return how many answers each client is owed."""
        owed = dict(self._asked)
        for client_id in self._asked:
            self._asked[client_id] = 0
        return owed
