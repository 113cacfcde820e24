"""Unix sockets between programs of one user: the trader's control socket and the simulated gateway's.

One line out, one line back. The peer's user is checked where the system tells it, on both sides, so that a
folder others can write to gives them nothing.
"""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import Final

LONGEST_PATH: Final = 103
"""What a Unix socket's path may hold on every system: Linux takes 107 bytes, macOS 103."""

TIMEOUT: Final = 30.0
"""Longest wait for the other side, in seconds."""

_PART: Final = 1 << 16


def same_user(connection: socket.socket) -> bool:
    """Return whether the process at the other end is one of this user's."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True  # the socket's mode and folder keep others out where the peer cannot be asked for
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", credentials)[1] == os.getuid())


def answers(path: Path) -> bool:
    """Return whether somebody listens at a path."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def exchange(path: Path, line: bytes) -> bytes:
    """Send one line and return the line that comes back; empty if the other side closed without one.

    Raises
    ------
    OSError
        If nobody answers in time, or it is another user's process: then nothing is sent.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(str(path))
        if not same_user(connection):
            raise PermissionError("it is another user's process; nothing was sent to it")
        connection.sendall(line)
        received = b""
        while not received.endswith(b"\n") and (part := connection.recv(_PART)):
            received += part
        return received
