"""Settings become a backtest here; a run's folder that is written in one go."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pandas as pd
from rich.console import Console

from backtesting.runs import RUNNING, RunFolder
from infrastructure import finish
from infrastructure.demo import HALT_NOTICE, HALTED, OK, print_outcome
from infrastructure.market import load_market, run_hash, run_spec
from infrastructure.provenance import manifest_of
from infrastructure.run_actions import run_actions
from infrastructure.settings import Settings
from strategies import registry


def run_backtest(settings: Settings, console: Console, *, keep_bars: bool = False) -> int:
    """Run the configured strategy through the engine; write a run folder; return the exit status.

    Splits and dividends that `data.corporate_actions` knows are booked. With `keep_bars` the folder gets a
    copy of the bars.
    """
    market = load_market(settings)
    spec = run_spec(settings, market)
    registry.check(spec.strategy, spec.params)
    actions = run_actions(settings, market)
    started = time.monotonic()
    digest = run_hash(settings, market, actions.as_texts())
    manifest = manifest_of(settings, market, digest, profile="backtest")
    if actions.source:
        manifest |= {"corporate_actions": actions.as_texts(), "corporate_actions_from": actions.source}
    with new_run(settings, manifest) as run:
        console.print(f"run {run.run_id}: {market.bars.source}", soft_wrap=True)
        if actions.actions:
            console.print(f"corporate actions: {actions.describe()}", soft_wrap=True, markup=False)
        with console.status(f"{spec.strategy} over {market.total_steps:,} steps"):
            tables, status = finish.backtest(spec, market, actions.booked)
        if keep_bars:
            finish.keep_bars(run, spec, market)
        facts = {"wall_seconds": round(time.monotonic() - started, 3), "end": status}
        outcome = finish.write_outcome(run, settings, spec, tables, labels=market.labels, facts=facts)
        print_outcome(console, outcome)
        run.end("finished", now=_now())
    if status == "halted":
        console.print(HALT_NOTICE)
        return HALTED
    return OK


@contextmanager
def new_run(settings: Settings, manifest: Mapping[str, Any]) -> Iterator[RunFolder]:
    """Make a run folder that does not stay open: these runs are not resumed under their id."""
    with RunFolder.create(settings.runs_dir, settings.run_id, manifest, now=_now()) as run:
        try:
            yield run
        finally:
            if run.state == RUNNING:
                run.end("failed", now=_now())


def _now() -> pd.Timestamp:
    return pd.Timestamp.now(tz="UTC")
