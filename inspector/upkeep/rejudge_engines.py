"""Engines that judge the pages of a rejudgement, and the one of this process's threads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from inspector.records import Rejudgement
from inspector.station.second_opinion import Archived, Judge, Unread

Page = Sequence[Archived]


@dataclass(frozen=True, slots=True)
class Answers:
    """An artifact's answers on a page of images."""

    images: Page
    rows: list[Rejudgement] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)  # images without a row for now


Engine = Callable[[Iterator[Page]], Generator[Answers]]  # the order of the pages does not matter


def judge_page(judge: Judge, images: Page, batch_size: int) -> Answers:
    """Judge a page on one thread, in batches; errors as in :meth:`Judge.on`."""
    answers = Answers(images)
    for batch in _batches(images, batch_size):
        rows, unread = judge.on(batch)
        answers.rows.extend(rows)
        answers.unread.extend(unread)
    return answers


def local(judge: Judge, *, workers: int, batch_size: int, beside_daemon: Callable[[], bool]) -> Engine:
    """Return the engine of this process: threads that read and judge while no page is being recorded.

    A thread that waits for its turn could hold Python's lock, and the station waits for the database's.

    Args:
        judge: the other artifact.
        workers: threads.
        batch_size: images judged together.
        beside_daemon: whether the station is at work; then threads get only the time that nobody else wants.
    """

    def judged(pages: Iterator[Page]) -> Generator[Answers]:
        with ThreadPoolExecutor(workers, "rejudge") as pool:
            for images in pages:
                answers = Answers(images)
                work = partial(_judge, judge, beside_daemon())
                for part in pool.map(work, _batches(images, batch_size)):
                    answers.rows.extend(part.rows)
                    answers.unread.extend(part.unread)
                yield answers

    return judged


def use_idle_time() -> None:
    """Give this thread, for good, only the time that nobody else wants; Linux derives its disk priority."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _judge(judge: Judge, beside_daemon: bool, images: Page) -> Answers:
    if beside_daemon:
        use_idle_time()
    return judge_page(judge, images, len(images) or 1)


def _batches(images: Page, size: int) -> list[Page]:
    return [images[start : start + size] for start in range(0, len(images), size)]
