"""How fast a journal becomes tables of TimescaleDB, against bare COPY of its rows; and what a crash costs.

1. A journal of orders' lives is written: signal, submission, what the broker sends, states, executions,
   commissions, a snapshot a day. Its contents come from a seed.
2. It is projected in small and uneven batches, then rebuilt from nothing; the tables must be the same, row by
   row, and the rows of orders, fills, commissions, signals and snapshots those of a plain fold in Python.
   Both are timed in fifths (`infrastructure.bench.laps`): what grows with the tables shows in the last one.
3. The text of every table is copied, bare, into a database of the same tables.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from data.database import Database
from data.errors import DatabaseUnavailableError, ProjectionError
from data.projection.events import batches_of, read_events
from data.projector import BATCH, Projector
from data.testing import LocalServer, local_server
from execution.clocks import NANOS
from execution.journal import SqliteJournal
from infrastructure.bench.laps import Laps

Tell = Callable[[str], None]
Row = dict[str, Any]
TABLES = (
    ("audit_events", "journal_id, seq"), ("order_events", "seq"), ("orders", "seq"), ("fills", "seq"),
    ("commissions", "seq"), ("account_snapshots", "timestamp"), ("position_history", "timestamp, symbol"),
    ("positions", "symbol"), ("daily_pnl", "timestamp"), ("risk_metrics", "timestamp, scope"),
    ("trading_sessions", "seq"), ("runs", "run_id"), ("projection_cursor", "run_id"), ("signals", "seq"),
)  # fmt: skip
RUN = "bench"
_SYMBOLS = ("SPY", "QQQ", "IWM", "AAPL", "MSFT")
_DAY = 86_400 * NANOS
_FIRST = 1_704_121_200 * NANOS  # 2024-01-01 15:00 UTC
_DECISION = {
    "approved": True,
    "rule": "",
    "reason": "",
    "checks": [{"rule": "max_order_notional", "ok": True}],
}
_ORDERS_A_DAY = 400
_CRASH_BATCH = 50
_MONEY = ("cash", "equity", "unrealized_pnl", "realized_pnl", "fees", "gross_exposure")


def story(count: int, seed: int = 7) -> Iterator[tuple[str, Row]]:
    """Yield kind and body of `count` events."""
    return islice(_story(random.Random(seed)), count)  # noqa: S311  # data for a measurement


def _story(chance: random.Random) -> Iterator[tuple[str, Row]]:
    yield (
        "run_started",
        {"run_id": RUN, "symbols": list(_SYMBOLS), "initial_cash": "1000000", "profile": "paper"},
    )
    number, held = 0, dict.fromkeys(_SYMBOLS, Decimal(0))
    for day in range(1_000_000):
        for i in range(_ORDERS_A_DAY):
            number += 1
            yield from _order(number, _FIRST + day * _DAY + i * NANOS, chance, held)
        yield "snapshot", _snapshot(_FIRST + day * _DAY + 6 * 3_600 * NANOS, held, day)


def _order(
    number: int, at: int, chance: random.Random, held: dict[str, Decimal]
) -> Iterator[tuple[str, Row]]:
    name, symbol = f"ma-{number:08d}", chance.choice(_SYMBOLS)
    size, price = Decimal(chance.randrange(1, 900)), Decimal(chance.randrange(5_000, 60_000)) / 100
    side = chance.choice(("BUY", "SELL"))
    signal = f"ma-s{number}" if number % 5 == 0 else None
    if signal:
        yield "signal", {
            "signal_id": signal, "strategy": "ma", "name": "crossing", "symbol": symbol, "direction": "LONG",
            "strength": number / 7, "target": None, "features": {"fast": number / 3}, "trading_time": at,
        }  # fmt: skip
    yield "order_submitted", {
        "client_order_id": name, "symbol": symbol, "side": side, "quantity": str(size), "order_type": "LIMIT",
        "limit_price": str(price), "stop_price": None, "time_in_force": "DAY", "outside_rth": False,
        "account": "DU100", "strategy": "ma", "trading_time": at, "attempt": 1, "order_id": number,
        "decision": _DECISION, "dry_run": False, "reserved_price": str(price),
        **({"signal_id": signal} if signal else {}),
    }  # fmt: skip
    known = {"client_order_id": name, "order_id": str(number), "perm_id": 900_000 + number}
    yield "broker_message", {
        **known, "what": "order_status", "status": "Submitted", "filled": "0", "remaining": str(size),
        "average_fill_price": "0", "why_held": "", "account": "DU100",
    }  # fmt: skip
    change = {**known, "average_price": None, "filled": "0", "reason": None, "trading_time": at}
    yield "order_status", {**change, "old": "PENDING", "new": "SUBMITTED"}
    if chance.randrange(5) == 0:
        yield "order_cancelled", {**known, "reason": "end of day"}
        yield "order_status", {**change, "old": "SUBMITTED", "new": "CANCELLED"}
        return
    yield "fill", {
        **known, "fill_id": f"{name}-1", "exec_id": f"0000e0d5.{number:08x}.01.01", "symbol": symbol,
        "side": side, "quantity": str(size), "price": str(price), "time": at + 5_000, "commission": None,
        "account": "DU100",
    }  # fmt: skip
    held[symbol] += size if side == "BUY" else -size
    full = {**change, "filled": str(size), "average_price": str(price), "old": "SUBMITTED", "new": "FILLED"}
    yield "order_status", full
    paid = str(Decimal(chance.randrange(35, 900)) / 100)
    yield "commission", {**known, "fill_id": f"{name}-1", "exec_id": "e", "commission": paid}


def _snapshot(at: int, held: dict[str, Decimal], day: int) -> Row:
    positions = [
        {
            "symbol": s,
            "quantity": str(q),
            "average_cost": "100.25",
            "market_value": str(q * 100),
            "unrealized_pnl": "1",
        }
        for s, q in held.items()
        if q
    ]
    return {"trading_time": at, "positions": positions} | dict.fromkeys(_MONEY, f"{1_000_000 + day}.5")


def write_journal(path: Path, count: int) -> None:
    """Write a journal of `count` events."""
    ticks = iter(range(_FIRST, 2**62, 25_000_000))
    journal = SqliteJournal(path, lambda: next(ticks))
    with closing(journal):
        for number, (kind, body) in enumerate(story(count)):
            journal.append(kind, body)
            if number % 5_000 == 0:
                journal.commit()


def digests(database: Database) -> dict[str, str]:
    """Return a hash of every table's rows in the order of their keys."""
    found = {}
    with psycopg.connect(database.conninfo()) as connection:
        for table, order in TABLES:
            digest = hashlib.sha256()
            query = f"COPY (SELECT * FROM {table} ORDER BY {order}) TO STDOUT"  # noqa: S608  # names of ours
            with connection.cursor().copy(query) as rows:  # type: ignore[arg-type, unused-ignore]
                for block in rows:
                    digest.update(block)
            found[table] = digest.hexdigest()
    return found


