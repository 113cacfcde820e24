"""The checks over folders and stores, what they propose, and the two real cases they were made for."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.calendars import ExchangeClock
from data.corporate_actions import FileActionSource, continuous
from data.errors import BarFileError
from data.files import load_bars
from data.quality import Against, Checked, Kind, Severity, plan_folder, plan_store, proposals
from data.stores import ParquetBarStore
from execution.timeframes import Timeframe

CLOCK = ExchangeClock("XNYS", dt.date(2010, 1, 1), dt.date(2010, 12, 31))


def closes(count: int) -> list[float]:
    moves = np.random.default_rng(3).normal(0, 0.01, count)
    return [float(close) for close in np.round(400 * np.exp(np.cumsum(moves)), 2)]


def write_file(path: Path, prices: list[float], days: list[dt.date]) -> None:
    lines = ["date,open,high,low,close,volume"]
    lines += [
        f"{day},{p:.4f},{p + 1:.4f},{p - 1:.4f},{p:.4f},{5000 + i}"
        for i, (day, p) in enumerate(zip(days, prices, strict=True))
    ]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """APL with a 7-for-1 split, QQX with a hole of a hundred sessions, SPX sound."""
    made = tmp_path / "daily"
    made.mkdir()
    days, prices = list(CLOCK.dates), closes(len(CLOCK))
    write_file(made / "SPX.csv", prices, days)
    write_file(made / "APL.csv", [p / 7 if i >= 120 else p for i, p in enumerate(prices)], days)
    write_file(made / "QQX.csv", prices[:60] + prices[160:], days[:60] + days[160:])
    return made


def run(folder: Path, against: Against = Against()) -> dict[str, Checked]:  # noqa: B008  frozen
    return {part.symbol: part for part in plan_folder(folder, None, against).run()}


def kinds(part: Checked) -> list[Kind]:
    return [found.kind for found in part.findings]


def test_the_split_and_the_hole_are_found_and_a_sound_series_has_nothing(folder: Path) -> None:
    plan = plan_folder(folder)
    assert (plan.source, plan.total) == (str(folder), 3)
    found = run(folder)
    assert kinds(found["SPX"]) == []
    assert kinds(found["APL"]) == [Kind.SPLIT_UNEXPLAINED]
    assert kinds(found["QQX"]) == [Kind.GAP]
    assert found["QQX"].findings[0].count == 100
    assert [part.errors for part in found.values()] == [1, 1, 0]


def test_what_is_proposed_is_a_file_of_actions_that_explains_the_jump(folder: Path, tmp_path: Path) -> None:
    made = proposals(run(folder).values())
    assert [(a.symbol, a.ex_date, str(a.value)) for a in made.actions] == [("APL", CLOCK.dates[120], "7")]
    pull = made.pulls[0]
    assert (pull.symbol, pull.first, pull.last) == ("QQX", CLOCK.dates[60], CLOCK.dates[159])
    span = f"--timeframe 1D --start {pull.first} --end {pull.last}"
    assert pull.command == f"trade data pull QQX {span} --source yahoo"
    told = made.pulled_with(["--actions", "my actions.csv"])
    assert told.pulls[0].command == f"trade data pull QQX {span} --actions 'my actions.csv'"
    path = tmp_path / "actions.csv"
    path.write_text(made.to_text())
    again = run(folder, Against(actions=FileActionSource(path)))
    assert kinds(again["APL"]) == [Kind.SPLIT]
    assert again["APL"].errors == 0


def test_nothing_found_proposes_nothing_and_is_still_a_file_of_actions(folder: Path, tmp_path: Path) -> None:
    made = proposals([run(folder)["SPX"]])
    assert (made.actions, made.pulls) == ((), ())
    path = tmp_path / "actions.csv"
    path.write_text(made.to_text())
    assert FileActionSource(path).symbols == []


def test_ranges_that_share_a_day_are_pulled_at_once(tmp_path: Path) -> None:
    clock = ExchangeClock("XNYS", dt.date(2010, 3, 1), dt.date(2010, 3, 5))
    lines = ["end,open,high,low,close,volume"]
    number = 0
    for session in clock.sessions(clock.start, clock.end):
        for end in range(session.open_ns + 60 * 10**9, session.close_ns + 1, 60 * 10**9):
            minute = (end - session.open_ns) // (60 * 10**9)
            number += 1
            if session.date == dt.date(2010, 3, 2) and minute in (*range(50, 60), *range(90, 110)):
                continue
            price = 100 + number % 7 / 100
            when = pd.Timestamp(end, unit="ns", tz="UTC").strftime("%Y-%m-%dT%H:%M:%SZ")
            lines.append(f"{when},{price},{price},{price},{price},{number}")
    (tmp_path / "AAA.csv").write_text("\n".join(lines))
    part = run(tmp_path)["AAA"]
    assert (part.timeframe, kinds(part)) == (Timeframe.MINUTE, [Kind.GAP, Kind.GAP])
    pulls = proposals([part]).pulls
    assert [(p.first, p.last) for p in pulls] == [(dt.date(2010, 3, 2), dt.date(2010, 3, 2))]
    assert "10 bars" in pulls[0].why
    assert "20 bars" in pulls[0].why


def test_a_change_of_ticker_explains_a_gap_and_both_tickers_are_one_series(
    folder: Path, tmp_path: Path
) -> None:
    first, after = CLOCK.dates[60], CLOCK.dates[160]
    path = tmp_path / "actions.csv"
    path.write_text(f"date,symbol,kind,value\n{first},QQX,rename,QQXX\n{after},QQXX,rename,QQX\n")
    source = FileActionSource(path)
    gap = run(folder, Against(actions=source))["QQX"].findings[0]
    assert (gap.kind, gap.severity) == (Kind.GAP, Severity.WARNING)
    assert "it traded as QQXX" in gap.what
    assert proposals(run(folder, Against(actions=source)).values()).pulls[0].symbol == "QQXX"
    write_file(folder / "QQXX.csv", closes(len(CLOCK))[60:160], list(CLOCK.dates[60:160]))
    bars = load_bars(folder)
    every = [a for s in source.symbols for a in source.actions(s, CLOCK.start, CLOCK.end)]
    whole = continuous("QQX", bars, every, bars.clock)
    assert whole.close.tolist() == bars["SPX"].close.tolist()


def test_a_symbol_without_known_actions_is_told_apart_from_one_that_had_none(
    folder: Path, tmp_path: Path
) -> None:
    actions = tmp_path / "actions"
    actions.mkdir()
    (actions / "SPX.csv").write_text("date,kind,value\n")
    found = run(folder, Against(actions=FileActionSource(actions)))
    assert kinds(found["SPX"]) == []
    assert set(kinds(found["APL"])) == {Kind.ACTIONS_UNKNOWN, Kind.SPLIT_UNEXPLAINED}


def test_unreadable_rows_and_files_are_findings_among_the_others(folder: Path) -> None:
    (folder / "BAD.csv").write_text("nothing\n")
    path = folder / "SPX.csv"
    path.write_text(path.read_text().replace("2010-01-06,", "2010-01-06,x"))
    found = run(folder)
    assert (found["BAD"].bars, found["BAD"].timeframe, found["BAD"].errors) == (0, None, 1)
    assert kinds(found["SPX"]) == [Kind.UNREADABLE, Kind.GAP]
    assert proposals([found["BAD"]]).pulls == ()


@pytest.mark.parametrize("name", ["CL 20100520", "SPY 101218C600"])
def test_what_takes_more_than_a_name_is_proposed_without_a_command(folder: Path, name: str) -> None:
    (folder / "QQX.csv").rename(folder / f"{name}.csv")
    made = proposals([run(folder)[name]])
    assert made.pulls[0].command == ""
    assert f"#   {name} 1D, {made.pulls[0].first} to {made.pulls[0].last}: pull it" in made.to_text()


@pytest.mark.parametrize(
    ("name", "signed", "sound"),
    [("CL 20100520", (), True), ("CLM0", ("CLM0",), True), ("CLM0", (), False), ("CL 2010", (), False)],
)
def test_a_future_may_be_worth_less_than_nothing_and_a_stock_may_not(
    name: str, signed: tuple[str, ...], sound: bool, folder: Path, tmp_path: Path
) -> None:
    prices = closes(len(CLOCK))
    prices[100] = -37.63
    write_file(folder / f"{name}.csv", prices, list(CLOCK.dates))
    found = run(folder, Against(signed=signed))[name]
    assert (Kind.UNSOUND in kinds(found)) is not sound
    if sound:
        spike = next(one for one in found.findings if one.kind is Kind.SPIKE)
        assert f"{-37.63 - prices[99]:+g} from the bar before" in spike.what
        assert kinds(found) == [Kind.SPIKE]
        store = ParquetBarStore(tmp_path / "store")
        bars = load_bars(folder, symbols=[name], signed=signed)
        store.write(bars, known_at=pd.Timestamp("2011-01-01", tz="UTC"), signed=signed)
        stored = next(iter(plan_store(store, against=Against(signed=signed)).run()))
        assert kinds(stored) == [Kind.SPIKE]
    else:
        assert "--futures" in " ".join(one.proposal for one in found.findings)
        with pytest.raises(BarFileError, match="not positive"):
            load_bars(folder, symbols=[name], signed=signed)


def test_days_of_which_the_exchange_has_no_records_do_not_end_the_check_of_others(
    tmp_path: Path, folder: Path
) -> None:
    write_file(folder / "OLD.csv", [100.0, 101.0], [dt.date(1990, 3, 1), dt.date(1990, 3, 2)])
    found = run(folder, Against("XTKS"))
    assert (kinds(found["OLD"]), found["OLD"].errors, found["OLD"].timeframe) == (
        [Kind.OUTSIDE],
        1,
        Timeframe.DAY,
    )
    assert "1997" in found["OLD"].findings[0].what
    assert found["SPX"].bars == len(CLOCK)
    store = ParquetBarStore(tmp_path / "store")
    store.write(load_bars(folder), known_at=pd.Timestamp("2011-01-01", tz="UTC"))
    parts = {part.symbol: part for part in plan_store(store, against=Against("XTKS")).run()}
    assert (kinds(parts["OLD"]), parts["SPX"].bars) == ([Kind.OUTSIDE], len(CLOCK))


def test_a_folder_without_bars_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BarFileError, match="no bar files"):
        plan_folder(tmp_path)


def test_stored_bars_are_checked_as_they_are_now_and_as_they_were(folder: Path, tmp_path: Path) -> None:
    store = ParquetBarStore(tmp_path / "store")
    loaded = load_bars(folder)
    learnt = pd.Timestamp("2011-01-01", tz="UTC")
    store.write(loaded, known_at=learnt)
    found = {part.symbol: kinds(part) for part in plan_store(store).run()}
    assert found == {"APL": [Kind.SPLIT_UNEXPLAINED], "QQX": [Kind.GAP], "SPX": []}
    only = plan_store(store, ["SPX"], Timeframe.DAY)
    assert (only.total, [part.bars for part in only.run()]) == (1, [len(CLOCK)])
    assert plan_store(store, None, Timeframe.MINUTE).total == 0
    assert list(plan_store(store, as_of=learnt - pd.Timedelta(days=1)).run()) == []


def test_the_hole_of_qqq_and_the_split_of_aapl_are_found_in_real_bars(shared_data: Path) -> None:
    found = run(shared_data / "daily")
    gap = next(one for one in found["QQQ"].findings if one.kind is Kind.GAP)
    assert (gap.count, str(gap.first), str(gap.last)) == (
        1588,
        "2004-12-01 14:30:00+00:00",
        "2011-03-22 20:00:00+00:00",
    )
    made = proposals(found.values())
    assert ("AAPL", dt.date(2014, 6, 9), "7") in [(a.symbol, a.ex_date, str(a.value)) for a in made.actions]
    known = run(shared_data / "daily", Against(actions=FileActionSource(shared_data / "corporate_actions")))
    assert [part.symbol for part in known.values() if part.errors] == ["QQQ"]
    assert known["QQQ"].errors == 1
    assert set(kinds(known["AAPL"])) == {Kind.SPLIT, Kind.SPIKE}
    low = next(one for one in known["AAPL"].findings if str(one.first).startswith("2011-01-03"))
    assert "low 32.65 is -89.9% from the close before, 322.56" in low.what
    print_of_ibm = next(one for one in known["IBM"].findings if one.kind is Kind.SPIKE)
    assert "high 159.58 is +99.9%" in print_of_ibm.what
    minutes = proposals(run(shared_data / "minute").values()).actions
    assert [(a.symbol, a.ex_date, str(a.value)) for a in minutes] == [("AAPL", dt.date(2014, 6, 9), "7")]
