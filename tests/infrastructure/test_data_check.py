"""`trade data check`: what it says, writes and leaves with, on files and on the store."""

from __future__ import annotations

import gzip
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.testing import GatewayThread
from data.calendars import ExchangeClock
from data.corporate_actions import FileActionSource
from data.files import write_bars
from data.samples import sample_bars
from infrastructure.cli import app
from infrastructure.cli.boundary import guard


@pytest.fixture(autouse=True)
def prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """AAA with a 4-for-1 split on the 41st session and BBB without its 31st; CCC is sound."""
    import datetime as dt

    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "prices"
    folder.mkdir()
    days = ExchangeClock("XNYS", dt.date(2024, 1, 1), dt.date(2024, 4, 30)).dates
    for symbol in ("AAA", "BBB", "CCC"):
        lines = ["date,open,high,low,close,volume"]
        for i, day in enumerate(days):
            price = (100 + i % 7) / (4 if symbol == "AAA" and i >= 40 else 1)
            if symbol != "BBB" or i != 30:
                lines.append(f"{day},{price},{price + 1},{price - 1},{price},{1000 + i}")
        (folder / f"{symbol}.csv").write_text("\n".join(lines) + "\n")
    return folder


def trade(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> Any:
    assert guard(app, ["data", *arguments]) == status
    told = capsys.readouterr()
    return json.loads(told.out) if "--json" in arguments else told.out + told.err


def test_errors_leave_with_1_and_are_told_to_people(capsys: pytest.CaptureFixture[str]) -> None:
    told = trade(capsys, "check", "prices", status=1)
    assert "split-unexplained" in told
    assert "1 session without a bar" in told
    assert "prices: 3 series, 248 bars: 2 errors, 0 warnings, 0 notes" in told
    assert "--propose FILE" in told


def test_sound_bars_leave_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    told = trade(capsys, "check", "prices", "--symbols", "CCC")
    assert "1 series, 83 bars: 0 errors" in told
    assert "--propose" not in told


def test_programs_get_the_findings_and_the_proposals(capsys: pytest.CaptureFixture[str]) -> None:
    report = trade(capsys, "check", "prices", "--json", status=1)
    assert (report["ok"], report["errors"], report["warnings"], report["notes"]) == (False, 2, 0, 0)
    found = {one["symbol"]: [f["kind"] for f in one["findings"]] for one in report["symbols"]}
    assert found == {"AAA": ["split-unexplained"], "BBB": ["gap"], "CCC": []}
    assert report["proposals"]["corporate_actions"] == [
        {"date": "2024-02-29", "symbol": "AAA", "kind": "split", "value": "4"}
    ]
    assert report["proposals"]["pull"][0]["command"].startswith(
        "trade data pull BBB --timeframe 1D --start 2024-02"
    )


def test_a_proposal_that_was_confirmed_explains_the_jump(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = trade(capsys, "check", "prices", "--propose", "p.csv", "--html", "page.html", status=1)
    assert "page: page.html" in told
    assert "proposals: p.csv" in told
    assert "unexplained" in (tmp_path / "page.html").read_text()
    assert FileActionSource(tmp_path / "p.csv").symbols == ["AAA"]
    report = trade(capsys, "check", "prices", "--symbols", "AAA", "--actions", "p.csv", "--json")
    assert [f["kind"] for f in report["symbols"][0]["findings"]] == ["split"]


def test_proposed_commands_bring_the_missing_bars_as_they_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bars = sample_bars()
    folder = tmp_path / "holed"
    folder.mkdir()
    day = str(bars["SPXSIM"].bar(-10).end.date())
    write_bars(tmp_path / "whole", {"SPXSIM": bars["SPXSIM"].slice(-60, -1)}, calendar="XNYS")
    lines = gzip.decompress((tmp_path / "whole" / "SPXSIM.csv.gz").read_bytes()).decode().splitlines()
    (folder / "SPXSIM.csv").write_text("\n".join(line for line in lines if not line.startswith(day)))
    start = bars["SPXSIM"].bar(-1).end.normalize()
    config = GatewayConfig(speed="1", paused=True, historical_pacing=True, start=start)
    with GatewayThread(bars, config=config) as gateway:
        at = ["--set", f"data.ib.port={gateway.port}", "--set", "var_dir=its own"]
        trade(capsys, "check", "holed", "--propose", "my proposals.csv", *at, status=1)
        text = (tmp_path / "my proposals.csv").read_text()
        commands = [shlex.split(line[1:]) for line in text.splitlines() if "trade data pull" in line]
        assert len(commands) == 1
        for command in commands:
            assert "pulled" in trade(capsys, *command[2:])
    assert (tmp_path / "its own").is_dir()
    shown = trade(capsys, "head", "SPXSIM", "--json", "--set", "var_dir=its own")["bars"]
    assert [bar["end"][:10] for bar in shown] == [day]


def test_what_a_pull_is_told_is_what_the_check_was_told(capsys: pytest.CaptureFixture[str]) -> None:
    url = "sqlite:///bars.db"
    assert guard(app, ["db", "upgrade", "bars.db"]) == 0
    trade(capsys, "import", "prices", "--store", url)
    private = "database.url=postgresql+psycopg://u:pw@h/d"  # pragma: allowlist secret
    where = ["--store", url, "--actions", "none", "--set", private]
    told = trade(capsys, "check", *where, "--json", status=1)["proposals"]["pull"][0]["command"]
    public = "database.url=postgresql+psycopg://u@h/d"
    assert told.endswith(f"--actions none --store {url} --set {public}")
    plain = trade(capsys, "check", "--store", url, "--json", status=1)
    assert plain["proposals"]["pull"][0]["command"].endswith(f"--source yahoo --store {url}")


def test_a_future_below_zero_is_no_error_once_it_is_named(
    prices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("CLK0", "CL 20240520"):
        lines = (prices / "CCC.csv").read_text().splitlines()
        below = ["2024-02-14,-37.63,1,-40,-37.63,9" if "2024-02-14" in line else line for line in lines]
        (prices / f"{name}.csv").write_text("\n".join(below))
    assert "--futures" in trade(capsys, "check", "prices", "--symbols", "CLK0", status=1)
    for page in ("one.html", "two.html"):
        trade(capsys, "check", "prices", "--symbols", "CLK0,CL 20240520", "--futures", "CLK0", "--html", page)
    assert "inserted" in trade(capsys, "import", "prices", "--futures", "CLK0", "--store", "bars")


def test_stored_bars_are_checked_without_being_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trade(capsys, "import", "prices", "--store", "bars", "--known-at", "2024-05-01T00:00Z")
    before = {path: path.read_bytes() for path in (tmp_path / "bars").rglob("*") if path.is_file()}
    report = trade(capsys, "check", "--store", "bars", "--json", status=1)
    assert (report["errors"], len(report["symbols"])) == (2, 3)
    assert {path: path.read_bytes() for path in before} == before
    then = trade(capsys, "check", "--store", "bars", "--as-of", "2024-04-30T00:00Z", "--json")
    assert (then["ok"], then["symbols"]) == (True, [])


def test_many_findings_are_cut_in_the_terminal_and_counted(
    prices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (prices / "CCC.csv").read_text().splitlines()
    for i in range(60):
        (prices / f"D{i}.csv").write_text("\n".join(lines[:20] + lines[21:]))
    assert "12 more findings" in trade(capsys, "check", "prices", status=1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prices", "--store", "bars"], "leave FOLDER out"),
        (["nowhere"], "does not exist"),
        (["prices", "--symbols", "ZZZ"], "no file for symbol"),
        (["prices", "--actions", "none.csv"], "cannot be read"),
        (["prices", "--calendar", "XNY"], "did you mean XNYS"),
        (["--timeframe", "2h"], "use 1D, 1h, 1m"),
        (["--store", "nowhere"], "nowhere holds no bars: name another --store"),
        (["--as-of", "2024-01-01"], "has no timezone"),
        (["--as-of", "soon"], "is no time"),
    ],
)
def test_a_wrong_question_says_what_to_do(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = trade(capsys, "check", *arguments, status=2)
    assert said in " ".join(told.replace("\u2502", " ").split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "--symbols", "aaa"], "bars holds no bars of aaa; did you mean AAA?"),
        (["check", "--timeframe", "1m"], "bars holds no bars at 1m; it has 1D"),
        (["check", "--timeframe", "1h", "--symbols", "AAA"], "bars holds no bars of AAA at 1h; it has 1D"),
        (["head", "AAAA"], "no bars of AAAA at 1D; did you mean AAA?"),
        (["head", "ZZZ"], "no bars of ZZZ at 1D; see trade data list"),
        (["export", "out", "--symbols", "AAA,BBX"], "no bars of BBX at 1D; did you mean BBB?"),
        (["export", "out", "--as-of", "2020-01-01T00:00Z"], "knew nothing of these bars"),
    ],
)
def test_bars_that_are_not_stored_are_told_with_what_may_be_meant(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trade(capsys, "import", "prices", "--store", "bars")
    told = trade(capsys, *arguments, "--store", "bars", status=2)
    assert said in " ".join(told.replace("\u2502", " ").split())
    assert not (tmp_path / "out").exists()


def test_a_remedy_is_told_once_for_findings_in_a_row(
    prices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (prices / "CCC.csv").read_text().splitlines()
    (prices / "CCC.csv").write_text("\n".join(lines[:20] + lines[21:40] + lines[41:]))
    told = trade(capsys, "check", "prices", "--symbols", "CCC", status=1)
    assert told.count("1 session without a bar") == 2
    assert told.count("pull these days from a source that has them") == 1
