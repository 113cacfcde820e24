"""Commands about orders and positions; the running trader answers them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from infrastructure.cli import options as o

if TYPE_CHECKING:
    from infrastructure.settings import Settings


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(help="Place, cancel and list orders of the running trader.", no_args_is_help=True)
    o.add(group, place, "place")
    o.add(group, modify, "modify")
    o.add(group, cancel, "cancel")
    o.add(group, cancel_all, "cancel-all")
    o.add(group, list_orders, "list")
    app.add_typer(group, name="orders")
    o.add(app, positions)


def place(
    symbol: Annotated[str, typer.Argument(help="Symbol, e.g. SPY.")],
    side: Annotated[str, typer.Argument(metavar="BUY|SELL")],
    quantity: Annotated[str, typer.Argument(help="Number of shares.")],
    limit: Annotated[str | None, typer.Option(metavar="PRICE", help="Limit price.")] = None,
    stop_price: Annotated[str | None, typer.Option("--stop", metavar="PRICE", help="Stop price.")] = None,
    time_in_force: Annotated[
        str, typer.Option("--tif", metavar="DAY|GTC", help="How long it works.")
    ] = "DAY",
    client_order_id: Annotated[
        str | None, typer.Option("--id", help="Your own id: the same id is never sent twice.")
    ] = None,
    config: o.Config = None,
    profile: o.Profile = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Place one order through the trader's risk rules and journal.

    Without a price it is a market order.
      trade orders place SPY BUY 10 --limit 420.50 --id my-first
    """
    from execution.errors import InvalidOrderError
    from execution.models import OrderType, Side, TimeInForce
    from execution.numbers import parse_decimal

    for name, value, kinds in (("side", side, Side), ("--tif", time_in_force, TimeInForce)):
        if value.upper() not in list(kinds):
            raise InvalidOrderError(f"{name} {value!r}: use one of {', '.join(kinds)}")
    for name, text in (("quantity", quantity), ("--limit", limit), ("--stop", stop_price)):
        if text is not None:
            parse_decimal(text, name=name)
    kind = {
        (False, False): OrderType.MARKET,
        (True, False): OrderType.LIMIT,
        (False, True): OrderType.STOP,
        (True, True): OrderType.STOP_LIMIT,
    }[limit is not None, stop_price is not None]
    o.show_answer(
        "place",
        o.load(config, profile, sets),
        as_json=as_json,
        symbol=symbol,
        side=side.upper(),
        quantity=quantity,
        order_type=kind.value,
        limit_price=limit,
        stop_price=stop_price,
        time_in_force=time_in_force.upper(),
        client_order_id=client_order_id,
    )


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
    config: o.Config = None, profile: o.Profile = None, sets: o.Set = None, as_json: o.Json = False
) -> None:
    """List the trader's orders, open and in doubt ones first.

    trade orders list --json
    """
    _table("orders", o.load(config, profile, sets), as_json=as_json)


def positions(
    config: o.Config = None, profile: o.Profile = None, sets: o.Set = None, as_json: o.Json = False
) -> None:
    """Show the trader's positions from its own ledger.

    trade positions --profile paper
    """
    _table("positions", o.load(config, profile, sets), as_json=as_json)


def _table(command: str, settings: Settings, *, as_json: bool) -> None:
    answer = o.ask(settings, command)
    if as_json:
        o.print_json(answer)
    else:
        o.print_table(command, list(answer.get(command, [])))
