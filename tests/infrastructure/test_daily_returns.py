"""The risk of a book rests on stored bars, and says what it lacks."""

from __future__ import annotations

import datetime as dt
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
import structlog

from data.samples import sample_bars
from data.stores import ParquetBarStore
from infrastructure.daily_returns import returns_of, stored_returns
from infrastructure.settings import Settings, load_settings

LEARNT = pd.Timestamp("2026-01-02", tz="UTC")
BARS = sample_bars(end=dt.date(1999, 3, 31))


def settings(folder: Path, **more: str) -> Settings:
    return load_settings("demo", None, {"var_dir": str(folder), **more}, {}, None)


def test_stored_bars_give_the_returns_of_the_bars_themselves(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    with closing(ParquetBarStore(tmp_path / "bars")) as store:
        store.write(dict(BARS), known_at=LEARNT)
    stored, direct = stored_returns(chosen, [*BARS, "NONE"]), returns_of(chosen, BARS)
    assert stored.keys() == direct.keys() == set(BARS)
    for symbol, expected in direct.items():
        assert stored[symbol].end_ns.tolist() == expected.end_ns.tolist()
        assert stored[symbol].values.tolist() == pytest.approx(expected.values.tolist())
        assert len(expected.values) > 50


def test_a_symbol_that_the_corporate_actions_do_not_cover_is_left_out_and_told(tmp_path: Path) -> None:
    actions = tmp_path / "actions"
    actions.mkdir()
    (actions / "SPXSIM.csv").write_text("date,kind,value\n1999-02-01,split,4\n")
    with structlog.testing.capture_logs() as told:
        found = returns_of(settings(tmp_path, **{"data.corporate_actions": str(actions)}), BARS)
    assert set(found) == {"SPXSIM"}
    assert found["SPXSIM"].values.max() > 2.0  # the sample has no such split
    assert [line["symbol"] for line in told] == ["COMPSIM"]


def test_a_store_that_cannot_be_read_gives_none_and_a_line_in_the_log(tmp_path: Path) -> None:
    chosen = settings(tmp_path, **{"database.url": "sqlite:////proc/none/x.db"})
    with structlog.testing.capture_logs() as told:
        assert stored_returns(chosen, ["SPY"]) == {}
    assert "x.db" in told[0]["why"]
