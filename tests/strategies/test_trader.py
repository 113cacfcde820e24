"""A whole trader over the wire against the simulated gateway: killed, resumed, and dry."""

from __future__ import annotations

import asyncio
import datetime as dt
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from backtesting.gateway.testing import simulated_gateway
from data.database import Database
from data.projector import Projector
from data.samples import sample_bars
from data.schema import OrderRow, RiskMetricRow, SignalRow
from execution.book.adjustments import AdjustmentKind, CorporateAction
from execution.clocks import timestamp
from execution.connection import IBKRConnectionManager
from execution.errors import JournalError, JournalLockedError, SettlementError
from execution.events import KillSwitchEvent, StepProgress
from execution.journal import SqliteJournal, read, verify
from execution.models import Instrument, OrderRequest, OrderType, Side, TimeInForce
from execution.reconciliation.policies import ExpiredDay, Unanswered
from risk.limits import RiskLimits
from strategies.live import LoopEnd
from strategies.ma_crossover import MACrossover
from strategies.spec import RunSpec
from strategies.trader import Trader, TraderOptions

ACCOUNT = "DU0000001"
FOLDER = sample_bars(end=dt.date(1999, 3, 12))


class KilledError(Exception):
    """Stands for kill -9: nothing of the trader runs after it."""


class KillAt:
    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, progress: StepProgress) -> None:
        if not progress.replayed and progress.index == self.step:
            raise KilledError


def spec(**more: Any) -> RunSpec:
    return RunSpec(
        **{
            "instruments": tuple(Instrument(symbol) for symbol in sorted(FOLDER.series)),
            "timeframe": FOLDER.timeframe,
            "strategy": "ma_crossover",
            "params": {"fast": 2, "slow": 4},
            **more,
        }
    )


class Run:
    """Traders, one after the other, on one gateway and one journal."""

    def __init__(self, port: int, path: Path, **options: Any) -> None:
        self.port = port
        self.path = path
        self.spec = options.pop("spec", spec())
        self.options = options
        self._trader: Trader | None = None

    @property
    def trader(self) -> Trader:
        """The trader of the latest `trade`."""
        assert self._trader is not None
        return self._trader

    async def trade(self, kill: KillAt | None = None, stop_after: int | None = None) -> LoopEnd | None:
        journal = SqliteJournal(self.path, lambda: 7)
        manager = IBKRConnectionManager("127.0.0.1", self.port, 1, throttled=False, timeout=10)
        options = TraderOptions(
            **{
                "account": ACCOUNT,
                "lockstep": True,
                "release_absent": True,
                "warmup": "1 Y",
                "poll_interval_seconds": 0.01,
                "started": {"run_id": "r"},
                **self.options,
            }
        )
        trader = self._trader = Trader(self.spec, manager, journal, FOLDER.clock, options)
        submit = trader.step.run

        def watched(end_ns: int, bars: Any, *, replay: bool = False) -> Any:
            result = submit(end_ns, bars, replay=replay)
            if kill:
                kill(result.progress)
            if stop_after == result.progress.index:
                trader.stop()
            return result

        trader.step.run = watched  # type: ignore[method-assign]
        try:
            end = await trader.run()
            if end is not LoopEnd.STOPPED:
                await trader.close_session()
        except KilledError:
            # What was held and not committed is lost with the process.
            manager.audit = None
            journal._pending.clear()
            return None
        else:
            return end
        finally:
            await manager.disconnect()
            journal.close()

    def book(self) -> dict[str, Any]:
        """Orders, executions, commissions and the closing book, without what differs between sessions."""
        orders, fills, fees, closed, snapshots = [], {}, {}, {}, {}
        signals, risk = [], []
        for event in read(self.path):
            body = event.body
            if event.kind == "order_submitted":
                orders.append((body["client_order_id"], body["quantity"], body["trading_time"]))
            elif event.kind == "fill":
                fills[body["fill_id"]] = (body["price"], body["quantity"], body["time"])
                if body["commission"] is not None:
                    fees[body["fill_id"]] = body["commission"]
            elif event.kind == "commission":
                fees[body["fill_id"]] = body["commission"]
            elif event.kind == "snapshot":
                snapshots[body["trading_time"]] = body
            elif event.kind == "session_closed":
                closed = body
            elif event.kind == "signal":
                signals.append(body)
            elif event.kind == "risk_metrics":
                risk.append(body)
        books = {"orders": orders, "fills": fills, "fees": fees, "closed": closed, "snapshots": snapshots}
        return books | {"signals": signals, "risk": risk}


