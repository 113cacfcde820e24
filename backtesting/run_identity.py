"""What tells one run from another: the hash of its configuration, and the commit of its code."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from execution.numbers import format_decimal

if TYPE_CHECKING:
    import pandas as pd
else:
    from execution.lazily import pd


def plain(value: Any) -> Any:
    """Turn a value into what JSON can hold exactly: decimals as text, times in ISO form, tuples as lists.

    Raises
    ------
    TypeError
        If it holds something else, for example a set, whose order is not its own.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Decimal):
        return format_decimal(value)
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, pd.Timestamp):  # asked last: it is pandas' import
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no canonical form: {value!r}")


def config_hash(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a configuration's canonical JSON (sorted keys, no spaces, ASCII)."""
    text = json.dumps(plain(config), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def git_sha(root: Path) -> str:
    """Return the commit checked out at `root`, with "+dirty" if files differ; "unknown" outside git."""
    try:
        head = _git(root, "rev-parse", "--verify", "HEAD")
        changes = _git(root, "status", "--porcelain")
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{head}+dirty" if changes else head


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
