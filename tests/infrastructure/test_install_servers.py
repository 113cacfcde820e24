"""The script that installs test servers: says what it finds and where, without asking apt."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = ("bash", "basename", "dirname", "env", "grep", "id", "readlink", "sed", "tail", "xargs")


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A search path with nothing to install by."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


def installed(root: Path, tools: Path, *folders: Path) -> str:
    script = root / "infrastructure" / "deploy" / "install-test-servers.sh"
    path = ":".join(map(str, (*folders, tools)))
    done = subprocess.run(
        [str(script), str(tools.parent / "none")],
        env={"PATH": path}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stderr


def server(folder: Path, share: str) -> Path:
    programs, extension = folder / "bin", folder / share / "extension"
    programs.mkdir(parents=True)
    extension.mkdir(parents=True)
    (programs / "initdb").write_text("#!/bin/sh\n")
    (programs / "initdb").chmod(0o755)
    (extension / "timescaledb.control").touch()
    return programs


@pytest.mark.parametrize("share", ["share", "share/postgresql", "share/postgresql@17"])
def test_a_server_on_the_search_path_is_found_and_told(
    root: Path, tools: Path, tmp_path: Path, share: str
) -> None:
    programs = server(tmp_path / "server", share)
    said = installed(root, tools, programs)
    (line,) = (line for line in said.splitlines() if "with TimescaleDB" in line)
    place = line.removeprefix("test servers: PostgreSQL with TimescaleDB: ")
    assert place == str(programs) or place.startswith("/usr/lib/postgresql/")


def test_what_is_missing_is_named_with_the_way_to_get_it(root: Path, tools: Path) -> None:
    said = installed(root, tools)
    assert "MISSING TEST SERVERS: Chromium" in said
    assert "sudo infrastructure/deploy/install-test-servers.sh" in said
