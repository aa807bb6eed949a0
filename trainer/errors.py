"""Every error of the trainer that a user can meet. Each message is one line: what is wrong, how to fix it.

TrainerError                exit status 1: the work failed; files that were saved stay
├── TrainingError           the loss is no longer a number
├── ProcessFailed           one process of a training failed; the exit status is that of the process
└── UsageError              exit status 2: the user must change something
    ├── RecipeError         a key, a value or the file itself
    ├── DataError           labels or images; lists every problem
    ├── RunError            the run folder holds another run, or is in use
    └── MissingExtra        the extra ``train`` is not installed

``ImageError`` of the decoder and ``ArtifactError`` of the metadata come from the inspector.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


class TrainerError(Exception):
    """Base of all expected errors. A command ends with ``exit_status``."""

    exit_status = 1


class TrainingError(TrainerError):
    """The loss is no longer a number, so training cannot continue."""


class ProcessFailed(TrainerError):
    """One process of a training failed.

    Attributes:
        exit_status: of the process; 1 if a signal ended it.
        output: the lines that it wrote before its last line, to show before this error.
    """

    def __init__(self, message: str, exit_status: int, output: str = "") -> None:
        super().__init__(message)
        self.exit_status, self.output = exit_status, output


class UsageError(TrainerError):
    """A mistake that the user must fix before trying again."""

    exit_status = 2


class RecipeError(UsageError):
    """A mistake in a recipe or in ``--set``."""


class RunError(UsageError):
    """A run folder that is in use, or that holds the run of another recipe or data set."""


class MissingExtra(UsageError):
    """A missing package that only training needs."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with the data."""

    kind: str  # problems are counted by kind
    what: str  # the file, class or line
    path: Path | None = None  # the image, if it cannot be read

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


class DataError(UsageError):
    """The data cannot be trained on or evaluated.

    Attributes:
        problems: every problem found, so that the user can fix them all at once.
    """

    def __init__(self, source: object, problems: Sequence[Problem]) -> None:
        counts = Counter(problem.kind for problem in problems)
        total = ", ".join(f"{count} × {kind}" for kind, count in counts.items())
        only = f": {problems[0].what}" if len(problems) == 1 else ""
        super().__init__(f"{source}: {total}{only}")
        self.problems = list(problems)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` if one of the ``known`` words is similar, else an empty text."""
    spellings = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), list(spellings), n=1)
    return f"; did you mean '{spellings[near[0]]}'?" if near else ""
