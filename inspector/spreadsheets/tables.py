"""CSV tables from people, in all the forms that spreadsheets write.

Cells are separated by commas, semicolons or tabs. The text is UTF-8, or UTF-16 with a byte-order mark. Any
other encoding is refused, because a wrong guess would silently change names. The trainer reads its label
tables with this module, too, so both programs accept the same files.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path

from inspector.spreadsheets.cells import as_cell as as_cell  # re-exported for the trainer, as is from_cell
from inspector.spreadsheets.cells import from_cell as from_cell

HOW_TO_SAVE = "save it as 'CSV UTF-8 (comma delimited)' in Excel, or as CSV with the character set UTF-8"
_SEPARATORS = ",;\t"
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?(\r\n?|\n)')  # Excel's own first line, which names the separator
_LINE_END = re.compile(r"\r\n?|\n")  # a carriage return alone: Excel's 'CSV (Macintosh)'
_QUOTED = re.compile(r'"[^"]*"')  # a separator in quotes separates nothing

Row = tuple[int, list[str]]  # number of the row's last line, and its cells


class TableError(ValueError):
    """A file that is not a table. The message says why and how to save it; the caller adds the name."""


def read_rows(path: Path, columns: Iterable[str]) -> list[Row]:
    """Read every row of a table that is not empty, the header row included.

    Args:
        path: the file.
        columns: names that a header row has; they decide which character separates the cells.

    Raises:
        TableError: the file is missing, in another encoding, or not CSV.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TableError(f"cannot be read: {error.strerror}") from None
    try:
        text = _decode(content)
    except UnicodeDecodeError:
        raise TableError(f"is neither UTF-8 nor UTF-16 text: {HOW_TO_SAVE}") from None
    if "\0" in text:
        raise TableError(f"is not text: {HOW_TO_SAVE}")
    return _parse(text, columns)


def has_columns(path: Path, columns: Iterable[str]) -> bool:
    """Whether the first line names all columns, also if the rest of the file is in another encoding."""
    try:
        with path.open("rb") as stream:
            start = stream.read(4096)
    except OSError:
        return False
    # Text in two bytes that does not say so has zeros in between
    text = _decode(start, errors="replace").removeprefix("\ufeff").replace("\0", "")
    try:
        rows = _parse(text, columns, strict=False)  # the last row may be cut
    except TableError:
        return False
    return bool(rows) and set(columns) <= {cell.strip().lower() for cell in rows[0][1]}


def _decode(content: bytes, errors: str = "strict") -> str:
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if utf16 else "utf-8-sig", errors)


def _parse(text: str, columns: Iterable[str], *, strict: bool = True) -> list[Row]:
    named = _SEPARATOR_LINE.match(text)
    separator = named[1] if named else _separator(text, set(columns))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=strict)
    rows = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells) and not (named and reader.line_num == 1):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        raise TableError(f"line {reader.line_num}: is not CSV: {error}") from None
    return rows


def _separator(text: str, columns: set[str]) -> str:
    """Return the separator that gives the first line these columns, else its most frequent one."""
    first_line = _LINE_END.split(text, maxsplit=1)[0]
    for separator in _SEPARATORS:
        cells = {cell.strip().strip('"').strip().lower() for cell in first_line.split(separator)}
        if columns <= cells:
            return separator
    return max(_SEPARATORS, key=_QUOTED.sub("", first_line).count)
