"""Progress of a run, and the time that is left."""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Progress:
    """A progress bar, drawn only on a terminal. :meth:`time_left` works everywhere."""

    def __init__(self, console: Console) -> None:
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("·"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
            speed_estimate_period=300,  # s: long enough to average over pauses (saving, evaluation)
        )
        self._task = self._bar.add_task("", total=None)

    def begin(self, task: str, total: float) -> None:
        """Start a task at zero of ``total``, in any unit that takes about the same time throughout."""
        self._bar.reset(self._task, description=task, total=total)

    def rename(self, task: str) -> None:
        """Change the name of the task."""
        self._bar.update(self._task, description=task)

    def advance(self, done: float = 1) -> None:
        """Add to the amount that is done."""
        self._bar.advance(self._task, done)

    def extend(self, more: float) -> None:
        """Add to the amount that is to be done."""
        self._bar.update(self._task, total=(self._bar.tasks[0].total or 0) + more)

    def time_left(self) -> str:
        """Return the estimate as text, ``0:12:30 left``; empty while there is no estimate."""
        seconds = self._bar.tasks[0].time_remaining
        return "" if seconds is None else f"{timedelta(seconds=round(seconds))} left"

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
