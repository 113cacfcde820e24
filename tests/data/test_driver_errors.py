"""A connection whose server is gone is dropped in silence, told of in one line and replaced by a new one."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from contextlib import closing

import psycopg
import pytest
from sqlalchemy import Connection, text

from data.database import Database
from data.errors import DatabaseUnavailableError
from data.projection.bulk import driver_of


def ended_by_the_server(connection: Connection) -> None:
    """End the session from outside and wait until its process is gone."""
    pid = connection.scalar(text("SELECT pg_backend_pid()"))
    url = connection.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])


def broken_before_anything_was_read(connection: Connection) -> None:
    """End the session and leave a socket in its place that reports an error and has nothing to read.

    That is what the driver meets where a reset arrives between two of its looks: poll() reports an error,
    libpq has not read the end of the stream yet, and the connection seems to be open.
    """
    driver = connection.connection.driver_connection
    assert driver is not None
    ended_by_the_server(connection)
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, driver.fileno())
    os.close(writing)


@pytest.mark.parametrize("end", [ended_by_the_server, broken_before_anything_was_read])
@pytest.mark.parametrize("how", ["session", "connection", "bare", "pipeline"])
def test_a_server_that_ends_a_session_in_the_middle_leaves_one_line_and_no_traceback(
    postgres_url: str, end: Callable[[Connection], None], how: str, caplog: pytest.LogCaptureFixture
) -> None:
    def write(database: Database) -> None:
        if how == "session":
            with database.session() as session:
                session.execute(text("CREATE TABLE half (n INTEGER)"))
                end(session.connection())
                session.execute(text("INSERT INTO half VALUES (1)"))
        elif how == "connection":
            with database.connection() as connection:
                connection.execute(text("CREATE TABLE half (n INTEGER)"))
                end(connection)
                connection.execute(text("INSERT INTO half VALUES (1)"))
        elif how == "pipeline":
            with database.connection() as connection:
                connection.execute(text("CREATE TABLE half (n INTEGER)"))
                end(connection)
                with driver_of(connection) as driver, driver.pipeline():
                    driver.execute("INSERT INTO half VALUES (1)").fetchall()
        else:
            with database.explained(), database.engine.connect() as connection:
                connection.execute(text("CREATE TABLE half (n INTEGER)"))
                end(connection)
                connection.execute(text("INSERT INTO half VALUES (1)"))

    with closing(Database(postgres_url)) as database:
        with pytest.raises(DatabaseUnavailableError) as caught, caplog.at_level(logging.WARNING):
            write(database)
        assert "\n" not in str(caught.value)
        noted = [record.name.split(".")[0] for record in caplog.records]
        assert {"sqlalchemy", "psycopg"}.isdisjoint(noted)
        with database.connection() as again:  # the same object works on, and nothing was half written
            assert again.scalar(text("SELECT to_regclass('half')")) is None


def test_an_error_of_the_statement_alone_keeps_the_connection(postgres_url: str) -> None:
    with closing(Database(postgres_url)) as database, database.engine.connect() as connection:
        connection.execute(text("SET statement_timeout = 20"))
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        connection.commit()
        with pytest.raises(DatabaseUnavailableError, match="statement_timeout"), database.explained():
            connection.execute(text("SELECT pg_sleep(5)"))
        connection.rollback()
        assert not connection.invalidated
        assert connection.scalar(text("SELECT pg_backend_pid()")) == pid


def test_a_server_that_takes_no_connection_is_given_up_in_the_time_stated() -> None:
    """A host that drops what it is sent would hold its caller for minutes."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"postgresql+psycopg://u@127.0.0.1:{mute.getsockname()[1]}/x"
        with closing(Database(url, connect_timeout=2)) as database, pytest.raises(DatabaseUnavailableError):
            database.revision()
