from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path
from typing import Any

from data.database import Database
from infrastructure import doctor
from infrastructure.settings import load_settings


def test_this_checkout_is_fit(root: Path, tmp_path: Path) -> None:
    settings = load_settings(overrides={"runs_dir": str(tmp_path / "runs"), "var_dir": str(tmp_path / "var")})
    checks = doctor.examine(settings, root)
    assert [check for check in checks if check.status == "fail"] == []
    assert not list(tmp_path.iterdir())


def test_an_unsuitable_python_is_named() -> None:
    assert doctor.python_version((3, 11, 7)).status == "ok"
    assert doctor.python_version((3, 14, 0)).status == "fail"
    assert doctor.python_version((3, 10, 9)).status == "fail"


def test_a_regular_package_in_the_place_of_ours_is_found(root: Path, tmp_path: Path) -> None:
    (check,) = doctor.shadowing(root, ["json"])
    assert (check.status, "regular package" in check.detail) == ("fail", True)
    (check,) = doctor.shadowing(tmp_path, ["risk"])
    assert check.status == "fail"


def test_a_broker_library_that_does_not_load_is_told() -> None:
    def broken(name: Any) -> Any:
        raise ImportError(f"no {name}")

    assert doctor.ib_insync(broken).status == "fail"
    assert doctor.ib_insync().status == "ok"


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    assert doctor.writable("runs_dir", file / "runs").status == "fail"
    assert doctor.writable("runs_dir", tmp_path / "a" / "b").status == "ok"


def test_the_broker_port_is_tried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert doctor.broker_port("127.0.0.1", port, "paper").status == "ok"
    assert doctor.broker_port("127.0.0.1", port, "paper").status == "warn"
    assert doctor.broker_port("127.0.0.1", port, "demo").status == "ok"


def test_the_configured_database_is_asked(tmp_path: Path) -> None:
    def check(**more: str) -> doctor.Check:
        return doctor.database(load_settings("paper", None, more, {}, None))

    file = tmp_path / "x.db"
    url = {"database.url": f"sqlite:///{file}"}
    assert check().status == "ok"
    assert check(**url).status == "warn"
    assert not file.exists()
    with closing(Database(url["database.url"])) as database:
        database.upgrade("0001")
        assert (check(**url).status, check(**url).remedy) == ("warn", "trade db upgrade")
        database.upgrade()
    assert check(**url).status == "ok"


def test_a_database_that_is_away_does_not_make_a_machine_unfit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = f"postgresql+psycopg://u:geheim@127.0.0.1:{port}/x"  # pragma: allowlist secret
    found = doctor.database(load_settings("paper", None, {"database.url": url}, {}, None))
    assert (found.status, "geheim" in str(found)) == ("warn", False)
    assert "a trader starts without it" in found.remedy


def test_the_clock_is_asked_of_the_system(tmp_path: Path) -> None:
    def fake(answer: Any) -> Any:
        script = tmp_path / "timedatectl"
        script.write_text(f"#!/bin/sh\n{answer}\n")
        script.chmod(0o755)
        return lambda _name: str(script)

    assert doctor.clock(lambda _name: None).status == "warn"
    assert doctor.clock(fake("echo yes")).status == "ok"
    assert doctor.clock(fake("echo no")).detail == "not synchronised"
    assert doctor.clock(fake("exit 3")).detail == "timedatectl gives no answer"


def test_a_missing_program_names_its_remedy() -> None:
    check = doctor.program("nothing", ("no-such-program-here",), "browser tests")
    assert check.status == "warn"
    assert "deploy" in check.remedy
