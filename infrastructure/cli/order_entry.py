"""Commands that describe an order: place it, place it with its exits, ask what it would do to margins.

What an order is, its types and lives, is read and checked here by the rules the trader applies again, so a
mistake is told before anything is asked of the trader.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from infrastructure.cli import options as o

_Text = str | None
FIELDS: dict[str, Any] = {
    "symbol": Annotated[str, typer.Argument(help="Symbol, e.g. SPY.")],
    "side": Annotated[str, typer.Argument(metavar="BUY|SELL")],
    "quantity": Annotated[str, typer.Argument(help="Number of shares or contracts.")],
    "order_type": Annotated[
        _Text,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="MARKET, LIMIT, STOP, STOP_LIMIT, TRAIL, TRAIL_LIMIT, MOC, LOC, MIT or LIT; by default the "
            "prices tell it.",
        ),
    ],
    "limit_price": Annotated[_Text, typer.Option("--limit", metavar="PRICE", help="Limit price.")],
    "stop_price": Annotated[_Text, typer.Option("--stop", metavar="PRICE", help="Stop or trigger price.")],
    "trail_amount": Annotated[
        _Text,
        typer.Option(
            "--trail-amount", metavar="AMOUNT", help="Distance of a trailing stop from the market, in price."
        ),
    ],
    "trail_percent": Annotated[
        _Text,
        typer.Option(
            "--trail-percent", metavar="PERCENT", help="The same in percent of the price: 2.5 is 2.5 %."
        ),
    ],
    "trail_stop": Annotated[
        _Text,
        typer.Option("--trail-stop", metavar="PRICE", help="Stop that a trailing order begins with."),
    ],
    "limit_offset": Annotated[
        _Text,
        typer.Option(
            "--limit-offset", metavar="AMOUNT", help="Distance of a TRAIL_LIMIT's limit from its stop."
        ),
    ],
    "time_in_force": Annotated[
        _Text,
        typer.Option(
            "--tif", metavar="DAY|GTC|GTD|IOC|FOK|OPG", help="How long it works [DAY, GTD with --good-till]."
        ),
    ],
    "good_till": Annotated[
        _Text,
        typer.Option(
            "--good-till", metavar="MOMENT", help="End of a GTD order, e.g. 2026-11-30T16:00:00-05:00."
        ),
    ],
    "oca_group": Annotated[
        _Text,
        typer.Option("--oca-group", metavar="NAME", help="Group of orders of which one ends the others."),
    ],
    "oca_type": Annotated[
        _Text,
        typer.Option(
            "--oca-type",
            metavar="1|2|3",
            help="What a fill does to its group: 1 cancels, 2 and 3 reduce [1].",
        ),
    ],
    "outside_rth": Annotated[bool, typer.Option("--outside-rth", help="May trade outside regular hours.")],
    "all_or_none": Annotated[bool, typer.Option("--all-or-none", help="Trades in full or not at all.")],
    "account": Annotated[
        _Text,
        typer.Option("--account", metavar="ID", help="Account, where the login has several [the trader's]."),
    ],
    "client_order_id": Annotated[
        _Text,
        typer.Option("--id", help="Your own id: the same id with the same order is never sent twice."),
    ],
}
"""The fields of an order by their names, each as the argument or option that gives it."""

_SWITCHES = ("outside_rth", "all_or_none")
_REQUIRED = ("symbol", "side", "quantity")
_OPTIONS = {
    name: str(how.__metadata__[0].default)  # typer keeps the first name there until it builds the command
    for name, how in FIELDS.items()
    if name not in (*_REQUIRED, *_SWITCHES)
}


def _takes(names: Iterable[str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of these fields; it gets their values, by name, as its first argument."""
    taken = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=FIELDS[name],
            default=inspect.Parameter.empty if name in _REQUIRED else False if name in _SWITCHES else None,
        )
        for name in names
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(command, eval_str=True).parameters.values()

        @functools.wraps(command)
        def run(**arguments: Any) -> None:
            command({one.name: arguments.pop(one.name) for one in taken}, **arguments)

        parameters = [*taken, *own]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate


