"""The commands of the audit trail, its settings, and kills of a journal's writer."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from execution.journal import read, segments_of, verify
from infrastructure.audit_trail import anchor_key, anchor_path, anchors_of, open_journal
from infrastructure.bench import journal as bench
from infrastructure.settings import Settings, load_settings

Trade = Callable[..., tuple[int, str, str]]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(overrides={"var_dir": str(tmp_path / "var")})


@pytest.fixture
def trade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Trade:
    from infrastructure.cli import app
    from infrastructure.cli.boundary import guard

    monkeypatch.setenv("ALPHEC_VAR_DIR", str(tmp_path / "var"))
    monkeypatch.setenv("ALPHEC_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = guard(app, arguments)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def written(path: Path, settings: Settings, count: int = 4) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    journal = open_journal(path, settings)
    for number in range(count):
        journal.append("fill" if number % 2 else "note", {"client_order_id": f"o-{number}"})
    journal.close()
    return str(path)


def test_verify_compares_the_anchors(trade: Trade, settings: Settings, tmp_path: Path) -> None:
    path = written(tmp_path / "a" / "journal.db", settings)
    status, out, _ = trade("audit", "verify", path, "--anchored", "--json")
    answer = json.loads(out)
    assert (status, answer["anchors"], answer["authenticated"], answer["segments"]) == (0, 1, True, 1)
    status, out, _ = trade("audit", "verify", path)
    assert (status, "chain intact, 4 events" in out, "1 anchors agree:" in out) == (0, True, True)
    Path(path).unlink()
    written(tmp_path / "b" / "journal.db", settings, 3)
    (tmp_path / "b" / "journal.db").rename(path)  # a shorter one in its place
    status, _, err = trade("audit", "verify", path)
    assert (status, "tail was cut" in err) == (1, True)


def test_without_anchors_or_their_key_verify_says_so(
    trade: Trade, settings: Settings, tmp_path: Path
) -> None:
    path = written(tmp_path / "a" / "journal.db", settings)
    (tmp_path / "var" / "anchor.key").rename(tmp_path / "taken.key")
    assert "NOT AUTHENTICATED" in trade("audit", "verify", path)[1]
    assert trade("audit", "verify", path, "--anchored")[0] == 1
    (tmp_path / "a" / "anchors" / "journal.jsonl").unlink()
    assert "not anchored" in trade("audit", "verify", path)[1]
    status, _, err = trade("audit", "verify", path, "--anchored")
    assert (status, "no authenticated anchor" in err) == (1, True)


def test_anchor_notes_the_head_in_a_second_place(trade: Trade, settings: Settings, tmp_path: Path) -> None:
    path = written(tmp_path / "a" / "journal.db", settings)
    second = str(tmp_path / "worm" / "a.jsonl")
    status, out, _ = trade("audit", "anchor", path, "--anchors", second, "--json")
    assert (status, json.loads(out)["seq"]) == (0, 4)
    assert "anchored in" in trade("audit", "anchor", path, "--anchors", second)[1]
    status, out, _ = trade("audit", "verify", path, "--anchors", second, "--json")
    assert (status, json.loads(out)["anchors"]) == (0, 2)


def test_an_empty_journal_has_nothing_to_anchor(trade: Trade, settings: Settings, tmp_path: Path) -> None:
    status, _, err = trade("audit", "anchor", written(tmp_path / "a" / "journal.db", settings, 0))
    assert (status, "nothing to anchor" in err) == (2, True)


def test_export_writes_a_file_and_its_digest(trade: Trade, settings: Settings, tmp_path: Path) -> None:
    path = written(tmp_path / "a" / "journal.db", settings)
    status, out, _ = trade("audit", "export", "all.jsonl", path, "--json")
    assert (status, json.loads(out)["events"]) == (0, 4)
    assert (tmp_path / "all.jsonl.sha256").exists()
    assert "1 events" in trade("audit", "export", "one.csv", path, "--order", "o-1")[1]
    assert "1 events" in trade("audit", "export", "late.csv", path, "--kind", "fill", "--after", "2")[1]
    status, _, err = trade("audit", "export", "all.txt", path)
    assert (status, ".jsonl or .csv" in err) == (2, True)


def test_prune_refuses_what_is_younger_than_seven_years(
    trade: Trade, settings: Settings, tmp_path: Path
) -> None:
    path = written(tmp_path / "a" / "journal.db", settings)
    status, _, err = trade("audit", "prune", "--older-than", "6y", path)
    assert (status, "must be kept 7 years" in err, "Nothing was removed" in err) == (2, True, True)
    status, out, _ = trade("audit", "prune", "--older-than", "7y", path)
    assert (status, "0 events in 0 segments" in out) == (0, True)
    status, out, _ = trade("audit", "prune", "--older-than", "8y", path, "--json")
    assert (status, json.loads(out)["events"]) == (0, 0)
    assert len(list(read(Path(path)))) == 4


def test_the_place_and_the_key_of_the_anchors_follow_the_settings(settings: Settings, tmp_path: Path) -> None:
    journal = tmp_path / "paper" / "DU1" / "journal.db"
    assert anchor_path(journal, settings) == tmp_path / "paper" / "DU1" / "anchors" / "journal.jsonl"
    assert anchor_key(settings) is None
    made = anchor_key(settings, make=True)
    assert made == anchor_key(settings) == anchor_key(settings, make=True)
    mode = stat.S_IMODE((tmp_path / "var" / "anchor.key").stat().st_mode)
    assert (len(made or b""), mode) == (64, 0o600)
    (tmp_path / "secret").write_text("a key from a secret's file\n")
    chosen = {"audit.anchor_dir": str(tmp_path / "worm"), "audit.anchor_key": f"file:{tmp_path / 'secret'}"}
    own = load_settings(overrides=chosen)
    assert anchors_of(journal, own).path == tmp_path / "worm" / "paper-DU1.jsonl"
    assert anchors_of(journal, own).key == b"a key from a secret's file"
    assert "a key from" not in str(own.dump())


def test_a_writer_killed_at_random_moments_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    found = bench.kill(tmp_path, events=6_000, kills=3, group=20)
    assert (found.problem, found.lost, found.kills) == ("", 0, 3)
    assert found.events >= 6_000


def test_the_examination_after_a_kill_can_fail(tmp_path: Path) -> None:
    bench.write_and_acknowledge(tmp_path / "journal.db", 50, 10)
    found = bench.Killing()
    bench._examine(tmp_path / "journal.db", 60, "", found)
    assert (found.lost, "acknowledged" in found.problem) == (10, True)
    other = bench.Killing()
    bench._examine(tmp_path / "journal.db", 50, "0" * 64, other)
    assert "not the one" in other.problem


def test_the_benchmark_counts_what_it_wrote(tmp_path: Path) -> None:
    figures: dict[str, Any] = bench.measure(tmp_path, events=300, group=100)
    assert figures["durable_events_s"] > 0
    assert verify(tmp_path / "journal.db").events == 600
    assert len(segments_of(tmp_path / "journal.db")) == figures["segments"]
