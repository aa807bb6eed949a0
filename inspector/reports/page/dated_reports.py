"""A folder of dated reports with an index page: the newest N stay."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from inspector.errors import StationError
from inspector.reports.page import html
from inspector.reports.page.html import Page
from inspector.reports.page.output import write_page
from inspector.reports.page.period import Period

INDEX_FILE = "index.html"
META_NAME = "weldnet-report"
_REPORT_NAME = re.compile(r"quality-\d{4}-\d\d-\d\d(T\d{4})?\.html")
_HEAD_CHARACTERS = 8_000  # the page's head, where its figures stand, ends before


def add(folder: Path, page: Page, period: Period, keep: int, language: str) -> Path:
    """Add a report by its period's end, remove the oldest beyond ``keep``, and write the index anew.

    A report of the same end is replaced. Files of other names are nobody's business here.

    Args:
        folder: made where it is missing, but not its parent.
        page: the report.
        period: what it tells of.
        keep: reports that stay, at least 1.
        language: of the index.

    Returns:
        The report's file.

    Raises:
        UsageError: the folder cannot be made.
        StationError: a file cannot be written or removed.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise StationError(f"--out {folder}: cannot be made: {error.strerror}") from None
    whole_days = f"{period.until:%H%M}" == "0000"
    end = f"{period.last_day}" if whole_days else f"{period.until:%Y-%m-%dT%H%M}"
    file = folder / f"quality-{end}.html"
    write_page(file, page.html)
    ours = (path.name for path in folder.iterdir() if _REPORT_NAME.fullmatch(path.name))
    names = sorted(ours, reverse=True)
    for name in names[keep:]:
        _remove(folder / name)
    kept = [read_figures(folder / name) | {"file": name} for name in names[:keep]]
    write_page(folder / INDEX_FILE, html.index(kept, keep, language))
    return file


def _remove(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise StationError(f"{file}: an old report cannot be removed: {error.strerror}") from None


def read_figures(file: Path) -> dict[str, Any]:
    """What a report's head says of it; nothing where it cannot be read as one of ours."""
    nothing: dict[str, Any] = {"station": None, "part": None, "cards": {}}
    reader = _Head()
    try:
        with file.open(encoding="utf-8") as stream:
            reader.feed(stream.read(_HEAD_CHARACTERS))
        content = json.loads(reader.content)
    except (OSError, ValueError):
        return nothing
    told = nothing | content if isinstance(content, dict) else nothing
    return told if isinstance(told["cards"], dict) else nothing


class _Head(HTMLParser):
    content = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the content of our own meta element."""
        told = dict(attrs)
        if tag == "meta" and told.get("name") == META_NAME:
            self.content = told.get("content") or ""