async def undisturbed(path: Path, **options: Any) -> dict[str, Any]:
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as gateway:
        run = Run(gateway.port, path, **options)
        assert await run.trade() is LoopEnd.COMPLETED
        return run.book()


async def test_a_trader_killed_again_and_again_ends_with_the_books_of_one_that_never_was(
    tmp_path: Path,
) -> None:
    expected = await undisturbed(tmp_path / "whole.db")
    assert len(expected["fills"]) >= 4
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as gateway:
        run = Run(gateway.port, tmp_path / "broken.db")
        for step in (1, 6, 7, 13, 20, 21, 33):
            assert await run.trade(KillAt(step)) is None
        assert await run.trade() is LoopEnd.COMPLETED
        assert run.book() == expected
        assert verify(run.path).ok
        book = run.trader.portfolio
        assert {s: f"{h.quantity:f}" for s, h in book.ledger.holdings.items() if h.quantity} == expected[
            "closed"
        ]["positions"]
        assert Decimal(expected["closed"]["cash"]) == round(book.cash, 2)


async def test_a_trader_that_was_stopped_goes_on_where_it_stood(tmp_path: Path) -> None:
    expected = await undisturbed(tmp_path / "whole.db")
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as gateway:
        run = Run(gateway.port, tmp_path / "stopped.db")
        assert await run.trade(stop_after=15) is LoopEnd.STOPPED
        assert await run.trade() is LoopEnd.COMPLETED
        assert run.book() == expected


async def test_a_lost_session_in_the_middle_is_mended_without_a_trace_in_the_books(tmp_path: Path) -> None:
    expected = await undisturbed(tmp_path / "whole.db")
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as gateway:
        run = Run(gateway.port, tmp_path / "cut.db")
        cut = []

        def sever(progress: StepProgress) -> None:
            if progress.index in (9, 22) and not progress.replayed and progress.index not in cut:
                cut.append(progress.index)
                transport = run.trader.executor.manager.session._ib.client.conn.transport
                assert transport is not None
                transport.abort()

        assert await run.trade(sever) is LoopEnd.COMPLETED  # type: ignore[arg-type]
        assert cut == [9, 22]
        assert run.trader.executor.manager.epoch == 3
        found = run.book()
        assert found["closed"] == expected["closed"]
        assert found["fills"] == expected["fills"]


async def test_a_second_trader_on_the_same_journal_is_refused(tmp_path: Path) -> None:
    held = SqliteJournal(tmp_path / "journal.db", lambda: 7)
    with pytest.raises(JournalLockedError):
        await Run(1, tmp_path / "journal.db").trade()
    held.close()


async def test_a_dry_run_trades_nothing_at_the_broker(tmp_path: Path) -> None:
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as gateway:
        run = Run(gateway.port, tmp_path / "dry.db", dry_run=True)
        assert await run.trade() is LoopEnd.COMPLETED
        found = run.book()
        assert found["orders"]
        assert found["fills"] == {}
        assert found["closed"]["positions"] == {}
        assert all(e.body["dry_run"] for e in read(run.path) if e.kind == "order_submitted")