def plain_fold(count: int) -> dict[str, list[tuple[Any, ...]]]:
    """Return what some tables must hold, by a fold that knows nothing of databases."""
    orders: dict[str, list[Any]] = {}
    fills, paid, snapshots, signals = [], [], [], []
    for seq, (kind, body) in enumerate(story(count), start=1):
        name = body.get("client_order_id", "")
        if kind == "order_submitted":
            orders[name] = [seq, name, body["symbol"], "PENDING", Decimal(0), None]
        elif kind == "order_status":
            average = body["average_price"]
            orders[name][3:] = [body["new"], Decimal(body["filled"]), average and Decimal(average)]
        elif kind == "fill":
            fills.append((seq, name, body["symbol"], Decimal(body["quantity"]), Decimal(body["price"])))
        elif kind == "signal":
            signals.append((seq, body["signal_id"], body["strength"]))
        elif kind == "commission":
            paid.append((seq, body["fill_id"], Decimal(body["commission"])))
        elif kind == "snapshot":
            snapshots.append((Decimal(body["equity"]),))
    return {
        "SELECT seq, client_order_id, symbol, status, filled_quantity, average_fill_price FROM orders "
        "ORDER BY seq": [tuple(row) for row in orders.values()],
        "SELECT seq, client_order_id, symbol, quantity, price FROM fills ORDER BY seq": fills,
        "SELECT seq, fill_id, commission FROM commissions ORDER BY seq": paid,
        "SELECT seq, signal_id, strength FROM signals ORDER BY seq": signals,
        "SELECT equity FROM account_snapshots ORDER BY timestamp": snapshots,
        "SELECT count(*) FROM audit_events": [(count,)],
    }


def differences(database: Database, count: int) -> list[str]:
    """Return the queries whose answer is not that of the plain fold."""
    with psycopg.connect(database.conninfo()) as connection:
        return [
            query
            for query, expected in plain_fold(count).items()
            if connection.execute(query).fetchall() != expected  # type: ignore[call-overload, unused-ignore]
        ]


def measure(folder: Path, events: int, tell: Tell) -> Row:
    """Project, rebuild and compare `events` events on TimescaleDB, and copy the same rows bare."""
    path = folder / "journal.db"
    tell(f"writing a journal of {events:,} events")
    write_journal(path, events)
    with local_server(timescale=True, fsync=True, settings={"synchronous_commit": "off"}) as server:
        database = Database(server.create_database("projected"))
        with closing(database):
            database.upgrade()
            figures = _projected(server, database, path, events, tell)
            tell("copying the same rows bare")
            figures["bare COPY, seconds"] = _bare(server, database)
            taken = events / figures["rebuild, events/s"]
            figures["projector / bare COPY, time"] = taken / figures["bare COPY, seconds"]
    return figures


