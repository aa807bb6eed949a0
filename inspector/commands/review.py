"""Commands for people's verdicts: what waits for one, giving it, teaching from it; and an image's life."""

from __future__ import annotations

import dataclasses
import getpass
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inspector.commands.options import AsJson, Config, Format, load, print_figures
from inspector.errors import UsageError

if TYPE_CHECKING:
    from inspector.ledger.store import Store
    from inspector.records import Review
    from inspector.settings import Settings

review = typer.Typer(no_args_is_help=True, help="Human verdicts: what waits for one, and giving it.")

Since = Annotated[str | None, typer.Option(help="first instant, ISO date or time in the station's zone")]
Until = Annotated[str | None, typer.Option(help="end of the period, not included")]
Part = Annotated[str | None, typer.Option(help="only this part")]
Reviewer = Annotated[str | None, typer.Option(help="who looked; else the user of this computer")]
NewClass = Annotated[bool, typer.Option("--new-class", help="take a class that no artifact knows yet")]


@review.command("next")
def next_(
    config: Config,
    limit: Annotated[int, typer.Option(min=1, max=800, help="how many")] = 10,
    why: Annotated[str | None, typer.Option(help="only review, audit, fail or undecided")] = None,
    station: Annotated[str | None, typer.Option(help="only this station")] = None,
    part: Part = None,
    form: Annotated[Format, typer.Option("--format", help="table, csv or json")] = Format.TABLE,
) -> None:
    """Show the images that wait for a verdict; as CSV with empty columns to fill in, for 'review import'."""
    from inspector.reports.query import Query, run
    from inspector.reports.rendering import render
    from inspector.review.verdicts import ANSWERS

    settings = load(config)
    kinds = ("review", "audit", "fail", "undecided")
    if why is not None and why not in kinds:
        raise UsageError(f"--why {why!r}: there is {', '.join(kinds)}")
    waiting = run(settings.url, Query("review_queue", station=station, part=part, zone=settings.zone))
    shown = dataclasses.replace(waiting, rows=[row for row in waiting.rows if why in (None, row[0])][:limit])
    if form is Format.CSV:
        blank = ("", "", "", "")
        shown = dataclasses.replace(
            shown, columns=(*shown.columns, *ANSWERS), rows=[(*row, *blank) for row in shown.rows]
        )
    typer.echo(render(shown, form.value))


@review.command("set")
def set_(
    config: Config,
    image: Annotated[int, typer.Argument(help="the inspection's number, from 'review next'")],
    verdict: Annotated[str, typer.Option(help="PASS, FAIL, or REVIEW where you cannot tell")],
    label: Annotated[str | None, typer.Option(help="the class, where you can name it")] = None,
    note: Annotated[str | None, typer.Option(help="free text")] = None,
    reviewer: Reviewer = None,
    new_class: NewClass = False,
) -> None:
    """Give one image a verdict; an earlier one stays in the history, the latest counts."""
    from inspector.records import Review, Verdict
    from inspector.review.verdicts import mistakes

    settings = load(config)
    if verdict.upper() not in Verdict.__members__:
        raise UsageError(f"--verdict {verdict!r} is no verdict; use PASS, FAIL or REVIEW")
    said = Review(image, _who(reviewer), Verdict(verdict.upper()), label or None, note or None)
    for mistake in mistakes(settings.url, [said], new_class=new_class):
        if mistake is not None:
            raise UsageError(mistake)
    added = _write(settings, [said])
    typer.echo(f"inspection {image}: {said.verdict}" + ("" if added else ", as it was said before"))


