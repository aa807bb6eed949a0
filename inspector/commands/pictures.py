"""Commands that make something to look at: the quality report, a contact sheet, one image."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from inspector.commands.options import Config, load, seam_rule
from inspector.errors import UsageError

if TYPE_CHECKING:
    from inspector.reports.page.facts import Source
    from inspector.reports.page.pictures import Archived
    from inspector.settings import Settings

Since = Annotated[str | None, typer.Option(help="first instant, ISO date or time in the station's zone")]
Until = Annotated[str | None, typer.Option(help="end of the period, not included; else now")]
Days = Annotated[
    int | None,
    typer.Option(min=1, max=3660, help="so many whole days up to the last midnight, instead of both"),
]
Station = Annotated[str | None, typer.Option(help="only this station")]
Part = Annotated[str | None, typer.Option(help="only this part")]


ONE = "one"  # the command behind 'report NAME', whose name nobody types


class _Reports(TyperGroup):
    """``report NAME`` asks one SQL report; ``html`` and ``contact`` are commands of their own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Anything but those two goes to the command that asks one report."""
        own = bool(args) and args[0] in {"html", "contact"}
        return super().parse_args(ctx, args if own else [ONE, *args])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Its name stays out of what people read."""
        name, command, rest = super().resolve_command(ctx, args)
        return "" if name == ONE else name, command, rest


report = typer.Typer(cls=_Reports)


@report.command()
def html(
    config: Config,
    out: Annotated[Path, typer.Option(help="the file to write; with --keep, the folder", metavar="FILE")],
    since: Since = None,
    until: Until = None,
    days: Days = None,
    station: Station = None,
    part: Part = None,
    language: Annotated[str, typer.Option(help="of the headings: en, de or zh")] = "en",
    reference_since: Annotated[
        str | None,
        typer.Option(help="drift, and the p-chart's limits: begin of a period that was in control"),
    ] = None,
    reference_until: Annotated[
        str | None, typer.Option(help="its end, not included; else where the report's period begins")
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(
            min=1, max=10_000, help="a folder of dated reports: the newest N stay, and an index page"
        ),
    ] = None,
) -> None:
    """Write the whole quality report as one HTML file, to read, print and send."""
    from inspector.reports.page import html, shelf
    from inspector.reports.page.facts import period

    settings, now = load(config), datetime.now(UTC)
    asked = period(since, until, days, settings.zone, now)
    reference = asked.reference(reference_since, reference_until, settings.zone)
    source = dataclasses.replace(_source(settings, station, part), reference=reference)
    page = html.quality_report(source, asked, _archived(settings), language, now)
    if keep is None:
        html.write(out, page.html)
    else:
        out = shelf.put(out, page, asked, keep, language)
    typer.echo(f"{out}: {len(page.html.encode()) / 1e6:.1f} MB")


@report.command()
def contact(
    config: Config,
    out: Annotated[Path, typer.Option(help="the PNG to write", metavar="FILE.png")],
    verdict: Annotated[str, typer.Option(help="PASS, FAIL or REVIEW")] = "FAIL",
    limit: Annotated[int, typer.Option(min=1, max=600, help="the latest so many")] = 60,
    since: Since = None,
    until: Until = None,
    days: Days = None,
    station: Station = None,
    part: Part = None,
) -> None:
    """Draw a contact sheet: the latest images of a verdict, with their heat maps."""
    from inspector.records import Verdict
    from inspector.reports.page import sheets
    from inspector.reports.page.facts import Facts, period

    settings = load(config)
    if verdict.upper() not in Verdict.__members__:
        raise UsageError(f"--verdict '{verdict}' is no verdict; use PASS, FAIL or REVIEW")
    asked = period(since, until, days, settings.zone, datetime.now(UTC))
    facts = Facts(_source(settings, station, part), asked)
    shown = sheets.contact(facts, Verdict(verdict.upper()), limit, _archived(settings), out)
    typer.echo(f"{out}: {shown} images")


def show(
    config: Config,
    row: Annotated[int, typer.Argument(help="the inspection's number, from 'review next' or 'trace'")],
    out: Annotated[
        Path | None, typer.Option(help="the PNG to write; else inspection-ROW.png here", metavar="FILE.png")
    ] = None,
) -> None:
    """Draw one image with its heat map and the probability of each class."""
    from inspector.reports.page import pictures, sheets

    settings = load(config)
    out = Path(f"inspection-{row}.png") if out is None else out
    sheets.show(pictures.one(settings.url, row), _archived(settings), settings.zone, out)
    typer.echo(f"{out}")


def _source(settings: Settings, station: str | None, part: str | None) -> Source:
    from inspector.reports.page.facts import Source

    return Source(settings.url, settings.zone, station, part, seam_rule(settings))


def _archived(settings: Settings) -> Archived:
    from inspector.reports.page.pictures import Archived

    return Archived(settings.station, settings.archive_folder)
