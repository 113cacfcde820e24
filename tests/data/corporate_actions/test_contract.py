"""Every source of corporate actions keeps the contract for authors, and it finds those that do not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest

from data.corporate_actions import (
    ActionKind,
    CorporateAction,
    CorporateActionSource,
    FileActionSource,
    YahooActionSource,
)
from data.corporate_actions.stored_source import StoredActionSource, import_actions
from data.corporate_actions.testing import ActionSourceContract
from data.database import Database
from data.errors import CorporateActionDataError
from execution.clocks import SteppedClock, utc_ns

Listed = Mapping[str, Sequence[CorporateAction]]
NOW = pd.Timestamp("2024-03-01 12:00", tz="UTC")


def line(action: CorporateAction) -> str:
    return f"{action.ex_date},{action.kind},{action.new_symbol or action.value}\n"


def folder_of(path: Path, actions: Listed) -> Path:
    path.mkdir()
    for symbol, listed in actions.items():
        (path / f"{symbol}.csv").write_text("date,kind,value\n" + "".join(map(line, listed)))
    return path


class TestFolderOfFiles(ActionSourceContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "actions"

    def make(self, actions: Listed) -> CorporateActionSource:
        return FileActionSource(folder_of(self.path, actions))


class TestOneFile(TestFolderOfFiles):
    covers_everything = True

    def make(self, actions: Listed) -> CorporateActionSource:
        rows = [f"{day},{symbol},{rest}" for symbol, listed in actions.items() for day, _, rest in
                (line(action).partition(",") for action in listed)]  # fmt: skip
        self.path.write_text("date,symbol,kind,value\n" + "".join(rows))
        return FileActionSource(self.path)


class TestYahoo(TestFolderOfFiles):
    kinds = (ActionKind.DIVIDEND, ActionKind.SPLIT)

    def make(self, actions: Listed) -> CorporateActionSource:
        return YahooActionSource(
            self.path, SteppedClock(utc_ns(NOW)), fetch=lambda symbol: self.stated(symbol, actions)
        )

    def stated(self, symbol: str, actions: Listed) -> pd.DataFrame:
        """Yahoo's table: dividends in the shares of today."""
        if symbol not in actions:
            raise CorporateActionDataError(f"Yahoo on {symbol}: no prices")
        days, rows, ratio = [], [], Fraction(1)
        for action in reversed(actions[symbol]):
            assert action.value is not None
            split = action.kind is ActionKind.SPLIT
            days.append(pd.Timestamp(action.ex_date, tz="America/New_York"))
            rows.append((0.0, float(action.value)) if split else (float(Fraction(action.value) / ratio), 0.0))
            ratio *= Fraction(action.value) if split else 1
        columns = ["Dividends", "Stock Splits"]
        return pd.DataFrame(rows[::-1], index=pd.DatetimeIndex(days[::-1]), columns=columns)


class TestStored(TestFolderOfFiles):
    @pytest.fixture(autouse=True)
    def _database(self, database: Database) -> None:
        self.database = database

    def make(self, actions: Listed) -> CorporateActionSource:
        import_actions(self.database, folder_of(self.path, actions), NOW)
        return StoredActionSource(self.database)


class _Lying(CorporateActionSource):
    """Wraps a source and gets one thing wrong."""

    def __init__(self, source: CorporateActionSource) -> None:
        self._source = source
        self._asked = 0

    def actions(self, symbol: str, start: dt.date, end: dt.date) -> tuple[CorporateAction, ...]:
        return self._source.actions(symbol, start, end)


class _NoneForUnknown(_Lying):
    def actions(self, symbol: str, start: dt.date, end: dt.date) -> tuple[CorporateAction, ...]:
        return () if symbol == "ZZZ" else super().actions(symbol, start, end)


class _WithoutTheEnd(_Lying):
    def actions(self, symbol: str, start: dt.date, end: dt.date) -> tuple[CorporateAction, ...]:
        return super().actions(symbol, start, end - dt.timedelta(days=1))


class _Backwards(_Lying):
    def actions(self, symbol: str, start: dt.date, end: dt.date) -> tuple[CorporateAction, ...]:
        return super().actions(symbol, start, end)[::-1]


class _Forgetful(_Lying):
    def actions(self, symbol: str, start: dt.date, end: dt.date) -> tuple[CorporateAction, ...]:
        self._asked += 1
        return super().actions(symbol, start, end) if self._asked == 1 else ()


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (_NoneForUnknown, "test_none_is_an_answer_and_unknown_is_a_refusal"),
        (_WithoutTheEnd, "test_both_ends_of_a_range_belong_to_it"),
        (_Backwards, "test_all_actions_come_by_date_with_their_values"),
        (_Forgetful, "test_asking_again_gives_the_same"),
    ],
)
def test_the_contract_finds_a_source_that_breaks_it(kind: type[_Lying], check: str, tmp_path: Path) -> None:
    class Broken(ActionSourceContract):
        def make(self, actions: Listed) -> CorporateActionSource:
            return kind(FileActionSource(folder_of(tmp_path / "actions", actions)))

    with pytest.raises(AssertionError):
        getattr(Broken(), check)()
