"""Key figures of a run as a person reads them: their names, order and formats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NONE = "\N{EN DASH}"
"""Stands for a figure that is not defined."""

FIGURES: Mapping[str, tuple[str, str]] = {
    "final_equity": ("Final equity", "money"),
    "total_return": ("Total return", "percent"),
    "cagr": ("CAGR", "percent"),
    "volatility": ("Volatility", "percent"),
    "sharpe": ("Sharpe", "ratio"),
    "sortino": ("Sortino", "ratio"),
    "max_drawdown": ("Max drawdown", "percent"),
    "calmar": ("Calmar", "ratio"),
    "hit_rate": ("Hit rate", "percent"),
    "time_in_market": ("Time in market", "percent"),
    "exposure": ("Mean exposure", "percent"),
    "turnover": ("Turnover a year", "times"),
    "round_trips": ("Round trips", "count"),
    "orders": ("Orders", "count"),
    "fills": ("Fills", "count"),
    "commissions": ("Commissions", "money"),
}
"""Key figures that have a name and a format of their own, in the order they are shown."""


def figure_text(value: Any, kind: str) -> str:
    """Write a figure of a kind that `FIGURES` names; a dash if there is none."""
    if value is None:
        return NONE
    formats = {
        "money": "{:,.2f}",
        "percent": "{:.2%}",
        "ratio": "{:.2f}",
        "times": "{:.2f}\N{MULTIPLICATION SIGN}",
        "count": "{:,}",
    }
    return formats[kind].format(value).replace("-", "\N{MINUS SIGN}")
