"""The catalogue of everything a rule can do, and how an action is read from a script."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ValidationError

from backtesting.gateway.faults.action import Action
from backtesting.gateway.faults.book_actions import BOOK_ACTIONS
from backtesting.gateway.faults.connection_actions import CONNECTION_ACTIONS
from backtesting.gateway.faults.errors import FaultScriptError
from backtesting.gateway.faults.gateway_actions import GATEWAY_ACTIONS
from backtesting.gateway.faults.login_actions import LOGIN_ACTIONS
from backtesting.gateway.faults.wire_actions import WIRE_ACTIONS
from backtesting.gateway.message_names import nearest

ACTIONS: Final[dict[str, type[Action]]] = {
    action.name: action
    for action in (*WIRE_ACTIONS, *CONNECTION_ACTIONS, *LOGIN_ACTIONS, *GATEWAY_ACTIONS, *BOOK_ACTIONS)
}
"""Every action by its name in a script."""


def catalogue() -> list[dict[str, str]]:
    """Return name, parameters and description of every action, in the table's order."""
    return [
        {
            "name": name,
            "parameters": ", ".join(
                key if field.is_required() else f"{key}={field.default!r}"
                for key, field in action.model_fields.items()
            ),
            "on": "/".join(action.directions) + " messages" if action.directions else "anything",
            "text": " ".join((action.__doc__ or "").split()),
        }
        for name, action in ACTIONS.items()
    ]


def read_action(spec: object, where: str) -> Action:
    """Read an action: its name, or its name with parameters (or with the value of its main one).

    Raises
    ------
    FaultScriptError
        If there is no such action or its parameters are wrong; `where` starts the message.
    """
    name, given = _parts(spec, where)
    action = ACTIONS.get(name)
    if action is None:
        raise FaultScriptError(
            f"{where}: no action is called {name!r}{nearest(name, ACTIONS)}; "
            "`trade gateway faults` lists them"
        )
    if given is None:
        values: dict[str, Any] = {}
    elif isinstance(given, dict):
        values = given
    elif action.main is not None:
        values = {action.main: given}
    else:
        known = ", ".join(action.model_fields) or "no parameters"
        raise FaultScriptError(f"{where}: {name} takes a mapping with {known}, not {given!r}")
    try:
        return action.model_validate(values)
    except ValidationError as error:
        raise FaultScriptError(f"{where}: {name}: {explain(error, action.model_fields)}") from error


def _parts(spec: object, where: str) -> tuple[str, object]:
    if isinstance(spec, str):
        return spec, None
    if isinstance(spec, dict) and len(spec) == 1:
        ((name, given),) = spec.items()
        return str(name), given
    raise FaultScriptError(f"{where}: write an action as its name, or as one name with its parameters")


def explain(error: ValidationError, known: Any) -> str:
    """Say what is wrong with the first wrong key: the key, why, and the nearest key there is."""
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"key {key!r} is not known{nearest(key, known)}; keys are {', '.join(known) or 'none'}"
    if first["type"] == "missing":
        return f"key {key!r} is missing: add it"
    text = first["msg"].removeprefix("Value error, ")
    return f"key {key!r}: {text}" if key else text