@_takes(FIELDS)
def place(
    fields: dict[str, Any],
    *,
    config: o.Config = None,
    profile: o.Profile = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Place one order through the trader's risk rules and journal.

    Without a price it is a market order; --type names the types that prices alone do not tell.
      trade orders place SPY BUY 10 --limit 420.50 --id my-first
      trade orders place SPY SELL 10 --stop 400 --tif GTC
      trade orders place SPY SELL 10 --trail-percent 2.5
      trade orders place SPY SELL 10 --type MOC
      trade orders place SPY BUY 10 --limit 400 --good-till 2026-11-30T16:00:00-05:00
    """
    o.show_answer("place", o.load(config, profile, sets), as_json=as_json, **_checked(**fields))


@_takes((*_REQUIRED, "time_in_force", "account", "client_order_id"))
def bracket(
    fields: dict[str, Any],
    *,
    take_profit: Annotated[str, typer.Option(metavar="PRICE", help="Limit price of the exit with a gain.")],
    stop_loss: Annotated[str, typer.Option(metavar="PRICE", help="Stop price of the exit with a loss.")],
    limit: Annotated[
        str | None, typer.Option(metavar="PRICE", help="Limit price of the entry [market order].")
    ] = None,
    stop_limit: Annotated[
        str | None, typer.Option(metavar="PRICE", help="Limit of the stop-loss once triggered [none].")
    ] = None,
    exit_life: Annotated[
        str, typer.Option("--exit-tif", metavar="DAY|GTC", help="How long the exits work.")
    ] = "GTC",
    config: o.Config = None,
    profile: o.Profile = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Place an entry with its two exits, all three or none; judged by the risk rules as a whole.

    The exits go to work when the entry fills, and the first that fills ends the other. Their ids are the
    entry's with -tp and -sl behind it.
      trade orders bracket SPY BUY 10 --limit 420 --take-profit 430 --stop-loss 410
    """
    common = {name: fields[name] for name in ("symbol", "quantity", "account")}
    entry = _checked(**fields, limit_price=limit)
    out = {**common, "side": "SELL" if entry["side"] == "BUY" else "BUY", "time_in_force": exit_life}
    profit = _checked(
        {"limit_price": "--take-profit", "time_in_force": "--exit-tif"}, **out, limit_price=take_profit
    )
    loss = _checked(
        {"stop_price": "--stop-loss", "limit_price": "--stop-limit"},
        **out,
        stop_price=stop_loss,
        limit_price=stop_limit,
    )
    settings = o.load(config, profile, sets)
    answer = o.ask(settings, "bracket", entry=entry, take_profit=profit, stop_loss=loss)
    if as_json:
        o.print_json(answer)
    else:
        o.print_table("bracket", list(answer["orders"]))


@_takes((*_REQUIRED, "order_type", "limit_price", "stop_price", "account"))
def what_if(
    fields: dict[str, Any],
    *,
    config: o.Config = None,
    profile: o.Profile = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Ask the broker what an order would do to margins, equity and costs. Nothing is placed.

    trade orders what-if SPY BUY 100 --limit 420
    """
    answer = o.ask(o.load(config, profile, sets), "what_if", **_checked(**fields))
    if as_json:
        o.print_json(answer)
        return
    rows = [
        {"figure": name, **{when: answer.get(f"{name}_{when}") for when in ("before", "change", "after")}}
        for name in ("initial", "maintenance", "equity")
    ]
    o.print_table(f"what if {fields['side'].upper()} {fields['quantity']} {fields['symbol']}", rows)
    unknown = "not told"
    typer.echo(f"commission: {answer['commission'] or unknown}")
    if answer["warning"]:
        typer.echo(f"the broker warns: {answer['warning']}")


def _checked(named: dict[str, str] | None = None, /, **fields: Any) -> dict[str, Any]:
    """Return the fields that are given, after a look at them by the trader's own rules."""
    from infrastructure.order_fields import read_request

    given = {name: value for name, value in fields.items() if value not in (None, False)}
    given["side"] = given["side"].upper()
    read_request(given, names=_OPTIONS | (named or {}))
    return given
