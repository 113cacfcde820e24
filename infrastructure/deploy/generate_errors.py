"""Write the table of errors in ``docs/errors.md`` from the classes; ``--check`` only compares."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

from infrastructure.cli.boundary import status_of

ROOT = Path(__file__).resolve().parents[2]
HEAD = """# Errors

Every error has a code that does not change. The command line prints `error:` and one line, and leaves with
the exit status given here; `--debug` adds the stack trace. This page is generated from the classes by
`make docs`.

| code | class | exit | what it means and what to do |
|---|---|---|---|
"""


def error_modules() -> list[str]:
    """Return the modules that define errors: every ``errors.py`` and ``*_errors.py`` of the packages."""
    packages = (
        "execution",
        "risk",
        "data",
        "strategies",
        "backtesting",
        "monitoring",
        "research",
        "infrastructure",
    )
    paths = (path for package in packages for path in (ROOT / package).rglob("*errors.py"))
    return sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths if path.stem[-6:] == "errors"
    )


def rows() -> Iterator[str]:
    """Yield a line of the table for each error class."""
    for name in error_modules():
        if name == "infrastructure.deploy.generate_errors":
            continue
        module = importlib.import_module(name)
        for cls in vars(module).values():
            own = isinstance(cls, type) and issubclass(cls, Exception) and cls.__module__ == name
            if own and isinstance(getattr(cls, "code", None), str):
                said = (
                    " ".join(inspect.cleandoc(cls.__doc__ or "").split())
                    .replace("|", "\\|")
                    .replace("``", "`")
                )
                yield f"| `{cls.code}` | `{name}.{cls.__name__}` | {status_of(cls.__new__(cls))} | {said} |"


def page() -> str:
    """Return the whole page."""
    return HEAD + "\n".join(rows()) + "\n"


def main() -> int:
    """Write or check the page; return the exit status."""
    path = ROOT / "docs" / "errors.md"
    if "--check" in sys.argv:
        return int(not path.is_file() or path.read_text(encoding="utf-8") != page())
    path.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
