"""Waiting for a condition in tests, for as long as only a hang takes."""

from __future__ import annotations

import time
from collections.abc import Callable

HANG_S = 300  # s: far more than any single wait takes on a host with ten times as much to do as it can do
_PAUSE_S = 0.01, 0.1  # the shortest and the longest between two looks
_PAUSES_PER_LOOK = 8  # a look at a database takes milliseconds, which the daemon that it waits for needs


def wait_for(holds: Callable[[], object], longest_s: float = HANG_S) -> None:
    """Poll until a condition holds; fail after ``longest_s``."""
    shortest_s, longest_pause_s = _PAUSE_S
    until = time.monotonic() + longest_s
    while True:
        began = time.monotonic()
        if holds():
            return
        ended = time.monotonic()
        assert ended < until, "it never came true"
        time.sleep(min(max(shortest_s, _PAUSES_PER_LOOK * (ended - began)), longest_pause_s))
