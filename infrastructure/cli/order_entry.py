"""Commands that describe an order: place it, place it with its exits, ask what it would do to margins.

What an order is, its types and lives, is read and checked here by the rules the trader applies again, so a
mistake is told before anything is asked of the trader.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from infrastructure.cli import options as o

Symbol = Annotated[str, typer.Argument(help="Symbol, e.g. SPY.")]
SideOf = Annotated[str, typer.Argument(metavar="BUY|SELL")]
Quantity = Annotated[str, typer.Argument(help="Number of shares or contracts.")]
Kind = Annotated[
    str | None,
    typer.Option(
        "--type",
        metavar="TYPE",
        help="MARKET, LIMIT, STOP, STOP_LIMIT, TRAIL, TRAIL_LIMIT, MOC, LOC, MIT or LIT; by default the "
        "prices tell it.",
    ),
]
Limit = Annotated[str | None, typer.Option(metavar="PRICE", help="Limit price.")]
Stop = Annotated[str | None, typer.Option("--stop", metavar="PRICE", help="Stop or trigger price.")]
TrailAmount = Annotated[
    str | None, typer.Option(metavar="AMOUNT", help="Distance of a trailing stop from the market, in price.")
]
TrailPercent = Annotated[
    str | None, typer.Option(metavar="PERCENT", help="The same in percent of the price: 2.5 is 2.5 %.")
]
TrailStop = Annotated[
    str | None, typer.Option(metavar="PRICE", help="Stop that a trailing order begins with.")
]
LimitOffset = Annotated[
    str | None, typer.Option(metavar="AMOUNT", help="Distance of a TRAIL_LIMIT's limit from its stop.")
]
Life = Annotated[
    str | None,
    typer.Option(
        "--tif", metavar="DAY|GTC|GTD|IOC|FOK|OPG", help="How long it works [DAY, GTD with --good-till]."
    ),
]
GoodTill = Annotated[
    str | None, typer.Option(metavar="MOMENT", help="End of a GTD order, e.g. 2026-11-30T16:00:00-05:00.")
]
OcaGroup = Annotated[
    str | None, typer.Option(metavar="NAME", help="Group of orders of which one ends the others.")
]
OcaType = Annotated[
    str | None,
    typer.Option(metavar="1|2|3", help="What a fill does to its group: 1 cancels, 2 and 3 reduce [1]."),
]
OutsideRth = Annotated[bool, typer.Option("--outside-rth", help="May trade outside regular hours.")]
AllOrNone = Annotated[bool, typer.Option("--all-or-none", help="Trades in full or not at all.")]
Account = Annotated[
    str | None, typer.Option(metavar="ID", help="Account, where the login has several [the trader's].")
]
OwnId = Annotated[
    str | None, typer.Option("--id", help="Your own id: the same id with the same order is never sent twice.")
]

_OPTIONS = {
    "limit_price": "--limit",
    "stop_price": "--stop",
    "trail_amount": "--trail-amount",
    "trail_percent": "--trail-percent",
    "trail_stop": "--trail-stop",
    "limit_offset": "--limit-offset",
    "order_type": "--type",
    "time_in_force": "--tif",
    "good_till": "--good-till",
    "oca_type": "--oca-type",
}


def place(
    symbol: Symbol,
    side: SideOf,
    quantity: Quantity,
    *,
    kind: Kind = None,
    limit: Limit = None,
    stop_price: Stop = None,
    trail_amount: TrailAmount = None,
    trail_percent: TrailPercent = None,
    trail_stop: TrailStop = None,
    limit_offset: LimitOffset = None,
    time_in_force: Life = None,
    good_till: GoodTill = None,
    oca_group: OcaGroup = None,
    oca_type: OcaType = None,
    outside_rth: OutsideRth = False,
    all_or_none: AllOrNone = False,
    account: Account = None,
    client_order_id: OwnId = None,
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
    fields = _checked(
        symbol=symbol,
        side=side,
        quantity=quantity,
        order_type=kind,
        limit_price=limit,
        stop_price=stop_price,
        trail_amount=trail_amount,
        trail_percent=trail_percent,
        trail_stop=trail_stop,
        limit_offset=limit_offset,
        time_in_force=time_in_force,
        good_till=good_till,
        oca_group=oca_group,
        oca_type=oca_type,
        outside_rth=outside_rth or None,
        all_or_none=all_or_none or None,
        account=account,
        client_order_id=client_order_id,
    )
    o.show_answer("place", o.load(config, profile, sets), as_json=as_json, **fields)


def bracket(
    symbol: Symbol,
    side: SideOf,
    quantity: Quantity,
    *,
    take_profit: Annotated[str, typer.Option(metavar="PRICE", help="Limit price of the exit with a gain.")],
    stop_loss: Annotated[str, typer.Option(metavar="PRICE", help="Stop price of the exit with a loss.")],
    limit: Annotated[
        str | None, typer.Option(metavar="PRICE", help="Limit price of the entry [market order].")
    ] = None,
    stop_limit: Annotated[
        str | None, typer.Option(metavar="PRICE", help="Limit of the stop-loss once triggered [none].")
    ] = None,
    time_in_force: Life = None,
    exit_life: Annotated[
        str, typer.Option("--exit-tif", metavar="DAY|GTC", help="How long the exits work.")
    ] = "GTC",
    account: Account = None,
    client_order_id: OwnId = None,
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
    common = {"symbol": symbol, "quantity": quantity, "account": account}
    entry = _checked(
        **common, side=side, limit_price=limit, time_in_force=time_in_force, client_order_id=client_order_id
    )
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


def what_if(
    symbol: Symbol,
    side: SideOf,
    quantity: Quantity,
    *,
    kind: Kind = None,
    limit: Limit = None,
    stop_price: Stop = None,
    account: Account = None,
    config: o.Config = None,
    profile: o.Profile = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Ask the broker what an order would do to margins, equity and costs. Nothing is placed.

    trade orders what-if SPY BUY 100 --limit 420
    """
    fields = _checked(
        symbol=symbol,
        side=side,
        quantity=quantity,
        order_type=kind,
        limit_price=limit,
        stop_price=stop_price,
        account=account,
    )
    answer = o.ask(o.load(config, profile, sets), "what_if", **fields)
    if as_json:
        o.print_json(answer)
        return
    rows = [
        {"figure": name, **{when: answer.get(f"{name}_{when}") for when in ("before", "change", "after")}}
        for name in ("initial", "maintenance", "equity")
    ]
    o.print_table(f"what if {side.upper()} {quantity} {symbol}", rows)
    unknown = "not told"
    typer.echo(f"commission: {answer['commission'] or unknown}")
    if answer["warning"]:
        typer.echo(f"the broker warns: {answer['warning']}")


def _checked(named: dict[str, str] | None = None, /, **fields: Any) -> dict[str, Any]:
    """Return the fields that are given, after a look at them by the trader's own rules."""
    from infrastructure.order_fields import read_request

    given = {name: value for name, value in fields.items() if value is not None}
    given["side"] = given["side"].upper()
    read_request(given, names=_OPTIONS | (named or {}))
    return given
