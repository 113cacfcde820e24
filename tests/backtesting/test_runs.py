from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtesting import run_records, runs
from backtesting.run_errors import (
    RunExistsError,
    RunImmutableError,
    RunLockedError,
    RunNotFoundError,
    RunUnreadableError,
)
from backtesting.runs import RunFolder

NOW = pd.Timestamp("2026-01-05 12:00", tz="UTC")


def make(
    root: Path, run_id: str, *, profile: str = "demo", state: str | None = "finished", age_days: int = 0
) -> None:
    born = NOW - pd.Timedelta(days=age_days)
    with RunFolder.create(root, run_id, {"profile": profile, "config_hash": "c"}, now=born) as run:
        if state is not None:
            run.end(state, now=born + pd.Timedelta(minutes=1))


def test_a_new_run_is_running_and_says_what_it_is(tmp_path: Path) -> None:
    with RunFolder.create(
        tmp_path / "runs", "r1", {"profile": "demo", "cash": Decimal("1.50")}, now=NOW
    ) as run:
        content = json.loads((run.path / "run.json").read_text())
        assert content == {
            "run_id": "r1",
            "state": "running",
            "created": "2026-01-05T12:00:00+00:00",
            "ended": None,
            "profile": "demo",
            "cash": "1.5",
        }
        assert (run.run_id, run.state) == ("r1", "running")
        assert run.manifest == {"profile": "demo", "cash": "1.5"}


def test_an_id_is_used_once(tmp_path: Path) -> None:
    make(tmp_path, "r1")
    with pytest.raises(RunExistsError, match="r1"):
        RunFolder.create(tmp_path, "r1", {}, now=NOW)


@pytest.mark.parametrize("run_id", ["", "..", "../x", ".hidden", "a/b", "x" * 65, "ü", "a\n"])
def test_an_id_that_is_no_folder_name_is_refused(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(ValueError, match="run id"):
        RunFolder.create(tmp_path, run_id, {}, now=NOW)
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_cannot_forge_the_state(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="state"):
        RunFolder.create(tmp_path, "r1", {"state": "finished"}, now=NOW)


def test_a_start_without_timezone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="timezone"):
        RunFolder.create(tmp_path, "r1", {}, now=pd.Timestamp("2026-01-05"))


@pytest.mark.parametrize("state", runs.ENDED)
def test_an_ended_run_cannot_be_written(tmp_path: Path, state: str) -> None:
    with RunFolder.create(tmp_path, "r1", {}, now=NOW) as run:
        path = run.write_text("logs/trader.log", "a line\n")
        run.end(state, now=NOW)
        for write in (
            lambda: run.write_text("x.txt", ""),
            lambda: run.file("x.txt"),
            lambda: run.update_manifest(x=1),
            lambda: run.end("finished", now=NOW),
            lambda: run.write_summary({}),
        ):
            with pytest.raises(RunImmutableError, match=state):
                write()
        assert path.stat().st_mode & 0o222 == 0
        assert (run.path / "run.json").stat().st_mode & 0o222 == 0
    with pytest.raises(RunImmutableError, match=state):
        RunFolder.resume(tmp_path, "r1")


def test_the_end_of_a_run_lets_nobody_read_more_than_before(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, "r1", {}, now=NOW) as run:
        (run.path / "own.txt").write_text("for the owner")
        (run.path / "own.txt").chmod(0o600)
        (run.path / "shared.txt").write_text("for the group")
        (run.path / "shared.txt").chmod(0o640)
        run.end("finished", now=NOW)
        modes = {path.name: path.stat().st_mode & 0o777 for path in run.path.glob("*.txt")}
    assert modes == {"own.txt": 0o400, "shared.txt": 0o440}


def test_an_unknown_end_is_refused(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, "r1", {}, now=NOW) as run, pytest.raises(ValueError, match="running"):
        run.end("running", now=NOW)


def test_a_run_that_was_let_go_cannot_be_written_until_it_is_resumed(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "r1", {"config_hash": "c"}, now=NOW)
    run.close()
    with pytest.raises(RunLockedError, match="let go"):
        run.write_text("x.txt", "")
    with RunFolder.resume(tmp_path, "r1") as again:
        again.write_text("x.txt", "resumed")
        assert again.manifest == {"config_hash": "c"}


def test_a_run_is_worked_in_by_one_at_a_time(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, "r1", {}, now=NOW), pytest.raises(RunLockedError, match="r1"):
        RunFolder.resume(tmp_path, "r1")
    RunFolder.resume(tmp_path, "r1").close()


