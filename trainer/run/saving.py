"""Files of tensors, text and tables, written whole or not at all."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from inspector.spreadsheets.tables import as_cell
from trainer.errors import TrainerError


def save(content: dict[str, Any], path: Path) -> None:
    """Save tensors to a temporary file, flush it to the disk, and rename it.

    Raises:
        TrainerError: the disk is full, or the folder is not writable; an older file stays as it is.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            torch.save(content, stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
        temporary.unlink(missing_ok=True)
        raise TrainerError(f"{path}: cannot be saved ({' '.join(str(error).split())[:200]})") from None


def write_text(text: str, path: Path) -> None:
    """Write a text file.

    Raises:
        TrainerError: the disk is full, or the folder is not writable; an older file stays as it is.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())  # else a power cut after the rename leaves an empty file
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise TrainerError(
            f"{path}: cannot be written ({error.strerror}); fix that, and the same command resumes"
        ) from None


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a CSV for people: no cell is a formula, and a spreadsheet reads the text as UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([as_cell(value) for value in row] for row in rows)
    content = text.getvalue()
    # Excel reads a CSV as UTF-8 only with a byte-order mark
    return content if content.isascii() else f"\ufeff{content}"
