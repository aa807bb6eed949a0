"""Heartbeats: stuck work is noticed, and a long queue of healthy work is not called stuck."""

from __future__ import annotations

import threading

import pytest
from clocks import Clock
from waiting import HANG_S

from inspector.monitoring.progress import Progress
from inspector.station.workers import Workers


@pytest.fixture
def clock() -> Clock:
    """A clock at zero."""
    return Clock()


def test_a_loop_that_does_not_come_round_is_at_a_standstill(clock: Clock) -> None:
    """Standstill counts from the loop's last beat; an idle loop that beats has none."""
    progress = Progress(clock)
    clock.now = 7
    assert progress.standstill_s() == 7
    progress.beat()
    assert progress.standstill_s() == 0


def test_a_running_task_is_at_a_standstill_until_it_ends(clock: Clock) -> None:
    """Standstill counts from when the task began to run, and is over when it ends."""
    progress = Progress(clock)
    progress.queued()
    clock.now = 3
    with progress.running():
        clock.now = 10
        progress.beat()
        assert progress.standstill_s() == 7
    assert progress.standstill_s() == 0


def test_a_stuck_task_is_noticed_beside_healthy_ones(clock: Clock) -> None:
    """A task that does not end counts, however many others begin and end meanwhile."""
    progress = Progress(clock)
    begun, may_end = threading.Event(), threading.Event()

    def hang(_: None) -> None:
        begun.set()
        may_end.wait(HANG_S)

    with Workers(2, progress, lambda: None) as workers:
        stuck = workers.submit(hang, None)
        assert begun.wait(HANG_S)
        for clock.now in range(1, 10):
            progress.beat()
            workers.submit(lambda _: None, None).result(HANG_S)
        assert progress.standstill_s() == 9
        may_end.set()
        stuck.result(HANG_S)
    assert progress.standstill_s() == 0


def test_a_long_queue_of_healthy_work_is_not_stuck(clock: Clock) -> None:
    """With a hundred tasks of one second in the queue, standstill is never more than one second."""
    progress, may_begin, longest = Progress(clock), threading.Event(), []

    def work(_: int) -> None:
        may_begin.wait(HANG_S)
        clock.now += 1
        progress.beat()
        longest.append(progress.standstill_s())

    with Workers(1, progress, lambda: None) as workers:
        for number in range(100):
            workers.submit(work, number)
        may_begin.set()
    assert longest == [1.0] * 100
    assert (clock.now, progress.standstill_s()) == (100, 0)


def test_a_queue_that_no_worker_takes_from_is_at_a_standstill(clock: Clock) -> None:
    """Workers that die or hang before a task begins are noticed by the waiting task."""
    progress = Progress(clock)
    clock.now = 5
    progress.queued()
    clock.now = 12
    progress.queued()
    progress.beat()
    assert progress.standstill_s() == 7