async def test_the_kill_switch_halts_the_trader_and_is_recorded_once(tmp_path: Path) -> None:
    limits = RiskLimits(max_daily_loss=Decimal("0.01"))
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as gateway:
        run = Run(gateway.port, tmp_path / "halted.db", spec=spec(limits=limits))
        assert await run.trade() is LoopEnd.HALTED
        assert await run.trade() is LoopEnd.HALTED
        assert [e.kind for e in read(run.path)].count("kill_switch") == 1


async def test_a_kill_switch_that_was_reset_stays_reset_over_a_restart(tmp_path: Path) -> None:
    limits = RiskLimits(max_daily_loss=Decimal("0.01"))
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as gateway:
        run = Run(gateway.port, tmp_path / "reset.db", spec=spec(limits=limits))
        assert await run.trade() is LoopEnd.HALTED
        journal = SqliteJournal(run.path, lambda: 7)
        (tripped,) = [e.body for e in journal.events() if e.kind == "kill_switch"]
        body = {"trading_time": tripped["trading_time"], "by": "A. Smith", "reason": "understood"}
        journal.append("kill_switch_reset", body)
        journal.commit()
        journal.close()
        end = await run.trade()
        later = [e.body["trading_time"] for e in read(run.path) if e.kind == "kill_switch"]
        assert end is LoopEnd.COMPLETED or later[-1] > tripped["trading_time"]
        assert later.count(tripped["trading_time"]) == 1


async def test_resetting_needs_a_name_and_a_switch_that_is_tripped(tmp_path: Path) -> None:
    limits = RiskLimits(max_daily_loss=Decimal(1))
    journal = SqliteJournal(tmp_path / "reset.db", lambda: 7)
    manager = IBKRConnectionManager("127.0.0.1", 1, 1)
    trader = Trader(spec(limits=limits), manager, journal, FOLDER.clock, TraderOptions(lockstep=True))
    with pytest.raises(SettlementError, match="not tripped"):
        trader.reset_kill_switch("A. Smith", "why not")
    trader.kill_switch.restore(KillSwitchEvent(timestamp(5), Decimal(2), Decimal(1)))
    with pytest.raises(SettlementError, match="by, reason"):
        trader.reset_kill_switch("", "why not")
    trader.reset_kill_switch("A. Smith", "understood")
    assert not trader.kill_switch.tripped
    journal.close()
    assert [e.kind for e in read(tmp_path / "reset.db")] == ["kill_switch_reset"]


def test_what_is_settled_by_evidence_is_a_traders_choice_and_its_calendar_says_when_a_day_is_over(
    tmp_path: Path,
) -> None:
    journal = SqliteJournal(tmp_path / "journal.db", lambda: 7)
    options = TraderOptions(expired_day=ExpiredDay.DOUBT, unanswered=Unanswered.CANCEL)
    manager = IBKRConnectionManager("127.0.0.1", 1, 1)
    readiness = Trader(spec(), manager, journal, FOLDER.clock, options).executor._rooms.readiness
    journal.close()
    lapses = readiness._reconciler.lapses
    assert (lapses.lifetimes.days, lapses._policy) == (FOLDER.clock, ExpiredDay.DOUBT)
    assert readiness._leftovers._unanswered is Unanswered.CANCEL


async def test_the_loop_ends_at_the_given_moment(tmp_path: Path) -> None:
    series = next(iter(FOLDER.series.values()))
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as gateway:
        run = Run(gateway.port, tmp_path / "until.db", until_ns=int(series.end_ns[9]))
        assert await run.trade() is LoopEnd.COMPLETED
        assert run.trader.orchestrator.last_end_ns == int(series.end_ns[9])


class KnownSplit:
    """Who knows of one split."""

    def __init__(self, action: CorporateAction) -> None:
        self.action = action

    def actions(self, symbol: str, since_ns: int, until_ns: int) -> list[CorporateAction]:
        known = self.action
        return [known] if known.symbol == symbol and since_ns < known.time <= until_ns else []


