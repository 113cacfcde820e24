"""What each kind of event becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import select

from data.database import Database
from data.errors import ProjectionError
from data.inspection import check
from data.projector import Projector
from data.repositories import Repository
from data.schema import (
    AdjustmentRow,
    AuditEventRow,
    DailyPnlRow,
    OrderEventRow,
    OrderRow,
    RiskMetricRow,
    RunRow,
    SignalRow,
    TradingSessionRow,
)
from execution.journal import JournalEvent, MemoryJournal

D = Decimal
HOUR = 3_600_000_000_000
NOON = pd.Timestamp("2024-01-02 17:00", tz="UTC").value
Say = Callable[..., None]


@dataclass
class Story:
    """A journal in memory, and the database it is projected into."""

    journal: MemoryJournal
    database: Database

    def tell(self, kind: str, **body: Any) -> None:
        self.journal.append(kind, body)

    def project(self) -> None:
        self.journal.commit()
        Projector(self.database, "j", "r").project(self.journal.events())

    def rows(self, model: Any) -> list[Any]:
        self.project()
        with self.database.session() as session:
            return list(session.scalars(select(model).order_by(*model.__table__.primary_key)))


@pytest.fixture
def story(database: Database) -> Story:
    ticks = iter(range(NOON, 2**62, 1_000_000_000))
    told = Story(MemoryJournal(lambda: next(ticks)), database)
    told.tell("run_started", run_id="r", symbols=["SPY"], initial_cash="1000", profile="paper")
    return told


def execution(**more: Any) -> dict[str, Any]:
    return {
        "fill_id": "x-1", "exec_id": "e", "symbol": "SPY", "side": "BUY", "quantity": "10", "price": "1.5",
        "time": NOON, "commission": None, "account": "DU1",
    } | more  # fmt: skip


def order(name: str, **more: Any) -> dict[str, Any]:
    return {
        "client_order_id": name, "symbol": "SPY", "side": "BUY", "quantity": "10", "order_type": "MARKET",
        "time_in_force": "DAY", "trading_time": NOON, "attempt": 1, "order_id": 7, "dry_run": False,
        "decision": {"reason": "", "rule": ""},
    } | more  # fmt: skip


def book(at: int, equity: str, realized: str = "0", unrealized: str = "0", fees: str = "0") -> dict[str, Any]:
    held = {
        "symbol": "SPY",
        "quantity": "-2",
        "average_cost": "5",
        "market_value": "-9",
        "unrealized_pnl": "1",
    }
    return {
        "trading_time": at, "cash": "1", "equity": equity, "realized_pnl": realized, "fees": fees,
        "unrealized_pnl": unrealized, "gross_exposure": "9", "positions": [held],
    }  # fmt: skip


def test_every_event_is_an_audit_event_whose_chain_can_be_checked(story: Story) -> None:
    story.tell("broker_message", text='a "quoted" \\ tab\t line\n é', client_order_id="a")
    story.tell("barrier", trading_time=1)
    rows = story.rows(AuditEventRow)
    assert [(row.seq, row.kind, row.client_order_id) for row in rows] == [
        (1, "run_started", None), (2, "broker_message", "a"), (3, "barrier", None),
    ]  # fmt: skip
    assert [finding.problem for finding in check(story.database) if finding.what == "audit chain"] == [""]


def test_an_order_s_events_are_kept_with_their_states(story: Story) -> None:
    story.tell("order_submitted", **order("a"))
    story.tell("broker_message", client_order_id="a", text="word for word")
    status = {"client_order_id": "a", "order_id": "7", "filled": "0", "trading_time": NOON}
    story.tell("order_status", **status, old="PENDING", new="SUBMITTED")
    story.tell("order_resolved", client_order_id="a", status="CANCELLED", by="me", entered=[])
    found = [(row.kind, row.old_status, row.new_status) for row in story.rows(OrderEventRow)]
    assert found == [
        ("order_submitted", None, None), ("order_status", "PENDING", "SUBMITTED"),
        ("order_resolved", None, None),
    ]  # fmt: skip
    assert story.rows(OrderEventRow)[2].body["by"] == "me"


def asking(number: int, **more: Any) -> dict[str, Any]:
    request = {
        "client_order_id": "a", "symbol": "SPY", "side": "BUY", "quantity": "10", "order_type": "LIMIT",
        "limit_price": "1.5", "stop_price": None, "time_in_force": "DAY", "outside_rth": False,
    }  # fmt: skip
    return {
        "client_order_id": "a",
        "number": number,
        "trading_time": NOON + number,
        "request": request | more,
    }


def ending(number: int, outcome: str = "accepted") -> dict[str, Any]:
    return {"client_order_id": "a", "number": number, "outcome": outcome, "reason": "told so"}


def shown(quantity: str, limit: str | None, kind: str = "LIMIT", aux: str | None = None) -> dict[str, Any]:
    return {
        "client_order_id": "a", "message": "open_order", "quantity": quantity, "order_type": kind,
        "limit_price": limit, "aux_price": aux,
    }  # fmt: skip


def test_an_order_s_row_follows_the_changes_that_were_accepted(story: Story) -> None:
    def terms() -> tuple[Any, ...]:
        row = story.rows(OrderRow)[0]
        return row.quantity, row.order_type, row.limit_price, row.stop_price

    story.tell("order_submitted", **order("a", order_type="LIMIT", limit_price="1.5"))
    story.tell("order_modifying", **asking(1, quantity="12", limit_price="1.6"))
    assert terms() == (D(10), "LIMIT", D("1.5"), None)  # asked for is not agreed
    story.tell("order_modified", **ending(1))  # another batch
    assert terms() == (D(12), "LIMIT", D("1.6"), None)
    assert story.rows(OrderRow)[0].updated_at.value == (NOON + 1) // 1_000 * 1_000
    for number, outcome in enumerate(("refused", "not-sent", "overtaken"), start=2):
        story.tell("order_modifying", **asking(number, quantity="99"))
        story.tell("order_modified", **ending(number, outcome))
    assert terms() == (D(12), "LIMIT", D("1.6"), None)
    story.tell("order_modifying", **asking(5, order_type="MARKET", limit_price=None))
    story.tell("order_modified", **ending(5))
    assert terms() == (D(10), "MARKET", None, None)


def test_a_change_made_at_the_broker_reaches_the_row_too(story: Story) -> None:
    story.tell("order_submitted", **order("a", order_type="STOP_LIMIT", limit_price="1.5", stop_price="1.4"))
    story.tell("broker_message", client_order_id="a", message="order_status", quantity="1")
    story.tell("broker_message", **shown("7", "1.25", "STOP_LIMIT", "1.2"))
    story.project()
    story.tell("order_modified", **ending(0))
    row = story.rows(OrderRow)[0]
    assert (row.quantity, row.limit_price, row.stop_price) == (D(7), D("1.25"), D("1.2"))
    story.tell("broker_message", **shown("6", "3", "LIMIT"))  # of another type: its prices are not ours
    story.tell("order_modified", **ending(0))
    row = story.rows(OrderRow)[0]
    assert (row.quantity, row.limit_price, row.stop_price) == (D(6), D("1.25"), D("1.2"))


def test_a_change_whose_terms_are_not_known_is_told(story: Story, caplog: pytest.LogCaptureFixture) -> None:
    story.tell("order_modified", **ending(1))
    story.tell("order_submitted", **order("a"))
    story.tell("order_modifying", **asking(1, quantity="12"))
    story.tell("order_modified", **ending(2))
    assert story.rows(OrderRow)[0].quantity == D(10)
    assert [record.getMessage() for record in caplog.records] == [
        "change of order a, which this run did not submit",
        "the terms of change 2 of order a are not known",
    ]


def test_a_corrected_fill_counts_once_with_its_new_figures_and_a_fallen_one_with_none(story: Story) -> None:
    story.tell("order_submitted", **order("a"))
    story.tell("fill", **execution(client_order_id="a"))
    change = {"client_order_id": "a", "exec_id": "e.02", "external": False, "old": {}, "reason": "told so"}
    figures = {"quantity": "7", "price": "1.2", "commission": "0.5", "filled": "7", "average_price": "1.2"}
    story.tell("fill_corrected", **execution(**change, **figures))
    story.tell("fill_corrected", **execution(fill_id="nobody", **change, **figures))
    story.project()
    read = Repository(story.database)
    assert len(read.fills("r")) == 1
    fill, row = read.fills("r").iloc[0], read.orders("r").iloc[0]
    assert (fill.quantity, fill.price, fill.commission, fill.exec_id) == (D(7), D("1.2"), D("0.5"), "e.02")
    assert (row.filled_quantity, row.average_fill_price) == (D(7), D("1.2"))
    story.tell("fill_corrected", **execution(**change, **figures | {"quantity": "0", "filled": "0"}))
    story.project()
    assert read.fills("r")["quantity"].tolist() == [D(0)]


def test_somebody_else_s_fill_has_no_order(story: Story) -> None:
    story.tell("external_fill", **execution())
    story.tell("external_commission", **execution(commission="0.35"))
    story.tell("fill_corrected", **execution(quantity="4", external=True, filled=None, average_price=None))
    story.project()
    fill = Repository(story.database).fills("r").iloc[0]
    assert (fill.client_order_id, fill.quantity, fill.commission) == (None, D(4), D("0.35"))


def test_an_adjustment_is_kept(story: Story) -> None:
    nothing = {"fraction": "0", "price": None, "cash": "0", "new_symbol": "", "by": "", "reason": ""}
    story.tell("adjustment", what="split", symbol="AAPL", time=NOON, quantity="30", action="s-1", **nothing)
    row = story.rows(AdjustmentRow)[0]
    assert (row.kind, row.symbol, row.quantity, row.ordered_by, row.action) == (
        "split", "AAPL", D(30), None, "s-1",
    )  # fmt: skip


def test_a_signal_is_kept_with_its_features_and_its_order_names_it(story: Story) -> None:
    facts = {"fast": 1.5, "slow": 1.25}
    story.tell(
        "signal", signal_id="s1", strategy="ma", symbol="SPY", direction="LONG", strength=0.5, target="10",
        features=facts, trading_time=NOON,
    )  # fmt: skip
    story.tell("order_submitted", **order("a", signal_id="s1"))
    story.tell(
        "signal", signal_id="s2", strategy="ma", symbol="SPY", direction="FLAT", trading_time=NOON,
        name="breakout", replayed=True,
    )  # fmt: skip
    row, other = story.rows(SignalRow)
    assert (row.signal_id, row.strength, row.target, row.features) == ("s1", 0.5, D(10), facts)
    assert (row.name, row.replayed) == ("ma", False)
    assert (other.name, other.replayed, other.strength) == ("breakout", True, None)
    assert Repository(story.database).orders("r")["signal_id"].tolist() == ["s1"]


def test_exposure_follows_the_snapshots_and_other_risk_is_told(story: Story) -> None:
    story.tell("snapshot", **book(NOON, "1000"))
    story.tell(
        "risk_metrics", trading_time=NOON, scope="strategy ma", value_at_risk_95=12.5, tail_returns=250,
        details={"days": 250},
    )  # fmt: skip
    story.tell("risk_metrics", trading_time=NOON, scope="other", tail_unknown="SPY has 3 daily returns")
    rows = {row.scope: row for row in story.rows(RiskMetricRow)}
    assert (rows["book"].gross_exposure, rows["book"].net_exposure) == (D(9), D(-9))
    told = rows["strategy ma"]
    assert (told.value_at_risk_95, told.value_at_risk_99, told.tail_returns) == (12.5, None, 250)
    assert told.details == {"days": 250}
    assert (rows["other"].value_at_risk_95, rows["other"].tail_unknown) == (None, "SPY has 3 daily returns")


def test_a_day_opens_where_the_day_before_closed_even_if_that_changes_later(story: Story) -> None:
    day = 24 * HOUR
    story.tell("snapshot", **book(NOON, "1007", realized="5", unrealized="4", fees="2"))
    story.tell("snapshot", **book(NOON + 11 * HOUR, "1010"))  # 23:00 in New York: the same trading day
    story.tell("snapshot", **book(NOON + day, "1025"))
    story.project()
    story.tell("snapshot", **book(NOON + HOUR, "1020", realized="20"))
    rows = story.rows(DailyPnlRow)
    assert [(str(r.trading_day), r.opening_equity, r.closing_equity, r.pnl) for r in rows] == [
        ("2024-01-02", D(1000), D(1020), D(20)), ("2024-01-03", D(1020), D(1025), D(5)),
    ]  # fmt: skip


def test_sessions_end_as_they_ended(story: Story) -> None:
    story.tell("reconciling")  # of the session under way
    story.tell("session_closed", positions={}, cash="1", open_orders=[], trading_time=NOON)
    story.project()
    story.tell("reconciling")  # the same run, begun again
    story.tell("run_started", run_id="s", profile="paper")
    story.tell("run_finished", status="FINISHED")
    rows = [(row.run_id, row.seq, row.status, row.ended_at is None) for row in story.rows(TradingSessionRow)]
    assert rows == [("r", 1, "CLOSED", False), ("r", 4, "INTERRUPTED", False), ("s", 5, "FINISHED", False)]
    assert [(row.run_id, row.status) for row in story.rows(RunRow)] == [("r", "RUNNING"), ("s", "FINISHED")]


def test_the_next_run_s_projector_goes_on_where_the_last_one_s_stopped(story: Story) -> None:
    story.tell("order_submitted", **order("a"))
    story.project()
    story.tell("order_submitted", **order("b"))
    story.tell("run_started", run_id="s", profile="paper")
    story.tell("order_submitted", **order("c"))
    story.journal.commit()
    assert Projector(story.database, "j", "s").project(story.journal.events()) == 3
    assert Repository(story.database).orders("r")["client_order_id"].tolist() == ["a", "b"]
    assert Repository(story.database).orders("s")["client_order_id"].tolist() == ["c"]
    assert len(story.rows(AuditEventRow)) == 5
    Projector(story.database, "j", "s").rebuild(story.journal.events())
    assert Repository(story.database).orders("r")["client_order_id"].tolist() == ["a", "b"]


def test_a_run_without_its_name_is_refused(story: Story) -> None:
    story.tell("run_started", profile="paper")
    with pytest.raises(
        ProjectionError, match=r"event 2 \(run_started\) cannot be projected: KeyError 'run_id'"
    ):
        story.project()


def test_what_stands_for_pruned_events_is_no_event(database: Database) -> None:
    stub = JournalEvent(9, NOON, "checkpoint", {"last_order_id": 3}, "h", "h")
    assert Projector(database, "j", "r").project([stub]) == 1
    with database.session() as session:
        assert session.scalars(select(AuditEventRow)).all() == []
