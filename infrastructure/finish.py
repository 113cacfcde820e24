"""What a run leaves behind: ledgers, verdict, parity, summary and report.

Everything is made from the journal, so it can be made again after any interruption and comes out the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from backtesting import report
from backtesting.assemble import assemble
from backtesting.engine import RunStatus
from backtesting.ledgers import LedgerTables
from backtesting.metrics import summary_metrics
from backtesting.parity import ParityReport, compare
from backtesting.runs import RunFolder
from backtesting.signal_figures import signal_figures
from data.files import write_bars
from execution import journal
from execution.book.adjustments import CorporateAction
from execution.models import ZERO, OrderStatus
from execution.orders.blotter import Blotter
from execution.orders.recovery import Recovered, recover
from infrastructure.market import Market
from infrastructure.settings import Settings
from monitoring.verdict import BookFacts, ChainFacts, Verdict
from strategies.spec import RunSpec

REPORT = "report.html"
BARS = "bars"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run: its verdict, its parity with the other path, and the hashes of its ledgers."""

    verdict: Verdict | None
    parity: ParityReport | None
    hashes: Mapping[str, str]
    metrics: Mapping[str, Any]
    report: Path


def judge(journal_path: Path, broker: Mapping[str, Any]) -> Verdict:
    """Compare the journal with the broker's statement and with its positions as told over the wire.

    Cash is the statement's: the wire tells it to the cent only.
    """
    chain = journal.verify(journal_path)
    blotter = Blotter()
    recovered = recover(journal.read(journal_path), blotter)
    closed = recovered.session_closed or {}
    sent = {
        name: (entry.request.quantity, entry.filled)
        for name, entry in blotter.entries.items()
        if entry.status is not OrderStatus.NOT_SENT
    }
    ours = BookFacts(
        orders=sent,
        fills=sum(len(entry.executions) for entry in blotter.entries.values()),
        positions={symbol: held for symbol, held in _positions(recovered).items() if held},
        cash=_cash(journal_path),
    )
    theirs = BookFacts(
        orders={o["order_ref"]: (Decimal(o["quantity"]), Decimal(o["filled"])) for o in broker["orders"]},
        fills=len(broker["executions"]),
        positions={symbol: Decimal(held) for symbol, held in closed.get("positions", {}).items()},
        cash=Decimal(broker["cash"]),
    )
    in_doubt = [
        e.client_order_id
        for e in blotter.open_entries()
        if e.status is OrderStatus.UNKNOWN or e.awaits_executions
    ]
    facts = ChainFacts(chain.ok, chain.events, chain.head, chain.problem or "")
    return Verdict.of(ours, theirs, facts, in_doubt=in_doubt)


def backtest(
    spec: RunSpec, market: Market, corporate_actions: Sequence[CorporateAction] = ()
) -> tuple[LedgerTables, RunStatus]:
    """Run the specification through the engine; return its ledgers and whether it completed or was halted."""
    result = assemble(spec, market.bars, market.bars.clock, corporate_actions=corporate_actions).run()
    tables = LedgerTables.from_result(
        result.orders,
        result.fills,
        result.snapshots,
        result.refused,
        result.signals,
        result.placed_for,
        result.adjustments,
    )
    return tables, result.status


def metrics_of(tables: LedgerTables, spec: RunSpec) -> dict[str, Any]:
    """Return the key figures of a run's ledgers."""
    equity = tables.equity
    return summary_metrics(
        equity["time"].cast("int64").to_numpy(),
        np.array(equity["equity"].cast("float64")),
        np.array(equity["gross_exposure"].cast("float64")),
        tables.executions(),
        multipliers=_multipliers(spec),
        adjustments=tables.adjustments,
    )


def write_outcome(
    run: RunFolder,
    settings: Settings,
    spec: RunSpec,
    tables: LedgerTables,
    *,
    labels: Mapping[str, str],
    verdict: Verdict | None = None,
    parity: ParityReport | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Outcome:
    """Write the ledgers, the summary and the report into a run's folder."""
    hashes = tables.write(run.path)
    metrics = metrics_of(tables, spec)
    signals = signal_figures(tables, _multipliers(spec))
    verdict_dict = verdict.as_dict() if verdict else None
    run.write_summary(
        {
            "metrics": metrics,
            "orders": tables.orders.num_rows,
            "refusals": dict(tables.refusals),
            "signals": [figures.as_dict() for figures in signals],
            "ledger_hashes": hashes,
            "verdict": verdict_dict,
            "parity": parity.as_dict() if parity else None,
            **(facts or {}),
        }
    )
    path = report.write(
        report.ReportData(
            run_id=run.run_id,
            strategy=spec.strategy,
            symbols=labels,
            tables=tables,
            metrics={**metrics, "orders": tables.orders.num_rows},
            initial_cash=spec.initial_cash,
            timeframe=spec.timeframe.value,
            profile=settings.profile,
            verdict=verdict_dict,
            parity=parity,
            signals=signals,
            manifest={k: v for k, v in run.manifest.items() if k != "config"},
            config=settings.dump(masked=True),
        ),
        run.file(REPORT),
    )
    return Outcome(verdict, parity, hashes, metrics, path)


def keep_bars(run: RunFolder, spec: RunSpec, market: Market) -> Path:
    """Copy the bars of a run into its folder, one Parquet file a symbol, as ``--bars`` takes them.

    The same bars give the same bytes; a copy that is there is whole, and stays.

    Raises
    ------
    BarFileError
        If they cannot be written; nothing is left.
    """
    folder = run.file(BARS)
    if not folder.exists():
        chosen = {symbol: market.bars[symbol] for symbol in spec.symbols}
        write_bars(folder, chosen, calendar=market.bars.clock.name, parquet=True)
    return folder


def live_tables(journal_path: Path) -> LedgerTables:
    """Return the ledgers that a journal amounts to."""
    return LedgerTables.from_journal(journal.read(journal_path))


def compared(live: LedgerTables, spec: RunSpec, market: Market) -> ParityReport:
    """Compare a run over the wire with the same specification through the engine."""
    return compare(live, backtest(spec, market)[0], ("wire", "backtest"))


def read_statement(path: Path) -> dict[str, Any]:
    """Read the statement that the gateway wrote when it left."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _positions(recovered: Recovered) -> dict[str, Decimal]:
    positions = dict(recovered.net())
    for symbol, held in (recovered.opening or {"positions": {}})["positions"].items():
        positions[symbol] = positions.get(symbol, ZERO) + Decimal(held["quantity"])
    return positions


def _cash(journal_path: Path) -> Decimal:
    cash = ZERO
    for event in journal.read(journal_path):
        if event.kind in ("snapshot", "opening"):
            cash = Decimal(event.body["cash"])
    return cash


def _multipliers(spec: RunSpec) -> dict[str, Decimal]:
    return {instrument.symbol: instrument.multiplier for instrument in spec.instruments}
