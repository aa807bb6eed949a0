"""Label tables: a JSON of ``{relative path: class number}``, or a CSV of ``path,label[,run,decided]``."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from inspector.spreadsheets import tables
from trainer.data.files import is_system_name
from trainer.errors import DataError, Problem

COLUMNS = ("path", "label", "run")
DECIDED = "decided"  # a column of 'weld-inspect export': when a person gave the label
_TABLE_SUFFIXES = (".csv", ".tsv", ".txt")  # Excel's 'Unicode Text' ends with .txt
_SPREADSHEET_SUFFIXES = (".xlsx", ".xls", ".ods")


class LabelRow(NamedTuple):
    """One labelled frame of a table."""

    path: str
    label: object
    run: str | None
    decided: datetime | None = None


def find(data: Path, notes: list[str]) -> Path | None:
    """Find the label table of a folder; None if class folders name the labels.

    Args:
        data: the folder.
        notes: gets a line for each table that is there and not used.

    Raises:
        DataError: there are several.
    """
    files = [path for path in sorted(data.iterdir()) if path.is_file() and not is_system_name(path.name)]
    jsons = [path for path in files if path.suffix.lower() == ".json"]
    csvs = [path for path in files if path.suffix.lower() in _TABLE_SUFFIXES and _is_label_csv(path)]
    found = jsons or csvs
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DataError(data, [Problem("unclear labels", f"which of {names}? keep one")])
    for path in files:
        if path in found or path.suffix.lower() not in (".csv", ".tsv", *_SPREADSHEET_SUFFIXES):
            continue
        if path in csvs:
            why = f"{found[0].name} is there, too"
        elif path.suffix.lower() in _SPREADSHEET_SUFFIXES:
            why = f"it is a spreadsheet; {tables.HOW_TO_SAVE}"
        else:
            why = "its first line does not name the columns path and label"
        notes.append(f"{path} is not used: {why}")
    return found[0] if found else None


def read(path: Path) -> Iterator[LabelRow]:
    """Read a table, sorted by label, so that classes that labels name are in this order.

    Raises:
        DataError: it cannot be read, or a row has no label.
    """
    return _json_rows(path) if path.suffix.lower() == ".json" else _csv_rows(path)


def existing_file(folder: Path, name: str) -> Path | None:
    r"""Return the file that a table names; None if there is none.

    Tables that were written on Windows have ``\`` in paths. Those of macOS have another Unicode form. In our
    own tables an apostrophe is before a name that begins like a formula.
    """
    plain = [name, name.strip(), name.strip().replace("\\", "/"), tables.from_cell(name.strip())]
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD") for text in plain]
    for candidate in dict.fromkeys([*plain, *forms]):
        try:
            if candidate and (folder / candidate).is_file():
                return folder / candidate
        except (OSError, ValueError):  # too long for the file system, or a NUL
            continue
    return None


def _is_label_csv(path: Path) -> bool:
    """Whether a file names the columns, or begins with the path of an image and its label."""
    if tables.has_columns(path, COLUMNS[:2]):
        return True
    if path.suffix.lower() == ".txt":
        return False
    try:
        rows = tables.read_rows(path, COLUMNS[:2])
    except tables.TableError:
        return False
    return bool(rows) and len(rows[0][1]) > 1 and existing_file(path.parent, rows[0][1][0]) is not None


class _TwoLabels(Exception):
    """Paths that a JSON object has twice."""


def _one_label_per_path(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Make an object of its pairs. Python would keep the last of two labels without a word."""
    counts = Counter(name for name, _ in pairs)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise _TwoLabels(*twice)
    return dict(pairs)


def _json_rows(path: Path) -> Iterator[LabelRow]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_one_label_per_path)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(path, [Problem("unreadable label file", str(error))]) from None
    except _TwoLabels as error:
        raise DataError(path, [Problem("two labels", name) for name in error.args]) from None
    except (ValueError, RecursionError) as error:
        raise DataError(path, [Problem("not JSON", str(error))]) from None
    if not isinstance(content, dict):
        raise DataError(path, [Problem("not a label file", "it must be {relative path: class number}")])
    for name, label in sorted(content.items(), key=lambda item: (str(item[1]), item[0])):
        run = Path(name.replace("\\", "/")).parent.as_posix()
        yield LabelRow(name, label, None if run == "." else run)


def _csv_rows(path: Path) -> Iterator[LabelRow]:
    try:
        rows = tables.read_rows(path, COLUMNS[:2])
    except tables.TableError as error:
        raise DataError(path, [Problem("unreadable label file", str(error))]) from None
    header = list(COLUMNS)
    first = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    if set(COLUMNS[:2]) <= set(first):
        header = first
        del rows[0]
    elif rows and not Path(rows[0][1][0]).suffix and existing_file(path.parent, rows[0][1][0]) is None:
        raise DataError(path, [Problem("unknown columns", f"{', '.join(first)}; name them path,label[,run]")])
    needed = max(header.index(name) for name in COLUMNS[:2]) + 1
    short = [line for line, cells in rows if len(cells) < needed]
    if short:
        raise DataError(path, [Problem("row without a label", f"line {line}") for line in short])
    named = [dict(zip(header, cells, strict=False)) for _, cells in rows]
    for cell in sorted(named, key=lambda cell: (cell["label"], cell["path"])):
        decided = _instant(path, cell["path"], cell.get(DECIDED, "").strip())
        label = tables.from_cell(cell["label"])  # as the trainer's own tables have it
        yield LabelRow(cell["path"], label, tables.from_cell(cell.get("run", "").strip()) or None, decided)


def _instant(table: Path, name: str, text: str) -> datetime | None:
    """Return the time of a label; one without an offset is UTC."""
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(
            table,
            [Problem("not a time", f"{text!r} of {name}; write 2026-11-29T08:30:00Z, or leave it empty")],
        ) from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
