"""The table of what passed: what scripts ask for, by library and server version."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from .process import CELLS, Cell
from .script import Script

HEAD: Final = """# Conformance

What a TWS client asks of the simulated gateway, as scripts in inject/expect form run over TCP against two
client libraries at every server version they share with it (ib_insync ends at 176). Each row is `ok` where
every script that asks for it was followed to the letter. Written by `make conformance`; the scripts are in
`tests/backtesting/gateway/conformance/scripts`.
"""


def render(scripts: Sequence[Script], failed: Collection[tuple[str, Cell]]) -> str:
    """Return the page: requests, order types and attributes, and the scripts by title.

    Parameters
    ----------
    scripts
        All of them.
    failed
        Names of scripts with the cells they failed in.
    """
    asked = sorted({request for script in scripts for request in script.requests})
    requests = [name for name in asked if not name.startswith("placeOrder ")]
    orders = [name for name in asked if name.startswith("placeOrder ")]
    parts = [HEAD]
    for title, names in (("Requests", requests), ("Orders", orders)):
        parts.append(f"\n## {title}\n\n" + _table(names, scripts, failed))
    parts.append(f"\n## {len(scripts)} scripts\n\n")
    parts += [f"- `{script.path.stem}`: {script.title}\n" for script in scripts]
    return "".join(parts)


def _table(names: Sequence[str], scripts: Sequence[Script], failed: Collection[tuple[str, Cell]]) -> str:
    rows = ["| request | scripts | " + " | ".join(cell.name for cell in CELLS) + " |\n"]
    rows.append("|---|---:|" + ":---:|" * len(CELLS) + "\n")
    for name in names:
        asking = [script.path.stem for script in scripts if name in script.requests]
        cells = ("FAIL" if any((stem, cell) in failed for stem in asking) else "ok" for cell in CELLS)
        shown = name.removeprefix("placeOrder ")
        rows.append(f"| {shown} | {len(asking)} | {' | '.join(cells)} |\n")
    return "".join(rows)
