"""The SQL files in ``sql/reports``: the question, the parameters and the columns of each report."""

from __future__ import annotations

import difflib
import itertools
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from inspector import resources
from inspector.errors import UsageError

_INCLUDE = re.compile(r"^-- steps of (\w+)\.sql$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Definitions:
    """The head of a report's SQL file."""

    name: str
    question: str
    columns: dict[str, str]
    notes: list[str]


def names() -> dict[str, str]:
    """Every report's name with its question, which is the first line of the SQL file."""
    return {file.stem: sql(file.stem).partition("\n")[0].lstrip("- ") for file in _files()}


@cache
def sql(name: str) -> str:
    """The SQL text of a report, with the steps of another one in place of a line that names them.

    Raises:
        UsageError: there is no such report.
    """
    known = {file.stem: file for file in _files()}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known)}"
        raise UsageError(f"there is no report '{name}'; {hint}")
    text = known[name].read_text(encoding="utf-8")
    return _INCLUDE.sub(lambda line: _steps(line[1]), text)


def takes(name: str, parameter: str) -> bool:
    """Whether the SQL of a report has this parameter, for instance ``part``."""
    return re.search(rf":{parameter}\b", sql(name)) is not None


def read(name: str) -> Definitions:
    """The question, columns and notes of one of :func:`names`."""
    head = re.match(r"(?:--.*\n)*", sql(name))
    lines = [line.removeprefix("--").removeprefix(" ") for line in (head[0] if head else "").splitlines()]
    columns: dict[str, str] = {}
    notes: list[str] = []
    column = None
    for before, line in itertools.pairwise(lines):
        entry = re.fullmatch(r"(\w+) {2,}(\S.*)", line)
        if entry:
            column = entry[1].removesuffix("_us")
            columns[column] = entry[2]
        elif not line:
            column = None
        elif column:
            columns[column] += " " + line.strip()
        elif before:
            notes[-1] += " " + line
        else:
            notes.append(line)
    return Definitions(name, lines[0], columns, [note for note in notes if not note.startswith("Parameters")])


def _steps(name: str) -> str:
    """The common table expressions of a report: all between the WITH and SELECT that begin a line."""
    [steps] = re.findall(r"^WITH (.*)^SELECT", sql(name), re.MULTILINE | re.DOTALL)
    return f"{steps.rstrip()},"


def _files() -> list[Path]:
    return sorted((resources.folder("sql") / "reports").glob("*.sql"))