async def test_a_strategy_is_told_of_a_split_after_the_start_and_not_of_one_in_its_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strategies.trader._SPLITS_FROM", 0.0)  # these prices do not jump
    told: list[int] = []
    monkeypatch.setattr(MACrossover, "on_split", lambda _, split: told.append(split.until_ns))
    symbol, series = next(iter(FOLDER.series.items()))
    split = CorporateAction(AdjustmentKind.SPLIT, symbol, int(series.start_ns[10]) - 1, ratio=Fraction(4))
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as gateway:
        run = Run(gateway.port, tmp_path / "split.db", corporate_actions=KnownSplit(split))
        assert await run.trade(stop_after=15) is LoopEnd.STOPPED
        assert told == [series.start_ns[10]]
        assert await run.trade() is LoopEnd.COMPLETED
    assert told == [series.start_ns[10]]


class FailAt:
    """Lets the journal's commits fail for a moment, from a step on."""

    def __init__(self, run: Run, step: int, commits: int) -> None:
        self.run = run
        self.step = step
        self.left = commits

    def __call__(self, progress: StepProgress) -> None:
        if progress.replayed or progress.index != self.step or not self.left:
            return
        trader = self.run.trader
        commit = trader.journal.commit

        def fail_or_commit() -> None:
            if self.left:
                self.left -= 1
                raise JournalError("disk full")
            commit()

        trader.journal.commit = fail_or_commit  # type: ignore[method-assign]


async def pass_time(port: int, steps: int) -> None:
    """Let the market move on while nobody trades."""
    manager = IBKRConnectionManager("127.0.0.1", port, 9, throttled=False, timeout=10)
    await manager.connect()
    for _ in range(steps + 1):
        await manager.session.current_time()
    await manager.disconnect()
    await asyncio.sleep(0.05)


def kinds(path: Path, kind: str) -> list[dict[str, Any]]:
    return [event.body for event in read(path) if event.kind == kind]


async def test_history_before_the_journal_began_warms_up_and_leaves_nothing_in_the_books(
    tmp_path: Path,
) -> None:
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as gateway:
        await pass_time(gateway.port, 20)
        run = Run(
            gateway.port, tmp_path / "j.db", spec=spec(limits=RiskLimits(max_daily_loss=Decimal(10**5)))
        )
        assert await run.trade(stop_after=25) is LoopEnd.STOPPED
        (opening,) = kinds(run.path, "opening")
        snapshots = kinds(run.path, "snapshot")
        assert snapshots
        assert all(body["trading_time"] > opening["trading_time"] for body in snapshots)
        assert snapshots[0]["cash"] == snapshots[0]["equity"] == "1000000"
        before = len(snapshots)
        assert await run.trade(stop_after=26) is LoopEnd.STOPPED
        times = [body["trading_time"] for body in kinds(run.path, "snapshot")]
        assert min(times) > opening["trading_time"]
        assert len(set(times)) == before + 1


async def test_a_kill_switch_on_record_halts_a_restart_whatever_the_replay_comes_to(tmp_path: Path) -> None:
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as gateway:
        run = Run(gateway.port, tmp_path / "j.db")
        assert await run.trade(stop_after=8) is LoopEnd.STOPPED
        journal = SqliteJournal(run.path, lambda: 7)
        journal.append("kill_switch", {"trading_time": 1, "loss": "6000", "limit": "5000"})
        journal.close()
        assert await run.trade() is LoopEnd.HALTED
        assert run.trader.kill_switch.event is not None
        assert run.trader.kill_switch.event.loss == Decimal(6000)
        assert len(kinds(run.path, "kill_switch")) == 1


@pytest.mark.parametrize("commits", [1, 4])
async def test_a_journal_that_fails_for_a_moment_stops_nothing_for_good(tmp_path: Path, commits: int) -> None:
    expected = await undisturbed(tmp_path / "whole.db")
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as gateway:
        run = Run(gateway.port, tmp_path / "broken.db")
        failure = FailAt(run, 12, commits)
        assert await run.trade(failure) is LoopEnd.COMPLETED  # type: ignore[arg-type]
        assert failure.left == 0
        assert verify(run.path).ok
        found = run.book()
        assert found["closed"]["positions"] == expected["closed"]["positions"]
        assert set(found["fills"]) == set(expected["fills"])


