"""pandas and numpy come when they are used, and are then the real ones."""

from __future__ import annotations

import subprocess
import sys
from typing import get_type_hints

import numpy as np
import pandas as pd

from execution import lazily
from execution.models import Fill


def test_what_it_gives_is_the_real_thing() -> None:
    assert lazily.pd.Timestamp is pd.Timestamp
    assert lazily.np.zeros is np.zeros
    assert get_type_hints(Fill)["timestamp"] is pd.Timestamp


def test_reading_a_journal_and_asking_a_trader_start_without_them() -> None:
    light = [
        *("execution.journal", "execution.models", "backtesting.runs", "infrastructure.settings"),
        *("infrastructure.control_client", "infrastructure.order_fields", "infrastructure.audit_trail"),
    ]
    heavy = "{'pandas', 'numpy', 'ib_insync'}"
    look = f"import sys, {', '.join(light)}; print(*({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
