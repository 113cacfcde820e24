"""Where a run comes from: code, configuration and data, for its manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from backtesting.runs import git_sha
from infrastructure.market import Market
from infrastructure.settings import Settings

CHECKOUT = Path(__file__).resolve().parents[1]


def manifest_of(
    settings: Settings, market: Market | None, digest: str, *, profile: str, dry_run: bool = False
) -> dict[str, Any]:
    """Return the manifest of a run: profile, hashes of configuration and data, git SHA, what it trades."""
    bars = None if market is None else market.bars
    return {
        "profile": profile,
        "dry_run": dry_run,
        "config_hash": digest,
        "git_sha": git_sha(CHECKOUT),
        "strategy": settings.strategy.name,
        "symbols": list(settings.symbols) if bars is None else list(bars.symbols),
        "timeframe": settings.timeframe.value if bars is None else bars.timeframe.value,
        "data_source": settings.data.source if bars is None else bars.source,
        "data_hashes": {} if bars is None else bars.data_hashes(),
        "file_hashes": {} if bars is None else dict(bars.file_hashes),
        "rows_left_out": {} if bars is None else dict(bars.dropped),
        "config": settings.dump(masked=True),
    }
