"""The quality report as one self-contained HTML file: no network, no script, all pictures inside."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from inspector import resources
from inspector.reports import definitions
from inspector.reports.page import headline, sections
from inspector.reports.page.period import Period
from inspector.reports.page.period_reports import PeriodReports, Source
from inspector.reports.page.pictures import LocalArchive
from inspector.reports.page.plot_style import COLOURS, DARK_COLOURS
from inspector.reports.page.plots import Plot
from inspector.reports.page.sections import Table
from inspector.reports.page.words import INSTANT_COLUMNS, LANGUAGES, Words, printable


@dataclass(frozen=True, slots=True)
class Page:
    """A finished report, with the figures that the index of a folder of reports lists."""

    html: str
    figures: dict[str, Any]


def quality_report(
    source: Source, period: Period, archive: LocalArchive, language: str, now: datetime
) -> Page:
    """Make the quality report of a period.

    Args:
        source: the quality database, and the station and part to show.
        period: the inspections to count.
        archive: the archive to take images from.
        language: the language of the headings, one of :data:`inspector.reports.page.words.LANGUAGES`.
        now: the time that the page gives for its making; with a time zone.

    Raises:
        UsageError: an unknown language or station.
        SchemaError: the database lacks the schema.
        StoreUnavailable: the server does not answer.
    """
    words, reports = Words(language), PeriodReports(source, period)
    before = PeriodReports(source, period.before) if period.before else None
    cards = headline.cards(reports, before, words)
    made = sections.sections(reports, before, archive, words)
    named = dict.fromkeys(name for section in made for name in section.reports)
    figures = {
        "since": _moment(period.since),
        "until": _moment(period.until),
        "station": source.station,
        "part": source.part,
        "verdicts": source.verdicts,
        "cards": {card.key: card.text for card in cards},
    }
    html = (
        _environment(words)
        .get_template("report.html")
        .render(
            page=figures,
            period=period_text(period, words),
            before=period_text(period.before, words) if period.before else None,
            reference=period_text(source.reference, words) if source.reference else None,
            zone=str(source.zone),
            version=resources.version(),
            made=now.astimezone(source.zone),
            models=reports.rows("models"),
            cards=cards,
            notices=headline.attention(reports, words),
            sections=made,
            definitions=[definitions.read(name) for name in named],
        )
    )
    return Page(html, figures)


def index(reports: list[dict[str, Any]], keep: int, language: str) -> str:
    """A page that links reports, the newest first; each has its ``file`` and the figures of its page."""
    words = Words(language)
    return _environment(words).get_template("index.html").render(reports=reports, keep=keep)


def period_text(period: Period, words: Words) -> str:
    """A period as text: first and last day if it is made of whole days, else to the minute."""
    if period.since is None:
        return words("page.to", since=words("page.from_beginning"), until=f"{period.until:%Y-%m-%d %H:%M}")
    if all(moment.time() == datetime.min.time() for moment in (period.since, period.until)):
        last = period.last_day
        first = f"{period.since:%Y-%m-%d}"
        return first if first == str(last) else words("page.to", since=first, until=last)
    return words("page.to", since=f"{period.since:%Y-%m-%d %H:%M}", until=f"{period.until:%Y-%m-%d %H:%M}")


def css_string(text: object) -> Markup:
    """Text as a CSS string that nothing can end early: all but ASCII letters and digits is escaped."""
    escaped = re.sub(r"[^0-9A-Za-z]", lambda character: f"\\{ord(character[0]):x} ", printable(text))
    return Markup(f'"{escaped}"')  # noqa: S704 - letters, digits and escapes only


def breakable(text: object) -> Markup:
    """Text with a line break allowed after each underscore, because class and file names have no spaces."""
    return Markup("_<wbr>").join(escape(part) for part in printable(text).split("_"))


def _moment(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="minutes") if moment else None


def _environment(words: Words) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else printable(value),
    )
    environment.filters |= {"css_string": css_string, "json": _json, "svg": _svg, "breakable": breakable}
    environment.globals |= {
        "words": words,
        "colours": COLOURS,
        "dark_colours": DARK_COLOURS,
        "instants": INSTANT_COLUMNS,
        "lang": LANGUAGES[words.language],
        "kind": lambda block: type(block).__name__,
        "is_number": _is_number,
        "takes": definitions.takes,
    }
    return environment


def _is_number(table: Table, column: str) -> bool:
    """Whether a column holds numbers only, and is aligned to the right."""
    return all(isinstance(row[column], int | float | None) for row in table.rows)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)  # ASCII only; the template escapes it like any other text


def _svg(plot: Plot) -> Markup:
    return Markup(plot.svg)  # noqa: S704 - serialized by ElementTree, which escapes
