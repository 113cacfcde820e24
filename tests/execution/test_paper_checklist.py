"""The paper checklist, proven on the simulated gateway, and what it refuses and records."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import io
import json
import runpy
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from rich.console import Console

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.frame_journal import read_frames
from backtesting.gateway.testing import simulated_gateway
from backtesting.gateway.wire.requests import decode
from data.samples import sample_bars
from execution.errors import NotConnectedError
from execution.examples import paper_checklist
from execution.examples.frame_recorder import FrameRecorder, scrub
from execution.examples.paper_checklist import FAILED, NOT_APPLICABLE, PASSED, Outcome, arguments, check
from execution.examples.paper_steps import STEPS, Step
from execution.examples.paper_trial import NotApplicable, Trial, Wrong
from execution.models import ZERO, OrderType

if TYPE_CHECKING:
    from .conftest import MakeFloor

PRICES = ("--low", "50", "--high", "200")
SERVED_FROM, STARTED = 157, 71


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=120, highlight=False)


def said(console: Console) -> str:
    return cast("io.StringIO", console.file).getvalue()


async def test_every_step_passes_on_the_simulated_gateway_and_leaves_frames_to_compare_with(
    console: Console, tmp_path: Path
) -> None:
    frames = tmp_path / "frames.jsonl"
    assert await check(arguments(["--simulated", "--yes", "--frames", str(frames)]), console) == 0
    assert f"{len(STEPS)} passed, 0 failed, 0 not applicable" in said(console)
    rows = [json.loads(line) for line in frames.read_text(encoding="utf-8").splitlines()]
    assert len(rows) > 200
    assert all(row["recorded"] and row["source"] == "simulated gateway" for row in rows)
    assert {row["dir"] for row in rows} == {"in", "out"}
    asked = [row for row in rows if row["dir"] == "out" and row["msg_id"] not in (0, STARTED)]
    for row in asked:
        decode([str(row["msg_id"]), *row["fields"]], row["server_version"])
    assert {row["conn"] for row in rows} == {1, 2}  # one was cut
    told = {row["msg_id"] for row in rows if row["dir"] == "in"}
    assert {3, 4, 5, 9, 10, 11, 15, 49, 53, 55, 59, 61, 62, 63, 64, 102} <= told
    assert [record.number for record in read_frames(frames)] == [row["msg_id"] for row in rows]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["--port", "7496", *PRICES], "live account"),
        (["--port", "4001", *PRICES], "live account"),
        (["--account", "U1234567", *PRICES], "not a paper account"),
        ([], "--low and --high"),
    ],
)
def test_real_money_and_missing_prices_are_refused_before_a_connection(
    given: list[str], why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["paper_checklist", *given, "--yes"])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(paper_checklist.__file__), run_name="__main__")
    assert (left.value.code, why in capsys.readouterr().err) == (2, True)


def test_the_environment_may_say_where(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOST": "tws", "PORT": "4002", "ACCOUNT": "DU7", "LOW": "1", "HIGH": "9"}.items():
        monkeypatch.setenv(f"TWS_{name}", value)
    given = arguments([])
    assert (given.host, given.port, given.account, given.low, given.high) == ("tws", 4002, "DU7", "1", "9")


async def test_an_account_that_is_no_paper_account_is_left_alone(console: Console, tmp_path: Path) -> None:
    bars = sample_bars(["SPXSIM"], end=dt.date(1999, 2, 5))
    async with simulated_gateway(
        bars.series, config=GatewayConfig(account="U1234567", speed="1"), sessions=bars.clock
    ) as server:
        given = arguments(["--port", str(server.port), *PRICES, "--yes"])
        with pytest.raises(NotConnectedError, match="nothing was sent"):
            await paper_checklist.run_checklist(given, console, tmp_path)
    asked = {f.number for f in read_frames(tmp_path / "frames.jsonl") if f.direction == "in"}
    assert not asked & {3, 61, 62, 7}  # no order, no positions, no account values, no executions


@pytest.mark.parametrize(
    ("offered", "wanted"), [(["DU1", "DU2"], None), (["DU1"], "DU2"), (["DU1", "U2"], "DU1"), ([], None)]
)
def test_the_account_is_one_and_every_account_of_the_login_is_paper(
    offered: list[str], wanted: str | None
) -> None:
    with pytest.raises(NotConnectedError):
        paper_checklist.paper_account(offered, wanted)
    assert paper_checklist.paper_account(["DU1", "DF2"], "DF2") == "DF2"


def test_it_asks_and_does_nothing_without_a_yes(monkeypatch: pytest.MonkeyPatch, console: Console) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("n\ny\n"))
    given = argparse.Namespace(simulated=False, host="h", port=1, low="1", high="2", frames="f", yes=False)
    assert not paper_checklist.agreed(given, console)
    assert paper_checklist.agreed(given, console)
    assert "one share bought at the market and sold again" in said(console).replace("\n", " ")


@pytest.mark.parametrize(
    ("raised", "verdict"),
    [
        (None, PASSED),
        (Wrong("not so"), FAILED),
        (NotApplicable("closed"), NOT_APPLICABLE),
        (TimeoutError("late"), FAILED),
        (NotConnectedError("gone"), FAILED),
    ],
)
async def test_a_step_has_one_of_three_verdicts(raised: Exception | None, verdict: str) -> None:
    async def run(_: Trial) -> str:
        if raised is not None:
            raise raised
        return "fine"

    outcome = await paper_checklist._tried(Step("about", run), cast("Trial", None))
    assert (outcome.about, outcome.verdict) == ("about", verdict)


def test_the_table_ends_with_the_sums(console: Console) -> None:
    outcomes = [Outcome("a", PASSED, ""), Outcome("b", FAILED, "[x]"), Outcome("c", NOT_APPLICABLE, "")]
    paper_checklist.show(outcomes, console)
    assert "1 passed, 1 failed, 1 not applicable" in said(console)
    assert "[x]" in said(console)


async def test_what_is_left_over_is_cleaned_up(floor: MakeFloor, tmp_path: Path) -> None:
    async with floor() as f:
        recorder = FrameRecorder("127.0.0.1", 1, tmp_path / "f", lambda: 0)
        instrument = f.executor._rooms.desk.instrument("AAA")
        trial = Trial(
            f.executor,
            recorder,
            f.clock,
            "DU0000001",
            instrument,
            Decimal(50),
            Decimal(200),
            "x-",
            patience=0.2,
        )
        f.executor.inbox.add_handler(trial)
        await trial.placed(trial.request(OrderType.LIMIT, limit_price=trial.low))
        await f.executor.submit_order(trial.request(OrderType.MARKET))
        await f.step(2)
        assert f.executor.inbox.net["AAA"] == 1
        await paper_checklist.clean_up(trial)
        await f.step()
        assert f.executor.inbox.net["AAA"] == ZERO
        assert await f.executor.get_open_orders() == []
        with pytest.raises(Wrong, match="did not come within"):
            await trial.until(lambda: False, "the end")


# -- the recorder ------------------------------------------------------------------------------------------


def line(direction: str, number: int, *fields: str, **more: Any) -> str:
    sender = {"in": "gateway", "out": "client"}[direction]
    row = {
        "t": 5,
        "conn": 1,
        "client": 7,
        "from": sender,
        "dir": direction,
        "msg_id": number,
        "fields": fields,
    }
    return json.dumps({**row, "server_version": 176, **more}) + "\n"


def scrubbed(tmp_path: Path, *lines: str) -> list[dict[str, Any]]:
    recorded, fixture = tmp_path / "recorded", tmp_path / "fixture"
    recorded.write_text("".join(lines), encoding="utf-8")
    assert scrub(recorded, fixture, prefix="check-1-", source="here", note="n") == len(lines)
    return [json.loads(row) for row in fixture.read_text(encoding="utf-8").splitlines()]


def test_names_and_ids_are_replaced_alike_wherever_they_occur(tmp_path: Path) -> None:
    status = ["12", "Submitted", "0", "1", "0", "871234567", "0", "0", "77", "", "0"]
    execution = [
        *["-1", "12", *["x"] * 11],
        "00025b44.6553abcd.01.01",
        "20180102",
        "DUP765432",
        "SMART",
        "BOT",
    ]
    execution += ["1", "99.5", "871234567", "77", "0", "1", "99.5", "check-1-3"]
    rows = scrubbed(
        tmp_path,
        line("in", 15, "1", "DUP765432,DU1112223,"),
        line("in", 3, *status),
        line("in", 11, *execution),
        line("in", 59, "1", "00025b44.6553abcd.01.02", "1.0", "USD"),
        line("in", 59, "1", "00025b44.6553ffff.01.01", "1.0", "USD"),
        line("in", 107, "1", "acmefund"),
        line("in", 4, "2", "12", "201", "Order rejected - account DUP765432 has no permission", ""),
        line("out", 3, "12", "0", "SPY", "DUP765432", "check-1-3", "871234567"),
        line("in", -1, raw="ff"),
    )
    text = json.dumps(rows)
    for secret in ("DUP765432", "DU1112223", "871234567", "00025b44", "acmefund"):
        assert secret not in text
    assert rows[0]["fields"] == ["1", "DU0000001,DU0000002,"]
    assert rows[1]["fields"][5] == rows[2]["fields"][20] == rows[7]["fields"][5] == "1000000001"
    first, corrected, other = rows[2]["fields"][13], rows[3]["fields"][1], rows[4]["fields"][1]
    assert first == "0000e0d5.00000001.01.01"
    assert corrected == "0000e0d5.00000001.01.02"  # a correction is known by its last part alone
    assert other.startswith("0000e0d5.00000002")
    assert rows[6]["fields"][3] == "Order rejected - account DU0000001 has no permission"
    assert rows[7]["fields"][4] == "check-1-3"
    assert len(rows) == 8  # what is no text is left out


def test_references_of_other_programs_are_replaced(tmp_path: Path) -> None:
    fields = [*["0"] * 22, "secret-strategy", "1", "99"]
    rows = scrubbed(
        tmp_path, line("in", 5, *fields), line("in", 5, *[*fields[:22], "check-1-9", *fields[23:]])
    )
    assert [row["fields"][22] for row in rows] == ["another-1", "check-1-9"]


async def test_a_relay_to_nobody_closes(tmp_path: Path) -> None:
    async with FrameRecorder("127.0.0.1", 1, tmp_path / "f", lambda: 0) as recorder:
        reader, writer = await asyncio.open_connection("127.0.0.1", recorder.port)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
    assert list(read_frames(tmp_path / "f")) == []
