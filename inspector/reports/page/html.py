"""The quality report as one HTML file that stands alone: no network, no script, all pictures within it."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from inspector.errors import StationError, UsageError
from inspector.reports import definitions
from inspector.reports.page import headline, sections
from inspector.reports.page.drawing import COLOURS
from inspector.reports.page.facts import Facts, Period, Source
from inspector.reports.page.pictures import Archived
from inspector.reports.page.plots import Plot
from inspector.reports.page.sections import Table
from inspector.reports.page.words import INSTANTS, LANGUAGES, Words, plain


@dataclass(frozen=True, slots=True)
class Page:
    """A finished report, with the figures by which an index tells it from others."""

    html: str
    figures: dict[str, Any]


def quality_report(source: Source, period: Period, archived: Archived, language: str, now: datetime) -> Page:
    """Make the report.

    Args:
        source: the quality database and what of it to show.
        period: which inspections.
        archived: the archive to take images from.
        language: of headings, one of :data:`inspector.reports.page.words.LANGUAGES`.
        now: when it is made; aware.

    Raises:
        UsageError: an unknown language or station.
        SchemaError: the database lacks the schema.
        StoreUnavailable: the server does not answer.
    """
    words, facts = Words(language), Facts(source, period)
    before = Facts(source, period.before) if period.before else None
    cards = headline.cards(facts, before, words)
    made = sections.sections(facts, before, archived, words)
    named = dict.fromkeys(name for section in made for name in section.reports)
    figures = {
        "since": _moment(period.since),
        "until": _moment(period.until),
        "station": source.station,
        "part": source.part,
        "cards": {card.key: card.text for card in cards},
    }
    html = (
        _environment(words)
        .get_template("report.html")
        .render(
            page=figures,
            period=span(period, words),
            before=span(period.before, words) if period.before else None,
            reference=span(source.reference, words) if source.reference else None,
            zone=str(source.zone),
            made=now.astimezone(source.zone),
            models=facts.rows("models"),
            cards=cards,
            notices=headline.attention(facts, words),
            sections=made,
            definitions=[definitions.read(name) for name in named],
        )
    )
    return Page(html, figures)


def index(reports: list[dict[str, Any]], keep: int, language: str) -> str:
    """The page that links reports, the newest first; each with its ``file`` and the figures of its page."""
    words = Words(language)
    return _environment(words).get_template("index.html").render(reports=reports, keep=keep)


def span(period: Period, words: Words) -> str:
    """A period as people write it: whole days by their first and last, else to the minute."""
    if period.since is None:
        return words("page.to", since=words("page.from_beginning"), until=f"{period.until:%Y-%m-%d %H:%M}")
    if all(moment.time() == datetime.min.time() for moment in (period.since, period.until)):
        last = period.last_day
        first = f"{period.since:%Y-%m-%d}"
        return first if first == str(last) else words("page.to", since=first, until=last)
    return words("page.to", since=f"{period.since:%Y-%m-%d %H:%M}", until=f"{period.until:%Y-%m-%d %H:%M}")


def write(file: Path, text: str) -> None:
    """Put a whole file in its place: a reader sees the old one or the new one.

    Raises:
        UsageError: its folder is missing.
        StationError: it cannot be written.
    """
    if not file.parent.is_dir():
        raise UsageError(f"--out {file}: there is no folder {file.parent}; make it or name another")
    unfinished = file.with_name(f".{file.name}.unfinished-{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(file)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise StationError(f"--out {file}: cannot be written: {error.strerror}") from None


def css_string(text: object) -> Markup:
    """Text as a CSS string that nothing can break out of: all but letters and digits by their numbers."""
    escaped = re.sub(r"[^0-9A-Za-z]", lambda character: f"\\{ord(character[0]):x} ", plain(text))
    return Markup(f'"{escaped}"')  # noqa: S704 - letters, digits and escapes only


def breakable(text: object) -> Markup:
    """Text whose line may break after each underscore: class and file names have no spaces."""
    return Markup("_<wbr>").join(escape(part) for part in plain(text).split("_"))


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="minutes") if moment else None


def _environment(words: Words) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else plain(value),
    )
    environment.filters |= {"css_string": css_string, "json": _json, "svg": _svg, "breakable": breakable}
    environment.globals |= {
        "words": words,
        "colours": COLOURS,
        "instants": INSTANTS,
        "lang": LANGUAGES[words.language],
        "kind": lambda block: type(block).__name__,
        "is_number": _is_number,
    }
    return environment


def _is_number(table: Table, column: str) -> bool:
    """Whether a column is set to the right."""
    return all(isinstance(row[column], int | float | None) for row in table.rows)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)  # ASCII; the template escapes it as any other text


def _svg(plot: Plot) -> Markup:
    return Markup(plot.svg)  # noqa: S704 - serialized by ElementTree, which escapes
