"""Commands for human verdicts: list the images that wait, and record verdicts."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inspector.commands.help import Headings
from inspector.commands.options import (
    AsJson,
    Config,
    Format,
    FormatOption,
    Part,
    Reviewer,
    Since,
    Station,
    Until,
    load,
    open_recorder,
    print_figures,
    verdict_of,
    who,
)
from inspector.commands.review_queue import Why, go_through_queue, require_kind
from inspector.errors import StationError, UsageError

if TYPE_CHECKING:
    from inspector.review.selection import Judged
    from inspector.settings import Settings

MAX_NUMBER = 2**63 - 1  # of a row, on either back end

review = typer.Typer(cls=Headings)
review.callback(invoke_without_command=True)(go_through_queue)

NewClass = Annotated[bool, typer.Option("--new-class", help="allow a class that no artifact has yet")]


@review.command("next")
def next_(
    config: Config,
    limit: Annotated[int, typer.Option(min=1, max=800, help="the largest number of images")] = 10,
    why: Why = None,
    station: Station = None,
    part: Part = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """List the images that wait for a verdict; as CSV with empty columns to fill in for 'review import'."""
    from inspector.reports.page.reasons import explanations
    from inspector.reports.page.words import Words
    from inspector.reports.query import Query, run
    from inspector.reports.rendering import render
    from inspector.review.verdicts import ANSWER_COLUMNS

    settings, why = load(config), require_kind(why)
    waiting = run(settings.url, Query("review_queue", station=station, part=part, zone=settings.zone))
    rows = [row for row in waiting.rows if why in (None, row[0])][:limit]
    number, after = waiting.columns.index("id"), waiting.columns.index("reason") + 1
    because = explanations(settings.url, [row[number] for row in rows], Words())
    shown = dataclasses.replace(
        waiting,
        columns=(*waiting.columns[:after], "explanation", *waiting.columns[after:]),
        rows=[(*row[:after], because.get(row[number]), *row[after:]) for row in rows],
    )
    if form is Format.CSV:
        blank = ("", "", "", "")
        shown = dataclasses.replace(
            shown, columns=(*shown.columns, *ANSWER_COLUMNS), rows=[(*row, *blank) for row in shown.rows]
        )
    typer.echo(render(shown, form.value))


@review.command("set")
def set_(
    config: Config,
    verdict: Annotated[str, typer.Option(help="PASS, FAIL, or REVIEW if you cannot decide")],
    inspections: Annotated[
        list[int] | None,
        typer.Argument(
            min=1, max=MAX_NUMBER, help="numbers of images, from 'review next'", metavar="[INSPECTION]..."
        ),
    ] = None,
    part: Annotated[str | None, typer.Option(help="every image of this part, instead of numbers")] = None,
    seam: Annotated[str | None, typer.Option(help="with --part: only this seam")] = None,
    pass_no: Annotated[
        int | None, typer.Option("--pass", min=1, max=2**31 - 1, help="with --part: only this pass")
    ] = None,
    station: Annotated[str | None, typer.Option(help="with --part: only this station or site")] = None,
    label: Annotated[str | None, typer.Option(help="the class, if you know it")] = None,
    note: Annotated[str | None, typer.Option(help="free text")] = None,
    reviewer: Reviewer = None,
    new_class: NewClass = False,
) -> None:
    """Record one verdict on some images, or on all images of a part, seam or pass: on all, or on none.

    The latest verdict counts; earlier ones stay in the history. An image of an audit sample gets its verdict
    alone. With --part each pass over a seam gets the verdict as a whole, too, if all of its images get it.
    """
    from inspector.records import Review, SeamReview
    from inspector.review.selection import passes
    from inspector.review.verdicts import mistakes

    settings = load(config)
    place = {"seam": seam, "pass_no": pass_no, "station": station}
    found = _chosen(settings, inspections or [], part, place)
    chosen = [image for image in found if not image.is_audited] if len(found) > 1 else found
    seen = {image.inspection for image in chosen} if part is not None else set()
    whole = [frames for frames in passes(found) if seen.issuperset(image.inspection for image in frames)]
    word = verdict_of(verdict)
    numbers = list(dict.fromkeys(inspections or [image.inspection for image in chosen]))
    newest = [max(image.inspection for image in frames) for frames in whole]
    with open_recorder(settings) as recorder:
        person = who(reviewer, recorder)
        said = [Review(number, person, word, label or None, note or None) for number in numbers]
        for mistake in mistakes(settings.url, said, new_class=new_class):
            if mistake is not None:
                raise UsageError(mistake)
        as_a_whole = [SeamReview(number, person, word, note or None) for number in newest]
        added = recorder.record([*said, *as_a_whole], new_class=new_class)
    for image in chosen:
        where = f" ({image.where})" if image.where else ""
        unchanged = ", unchanged" if len(chosen) == 1 and not added else ""
        typer.echo(f"inspection {image.inspection}{where}: {word}{unchanged}; {image.said}")
    for frames in whole:
        typer.echo(f"{frames[0].where} as a whole: {word}")
    if len(chosen) > 1:
        n = len(chosen) + len(whole)
        also = f", {len(whole)} as a whole" if whole else ""
        typer.echo(f"{len(chosen)} images{also}: {added} new, {n - added} unchanged")


def _chosen(settings: Settings, numbers: list[int], part: str | None, place: dict[str, Any]) -> list[Judged]:
    """Return the images that a verdict is for; of several, those of audit samples are to be left out."""
    from inspector.review import selection

    if bool(numbers) == (part is not None):
        raise UsageError("give the numbers of images, or --part, and only one of them")
    if part is None:
        if any(value is not None for value in place.values()):
            raise UsageError("--seam, --pass and --station go with --part, not with numbers of images")
        chosen = selection.by_number(settings.url, numbers)
        audited = [image.inspection for image in chosen if image.is_audited]
        if audited and len(set(numbers)) > 1:
            raise UsageError(
                f"inspection {audited[0]} is in an audit sample, whose images get their verdicts one by one: "
                f"leave it out, and give it a 'review set {audited[0]}' of its own"
            )
        return chosen
    found = selection.by_seam(settings.url, part, **place)
    for image in found:
        if image.is_audited and len(found) > 1:
            typer.echo(
                f"left out: inspection {image.inspection} is in an audit sample, whose images get their "
                f"verdicts one by one: 'review set {image.inspection}'",
                err=True,
            )
    if len(found) > 1 and all(image.is_audited for image in found):
        raise UsageError(f"all images of part {part} are in an audit sample; give each its own verdict")
    return found


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
    """Record the verdicts of a CSV file: all of them, or none if any line is wrong."""
    from inspector.review.verdicts import mistakes, read_csv

    settings = load(config)
    with open_recorder(settings) as recorder:
        read = read_csv(table, who(reviewer, recorder), recorder.account)
        wrong = {line: said for line, said in read if isinstance(said, str)}
        said = {line: said for line, said in read if not isinstance(said, str)}
        found = mistakes(settings.url, list(said.values()), new_class=new_class)
        wrong |= {line: mistake for line, mistake in zip(said, found, strict=True) if mistake is not None}
        if len(wrong) == 1:
            [(line, mistake)] = wrong.items()
            raise UsageError(f"{table}: line {line}: {mistake}; nothing was imported")
        for line, mistake in sorted(wrong.items()):
            typer.echo(f"{table}: line {line}: {mistake}", err=True)
        if wrong:
            raise UsageError(
                f"{table}: {len(wrong)} mistakes, so nothing was imported; fix them and try again"
            )
        added = recorder.record(list(said.values()), new_class=new_class)
    print_figures({"imported": added, "unchanged": len(said) - added}, as_json)


@review.command()
def sample(
    config: Config,
    count: Annotated[int, typer.Option(min=1, max=1_000_000, help="number of images to draw")] = 200,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**62, help="seed of the random draw; default: a new one")
    ] = None,
    since: Since = None,
    until: Until = None,
    part: Part = None,
    as_json: AsJson = False,
) -> None:
    """Draw a random sample of PASS images for review, which shows how many defects are missed."""
    import secrets

    settings = load(config)
    with open_recorder(settings) as recorder:
        drawn = recorder.draw(
            count,
            seed=secrets.randbelow(1 << 31) if seed is None else seed,
            since=since,
            until=until,
            part=part,
        )
    print_figures(dataclasses.asdict(drawn), as_json)


@review.command()
def serve(config: Config) -> None:
    """Write the verdicts that come over one connection (systemd starts this, see weldnet-review.socket)."""
    import socket

    from inspector.review import service

    try:
        connection = socket.socket(fileno=os.dup(0))
    except OSError:
        raise UsageError("systemd starts this for weldnet-review.socket; people use 'review set'") from None
    with connection:
        try:
            settings = load(config)
        except StationError as error:
            service.refuse(connection, error)
            raise
        service.serve(
            connection, settings.url, settings.station, seam_gap_s=settings.seam_gap_s, zone=settings.zone
        )
