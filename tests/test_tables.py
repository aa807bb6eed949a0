"""CSV tables from people, in the forms of spreadsheets."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from inspector.spreadsheets.tables import TableError, has_columns, read_rows

COLUMNS = ("path", "label")
TEXT = 'path{0}label{0}note\r\nbild\\Gr\u00fcn, 1.png{0}good{0}"a ""b"""\r\n{0}{0}\r\nb.png{0}bad{0}\r\n'


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
    ],
)
@pytest.mark.parametrize("separator", ";\t")
def test_every_form_of_spreadsheets_is_read(
    tmp_path: Path, encoding: str, mark: bytes, separator: str
) -> None:
    """Semicolons and tabs, in UTF-8 or UTF-16, give the same cells; empty rows are left out."""
    path = tmp_path / "table.csv"
    for first in ("", f"sep={separator}\r\n"):
        path.write_bytes(mark + (first + TEXT.format(separator)).encode(encoding))
        lines, rows = zip(*read_rows(path, COLUMNS), strict=True)
        assert rows == (
            ["path", "label", "note"],
            ["bild\\Gr\u00fcn, 1.png", "good", 'a "b"'],
            ["b.png", "bad", ""],
        )
        assert lines == ((2, 3, 5) if first else (1, 2, 4))
        assert has_columns(path, COLUMNS)
        assert not has_columns(path, ("id",))


def test_commas_separate_if_they_separate_the_columns(tmp_path: Path) -> None:
    """The column names decide: semicolons in a note are text."""
    path = tmp_path / "table.csv"
    path.write_text("label,path,a;b;c;d\ngood,x.png,1;2;3\n")
    assert read_rows(path, COLUMNS)[1] == (2, ["good", "x.png", "1;2;3"])


@pytest.mark.parametrize(
    "content",
    [
        TEXT.format(";").encode("cp1252"),
        TEXT.format(";").encode("utf-16-le"),  # without a mark
        TEXT.format(";").encode("utf-32"),
        b"PK\x03\x04\x14\x00\x06\x00",  # a workbook with another ending
    ],
    ids=["cp1252", "unmarked", "utf-32", "workbook"],
)
def test_another_encoding_is_refused_with_how_to_save(tmp_path: Path, content: bytes) -> None:
    """Text in an unknown encoding is refused in one line that says how to save the file."""
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(TableError, match="save it as 'CSV UTF-8") as caught:
        read_rows(path, COLUMNS)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_broken_quote_are_one_line(tmp_path: Path) -> None:
    """Each other mistake is reported with its reason, or with its line."""
    with pytest.raises(TableError, match="cannot be read: No such file"):
        read_rows(tmp_path / "none.csv", COLUMNS)
    path = tmp_path / "table.csv"
    path.write_text('path,label\n"a"b,good\n')
    with pytest.raises(TableError, match="line 2: is not CSV"):
        read_rows(path, COLUMNS)
