"""Attempts to sign in, counted by name and by address, so that trying out passwords takes years."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

PER_ADDRESS: Final = (10, 60.0)  # wrong passwords from one address, within seconds
# Of one name, from all addresses together. It keeps the person out, too, so it takes more of them.
PER_NAME: Final = (30, 600.0)
_MAX_KEYS: Final = 4096  # names and addresses; the one that was silent for longest is forgotten


class Attempts:
    """The attempts of the last minutes.

    An attempt counts from its beginning: many at once must not all pass before the first has failed.

    Args:
        now: a clock in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._times: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def may_begin(self, name: str, address: str | None) -> bool:
        """Count an attempt, unless there were too many.

        Args:
            name: whose password is tried.
            address: from where; None if it says nothing, as behind a proxy.
        """
        now, limits = self._now(), {("name", name): PER_NAME}
        if address is not None:
            limits["address", address] = PER_ADDRESS
        with self._lock:
            recent = {key: self._recent(key, now - seconds) for key, (_, seconds) in limits.items()}
            if any(len(recent[key]) >= most for key, (most, _) in limits.items()):
                return False
            for times in recent.values():
                times.append(now)
            while len(self._times) > _MAX_KEYS:
                self._times.popitem(last=False)
        return True

    def succeeded(self, name: str, address: str | None) -> None:
        """Take an attempt back, whose password was right."""
        with self._lock:
            for key in (("name", name), ("address", address or "")):
                if times := self._times.get(key):
                    times.pop()

    def _recent(self, key: tuple[str, str], since: float) -> deque[float]:
        times = self._times.setdefault(key, deque())
        self._times.move_to_end(key)
        while times and times[0] <= since:
            times.popleft()
        return times