def test_the_lock_of_a_killed_process_is_free_again(tmp_path: Path) -> None:
    code = (
        "import os, sys, pandas as pd; from pathlib import Path; from backtesting.runs import RunFolder;"
        "now = pd.Timestamp('2026-01-05', tz='UTC');"
        "r = RunFolder.create(Path(sys.argv[1]), 'r1', {'config_hash': 'c'}, now=now);"
        "print('ready', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert runs.list_runs(tmp_path)[0].locked
        assert runs.find_unfinished(tmp_path, "c") is None
        child.kill()
    found = runs.find_unfinished(tmp_path, "c")
    assert found is not None
    assert found.run_id == "r1"
    RunFolder.resume(tmp_path, "r1").close()


def test_a_file_stays_inside_the_folder(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, "r1", {}, now=NOW) as run:
        for name in ("../r2/run.json", "/etc/passwd"):
            with pytest.raises(ValueError, match="leads out"):
                run.write_text(name, "")


def test_a_write_replaces_the_whole_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, "r1", {"git_sha": "abc"}, now=NOW) as run:
        run.write_text("note.txt", "long first text")
        run.write_text("note.txt", "short")
        run.update_manifest(data_hashes={"SPY": "00"})
        run.write_summary({"final_equity": Decimal("12.50"), "at": NOW})
        assert (run.path / "note.txt").read_text() == "short"
        assert sorted(p.name for p in run.path.iterdir()) == [
            "note.txt",
            "run.json",
            "run.lock",
            "summary.json",
        ]
        assert json.loads((run.path / "summary.json").read_text()) == {
            "at": "2026-01-05T12:00:00+00:00",
            "data_hashes": {"SPY": "00"},
            "final_equity": "12.5",
            "git_sha": "abc",
            "run_id": "r1",
        }


def test_unfinished_is_the_newest_interrupted_run_of_the_same_configuration(tmp_path: Path) -> None:
    make(tmp_path, "old", state=None, age_days=2)
    make(tmp_path, "new", state=None, age_days=1)
    make(tmp_path, "done")
    found = runs.find_unfinished(tmp_path, "c")
    assert found is not None
    assert found.run_id == "new"
    assert runs.find_unfinished(tmp_path, "other") is None
    assert runs.find_unfinished(tmp_path / "nowhere", "c") is None


def test_the_latest_finished_run_can_be_asked_by_profile(tmp_path: Path) -> None:
    assert runs.latest_finished(tmp_path) is None
    make(tmp_path, "demo", age_days=2)
    make(tmp_path, "back", profile="backtest", age_days=1)
    make(tmp_path, "bad", state="failed")
    latest, demo = runs.latest_finished(tmp_path), runs.latest_finished(tmp_path, profiles=["demo"])
    assert latest is not None
    assert demo is not None
    assert (latest.run_id, demo.run_id) == ("back", "demo")


def test_a_run_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    make(tmp_path, "abc")
    make(tmp_path, "abcd")
    assert runs.find(tmp_path, "abc").run_id == "abc"
    assert runs.find(tmp_path, "abcd").run_id == "abcd"
    with pytest.raises(RunNotFoundError, match="2 runs"):
        runs.find(tmp_path, "ab")
    with pytest.raises(RunNotFoundError, match="no run"):
        runs.find(tmp_path, "x")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"run_id": "r1"}',
        '{"created": "soon", "ended": null}',
        '{"created": "2026-01-05", "ended": null}',
    ],
)
def test_a_damaged_run_is_listed_and_never_deleted(tmp_path: Path, text: str) -> None:
    make(tmp_path, "r1", state=None)
    (tmp_path / "r1" / "run.json").write_text(text)
    assert [run.state for run in runs.list_runs(tmp_path)] == ["unreadable"]
    assert [d.delete for d in runs.prune(tmp_path, now=NOW, keep_last=0)] == [False]


def test_a_damaged_run_cannot_be_resumed_and_is_not_left_locked(tmp_path: Path) -> None:
    make(tmp_path, "r1", state=None)
    (tmp_path / "r1" / "run.json").write_text("{")
    with pytest.raises(RunUnreadableError, match=r"run\.json"):
        RunFolder.resume(tmp_path, "r1")
    assert not runs.list_runs(tmp_path)[0].locked


def test_pruning_keeps_the_newest_and_deletes_the_rest(tmp_path: Path) -> None:
    for age in range(4):
        make(tmp_path, f"r{age}", age_days=age)
    planned = runs.prune(tmp_path, now=NOW, keep_last=2, dry_run=True)
    assert [(d.run.run_id, d.delete) for d in planned] == [
        ("r3", True),
        ("r2", True),
        ("r1", False),
        ("r0", False),
    ]
    assert len(runs.list_runs(tmp_path)) == 4
    assert runs.prune(tmp_path, now=NOW, keep_last=2) == planned
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r0", "r1"]


