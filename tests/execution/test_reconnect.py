"""Failures of connections, played by the simulated gateway: no order is lost and none is sent twice."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from backtesting.gateway.faults.engine import FaultEngine
from backtesting.gateway.faults.script import load_preset, parse_script
from backtesting.gateway.faults.table import read_action
from backtesting.gateway.testing import simulated_gateway
from data.samples import sample_bars
from execution.audit import AuditLogger
from execution.clocks import SystemClock
from execution.connection import IBKRConnectionManager
from execution.errors import (
    AcknowledgementTimeoutError,
    NotConnectedError,
    NotReadyError,
    OrderInDoubtError,
)
from execution.executor import IBKROrderExecutor
from execution.ibkr.lane import Lane
from execution.journal import SqliteJournal
from execution.link.connection_errors import (
    AccountChangedError,
    ClientIdInUseError,
    PlannedDowntimeError,
    ReadOnlyApiError,
)
from execution.link.gateway_week import GatewayWeek
from execution.link.heartbeat import HeartbeatTerms
from execution.link.outage import ConnectionEvent
from execution.models import OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from execution.orders.codes import CodeClass, CodeTable
from execution.testing import FixedClock, RecordingHandler

ACCOUNT = "DU0000001"
BARS = sample_bars(["SPXSIM"], end=dt.date(1999, 1, 20))
QUICK = HeartbeatTerms(interval=0.1, deadline=0.15, deaf_after=0.5)
SATURDAY = FixedClock()
SATURDAY.ns = int(dt.datetime(2026, 11, 21, 7, 0, tzinfo=dt.UTC).timestamp()) * 10**9
TUESDAY = FixedClock()
TUESDAY.ns = int(dt.datetime(2026, 11, 24, 15, 0, tzinfo=dt.UTC).timestamp()) * 10**9


def resting(name: str = "o-1", price: str = "1.00") -> OrderRequest:
    return OrderRequest(
        "SPXSIM",
        Decimal(10),
        OrderType.LIMIT,
        Side.BUY,
        limit_price=Decimal(price),
        time_in_force=TimeInForce.GTC,
        client_order_id=name,
    )


class Watcher(RecordingHandler):
    """Remembers connection events too."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[ConnectionEvent] = []

    def on_connection_event(self, event: ConnectionEvent) -> None:
        self.changes.append(event)

    def told(self) -> list[str]:
        return [event.change.value for event in self.changes]

    def incidents(self) -> list[str]:
        return [event.change.value for event in self.changes if event.is_incident]


class Scene:
    """A gateway with faults, and executors over it on one journal."""

    def __init__(self, server: Any, engine: FaultEngine, path: Path) -> None:
        self.server = server
        self.engine = engine
        self.path = path
        self.sent: Counter[str] = Counter()
        self.watcher = Watcher()
        self.pauses: list[float] = []
        self.manager: IBKRConnectionManager
        self.executor: IBKROrderExecutor
        self.journal: SqliteJournal | None = None

    def start(self, **options: Any) -> None:
        self.journal = SqliteJournal(self.path, SystemClock().now_ns)
        audit = AuditLogger(self.journal, SystemClock())

        async def sleep(seconds: float) -> None:
            self.pauses.append(seconds)
            await asyncio.sleep(0.01)

        self.manager = IBKRConnectionManager(
            port=self.server.port,
            **{
                "timeout": 3.0,
                "throttled": False,
                "audit": audit,
                "sleep": sleep,
                "randomness": lambda: 0.0,
                "handlers": [self.watcher],
                "heartbeat": QUICK,
                **options,
            },
        )
        self.executor = IBKROrderExecutor(
            self.manager,
            audit=audit,
            account=ACCOUNT,
            acknowledgement_timeout=0.3,
            quarantine=0.0,
            handlers=[self.watcher],
        )
        self.executor.restore()

    def play(self, *actions: Any) -> None:
        """Let faults happen now."""
        self.engine.fire([read_action(action, "test") for action in actions])

    def at_broker(self, name: str) -> int:
        """Return how many orders of this id the broker has ever taken."""
        return sum(1 for t in self.server.service.book.tickets.values() if t.order_ref == name)

    def events(self) -> list[str]:
        assert self.journal is not None
        return [e.body["event"] for e in self.journal.events() if e.kind == "connection"]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(8):
            while not condition():  # noqa: ASYNC110 - what it waits for is seen from outside only
                await asyncio.sleep(0.005)

    async def shut(self) -> None:
        if self.journal is not None:
            await self.manager.stop()
            self.journal.close()
            self.journal = None


