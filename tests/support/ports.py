"""Ports of this machine for tests."""

from __future__ import annotations

import socket


def free_port() -> int:
    """A TCP port that nobody has at the moment."""
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return int(it.getsockname()[1])
