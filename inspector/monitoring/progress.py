"""Heartbeats: whether the station's main loop, its running tasks and its queue of tasks get on.

The watchdog is fed and the health page says "stuck" by :meth:`Progress.standstill_s`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Progress:
    """When the main loop last came round, and when each task and the queue last moved; safe for any thread.

    Time counts for a task while it *runs*. A task that waits for a worker is healthy as long as workers go on
    to begin tasks, however long the queue is. An idle station makes progress, since its loop comes round.
    So does one that waits for its database, since it tries again and again.

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
        """The main loop has come round."""
        self._loop_beat = self._monotonic()

    def queued(self) -> None:
        """A task waits for a worker."""
        with self._lock:
            if self._queued == 0:
                self._queue_beat = self._monotonic()
            self._queued += 1

    @contextmanager
    def running(self) -> Iterator[None]:
        """A queued task runs in this thread within the block."""
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
        """Tasks that wait or run."""
        with self._lock:
            return self._queued + len(self._began)

    def standstill_s(self) -> float:
        """Seconds for which the loop, the longest running task or a queue that is not empty has not moved."""
        with self._lock:
            beats = [self._loop_beat, *self._began.values(), *([self._queue_beat] if self._queued else [])]
            return self._monotonic() - min(beats)
