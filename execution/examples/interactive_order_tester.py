"""Place, change, cancel and watch orders by hand, from a menu, in English or Spanish.

Without arguments it trades against a simulated gateway in this process, half a market day a second:
``python -m execution.examples.interactive_order_tester``
``python -m execution.examples.interactive_order_tester --lang es``

For a paper TWS or gateway: ``--host 127.0.0.1 --port 7497``. Live ports and accounts are refused. Answers may
be piped in, one a line; the program ends with its input.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from execution import journal
from execution.audit import AuditLogger
from execution.clocks import SystemClock
from execution.connection import IBKRConnectionManager
from execution.examples.broker import LIVE_PORTS, Broker, simulated_broker
from execution.examples.order_tester_menu import Events, OrderTester
from execution.examples.order_tester_screen import Screen
from execution.examples.order_tester_texts import CATALOGUES, language_of
from execution.executor import IBKROrderExecutor
from execution.models import ZERO, Instrument

LAST_DAY = dt.date(2018, 12, 31)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lang", choices=sorted(CATALOGUES), help="language; by default that of LANG")
    parser.add_argument("--host", help="host of a paper TWS or gateway; without it one is simulated here")
    parser.add_argument("--port", type=int, default=7497, help="7497 is TWS paper, 4002 gateway paper")
    parser.add_argument("--client-id", type=int, default=7, help="a client id that no other program uses")
    parser.add_argument("--symbol", default="SPY", help="symbol offered first, with --host")
    parser.add_argument(
        "--days-a-second", type=float, default=0.5, help="days of the simulated market in a second"
    )
    return parser.parse_args()


@asynccontextmanager
async def place_to_trade(given: argparse.Namespace) -> AsyncIterator[Broker]:
    """Yield the broker that the command line names."""
    if given.host:
        yield Broker(given.host, given.port, given.client_id, Instrument(given.symbol.upper()), ZERO, False)
        return
    async with simulated_broker(given.client_id, days_a_second=given.days_a_second, until=LAST_DAY) as at:
        yield at


async def test_orders(given: argparse.Namespace, screen: Screen) -> bool:
    """Run the menu over a journal of this session; return whether the journal verifies."""
    clock = SystemClock()
    events = Events(screen, clock)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        async with place_to_trade(given) as at:
            record = journal.SqliteJournal(path, clock.now_ns)
            audit = AuditLogger(record, clock)
            manager = IBKRConnectionManager(
                at.host,
                at.port,
                at.client_id,
                audit=audit,
                handlers=[events],
                reconnect_max_attempts=2,
                reconnect_backoff=1.0,
            )
            executor = IBKROrderExecutor(
                manager, instruments=[at.instrument], audit=audit, clock=clock, handlers=[events]
            )
            executor.restore()
            try:
                await OrderTester(screen, executor, events, at).run()
            finally:
                await manager.disconnect()
                record.close()
        report = journal.verify(path)
    if report.ok:
        screen.good("said.goodbye", events=report.events)
    else:
        screen.bad("said.broken")
    return report.ok


def main() -> int:
    """Run the tester; return the exit status."""
    given = arguments()
    screen = Screen(CATALOGUES[given.lang or language_of(os.environ.get("LC_ALL") or os.environ.get("LANG"))])
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )  # what the log says is on the screen as events, in the person's language
    logging.getLogger("ib_insync").setLevel(logging.CRITICAL)
    if given.port in LIVE_PORTS:
        print(screen.say("live_port", port=given.port), file=sys.stderr)
        return 2
    return 0 if asyncio.run(test_orders(given, screen)) else 1


if __name__ == "__main__":
    sys.exit(main())
