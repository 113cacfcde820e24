"""The stand-alone gateway: its options, what it says, and how it leaves."""

from __future__ import annotations

import asyncio
import json
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import ib_insync as ibi
import pytest

from backtesting.gateway.config import AccountConfig
from backtesting.gateway.errors import GatewayError
from infrastructure.errors import ConfigError
from infrastructure.gateway import GatewayOptions, parse_account

MILLION = Decimal(1_000_000)


def first_event(process: Any) -> dict[str, Any]:
    """Return the first event of a gateway that speaks JSON; show its error if it has none."""
    line = process.stdout.readline()
    assert line, process.communicate()
    event: dict[str, Any] = json.loads(line)
    return event


@pytest.mark.parametrize(
    ("text", "account"),
    [
        ("DU1", AccountConfig("DU1", MILLION, "margin")),
        ("DU1:5000", AccountConfig("DU1", Decimal(5000), "margin")),
        ("DU1:5000.50:margin", AccountConfig("DU1", Decimal("5000.50"), "margin")),
        ("DU1::cash", AccountConfig("DU1", MILLION, "cash")),
    ],
)
def test_an_account_is_a_name_with_cash_and_kind(text: str, account: AccountConfig) -> None:
    assert parse_account(text, MILLION) == account


@pytest.mark.parametrize("text", ["", ":5", "DU1:many", "DU1:-5", "DU1:1:cash:x", "DU 1", "DU1:nan"])
def test_an_account_that_is_none_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ConfigError, match="--account"):
        parse_account(text, MILLION)


def test_an_account_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(GatewayError, match="cash, margin, unchecked"):
        parse_account("DU1:5:gold", MILLION)


def test_control_listens_in_the_state_folder_unless_its_path_is_too_long(tmp_path: Path) -> None:
    assert GatewayOptions().control_socket() is None
    assert GatewayOptions(control=tmp_path / "c").control_socket() == tmp_path / "c"
    assert GatewayOptions(state_dir=Path("/var/gw")).control_socket() == Path("/var/gw/control.sock")
    assert GatewayOptions(state_dir=Path("/var") / ("x" * 100)).control_socket() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_leaves_in_order_on_a_signal(program: Any, number: signal.Signals) -> None:
    gateway = program.start("gateway", "--json", "--state-dir", "gw", "--account", "DU7:2500:margin")
    said = first_event(gateway)
    assert said["event"] == "listening"
    assert said["accounts"] == ["DU7"]
    assert said["symbols"] == ["COMPSIM", "SPXSIM"]
    assert said["pid"] == gateway.pid
    assert said["first_bar"].startswith("1999-01-04")
    gateway.send_signal(number)
    out, err = gateway.communicate(timeout=60)
    assert gateway.returncode == 0, err
    assert json.loads(out)["event"] == "stopped"
    assert json.loads((program.folder / "gw" / "statement.json").read_text())["orders"] == []


def test_a_strangers_market_order_is_filled_without_further_ado(program: Any) -> None:
    gateway = program.start("gateway", "--json")
    port = first_event(gateway)["port"]

    async def trade() -> tuple[ibi.Trade, ibi.Trade]:
        ib = ibi.IB()
        await ib.connectAsync("127.0.0.1", port, clientId=1)
        try:
            (contract,) = await ib.qualifyContractsAsync(ibi.Stock("SPXSIM", "SMART", "USD"))
            modest, too_large = (
                ib.placeOrder(contract, ibi.MarketOrder("BUY", size)) for size in (10, 1_000_000)
            )
            while not (modest.isDone() and any(entry.errorCode for entry in too_large.log)):
                await asyncio.wait_for(ib.updateEvent, 60)
        finally:
            ib.disconnect()
        return modest, too_large

    filled, too_large = asyncio.run(trade())
    assert (filled.orderStatus.status, filled.orderStatus.filled) == ("Filled", 10)
    (said,) = (entry for entry in too_large.log if entry.errorCode)
    assert said.errorCode == 201  # a newcomer's account may not owe what it likes
    assert "INITIAL MARGIN" in said.message
    gateway.send_signal(signal.SIGTERM)
    gateway.communicate(timeout=60)
    assert gateway.returncode == 0
