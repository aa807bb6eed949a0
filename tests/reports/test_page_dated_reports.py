"""A folder of reports: the newest stay, the index links them, and other people's files are left alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import html5lib
import pytest

from inspector.errors import StationError
from inspector.reports.page import dated_reports
from inspector.reports.page.html import Page
from inspector.reports.page.period import Period

FIRST = datetime(2026, 3, 1, tzinfo=UTC)
CARDS = {"images": "1,013", "first_pass": "86.2%"}


def put(folder: Path, day: int, keep: int = 3, **figures: object) -> Path:
    """Add a report of the week that ends on a day."""
    until = FIRST + timedelta(days=day)
    content = {"station": "cell-1", "part": None, "cards": CARDS} | figures
    from markupsafe import escape

    meta = f'<meta name="{dated_reports.META_NAME}" content="{escape(dated_reports.json.dumps(content))}">'
    page = Page(f"<!DOCTYPE html><html><head>{meta}</head><body>{day}</body></html>", content)
    return dated_reports.add(folder, page, Period(until - timedelta(days=7), until), keep, "en")


def index(folder: Path) -> list[list[str]]:
    """The rows of the index as text, without its head; links as their targets."""
    parser = html5lib.HTMLParser(html5lib.getTreeBuilder("etree"), strict=True, namespaceHTMLElements=False)
    root = parser.parse((folder / "index.html").read_text(encoding="utf-8"))
    return [
        [
            (cell.find("a").get("href") if cell.find("a") is not None else "".join(cell.itertext()))
            for cell in row
        ]
        for row in root.iter("tr")
    ][1:]


def test_the_newest_stay_and_are_linked(tmp_path: Path):
    """If there are more reports than the limit, the oldest go; the index links the rest, newest first."""
    for day in (3, 1, 2, 5, 4):
        put(tmp_path / "reports", day)
    names = ["quality-2026-03-05.html", "quality-2026-03-04.html", "quality-2026-03-03.html"]
    rows = index(tmp_path / "reports")
    assert [row[0] for row in rows] == names
    assert sorted(file.name for file in (tmp_path / "reports").iterdir()) == sorted([*names, "index.html"])
    assert rows[0][1:6] == ["cell-1", "all parts", "the station's verdicts", "1,013", "86.2%"]
    put(tmp_path / "reports", 6, verdicts="final")
    assert index(tmp_path / "reports")[0][3] == "final verdicts"
    put(tmp_path / "reports", 7, verdicts="theirs")
    assert index(tmp_path / "reports")[0][1:4] == ["all stations", "all parts", "the station's verdicts"]


def test_a_report_from_a_clock_that_was_ahead_does_not_remove_the_new_one(tmp_path: Path):
    """The new report stays, with any dates of the others."""
    for day in (800, 801, 802):
        put(tmp_path, day)
    assert put(tmp_path, 3).is_file()
    assert [row[0] for row in index(tmp_path)][-1] == "quality-2026-03-03.html"
    assert put(tmp_path, 4, keep=1).is_file()
    assert [row[0] for row in index(tmp_path)] == ["quality-2026-03-04.html"]


def test_a_report_is_named_by_its_last_day(tmp_path: Path):
    """A period up to midnight is named by its last day, another by its minute; a second one replaces it."""
    assert put(tmp_path, 8).name == "quality-2026-03-08.html"
    assert put(tmp_path, 8).name == "quality-2026-03-08.html"
    until = FIRST + timedelta(hours=14, minutes=5)
    file = dated_reports.add(tmp_path, Page("x", {}), Period(None, until), 3, "en")
    assert file.name == "quality-2026-03-01T1405.html"
    assert len(index(tmp_path)) == 2


def test_files_of_other_names_are_left_alone(tmp_path: Path):
    """Only files that the program named itself are removed."""
    others = ["quality-2020.html", "notes.html", "quality-2020-01-01.html.bak", "xquality-2020-01-01.html"]
    for name in others:
        (tmp_path / name).write_text("mine")
    for day in range(3):
        put(tmp_path, day, keep=1)
    assert {name for name in others if (tmp_path / name).is_file()} == set(others)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"<meta name=weldnet-report content=3>",
        b"<meta name=weldnet-report content='{\"cards\": 3}'>",
        b"<!--",
    ],
)
def test_a_spoilt_report_does_not_spoil_the_index(tmp_path: Path, content: bytes):
    """A report whose figures cannot be read is linked too."""
    (tmp_path / "quality-2020-01-01.html").write_bytes(content)
    put(tmp_path, 1)
    assert index(tmp_path)[-1][0] == "quality-2020-01-01.html"


def test_the_figures_of_a_report_are_text_in_the_index(tmp_path: Path):
    """Markup in the figures of an older report is text in the index."""
    put(tmp_path, 1, station="<script>alert(1)</script>", cards={"images": "<b>"})
    (row,) = index(tmp_path)
    assert row[1] == "<script>alert(1)</script>"
    assert row[4] == "<b>"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path):
    """A folder with a missing parent, and a file in its place, are refused with one line."""
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "no" / "reports", tmp_path / "file"):
        with pytest.raises(StationError, match="--out"):
            put(folder, 1)
