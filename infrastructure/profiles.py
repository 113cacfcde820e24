"""The built-in profiles: demo (simulated gateway), paper and live."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Profile = Literal["demo", "paper", "live"]

PROFILE_START: Mapping[str, Mapping[str, Any]] = {
    "demo": {
        "symbols": ["COMPSIM", "SPXSIM"],
        "strategy.name": "ma_crossover",
        "strategy.params.fast": "20",
        "strategy.params.slow": "50",
        "risk.max_gross_exposure": "1000000",
        "risk.per_symbol_notional_cap": "125000",
        "risk.max_order_notional": "125000",
        "risk.max_daily_loss": "150000",
        "execution.release_absent_orders": "true",
    },
    "paper": {"data.source": "ib", "strategy.params.fast": "20", "strategy.params.slow": "50"},
    "live": {
        "data.source": "ib",
        "strategy.params.fast": "20",
        "strategy.params.slow": "50",
        "data.ib.port": "7496",
    },
}
"""Starting values of the built-in profiles, weaker than any file."""

PROFILE_PINS: Mapping[str, Mapping[str, str]] = {
    "demo": {"broker.paper": "true"},
    "paper": {"broker.paper": "true"},
    "live": {"broker.paper": "false"},
}
"""What makes a profile what it is, stronger than a file."""
