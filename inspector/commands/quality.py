"""Commands for the quality engineer: what the database answers, and whether every file is accounted for."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from inspector.commands.options import AsJson, Config, Format, load, print_figures, seam_rule


def report(
    config: Config,
    name: Annotated[str | None, typer.Argument(help="which report; without it they are listed")] = None,
    since: Annotated[
        str | None, typer.Option(help="first instant, ISO date or time in the station's zone")
    ] = None,
    until: Annotated[str | None, typer.Option(help="end of the period, not included")] = None,
    station: Annotated[str | None, typer.Option(help="only this station")] = None,
    part: Annotated[str | None, typer.Option(help="only this part")] = None,
    reference_since: Annotated[
        str | None,
        typer.Option(
            help="drift, confidence: begin of the period to compare with, else 28 days;"
            " p_chart: begin of the period that the limits come from, else the period itself"
        ),
    ] = None,
    reference_until: Annotated[
        str | None, typer.Option(help="its end, not included; else where the period begins")
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="first_pass_yield, trend, p_chart: hour, shift, day, week or station")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="table, csv or json")] = Format.TABLE,
) -> None:
    """Answer one question from the quality database; 'report html' and 'report contact' make pictures."""
    from inspector.reports import definitions
    from inspector.reports.query import Query, run
    from inspector.reports.rendering import render

    settings = load(config)
    if name is None:
        for known, question in definitions.names().items():
            typer.echo(f"{known:<18} {question}")
        typer.echo("html               All that matters as one page to read, print and send: --out FILE")
        typer.echo("contact            A contact sheet of images: --verdict FAIL --out FILE.png")
        return
    query = Query(
        name,
        since=since,
        until=until,
        station=station,
        part=part,
        reference_since=reference_since,
        reference_until=reference_until,
        by=by,
        seam_rule=seam_rule(settings),
        zone=settings.zone,
    )
    typer.echo(render(run(settings.url, query), form.value))


def reconcile(config: Config, as_json: AsJson = False) -> None:
    """Account for every file: what the ledger says against what is on the disk; names what is missing."""
    from inspector.station import listing
    from inspector.upkeep import reconcile as ledger

    settings = load(config)
    result = ledger.reconcile(
        settings.url,
        station=settings.station,
        drop_folder=settings.drop_folder,
        archive_folder=settings.archive_folder,
        quarantine_folder=settings.quarantine_folder,
        pending=listing.waiting(settings.drop_folder, subfolders=settings.subfolders),
    )
    figures = dataclasses.asdict(result)
    for line in figures.pop("details"):
        typer.echo(f"unaccounted: {line}", err=True)
    print_figures(figures, as_json)
    if result.unaccounted:
        raise typer.Exit(1)
