"""The database of a run is checked before it begins, and brought up to the journal's end."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import DatabaseUnavailableError
from execution.journal import SqliteJournal
from infrastructure import run_database
from infrastructure.errors import ConfigError
from infrastructure.settings import Settings, load_settings


def settings(**more: str) -> Settings:
    return load_settings("demo", None, {"data.end": "1999-01-15", **more}, {}, None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, lambda: 7)
    journal.append("opening", {"cash": "1000", "positions": {}, "trading_time": 1})
    journal.commit()
    journal.close()
    return path


def test_a_database_is_opened_and_migrated_before_a_run(tmp_path: Path) -> None:
    run_database.require_database(settings())
    run_database.require_database(settings(**{"database.url": f"sqlite:///{tmp_path}/new/x.db"}))
    assert (tmp_path / "new" / "x.db").is_file()


def test_a_database_that_cannot_be_opened_names_its_setting() -> None:
    with pytest.raises(DatabaseUnavailableError, match=r"^database.url: "):
        run_database.require_database(settings(**{"database.url": "sqlite:////proc/none/x.db"}))


def test_projecting_twice_changes_nothing(path: Path, tmp_path: Path) -> None:
    for _ in range(2):
        run_database.project(path, "r-1", settings(), tmp_path / "trading.db")
    assert (tmp_path / "trading.db").is_file()


def test_a_url_is_checked_without_opening_anything(tmp_path: Path) -> None:
    run_database.check_url(settings())
    run_database.check_url(settings(**{"database.url": f"sqlite:///{tmp_path}/new/x.db"}))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/db", "postgresql+psycopg://host:port/db"])
def test_what_is_no_database_is_refused_by_the_check_as_by_a_run(url: str) -> None:
    chosen = settings(**{"database.url": url})
    with pytest.raises(ConfigError, match=r"^database.url: ") as checked:
        run_database.check_url(chosen)
    with pytest.raises(ConfigError) as run:
        run_database.require_database(chosen)
    assert str(checked.value) == str(run.value)
