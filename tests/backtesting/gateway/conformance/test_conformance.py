"""Every script, with every library, at every server version that both speak."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .process import CELLS, Cell, python_of
from .script import ScriptError, read_script
from .table import render

ROOT = Path(__file__).parents[4]
SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.txt"))
HERE = [cell for cell in CELLS if python_of(cell.library, ROOT) is not None]


@pytest.mark.parametrize("cell", HERE, ids=lambda cell: cell.name.replace(" ", "-"))
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_the_script_is_followed(
    path: Path,
    cell: Cell,
    follow: Callable[[Path, Cell], None],
    record_property: Callable[[str, object], None],
) -> None:
    record_property("script", path.stem)
    record_property("library", cell.library)
    record_property("version", cell.version)
    failure = ""
    try:
        follow(path, cell)
    except ScriptError as error:
        failure = str(error)
    if failure:
        pytest.fail(failure, pytrace=False)


def test_the_second_library_has_its_environment() -> None:
    if python_of("ib_async", ROOT) is not None:
        return
    remedy = "ib_async, which is not installed; run infrastructure/deploy/conformance-client.sh"
    if os.environ.get("CI") == "true":
        pytest.fail(f"needs {remedy}", pytrace=False)
    pytest.skip(f"needs {remedy}")


def test_there_are_scripts_enough_and_each_says_what_it_shows() -> None:
    scripts = [read_script(path) for path in SCRIPTS]
    assert len(scripts) >= 40
    assert [script.path.name for script in scripts if not script.title] == []
    assert [s.path.name for s in scripts if not any(line.kind in ("E", "state") for line in s.lines)] == []


def test_the_page_tells_of_every_script_and_that_all_pass() -> None:
    page = ROOT / "docs" / "conformance.md"
    expected = render([read_script(path) for path in SCRIPTS], frozenset())
    assert page.read_text(encoding="utf-8") == expected, "run `make conformance`"
