"""Heartbeats: whether the main loop, the running tasks and the queue of tasks make progress.

:meth:`Progress.standstill_s` decides whether the watchdog is fed, and whether the health page says "stuck".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Progress:
    """The times at which the main loop, each running task and the queue last moved; safe for any thread.

    A task's time counts while it *runs*. A task that waits for a worker is healthy as long as workers begin
    tasks, however long the queue is. An idle station makes progress, since its loop goes round. So does a
    station that waits for its database, since it tries again and again.

    Args:
        monotonic: seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._loop_beat = monotonic()
        self._queue_beat = 0.0  # when a task last began, or came into an empty queue
        self._queued = 0  # tasks that wait for a worker
        self._began: dict[int, float] = {}  # by thread: when its running task began

    def beat(self) -> None:
        """Note that the main loop goes round."""
        self._loop_beat = self._monotonic()

    def queued(self) -> None:
        """Note a task that waits for a worker."""
        with self._lock:
            if self._queued == 0:
                self._queue_beat = self._monotonic()
            self._queued += 1

    @contextmanager
    def running(self) -> Iterator[None]:
        """Note a queued task that runs in this thread within the block."""
        thread = threading.get_ident()
        with self._lock:
            self._queued -= 1
            self._queue_beat = self._began[thread] = self._monotonic()
        try:
            yield
        finally:
            with self._lock:
                del self._began[thread]

    @property
    def unfinished(self) -> int:
        """Number of tasks that wait or run."""
        with self._lock:
            return self._queued + len(self._began)

    def standstill_s(self) -> float:
        """Return how long the loop, the longest running task or a queue with tasks has not moved."""
        with self._lock:
            beats = [self._loop_beat, *self._began.values(), *([self._queue_beat] if self._queued else [])]
            return self._monotonic() - min(beats)
