"""Ports of this machine for tests."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

_LOWEST = 10_000  # well-known services are below


def free_port() -> int:
    """A TCP port that no program has.

    It stays free until a daemon opens it seconds later: the kernel gives no such port to others on its own.
    """
    kernels = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(_LOWEST, kernels)
        with contextlib.suppress(OSError), socket.socket() as it:
            it.bind(("127.0.0.1", port))
            return port