Play = Callable[..., AbstractAsyncContextManager[Scene]]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Start a gateway with a preset by its name, or rules as YAML, and an executor that is not connected."""

    @asynccontextmanager
    async def run(script: str = "", **options: Any) -> AsyncIterator[Scene]:
        async with simulated_gateway(BARS.series, sessions=BARS.clock) as server:
            rules = None
            if script:
                rules = parse_script(script) if ":" in script else load_preset(script)
            engine = FaultEngine(server, rules)
            engine.attach()
            scene = Scene(server, engine, tmp_path / "journal.db")
            place = Lane.place

            def counted(lane: Lane, order_id: int, contract: Any, order: Any) -> None:
                scene.sent[order.orderRef] += 1
                place(lane, order_id, contract, order)

            monkeypatch.setattr(Lane, "place", counted)
            scene.start(**options)
            try:
                yield scene
            finally:
                await scene.shut()
                engine.detach()

    return run


# -- no order is lost, none is sent twice ------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["rst", "fin", "restart_with_state", "nightly_reset", "port_reset"])
async def test_an_order_that_the_broker_kept_is_found_again_and_not_sent_again(
    play: Play, preset: str
) -> None:
    async with play(preset) as scene:
        await scene.executor.ensure_ready()
        scene.executor.submit(resting())
        await scene.until(lambda: not scene.manager.is_connected())
        with pytest.raises(NotConnectedError):
            scene.executor.submit(resting("o-2"))
        for _ in range(20):
            try:
                await scene.executor.ensure_ready()
                break
            except NotReadyError:  # 1100 stands until 1102
                await asyncio.sleep(0.05)
        found = scene.executor.known("o-1")
        assert found is not None
        assert found.status is OrderStatus.SUBMITTED
        assert scene.executor.submit(resting()) == found
        assert scene.sent == {"o-1": 1}
        assert scene.at_broker("o-1") == 1
        assert "thawed" in scene.events()


@pytest.mark.parametrize("preset", ["restart_without_state", "ids_rolled_back"])
async def test_an_order_that_the_broker_lost_is_in_doubt_and_never_sent_again(
    play: Play, preset: str
) -> None:
    async with play(preset) as scene:
        await scene.executor.ensure_ready()
        scene.executor.submit(resting())
        await scene.until(lambda: not scene.manager.is_connected())
        with pytest.raises(OrderInDoubtError):
            await scene.executor.ensure_ready()
        lost = scene.executor.known("o-1")
        assert lost is not None
        assert lost.status is OrderStatus.UNKNOWN
        with pytest.raises(NotReadyError):
            scene.executor.submit(resting("o-2"))
        assert scene.executor.submit(resting()) == lost
        assert scene.sent == {"o-1": 1}
        assert "thawed" not in scene.events()


async def test_ids_that_the_gateway_gives_out_again_are_not_used_again(play: Play) -> None:
    async with play() as scene:
        await scene.executor.ensure_ready()
        first = await scene.executor.submit_order(resting("kept"))
        assert first.status is OrderStatus.SUBMITTED
        ours = scene.executor.blotter.last_order_id
        scene.play({"roll_back_ids": 1}, "drop_all")
        await scene.until(lambda: not scene.manager.is_connected())
        await scene.executor.ensure_ready()
        await scene.executor.submit_order(resting("next"))
        assert scene.executor.blotter.last_order_id > ours
        assert [scene.at_broker(name) for name in ("kept", "next")] == [1, 1]
        for name in ("kept", "next"):
            assert (await scene.executor.get_order_status(name)).status is OrderStatus.SUBMITTED


async def test_orders_lost_just_before_a_restart_are_doubted_and_the_others_are_found(play: Play) -> None:
    async with play() as scene:
        await scene.executor.submit_order(resting("old"))
        for _ in range(3):  # time goes on: the gateway loses what came in its last moment
            await scene.manager.session.current_time()
        await scene.executor.submit_order(resting("new"))
        scene.play({"restart": {"lose_last": 1, "ids_back": 1, "how": "rst"}})
        await scene.until(lambda: not scene.manager.is_connected())
        with pytest.raises(OrderInDoubtError, match="new"):
            await scene.executor.ensure_ready()
        assert (await scene.executor.get_order_status("old")).status is OrderStatus.SUBMITTED
        assert (await scene.executor.get_order_status("new")).status is OrderStatus.UNKNOWN
        assert scene.sent == {"old": 1, "new": 1}


async def test_an_order_that_nobody_ever_answers_is_unknown_and_not_sent_again(play: Play) -> None:
    async with play("silent_drop") as scene:
        with pytest.raises(AcknowledgementTimeoutError) as raised:
            await scene.executor.submit_order(resting())
        assert raised.value.order.status is OrderStatus.UNKNOWN
        for _ in range(2):
            with pytest.raises(OrderInDoubtError):
                await scene.executor.ensure_ready()
            scene.play("drop_all")
            await scene.until(lambda: not scene.manager.is_connected())
        assert scene.sent == {"o-1": 1}
        assert scene.at_broker("o-1") == 0


async def test_an_order_whose_acknowledgement_is_lost_is_found_by_asking(play: Play) -> None:
    async with play(
        "rules: [{when: {message: openOrder}, do: drop}, {when: {message: orderStatus}, do: drop}]"
    ) as scene:
        with pytest.raises(AcknowledgementTimeoutError):
            await scene.executor.submit_order(resting())
        for name in [rule.name for rule in scene.engine.rules]:
            scene.engine.remove(name)
        await scene.executor.ensure_ready()
        assert (await scene.executor.get_order_status("o-1")).status is OrderStatus.SUBMITTED
        assert scene.sent == {"o-1": 1}


async def test_a_trader_that_comes_back_as_another_process_finds_what_the_first_one_sent(play: Play) -> None:
    async with play("rst") as scene:
        await scene.executor.ensure_ready()
        scene.executor.submit(resting())
        await scene.until(lambda: not scene.manager.is_connected())
        await scene.shut()
        scene.start()
        await scene.executor.ensure_ready()
        assert scene.executor.submit(resting()).status is OrderStatus.SUBMITTED
        assert scene.sent == {"o-1": 1}


# -- dead connections -------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", ["both", "reading", "sending"])
async def test_a_half_open_socket_is_found_and_replaced_under_the_same_id(play: Play, stop: str) -> None:
    async with play() as scene:
        await scene.executor.submit_order(resting())
        (old,) = scene.engine.sessions()
        scene.play({"black_hole": stop})
        scene.executor.submit(resting("o-2"))
        assert scene.manager.is_connected()
        await scene.until(lambda: not scene.manager.is_connected())
        (lost,) = [event for event in scene.watcher.changes if event.change == "disconnected"]
        assert "no byte came" in lost.details["reason"]
        coming_back = asyncio.create_task(scene.executor.ensure_ready())
        if stop == "sending":  # the gateway took the order, saw the end, and could not say so
            await coming_back
            assert (await scene.executor.get_order_status("o-2")).status is OrderStatus.SUBMITTED
        else:  # a gateway that does not read does not see the end either: it still holds the client id
            await scene.until(lambda: scene.watcher.told().count("connect_failed") >= 3)
            assert "326" in scene.watcher.changes[-1].details["reason"]
            old.reset()
            with pytest.raises(OrderInDoubtError, match="o-2"):
                await coming_back
            assert (await scene.executor.get_order_status("o-2")).status is OrderStatus.UNKNOWN
        assert (await scene.executor.get_order_status("o-1")).status is OrderStatus.SUBMITTED
        assert scene.sent == {"o-1": 1, "o-2": 1}
        assert scene.engine.sessions()[-1].client_id == 1


async def test_an_order_that_leaves_the_black_hole_late_is_found_and_not_sent_again(play: Play) -> None:
    async with play() as scene:
        await scene.executor.ensure_ready()
        (old,) = scene.engine.sessions()
        scene.play({"black_hole": "reading"})
        scene.executor.submit(resting())
        await scene.until(lambda: not scene.manager.is_connected())
        old.listen(on=True)  # what the gateway's machine had received is read now
        await scene.executor.ensure_ready()
        assert scene.executor.submit(resting()).status is OrderStatus.SUBMITTED
        assert scene.sent == {"o-1": 1}
        assert scene.at_broker("o-1") == 1


async def test_a_gateway_that_hangs_with_the_order_is_found_dead(play: Play) -> None:
    async with play("black_hole") as scene:
        await scene.executor.ensure_ready()
        (old,) = scene.engine.sessions()
        scene.executor.submit(resting())
        await scene.until(lambda: not scene.manager.is_connected())
        old.reset()
        with pytest.raises(OrderInDoubtError):
            await scene.executor.ensure_ready()
        assert scene.sent == {"o-1": 1}
        assert scene.at_broker("o-1") == 0


async def test_a_quiet_gateway_that_answers_is_left_alone(play: Play) -> None:
    async with play() as scene:
        await scene.executor.ensure_ready()
        before = scene.manager.session.answers
        await scene.until(lambda: scene.manager.session.answers >= before + 3)
        assert scene.manager.epoch == 1


async def test_the_kernel_is_told_to_look_too(play: Play) -> None:
    async with play() as scene:
        await scene.manager.connect()
        transport = scene.manager.session._ib.client.conn.transport
        assert transport is not None
        found = transport.get_extra_info("socket")
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        option = getattr(socket, "TCP_USER_TIMEOUT", None)
        if option is not None:
            assert 0 < found.getsockopt(socket.IPPROTO_TCP, option) < 10_000


async def test_a_request_under_way_fails_at_once_when_the_connection_is_found_dead(play: Play) -> None:
    async with play(timeout=60.0) as scene:
        await scene.executor.ensure_ready()
        scene.play({"black_hole": "both"})
        for ask in (scene.manager.session.completed_orders, scene.manager.session.positions):
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(ask(), 5)


# -- the way back -----------------------------------------------------------------------------------------


async def test_a_client_id_in_use_is_waited_for_and_never_changed(play: Play) -> None:
    async with play("rules: [{when: {event: start}, do: {id_in_use: {attempts: 3}}}]") as scene:
        await scene.manager.connect()
        scene.manager._down_time.max_attempts = 1
        scene.play("drop_all")
        await scene.until(lambda: not scene.manager.is_connected())
        await scene.manager.ensure_connected()
        failed = [event.details for event in scene.watcher.changes if event.change == "connect_failed"]
        assert ["326" in details["reason"] for details in failed] == [True] * 3
        assert [details["counted"] for details in failed] == [0] * 3
        assert scene.engine.sessions()[-1].client_id == 1


async def test_a_client_id_that_stays_in_use_is_an_incident_in_the_end(play: Play) -> None:
    async with play("rules: [{when: {event: start}, do: id_in_use}]", client_id_wait=0.0) as scene:
        await scene.manager.connect()
        scene.play("drop_all")
        await scene.until(lambda: not scene.manager.is_connected())
        with pytest.raises(ClientIdInUseError, match="326"):
            await scene.manager.connect()
        assert scene.watcher.told().count("alarm") == 1


async def test_a_refused_login_is_told_with_its_reason_and_without_sitting_out_the_timeout(
    play: Play,
) -> None:
    async with play("login_message", reconnect_max_attempts=1, timeout=60.0) as scene:
        with pytest.raises(NotConnectedError, match="10141"):
            await asyncio.wait_for(scene.manager.connect(), 5)


async def test_tries_count_across_calls_and_end_in_one_alarm_and_never_in_an_exit(play: Play) -> None:
    async with play(reconnect_max_attempts=3, reconnect_backoff=5.0) as scene:
        await scene.executor.submit_order(resting())
        scene.play({"refuse": "close"}, "drop_all")
        await scene.until(lambda: not scene.manager.is_connected())
        for calls in range(4):
            with pytest.raises(NotConnectedError):
                await scene.executor.ensure_ready()
            failed = scene.watcher.told().count("connect_failed")
            assert failed == 3 + calls  # past the limit each call makes one try
            with pytest.raises(NotConnectedError):
                scene.executor.submit(resting("o-2"))
        assert scene.pauses == [5.0, 10.0]
        assert scene.watcher.told().count("alarm") == 1
        assert getattr(scene.manager.outage, "alarmed", False)
        scene.play("accept")
        await scene.executor.ensure_ready()
        assert getattr(scene.manager, "outage") is None  # noqa: B009 - it was something else above
        assert scene.watcher.told()[-2:] == ["connected", "thawed"]
        scene.play("drop_all")
        await scene.until(lambda: not scene.manager.is_connected())
        await scene.executor.ensure_ready()  # a new outage counts from the start
        assert scene.watcher.told().count("alarm") == 1
        assert scene.sent == {"o-1": 1}


async def test_started_it_comes_back_by_itself_and_stopped_it_does_not(play: Play) -> None:
    async with play(reconnect_max_attempts=1) as scene:
        await scene.manager.start()
        await scene.manager.start()
        scene.play({"refuse": {"how": "reset", "connections": 3}}, "drop_all")
        await scene.until(lambda: scene.manager.epoch == 2)
        assert scene.watcher.told().count("alarm") == 1
        await scene.manager.stop()
        assert not scene.manager.is_connected()
        assert scene.watcher.changes[-1].details["asked_for"]
        assert not scene.watcher.changes[-1].is_incident
        assert not scene.manager._keeping.is_on


async def test_a_login_without_the_account_that_was_authorised_is_closed(play: Play) -> None:
    async with play() as scene:
        await scene.manager.connect()
        scene.manager._sessions.accounts = frozenset(
            {"DU7654321"}
        )  # as if TWS now were logged in as somebody else
        scene.play("drop_all")
        await scene.until(lambda: not scene.manager.is_connected())
        with pytest.raises(AccountChangedError, match=f"{ACCOUNT} and no longer DU7654321"):
            await scene.manager.connect()
        assert not scene.manager.is_connected()
        assert scene.watcher.told()[-1] == "alarm"


async def test_a_read_only_gateway_is_detected_and_said(play: Play) -> None:
    async with play("read_only") as scene:
        with pytest.raises(ReadOnlyApiError, match="untick"):
            await asyncio.wait_for(scene.executor.ensure_ready(), 2)
        assert scene.manager.api_read_only
        with pytest.raises(NotReadyError):
            scene.executor.submit(resting())
        assert scene.watcher.told() == ["connected", "read_only_api"]
        scene.play({"read_only": False})
        await scene.executor.ensure_ready()


# -- the gateway's week -----------------------------------------------------------------------------------


async def test_planned_downtime_is_no_incident_and_counts_no_tries(play: Play) -> None:
    week = GatewayWeek(["saturday-maintenance fri 23:00-03:00"])
    wall = FixedClock()
    wall.ns = SATURDAY.ns
    async with play(week=week, wall=wall, reconnect_max_attempts=2) as scene:
        await scene.manager.connect()
        scene.play({"refuse": "close"}, "drop_all")
        await scene.until(lambda: not scene.manager.is_connected())
        for _ in range(4):
            with pytest.raises(PlannedDowntimeError, match="saturday-maintenance"):
                await scene.manager.connect()
        assert scene.watcher.incidents() == []
        assert {e.planned for e in scene.watcher.changes if e.change != "connected"} == {
            "saturday-maintenance"
        }
        wall.advance(2 * 3600)  # it should be back by now
        with pytest.raises(NotConnectedError) as raised:
            await scene.manager.connect()
        assert not isinstance(raised.value, PlannedDowntimeError)
        assert scene.watcher.incidents() == ["downtime_overrun", "connect_failed", "connect_failed", "alarm"]
        scene.play("accept")
        await scene.manager.connect()
        assert scene.journal is not None
        planned = [
            event.body["details"].get("planned")
            for event in scene.journal.events()
            if event.kind == "connection" and event.body["event"] == "disconnected"
        ]
        assert planned == ["saturday-maintenance"]


async def test_a_first_session_waits_out_a_planned_window_and_says_until_when(play: Play) -> None:
    wall = FixedClock()
    wall.ns = SATURDAY.ns
    async with play(week=GatewayWeek(), wall=wall, reconnect_max_attempts=1, timeout=0.2) as scene:
        scene.play({"refuse": "close"})
        with pytest.raises(PlannedDowntimeError, match="saturday-maintenance"):
            await scene.manager.start(wait_planned=False)
        starting = asyncio.create_task(scene.manager.start())
        await scene.until(lambda: len(scene.pauses) >= 3)
        assert not starting.done()
        scene.play("accept")
        await asyncio.wait_for(starting, 5)
        assert scene.manager.is_connected()
        assert scene.watcher.incidents() == []
        assert scene.events().count("waiting_as_planned") == 1
        (waiting,) = [e for e in scene.watcher.changes if e.change == "waiting_as_planned"]
        assert waiting.planned == "saturday-maintenance"
        assert waiting.details["until"] == "Sat 08:00 UTC"
        assert waiting.details["minutes_left"] == 60


async def test_a_first_session_that_is_not_back_when_its_window_ends_fails(play: Play) -> None:
    wall = FixedClock()
    wall.ns = SATURDAY.ns
    async with play(week=GatewayWeek(), wall=wall, reconnect_max_attempts=2, timeout=0.2) as scene:
        scene.play({"refuse": "close"})
        starting = asyncio.create_task(scene.manager.start())
        await scene.until(lambda: len(scene.pauses) >= 2)
        wall.advance(2 * 3600)
        with pytest.raises(NotConnectedError) as raised:
            await asyncio.wait_for(starting, 5)
        assert not isinstance(raised.value, PlannedDowntimeError)


async def test_the_same_loss_on_another_day_is_an_incident(play: Play) -> None:
    async with play(week=GatewayWeek(), wall=TUESDAY, reconnect_max_attempts=1) as scene:
        await scene.manager.connect()
        scene.play({"refuse": {"how": "close", "connections": 1}}, "drop_all")
        await scene.until(lambda: not scene.manager.is_connected())
        with pytest.raises(NotConnectedError):
            await scene.manager.connect()
        assert scene.watcher.incidents() == ["disconnected", "connect_failed", "alarm"]


async def test_a_login_that_waits_for_somebody_on_sunday_is_planned(play: Play) -> None:
    sunday = FixedClock()
    sunday.ns = int(dt.datetime(2026, 11, 22, 14, 0, tzinfo=dt.UTC).timestamp()) * 10**9
    async with play(week=GatewayWeek(), wall=sunday, timeout=0.2) as scene:
        await scene.manager.connect()
        scene.play({"refuse": "hang"}, "drop_all")
        await scene.until(lambda: not scene.manager.is_connected())
        with pytest.raises(PlannedDowntimeError, match="sunday-login"):
            await scene.manager.connect()
        scene.play("accept")
        await scene.manager.connect()
        assert scene.watcher.incidents() == []


# -- a gateway without its broker -------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["kept", "lost"])
async def test_1100_freezes_and_1101_and_1102_thaw_after_reconciliation(play: Play, data: str) -> None:
    async with play() as scene:
        await scene.executor.submit_order(resting())
        scene.play("connectivity_lost")
        await scene.until(lambda: scene.executor.is_frozen)
        with pytest.raises(NotReadyError):
            scene.executor.submit(resting("o-2"))
        with pytest.raises(NotReadyError):
            await scene.executor.ensure_ready()
        scene.play({"connectivity_restored": data})
        await scene.until(lambda: not scene.executor.is_frozen)
        with pytest.raises(NotReadyError):
            scene.executor.submit(resting("o-2"))
        await scene.executor.submit_order(resting("o-2"))
        assert scene.manager.epoch == 1
        assert scene.watcher.told() == ["connected", "frozen", "restored", "thawed"]
        assert scene.watcher.changes[2].details["market_data"] == data
        assert scene.manager.session.market_data_lost is (data == "lost")
        assert scene.manager.session.bars_missed
        assert scene.sent == {"o-1": 1, "o-2": 1}


async def test_2110_freezes_like_1100_and_1102_ends_it(play: Play) -> None:
    async with play() as scene:
        await scene.executor.ensure_ready()
        scene.play({"farm": 2110})
        await scene.until(lambda: scene.executor.is_frozen)
        assert scene.watcher.told()[-1] == "frozen"
        scene.play({"error": {"code": 1102, "text": "restored"}})
        await scene.until(lambda: not scene.executor.is_frozen)
        await scene.executor.submit_order(resting())


async def test_broken_farms_never_touch_the_order_channel(play: Play) -> None:
    async with play() as scene:
        await scene.executor.ensure_ready()
        for code in (2103, 2105, 2157, 2107, 2108):
            scene.play({"farm": code})
            await scene.manager.session.positions()
            assert scene.executor.is_ready
        order = await scene.executor.submit_order(resting())
        assert order.status is OrderStatus.SUBMITTED
        assert scene.watcher.told() == ["connected"]


async def test_a_broker_that_stays_away_behind_a_standing_socket_raises_the_alarm_once(play: Play) -> None:
    async with play(link_alarm_seconds=0.1) as scene:
        await scene.executor.ensure_ready()
        scene.play({"connectivity_lost": {"repeat": 3}})
        await scene.until(lambda: "alarm" in scene.watcher.told())
        await asyncio.sleep(0.1)
        assert scene.watcher.told() == ["connected", "frozen", "alarm"]


async def test_the_nightly_reset_of_the_servers_is_frozen_and_no_incident(play: Play) -> None:
    night = FixedClock()
    night.ns = int(dt.datetime(2026, 11, 24, 5, 30, tzinfo=dt.UTC).timestamp()) * 10**9
    async with play(week=GatewayWeek(), wall=night, link_alarm_seconds=0.05) as scene:
        await scene.executor.ensure_ready()
        scene.play("connectivity_lost")
        await scene.until(lambda: scene.executor.is_frozen)
        await asyncio.sleep(0.1)
        assert scene.watcher.incidents() == []
        assert scene.watcher.changes[-1].planned == "server-reset"
        night.advance(2 * 3600)
        await scene.until(lambda: "alarm" in scene.watcher.told())
        assert scene.watcher.incidents() == ["downtime_overrun", "alarm"]


# -- codes --------------------------------------------------------------------------------------------------


async def test_an_unknown_code_makes_the_order_unknown_until_the_broker_was_asked(play: Play) -> None:
    async with play() as scene:
        await scene.executor.submit_order(resting())
        number = scene.executor.blotter.last_order_id
        scene.play({"error": {"code": 424242, "text": "never heard of", "id": number}})
        await scene.until(lambda: not scene.executor.is_ready)
        assert (await scene.executor.get_order_status("o-1")).status is OrderStatus.UNKNOWN
        await scene.executor.ensure_ready()
        assert (await scene.executor.get_order_status("o-1")).status is OrderStatus.SUBMITTED


async def test_a_code_that_was_taught_at_run_time_is_no_longer_unknown(play: Play) -> None:
    async with play(codes=CodeTable({424241: CodeClass.INFORMATIONAL})) as scene:
        await scene.executor.submit_order(resting())
        scene.manager.codes.teach(424242, CodeClass.INFORMATIONAL)
        number = scene.executor.blotter.last_order_id
        for code in (424241, 424242):
            scene.play({"error": {"code": code, "text": "a remark", "id": number}})
        await scene.manager.session.positions()
        assert scene.executor.is_ready
        assert (await scene.executor.get_order_status("o-1")).status is OrderStatus.SUBMITTED
