"""The command ``trade`` with its groups, one module a group.

Only typer is imported here: everything heavy is imported inside bodies, so that ``trade --help`` is quick.
"""

from __future__ import annotations

from typing import Annotated

import typer

from infrastructure.cli import audit, data, db, gateway, machine, orders, runs, settling, simulate, trading
from infrastructure.cli.options import with_examples

HELP = """Research, backtest, trade and watch systematic strategies on Interactive Brokers.

Begin with:
  trade live --profile demo      a whole trading day against a simulated gateway
  trade plan                     what would run, with the source of each setting
  trade doctor                   is this machine fit to trade

Exit status:
  0 done, 1 a verdict failed, 2 wrong input or configuration,
  3 no connection, 4 refused by risk or a halt, 70 an internal error
"""

app = typer.Typer(
    name="trade",
    help=with_examples(HELP),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback()
def common(
    debug: Annotated[bool, typer.Option("--debug", help="Show stack traces of errors.")] = False,
) -> None:
    """Take options that stand before the command; `main` reads ``--debug`` itself."""


for group in (trading, gateway, simulate, machine, orders, audit, runs, data, db, settling):
    group.register(app)
