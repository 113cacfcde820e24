"""A finished run's ledgers as DataFrames, for notebooks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from backtesting import runs
from backtesting.ledgers import NAMES, LedgerTables
from backtesting.run_errors import RunNotFoundError


@dataclass(frozen=True, slots=True)
class RunFrames:
    """Orders, fills, positions, equity and signals of one run; money is `Decimal`, times are UTC."""

    run_id: str
    folder: Path
    orders: pd.DataFrame
    fills: pd.DataFrame
    positions: pd.DataFrame
    equity: pd.DataFrame
    signals: pd.DataFrame


def load_run(run_id: str | None = None, root: Path = Path("runs")) -> RunFrames:
    """Load the ledgers of a run.

    Parameters
    ----------
    run_id
        Run id or its beginning; the last finished run if None.
    root
        Folder of the runs.

    Raises
    ------
    RunNotFoundError
        If there is no such run.
    LedgerContentError
        If its ledgers are missing or damaged.
    """
    record = runs.find(root, run_id) if run_id else runs.latest_finished(root)
    if record is None:
        raise RunNotFoundError(f"no finished run in {root}; `trade backtest` makes one")
    tables = LedgerTables.read(record.path)
    frames = {name: tables.table(name).to_pandas() for name in NAMES}
    return RunFrames(record.run_id, record.path, **frames)
