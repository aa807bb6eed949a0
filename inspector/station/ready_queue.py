"""Whose turn it is: the oldest file's; behind a backlog every fourth time the latest one's."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import Final

_MAX_NEWCOMERS: Final = 1_000  # newcomers that may be served out of turn
_BACKLOG_S: Final = 5.0  # where the oldest file waits longer than this, the latest get their share ...
_NEWCOMER_TURN: Final = (
    4  # ... every fourth file: what comes in below a quarter of the station's pace does not wait
)


class ReadyQueue:
    """Names of ready files. One may stand here twice, or be gone by now: the caller knows.

    Args:
        is_ready: whether a name is still to be taken.
        monotonic: seconds.
    """

    def __init__(self, is_ready: Callable[[str], bool], monotonic: Callable[[], float]) -> None:
        self._is_ready = is_ready
        self._monotonic = monotonic
        self._oldest: list[tuple[float, int, str]] = []  # heap
        self._latest: deque[tuple[float, str]] = deque(maxlen=_MAX_NEWCOMERS)
        self._turn = 0

    def add(self, name: str, seen: float, mtime_ns: int) -> None:
        """This file is ready.

        Args:
            name: the file's.
            seen: monotonic seconds; files that were seen together come in the order of their mtimes.
            mtime_ns: of the file.
        """
        heapq.heappush(self._oldest, (seen, mtime_ns, name))
        self._latest.append((seen, name))

    def pop(self) -> str | None:
        """The name to be taken now, or None where nothing is ready."""
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
