"""kill -9 of traders at every step of an order's way; in the end nothing may be lost and nothing doubled.

A round is one gateway, one journal and many short lives of traders, one after the other:

1. The gateway lives in this process; a trader is forked from a server of its own (`kill_child`), restores the
   journal, reconciles, and trades until it kills itself at the step it was given.
2. What it had begun and not acknowledged is asked for again in the next life, under the same id: so does a
   caller who does not know. From time to time the gateway restarts while a trader is at work.
3. The last life ends every open order and tells what the journal makes of them. That is held against the
   statement of the gateway and the chain of the journal.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.statement import statement
from backtesting.gateway.testing import simulated_gateway
from data.bars import BarSeries
from data.calendars import ExchangeClock
from execution.journal import verify
from execution.timeframes import Timeframe
from infrastructure.bench.kill_child import STEPS, SYMBOLS, Life

_FIRST, _LAST = dt.date(2018, 1, 2), dt.date(2018, 1, 31)
_MINUTE_NS: Final = 60_000_000_000
_BARS: Final = 390
_ORDERS_A_LIFE: Final = 20
_MOST_CROSSINGS: Final = 30
_KILLS_A_ROUND: Final = len(STEPS)
"""Each life reads the journal of all before it: longer rounds cost ever more and show nothing new."""
_RESTARTS: Final = 0.1
"""Share of lives in which the gateway restarts."""
_LONGEST_LIFE: Final = 60.0
_ACKNOWLEDGED, _INTENDED = "acknowledged ", "intend "
_INBOUND: Final = "inbound"
_ABSENT: Final = "NOT_SENT"
_OVER: Final = ("FILLED", "CANCELLED", "REJECTED", _ABSENT)

Report = Callable[[int], None]


@dataclass(slots=True)
class Found:
    """What one or several rounds found; `problems` is empty where all is well."""

    kills: int = 0
    by_step: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    """Lives that ended before their step came."""
    restarts: int = 0
    acknowledged: int = 0
    asked_again: int = 0
    orders_at_the_broker: int = 0
    executions: int = 0
    never_sent: int = 0
    held_back: int = 0
    """Parts of brackets whose last part, which transmits all, was never written; none of them trades."""
    events: int = 0
    rounds: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        values = {name: getattr(self, name) for name in Found.__slots__}
        return values | {"by_step": dict(self.by_step), "missed": dict(self.missed)}

    def add(self, other: Found) -> None:
        """Add another round's."""
        self.by_step += other.by_step
        self.missed += other.missed
        self.problems += other.problems
        for name in (
            "kills",
            "restarts",
            "acknowledged",
            "asked_again",
            "orders_at_the_broker",
            "executions",
            "never_sent",
            "held_back",
            "events",
            "rounds",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class ForkServer:
    """The process that traders are forked from."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "infrastructure.bench.kill_child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=1 << 22,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None  # noqa: S101  set above
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.communicate()

    async def live(self, life: Life) -> tuple[list[str], int]:
        """Let one trader live; return what it said, and its exit status (-9 where it was killed).

        Raises
        ------
        TimeoutError
            If it lives too long.
        """
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None  # noqa: S101, PT018
        process.stdin.write(life.line())
        said: list[str] = []
        async with asyncio.timeout(_LONGEST_LIFE):
            while True:
                line = (await process.stdout.readline()).decode().rstrip("\n")
                if not line:
                    raise EOFError("the server that forks traders has gone")
                if line.startswith("end "):
                    return said, int(line[4:])
                said.append(line)


async def play(folder: Path, *, kills: int, seed: int, report: Report = lambda _: None) -> Found:
    """Play rounds until so many traders were killed.

    Parameters
    ----------
    folder
        An empty folder.
    kills
        How many.
    seed
        Of what the traders do, and where they are killed.
    report
        Told how many were killed so far.
    """
    total = Found()
    began = time.perf_counter()
    async with ForkServer() as server:
        while total.kills < kills and not total.problems:
            done = total.kills
            path = folder / f"round-{total.rounds}"
            path.mkdir()
            found = await _Round(server, path, seed * 1000 + total.rounds, lambda n: report(done + n)).play(  # noqa: B023  awaited right here
                kills - done, steps=_steps(seed, done)
            )
            total.add(found)
    total.seconds = time.perf_counter() - began
    return total


def _steps(seed: int, done: int) -> list[str]:
    """Return the steps in an order of their own for each seed, going on where the last round ended."""
    steps = list(STEPS)
    random.Random(seed).shuffle(steps)  # noqa: S311  an order, no secret
    at = done % len(steps)
    return steps[at:] + steps[:at]


class _Round:
    """One gateway and one journal."""

    def __init__(self, server: ForkServer, folder: Path, seed: int, report: Report) -> None:
        self._server = server
        self._journal = folder / "journal.db"
        self._chance = random.Random(seed)  # noqa: S311  what is done is no secret
        self._report = report
        self._number = 1
        self._crossings = _MOST_CROSSINGS
        self._again: set[int] = set()
        self._acknowledged: set[str] = set()
        self.found = Found(rounds=1)

    async def play(self, kills: int, steps: list[str]) -> Found:
        """Kill until the round or the bars of the session are over, or enough were killed; then compare."""
        async with simulated_gateway(_bars(), sessions=_sessions(), config=GatewayConfig()) as gateway:
            left = list(steps)
            most = min(kills, _KILLS_A_ROUND)
            while self.found.kills < most and self._has_time(gateway) and not self.found.problems:
                step = left.pop(0)
                if not await self._kill(gateway, step):
                    left.insert(self._chance.randrange(len(left) + 1), step)
                left = left or list(steps)
            if not self.found.problems:
                await self._compare(gateway)
        return self.found

    def _has_time(self, gateway: GatewayServer) -> bool:
        end = int(_sessions().closes_ns[0]) - 60 * _MINUTE_NS
        return gateway.service.clock.now_ns() < end

    async def _kill(self, gateway: GatewayServer, step: str) -> bool:
        """Let one trader live; return whether it was killed at its step."""
        said, status = await self._live(gateway, step)
        if status == 0:
            self.found.missed[step] += 1
            self._crossings = max(1, self._crossings // 2)  # the life was too short for so late an end
        elif status == -9:  # noqa: PLR2004  SIGKILL
            self.found.kills += 1
            self.found.by_step[step] += 1
            if step.startswith(_INBOUND):
                self._crossings = _MOST_CROSSINGS
            self._report(self.found.kills)
        else:
            self.found.problems.append(f"at {step!r}, seed of the life {self._life_seed}: {said[-1:]}")
        return status != 0

    async def _live(self, gateway: GatewayServer, step: str, *, last: bool = False) -> tuple[list[str], int]:
        self._life_seed = self._chance.randrange(1 << 31)
        again = tuple(sorted(self._again))
        life = Life(
            journal=str(self._journal),
            port=gateway.port,
            seed=self._life_seed,
            step=step,
            nth=self._chance.randint(1, self._crossings) if step.startswith(_INBOUND) else 1,
            first=self._number,
            again=again,
            last=last,
        )
        self._number += _ORDERS_A_LIFE
        self.found.asked_again += len(again)
        restart = None
        if step and self._chance.random() < _RESTARTS:
            restart = asyncio.create_task(self._restart(gateway))
        said, status = await self._server.live(life)
        if restart is not None:
            await restart
        for line in said:
            if line.startswith(_INTENDED):
                self._again.add(int(line.removeprefix(_INTENDED)))
            elif line.startswith(_ACKNOWLEDGED):
                name = line.removeprefix(_ACKNOWLEDGED)
                self._acknowledged.add(name)
                with suppress(ValueError):  # the exits of a bracket are not asked for by number
                    self._again.discard(int(name.removeprefix("kill-")))
        return said, status

    async def _restart(self, gateway: GatewayServer) -> None:
        """Restart the gateway while a trader is at work: its connections end, its book stays."""
        await asyncio.sleep(self._chance.uniform(0.0, 0.15))
        gateway.restart(keep_state=True, how=self._chance.choice(("fin", "rst")))
        self.found.restarts += 1

    async def _compare(self, gateway: GatewayServer) -> None:
        said, status = await self._live(gateway, "", last=True)
        known = next((json.loads(line[6:]) for line in said if line.startswith("known ")), None)
        if status or known is None:
            self.found.problems.append(f"the last life ended with {status}: {said[-3:]}")
            return
        book = gateway.service.book
        broker = statement(book, gateway.service.clock.now_ns())
        held_back = {ticket.perm_id for ticket in book.tickets.values() if not ticket.told}
        broker["orders"] = [row for row in broker["orders"] if row["perm_id"] not in held_back]
        report = verify(self._journal)
        found = self.found
        found.acknowledged = len(self._acknowledged)
        found.held_back = len(held_back)
        found.orders_at_the_broker = len(broker["orders"])
        found.executions = len(broker["executions"])
        found.never_sent = sum(status == _ABSENT for status, _ in known["orders"].values())
        found.events = report.events
        found.problems += differences(known, broker, self._acknowledged)
        if not report.ok:
            found.problems.append(f"the journal does not verify: {report.problem}")


def differences(known: dict[str, Any], broker: dict[str, Any], acknowledged: set[str]) -> list[str]:
    """Hold what the journal makes of the orders against the statement of the gateway.

    Parameters
    ----------
    known
        ``orders``: status and filled size by client order id; ``positions``: size by symbol.
    broker
        The gateway's statement.
    acknowledged
        Client order ids of which a caller was told that they were submitted.

    Returns
    -------
    list of str
        What was lost, doubled or is different; empty where all is well.
    """
    orders: dict[str, list[str]] = known["orders"]
    problems = [f"{name} was acknowledged and is lost" for name in sorted(acknowledged - orders.keys())]
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in broker["orders"]:
        rows.setdefault(row["order_ref"], []).append(row)
    problems += [f"{name} is at the broker {len(same)} times" for name, same in rows.items() if len(same) > 1]
    problems += [f"{name} is at the broker and not in the journal" for name in sorted(rows.keys() - orders)]
    for name, (status, filled) in orders.items():
        if status not in _OVER:
            problems.append(f"{name} has no end: {status}")
        if (status == _ABSENT) == (name in rows):
            problems.append(f"{name} is {status} here, and {'' if name in rows else 'not '}at the broker")
        elif name in rows and filled != rows[name][0]["filled"]:
            problems.append(f"{name} has {filled} filled here, {rows[name][0]['filled']} at the broker")
    ids = [row["exec_id"] for row in broker["executions"]]
    if len(ids) != len(set(ids)):
        problems.append("the broker told an execution twice")
    if known["positions"] != broker["positions"]:
        problems.append(f"positions are {known['positions']} here, {broker['positions']} at the broker")
    return problems


@lru_cache(maxsize=1)
def _sessions() -> ExchangeClock:
    return ExchangeClock("XNYS", _FIRST, _LAST)


@lru_cache(maxsize=1)
def _bars() -> dict[str, BarSeries]:
    starts = int(_sessions().opens_ns[0]) + _MINUTE_NS * np.arange(_BARS)
    opens = 100.0 + np.arange(_BARS, dtype=np.float64) % 7
    return {
        symbol: BarSeries(
            symbol,
            Timeframe.MINUTE,
            starts,
            starts + _MINUTE_NS,
            opens,
            opens + 1,
            opens - 1,
            opens + 0.25,
            np.full(_BARS, 1e6),
        )
        for symbol in SYMBOLS
    }
