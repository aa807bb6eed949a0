"""A folder of dated reports with an index page; the newest N stay."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from inspector.errors import StationError, UsageError
from inspector.reports.page import html
from inspector.reports.page.html import Page
from inspector.reports.page.output import write_page
from inspector.reports.page.period import Period
from inspector.reports.query import VERDICTS

INDEX_FILE = "index.html"
META_NAME = "weldnet-report"
_REPORT_NAME = re.compile(r"quality-\d{4}-\d\d-\d\d(T\d{4})?\.html")
_HEAD_CHARACTERS = 8_000  # enough for the head of a page, which holds its figures


def add(folder: Path, page: Page, period: Period, keep: int, language: str) -> Path:
    """Add a report to the folder, remove the oldest beyond ``keep``, and rewrite the index.

    The file is named after the end of the period. A report with the same end is replaced. Files with other
    names are left alone.

    Args:
        folder: it is made if it is missing, but its parent is not.
        page: the report.
        period: the period of the report.
        keep: the number of reports that stay, at least 1.
        language: the language of the index.

    Returns:
        The file of the report.

    Raises:
        UsageError: the folder cannot be made.
        StationError: a file cannot be written or removed.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {folder}: cannot be made: {error.strerror}; name another folder") from None
    whole_days = f"{period.until:%H%M}" == "0000"
    end = f"{period.last_day}" if whole_days else f"{period.until:%Y-%m-%dT%H%M}"
    file = folder / f"quality-{end}.html"
    write_page(file, page.html)
    ours = {path.name for path in folder.iterdir() if _REPORT_NAME.fullmatch(path.name)}
    # The new report stays, also beside older ones of a clock that was ahead.
    others = sorted(ours - {file.name}, reverse=True)
    for name in others[keep - 1 :]:
        _remove(folder / name)
    names = sorted([file.name, *others[: keep - 1]], reverse=True)
    kept = [read_figures(folder / name) | {"file": name} for name in names]
    write_page(folder / INDEX_FILE, html.index(kept, keep, language))
    return file


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise StationError(f"{file}: an old report cannot be removed: {error.strerror}") from None


def read_figures(file: Path) -> dict[str, Any]:
    """The figures in the head of a report; empty ones if the file is no report of this program."""
    # Reports of earlier versions counted the station's verdicts, and do not name them.
    nothing: dict[str, Any] = {"station": None, "part": None, "verdicts": "station", "cards": {}}
    reader = _Head()
    try:
        with file.open(encoding="utf-8") as stream:
            reader.feed(stream.read(_HEAD_CHARACTERS))
        content = json.loads(reader.content)
    except (OSError, ValueError):
        return nothing
    figures = nothing | content if isinstance(content, dict) else nothing
    is_known = isinstance(figures["cards"], dict) and figures["verdicts"] in VERDICTS
    return figures if is_known else nothing


class _Head(HTMLParser):
    content = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the content of this program's meta element."""
        attributes = dict(attrs)
        if tag == "meta" and attributes.get("name") == META_NAME:
            self.content = attributes.get("content") or ""
