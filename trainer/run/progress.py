"""How far training is and how long it still takes: a live bar on a terminal, words anywhere."""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Progress:
    """One bar, on stderr; where that is no terminal nothing is drawn, and :meth:`time_left` still tells."""

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
            speed_estimate_period=300,  # s: an epoch's pauses (saving, assessing) should average out
        )
        self._task = self._bar.add_task("", total=None)

    def begin(self, task: str, total: float) -> None:
        """Start over at nothing done of ``total`` (in any unit that is about as quick everywhere)."""
        self._bar.reset(self._task, description=task, total=total)

    def rename(self, task: str) -> None:
        """Name what is being done."""
        self._bar.update(self._task, description=task)

    def advance(self, done: float = 1) -> None:
        """Say that more is done."""
        self._bar.advance(self._task, done)

    def time_left(self) -> str:
        """The estimate in words, ``0:12:30 left``; empty while nothing is known."""
        seconds = self._bar.tasks[0].time_remaining
        return "" if seconds is None else f"{timedelta(seconds=round(seconds))} left"

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
