"""Every error of the trainer a user can meet; each message is one line: what is wrong, and how to mend it.

TrainerError                exit status 1: the work failed, what was saved stays
├── TrainingError           the loss is no longer a number
├── ProcessFailed           one of the processes that learn together failed; with that one's exit status
└── UsageError              exit status 2: trying again will not help
    ├── RecipeError         a key, a value or the file itself
    ├── DataError           labels or images, all that is wrong with them at once
    ├── RunError            the run folder holds another run
    └── MissingExtra        the ``train`` extra is not installed

The decoder's ``ImageError`` and the metadata's ``ArtifactError`` are the inspector's and keep their names.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


class TrainerError(Exception):
    """Base of all expected errors; ``exit_status`` is what a command returns for it."""

    exit_status = 1


class TrainingError(TrainerError):
    """Training cannot go on: the loss is no longer a number."""


class ProcessFailed(TrainerError):
    """One of the processes that learn together failed.

    Attributes:
        exit_status: of that process; 1 if a signal ended it.
        output: the lines that it wrote before its last words, to be shown before this error.
    """

    def __init__(self, message: str, exit_status: int, output: str = "") -> None:
        super().__init__(message)
        self.exit_status, self.output = exit_status, output


class UsageError(TrainerError):
    """Something the user must change: trying again will not help."""

    exit_status = 2


class RecipeError(UsageError):
    """A recipe or a ``--set`` is wrong."""


class RunError(UsageError):
    """A run folder holds another recipe's or another data set's run, or is in use."""


class MissingExtra(UsageError):
    """A package that only training needs is not installed."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the data: ``kind`` is counted, ``what`` names the file, class or line."""

    kind: str
    what: str
    path: Path | None = None  # of the image that cannot be read

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


class DataError(UsageError):
    """The data cannot be trained on or evaluated.

    Attributes:
        problems: every problem found, so that one look is enough to mend them all.
    """

    def __init__(self, source: object, problems: Sequence[Problem]) -> None:
        counts = Counter(problem.kind for problem in problems)
        total = ", ".join(f"{count} × {kind}" for kind, count in counts.items())
        only = f": {problems[0].what}" if len(problems) == 1 else ""
        super().__init__(f"{source}: {total}{only}")
        self.problems = list(problems)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` where one of ``known`` is near, else nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
