"""What a person should hear of, told from the journal of a running trader: each event once it is durable.

Every kind of event that the system writes has its place here: in `ALERTS`, with what is said of it, or in
`QUIET`, with the reason why nothing is. A test holds both against the kinds that the sources write.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from execution.clocks import timestamp
from execution.journal.reader import rows

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing to hear of: number and kind of its event, when it was recorded, and what it is."""

    seq: int
    kind: str
    time_ns: int
    text: str

    @property
    def is_logged(self) -> bool:
        """Whether what wrote the event has said it in the log already, at the right level."""
        return self.kind in LOGGED

    def as_dict(self) -> dict[str, str]:
        """Return it as plain values."""
        return {"time": str(timestamp(self.time_ns)), "kind": self.kind, "what": self.text}


def _other(verb: str) -> Callable[[Body], str]:
    def say(body: Body) -> str:
        whose = f"client {body['client']}" if body["client"] else "a person in TWS"
        return f"order of somebody else {verb}: {body['side']} {body['quantity']} {body['symbol']}, {whose}"

    return say


def _status(body: Body) -> str | None:
    if body["new"] not in ("REJECTED", "UNKNOWN"):
        return None
    return f"order {body['client_order_id']} is {body['new']}: {body['reason'] or 'no reason was given'}"


def _modified(body: Body) -> str | None:
    if body["number"]:
        return None
    return f"order {body['client_order_id']} was changed at the broker: {body['reason']}"


def _connection(body: Body) -> str | None:
    events = {
        "frozen": "TWS lost the broker: nothing is sent",
        "downtime_overrun": "the gateway is not back from its planned absence",
        "alarm": "an incident that does not end by itself: look at the connection",
        "read_only_api": "the API is read-only: orders are refused",
    }
    return events.get(body["event"])


def _reconciled(body: Body) -> str | None:
    parts = [*(f"order {name} is in doubt" for name in body["in_doubt"])]
    parts += [f"{s}: journal {ours}, broker {theirs}" for s, (ours, theirs) in body["breaks"].items()]
    return f"broker and journal differ: {'; '.join(parts)}" if parts else None


def _adjustment(body: Body) -> str:
    return f"book adjusted, {body['what']} of {body['symbol']}: {body['reason']}"


ALERTS: Final[Mapping[str, Callable[[Body], str | None]]] = MappingProxyType(
    {
        "external_order": _other("appeared"),
        "external_order_ended": _other("ended"),
        "external_fill": lambda b: (
            f"somebody else traded: {b['side']} {b['quantity']} {b['symbol']} at {b['price']}"
        ),
        "order_status": _status,
        "order_doubted": lambda b: f"order {b['client_order_id']} is in doubt: {b['reason']}",
        "order_twinned": lambda b: f"the broker has a second order under {b['client_order_id']}",
        "twin_cancelled": lambda b: f"a cancel was sent for the second order under {b['client_order_id']}",
        "order_modify_refused": lambda b: (
            f"change of order {b['client_order_id']} refused: {b['decision']['reason']}"
        ),
        "order_modified": _modified,
        "order_lapsed": lambda b: f"order {b['client_order_id']} {b['note']}",
        "order_resolved": lambda b: f"order {b['client_order_id']} settled by {b['by']}: {b['status']}",
        "fill_corrected": lambda b: f"execution {b['fill_id']} of {b['symbol']} was corrected by the broker",
        "adjustment": _adjustment,
        "reconciled": _reconciled,
        "connection": _connection,
        "kill_switch": lambda b: f"kill switch: loss {b['loss']}, limit {b['limit']}; new risk is refused",
        "kill_switch_reset": lambda b: f"kill switch reset by {b['by']}: {b['reason']}",
        "handler_failed": lambda b: f"{b['handler']}.{b['hook']} failed: {b['error']}",
    }
)
"""What is said of an event, by its kind; None says nothing."""

LOGGED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "external_order": "execution.orders.teller",
        "order_twinned": "execution.orders.teller",
        "order_modified": "execution.orders.teller",
        "fill_corrected": "execution.orders.teller",
        "twin_cancelled": "execution.reconciliation.leftovers",
        "reconciled": "execution.reconciliation.readiness",
        "adjustment": "execution.reconciliation.positions",
        "connection": "execution.link.announcing",
        "handler_failed": "execution.audit",
    }
)
"""Kinds that are in the log when they are alerted of, and which module writes that line."""

QUIET: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("order_submitted", "order_refused", "fill"), "counted from the step and its orders"),
        **dict.fromkeys(("commission", "external_commission"), "a figure of an execution that was told"),
        **dict.fromkeys(("order_cancelled", "order_modifying", "order_released"), "the status tells the end"),
        **dict.fromkeys(("snapshot", "risk_metrics", "signal"), "figures, for tables and reports"),
        **dict.fromkeys(("barrier", "reconciling", "opening", "claims"), "marks for recovery"),
        **dict.fromkeys(("broker_message", "api_cancel", "api_contract", "api_paced"), "evidence"),
        **dict.fromkeys(("api_request", "api_unreadable", "margin_asked", "margin_answered"), "evidence"),
        **dict.fromkeys(("run_started", "run_finished", "session_closed"), "the run itself says so"),
    }
)
"""Kinds that nobody is alerted of, with the reason."""


class JournalAlerts:
    """Follows a journal and tells what a person should hear of.

    Parameters
    ----------
    path
        The journal.
    after_seq
        Number of the last event that is old news.
    receivers
        Told each alert.
    """

    def __init__(self, path: Path, after_seq: int, *receivers: Callable[[Alert], None]) -> None:
        self._path = path
        self._after = after_seq
        self._receivers = receivers

    def read(self) -> list[Alert]:
        """Return the alerts of what was recorded since the last call; any thread may read, one at a time.

        Raises
        ------
        JournalError
            If the journal cannot be read.
        """
        found = []
        with closing(rows(self._path, self._after)) as stored:
            for seq, time_ns, raw_kind, text, _, _ in stored:
                self._after = seq
                kind = raw_kind.decode()
                say = ALERTS.get(kind)
                said = None if say is None else say(json.loads(text))
                if said is not None:
                    found.append(Alert(seq, kind, time_ns, said))
        return found

    def tell(self, alerts: list[Alert]) -> None:
        """Tell the receivers."""
        for alert in alerts:
            for receive in self._receivers:
                receive(alert)
