"""Commands that settle what is in doubt: orders, positions, corporate actions, the kill switch."""

from __future__ import annotations

from typing import Annotated

import typer

from infrastructure.cli import options as o

By = Annotated[str, typer.Option("--by", metavar="NAME", help="Who settles it; kept in the journal.")]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the journal.")]
Price = Annotated[str | None, typer.Option("--price", metavar="PRICE", help="Price of one unit.")]
Symbol = Annotated[str, typer.Argument(help="Symbol, e.g. SPY.")]


def register(app: typer.Typer) -> None:
    """Add the group ``risk``."""
    group = typer.Typer(help="Look after the daily-loss kill switch.", no_args_is_help=True)
    o.add(group, reset, "reset")
    o.add(group, risk_status, "status")
    app.add_typer(group, name="risk")


def add_to(orders: typer.Typer) -> None:
    """Add the commands about doubts to the group ``orders``."""
    o.add(orders, doubt, "doubt")
    o.add(orders, resolve, "resolve")
    o.add(orders, accept_position, "accept-position")
    o.add(orders, adjust, "adjust")
    o.add(orders, reconcile, "reconcile")


def doubt(
    config: o.Config = None, profile: o.Profile = None, sets: o.Set = None, as_json: o.Json = False
) -> None:
    """List what is in doubt, with its evidence and a safe next step for each.

    While something is in doubt nothing is sent; the trader waits and answers.
      trade orders doubt
      trade orders doubt --json
    """
    answer = o.ask(o.load(config, profile, sets), "doubts")
    if as_json:
        o.print_json(answer)
        return
    if not answer["doubts"]:
        waits = answer["waits_for"]
        typer.echo(f"nothing is in doubt{f'; the trader waits: {waits}' if waits else ''}")
    for found in answer["doubts"]:
        o.print_pairs(f"{found.pop('kind')} {found.pop('name')}", found)


def resolve(
    order: Annotated[str, typer.Argument(help="Client order id or broker's order id.")],
    outcome: Annotated[
        str, typer.Option("--as", metavar="not-sent|rejected|cancelled|filled", help="What became of it.")
    ],
    by: By,
    reason: Reason,
    quantity: Annotated[
        str | None, typer.Option("--quantity", metavar="SIZE", help="Size executed beyond what is on record.")
    ] = None,
    price: Price = None,
    config: o.Config = None,
    profile: o.Profile = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Say what became of an order that the broker tells nothing of.

    The broker is asked once more before; what it knows cannot be settled by hand. Look in TWS first.
      trade orders resolve my-first --as not-sent --by "A. Smith" --reason "in no list of TWS"
      trade orders resolve my-first --as filled --price 420.10 --by "A. Smith" --reason "statement of 5 May"
    """
    from execution.errors import InvalidOrderError
    from execution.reconciliation.doubts import Resolution

    if outcome not in list(Resolution):
        raise InvalidOrderError(f"--as {outcome!r}: use one of {', '.join(Resolution)}")
    o.show_answer(
        "resolve",
        o.load(config, profile, sets),
        as_json=as_json,
        order=order,
        outcome=outcome,
        by=by,
        reason=reason,
        quantity=quantity,
        price=price,
    )


def accept_position(
    symbol: Symbol,
    by: By,
    reason: Reason,
    price: Price = None,
    cash: Annotated[
        str | None, typer.Option("--cash", metavar="AMOUNT", help="Cash that moved with it [none].")
    ] = None,
    config: o.Config = None,
    profile: o.Profile = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Take the broker's position in a symbol into the book, as an adjustment on record.

    Only for a difference that no order in doubt and no corporate action explains.
      trade orders accept-position SPY --by "A. Smith" --reason "transferred in on 4 May"
    """
    o.show_answer(
        "accept_position",
        o.load(config, profile, sets),
        as_json=as_json,
        symbol=symbol,
        by=by,
        reason=reason,
        price=price,
        cash=cash,
    )


def adjust(
    symbol: Symbol,
    by: By,
    reason: Reason,
    split: Annotated[
        str | None, typer.Option("--split", metavar="RATIO", help="New shares for each old one: 2 or 1/15.")
    ] = None,
    dividend: Annotated[
        str | None, typer.Option("--dividend", metavar="AMOUNT", help="Cash for each share held.")
    ] = None,
    new_symbol: Annotated[
        str | None, typer.Option("--symbol-change", metavar="NEW", help="The symbol from now on.")
    ] = None,
    price: Price = None,
    ex_date: Annotated[
        str | None,
        typer.Option("--ex-date", metavar="YYYY-MM-DD", help="First day without it; a dividend needs it."),
    ] = None,
    config: o.Config = None,
    profile: o.Profile = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Book a corporate action on a held position; it must lead to what the broker holds.

    A dividend is paid on what was held when its ex date began at the exchange, whatever was traded since.
    A fraction that the broker paid out is booked at --price.
      trade orders adjust SPY --split 2 --by "A. Smith" --reason "2 for 1, 5 May"
      trade orders adjust SPY --dividend 1.55 --ex-date 2026-05-05 --by "A. Smith" --reason "statement"
    """
    o.show_answer(
        "adjust",
        o.load(config, profile, sets),
        as_json=as_json,
        symbol=symbol,
        by=by,
        reason=reason,
        split=split,
        dividend=dividend,
        new_symbol=new_symbol,
        price=price,
        ex_date=ex_date,
    )


def reconcile(
    config: o.Config = None, profile: o.Profile = None, sets: o.Set = None, as_json: o.Json = False
) -> None:
    """Compare orders and positions with the broker's now, and say what differs.

    Leaves with 1 if something does. Orders go on meanwhile.
      trade orders reconcile
    """
    answer = o.ask(o.load(config, profile, sets), "reconcile")
    if as_json:
        o.print_json(answer)
    else:
        o.print_pairs("broker and journal agree" if answer["agrees"] else "they do not agree", answer)
    if not answer["agrees"]:
        raise typer.Exit(1)


def reset(
    by: By,
    reason: Reason,
    config: o.Config = None,
    profile: o.Profile = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Allow new risk again after the daily-loss limit was reached.

    A trader that runs is told; of one that ended the journal is written. Further loss counts from here.
      trade risk reset --by "A. Smith" --reason "loss understood, limit confirmed" --profile paper
    """
    from infrastructure.errors import TraderUnreachableError
    from infrastructure.settling import reset_at_rest

    settings = o.load(config, profile, sets)
    try:
        answer = o.ask(settings, "risk_reset", by=by, reason=reason)
    except TraderUnreachableError:
        answer = {"reset": True, "journal": str(reset_at_rest(settings, by, reason))}
    if as_json:
        o.print_json(answer)
    else:
        o.print_pairs("risk reset", answer)


def risk_status(
    config: o.Config = None, profile: o.Profile = None, sets: o.Set = None, as_json: o.Json = False
) -> None:
    """Show whether the running trader's kill switch is tripped, and the loss of the day so far.

    trade risk status --profile paper
    """
    o.show_answer("risk_status", o.load(config, profile, sets), as_json=as_json)
