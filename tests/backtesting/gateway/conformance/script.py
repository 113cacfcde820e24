"""The language of conformance scripts: one line a statement, in the manner of FIX acceptance tests.

::

    # comment                          the first comment line is the script's title
    gateway bars=daily kind=margin     how the gateway is run (first statement; may be left out)
    client 1                           connect a client; its welcome is not looked at
    I placeOrder 1 BUY 100 LMT 10 AAA  inject a request (client 1 unless `I @2 …`)
    E openOrder 1 status=Submitted     expect exactly this callback next
    O openOrder 1                      the same, but it may be absent
    A updateAccountValue               any number of them, none too
    state 1 status=Filled filled=100   what the library itself makes of order 1
    step 2                             play two steps of the market
    fault when: {…}, do: …             a rule of a fault script, in force from the start
    patience 5                         let `E` wait for seconds rather than for what is under way
    blind 1                            do not wait for answers to client 1: there are none
    ignore tickSize                    do not look at these callbacks
    [ib_async] E …                     only for this library; [163+] from, [-163] below a server version

Values are compared as text or number; ``a|b`` is either, ``/…/`` a pattern for the whole text, ``*``
anything, ``>5``, ``<9`` and ``>5&<9`` a comparison, ``$name`` the same value wherever it stands.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

STATEMENTS: Final = frozenset(
    (
        "gateway",
        "client",
        "leave",
        "I",
        "E",
        "O",
        "A",
        "state",
        "step",
        "wait",
        "ignore",
        "watch",
        "patience",
        "fault",
        "blind",
    )
)
PARTICULAR: Final = frozenset(
    (
        "tif",
        "ocaType",
        "parentId",
        "transmit",
        "whatIf",
        "allOrNone",
        "outsideRth",
        "account",
        "goodTillDate",
        "orderRef",
    )
)
"""Attributes of orders that the table shows one by one."""
ORDER_TYPES: Final = frozenset(
    ("MKT", "LMT", "STP", "STP_LMT", "TRAIL", "TRAIL_LIMIT", "MIT", "LIT", "MOC", "LOC")
)
KINDED: Final = frozenset(("reqContractDetails",))
KINDS: Final = frozenset(("FUT", "OPT", "CASH"))
_TOKEN: Final = re.compile(r'(?:([A-Za-z_][\w.]*)=)?(/(?:[^/\\]|\\.)*/(?=\s|$)|"[^"]*"|\S*)\s*')
_CONDITION: Final = re.compile(r"\[([^\]]+)\]\s+")
_TOLERANCE: Final = 1e-9


class ScriptError(Exception):
    """A conformance script cannot be read, or was not followed. The message names file and line."""


@dataclass(frozen=True)
class Line:
    """One statement of a script."""

    number: int
    text: str
    kind: str
    client: int
    words: tuple[str, ...]
    fields: dict[str, str]
    only: str = ""

    def applies(self, library: str, version: int) -> bool:
        """Return whether the statement is meant for this library and server version."""
        for condition in self.only.split():
            if condition.endswith("+"):
                fits = version >= int(condition[:-1])
            elif condition.startswith("-"):
                fits = version < int(condition[1:])
            else:
                fits = condition in (library, str(version))
            if not fits:
                return False
        return True


@dataclass(frozen=True)
class Script:
    """A script read from its file."""

    path: Path
    title: str
    lines: tuple[Line, ...]
    requests: frozenset[str] = field(default_factory=frozenset)
    """Names of the requests it injects, and ``placeOrder`` with what is particular."""


def words_of(text: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Split a statement into its words and its ``name=value`` fields; quotes hold a text together."""
    words: list[str] = []
    fields: dict[str, str] = {}
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None or found.end() == position:
            raise ValueError(f"cannot be read from {text[position:]!r}")
        name, value = found[1], found[2]
        value = value[1:-1] if value[:1] == '"' else value
        if name:
            fields[name] = value
        else:
            words.append(value)
        position = found.end()
    return tuple(words), fields


def read_line(number: int, text: str) -> Line:
    """Read one statement; raise ValueError if it is none."""
    only = ""
    rest = text
    if found := _CONDITION.match(rest):
        only, rest = found[1], rest[found.end() :]
    kind, _, rest = rest.partition(" ")
    if kind not in STATEMENTS:
        raise ValueError(f"{kind!r} is no statement; use one of {', '.join(sorted(STATEMENTS))}")
    if kind == "fault":
        return Line(number, text, kind, 0, (rest,), {}, only)
    words, fields = words_of(rest.strip())
    client = 1
    if words and words[0].startswith("@"):
        client, words = int(words[0][1:]), words[1:]
    return Line(number, text, kind, client, words, fields, only)


