"""The threads that decode and judge; each piece of work is under the watchdog's eye until it ends."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from inspector.monitoring.progress import Progress

R = TypeVar("R")
V = TypeVar("V")


class Workers:
    """A pool of threads; leaving the context waits for what it was given.

    Args:
        threads: how many.
        progress: told of each piece of work, from when it is given out: a worker that is stuck before it
            begins stands still, too.
        wake: called after a piece of work, from its thread, unless plenty waits for a thread still: whoever
            gives out work then has time, and does the more at once when it is called.
    """

    def __init__(self, threads: int, progress: Progress, wake: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(threads, "worker")
        self._plenty = 4 * threads  # pieces: with half as many a thread stood idle now and then
        self._progress = progress
        self._wake = wake

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def submit(self, work: Callable[[V], R], item: V) -> Future[R]:
        """Have this done as soon as a thread is free."""
        token = object()  # the work's name: its future is not known before it may have ended
        self._progress.begin(token)
        future = self._pool.submit(work, item)

        def ended(_: Future[R]) -> None:
            self._progress.end(token)
            if self._progress.under_way <= self._plenty:
                self._wake()

        future.add_done_callback(ended)
        return future
