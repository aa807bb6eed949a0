"""A clock for tests, in place of ``time.monotonic``."""

from __future__ import annotations


class Clock:
    """Seconds that pass only when a test lets them."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now
