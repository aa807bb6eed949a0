"""The command ``report``: one SQL report, the quality report as a page, or a contact sheet of images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from inspector.commands.help import Headings
from inspector.commands.options import (
    Config,
    Format,
    FormatOption,
    Part,
    Since,
    Station,
    Until,
    VerdictsOption,
    archive,
    load,
    seam_rule,
    verdict_of,
)

if TYPE_CHECKING:
    from inspector.reports.page.period_reports import Source
    from inspector.settings import Settings

UntilNow = Annotated[str | None, typer.Option(help="end of the period, exclusive; default: now")]
Days = Annotated[
    int | None,
    typer.Option(
        min=1, max=3660, help="instead of --since and --until: this many whole days up to the last midnight"
    ),
]
By = Annotated[
    str | None,
    typer.Option(
        help="first_pass_yield, trend, p_chart, signals: group by hour, shift, day, week, station or site"
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        min=1, max=1_000_000_000, help="the largest number of rows; default: 1,000 in a table, else all"
    ),
]

TABLE_ROWS = 1000  # more than anybody reads; a table of 50,000 takes 43 s of processor time to draw

OTHER_FORMS = {
    "html": "The whole quality report as one page to read, print and send: --out FILE",
    "contact": "A contact sheet of images: --verdict FAIL --out FILE.png",
}

pages = typer.Typer(cls=Headings, add_completion=False, rich_markup_mode=None)


class ReportCommand(TyperCommand):
    """The command ``report NAME``, with the commands of :data:`pages` below it, such as ``report html``."""

    columns: Mapping[str, str] = MappingProxyType({})  # of the report that the help is about

    @cached_property
    def _pages(self) -> TyperGroup:
        return typer.main.get_group(pages)

    @property
    def commands(self) -> dict[str, Any]:
        """The commands below this one, by name."""
        return dict(self._pages.commands)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Pass the arguments to the command below that the first one names, if it names one.

        With a report's name ``--help`` is about that report.
        """
        if args and args[0] in self.commands:
            return self._pages.make_context(info_name, args, parent, **extra)
        named = [word for word in args if word in _names()] if "--help" in args else []
        if named:
            return self._about(named[0]).make_context(f"{info_name} {named[0]}", ["--help"], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def _about(self, name: str) -> TyperCommand:
        """Return a command that shows this one's options, and a report's question and columns."""
        from inspector.reports import definitions

        about = definitions.read(name)
        words = "\n\n".join([about.question, *about.notes])
        command = ReportCommand(name, help=words, rich_markup_mode=self.rich_markup_mode)
        command.columns = about.columns
        command.params = [parameter for parameter in self.params if parameter.name != "name"]
        return command

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the columns of the report that the help is about, if it is about one."""
        if self.columns:
            with formatter.section("Columns"):
                formatter.write_dl(list(self.columns.items()))


def _names(incomplete: str = "") -> list[str]:
    """The reports whose names begin like this."""
    from inspector.reports import definitions

    return [name for name in (*definitions.names(), *OTHER_FORMS) if name.startswith(incomplete)]


def report(
    config: Config,
    name: Annotated[
        str | None,
        typer.Argument(
            autocompletion=_names,
            help="the report; without a name, all are listed; with --help, its columns",
        ),
    ] = None,
    since: Since = None,
    until: Until = None,
    days: Days = None,
    station: Station = None,
    part: Part = None,
    reference_since: Annotated[
        str | None,
        typer.Option(
            help="drift, confidence: start of the reference period, default 28 days before its end;"
            " p_chart, signals: start of the period that the limits come from, default the period itself"
        ),
    ] = None,
    reference_until: Annotated[
        str | None, typer.Option(help="its end, exclusive; default: the start of the period")
    ] = None,
    by: By = None,
    verdicts: VerdictsOption = None,
    limit: Limit = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Print one report from the quality database; 'report html' and 'report contact' write files."""
    if name is None:
        _list_reports()
        return
    from inspector import resources
    from inspector.reports.query import Query, run
    from inspector.reports.rendering import render

    settings = load(config)
    if days is not None:
        since, until = _whole_days(since, until, days, settings.zone)
    query = Query(
        name,
        since=since,
        until=until,
        station=station,
        part=part,
        reference_since=reference_since,
        reference_until=reference_until,
        by=by,
        verdicts=verdicts,
        limit=TABLE_ROWS if limit is None and form is Format.TABLE else limit,
        seam_rule=seam_rule(settings),
        zone=settings.zone,
    )
    typer.echo(render(run(settings.url, query), form.value))
    if form is Format.TABLE:
        typer.echo(f"\nweldnet-station {resources.version()}")


def _whole_days(since: str | None, until: str | None, days: int, zone: tzinfo) -> tuple[str, str]:
    from inspector.reports.page.period import Period

    period = Period.from_options(since, until, days, zone, datetime.now(UTC))
    return f"{period.since:%Y-%m-%d}", f"{period.until:%Y-%m-%d}"


def _list_reports() -> None:
    from inspector.reports import definitions

    for name, question in (definitions.names() | OTHER_FORMS).items():
        typer.echo(f"{name:<18} {question}")


@pages.command()
def html(
    config: Config,
    out: Annotated[Path, typer.Option(help="the file to write; with --keep, the folder", metavar="FILE")],
    since: Since = None,
    until: UntilNow = None,
    days: Days = None,
    station: Station = None,
    part: Part = None,
    verdicts: VerdictsOption = None,
    language: Annotated[str, typer.Option(help="language of the headings: en, de or zh")] = "en",
    reference_since: Annotated[
        str | None,
        typer.Option(help="for drift and the limits of the p-chart: start of a period that was in control"),
    ] = None,
    reference_until: Annotated[
        str | None, typer.Option(help="its end, exclusive; default: the start of the report's period")
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(
            min=1, max=10_000, help="write a folder of dated reports with an index; the newest N stay"
        ),
    ] = None,
) -> None:
    """Write the quality report as one HTML file to read, print and send."""
    from inspector.reports.page import dated_reports, html
    from inspector.reports.page.output import write_page
    from inspector.reports.page.period import Period
    from inspector.reports.query import DEFAULT_VERDICTS

    settings, now = load(config), datetime.now(UTC)
    asked = Period.from_options(since, until, days, settings.zone, now)
    reference = asked.reference(reference_since, reference_until, settings.zone)
    source = dataclasses.replace(
        _source(settings, station, part), reference=reference, verdicts=verdicts or DEFAULT_VERDICTS
    )
    page = html.quality_report(source, asked, archive(settings), language, now)
    if keep is None:
        write_page(out, page.html)
    else:
        out = dated_reports.add(out, page, asked, keep, language)
    typer.echo(f"{out}: {len(page.html.encode()) / 1e6:.1f} MB")


@pages.command()
def contact(
    config: Config,
    out: Annotated[Path, typer.Option(help="the PNG to write", metavar="FILE.png")],
    verdict: Annotated[str, typer.Option(help="PASS, FAIL or REVIEW")] = "FAIL",
    limit: Annotated[int, typer.Option(min=1, max=600, help="the largest number of images")] = 60,
    since: Since = None,
    until: UntilNow = None,
    days: Days = None,
    station: Station = None,
    part: Part = None,
) -> None:
    """Draw a contact sheet of the latest images with a verdict, with their heat maps."""
    from inspector.reports.page import contact_sheet
    from inspector.reports.page.period import Period
    from inspector.reports.page.period_reports import PeriodReports

    settings, wanted = load(config), verdict_of(verdict)
    asked = Period.from_options(since, until, days, settings.zone, datetime.now(UTC))
    reports = PeriodReports(_source(settings, station, part), asked)
    shown = contact_sheet.draw_contact_sheet(reports, wanted, limit, archive(settings), out)
    typer.echo(f"{out}: {shown} images")


def _source(settings: Settings, station: str | None, part: str | None) -> Source:
    from inspector.reports.page.period_reports import Source

    return Source(settings.url, settings.zone, station, part, seam_rule(settings))