def _projected(server: LocalServer, database: Database, path: Path, events: int, tell: Tell) -> Row:
    projector = Projector(database, "journal", RUN)
    tell("projecting in uneven batches")
    chance, uneven = random.Random(3), Laps(events, server.postmaster)  # noqa: S311  # data for a measurement
    with closing(read_events(path)) as stream:
        cut = iter(lambda: list(islice(stream, chance.randrange(1, 10_000))), [])
        for events_written in projector.project_batches(cut):
            uneven.note(events_written)
    figures = uneven.figures("uneven batches")
    tell("hashing the tables")
    before = digests(database)
    tell("rebuilding from nothing")
    cleared = time.perf_counter()
    projector.rebuild(())
    removed = time.perf_counter() - cleared
    rebuilt = Laps(events, server.postmaster)
    with closing(batches_of(path, 0, BATCH)) as batches:
        for events_written in projector.project_batches(batches):
            rebuilt.note(events_written)
    figures |= rebuilt.figures("rebuild")
    tell("comparing with a plain fold")
    return {
        "events": events,
        **figures,
        "removing the rows, seconds": removed,
        "rebuilt equal": before == digests(database),
        "differences from a plain fold": len(differences(database, events)),
    }


def _bare(server: LocalServer, projected: Database) -> float:
    """Return the seconds of a plain COPY of every row into the same tables of another database."""
    contents = {}
    with psycopg.connect(projected.conninfo()) as connection:
        for table, _ in TABLES:
            with connection.cursor().copy(f"COPY (SELECT * FROM {table}) TO STDOUT") as rows:  # type: ignore[arg-type, unused-ignore]  # noqa: S608
                contents[table] = b"".join(bytes(block) for block in rows)
    with closing(Database(server.create_database("bare"))) as database:
        database.upgrade()
        with psycopg.connect(database.conninfo()) as connection:
            began = time.perf_counter()
            for table, text in contents.items():
                with connection.cursor().copy(
                    sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
                ) as copy:
                    copy.write(text)
            connection.commit()
            return time.perf_counter() - began


class _Projecting(threading.Thread):
    """Projects a journal again and again, beside another; each time it is through, all begins from nothing.

    Batches are small, so that there is a transaction under way at almost any moment.
    """

    def __init__(self, url: str, path: Path, done: threading.Event) -> None:
        super().__init__()
        self.rounds = self.events = self.refused = self.behind = 0
        self.fault: Exception | None = None
        self._url, self._path, self._done = url, path, done

    def run(self) -> None:
        """Project until it is done; what ends it earlier is kept in `fault`."""
        try:
            with closing(Database(self._url)) as database:
                while not self._done.is_set():
                    self._once(Projector(database, "journal", RUN))
        except Exception as error:  # noqa: BLE001  the thread's outermost boundary: whoever started it raises it
            self.fault = error

    def _once(self, projector: Projector) -> None:
        try:
            with (
                closing(batches_of(self._path, projector.cursor(), _CRASH_BATCH)) as batches,
                closing(projector.project_batches(batches)) as written,
            ):
                for events in written:
                    self.events += events
                    if self._done.is_set():
                        return
            projector.rebuild(())
            self.rounds += 1
        except DatabaseUnavailableError:
            self.refused += 1
            time.sleep(0.02)
        except ProjectionError:  # the other one began again meanwhile
            self.behind += 1


def _wait_for(workers: Sequence[_Projecting], events: int) -> None:
    """Wait until so many more events were written, however slow the machine is."""
    goal = sum(worker.events for worker in workers) + events
    while sum(worker.events for worker in workers) < goal and all(worker.is_alive() for worker in workers):
        time.sleep(0.002)


def crash(folder: Path, events: int, stops: int, tell: Tell, *, timescale: bool = True) -> Row:
    """Stop the server `stops` times without a checkpoint while two write it; compare with a calm run."""
    path, chance = folder / "journal.db", random.Random(5)  # noqa: S311  # moments of crashes
    tell(f"writing a journal of {events:,} events")
    write_journal(path, events)
    with local_server(timescale=timescale, settings={"synchronous_commit": "on"}) as server:
        url, done = server.create_database("crashed"), threading.Event()
        with closing(Database(url)) as database:
            database.upgrade()
        workers = [_Projecting(url, path, done) for _ in range(2)]
        for worker in workers:
            worker.start()
        try:
            for number in range(stops):
                tell(f"stop {number + 1} of {stops}")
                _wait_for(workers, chance.randrange(40) * _CRASH_BATCH)
                time.sleep(chance.uniform(0, 0.03))  # anywhere in a transaction
                server.crash()
                server.start()
        finally:
            done.set()
            for worker in workers:
                worker.join()
        for worker in workers:
            if worker.fault is not None:
                raise worker.fault
        with closing(Database(url)) as database:
            projector = Projector(database, "journal", RUN)
            with closing(read_events(path, projector.cursor())) as stream:
                projector.project(stream)
            after = digests(database)
            lost = len(differences(database, events))
            projector.rebuild(read_events(path))
            return {
                "stops": stops, "events": events,
                "events written by one of two": workers[0].events,
                "events written by the other": workers[1].events,
                "times begun again from nothing": sum(worker.rounds for worker in workers),
                "times found begun again by the other": sum(worker.behind for worker in workers),
                "transactions refused": sum(worker.refused for worker in workers),
                "differences from a plain fold": lost, "equal to a calm run": after == digests(database),
            }  # fmt: skip
