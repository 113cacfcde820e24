"""The command line's way to a running simulated gateway: words become a command and its arguments."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from backtesting.gateway.control import COMMANDS
from backtesting.gateway.control_socket import ask
from backtesting.gateway.errors import ControlError
from infrastructure.errors import ConfigError, GatewayUnreachableError
from infrastructure.gateway import CONTROL_SOCKET

_NAMED = re.compile(r"([a-z_]+)=(.*)", re.ASCII | re.DOTALL)


def send(where: str, command: str, words: Sequence[str]) -> dict[str, Any]:
    """Send a command to a gateway and return its answer.

    Parameters
    ----------
    where
        The control socket, or the state folder that holds it.
    command
        Its name.
    words
        Arguments in their order, or as ``key=value``.

    Raises
    ------
    ConfigError
        If the words are no arguments of the command.
    ControlError
        If the gateway refuses.
    GatewayUnreachableError
        If no gateway answers there.
    """
    path = Path(where)
    socket = path / CONTROL_SOCKET if path.is_dir() else path
    arguments = named(command, words)
    try:
        return ask(socket, command, **arguments)
    except ControlError as error:
        if isinstance(error.__cause__, OSError):
            raise GatewayUnreachableError(
                f"no gateway answers at {socket} ({error.__cause__.strerror or error.__cause__}): "
                "name the control socket, or the state folder, of one that runs"
            ) from error
        raise


def named(command: str, words: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of a command by name.

    Raises
    ------
    ConfigError
        If there is no such command, there are too many words, or one is given twice.
    """
    method = COMMANDS.get(command)
    if method is None:
        raise ConfigError(f"control {command}: no such command; use one of {', '.join(COMMANDS)}")
    parameters = [
        name
        for name, one in inspect.signature(method).parameters.items()
        if name != "self" and one.kind is not one.VAR_KEYWORD
    ]
    arguments: dict[str, Any] = {}
    places = iter(parameters)
    for word in words:
        found = _NAMED.fullmatch(word)
        name = found[1] if found else next(places, None)
        if name is None or name in arguments:
            takes = ", ".join(parameters) or "nothing"
            raise ConfigError(f"control {command} {word}: one argument too many; it takes {takes}")
        arguments[name] = _value(found[2] if found else word)
    return arguments


def _value(text: str) -> Any:
    """Read a whole number, yes or no, or a mapping; anything else, prices too, stays text."""
    if text.startswith(("{", "[")):
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"control: {text} is not YAML: {' '.join(str(error).split())}") from error
    if re.fullmatch(r"-?\d{1,18}|true|false", text, re.ASCII):
        return json.loads(text) if not text.lstrip("-").startswith("0") or text.lstrip("-") == "0" else text
    return text
