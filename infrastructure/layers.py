"""Read the layers of configuration into flat entries, each with the place it came from.

A layer maps a dotted key (``risk.max_daily_loss``) to an `Entry`. Scalars stay text until the settings model
parses them by type, so YAML's readings of ``010``, ``1:30`` or ``1_000`` as numbers cannot slip in.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

from infrastructure.errors import ConfigError

PREFIX = "ALPHEC_"
NOT_SETTINGS = frozenset({"ALPHEC_LIVE", "ALPHEC_CONFIG"})
"""Variables with the prefix that are no settings: the live toggle and the path of the configuration file."""

IBKR_VARIABLES: Mapping[str, str] = {
    "IBKR_HOST": "data.ib.host",
    "IBKR_PORT": "data.ib.port",
    "IBKR_CLIENT_ID": "data.ib.client_id",
    "IBKR_READONLY": "broker.readonly",
    "IBKR_TIMEOUT_SECONDS": "data.ib.timeout_seconds",
    "IBKR_RECONNECT_MAX_ATTEMPTS": "data.ib.reconnect_max_attempts",
    "IBKR_RECONNECT_BACKOFF_SECONDS": "data.ib.reconnect_backoff_seconds",
}
"""The execution library's own variables and the settings they set; the ``ALPHEC_`` spelling wins."""

OPEN_SECTION = "strategy.params"
"""The one section whose keys are not known here: each strategy declares its own."""

_REFERENCE = re.compile(r"\$(?:\$|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|(?P<bad>\{))")
_PLAIN_TAGS = frozenset({"null", "bool", "int", "float", "timestamp", "value", "str", "seq"})
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(frozen=True, slots=True)
class Entry:
    """A value as text (or None, or a list of texts) and where it came from."""

    value: Any
    source: str


Layer = dict[str, Entry]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint such as ``; did you mean 'x'?``, or an empty text when nothing known is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def is_known(key: str, known: Iterable[str]) -> bool:
    """Whether a dotted key is a setting, or lies in the open section of a strategy's parameters."""
    return key in known or key.startswith(OPEN_SECTION + ".")


def variable_of(key: str) -> str:
    """Return the environment variable of a dotted key."""
    return PREFIX + key.upper().replace(".", "__")


def read_dotenv(path: Path | None) -> dict[str, str]:
    """Read a ``.env`` file; an absent file is an empty one."""
    if path is None or not path.is_file():
        return {}
    try:
        pairs = dotenv_values(path, interpolate=False, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); correct or remove it") from error
    return {name: value for name, value in pairs.items() if value is not None}


def environment_layer(
    variables: Mapping[str, str], known: frozenset[str], secrets: frozenset[str], where: str
) -> Layer:
    """Pick the settings out of environment variables; an empty value counts as not set.

    Raises
    ------
    ConfigError
        If a variable has the prefix but names no setting, or a secret is given both plainly and by file.
    """
    layer: Layer = {}
    for name, key in IBKR_VARIABLES.items():
        if variables.get(name):
            layer[key] = Entry(variables[name], f"{where} {name}")
    spelled = {variable_of(key): key for key in known}
    files = {variable_of(key) + "_FILE": key for key in secrets}
    section = variable_of(OPEN_SECTION) + "__"
    for name in sorted(variables):
        value = variables[name]
        if not name.startswith(PREFIX) or name in NOT_SETTINGS or not value:
            continue
        source = f"{where} {name}"
        if name in spelled:
            layer[spelled[name]] = Entry(None if value in _NULLS else value, source)
        elif name.startswith(section):
            layer[f"{OPEN_SECTION}.{name.removeprefix(section).lower()}"] = Entry(value, source)
        elif name in files:
            if variables.get(name.removesuffix("_FILE")):
                raise ConfigError(
                    f"{source}: {name.removesuffix('_FILE')} is set as well; keep one of the two"
                )
            layer[files[name]] = Entry(f"file:{value}", source)
        else:
            raise ConfigError(f"{source}: no such setting{did_you_mean(name, [*spelled, *files])}")
    return layer


def override_layer(overrides: Mapping[str, str], known: frozenset[str]) -> Layer:
    """Take dotted keys given on the command line."""
    layer: Layer = {}
    for key, value in overrides.items():
        if not is_known(key, known):
            raise ConfigError(f"command line: unknown key {key!r}{did_you_mean(key, known)}")
        layer[key] = Entry(None if value in _NULLS else value, "command line")
    return layer


