"""What strategy authors test with: a gateway in a thread, and the fixtures of the pytest plugin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.errors import GatewayPortError
from backtesting.gateway.testing import GatewayThread
from data.bars import BarSeries
from data.calendars import ExchangeClock

ROOT = Path(__file__).resolve().parents[3]
CONFTEST = 'pytest_plugins = ["backtesting.gateway.pytest_plugin"]\n'
TEST = """
import ib_insync as ibi

def test_a_market_order_is_filled_when_bars_pass(simulated_ib):
    ib = ibi.IB()
    ib.connect(simulated_ib.host, simulated_ib.port, clientId=1)
    try:
        (contract,) = ib.qualifyContracts(ibi.Stock("SPXSIM", "SMART", "USD"))
        trade = ib.placeOrder(contract, ibi.MarketOrder("BUY", 10))
        ib.sleep(0.1)
        assert not trade.isDone()
        while not trade.isDone():
            simulated_ib.step()
            ib.waitOnUpdate(timeout=10)
        assert trade.orderStatus.status == "Filled"
    finally:
        ib.disconnect()
"""


def test_a_gateway_in_a_thread_is_stepped_and_ends(
    bars: dict[str, BarSeries], sessions: ExchangeClock
) -> None:
    with GatewayThread(bars, sessions=sessions) as gateway:
        assert gateway.port > 0
        gateway.step(3)
        assert gateway.call(lambda server: server.service.market.completed("AAA")) == 3
    with pytest.raises(RuntimeError, match="does not run"):
        _ = gateway.port


def test_what_goes_wrong_in_the_thread_is_raised_in_the_test(
    bars: dict[str, BarSeries], sessions: ExchangeClock
) -> None:
    with GatewayThread(bars, sessions=sessions) as gateway:
        taken = GatewayThread(bars, sessions=sessions, config=GatewayConfig(port=gateway.port))
        with pytest.raises(GatewayPortError, match="choose another"), taken:
            pass


def test_the_plugin_gives_a_strategys_test_a_gateway_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (tmp_path / "test_mine.py").write_text(TEST, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
