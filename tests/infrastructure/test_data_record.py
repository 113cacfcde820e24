"""`trade data record`: until Ctrl-C, again where it ended, and each fault with its remedy."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.testing import GatewayThread
from data.bars import BarSeries
from execution.clocks import NANOS, timestamp
from execution.timeframes import Timeframe
from infrastructure.cli import app
from infrastructure.cli.boundary import guard

FIRST_NS = 1_514_989_800 * NANOS  # 2018-01-03 14:30 UTC
PRICES = np.asarray(100.0 + np.arange(30) % 7 * 0.25, np.float64)
START = FIRST_NS + np.arange(30) * Timeframe.MINUTE.nanos
BARS = BarSeries(
    "AAA", Timeframe.MINUTE, START, START + Timeframe.MINUTE.nanos,
    PRICES, PRICES + 0.5, PRICES - 0.5, PRICES, np.full(30, 1200.0),
)  # fmt: skip


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def trade(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> Any:
    assert guard(app, ["data", *arguments]) == status
    told = capsys.readouterr()
    return json.loads(told.out) if "--json" in arguments and status in (0, 1) else told.out + told.err


def interrupted_after(gateway: GatewayThread, steps: int) -> threading.Thread:
    """Play some minutes once somebody listens, then press Ctrl-C."""

    def wait(holds: Callable[[], bool]) -> None:
        until = time.monotonic() + 30
        while not holds() and time.monotonic() < until:
            time.sleep(0.01)

    def listening() -> bool:
        feeds = gateway.call(lambda server: [len(f.real_time) for f in server.service.data._feeds.values()])
        return sum(feeds) == 1

    def work() -> None:
        wait(listening)
        gateway.step(steps)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_minutes_are_stored_until_ctrl_c_and_a_second_recording_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = timestamp(FIRST_NS + 4 * Timeframe.MINUTE.nanos)
    reports = []
    with GatewayThread({"AAA": BARS}, config=GatewayConfig(speed="1", paused=True, start=start)) as gateway:
        for steps in (3, 2):
            thread = interrupted_after(gateway, steps)
            at = ["--set", f"data.ib.port={gateway.port}", "--json"]
            reports.append(trade(capsys, "record", "AAA", *at))
            thread.join()
    first, second = reports
    assert (first["minutes"], first["newest_before"], first["minutes_not_stored"]) == (3, {"AAA": None}, 0)
    assert second["minutes"] == 2
    assert second["newest_before"] == {"AAA": timestamp(int(BARS.end_ns[6])).isoformat()}
    rows = trade(capsys, "head", "AAA", "--timeframe", "1m", "-n", "9", "--json")["bars"]
    assert [row["close"] for row in rows] == BARS.close[4:9].tolist()


def test_a_recording_without_a_whole_minute_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with GatewayThread({"AAA": BARS}, config=GatewayConfig(speed="1", paused=True)) as gateway:
        thread = interrupted_after(gateway, 0)
        said = trade(capsys, "record", "AAA", "--set", f"data.ib.port={gateway.port}")
        thread.join()
    assert "nothing_new: no whole minute has come" in said


def test_delayed_quotes_are_refused_with_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    config = GatewayConfig(speed="1", paused=True, market_data="delayed")
    with GatewayThread({"AAA": BARS}, config=config) as gateway:
        said = trade(capsys, "record", "AAA", "--set", f"data.ib.port={gateway.port}", status=2)
    assert "set data.allow_delayed" in said


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["SPY", "--every", "5"], "'--every': Input should be greater than or equal to 60"),
        (["spy"], "write a stock such as SPY"),
        (["OPT:SPY:20261218:600:C"], "Greeks of options are kept in a database"),
    ],
)
def test_wrong_input_is_told_with_what_would_be_right(
    capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    said = trade(capsys, "record", *arguments, status=2)
    assert complaint in " ".join(said.replace("│", " ").split())
