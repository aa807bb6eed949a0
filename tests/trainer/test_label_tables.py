"""Label tables as people bring them: found, read, refused, or named as not used."""

from __future__ import annotations

from pathlib import Path

import pytest
from trainer_samples import CLASSES, write_picture

from trainer.data import datasets
from trainer.errors import DataError


def labelled(data: Path) -> list[tuple[str, str]]:
    """Return name and class of every frame."""
    listing = datasets.read(data)
    assert not listing.problems
    return [(frame.name, listing.classes[frame.label]) for frame in listing.frames]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["labels.csv", "Labels.TXT"])
def test_a_table_of_excel_is_the_label_table(
    tmp_path: Path, separator: str, encoding: str, name: str
) -> None:
    """Every form in which Excel writes a table is used instead of the folder 'images'."""
    write_picture(tmp_path / "images" / "a.png")
    write_picture(tmp_path / "images" / "gr\u00fcn.png")
    lines = [
        "Path;Label;operator;run",
        "images\\a.png;good;Ann;r1",
        "images/gru\u0308n.png;bad;Bob;r2",
        ";;;",
    ]
    text = "\r\n".join(line.replace(";", separator) for line in lines)
    (tmp_path / name).write_bytes(text.encode(encoding))
    assert labelled(tmp_path) == [("images/a.png", "good"), ("images/gr\u00fcn.png", "bad")]
    assert [frame.run for frame in datasets.read(tmp_path).frames] == ["r1", "r2"]


@pytest.mark.parametrize(
    "content",
    [
        b"\xfe\xff" + "path;label\r\nimages/a.png;good\r\n".encode("utf-16-be"),
        b"\xff\xfe" + "sep=;\r\npath;label\r\nimages/a.png;good\r\n".encode("utf-16-le"),
        b"path;label\rimages/a.png;good\r",  # Excel's CSV (Macintosh)
        b"sep=;\rpath;label\rimages/a.png;good\r",
        b'"note, with; both";"path";"label"\n"1,5; 2,5";"images/a.png";"good"\n',
        b'path,label,note\nimages/a.png,good,"a;b;c;d\ne"\n',
        b"label\tpath\tshare\ngood\timages/a.png\t0,5\n",
        b'"images/a.png";"good";"1,5,5,5"\n',
        b"path,label\n'images/a.png,good\n".replace(b"'", b""),
    ],
    ids=[
        "utf-16-be",
        "utf-16-sep",
        "mac",
        "mac-sep",
        "both-quoted",
        "two-lines",
        "tabs",
        "no-header",
        "plain",
    ],
)
def test_other_dialects_of_spreadsheets(tmp_path: Path, content: bytes) -> None:
    """Byte orders, line ends, a named separator, separators in quotes and decimal commas change nothing."""
    write_picture(tmp_path / "images" / "a.png")
    (tmp_path / "labels.csv").write_bytes(content)
    assert labelled(tmp_path) == [("images/a.png", "good")]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_text_without_a_mark_is_refused_with_how_to_save(tmp_path: Path, encoding: str) -> None:
    """Two-byte text that does not say so is no table, and the folder 'images' is not taken for a class."""
    write_picture(tmp_path / "images" / "a.png")
    (tmp_path / "labels.csv").write_bytes("path;label\nimages/a.png;good\n".encode(encoding))
    with pytest.raises(DataError, match="save it as 'CSV UTF-8"):
        datasets.read(tmp_path)


def test_a_path_with_two_labels_in_a_json_is_refused(tmp_path: Path) -> None:
    """Python would keep the last label of a name that a JSON object has twice."""
    write_picture(tmp_path / "a.png")
    (tmp_path / "l.json").write_text('{"a.png": 0, "b.png": 1, "a.png": 1}')
    with pytest.raises(DataError, match=r"1 × two labels: a\.png"):
        datasets.read(tmp_path, CLASSES)


def test_a_table_without_a_header_is_found_by_its_first_path(tmp_path: Path) -> None:
    """A CSV whose first cell is the path of an image is a label table."""
    write_picture(tmp_path / "images" / "a.png")
    (tmp_path / "l.csv").write_text("images/a.png;good\n")
    assert labelled(tmp_path) == [("images/a.png", "good")]


def test_an_encoding_that_cannot_be_read_is_refused_with_how_to_save(tmp_path: Path) -> None:
    """A table in the code page of Windows is refused; it is not passed over for the folders."""
    write_picture(tmp_path / "images" / "a.png")
    (tmp_path / "labels.csv").write_bytes("path;label\nimages/a.png;\u00fcbel\n".encode("cp1252"))
    with pytest.raises(DataError, match="save it as 'CSV UTF-8"):
        datasets.read(tmp_path)


def test_tables_that_are_not_used_are_named_with_the_reason(tmp_path: Path) -> None:
    """A CSV with other columns, a workbook, and images that the used table lacks are named."""
    write_picture(tmp_path / "good" / "a.png")
    write_picture(tmp_path / "bad" / "b.png")
    write_picture(tmp_path / "bad" / ".@__thumb" / "b.png")
    (tmp_path / "other.csv").write_text("file;operator\na;b\n")
    (tmp_path / "labels.xlsx").write_bytes(b"PK")
    listing = datasets.read(tmp_path)
    assert len(listing.frames) == 2
    assert [note.removeprefix(f"{tmp_path}/") for note in listing.notes[:2]] == [
        "labels.xlsx is not used: it is a spreadsheet; save it as 'CSV UTF-8 (comma delimited)' in Excel, or "
        "as CSV with the character set UTF-8",
        "other.csv is not used: its first line does not name the columns path and label",
    ]

    (tmp_path / "labels.csv").write_text("path,label\ngood/a.png,good\n")
    assert datasets.read(tmp_path).notes[2:] == [
        f"{tmp_path}: 1 images are not used, because labels.csv does not list them"
    ]
    (tmp_path / "labels.json").write_text('{"good/a.png": 1}')
    assert (
        f"{tmp_path / 'labels.csv'} is not used: labels.json is there, too"
        in datasets.read(tmp_path, CLASSES).notes
    )


def test_two_label_tables_are_refused(tmp_path: Path) -> None:
    """If there are two tables, the intended one is unknown, so the data is refused."""
    write_picture(tmp_path / "images" / "a.png")
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("path;label\nimages/a.png;good\n")
    with pytest.raises(DataError, match=r"which of a\.csv, b\.csv\? keep one"):
        datasets.read(tmp_path)
