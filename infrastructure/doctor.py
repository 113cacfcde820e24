"""Check the machine: what the platform needs, whether it is there, and what to do if not."""

from __future__ import annotations

import importlib
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from infrastructure.settings import Settings

Status = Literal["ok", "warn", "fail"]
FOLDERS = (
    "execution",
    "risk",
    "data",
    "strategies",
    "backtesting",
    "monitoring",
    "research",
    "infrastructure",
)
"""The packages; ``tests`` is left out because a dependency always shadows it and nothing imports it."""

_PATIENCE_SECONDS = 5
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: ``fail`` stops trading, ``warn`` limits it; without either no remedy is given."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


def examine(settings: Settings, home: Path) -> list[Check]:
    """Run all checks; `home` is the folder that holds the packages."""
    checks: list[Check] = [python_version(sys.version_info[:3]), *shadowing(home), ib_insync()]
    checks += [writable("runs_dir", settings.runs_dir), writable("var_dir", settings.var_dir)]
    checks += [
        broker_port(settings.data.ib.host, settings.data.ib.port, settings.profile),
        database(settings),
        loopback(),
        clock(),
    ]
    return [
        *checks,
        program("chromium", CHROMIUM, "browser tests"),
        program("postgres", ("postgres",), "server tests"),
    ]


def python_version(version: tuple[int, ...]) -> Check:
    """Check for a Python that ib_insync can be imported on."""
    text = ".".join(map(str, version))
    if (3, 11) <= version[:2] < (3, 14):
        return Check("python", "ok", text)
    return Check("python", "fail", text, "use Python 3.11, 3.12 or 3.13, then make setup")


def shadowing(home: Path, folders: Iterable[str] = FOLDERS) -> list[Check]:
    """Check that each package comes from this checkout and from nowhere else as a regular package."""
    checks = []
    for name in folders:
        module = importlib.import_module(name)
        places = list(dict.fromkeys(map(str, getattr(module, "__path__", []))))
        if getattr(module, "__file__", None) is not None:
            remedy = f"uninstall what brought it, or remove its __init__.py: {name} must be a namespace"
            checks.append(Check(f"package {name}", "fail", f"a regular package at {module.__file__}", remedy))
        elif str(home / name) not in places:
            checks.append(
                Check(f"package {name}", "fail", f"comes from {', '.join(places)}", "run make setup again")
            )
        else:
            extra = f", extended by {len(places) - 1} other place(s)" if len(places) > 1 else ""
            checks.append(Check(f"package {name}", "ok", f"{home / name}{extra}"))
    return checks


def ib_insync(load: Callable[[str], object] = importlib.import_module) -> Check:
    """Check that the broker's client library can be imported."""
    try:
        module = load("ib_insync")
    except ImportError as error:
        return Check("ib_insync", "fail", str(error), "run make setup")
    return Check("ib_insync", "ok", str(getattr(module, "__version__", "present")))


def writable(name: str, folder: Path) -> Check:
    """Check that files can be made in a folder, or the folder be made; leave nothing behind."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return Check(
            name, "fail", f"{folder}: {error.strerror}", f"make {place} a writable folder, or set {name}"
        )
    free = shutil.disk_usage(place).free // 2**20
    if free < 512:  # noqa: PLR2004  # MiB, about a hundred demo runs
        return Check(name, "warn", f"{folder}: {free} MiB free", "free some disk space: trade run prune")
    return Check(name, "ok", f"{folder}: writable, {free} MiB free")


def broker_port(host: str, port: int, profile: str, timeout: float = 0.5) -> Check:
    """Check whether something listens where TWS is configured; the demo brings its own gateway."""
    if profile == "demo":
        return Check("broker port", "ok", "the demo starts its own gateway on a free port")
    try:
        with socket.create_connection((host, port), timeout=timeout):
            return Check("broker port", "ok", f"{host}:{port} answers")
    except OSError as error:
        remedy = "start TWS or IB Gateway with its API enabled, or set data.ib.host and data.ib.port"
        return Check("broker port", "warn", f"{host}:{port}: {error.strerror or error}", remedy)


def database(settings: Settings) -> Check:
    """Check that the configured database answers and has the tables of this program."""
    if settings.database.url is None:
        return Check("database", "ok", f"files in {settings.var_dir}: database.url names no server")
    from data.errors import DataError
    from data.inspection import status
    from infrastructure.databases import database_of

    try:
        with closing(database_of(settings, connect_timeout=_PATIENCE_SECONDS)) as named:
            found = status(named)
    except DataError as error:
        remedy = (
            "repair it or correct database.url; a trader starts without it, and catches up when it is back"
        )
        return Check("database", "warn", str(error), remedy)
    remedies = {"empty": "trade db upgrade", "behind": "trade db upgrade", "newer": "use the newer program"}
    if found.state in remedies:
        return Check("database", "warn", f"{named}: its tables are {found.state}", remedies[found.state])
    return Check("database", "ok", f"{named}: its tables are current")


def loopback() -> Check:
    """Check that a port can be opened on 127.0.0.1, as the simulated gateway does."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            return Check("loopback", "ok", f"port {server.getsockname()[1]} could be opened")
    except OSError as error:
        return Check("loopback", "fail", str(error), "allow listening on 127.0.0.1")


def clock(find: Callable[[str], str | None] = shutil.which) -> Check:
    """Check that the machine's clock is synchronised, where the system can tell."""
    command = find("timedatectl")
    if command is None:
        return Check("clock", "warn", "no timedatectl to ask", "make sure that NTP or chrony runs")
    try:
        answer = subprocess.run(
            [command, "show", "--property=NTPSynchronized", "--value"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return Check("clock", "warn", "timedatectl gives no answer", "make sure that NTP or chrony runs")
    if answer == "yes":
        return Check("clock", "ok", "synchronised")
    return Check("clock", "warn", "not synchronised", "turn on NTP: timedatectl set-ntp true")


def program(name: str, spellings: Iterable[str], needed_for: str) -> Check:
    """Check for a program that only tests need."""
    found = next(filter(None, map(shutil.which, spellings)), None)
    if found:
        return Check(name, "ok", found)
    return Check(
        name,
        "warn",
        f"not found; {needed_for} are skipped",
        "run infrastructure/deploy/install-test-servers.sh",
    )
