"""The faces that users were promised: each name, parameter, default and field, and their places."""

from __future__ import annotations

import dataclasses
import inspect
from decimal import Decimal
from typing import Any, get_type_hints

import pandas as pd
import pytest

from execution import audit, connection, events, executor, models
from execution.errors import (
    AcknowledgementTimeoutError,
    InvalidOrderError,
    NotConnectedError,
    OrderRejectedError,
    RiskCheckError,
)

NEEDED = inspect.Parameter.empty
NONE = type(None)

FIELDS: dict[type, list[tuple[str, Any, Any]]] = {
    models.OrderRequest: [
        ("symbol", str, NEEDED),
        ("quantity", Decimal, NEEDED),
        ("order_type", models.OrderType, NEEDED),
        ("side", models.Side, NEEDED),
        ("limit_price", Decimal | None, None),
        ("stop_price", Decimal | None, None),
        ("time_in_force", models.TimeInForce, models.TimeInForce.DAY),
        ("account", str | None, None),
        ("client_order_id", str | None, None),
    ],
    models.Order: [
        ("order_id", str, NEEDED),
        ("client_order_id", str | None, NEEDED),
        ("symbol", str, NEEDED),
        ("quantity", Decimal, NEEDED),
        ("order_type", models.OrderType, NEEDED),
        ("side", models.Side, NEEDED),
        ("limit_price", Decimal | None, NEEDED),
        ("stop_price", Decimal | None, NEEDED),
        ("status", models.OrderStatus, NEEDED),
        ("submitted_at", pd.Timestamp, NEEDED),
        ("filled_quantity", Decimal, Decimal(0)),
        ("average_fill_price", Decimal | None, None),
    ],
    models.Fill: [
        ("fill_id", str, NEEDED),
        ("order_id", str, NEEDED),
        ("symbol", str, NEEDED),
        ("quantity", Decimal, NEEDED),
        ("price", Decimal, NEEDED),
        ("side", models.Side, NEEDED),
        ("timestamp", pd.Timestamp, NEEDED),
        ("commission", Decimal | None, None),
    ],
    models.Position: [
        ("symbol", str, NEEDED),
        ("quantity", Decimal, NEEDED),
        ("average_cost", Decimal, NEEDED),
        ("market_value", Decimal | None, NEEDED),
        ("unrealized_pnl", Decimal | None, NEEDED),
        ("timestamp", pd.Timestamp, NEEDED),
    ],
}

CALLS: list[tuple[Any, str, list[tuple[str, Any]], Any, bool]] = [
    (
        connection.IBKRConnectionManager,
        "__init__",
        [("host", "127.0.0.1"), ("port", 7497), ("client_id", 1), ("readonly", False)],
        NONE,
        False,
    ),
    (connection.IBKRConnectionManager, "connect", [], NONE, True),
    (connection.IBKRConnectionManager, "disconnect", [], NONE, True),
    (connection.IBKRConnectionManager, "is_connected", [], bool, False),
    (connection.IBKRConnectionManager, "ensure_connected", [], NONE, True),
    (
        executor.IBKROrderExecutor,
        "__init__",
        [("connection_manager", NEEDED), ("risk_check_callback", None)],
        NONE,
        False,
    ),
    (executor.IBKROrderExecutor, "submit_order", [("request", NEEDED)], models.Order, True),
    (executor.IBKROrderExecutor, "cancel_order", [("order_id", NEEDED)], NONE, True),
    (executor.IBKROrderExecutor, "get_order_status", [("order_id", NEEDED)], models.Order, True),
    (executor.IBKROrderExecutor, "get_open_orders", [], list[models.Order], True),
    (executor.IBKROrderExecutor, "get_positions", [], list[models.Position], True),
    (events.OrderEventHandler, "on_order_status", [("order", NEEDED)], NONE, False),
    (events.OrderEventHandler, "on_fill", [("fill", NEEDED)], NONE, False),
    (events.OrderEventHandler, "on_order_rejected", [("order", NEEDED), ("reason", NEEDED)], NONE, False),
    (events.ConnectionEventHandler, "on_connected", [], NONE, False),
    (events.ConnectionEventHandler, "on_disconnected", [], NONE, False),
    (audit.AuditLogger, "log_order_submitted", [("request", NEEDED), ("order", NEEDED)], NONE, False),
    (audit.AuditLogger, "log_order_status_change", [("order", NEEDED), ("old_status", NEEDED)], NONE, False),
    (audit.AuditLogger, "log_fill", [("fill", NEEDED)], NONE, False),
    (audit.AuditLogger, "log_order_cancelled", [("order_id", NEEDED), ("reason", NEEDED)], NONE, False),
    (audit.AuditLogger, "log_connection_event", [("event", NEEDED), ("details", NEEDED)], NONE, False),
]


@pytest.mark.parametrize("kind", FIELDS, ids=lambda kind: kind.__name__)
def test_a_domain_object_is_frozen_and_has_its_fields_in_their_order(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen
    hints = get_type_hints(kind)
    positional = [field for field in dataclasses.fields(kind) if not field.kw_only]
    missing = dataclasses.MISSING
    assert [
        (field.name, hints[field.name], NEEDED if field.default is missing else field.default)
        for field in positional
    ] == FIELDS[kind]


@pytest.mark.parametrize(
    ("owner", "name", "parameters", "result", "waits"),
    CALLS,
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_call_takes_what_was_promised_by_name_and_place(
    owner: Any, name: str, parameters: list[tuple[str, Any]], result: Any, waits: bool
) -> None:
    call = getattr(owner, name)
    assert inspect.iscoroutinefunction(call) is waits
    _, *taken = inspect.signature(call).parameters.values()
    by_place = [one for one in taken if one.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert [(one.name, one.default) for one in by_place] == parameters
    assert all(one.default is not NEEDED for one in taken[len(by_place) :])
    assert get_type_hints(call)["return"] == result


def test_the_words_of_orders_are_there() -> None:
    assert {"MARKET", "LIMIT", "STOP", "STOP_LIMIT"} <= set(models.OrderType.__members__)
    assert {"PENDING", "SUBMITTED", "FILLED", "CANCELLED", "REJECTED"} <= set(models.OrderStatus.__members__)
    assert list(models.Side) == ["BUY", "SELL"]


@pytest.mark.parametrize(
    ("raised", "caught"),
    [
        (InvalidOrderError, ValueError),
        (NotConnectedError, ConnectionError),
        (AcknowledgementTimeoutError, TimeoutError),
        (OrderRejectedError, Exception),
        (RiskCheckError, Exception),
    ],
)
def test_what_is_raised_is_caught_as_callers_expect(raised: type, caught: type) -> None:
    assert issubclass(raised, caught)
