"""Order of ready files: the oldest first; during a backlog every fourth one is the latest."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Final

_MAX_NEWCOMERS: Final = 1_000  # latest files that may be taken out of order
_BACKLOG_S: Final = 5.0  # if the oldest file waits longer, the latest files get a share: ...
_NEWCOMER_TURN: Final = 4  # ... every fourth file, so that up to a quarter of the pace does not wait


class ReadyQueue:
    """Names of ready files. A name may be listed twice, or be gone; the caller's ``is_ready`` decides.

    Args:
        is_ready: says whether a name can still be taken.
        monotonic: seconds.
    """

    def __init__(self, is_ready: Callable[[str], bool], monotonic: Callable[[], float]) -> None:
        self._is_ready = is_ready
        self._monotonic = monotonic
        self._oldest: list[tuple[float, int, str]] = []  # heap
        self._latest: deque[tuple[float, str]] = deque(maxlen=_MAX_NEWCOMERS)
        self._turn = 0

    def add(self, name: str, seen: float, mtime_ns: int) -> None:
        """Add a file that is ready.

        Args:
            name: the file's name.
            seen: when it was seen, monotonic seconds; files of one scan come in the order of their mtimes.
            mtime_ns: the file's mtime.
        """
        heapq.heappush(self._oldest, (seen, mtime_ns, name))
        self._latest.append((seen, name))

    def pop(self) -> str | None:
        """Take the next name, or None if no file is ready."""
        while self._oldest and not self._is_ready(self._oldest[0][-1]):
            heapq.heappop(self._oldest)
        if not self._oldest:
            self._latest.clear()
            return None
        oldest = self._oldest[0][0]
        self._turn = (self._turn + 1) % _NEWCOMER_TURN
        if self._turn == 0 and self._monotonic() - oldest > _BACKLOG_S:
            while self._latest:
                seen, name = self._latest.pop()
                if seen > oldest and self._is_ready(name):
                    return name
        return heapq.heappop(self._oldest)[-1]
