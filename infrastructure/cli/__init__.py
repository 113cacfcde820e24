"""The command line ``trade``: its commands are in `infrastructure.cli.commands`.

`main` is the one boundary that turns errors into one line and a status.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infrastructure.cli.commands import app as app


def __getattr__(name: str) -> Any:
    """Return the application, `app`; it is built when it is first asked for."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from infrastructure.cli.commands import app

    return app


def main() -> None:
    """Run the command line and leave the process with its exit status."""
    # Until the boundary stands, an interruption ends the process without a word: half an import has no story.
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from infrastructure.cli.boundary import guard
    from infrastructure.cli.commands import app
    from infrastructure.cli.streams import open_missing, settle

    signal.signal(signal.SIGINT, handler)
    open_missing()
    sys.exit(settle(guard(app, sys.argv[1:])))