def read_script(path: Path) -> Script:
    """Read a script.

    Raises
    ------
    ScriptError
        If a line is no statement.
    """
    lines: list[Line] = []
    title = ""
    for number, raw in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = raw.strip()
        if text.startswith("#"):
            title = title or text.lstrip("# ")
        elif text:
            try:
                lines.append(read_line(number, text))
            except ValueError as error:
                raise ScriptError(f"{path.name}:{number}: {error}") from error
    return Script(path, title, tuple(lines), frozenset(features(lines)))


def features(lines: Sequence[Line]) -> Iterator[str]:
    """Name what a script asks for: its requests, and the types and attributes of its orders."""
    for line in lines:
        if line.kind != "I":
            continue
        yield line.words[0]
        if line.words[0] == "placeOrder":
            if line.words[4] in ORDER_TYPES:
                yield f"placeOrder {line.words[4].replace('_', ' ')}"
            for name in sorted(PARTICULAR & line.fields.keys()):
                value = line.fields[name]
                yield f"placeOrder {name}" + (f"={value}" if name in ("tif", "ocaType") else "")
        elif line.words[0] in KINDED:
            kind = next((word.split(":")[0] for word in line.words[1:] if word.split(":")[0] in KINDS), "STK")
            yield f"{line.words[0]} {kind}"


def find(args: dict[str, Any], name: str) -> Any:
    """Return a callback's value by name: an argument, a path with dots, or a field of an argument.

    Raises
    ------
    KeyError
        If there is none.
    """
    if name in args:
        return args[name]
    if "." in name:
        head, _, rest = name.partition(".")
        value = args[head]
        for part in rest.split("."):
            if isinstance(value, list):
                value = len(value) if part == "len" else value[int(part)]
            else:
                value = value[part]
        return value
    for value in args.values():
        if isinstance(value, dict) and name in value:
            return value[name]
    for value in args.values():
        if isinstance(value, dict):
            for inner in value.values():
                if isinstance(inner, dict) and name in inner:
                    return inner[name]
    raise KeyError(name)


def positional(value: Any) -> Any:
    """Return what a word without a name is compared with: a contract's symbol, a bar's date."""
    if isinstance(value, dict):
        return next((value[name] for name in ("symbol", "date", "execId") if name in value), value)
    return value


def fits(wanted: str, value: Any, bound: dict[str, str]) -> bool:
    """Return whether a value is the one wanted; `bound` holds the values of ``$names`` so far."""
    text = as_text(value)
    if wanted == "*":
        return True
    if "&" in wanted and wanted[0] in "<>":
        return all(fits(part, value, bound) for part in wanted.split("&"))
    if wanted.startswith("$"):
        if "|" not in wanted and wanted[1:] not in bound:
            bound[wanted[1:]] = text
            return True
        return same(bound.get(wanted[1:], ""), text)
    if len(wanted) > 1 and wanted[0] == wanted[-1] == "/":
        return re.fullmatch(wanted[1:-1].replace("\\/", "/"), text, re.DOTALL) is not None
    if wanted[:1] in ("<", ">"):
        number = as_number(text)
        limit = float(wanted[1:])
        return number is not None and (number < limit if wanted[0] == "<" else number > limit)
    return any(same(choice, text) for choice in wanted.split("|"))


def same(wanted: str, text: str) -> bool:
    """Return whether two texts are equal as text or as numbers."""
    if wanted == text:
        return True
    left, right = as_number(wanted), as_number(text)
    return left is not None and right is not None and math.isclose(left, right, rel_tol=0, abs_tol=_TOLERANCE)


def as_text(value: Any) -> str:
    """Return a value as scripts spell it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def as_number(text: str) -> float | None:
    """Return the number a text spells, if it is one."""
    try:
        return float(text)
    except ValueError:
        return None


def differences(line: Line, name: str, args: dict[str, Any], bound: dict[str, str]) -> list[str]:
    """Return how a callback differs from an expectation; nothing if it is the one."""
    wanted_name, *wanted = line.words
    if name not in wanted_name.split("|"):
        return [f"it is {name}"]
    trial = dict(bound)
    found = []
    values = list(args.values())
    if len(wanted) > len(values):
        return [f"it has only {len(values)} arguments"]
    for word, (argument, value) in zip(wanted, args.items(), strict=False):
        if not fits(word, positional(value), trial):
            found.append(f"{argument} is {as_text(positional(value))!r}, wanted {word}")
    for field_name, word in line.fields.items():
        try:
            value = find(args, field_name)
        except (KeyError, IndexError, TypeError):
            found.append(f"it has no {field_name}")
            continue
        if not fits(word, positional(value), trial):
            found.append(f"{field_name} is {as_text(positional(value))!r}, wanted {word}")
    if not found:
        bound.update(trial)
    return found
