"""The threads that decode and judge; each running task has a heartbeat until it ends."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from inspector.monitoring.progress import Progress

R = TypeVar("R")
V = TypeVar("V")


class Workers:
    """A pool of threads; leaving the context waits for all tasks.

    Args:
        threads: number of threads.
        progress: keeps the heartbeats of the queue and of each running task.
        wake: called after a task, from its thread, unless many tasks still wait. The caller then has time,
            and collects more results at once.
    """

    def __init__(self, threads: int, progress: Progress, wake: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(threads, "worker")
        self._plenty = 4 * threads  # tasks: with half as many, a thread was sometimes idle
        self._progress = progress
        self._wake = wake

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def submit(self, work: Callable[[V], R], item: V) -> Future[R]:
        """Run this task as soon as a thread is free."""
        self._progress.queued()
        future = self._pool.submit(self._run, work, item)
        future.add_done_callback(self._wake_unless_plenty_waits)
        return future

    def _run(self, work: Callable[[V], R], item: V) -> R:
        with self._progress.running():
            return work(item)

    def _wake_unless_plenty_waits(self, _: Future[R]) -> None:
        if self._progress.unfinished <= self._plenty:
            self._wake()
