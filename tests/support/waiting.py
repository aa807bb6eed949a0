"""Waiting for a condition in tests, for as long as only a hang takes."""

from __future__ import annotations

import time
from collections.abc import Callable

HANG_S = 300  # s: far more than any single wait takes on a host with ten times as much to do as it can do


def wait_for(holds: Callable[[], object], longest_s: float = HANG_S) -> None:
    """Poll until a condition holds; fail after ``longest_s``."""
    until = time.monotonic() + longest_s
    while not holds():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.01)
