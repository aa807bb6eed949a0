"""Commands for people's verdicts: what waits for one, giving it, and teaching from it."""

from __future__ import annotations

import dataclasses
import getpass
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inspector.commands.options import (
    AsJson,
    Config,
    Format,
    FormatOption,
    Part,
    Since,
    Station,
    Until,
    load,
    open_ledger,
    print_figures,
    verdict_of,
)
from inspector.errors import UsageError

if TYPE_CHECKING:
    from inspector.records import Review
    from inspector.settings import Settings

review = typer.Typer(no_args_is_help=True, help="Human verdicts: what waits for one, and giving it.")

Reviewer = Annotated[str | None, typer.Option(help="who looked; else the user of this computer")]
NewClass = Annotated[bool, typer.Option("--new-class", help="take a class that no artifact knows yet")]


@review.command("next")
def next_(
    config: Config,
    limit: Annotated[int, typer.Option(min=1, max=800, help="how many")] = 10,
    why: Annotated[str | None, typer.Option(help="only review, audit, fail or undecided")] = None,
    station: Station = None,
    part: Part = None,
    form: FormatOption = Format.TABLE,
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
    inspection: Annotated[int, typer.Argument(help="its number, from 'review next'", metavar="INSPECTION")],
    verdict: Annotated[str, typer.Option(help="PASS, FAIL, or REVIEW where you cannot tell")],
    label: Annotated[str | None, typer.Option(help="the class, where you can name it")] = None,
    note: Annotated[str | None, typer.Option(help="free text")] = None,
    reviewer: Reviewer = None,
    new_class: NewClass = False,
) -> None:
    """Give one image a verdict; an earlier one stays in the history, the latest counts."""
    from inspector.records import Review
    from inspector.review.verdicts import mistakes

    settings = load(config)
    said = Review(inspection, _who(reviewer), verdict_of(verdict), label or None, note or None)
    for mistake in mistakes(settings.url, [said], new_class=new_class):
        if mistake is not None:
            raise UsageError(mistake)
    added = _write(settings, [said])
    typer.echo(f"inspection {inspection}: {said.verdict}" + ("" if added else ", as it was said before"))


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
    with open_ledger(settings) as store:
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


def _who(reviewer: str | None) -> str:
    try:
        return getpass.getuser() if reviewer is None else reviewer.strip()
    except (KeyError, OSError):  # a user without a name, as in containers
        raise UsageError("who looked? name them with --reviewer") from None


def _write(settings: Settings, reviews: list[Review]) -> int:
    with open_ledger(settings) as store:
        return store.review(reviews)
