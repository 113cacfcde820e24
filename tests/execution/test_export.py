"""Exports: whole, checked, with a digest that other tools verify."""

from __future__ import annotations

import csv
import json
import sqlite3
import subprocess
from pathlib import Path

import pytest

from execution.errors import JournalCorruptError, JournalError
from execution.journal import SqliteJournal, chain_hash, read
from execution.journal.chain import canonical
from execution.journal.export import export, format_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    journal = SqliteJournal(tmp_path / "journal.db", lambda: 7)
    for number in range(1, 7):
        journal.append(
            "fill" if number % 2 else "note", {"n": number, "client_order_id": "=1+1", "text": 'a,"b"\nc'}
        )
        if number == 3:
            journal.rotate()
    journal.close()
    return tmp_path / "journal.db"


def test_json_lines_hold_every_event_with_its_hash(path: Path, tmp_path: Path) -> None:
    done = export(path, tmp_path / "out" / "all.jsonl", "jsonl")
    lines = [json.loads(line) for line in done.path.read_text().splitlines()]
    assert (done.events, [line["seq"] for line in lines]) == (6, [1, 2, 3, 4, 5, 6])
    for line in lines:
        text = canonical(line["body"])
        assert line["hash"] == chain_hash(line["prev_hash"], line["seq"], line["time_ns"], line["kind"], text)


def test_csv_holds_the_same_and_no_cell_runs_as_a_formula(path: Path, tmp_path: Path) -> None:
    done = export(path, tmp_path / "all.csv", "csv", chosen=lambda event: event.kind == "fill")
    with done.path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (done.events, [row["seq"] for row in rows]) == (3, ["1", "3", "5"])
    assert rows[0]["client_order_id"] == "'=1+1"
    assert rows[0]["time_utc"] == "1970-01-01T00:00:00.000000007+00:00"
    assert json.loads(rows[0]["body"]) == next(read(path)).body
    assert [row["hash"] for row in rows] == [event.hash for event in read(path) if event.kind == "fill"]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_the_digest_file_is_read_by_sha256sum(path: Path, tmp_path: Path, form: str) -> None:
    done = export(path, tmp_path / f"all.{form}", format_of(tmp_path / f"all.{form}"))
    check = ["sha256sum", "--check", "--strict", done.digest_path.name]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    done.path.write_text(done.path.read_text().replace("fill", "fi11"))
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def test_an_empty_choice_gives_an_empty_export(path: Path, tmp_path: Path) -> None:
    for form in ("jsonl", "csv"):
        target = tmp_path / f"none.{form}"
        assert export(path, target, format_of(target), chosen=lambda _: False).events == 0


def test_an_export_never_replaces_a_file_nor_leaves_half_of_one(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "all.jsonl"
    target.write_text("what stood here")
    with pytest.raises(JournalError, match="never replaces"):
        export(path, target, "jsonl")
    assert target.read_text() == "what stood here"
    with pytest.raises(JournalError, match="cannot be written"):
        export(path, target / "below.jsonl", "jsonl")
    with pytest.raises(JournalError, match=r"\.jsonl or \.csv"):
        format_of(tmp_path / "all.txt")


def test_a_journal_that_does_not_verify_is_not_exported(path: Path, tmp_path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("DROP TRIGGER events_are_never_changed")
    db.execute("UPDATE events SET time_ns = 8 WHERE seq = 2")
    db.commit()
    db.close()
    with pytest.raises(JournalCorruptError, match="event 2 was altered"):
        export(path, tmp_path / "all.jsonl", "jsonl")
    assert not (tmp_path / "all.jsonl").exists()