@review.command("import")
def import_(
    config: Config,
    table: Annotated[
        Path, typer.Argument(help="CSV: id, human_verdict[, human_label, reviewer, note]", metavar="CSV")
    ],
    reviewer: Reviewer = None,
    new_class: NewClass = False,
    as_json: AsJson = False,
) -> None:
    """Take the verdicts of a CSV: all of them, or, where a line is wrong, none."""
    from inspector.review.verdicts import mistakes, read_csv

    settings = load(config)
    read = read_csv(table, _who(reviewer))
    wrong = {line: said for line, said in read if isinstance(said, str)}
    said = {line: said for line, said in read if not isinstance(said, str)}
    found = mistakes(settings.url, list(said.values()), new_class=new_class)
    wrong |= {line: mistake for line, mistake in zip(said, found, strict=True) if mistake is not None}
    for line, mistake in sorted(wrong.items()):
        typer.echo(f"{table}: line {line}: {mistake}", err=True)
    if wrong:
        raise UsageError(f"{table}: {len(wrong)} mistakes, so nothing was imported; mend them and try again")
    added = _write(settings, list(said.values()))
    print_figures({"imported": added, "unchanged": len(said) - added}, as_json)


@review.command()
def sample(
    config: Config,
    count: Annotated[int, typer.Option(min=1, max=1_000_000, help="images to draw")] = 200,
    seed: Annotated[int | None, typer.Option(min=0, max=2**62, help="of the draw; else a fresh one")] = None,
    since: Since = None,
    until: Until = None,
    part: Part = None,
    as_json: AsJson = False,
) -> None:
    """Draw a random sample of PASS images for people to look at: it tells how many defects slip through."""
    from inspector.review.verdicts import draw

    settings = load(config)
    with _ledger(settings) as store:
        drawn = draw(
            store,
            settings.url,
            count,
            seed=secrets.randbelow(1 << 31) if seed is None else seed,
            since=since,
            until=until,
            part=part,
            zone=settings.zone,
        )
    print_figures(dataclasses.asdict(drawn), as_json)


def export(
    config: Config,
    out: Annotated[Path, typer.Option(help="the folder to make", metavar="DIR")],
    since: Since = None,
    until: Until = None,
    part: Part = None,
    as_json: AsJson = False,
) -> None:
    """Copy reviewed images to a data set that 'weld-train --data DIR' takes; the archive stays as it is."""
    from inspector.review import export as dataset

    settings = load(config)
    result = dataset.export(
        settings.url,
        out,
        station=settings.station,
        archive_folder=settings.archive_folder,
        since=since,
        until=until,
        part=part,
        zone=settings.zone,
    )
    figures = dataclasses.asdict(result)
    for line in figures.pop("details"):
        typer.echo(f"left out: {line}", err=True)
    print_figures(figures, as_json)


def trace(
    config: Config,
    file: Annotated[Path | None, typer.Argument(help="an image file, wherever it is now")] = None,
    part: Annotated[str | None, typer.Option(help="every image of this part")] = None,
    row: Annotated[int | None, typer.Option("--id", help="an inspection's number")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell an image's whole life: file, times, artifact, settings, verdicts, and where its bytes are now."""
    from inspector.upkeep import trace as tracing

    settings = load(config)
    folders = tracing.Folders(
        station=settings.station,
        drop=settings.drop_folder,
        archive=settings.archive_folder,
        quarantine=settings.quarantine_folder,
        zone=settings.zone,
    )
    lives = tracing.trace(settings.url, folders, file=file, part=part, row=row)
    typer.echo(json.dumps({"lives": lives}, ensure_ascii=False) if as_json else tracing.render(lives))


def _who(reviewer: str | None) -> str:
    try:
        return getpass.getuser() if reviewer is None else reviewer.strip()
    except (KeyError, OSError):  # a user without a name, as in containers
        raise UsageError("who looked? name them with --reviewer") from None


def _ledger(settings: Settings) -> Store:
    from inspector.ledger.store import Store

    return Store.open(settings.url, settings.station, seam_gap_s=settings.seam_gap_s)


def _write(settings: Settings, reviews: list[Review]) -> int:
    with _ledger(settings) as store:
        return store.review(reviews)
