"""The first book of a journal: of every account that counts, and of one moment."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from backtesting.gateway.wire.codec import message, split
from execution.errors import BrokerUnavailableError
from execution.models import Instrument
from execution.reconciliation.patrol import Patrol

if TYPE_CHECKING:
    from ..conftest import MakeRig, ScriptedBroker


def position(account: str, symbol: str, quantity: str, cost: str) -> bytes:
    contract = ("0", symbol, "STK", "", "0", "", "", "", "USD", symbol, "NMS")
    return message(61, 3, account, *contract, quantity, cost)


class Answers:
    """Takes the place of a broker's answers to some requests."""

    def __init__(self, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch, **by_kind: Any) -> None:
        before = broker._answer
        found = {kind.strip("_"): answer for kind, answer in by_kind.items()}

        def answer(fields: list[str]) -> list[bytes]:
            own = found.get(fields[0])
            answered = before(fields)
            return answered if own is None else own(fields, answered)

        monkeypatch.setattr(broker, "_answer", answer)


def cash(*rows: tuple[str, str, str]) -> Any:
    return lambda fields, _: [
        *(message(63, 1, fields[2], account, "TotalCashValue", *figure) for account, *figure in rows),
        message(64, 1, fields[2]),
    ]


TWO_ACCOUNTS = {
    "_71": lambda *_: [message(15, 1, "DU1,DU2"), message(9, 1, 1)],
    "_61": lambda *_: [
        position("DU1", "AAA", "100", "10"),
        position("DU2", "AAA", "300", "20"),
        position("DU1", "BBB", "5", "1"),
        position("DU2", "BBB", "-5", "9"),
        message(62, 1),
    ],
}


@pytest.mark.parametrize(
    ("account", "held", "cost", "amount"),
    [(None, "400", "17.5", "1500.5"), ("DU1", "100", "10", "1000"), ("DU2", "300", "20", "500.5")],
)
async def test_it_is_of_every_account_or_of_the_one_that_is_named(
    rig: MakeRig,
    broker: ScriptedBroker,
    monkeypatch: pytest.MonkeyPatch,
    account: str | None,
    held: str,
    cost: str,
    amount: str,
) -> None:
    rows = cash(("DU1", "1000.00", "USD"), ("DU2", "500.50", "USD"))
    Answers(broker, monkeypatch, **TWO_ACCOUNTS, _62=rows)
    r = rig(account=account)
    await r.executor.ensure_ready()
    assert r.executor.opening is not None
    assert r.executor.opening["cash"] == amount
    assert r.executor.opening["positions"]["AAA"] == {"quantity": held, "average_cost": cost}
    assert (await r.executor.reconcile()).agrees


async def test_accounts_in_different_currencies_are_not_added_up(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    Answers(broker, monkeypatch, **TWO_ACCOUNTS, _62=cash(("DU1", "1", "USD"), ("DU2", "1", "EUR")))
    with pytest.raises(BrokerUnavailableError, match="name one account"):
        await rig(account=None).executor.ensure_ready()


async def test_what_somebody_executes_while_it_is_asked_for_is_in_it_once(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def summary(_: list[str], answered: list[bytes]) -> list[bytes]:
        asked.append("summary")
        if len(asked) > 1:
            return answered
        fields = split(broker.execution(77, "x.01", "10")[4:])
        fields[21], fields[22] = "9977", "7"  # another client's
        broker.positions, broker.cash = [("AAA", "10", "100.5")], "998995.00"
        return [message(*fields), *answered]

    Answers(broker, monkeypatch, _62=summary)
    r = rig()
    await r.executor.ensure_ready()
    assert r.executor.opening is not None
    assert r.executor.opening["positions"] == {"AAA": {"quantity": "10", "average_cost": "100.5"}}
    assert r.executor.opening["cash"] == "998995"
    assert (await r.executor.reconcile()).agrees


async def test_a_position_that_is_accepted_costs_its_price_and_not_its_contract_value(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    future = Instrument(
        "ESH8",
        "FUT",
        "CME",
        multiplier=Decimal(50),
        tick=Decimal("0.25"),
        expiry="20180316",
        underlying="ES",
    )
    r = rig(instruments=[future])
    await r.executor.ensure_ready()
    row = ("0", "ES", "FUT", "20180316", "0", "", "50", "CME", "USD", "ESH8", "ES")
    Answers(
        broker,
        monkeypatch,
        _61=lambda *_: [message(61, 3, "DU1", *row, "2", "140000"), message(62, 1)],
    )
    adjustment = await r.executor.adjust_position("ESH8", by="an operator", reason="bought by hand")
    assert (adjustment.quantity, adjustment.price) == (Decimal(2), Decimal(2800))


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("_61", lambda *_: [position("DU1", "AAA", "many", "10"), message(62, 1)]),
        ("_62", cash(("DU1", "lots", "USD"))),
    ],
)
async def test_an_answer_that_cannot_be_read_is_one_that_did_not_come(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch, kind: str, bad: Any
) -> None:
    r = rig()
    await r.executor.ensure_ready()
    Answers(broker, monkeypatch, **{kind: bad})
    with pytest.raises(BrokerUnavailableError, match="cannot be read"):
        await (r.executor.get_positions() if kind == "_61" else r.executor.get_account_summary())


async def test_a_patrol_outlives_an_answer_that_cannot_be_read(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.executor.ensure_ready()
    broker.positions = [("AAA", "many", "1")]
    await Patrol(r.executor, 60.0).look()
    broker.positions = []
    await Patrol(r.executor, 60.0).look()
    assert r.executor.is_ready
