"""The socket between programs of one user, over real sockets; and that both control sockets stand on it."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import infrastructure.control
from backtesting.gateway import control_socket
from execution import local_socket


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="alphec-") as folder:  # short: a socket's path is
        yield Path(folder) / "s.sock"


def serve(path: Path, answer: bytes) -> threading.Thread:
    """Answer one line, in two pieces, and close."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)

    def run() -> None:
        with listener, listener.accept()[0] as connection:
            if connection.recv(100):
                connection.sendall(answer[:3])
                connection.sendall(answer[3:])

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("answer", [b"whole line\n", b""])
def test_a_line_goes_out_and_what_comes_back_is_returned_whole(path: Path, answer: bytes) -> None:
    thread = serve(path, answer)
    assert local_socket.exchange(path, b"ask\n") == answer
    thread.join()


def test_nobody_listens_at_a_path_without_a_server_or_with_one_that_is_gone(path: Path) -> None:
    assert not local_socket.answers(path)
    thread = serve(path, b"")
    assert local_socket.answers(path)
    thread.join()
    assert path.exists()
    assert not local_socket.answers(path)


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="the system does not tell the peer")
def test_only_the_same_user_is_spoken_to(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert local_socket.same_user(ours)
    thread = serve(path, b"")
    monkeypatch.setattr("os.getuid", lambda: 4242)
    with pytest.raises(PermissionError, match="another user's process; nothing was sent"):
        local_socket.exchange(path, b"ask\n")
    thread.join()


def test_both_control_sockets_stand_on_it() -> None:
    for module in (control_socket, infrastructure.control):
        assert module.local_socket is local_socket
        assert not {"_same_user", "_answers", "_exchange"} & vars(module).keys()