async def test_a_halt_leaves_no_working_order_behind(tmp_path: Path) -> None:
    limits = RiskLimits(max_daily_loss=Decimal(1))
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as gateway:
        run = Run(gateway.port, tmp_path / "halted.db", spec=spec(limits=limits))
        resting = OrderRequest(
            run.spec.symbols[0],
            Decimal(1),
            OrderType.LIMIT,
            Side.BUY,
            limit_price=Decimal("0.01"),
            time_in_force=TimeInForce.GTC,
            client_order_id="resting",
        )

        def rest(progress: StepProgress) -> None:
            if progress.index == 1:
                run.trader.executor.submit(resting)

        assert await run.trade(rest) is LoopEnd.HALTED  # type: ignore[arg-type]
        assert "resting" in [body["client_order_id"] for body in kinds(run.path, "order_cancelled")]
        assert run.book()["closed"]["open_orders"] == []
        working = [t for t in gateway.service.book.tickets.values() if t.order_ref == "resting"]
        assert [str(t.status) for t in working] == ["Cancelled"]


async def test_each_run_on_a_journal_announces_itself_once(tmp_path: Path) -> None:
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as gateway:
        for name in ("first", "first", "second"):
            run = Run(gateway.port, tmp_path / "j.db", started={"run_id": name})
            await run.trade(stop_after=1 if name == "first" else 2)
        assert [body["run_id"] for body in kinds(tmp_path / "j.db", "run_started")] == ["first", "second"]


MOMENTUM = {"strategy": "momentum", "params": {"lookback": 3}}


async def test_signals_and_risk_are_on_record_once_however_often_the_trader_dies(tmp_path: Path) -> None:
    expected = await undisturbed(tmp_path / "whole.db", spec=spec(**MOMENTUM))
    assert len(expected["signals"]) >= 6
    assert len(expected["risk"]) == len(expected["snapshots"])  # daily bars: each step ends a session
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as gateway:
        run = Run(gateway.port, tmp_path / "broken.db", spec=spec(**MOMENTUM))
        for step in (1, 6, 7, 13, 20, 21, 33):
            assert await run.trade(KillAt(step)) is None
        assert await run.trade() is LoopEnd.COMPLETED
        book = run.book()
        # A signal without an order is not committed by itself: one that a death took is stated by the replay.
        assert {signal.pop("replayed", True) for signal in book["signals"]} == {True}
        assert book == expected


async def test_a_signal_is_on_record_before_the_orders_that_carry_its_id(tmp_path: Path) -> None:
    await undisturbed(tmp_path / "j.db", spec=spec(**MOMENTUM))
    told: set[str] = set()
    orders = 0
    for event in read(tmp_path / "j.db"):
        if event.kind == "signal":
            told.add(event.body["signal_id"])
        elif event.kind == "order_submitted":
            assert event.body["signal_id"] in told
            orders += 1
    assert orders >= 4


async def test_signals_and_risk_become_rows_and_the_orders_name_their_signal(tmp_path: Path) -> None:
    await undisturbed(tmp_path / "j.db", spec=spec(**MOMENTUM))
    database = Database(f"sqlite:///{tmp_path / 'p.db'}")
    try:
        database.upgrade()
        Projector(database, "j", "r").project(read(tmp_path / "j.db"))
        with database.session() as session:
            signals = {row.signal_id: row for row in session.scalars(select(SignalRow))}
            orders = list(session.scalars(select(OrderRow)))
            risk = list(session.scalars(select(RiskMetricRow)))
    finally:
        database.close()
    assert orders
    assert {signals[order.signal_id or ""].symbol for order in orders} == {order.symbol for order in orders}
    assert all(row.drawdown is not None and "peak_equity" in row.details for row in risk)
