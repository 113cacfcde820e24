"""What the server behind a connection is and can do: found out by asking it, never by its address."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

COMMUNITY = "timescale"


@dataclass(frozen=True, slots=True)
class Edition:
    """A database server.

    Attributes
    ----------
    dialect
        ``sqlite`` or ``postgresql``.
    version
        Version of the server.
    timescale
        Version of TimescaleDB in this database, or None.
    license
        ``apache`` or ``timescale`` (the community edition), or None without TimescaleDB.
    installable
        Whether the server has TimescaleDB and only this database lacks its extension.
    """

    dialect: str
    version: str
    timescale: str | None = None
    license: str | None = None
    installable: bool = False

    def __str__(self) -> str:
        if self.dialect == "sqlite":
            return f"SQLite {self.version}"
        if self.timescale is None:
            return f"PostgreSQL {self.version}"
        edition = "community" if self.is_community else "Apache"
        return f"TimescaleDB {self.timescale} ({edition} edition) on PostgreSQL {self.version}"

    @property
    def has_hypertables(self) -> bool:
        """Whether time series can be hypertables."""
        return self.timescale is not None

    @property
    def is_community(self) -> bool:
        """Whether continuous aggregates, compression and policies work: the licence decides.

        The functions exist in the Apache edition too and fail only when they are called.
        """
        return self.timescale is not None and self.license == COMMUNITY

    def why_not_timescale(self) -> str:
        """Say why there are no hypertables, and what would change it."""
        if self.dialect == "sqlite":
            return "SQLite has no TimescaleDB; give a server by database.url"
        if self.installable:
            return "the extension is not in this database: CREATE EXTENSION timescaledb as a superuser"
        return "the server has no TimescaleDB installed"

    def why_not_community(self) -> str:
        """Say why there are no continuous aggregates, compression and policies."""
        if self.timescale is None:
            return self.why_not_timescale()
        return f"timescaledb.license is {self.license}; the community edition has it"


def ask(connection: Connection) -> Edition:
    """Ask the server what it is."""
    dialect = connection.dialect.name
    if dialect == "sqlite":
        return Edition(dialect, str(connection.scalar(text("SELECT sqlite_version()"))))
    version = str(connection.scalar(text("SHOW server_version"))).split(" ", maxsplit=1)[0]
    extension = connection.scalar(text("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"))
    if extension is None:
        listed = text("SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'")
        return Edition(dialect, version, installable=bool(connection.scalar(listed)))
    chosen = connection.scalar(text("SELECT current_setting('timescaledb.license', true)"))
    return Edition(dialect, version, str(extension), None if chosen is None else str(chosen))
