"""Small bar files, databases and journal events for the tests of `data`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from data.database import Database

DAILY = "date,open,high,low,close,volume\n"
INTRADAY = "end,open,high,low,close,volume\n"
Writer = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Write a text file into the bar folder; the folder is returned."""
    folder = tmp_path / "bars"
    folder.mkdir()

    def writer(name: str, text: str) -> Path:
        (folder / name).write_text(text)
        return folder

    return writer


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A migrated database in a file."""
    opened = Database(f"sqlite:///{tmp_path / 'var' / 'trading.db'}")
    opened.upgrade()
    yield opened
    opened.close()


@pytest.fixture
def lean() -> Path:
    """The folder of real bars beside the checkout."""
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real bars beside the checkout")
    return folder
