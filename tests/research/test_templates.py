"""The notebooks that people copy run from the first cell to the last, with and without bars and database."""

from __future__ import annotations

import ast
import datetime as dt
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from backtesting.assemble import assemble
from backtesting.ledgers import LedgerTables
from backtesting.runs import RunFolder
from data.database import Database
from data.files import write_bars
from data.projector import Projector
from data.samples import SAMPLE_INSTRUMENTS, sample_bars
from execution.audit import AuditLogger
from execution.journal import MemoryJournal
from execution.testing import FixedClock
from execution.timeframes import Timeframe
from strategies.spec import RunSpec

TEMPLATES = sorted((Path(__file__).parents[2] / "research" / "templates").glob("*.ipynb"))
NOW = pd.Timestamp("2026-01-02", tz="UTC")


def content(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def executed(path: Path) -> dict[str, Any]:
    """Run the cells in one namespace as Jupyter does; return it, with what each cell shows under its id."""
    names: dict[str, Any] = {}
    for cell in content(path)["cells"]:
        if cell["cell_type"] == "code":
            tree = ast.parse("".join(cell["source"]))
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            where = f"{path.name} {cell['id']}"
            exec(compile(tree, where, "exec"), names)  # noqa: S102  # cells of ours
            if isinstance(last, ast.Expr):
                code = compile(ast.Expression(last.value), where, "eval")
                names[f"shown {cell['id']}"] = eval(code, names)  # noqa: S307  # cells of ours
    return names


def a_run(root: Path, *, kept: bool, strategy: str, params: dict[str, int]) -> None:
    bars = sample_bars(end=dt.date(1999, 6, 30))
    spec = RunSpec(SAMPLE_INSTRUMENTS, Timeframe.DAY, strategy, params)
    result = assemble(spec, bars, bars.clock).run()
    tables = LedgerTables.from_result(
        result.orders, result.fills, result.snapshots, result.refused, result.signals, result.placed_for
    )
    with RunFolder.create(root, "a-run", {"profile": "backtest", "config_hash": "x"}, now=NOW) as run:
        tables.write(run.path)
        if kept:
            write_bars(run.file("bars"), dict(bars), parquet=True)
            journal = MemoryJournal(lambda: 7)
            for snapshot in result.snapshots:
                AuditLogger(journal, FixedClock()).log_snapshot(snapshot)
            journal.commit()
            with closing(Database(f"sqlite:///{run.file('trading.db')}")) as database:
                database.upgrade()
                Projector(database, "j", "a-run").project(journal.events())
        run.end("finished", now=NOW)


def test_there_is_a_template() -> None:
    assert [path.name for path in TEMPLATES] == ["run.ipynb"]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_cell_runs_on_a_run_with_bars_and_a_database(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_run(tmp_path / "runs", kept=True, strategy="momentum", params={"lookback": 10})
    monkeypatch.chdir(tmp_path)
    names = executed(path)
    assert names["shown load"] == "a-run"
    assert names["shown equity"]["max drawdown"] <= 0
    assert set(names["shown bars"]) == {"COMPSIM", "SPXSIM"}
    assert set(names["shown signals"].reset_index()["direction"]) == {"LONG", "FLAT"}
    assert len(names["shown database"]) > 100
    assert len(names["figure"].data) == 2


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_cell_runs_on_a_bare_backtest(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_run(tmp_path / "runs", kept=False, strategy="ma_crossover", params={"fast": 3, "slow": 10})
    monkeypatch.chdir(tmp_path)
    names = executed(path)
    assert (names["shown bars"], names["shown database"]) == ({}, None)
    assert names["shown signals"].empty


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_carries_no_results_of_ours(path: Path) -> None:
    book = content(path)
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])
    for cell in book["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None