def read_yaml(
    path: Path, known: frozenset[str], variables: Mapping[str, str]
) -> tuple[Layer, dict[str, Layer]]:
    """Read a configuration file.

    Returns
    -------
    tuple
        The file's own entries, and by profile name those of its ``profiles:`` section.

    Raises
    ------
    ConfigError
        If the file is missing or not YAML, a key is unknown, written twice or no section, or a ``${VAR}`` is
        not defined. The message names file, line and key.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: no such configuration file; copy config.example.yaml or leave out --config"
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{path}: the configuration cannot be read: {error.strerror}; check the path and its permissions"
        ) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(
            f"{path}:{line}: not valid YAML ({error.problem}); check indents and quotes"
        ) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: cannot be read as YAML ({reason}); save it as UTF-8 text") from error
    base: Layer = {}
    profiles: dict[str, Layer] = {}
    for key, node in _leaves(root, "", path, depth=0):
        line = node.start_mark.line + 1
        where, name, own = f"{path}:{line}", key, base
        if key.startswith("profiles."):
            _, profile, name = [*key.split(".", 2), ""][:3]
            own = profiles.setdefault(profile, {})
            where = f"profile {profile} in {where}"
        if not is_known(name, known):
            sections = {k.rsplit(".", 1)[0] for k in known if "." in k}
            if name in sections and _is_null(node):
                continue
            if name in sections or name == "":
                raise ConfigError(f"{path}:{line}: {key} must be a section of keys, not a single value")
            raise ConfigError(f"{path}:{line}: unknown key {key!r}{did_you_mean(name, known)}")
        own[name] = Entry(_value(node, name, path, variables), where)
    return base, profiles


def _leaves(node: Any, key: str, path: Path, depth: int) -> Iterator[tuple[str, yaml.Node]]:
    if node is None:
        return
    if depth > 8:  # noqa: PLR2004  # deeper than any setting; also stops a document that refers to itself
        raise ConfigError(f"{path}:{node.start_mark.line + 1}: {key} is nested too deeply")
    if not isinstance(node, yaml.MappingNode):
        if key == "":
            raise ConfigError(
                f"{path}:{node.start_mark.line + 1}: expected keys such as 'symbols:', found a value"
            )
        yield key, node
        return
    seen: set[str] = set()
    for name_node, child in node.value:
        name = str(name_node.value)
        if name in seen:
            raise ConfigError(f"{path}:{name_node.start_mark.line + 1}: {key or name} has {name!r} twice")
        seen.add(name)
        yield from _leaves(child, f"{key}.{name}" if key else name, path, depth + 1)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value in _NULLS


def _value(node: yaml.Node, key: str, path: Path, variables: Mapping[str, str]) -> Any:
    where = f"{path}:{node.start_mark.line + 1}"
    if node.tag.removeprefix("tag:yaml.org,2002:") not in _PLAIN_TAGS:
        raise ConfigError(f"{where}: {key}: the tag {node.tag} is not allowed; write a plain value")
    if _is_null(node):
        return None
    if isinstance(node, yaml.SequenceNode):
        items = node.value
        if not all(isinstance(item, yaml.ScalarNode) for item in items):
            raise ConfigError(f"{where}: {key}: a list may hold plain values only")
        return [_interpolate(item.value, key, where, variables) for item in items]
    return _interpolate(str(node.value), key, where, variables)


def _interpolate(text: str, key: str, where: str, variables: Mapping[str, str]) -> str | None:
    missing: list[str] = []

    def replace(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if match["bad"]:
            raise ConfigError(
                f"{where}: {key}: '${{' starts no ${{VARIABLE}}; write $$ for a plain dollar sign"
            )
        if name is None:
            return "$"
        value = variables.get(name, "")
        if value:
            return value
        if default is None:
            missing.append(name)
        return default or ""

    result = _REFERENCE.sub(replace, text)
    if not missing:
        return result
    if key == "run_id":
        return None  # an undefined ${RUN_ID} asks for a fresh one
    raise ConfigError(
        f"{where}: {key}: the variable {missing[0]} is not defined; export it, put it into .env, or write "
        f"${{{missing[0]}:-default}}"
    )
