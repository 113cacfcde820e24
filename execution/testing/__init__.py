"""Fakes for authors of strategies and handlers.

They honour the contracts of the real parts (one identity, one order; refusals raise), without any wire:

* `RecordingExecutionEngine` takes every order and keeps it, for a strategy's step;
* `MockIBKRClient` is a whole client with a broker in memory, for code that submits, waits and handles events.

Nothing here imports from above `execution`. That the mock tells nothing else than a gateway would is held by
one set of tests which runs against both.
"""

from execution.testing.client_protocol import IBKRClientProtocol
from execution.testing.fakes import (
    MINUTE_NS,
    START,
    FixedClock,
    RecordingExecutionEngine,
    RecordingHandler,
    bars_from_closes,
)
from execution.testing.mock_client import MockIBKRClient

__all__ = [
    "MINUTE_NS",
    "START",
    "FixedClock",
    "IBKRClientProtocol",
    "MockIBKRClient",
    "RecordingExecutionEngine",
    "RecordingHandler",
    "bars_from_closes",
]
