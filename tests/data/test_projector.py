"""The projector: any batching, any repetition and a rebuild give the same tables."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event as sql_event

from data.database import Database
from data.errors import ProjectionError
from data.projection.book import Book
from data.projection.stored import Stored
from data.projector import Projector
from data.repositories import Repository
from data.schema import Base

TABLES = ("runs", "orders", "fills", "positions", "equity")


@dataclass(frozen=True)
class Recorded:
    seq: int
    time_ns: int
    kind: str
    body: dict[str, Any]
    prev_hash: str = ""
    hash: str = ""


def numbered(pairs: list[tuple[str, dict[str, Any]]]) -> list[Recorded]:
    return [Recorded(i, 1_000 * (1000 + i), kind, body) for i, (kind, body) in enumerate(pairs, start=1)]


def started(run: str = "r") -> tuple[str, dict[str, Any]]:
    return "run_started", {"run_id": run, "symbols": ["SPY"], "initial_cash": "1000", "profile": "demo"}


def wish(key: str | None, at: int) -> dict[str, Any]:
    return {
        "client_order_id": key, "symbol": "SPY", "side": "BUY", "quantity": "10", "order_type": "MARKET",
        "limit_price": None, "stop_price": None, "time_in_force": "DAY", "outside_rth": False,
        "account": None, "strategy": "ma", "trading_time": 1_000 * at,
        "decision": {"approved": True, "rule": "", "reason": "", "checks": []},
    }  # fmt: skip


def submitted(key: str, at: int = 5, attempt: int = 1, dry_run: bool = False) -> tuple[str, dict[str, Any]]:
    return "order_submitted", wish(key, at) | {"attempt": attempt, "order_id": 7, "dry_run": dry_run}


def refused(key: str | None, at: int = 5) -> tuple[str, dict[str, Any]]:
    return "order_refused", wish(key, at) | {
        "decision": {"approved": False, "rule": "CAP", "reason": "too big"}
    }


def status(key: str, new: str, at: int = 6) -> tuple[str, dict[str, Any]]:
    return "order_status", {
        "client_order_id": key, "order_id": "900", "old": "PENDING", "new": new, "filled": "10",
        "average_price": "1.10", "reason": None, "trading_time": 1_000 * at,
    }  # fmt: skip


def fill(key: str, n: int = 1, at: int = 6, commission: str | None = None) -> tuple[str, dict[str, Any]]:
    return "fill", {
        "client_order_id": key, "fill_id": f"{key}-{n}", "exec_id": "e", "symbol": "SPY", "side": "BUY",
        "quantity": "10", "price": "1.10", "time": 1_000 * at, "commission": commission, "account": None,
    }  # fmt: skip


def paid(key: str, n: int = 1) -> tuple[str, dict[str, Any]]:
    return "commission", {"client_order_id": key, "fill_id": f"{key}-{n}", "commission": "0.35"}


def asked(key: str, number: int, quantity: str) -> tuple[str, dict[str, Any]]:
    request = wish(key, 5) | {"quantity": quantity}
    return "order_modifying", {
        "client_order_id": key, "number": number, "trading_time": 1_000 * number, "request": request,
    }  # fmt: skip


def ended(key: str, number: int, outcome: str) -> tuple[str, dict[str, Any]]:
    return "order_modified", {"client_order_id": key, "number": number, "outcome": outcome, "reason": ""}


def shown(key: str, quantity: str) -> tuple[str, dict[str, Any]]:
    return "broker_message", {"client_order_id": key, "message": "open_order", "quantity": quantity}


def snapshot(at: int, *symbols: str) -> tuple[str, dict[str, Any]]:
    amounts = ("cash", "equity", "unrealized_pnl", "realized_pnl", "fees", "gross_exposure")
    held = ("quantity", "average_cost", "market_value", "unrealized_pnl")
    positions = [{"symbol": symbol} | dict.fromkeys(held, "1.5") for symbol in symbols]
    body = {"trading_time": 1_000 * at, "positions": positions}
    return "snapshot", body | dict.fromkeys(amounts, f"{at}.25")


@pytest.fixture(scope="module")
def memory() -> Iterator[Database]:
    """A database in memory; each example begins by emptying it."""
    database = Database("sqlite://")
    yield database
    database.close()


def empty(database: Database, migrated_file: Path) -> None:
    """Put a copy of a migrated file in its place: to migrate takes a hundred times as long."""
    with database.engine.connect() as connection, closing(sqlite3.connect(migrated_file)) as file:
        file.backup(connection.connection.driver_connection)  # type: ignore[arg-type]


@contextmanager
def fresh(migrated_file: Path) -> Iterator[Database]:
    database = Database("sqlite://")
    empty(database, migrated_file)
    yield database
    database.close()


def everything(database: Database) -> dict[str, list[str]]:
    """Return every row of every table, as the driver gives it."""
    with database.connection() as connection:
        return {
            name: sorted(map(repr, connection.exec_driver_sql(f"SELECT * FROM {name}")))  # noqa: S608
            for name in Base.metadata.tables
        }


def tables(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    read = Repository(database)
    frames = [read.runs(), *(getattr(read, name)("r") for name in TABLES[1:])]
    return {n: [tuple(r) for r in f.astype(object).to_numpy()] for n, f in zip(TABLES, frames, strict=True)}


def test_an_order_ends_in_its_last_state_with_its_fill_and_late_commission(database: Database) -> None:
    events = numbered(
        [started(), submitted("a"), fill("a"), status("a", "FILLED"), paid("a"), snapshot(9, "SPY"),
         ("connection", {"event": "up"}), ("run_finished", {"status": "FINISHED"})]
    )  # fmt: skip
    assert Projector(database, "j", "r").project(events) == 8
    read = Repository(database)
    order = read.orders("r").iloc[0]
    assert (order.status, order.order_id, order.filled_quantity) == ("FILLED", "900", Decimal(10))
    assert order.average_fill_price == Decimal("1.10")
    assert order.updated_at == pd.Timestamp(6_000, tz="UTC")
    assert read.fills("r").iloc[0].commission == Decimal("0.35")
    assert read.latest_positions("r").iloc[0].quantity == Decimal("1.5")
    assert read.equity("r").iloc[0].equity == Decimal("9.25")
    run = read.runs().iloc[0]
    assert (run.status, run.symbols, run.started_at) == ("FINISHED", "SPY", pd.Timestamp(1_001_000, tz="UTC"))


def test_events_are_applied_once(database: Database) -> None:
    projector = Projector(database, "j", "r")
    events = numbered([started(), submitted("a"), fill("a", commission="1")])
    assert projector.project(events) == 3
    before = tables(database)
    assert projector.project(events) == 0
    assert projector.cursor() == 3
    assert tables(database) == before


def test_a_refused_order_a_dry_run_and_a_released_order_were_not_sent(database: Database) -> None:
    events = numbered(
        [refused("a"), submitted("b", dry_run=True), submitted("c"), refused(None), submitted("d"),
         refused("d"),
         ("order_released", {"client_order_id": "c", "evidence": "absent at the broker"}),
         ("order_cancelled", {"client_order_id": "d", "reason": "asked by a person"})]
    )  # fmt: skip
    Projector(database, "j", "r").project(events)
    orders = Repository(database).orders("r").set_index("client_order_id")
    assert orders["status"].to_dict() == {
        "a": "NOT_SENT", "b": "NOT_SENT", "c": "NOT_SENT", "refused-4": "NOT_SENT", "d": "PENDING",
    }  # fmt: skip
    assert orders.loc["a", "rule"] == "CAP"
    assert orders.loc["c", "reason"] == "absent at the broker"
    assert orders.loc["d", "reason"] == "asked by a person"


def test_another_run_of_the_same_journal_is_passed_over(database: Database) -> None:
    events = numbered([started("q"), submitted("a"), started(), submitted("b"), started("q"), submitted("c")])
    for event in events:
        Projector(database, "j", "r").project([event])
    assert Repository(database).orders("r")["client_order_id"].tolist() == ["b"]


def test_flat_at_the_last_snapshot_means_no_positions(database: Database) -> None:
    Projector(database, "j", "r").project(numbered([snapshot(1, "SPY"), snapshot(2)]))
    assert Repository(database).latest_positions("r").empty
    assert len(Repository(database).positions("r")) == 1


def test_an_event_of_an_unknown_order_or_fill_is_passed_over(database: Database) -> None:
    assert Projector(database, "j", "r").project(numbered([status("x", "FILLED"), paid("x")])) == 2
    assert Repository(database).orders("r").empty


@pytest.mark.parametrize(
    "bad", [("fill", {"fill_id": "a-1"}), status("a", "NO_SUCH_STATE"), ("snapshot", {})]
)
def test_a_faulty_event_rolls_its_batch_back(database: Database, bad: tuple[str, dict[str, Any]]) -> None:
    projector = Projector(database, "j", "r")
    with pytest.raises(ProjectionError, match=r"event 2 .* cannot be projected"):
        projector.project(numbered([submitted("a"), bad]))
    assert projector.cursor() == 0
    assert Repository(database).orders("r").empty


def test_events_out_of_order_are_refused(database: Database) -> None:
    first, second = numbered([snapshot(1), snapshot(2)])
    with pytest.raises(ProjectionError, match="event 2 follows 2"):
        Projector(database, "j", "r").project([first, second, second])


def test_an_event_that_is_missing_is_not_passed_over(database: Database) -> None:
    projector, events = Projector(database, "j", "r"), numbered([snapshot(at) for at in range(1, 7)])
    with pytest.raises(ProjectionError, match="event 1 is missing, the journal goes on with 2"):
        projector.project(events[1:])
    projector.project(events[:2])
    with pytest.raises(ProjectionError, match="event 3 is missing, the journal goes on with 5"):
        projector.project(events[4:])
    with pytest.raises(ProjectionError, match="event 4 is missing, the journal goes on with 6"):
        Projector(database, "j", "r", batch=1).project([*events[:3], events[5]])
    assert projector.cursor() == 3


def test_a_run_of_another_journal_is_left_alone(database: Database) -> None:
    Projector(database, "j", "r").project(numbered([started(), submitted("a"), fill("a")]))
    before = everything(database)
    other = Projector(database, "k", "q")
    with pytest.raises(ProjectionError, match="run r of journal k is here already, of journal j"):
        other.project(numbered([started(), submitted("b")]))
    with pytest.raises(ProjectionError, match="run r of journal k is here already, of journal j"):
        Projector(database, "k", "r").rebuild(numbered([snapshot(2)]))
    assert everything(database) == before


def test_event_by_event_equals_all_at_once_and_a_moment_seen_again_replaces_its_positions(
    migrated_file: Path,
) -> None:
    events = numbered(
        [started(), submitted("a"), fill("a"), snapshot(1, "SPY"), snapshot(1, "IWM"), status("a", "FILLED"),
         paid("a"), started(), ("run_finished", {"status": "FINISHED"})]
    )  # fmt: skip
    with fresh(migrated_file) as one, fresh(migrated_file) as other:
        for event in events:
            Projector(one, "j", "r").project([event])
        Projector(other, "j", "r").project(events)
        assert tables(one) == tables(other)
        assert Repository(one).positions("r")["symbol"].tolist() == ["IWM"]
        assert Repository(one).fills("r")["commission"].tolist() == [Decimal("0.35")]
        assert Repository(one).runs()["started_at"].tolist() == [pd.Timestamp(1_001_000, tz="UTC")]


def test_a_rebuild_leaves_the_rows_of_other_journals(database: Database) -> None:
    other = numbered([started("q"), submitted("x"), fill("x"), snapshot(1, "IWM")])
    Projector(database, "other", "q").project(other)
    events = numbered(
        [started(), submitted("a"), fill("a"), status("a", "FILLED"), paid("a"), snapshot(2, "SPY")]
    )
    projector = Projector(database, "j", "r")
    projector.project(events)
    before = tables(database)
    assert projector.rebuild(events) == len(events)
    assert tables(database) == before
    assert Repository(database).orders("q")["client_order_id"].tolist() == ["x"]
    assert Repository(database).latest_positions("q")["symbol"].tolist() == ["IWM"]
    assert Projector(database, "other", "q").cursor() == len(other)


def test_names_that_were_let_go_are_read_again(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.projection.book._MOST_NAMES", 1)
    events = numbered([started(), submitted("a"), fill("a"), fill("a"), paid("a"), status("a", "FILLED")])
    projector = Projector(database, "j", "r", batch=1)
    projector.project(events)
    assert len(Repository(database).fills("r")) == 1
    assert Repository(database).orders("r")["status"].tolist() == ["FILLED"]


def test_catching_up_after_a_restart_asks_the_database_as_often_however_much_there_is(
    file_database: Database,
) -> None:
    def life(number: int) -> list[tuple[str, dict[str, Any]]]:
        name = f"o{number}"
        return [submitted(name), fill(name), status(name, "FILLED"), paid(name)]

    told = numbered([started(), *itertools.chain.from_iterable(map(life, range(300)))])
    Projector(file_database, "j", "r").project(told[:3])
    asked_for: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked_for.append(statement)

    sql_event.listen(file_database.engine, "before_cursor_execute", note)
    Projector(file_database, "j", "r").project(told)
    assert sum(statement.startswith("SELECT") for statement in asked_for) < 20
    whole = everything(file_database)
    Projector(file_database, "j", "r").rebuild(told)
    assert everything(file_database) == whole
    assert len(Repository(file_database).fills("r")) == 300


def test_what_a_batch_costs_does_not_grow_with_the_orders_that_are_kept(database: Database) -> None:
    class Kept(dict[str, Any]):
        def keys(self) -> Any:
            pytest.fail("every order that is kept was gone through")

        __iter__ = keys

    book = Book(Stored(database, lambda: None), "r", ZoneInfo("UTC"))
    book._orders = Kept(a={"client_order_id": "a"})
    book.load({"a", "b"}, set())
    assert book.order("a") == {"client_order_id": "a"}


KEYS = st.sampled_from(["a", "b"])
EVENTS = st.lists(
    st.one_of(
        st.sampled_from(["r", "q"]).map(started),
        st.builds(submitted, KEYS, st.integers(1, 9), st.integers(1, 3)),
        st.builds(refused, KEYS, st.integers(1, 9)),
        st.builds(status, KEYS, st.sampled_from(["SUBMITTED", "FILLED", "UNKNOWN"]), st.integers(1, 9)),
        st.builds(fill, KEYS, st.integers(1, 2), st.integers(1, 9), st.sampled_from([None, "0.5"])),
        st.builds(paid, KEYS, st.integers(1, 2)),
        st.builds(snapshot, st.integers(1, 4), st.sampled_from(["SPY", "IWM"])),
        st.just(("run_finished", {"status": "FINISHED"})),
        st.builds(asked, KEYS, st.integers(1, 2), st.sampled_from(["7", "8"])),
        st.builds(ended, KEYS, st.integers(0, 2), st.sampled_from(["accepted", "refused"])),
        st.builds(shown, KEYS, st.sampled_from(["3", "4"])),
    ),
    max_size=25,
).map(numbered)


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.lists(st.integers(0, 25), max_size=6), st.sampled_from([2, 200]), st.booleans())
def test_any_batching_equals_a_rebuild(
    memory: Database,
    migrated_file: Path,
    events: list[Recorded],
    cuts: list[int],
    at_a_time: int,
    restarted: bool,
) -> None:
    empty(memory, migrated_file)
    projector = Projector(memory, "j", "r")
    borders = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("data.projection.fold._AT_A_TIME", at_a_time)
        for low, high in itertools.pairwise(borders):
            projector = Projector(memory, "j", "r") if restarted else projector
            projector.project(events[max(0, low - 1) : high])  # one event is offered twice
    piecewise = everything(memory)
    projector.rebuild(events)
    assert everything(memory) == piecewise


def test_a_corrected_fill_has_its_new_figures_and_so_has_its_order(database: Database) -> None:
    change = {"client_order_id": "a", "exec_id": "e.02", "external": False, "old": {}, "reason": "told so"}
    corrected = (
        "fill_corrected",
        {**fill("a", commission="0.5")[1], **change, "quantity": "7", "price": "1.2"},
    )
    corrected[1].update(filled="7", average_price="1.2")
    strange = ("fill_corrected", {**corrected[1], "fill_id": "nobody-1"})
    events = numbered([started(), submitted("a"), fill("a"), status("a", "FILLED"), corrected, strange])
    Projector(database, "j", "r").project(events)
    read = Repository(database)
    row, order = read.fills("r").iloc[0], read.orders("r").iloc[0]
    assert len(read.fills("r")) == 1
    assert (row.quantity, row.price, row.commission, row.exec_id) == (
        Decimal(7),
        Decimal("1.2"),
        Decimal("0.5"),
        "e.02",
    )
    assert (order.filled_quantity, order.average_fill_price) == (Decimal(7), Decimal("1.2"))
