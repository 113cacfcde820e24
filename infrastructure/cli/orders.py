"""Commands about orders and positions; the running trader answers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from infrastructure.cli import options as o
from infrastructure.cli import order_entry, settling

if TYPE_CHECKING:
    from infrastructure.settings import Settings


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(help="Place, cancel and list orders of the running trader.", no_args_is_help=True)
    o.add(group, order_entry.place, "place")
    o.add(group, order_entry.bracket, "bracket")
    o.add(group, order_entry.what_if, "what-if")
    o.add(group, modify, "modify")
    o.add(group, cancel, "cancel")
    o.add(group, cancel_all, "cancel-all")
    o.add(group, list_orders, "list")
    settling.add_to(group)
    app.add_typer(group, name="orders")
    o.add(app, positions)


def cancel(
    order: Annotated[str, typer.Argument(help="Client order id or broker's order id.")],
    config: o.Config = None,
    profile: o.Profile = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Ask the broker to cancel an order. It is cancelled only when the broker says so.

    trade orders cancel my-first
    """
    o.show_answer("cancel", o.load(config, profile, sets), as_json=as_json, order=order)


def modify(
    order: Annotated[str, typer.Argument(help="Client order id or broker's order id.")],
    quantity: Annotated[str | None, typer.Option(metavar="SIZE", help="New total size.")] = None,
    limit: Annotated[str | None, typer.Option(metavar="PRICE", help="New limit price.")] = None,
    stop_price: Annotated[str | None, typer.Option("--stop", metavar="PRICE", help="New stop price.")] = None,
    market: Annotated[bool, typer.Option("--market", help="Make it a market order.")] = False,
    config: o.Config = None,
    profile: o.Profile = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Change an order at work; it stays as it was unless the broker takes the change.

    trade orders modify my-first --limit 421
    """
    from execution.numbers import parse_decimal

    for name, text in (("--quantity", quantity), ("--limit", limit), ("--stop", stop_price)):
        if text is not None:
            parse_decimal(text, name=name)
    o.show_answer(
        "modify",
        o.load(config, profile, sets),
        as_json=as_json,
        order=order,
        quantity=quantity,
        limit_price=limit,
        stop_price=stop_price,
        order_type="MARKET" if market else None,
    )


def cancel_all(
    config: o.Config = None, profile: o.Profile = None, sets: o.Set = None, as_json: o.Json = False
) -> None:
    """Cancel every open order of the trader and wait for the ends; says which are not confirmed.

    trade orders cancel-all
    """
    o.show_answer("cancel_all", o.load(config, profile, sets), as_json=as_json)


def list_orders(
    everyone: Annotated[
        bool, typer.Option("--all", help="Also the open orders of others in the account.")
    ] = False,
    config: o.Config = None,
    profile: o.Profile = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """List the trader's orders, open and in doubt ones first.

    With --all also those of others that count in exposure: placed by hand, or by another client.
      trade orders list --all --json
    """
    settings = o.load(config, profile, sets)
    answer = o.ask(settings, "orders")
    if everyone:
        answer |= o.ask(settings, "externals")
    if as_json:
        o.print_json(answer)
        return
    o.print_table("orders", list(answer["orders"]))
    if everyone:
        o.print_table("orders of others", list(answer["externals"]))


def positions(
    config: o.Config = None, profile: o.Profile = None, sets: o.Set = None, as_json: o.Json = False
) -> None:
    """Show the broker's positions, beside each what the journal amounts to in the symbol.

    trade positions --profile paper
    """
    _table("positions", o.load(config, profile, sets), as_json=as_json)


def _table(command: str, settings: Settings, *, as_json: bool) -> None:
    answer = o.ask(settings, command)
    if as_json:
        o.print_json(answer)
    else:
        o.print_table(command, list(answer.get(command, [])))
