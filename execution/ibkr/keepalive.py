"""Options of the socket: the kernel's search for a dead connection, and an end that leaves nothing behind."""

from __future__ import annotations

import asyncio
import socket
import struct

IDLE_SECONDS = 5
BETWEEN_SECONDS = 2
PROBES = 2
UNACKNOWLEDGED_SECONDS = 9
"""After so many seconds without the peer's acknowledgement of bytes sent, the kernel ends the connection."""


def watch_socket(transport: asyncio.BaseTransport | None) -> None:
    """Let the kernel probe an idle connection, and end one whose bytes are not acknowledged.

    It sees lost cables and machines that are gone, not a program that hangs: that is the heartbeat's part. A
    transport without a socket (in memory) is left alone, and so is an option that the system does not have.
    """
    found = None if transport is None else transport.get_extra_info("socket")
    if found is None:
        return
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", IDLE_SECONDS),
        ("TCP_KEEPINTVL", BETWEEN_SECONDS),
        ("TCP_KEEPCNT", PROBES),
        ("TCP_USER_TIMEOUT", UNACKNOWLEDGED_SECONDS * 1000),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            found.setsockopt(socket.IPPROTO_TCP, option, value)


def discard_unsent(transport: asyncio.BaseTransport | None) -> None:
    """Let the coming close drop what the kernel has not delivered, instead of delivering it later."""
    found = None if transport is None else transport.get_extra_info("socket")
    if found is not None and found.fileno() >= 0:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
