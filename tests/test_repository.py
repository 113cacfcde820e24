from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

PACKAGES = (
    "execution",
    "risk",
    "data",
    "strategies",
    "backtesting",
    "monitoring",
    "research",
    "infrastructure",
)
ALLOWED = {
    *PACKAGES,
    *("tests", "docs", "pyproject.toml", "README.md", "SETUP.md", "SECURITY.md", "CHANGELOG.md", "Makefile"),
    *("requirements.txt", "requirements-dev.txt", "requirements-ib_async.txt", "config.example.yaml"),
}


def tracked(root: Path) -> list[str]:
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [name for name in done.stdout.splitlines() if (root / name).is_file()]


@pytest.mark.parametrize("name", PACKAGES)
def test_each_folder_is_a_namespace_package_of_this_checkout(root: Path, name: Any) -> None:
    assert not (root / name / "__init__.py").exists()
    module = importlib.import_module(name)
    assert getattr(module, "__file__", None) is None
    assert str(root / name) in list(module.__path__)


def test_tests_have_no_init_and_every_folder_has_a_readme(root: Path) -> None:
    assert not (root / "tests" / "__init__.py").exists()
    assert [name for name in (*PACKAGES, "tests") if not (root / name / "README.md").is_file()] == []


def test_nothing_unexpected_stands_at_the_top(root: Path) -> None:
    tops = {name.split("/")[0] for name in tracked(root)}
    assert {top for top in tops if not top.startswith(".")} <= ALLOWED


def test_the_wheel_holds_the_packages_and_omits_the_tests(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]) == set(PACKAGES)
    assert set(project["project"]["optional-dependencies"]) >= {"dev", "research"}
    assert project["project"]["requires-python"] == ">=3.11,<3.14"


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_the_lock_has_hashes_and_names_no_registry(root: Path, name: Any) -> None:
    text = (root / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index-url" not in text
    pins = re.findall(r"^[a-zA-Z0-9_.\[\]-]+==", text, re.MULTILINE)
    assert len(pins) > 20
    assert text.count("--hash=sha256:") >= len(pins)


def test_no_file_looks_like_it_holds_a_key(root: Path) -> None:
    pattern = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}")
    texts = [
        name
        for name in tracked(root)
        if name.endswith((".py", ".md", ".yaml", ".yml", ".toml", ".sh", ".example"))
    ]
    assert [name for name in texts if pattern.search((root / name).read_text(encoding="utf-8"))] == []
    assert ".env" not in tracked(root)


def test_the_table_of_errors_is_up_to_date(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "infrastructure/deploy/generate_errors.py", "--check"], cwd=root, check=False
    )
    assert done.returncode == 0, "run make docs"


def test_the_workflow_covers_every_python_a_schedule_and_every_check(root: Path) -> None:
    text = (root / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    flow = yaml.safe_load(text)
    assert flow["jobs"]["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert flow[True]["schedule"]  # YAML reads the key "on" as true
    for word in (
        "make lint",
        "make types",
        "make contracts",
        "make coverage",
        "make security",
        "pip-audit",
    ):
        assert word in text
    scans = (root / "Makefile").read_text(encoding="utf-8").partition("\nsecurity:")[2].partition("\n\n")[0]
    assert "bandit" in scans
    assert "detect-secrets" in scans
    assert yaml.safe_load((root / ".github" / "dependabot.yml").read_text(encoding="utf-8"))["updates"]


def test_pre_commit_uses_local_hooks_only(root: Path) -> None:
    config = yaml.safe_load((root / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert {repo["repo"] for repo in config["repos"]} == {"local"}


def test_make_without_a_target_explains_itself(root: Path) -> None:
    done = subprocess.run(["make", "-s", "-C", str(root)], capture_output=True, text=True, check=True)
    for target in ("setup", "run", "test", "lint", "types", "coverage", "bench", "lock", "help"):
        assert f"make {target} " in done.stdout


def test_scripts_are_sound_shell(root: Path) -> None:
    for script in (root / ".ci" / "run", *sorted((root / "infrastructure" / "deploy").glob("*.sh"))):
        subprocess.run(["bash", "-n", str(script)], check=True)
        assert script.stat().st_mode & 0o100, script
        assert "set -euo pipefail" in script.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["risk", "strategies", "backtesting", "monitoring", "research", "infrastructure"]
)
def test_a_folders_readme_names_its_modules_and_no_others(root: Path, name: str) -> None:
    text = (root / name / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+\.py)`", text)) | {
        f"{folder}/" for folder in re.findall(r"`([a-z_]+)/`", text)
    }
    there = {path.name for path in (root / name).glob("*.py")} | {
        f"{path.name}/" for path in (root / name).iterdir() if (path / "__init__.py").is_file()
    }
    below = {path.name for path in (root / name).rglob("*.py")}
    assert sorted(there - named) == []
    assert sorted(one for one in named if one.endswith(".py") and one not in below) == []


def test_the_index_of_documents_is_complete(root: Path) -> None:
    index = (root / "docs" / "README.md").read_text(encoding="utf-8")
    pages = [str(path.relative_to(root / "docs")) for path in (root / "docs").rglob("*.md")]
    assert [page for page in pages if page != "README.md" and f"({page})" not in index] == []


def test_every_command_of_the_documents_exists(root: Path) -> None:
    from typer.main import get_command

    from infrastructure.cli import app

    command: Any = get_command(app)
    for page in ("docs/cli.md", "docs/runbook.md", "docs/configuration.md"):
        for words in re.findall(
            r"`trade ([a-z]+)(?: ([a-z][a-z-]*))?", (root / page).read_text(encoding="utf-8")
        ):
            found = command.commands[words[0]]
            if hasattr(found, "commands") and (words[1] or not found.invoke_without_command):
                assert words[1] in found.commands, words
