"""`trade db` on files and on a real server."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import text

from data.database import Database
from data.inspection import status
from data.projection.following import JournalFollower
from execution.journal import SqliteJournal


def test_a_database_is_made_checked_backed_up_and_restored_by_commands(program: Any) -> None:
    missing = program("db", "status", "house.db")
    assert missing.returncode == 3
    assert "trade db upgrade" in missing.stderr
    assert not (program.folder / "house.db").exists()
    made = program("db", "upgrade", "house.db", "--json")
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert (told["from"], told["state"], told["server"][:6]) == (None, "current", "SQLite")
    assert "SQLite has no TimescaleDB" in {f["name"]: f["why"] for f in told["features"]}["hypertables"]
    assert program("db", "check", "house.db").returncode == 0
    assert json.loads(program("db", "refresh", "house.db", "--json").stdout)["changes"] == 0
    kept = json.loads(program("db", "backup", "kept", "house.db", "--json").stdout)
    restored = json.loads(program("db", "restore", "kept", "copy.db", "--json").stdout)
    assert restored["tables"] == kept["tables"]
    assert len(kept["tables"]) > 20


def test_going_back_asks_first_and_an_unknown_revision_is_named(program: Any) -> None:
    program("db", "upgrade", "house.db")
    assert program("db", "downgrade", "base", "house.db").returncode == 1
    assert program("db", "status", "house.db").returncode == 0
    wrong = program("db", "downgrade", "0009", "house.db", "--yes")
    assert (wrong.returncode, "choose one of" in wrong.stderr) == (2, True)
    assert program("db", "downgrade", "base", "house.db", "--yes").returncode == 0
    assert program("db", "status", "house.db").returncode == 1


def test_a_file_of_fundamentals_is_imported_once_and_a_wrong_line_is_named(program: Any) -> None:
    program("db", "upgrade", "house.db")
    figures = program.folder / "figures.csv"
    figures.write_text("symbol,item,period_end,known_at,value\nAAPL,eps,2023-12-31,2024-02-01T21:30Z,2.18\n")
    for _ in range(2):
        done = program("db", "import-fundamentals", "figures.csv", "house.db", "--json")
        assert json.loads(done.stdout)["rows"] == 1, done.stderr
    kept = json.loads(program("db", "backup", "kept", "house.db", "--json").stdout)
    assert {t["table"]: t["rows"] for t in kept["tables"]}["fundamentals"] == 1
    figures.write_text("symbol,item,period_end,known_at,value\nAAPL,eps,2023-12-31,2024-02-01,2.18\n")
    wrong = program("db", "import-fundamentals", "figures.csv", "house.db")
    assert (wrong.returncode, "line 2" in wrong.stderr) == (2, True)


def test_a_server_says_what_is_on_and_why_the_rest_is_not(program: Any, timescale_url: str) -> None:
    server = ("--set", f"database.url={timescale_url}")
    made = program("db", "upgrade", *server)
    assert made.returncode == 0, made.stderr
    with closing(Database(timescale_url)) as database:
        community = status(database).edition.is_community
    assert ("community edition" if community else "Apache edition") in made.stdout
    assert ("timescaledb.license is apache" in made.stdout) is not community
    assert program("db", "check", *server).returncode == 0


def test_status_says_how_far_the_database_is_behind_each_journal(program: Any) -> None:
    ticks = iter(range(1_700_000_000_000_000_000, 2**62, 1_000_000_000))
    with closing(SqliteJournal(program.folder / "journal.db", lambda: next(ticks))) as journal:
        journal.append("run_started", {"run_id": "r1"})
        journal.commit()
        program("db", "upgrade", "trading.db")
        (told,) = program.json("db", "status", "trading.db")["journals"]  # nothing was projected yet
        assert (told["run"], told["event"], told["behind"], told["recorded"]) == (None, 0, 1, None)
        with closing(Database(f"sqlite:///{program.folder / 'trading.db'}")) as database:
            JournalFollower(database, program.folder / "journal.db", "r1").advance()
        (told,) = program.json("db", "status", "trading.db")["journals"]
        assert (told["run"], told["event"], told["behind"]) == ("r1", 1, 0)
        for number in range(3):
            journal.append("note", {"number": number})
        journal.commit()
    (told,) = program.json("db", "status", "trading.db")["journals"]
    assert (told["event"], told["behind"], told["seconds"], told["problem"]) == (1, 3, 2.0, None)
    assert told["recorded"].startswith("2023-11-14T22:13")
    assert "events behind" in program("db", "status", "trading.db").stdout
    (program.folder / "journal.db").unlink()  # somewhere else: nobody can say
    (told,) = program.json("db", "status", "trading.db")["journals"]
    assert (told["event"], told["behind"]) == (1, None)


def test_a_journal_that_cannot_be_read_or_is_an_older_copy_is_told_and_hides_no_other(program: Any) -> None:
    path = program.folder / "journal.db"
    with closing(SqliteJournal(path, lambda: 7)) as journal:
        journal.append("run_started", {"run_id": "r1"})
    shutil.copy(path, program.folder / "older.db")
    with closing(SqliteJournal(path, lambda: 7)) as journal:
        journal.append("note", {})
        journal.commit()
    with closing(Database(f"sqlite:///{program.folder / 'trading.db'}")) as database:
        JournalFollower(database, path, "r1").advance()
    shutil.copy(program.folder / "older.db", path)
    broken = program.folder / "var" / "runs" / "r2" / "journal.db"
    broken.parent.mkdir(parents=True)
    broken.write_text("no journal")
    (told,) = program.json("db", "status", "trading.db")["journals"]
    assert (told["event"], told["behind"]) == (2, 0)
    assert "ends 1 events before that: it is an older copy" in told["problem"]
    path.write_text("no journal")
    known, unread = program.json("db", "status", "trading.db")["journals"]
    assert (known["event"], known["behind"]) == (2, None)
    assert "cannot be read" in unread["problem"]


def test_rows_that_are_wrong_are_made_anew_from_the_journal(program: Any) -> None:
    path = program.folder / "journal.db"
    with closing(SqliteJournal(path, lambda: 1_700_000_000_000_000_000)) as journal:
        journal.append("run_started", {"run_id": "r1"})
        journal.append("note", {"number": 1})
        journal.commit()
    with closing(Database(f"sqlite:///{program.folder / 'trading.db'}")) as database:
        JournalFollower(database, path, "r1").advance()
        with database.connection() as connection:
            altered = text("UPDATE audit_events SET body = :body WHERE seq = 2")
            connection.execute(altered, {"body": '{"number":2}'})
    wrong = program("db", "check", "trading.db")
    assert wrong.returncode == 1
    assert "trade db rebuild" in " ".join(wrong.stdout.split())
    refused = program("db", "rebuild", "journal.db", "trading.db")
    assert refused.returncode == 1
    assert "holds runs: r1 to event 2. Remove those of journal.db and project its 2 events?" in refused.stderr
    assert program("db", "check", "trading.db").returncode == 1  # nothing was done
    made = program("db", "rebuild", "journal.db", "trading.db", "--yes")
    assert made.returncode == 0, made.stderr
    assert program("db", "check", "trading.db").returncode == 0
    missing = program("db", "rebuild", "none.db", "trading.db", "--yes")
    assert (missing.returncode, "none.db" in missing.stderr) == (2, True)


def test_a_url_in_place_of_a_file_is_refused_and_makes_no_folder(program: Any) -> None:
    wrong = program("db", "upgrade", "sqlite:///house.db")
    assert wrong.returncode == 2
    assert "--set database.url=" in " ".join(wrong.stderr.split())
    assert not (program.folder / "sqlite:").exists()


def test_a_server_that_is_away_leaves_with_3_and_hides_its_password(program: Any) -> None:
    url = "postgresql+psycopg://u:hunter2@127.0.0.1:1/desk"  # pragma: allowlist secret
    away = program("db", "status", "--set", f"database.url={url}")
    assert away.returncode == 3
    assert "hunter2" not in away.stdout + away.stderr


def test_the_container_is_pinned_checked_and_has_the_least_rights(root: Path) -> None:
    import yaml

    compose = yaml.safe_load((root / "infrastructure/deploy/docker-compose.yml").read_text())
    (service,) = compose["services"].values()
    assert re.fullmatch(r"timescale/timescaledb:[0-9.]+-pg17@sha256:[0-9a-f]{64}", service["image"])
    # Where images of PostgreSQL 17 keep their data; those of 18 moved it.
    assert any(volume.endswith(":/var/lib/postgresql/data") for volume in service["volumes"])
    assert service["user"] == "postgres"
    assert service["healthcheck"]["test"][1] == "pg_isready"
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    passwords = {name: value for name, value in service["environment"].items() if "PASSWORD" in name}
    assert len(passwords) == 4
    assert all(value.startswith(f"${{{name}:?") for name, value in passwords.items())  # no default
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert any(
        volume.endswith("init.sql:/docker-entrypoint-initdb.d/900_alphec.sql:ro")
        for volume in service["volumes"]
    )
