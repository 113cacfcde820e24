"""Reading fault scripts: YAML with a seed and rules, read strictly.

::

    seed: 7
    rules:
      - name: lose the first status
        when: {message: orderStatus, status: Submitted, nth: 1}
        do: drop
      - when: {after: {rule: lose the first status, steps: 2}}
        do: [connectivity_lost, {farm: 2103}]

Each rule has `when` (`conditions.When`) and `do`: an action of the catalogue, or several in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from backtesting.gateway.faults.action import Action
from backtesting.gateway.faults.conditions import When
from backtesting.gateway.faults.errors import FaultScriptError
from backtesting.gateway.faults.rule import Rule, Script
from backtesting.gateway.faults.table import explain, read_action
from backtesting.gateway.message_names import nearest

PRESETS: Final = Path(__file__).parent / "presets"

LONGEST: Final = 1 << 18
"""Characters of a script, at most."""

_RULE_KEYS: Final = ("name", "when", "do")
_KEYS: Final = ("seed", "rules", "about")


class _Plain(yaml.SafeLoader):
    """Reads YAML without references: a few lines of them can stand for more than memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse a reference, take anything else."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("references (*) are not taken: write it out")
        return super().compose_node(parent, index)


def load_script(path: Path) -> Script:
    """Read a script file.

    Raises
    ------
    FaultScriptError
        If it cannot be read; the message names file, rule, key and remedy.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LONGEST + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise FaultScriptError(f"{path}: cannot be read ({error}): give a YAML file with rules") from error
    return parse_script(text, str(path))


def preset_names() -> tuple[str, ...]:
    """Return the names of the scripts that come with the gateway."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def load_preset(name: str) -> Script:
    """Read a script that comes with the gateway.

    Raises
    ------
    FaultScriptError
        If there is none of this name.
    """
    if name not in preset_names():
        raise FaultScriptError(
            f"no preset is called {name!r}{nearest(name, preset_names())}; "
            f"presets are {', '.join(preset_names())}"
        )
    return load_script(PRESETS / f"{name}.yaml")


def preset_about(name: str) -> str:
    """Return what a preset says about itself."""
    content = yaml.safe_load((PRESETS / f"{name}.yaml").read_text(encoding="utf-8"))
    return " ".join(str(content.get("about", "")).split())


def parse_script(text: str, source: str = "script") -> Script:
    """Read a script's text; `source` is what messages call it.

    Raises
    ------
    FaultScriptError
        If it cannot be read.
    """
    if len(text) > LONGEST:
        raise FaultScriptError(f"{source}: is longer than {LONGEST} characters: write fewer rules")
    try:
        content = yaml.load(text, _Plain)  # noqa: S506  # nosec B506  # a safe loader that takes less
    except yaml.YAMLError as error:
        raise FaultScriptError(f"{source}: is not YAML: {' '.join(str(error).split())}") from error
    except (RecursionError, ValueError) as error:
        raise FaultScriptError(
            f"{source}: is no script ({error}): write rules, each with when and do"
        ) from error
    if not isinstance(content, dict):
        raise FaultScriptError(f"{source}: start with `rules:` and a list of rules")
    _known_keys(content, _KEYS, source)
    seed = content.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise FaultScriptError(f"{source}: key 'seed': give a whole number, not {seed!r}")
    rows = content.get("rules")
    if not isinstance(rows, list) or not rows:
        raise FaultScriptError(f"{source}: key 'rules': give a list of rules, each with when and do")
    rules = tuple(parse_rule(row, f"{source}, rule {number}") for number, row in enumerate(rows, start=1))
    check_names(rules, source)
    return Script(rules, seed)


def parse_rule(row: object, where: str) -> Rule:
    """Read one rule.

    Raises
    ------
    FaultScriptError
        If it cannot be read; `where` starts the message.
    """
    if not isinstance(row, dict):
        raise FaultScriptError(f"{where}: write a mapping with when and do, not {row!r}")
    _known_keys(row, _RULE_KEYS, where)
    for key in ("when", "do"):
        if not row.get(key):
            raise FaultScriptError(f"{where}: key {key!r} is missing: add it")
    name = row.get("name", "")
    if not isinstance(name, str):
        raise FaultScriptError(f"{where}: key 'name': give a text, not {name!r}")
    when = _when(row["when"], where)
    specs = row["do"] if isinstance(row["do"], list) else [row["do"]]
    actions = tuple(read_action(spec, f"{where}, key 'do'") for spec in specs)
    _check_fit(when, actions, where)
    return Rule(when, actions, name)


def _when(given: object, where: str) -> When:
    if not isinstance(given, dict):
        raise FaultScriptError(f"{where}: key 'when': write a mapping such as {{message: orderStatus}}")
    try:
        when = When.model_validate(given)
        if when.message is not None:
            _ = when.kind
    except ValidationError as error:
        raise FaultScriptError(f"{where}: when: {explain(error, When.model_fields)}") from error
    except ValueError as error:
        raise FaultScriptError(f"{where}: when: key 'message': {error}") from error
    return when


def _check_fit(when: When, actions: Iterable[Action], where: str) -> None:
    for action in actions:
        if not action.directions:
            continue
        if when.message is None:
            raise FaultScriptError(f"{where}: {action.name} is done to a message: name it in when")
        if when.kind[0] not in action.directions:
            ways = " or ".join(action.directions)
            raise FaultScriptError(
                f"{where}: {action.name} is done to messages that pass {ways}wards; "
                f"{when.message} passes {when.kind[0]}wards"
            )


def check_names(rules: Sequence[Rule], source: str, known: Iterable[str] = ()) -> None:
    """Require that names are unique and that `after` names a rule there is.

    Raises
    ------
    FaultScriptError
        If not.
    """
    names: list[str] = list(known)
    for number, rule in enumerate(rules, start=len(names) + 1):
        name = rule.name or f"rule {number}"
        if name in names:
            raise FaultScriptError(f"{source}, rule {number}: key 'name': {name!r} is taken: choose another")
        names.append(name)
    for number, rule in enumerate(rules, start=1):
        after = rule.when.after
        if after is not None and after.rule is not None and after.rule not in names:
            raise FaultScriptError(
                f"{source}, rule {number}: when: key 'after.rule': no rule is called {after.rule!r}"
                f"{nearest(after.rule, names)}"
            )


def _known_keys(content: dict[Any, Any], known: Sequence[str], where: str) -> None:
    for key in content:
        if key not in known:
            raise FaultScriptError(
                f"{where}: key {key!r} is not known{nearest(str(key), known)}; keys are {', '.join(known)}"
            )
