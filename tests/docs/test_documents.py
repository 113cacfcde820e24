"""The documents hold: links resolve, commands run, blocks of code do what the text says.

A fenced ``bash`` or ``python`` block is executed, in the order of its document, in one fresh folder. It is
left out if a line of it says ``# not executed``, or a comment ``<!-- not executed: reason -->`` stands on the
line before it. ``<!-- file: PATH -->`` before a block writes it to a file instead.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"(?:^<!-- (?P<note>.+?) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_SKIPPED = {".venv", "node_modules", "runs", "var", ".git", ".pytest_cache", ".hypothesis"}


@dataclass(frozen=True, slots=True)
class Block:
    kind: str
    text: str
    file: str | None
    executed: bool


def documents() -> list[Path]:
    found = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED and not name.startswith("."))
        found += [Path(folder) / name for name in sorted(names) if name.endswith(".md")]
    return found


def blocks(path: Path) -> list[Block]:
    found = []
    for match in _FENCE.finditer(path.read_text(encoding="utf-8")):
        note, text = match["note"] or "", match["text"]
        file = note.removeprefix("file: ") if note.startswith("file: ") else None
        executed = not note.startswith("not executed") and "# not executed" not in text
        found.append(Block(match["kind"], text, file, executed))
    return found


def anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles)
    return set(plain)


def with_code() -> list[Path]:
    return [path for path in documents() if any(b.kind in ("bash", "python") for b in blocks(path))]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A shell's environment: this virtualenv first, no settings from outside, few bars, a folder for runs."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ALPHEC_", "IBKR_", "PYTHONPATH"))}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "ALPHEC_DATA__END": "1999-05-28",
        "ALPHEC_RUNS_DIR": str(tmp_path / "runs"),
        "ALPHEC_VAR_DIR": str(tmp_path / "var"),
    }


@pytest.mark.parametrize("path", documents(), ids=name)
def test_every_link_between_documents_resolves(path: Path) -> None:
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    broken = []
    for target in _LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file) if file else path
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("path", documents(), ids=name)
def test_every_block_is_closed_and_says_what_it_holds(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(re.findall(r"^```", text, re.M)) % 2 == 0
    unknown = {b.kind for b in blocks(path)} - {
        "",
        "bash",
        "python",
        "yaml",
        "text",
        "mermaid",
        "json",
        "ini",
    }
    assert not unknown


@pytest.mark.parametrize(
    "path", [p for p in with_code() if p.name != "README.md" or p.parent != ROOT], ids=name
)
def test_every_block_of_code_runs(path: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    script = ["set -euo pipefail"]
    for number, block in enumerate(blocks(path)):
        file = block.file or f"block-{number}.py"
        if block.file or (block.kind == "python" and block.executed):
            target = tmp_path / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        if block.executed and not block.file and block.kind in ("bash", "python"):
            script.append(block.text if block.kind == "bash" else f"python {file}")
    run(script, tmp_path, environment)


def test_every_command_of_the_front_page_runs(tmp_path: Path, environment: dict[str, str]) -> None:
    write_bars(tmp_path / "bars")
    order = '"$(trade audit show --kind order_submitted --limit 1 --json | python -c '
    order += "\"import json, sys; print(json.load(sys.stdin)['body']['client_order_id'])\")\""
    script = ["set -euo pipefail"]
    for block in blocks(ROOT / "README.md"):
        if block.kind != "bash" or not block.executed:
            continue
        for line in block.text.splitlines():
            command = line.partition("#")[0].strip()
            if command.startswith("make "):
                assert re.search(rf"^{command.split()[1]}:", (ROOT / "Makefile").read_text(), re.M), command
                continue
            command = command.replace("path/to/bars", "bars").replace(" ORDER", " $ORDER")
            if "$ORDER" in command:
                script.append(f"trade live --profile demo\nORDER={order}")
            if command.startswith("trade doctor"):
                command += " || test $? -eq 1"  # a machine may lack something; the doctor says so
            script.append(command)
    assert any("trade explain" in line for line in script)
    run(script, tmp_path, environment)


def write_bars(folder: Path) -> None:
    """Write sixty sessions of a saw-tooth price, in the form of daily files."""
    from data.samples import sample_bars  # heavy

    folder.mkdir()
    bars = sample_bars(["SPXSIM"])["SPXSIM"]
    lines = ["date,open,high,low,close,volume"]
    for number in range(60):
        price = 100 + abs(number % 30 - 15)
        date = bars.bar(number).end.tz_convert("America/New_York").date()
        lines.append(f"{date},{price},{price + 1},{price - 1},{price},1000000")
    (folder / "SAW.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(script: list[str], folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
