"""Bad bars, damaged files, full disks and servers that go away, as a person at the command line meets them.

One line that names row, file or revision; nothing half written; and the same command finishes the work later.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import event, text

from data.calendars import ExchangeClock
from data.database import Database
from data.errors import BarDataError
from data.stores import ParquetBarStore, postgres
from data.stores.copy_binary import encoded
from data.testing import LocalServer
from execution.timeframes import Timeframe
from infrastructure.cli import app
from infrastructure.cli.boundary import guard

HEAD, ENDS = "date,open,high,low,close,volume\n", "end,open,high,low,close,volume\n"
ROW = "2024-07-01,10,11,9,10,1000\n"
LEARNT = pd.Timestamp("2024-07-02", tz="UTC")
MINUTES = pd.DataFrame(
    {
        "end": pd.to_datetime(["2024-07-01T13:31Z", "2024-07-01T13:32Z"]),
        **{name: [10.0, 10.0] for name in ("open", "high", "low", "close")},
        "volume": [1.0, 1.0],
    }
)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


Trade = Callable[..., Any]


@pytest.fixture
def trade(capsys: pytest.CaptureFixture[str]) -> Trade:
    """Run a command; with a status other than 0 return the one line it leaves with."""

    def run(*arguments: str, status: int = 0) -> Any:
        capsys.readouterr()
        found = guard(app, [*arguments, "--json"])
        told = capsys.readouterr()
        assert found == status, told
        assert "Traceback" not in told.out + told.err
        if status == 0:
            return json.loads(told.out)
        (line,) = (line for line in told.err.splitlines() if line.strip())
        assert line.startswith("error: ")
        assert "internal" not in line
        return line

    return run


def text_file(content: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "SPY.csv").write_text(content)

    return write


def parquet(frame: pd.DataFrame, keep: float = 1.0) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        file = folder / "SPY.parquet"
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), file)
        content = file.read_bytes()
        file.write_bytes(content[: int(len(content) * keep)])

    return write


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            parquet(MINUTES.assign(close=["10", "x"])),
            r"SPY\.parquet, row 2: close 'x' is not a plain decimal",
        ),
        (parquet(MINUTES.assign(end=["a", "b"])), r"SPY\.parquet, row 1: .*end"),
        (parquet(MINUTES.assign(open=[True, False])), r"SPY\.parquet.*open"),
        (
            parquet(MINUTES.assign(end=MINUTES.end.dt.tz_localize(None))),
            r"row 1: column 'end' has no timezone",
        ),
        (text_file(ENDS + "2024-07-01T13:31:00,10,11,9,10,1\n"), r"line 2: end .* has no timezone"),
        (
            text_file(ENDS + "2024-07-01T13:31:00Z,10,11,9,10,1\n2024-07-01T13:32:00,10,11,9,10,1\n"),
            r"line 3: end .* has no timezone",
        ),
        (
            text_file(HEAD + ROW + ROW.replace(",10,1000", ",10.5,1000")),
            "line 3: the same time as the row before",
        ),
        (text_file(HEAD + ROW.replace("11", "1e300")), "line 2: high '1e300' is not a plain decimal"),
        (text_file(HEAD + ROW.replace("11", "99999999999999")), "line 2: high"),
        (text_file(HEAD + ROW.replace(",9,", ",-9,")), "line 2: low"),
        (parquet(MINUTES, 0.5), r"SPY\.parquet: not a sound Parquet file"),
        (parquet(MINUTES, 0.0), r"SPY\.parquet: not a sound Parquet file"),
    ],
)
def test_unsound_bars_are_refused_by_their_place_and_a_corrected_folder_is_taken(
    trade: Trade, tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    folder = tmp_path / "prices"
    folder.mkdir()
    (folder / "AAA.csv").write_text(HEAD + ROW)
    make(folder)
    assert re.search(said, trade("data", "import", "prices", status=2))
    assert trade("data", "list")["holdings"] == []  # nothing of AAA either
    for file in folder.glob("SPY.*"):
        file.unlink()
    (folder / "SPY.csv").write_text(HEAD + ROW)
    assert trade("data", "import", "prices")["inserted"] == 2


def test_other_values_learnt_at_the_same_moment_are_refused_with_both(trade: Trade, tmp_path: Path) -> None:
    folder = tmp_path / "prices"
    folder.mkdir()
    at = ["--known-at", "2024-07-02T00:00Z"]
    (folder / "SPY.csv").write_text(HEAD + ROW)
    assert trade("data", "import", "prices", *at)["inserted"] == 1
    (folder / "SPY.csv").write_text(HEAD + ROW.replace(",10,1000", ",10.5,1000"))
    assert re.search(r"SPY 2024-07-01 .*known_at", trade("data", "import", "prices", *at, status=2))
    later = ["--known-at", "2024-07-03T00:00Z"]
    assert trade("data", "import", "prices", *later)["revised"] == 1


@pytest.mark.parametrize(
    "command", [["list"], ["head", "SPY"], ["export", "out"], ["check"], ["import", "prices"]]
)
def test_a_damaged_file_of_the_store_is_named_by_every_command_and_restored_by_the_same_import(
    trade: Trade, tmp_path: Path, command: list[str]
) -> None:
    folder = tmp_path / "prices"
    folder.mkdir()
    (folder / "SPY.csv").write_text(HEAD + ROW)
    trade("data", "import", "prices")
    file = tmp_path / "var" / "bars" / "1D" / "SPY" / "all.parquet"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    assert re.search(r"SPY/all\.parquet: not a sound Parquet file", trade("data", *command, status=2))
    file.unlink()
    assert trade("data", "import", "prices")["inserted"] == 1
    assert file.read_bytes()[:4] == b"PAR1"


def weeks_of_minutes(folder: Path, symbols: int) -> int:
    """Write some weeks of minutes of so many symbols as Parquet files; return how many bars."""
    clock = ExchangeClock("XNYS", *(pd.Timestamp(day).date() for day in ("2024-01-02", "2024-03-28")))
    step = 60 * 10**9
    ends = np.concatenate(
        [np.arange(a + step, b + step, step) for a, b in zip(clock.opens_ns, clock.closes_ns, strict=True)]
    )
    folder.mkdir()
    walk = np.random.default_rng(7).integers(-9, 10, (symbols, len(ends))).cumsum(axis=1)
    for n in range(symbols):
        close = 500 + (walk[n] - walk[n].min()) / 100
        columns = {"end": pa.array(ends, pa.timestamp("ns", "UTC"))}
        columns |= {name: pa.array(close) for name in ("open", "high", "low", "close")}
        pq.write_table(
            pa.table(columns | {"volume": pa.array(np.full(len(ends), 5.0))}), folder / f"S{n}.parquet"
        )
    return symbols * len(ends)


def test_a_disk_that_fills_up_in_a_load_keeps_nothing_and_the_same_command_finishes_it(
    cramped: tuple[str, Path], leave: Callable[[Path, int], None], trade: Trade, tmp_path: Path
) -> None:
    url, disk = cramped
    expected = weeks_of_minutes(tmp_path / "prices", 3)
    told = ["--set", f"database.url={url}"]
    trade("db", "upgrade", *told)
    leave(disk, 2_000_000)
    load = ("data", "import", "prices", "--timeframe", "1m", *told)
    line = trade(*load, status=3)
    assert re.search(r"full|No space left", line), line
    assert re.search("nothing was (half )?written", line), line
    assert "run the same command" in line
    leave(disk, 2**40)
    assert trade("data", "list", *told)["holdings"] == []
    assert trade(*load)["inserted"] == expected


@pytest.fixture
def server(postgres_server: LocalServer) -> LocalServer:
    if not getattr(postgres_server, "whole", True):
        pytest.skip("needs a server with sessions side by side")
    return postgres_server


def ended(url: str) -> None:
    """End every other session of a database."""
    with closing(Database(url)) as database, database.connection() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )


def test_a_server_that_goes_away_in_the_middle_of_a_copy_is_told_in_one_line(
    server: LocalServer, postgres_url: str, trade: Trade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del server
    expected = weeks_of_minutes(tmp_path / "prices", 1)
    told = ["--set", f"database.url={postgres_url}"]
    trade("db", "upgrade", *told)

    def cut(*arguments: object) -> Iterator[object]:
        for number, block in enumerate(encoded(*arguments)):  # type: ignore[arg-type]
            if number == 4:
                ended(postgres_url)
            yield block

    load = ("data", "import", "prices", "--timeframe", "1m", *told)
    with monkeypatch.context() as patch:
        patch.setattr(postgres, "encoded", cut)
        line = trade(*load, status=3)
    assert "nothing was written: when the server answers again, run the same command" in line
    assert trade("data", "list", *told)["holdings"] == []
    assert trade(*load)["inserted"] == expected


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_migration_that_is_interrupted_is_told_in_one_line_and_finished_by_the_same_command(
    request: pytest.FixtureRequest, kind: str, trade: Trade, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = str(request.getfixturevalue(f"{kind}_url"))
    if kind == "postgres":
        request.getfixturevalue("server")
    made: list[Database] = []
    plain = Database.__init__

    def tapped(self: Database, address: str, **options: Any) -> None:
        plain(self, address, **options)
        made.append(self)
        event.listen(self.engine, "before_cursor_execute", interrupted)

    def interrupted(_connection: Any, cursor: Any, statement: str, *_: object) -> None:
        if "CREATE TABLE order_events" in statement:
            if kind == "sqlite":
                cursor.connection.set_progress_handler(lambda: 1, 1)  # as a signal would stop it
            else:
                for one in made:
                    event.remove(one.engine, "before_cursor_execute", interrupted)
                ended(url)

    told = ["--set", f"database.url={url}"]
    with monkeypatch.context() as patch:
        patch.setattr(Database, "__init__", tapped)
        line = trade("db", "upgrade", *told, status=3)
    assert line.startswith("error: database ")
    with closing(Database(url)) as database:
        assert database.revision() is None
    assert trade("db", "upgrade", *told)["revision"] is not None


COMMANDS = (
    ("db", "upgrade"), ("db", "downgrade", "base", "--yes"), ("db", "refresh"), ("db", "show", "orders"),
    ("db", "backup", "kept"), ("db", "import-actions", "actions.csv"), ("db", "import-instruments", "i.csv"),
    ("db", "import-universe", "u.csv"), ("db", "import-fundamentals", "f.csv"), ("data", "import", "prices"),
    ("data", "list"), ("data", "head", "SPY"), ("data", "export", "out"), ("data", "check"),
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_tables_of_a_newer_program_are_named_by_their_revision_and_left_alone(
    command: tuple[str, ...], trade: Trade, tmp_path: Path, migrated_file: Path
) -> None:
    path = tmp_path / "new.db"
    shutil.copy(migrated_file, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
        before = list(connection.iterdump())
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "SPY.csv").write_text(HEAD + ROW)
    (tmp_path / "actions.csv").write_text("date,symbol,kind,value\n2020-08-31,AAPL,split,4\n")
    (tmp_path / "i.csv").write_text("symbol\nSPY\n")
    (tmp_path / "u.csv").write_text("universe,symbol,from_date\ncore,SPY,2020-01-02\n")
    (tmp_path / "f.csv").write_text(
        "symbol,item,period_end,known_at,value\nAAPL,eps,2024-03-31,2024-05-02T20:30Z,1.53\n"
    )
    status = 3 if command[1] == "upgrade" else 2
    line = trade(*command, "--set", f"database.url=sqlite:///{path}", status=status)
    assert "9999" in line
    with closing(sqlite3.connect(path)) as connection:
        assert list(connection.iterdump()) == before
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize("symbol", ["../SPY", "..", ".", "/etc/passwd", "con\x00", "SPY\n", "é", "a/../../b"])
def test_a_symbol_never_leads_out_of_the_store(symbol: str, tmp_path: Path) -> None:
    root = tmp_path / "var" / "bars"
    outside = tmp_path / "var" / "SPY" / "all.parquet"
    outside.parent.mkdir(parents=True)
    outside.write_bytes(b"not ours")
    (root / "1D" / "AAA").mkdir(parents=True)
    store = ParquetBarStore(root)
    for size in (Timeframe.DAY, Timeframe.MINUTE):
        assert store.read(symbol, size).to_arrow().num_rows == 0
        assert store.last(symbol, size).num_rows == 0
    frame = MINUTES.assign(symbol=symbol, start=MINUTES.end - pd.Timedelta(minutes=1))
    if symbol == "a/../../b":  # a name of a contract may hold dots and slashes: no folder of it does
        store.write(frame, known_at=LEARNT)
        assert store.read(symbol, Timeframe.MINUTE).to_arrow().num_rows == 2
        assert [path.name for path in (root / "1m").iterdir()] == ["%61%2F..%2F..%2F%62"]
        assert store.symbols() == ["a/../../b"]  # an empty folder holds none
    else:
        with pytest.raises(BarDataError, match="symbol"):
            store.write(frame, known_at=LEARNT)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["var"]
    assert sorted(path.name for path in (tmp_path / "var").iterdir()) == ["SPY", "bars"]
    assert outside.read_bytes() == b"not ours"