def test_both_bounds_must_agree_to_a_deletion(tmp_path: Path) -> None:
    for age in (1, 5, 9):
        make(tmp_path, f"r{age}", age_days=age)
    week = pd.Timedelta(days=7)
    assert [
        d.run.run_id for d in runs.prune(tmp_path, now=NOW, older_than=week, dry_run=True) if d.delete
    ] == ["r9"]
    assert not any(d.delete for d in runs.prune(tmp_path, now=NOW, older_than=week, keep_last=3))


def test_without_a_bound_nothing_is_deleted(tmp_path: Path) -> None:
    make(tmp_path, "r1", age_days=999)
    decisions = runs.prune(tmp_path, now=NOW)
    assert [(d.delete, "no bound" in d.reason) for d in decisions] == [(False, True)]


@pytest.mark.parametrize("profile", ["paper", "live", "", "Demo"])
def test_records_of_paper_live_and_unknown_profiles_are_never_deleted(tmp_path: Path, profile: str) -> None:
    make(tmp_path, "r1", profile=profile, age_days=9999)
    assert not any(d.delete for d in runs.prune(tmp_path, now=NOW, keep_last=0))
    assert (tmp_path / "r1" / "run.json").exists()


def test_a_run_in_which_a_process_works_is_never_deleted(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, "r1", {"profile": "demo"}, now=NOW):
        decisions = runs.prune(tmp_path, now=NOW, keep_last=0)
        assert [(d.delete, d.reason) for d in decisions] == [(False, "a process works in it")]
    assert [d.delete for d in runs.prune(tmp_path, now=NOW, keep_last=0)] == [True]


def test_a_run_that_is_taken_up_while_pruning_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_records, "is_locked", lambda path: False)  # it looked free a moment ago
    with RunFolder.create(tmp_path, "r1", {"profile": "demo"}, now=NOW):
        assert [d.delete for d in runs.prune(tmp_path, now=NOW, keep_last=0)] == [False]


def test_what_an_interrupted_pruning_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".pruned-r0").mkdir()
    assert runs.prune(tmp_path, now=NOW, keep_last=0) == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_manifest_and_a_stray_file_do_not_disturb(tmp_path: Path) -> None:
    (tmp_path / "stray").mkdir()
    (tmp_path / "notes.txt").write_text("")
    assert [(run.run_id, run.state, run.locked) for run in runs.list_runs(tmp_path)] == [
        ("stray", "unreadable", False)
    ]


def test_the_config_hash_ignores_the_order_of_keys_and_the_spelling_of_decimals() -> None:
    one = runs.config_hash({"a": Decimal("1.50"), "b": [1, 2.5, None, True], "c": {"x": "é"}})
    assert one == runs.config_hash({"c": {"x": "é"}, "b": (1, 2.5, None, True), "a": Decimal("1.5")})
    assert one != runs.config_hash({"a": Decimal("1.51"), "b": [1, 2.5, None, True], "c": {"x": "é"}})
    empty = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # pragma: allowlist secret
    assert runs.config_hash({}) == empty


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3)))
def test_the_config_hash_is_a_function_of_the_content(config: dict[str, object]) -> None:
    assert runs.config_hash(config) == runs.config_hash(dict(reversed(config.items())))


@pytest.mark.parametrize("value", [{1, 2}, object(), b"x"])
def test_a_configuration_without_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="canonical"):
        runs.config_hash({"a": value})


def test_paths_are_hashed_as_text_and_nan_is_refused() -> None:
    assert runs.config_hash({"p": Path("a/b")}) == runs.config_hash({"p": "a/b"})
    with pytest.raises(ValueError, match="JSON"):
        runs.config_hash({"a": float("nan")})


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True)


def test_the_commit_is_named_and_a_changed_tree_is_marked(tmp_path: Path) -> None:
    assert runs.git_sha(tmp_path) == "unknown"
    git(tmp_path, "init", "-q")
    assert runs.git_sha(tmp_path) == "unknown"
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-q", "-m", "one", "--no-verify")
    clean = runs.git_sha(tmp_path)
    assert len(clean) == 40
    (tmp_path / "a").write_text("2")
    assert runs.git_sha(tmp_path) == f"{clean}+dirty"


def test_without_git_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert runs.git_sha(tmp_path) == "unknown"
