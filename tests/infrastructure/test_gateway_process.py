"""The gateway's process as its trader sees it: alive, gone, or never come up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from execution.errors import NotConnectedError
from infrastructure.gateway_process import GatewayProcess, hold
from infrastructure.settings import Settings, load_settings


def settings(**more: str) -> Settings:
    return load_settings("demo", None, {"data.end": "1999-01-15", **more}, {}, None)


def test_a_folder_without_a_gateway_is_not_alive(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path / "gateway")
    assert not gateway.is_alive()
    gateway.stop()  # nothing to stop is not an error


def test_the_lock_tells_that_it_lives_and_keeps_a_second_one_out(tmp_path: Path) -> None:
    handle = hold(tmp_path)
    assert GatewayProcess(tmp_path).is_alive()
    with pytest.raises(NotConnectedError, match="--state-dir"):
        hold(tmp_path)
    os.close(handle)
    assert not GatewayProcess(tmp_path).is_alive()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write what is read-only")
def test_the_gateway_of_an_ended_run_is_gone_though_its_folder_is_read_only(tmp_path: Path) -> None:
    os.close(hold(tmp_path))
    (tmp_path / "gateway.lock").chmod(0o444)
    assert not GatewayProcess(tmp_path).is_alive()


def test_it_comes_up_once_and_leaves_a_statement(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path / "gateway")
    gateway.launch(settings(**{"execution.participation": "0.000001"}))
    address = gateway.address()
    try:
        gateway.launch(settings())
        assert gateway.address() == address
        assert gateway.is_alive()
    finally:
        gateway.stop()
    assert not gateway.is_alive()
    assert '"orders": []' in gateway.statement.read_text()


def test_a_gateway_that_fails_says_why(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path / "gateway")
    gateway.launch(settings(**{"data.bars": str(tmp_path / "none")}))
    with pytest.raises(NotConnectedError, match=r"did not come up: error: .*none: does not exist"):
        gateway.address()


def test_a_gateway_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(NotConnectedError, match="it said nothing"):
        GatewayProcess(tmp_path).address(timeout=0.05)
