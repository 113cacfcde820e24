"""Positions as TWS tells them."""

from __future__ import annotations

from decimal import Decimal

from execution.ibkr.contract_book import ContractBook
from execution.ibkr.holdings import read_positions


def row(quantity: str, account: str = "DU1", con_id: str = "7", symbol: str = "AAA") -> list[str]:
    contract = (con_id, symbol, "STK", "", "0", "", "", "NYSE", "USD", symbol, "NMS")
    return ["61", "3", account, *contract, quantity, "50"]


def held(*rows: list[str]) -> list[tuple[str, str, Decimal]]:
    return [(one.account, one.symbol, one.quantity) for one in read_positions(rows, ContractBook())]


def test_a_position_that_moves_while_it_is_listed_counts_once_as_it_stands_then() -> None:
    assert held(row("10"), row("5", symbol="BBB", con_id="8"), row("20")) == [
        ("DU1", "AAA", Decimal(20)),
        ("DU1", "BBB", Decimal(5)),
    ]
    assert held(row("10"), row("0")) == []


def test_positions_of_two_accounts_and_two_contracts_are_apart() -> None:
    assert len(held(row("10", con_id="0"), row("-2", con_id="0"))) == 2
    assert len(held(row("10"), row("10", account="DU2"), row("10", con_id="8", symbol="BBB"))) == 3
