"""The control interface, in Python and on its socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import ib_insync as ibi
import pytest

from backtesting.gateway.control import COMMANDS, GatewayControl
from backtesting.gateway.control_socket import ControlServer, ask
from backtesting.gateway.errors import ControlError, GatewayError
from backtesting.gateway.faults.errors import FaultActionError
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.testing import WireClient
from execution import local_socket

AAA = ibi.Stock("AAA", "SMART", "USD")


@pytest.fixture
def control(gateway: GatewayServer) -> GatewayControl:
    return GatewayControl(gateway)


Asking = Callable[..., Any]


@pytest.fixture
async def asked(control: GatewayControl, tmp_path: Path) -> AsyncIterator[Asking]:
    """Ask over the socket, as the command line does."""
    path = tmp_path / "deep" / "control.sock"

    async def send(command: str, **arguments: object) -> dict[str, Any]:
        return await asyncio.to_thread(ask, path, command, **arguments)

    async with ControlServer(control, path):
        yield send


async def test_time_is_under_control(asked: Asking, gateway: GatewayServer, wire: WireClient) -> None:
    status = await asked("status")
    assert status["speed"] == "lockstep"
    assert status["clients"] == [1]
    assert (await asked("pause"))["paused"] is True
    assert (await asked("step", count=2))["time"].startswith("2018-01-03T21:00")
    assert (await asked("jump", to="2018-01-05T16:00"))["time"].startswith("2018-01-05T21:00")
    assert (await asked("resume"))["paused"] is False
    assert (await asked("jump", to="next session"))["time"].startswith("2018-01-08T14:30")
    await asked("speed", value="max")
    assert (await asked("status"))["speed"] == "inf"
    with pytest.raises(ControlError, match="use lockstep, max or a positive number"):
        await asked("speed", value="fast")


async def test_faults_and_rules_are_put_in_force_and_taken_out(
    asked: Asking, gateway: GatewayServer, wire: WireClient
) -> None:
    assert gateway.service.line.tamper is None  # nothing is spent before the first fault
    assert await asked("fault", spec={"farm": 2103}) == {"done": "farm(notice=2103)"}
    assert (await wire.receive())[3] == "2103"
    rule = await asked("fault", spec={"when": {"message": "nextValidId"}, "do": "drop", "name": "no ids"})
    assert rule["rule"] == "no ids"
    wire.send(8, 1, 1)
    wire.send(17, 1)
    assert (await wire.receive())[0] == "15"
    assert (await asked("rules"))["rules"][0]["played"] == 1
    assert await asked("remove", name="no ids") == {"removed": "no ids"}
    wire.send(8, 1, 1)
    assert (await wire.receive())[0] == "9"
    assert "farm(notice=2103)" in (await asked("trace"))["trace"][0]
    assert len((await asked("faults"))["actions"]) > 20
    assert (await asked("preset", name="commission_missing"))["rules"] == ["rule 2"]
    assert len((await asked("fault", spec="farm_flaps"))["rules"]) == 2
    with pytest.raises(ControlError, match=r"is done to a message.*command preset"):
        await asked("fault", spec="drop")
    with pytest.raises(ControlError, match="client 5 is not connected; connected"):
        await asked("fault", spec="rst", client=5)
    assert (await asked("fault", spec="rst", client=1))["done"] == "rst()"
    with pytest.raises(ConnectionResetError):
        await wire.reader.readexactly(1)


async def test_orders_are_worked_by_hand(asked: Asking, gateway: GatewayServer, ib: ibi.IB) -> None:
    await ib.reqCurrentTimeAsync()
    trade = ib.placeOrder(AAA, ibi.LimitOrder("BUY", 5, 50, tif="GTC"))
    await ib.reqPositionsAsync()
    manual = (await asked("order", symbol="BBB", quantity=3, ref="hand"))["order"]
    assert (manual["client"], manual["symbol"], manual["quantity"]) == (0, "BBB", "3")
    rows = (await asked("edit", order=trade.order.orderId, limit="49.5"))["orders"]
    assert len(rows) == 2
    await ib.reqPositionsAsync()
    assert trade.order.lmtPrice == 49.5
    await asked("cancel", order=trade.order.orderId)
    await ib.reqPositionsAsync()
    assert trade.orderStatus.status == "Cancelled"
    await asked("step")
    [execution] = (await asked("executions"))["executions"]
    assert execution["quantity"] == "3"
    corrected = await asked("correct", execution=execution["execution"], quantity=2)
    assert corrected["executions"][0]["execution"].endswith(".02")
    assert (await asked("bust"))["executions"][0]["quantity"] == "0"
    with pytest.raises(ControlError, match="No security definition"):
        await asked("order", symbol="ZZZ", quantity=1)
    with pytest.raises(ControlError, match="key 'symbl' is not known; did you mean 'symbol'"):
        await asked("order", symbl="AAA", quantity=1)


async def test_connections_are_dropped_and_the_gateway_restarts(
    asked: Asking, gateway: GatewayServer
) -> None:
    first, second = await WireClient.connect(gateway.port, 1), await WireClient.connect(gateway.port, 2)
    for client in (first, second):
        await client.until("4", "2", "-1", "2158")
    rows = (await asked("clients"))["clients"]
    assert [(row["client"], row["version"], row["peer"]) for row in rows] == [
        (1, 176, "127.0.0.1"),
        (2, 176, "127.0.0.1"),
    ]
    await asked("drop", client=1)
    with pytest.raises(EOFError):
        await first.receive()
    second.send(17, 1)
    assert (await second.receive())[0] == "15"
    assert await asked("restart", keep_state=False) == {"restarted": True}
    with pytest.raises(EOFError):
        await second.receive()
    third = await WireClient.connect(gateway.port, 1)
    await third.until("4", "2", "-1", "2158")
    await asked("drop", how="rst")
    with pytest.raises(ConnectionResetError):
        await third.reader.readexactly(1)
    with pytest.raises(ControlError, match="how is fin or rst"):
        await asked("drop", how="kill")
    for client in (first, second, third):
        await client.close()


async def test_quit_stops_the_gateway(asked: Asking, gateway: GatewayServer) -> None:
    serving = asyncio.create_task(gateway.serve_until_stopped())
    assert await asked("quit") == {"stopping": True}
    await asyncio.wait_for(serving, 10)


async def test_an_unknown_command_is_answered_with_the_nearest(asked: Asking) -> None:
    with pytest.raises(
        ControlError, match=r"no command is called 'stat'; did you mean 'status'\?; commands are"
    ):
        await asked("stat")
    with pytest.raises(ControlError, match="step: got an unexpected keyword argument 'n'; it takes count"):
        await asked("step", n=3)
    with pytest.raises(ControlError, match="Invalid isoformat"):
        await asked("jump", to="noon")
    with pytest.raises(ControlError) as caught:
        await asked("remove", name="x")
    assert caught.value.code == FaultActionError.code


def test_every_command_says_what_it_does() -> None:
    assert {
        "status",
        "pause",
        "resume",
        "step",
        "speed",
        "jump",
        "fault",
        "rules",
        "remove",
        "orders",
    } <= set(COMMANDS)
    assert all(method.__doc__ for method in COMMANDS.values())


async def test_the_socket_is_the_users_alone(control: GatewayControl, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with ControlServer(control, path) as server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(ControlError, match="another gateway has it"):
            await ControlServer(control, path).start()
    assert not path.exists()
    await server.stop()
    with pytest.raises(ControlError, match="no gateway answers at"):
        ask(path, "status")
    with pytest.raises(ControlError, match="bytes at most"):
        await ControlServer(control, tmp_path / ("x" * 200)).start()
    (tmp_path / "file").write_text("")
    with pytest.raises(ControlError, match="choose another path"):
        await ControlServer(control, tmp_path / "file" / "control.sock").start()
    with pytest.raises(ControlError, match="a file of another kind stands there"):
        await ControlServer(control, tmp_path / "file").start()
    assert (tmp_path / "file").is_file()


async def test_the_socket_of_a_gateway_that_died_is_taken_over(
    control: GatewayControl, tmp_path: Path
) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with ControlServer(control, path):
        assert "port" in await asyncio.to_thread(ask, path, "status")


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def closed(reader: asyncio.StreamReader) -> bool:
    """Return whether the other side has closed without a word."""
    try:
        return await asyncio.wait_for(reader.read(), 10) == b""
    except ConnectionResetError:
        return True  # it had not read everything


async def test_lines_that_are_no_commands_are_answered(control: GatewayControl, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with ControlServer(control, path):
        reader, writer = await asyncio.open_unix_connection(path)
        for line in (b"hello\n", b"[]\n", b'{"command": 3}\n', b"[" * 100_000 + b"\n"):
            writer.write(line)
            assert json.loads(await reader.readline())["code"] == "GATEWAY_CONTROL"
        writer.write(b'{"command": "status"}\n')
        assert "port" in json.loads(await reader.readline())
        writer.write(b"x" * (2 << 20))
        assert await closed(reader)
        await hang_up(writer)


async def test_another_user_is_refused(
    control: GatewayControl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "control.sock"
    async with ControlServer(control, path):
        monkeypatch.setattr(local_socket, "same_user", lambda _connection: False)
        with pytest.raises(ControlError, match="another user's process"):
            await asyncio.to_thread(ask, path, "status")
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"command": "status"}\n')
        assert await closed(reader)
        await hang_up(writer)


async def test_the_python_face_raises_the_gateways_errors(control: GatewayControl) -> None:
    with pytest.raises(GatewayError, match="no preset is called"):
        control.preset("x")
    assert control.obey("status")["rules"] == 0
