"""Worker threads wake the main loop in time, and not after every task."""

from __future__ import annotations

import threading

import pytest
from waiting import HANG_S

from inspector.monitoring.progress import Progress
from inspector.station.workers import Workers


@pytest.mark.parametrize("threads", [1, 3])
def test_the_loop_is_woken_before_the_workers_run_dry_and_not_while_many_tasks_wait(threads: int):
    """The first ends of many tasks wake nothing; from a few before the last on, each end does."""
    progress, left, may_go_on = Progress(), [], threading.Semaphore(0)
    pieces = 10 * threads
    with Workers(threads, progress, lambda: left.append(progress.unfinished)) as workers:
        given = [workers.submit(lambda _: may_go_on.acquire(), None) for _ in range(pieces)]
        may_go_on.release(pieces)
        for piece in given:
            piece.result(timeout=HANG_S)
    assert progress.unfinished == 0
    assert max(left) < pieces // 2, "it was woken while half of the tasks still waited"
    assert max(left) > threads, "it was woken only when a thread had nothing left to do"
    assert min(left) == 0, "the last end woke nothing"


def test_a_single_task_wakes_at_once():
    """If no other task waits, the end of any task wakes the loop."""
    woken = threading.Event()
    with Workers(2, Progress(), woken.set) as workers:
        for _ in range(3):
            woken.clear()
            workers.submit(lambda item: item, 1)
            assert woken.wait(timeout=HANG_S)
