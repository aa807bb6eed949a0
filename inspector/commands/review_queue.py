"""The command ``review`` on a terminal: the waiting images one by one, with a key for each."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from inspector.commands.options import (
    OptionalConfig,
    Part,
    Reviewer,
    Station,
    archive,
    found_config,
    load,
    open_recorder,
    who,
)
from inspector.errors import StationError, UsageError

if TYPE_CHECKING:
    from inspector.reports.page.pictures import InspectedImage
    from inspector.review.recorder import Recorder
    from inspector.review.selection import Judged
    from inspector.review.window import Window
    from inspector.settings import Settings

KINDS = ("review", "audit", "fail", "undecided")

_CONTROL_D = b"\x04"

Why = Annotated[
    str | None,
    typer.Option("--reason", help="only images that wait for this reason: review, audit, fail or undecided"),
]


def go_through_queue(
    context: typer.Context,
    config: OptionalConfig = None,
    why: Why = None,
    station: Station = None,
    part: Part = None,
    reviewer: Reviewer = None,
) -> None:
    """List images that wait for a human verdict, and record verdicts.

    Without a command, on a terminal: go through the waiting images with one key for each. Each verdict is
    written at once. If there is a display, a browser shows the image beside the terminal.
    """
    if context.invoked_subcommand is not None:
        if any(value is not None for value in (config, why, station, part, reviewer)):
            raise UsageError(f"give the options after the command: review {context.invoked_subcommand} …")
        return
    config = config or found_config()
    if not config.exists():
        typer.echo(context.get_help())
        raise typer.Exit(2)
    if not sys.stdin.isatty():
        raise UsageError(
            "review without a command asks for keys on a terminal; else use 'review next' and 'set'"
        )
    settings, why = load(config), require_kind(why)
    with open_recorder(settings) as recorder:
        _go_through(settings, recorder, who(reviewer, recorder), why, station, part)


def require_kind(why: str | None) -> str | None:
    """Return ``--reason`` if the queue has such images.

    Raises:
        UsageError: it has not.
    """
    if why is not None and why not in KINDS:
        raise UsageError(f"--reason {why!r}: there is {', '.join(KINDS)}")
    return why


def _go_through(
    settings: Settings,
    recorder: Recorder,
    reviewer: str,
    why: str | None,
    station: str | None,
    part: str | None,
) -> None:
    from inspector.records import Review
    from inspector.reports.page import pictures
    from inspector.review import one_by_one, selection, window

    kinds: dict[int, str] = {}
    with ExitStack() as stack:
        picture = stack.enter_context(window.Window()) if window.has_display() else None

        def look(number: int, again: bool) -> Sequence[str] | None:
            [judged] = selection.by_number(settings.url, [number])
            if judged.human_verdict in ("PASS", "FAIL") and not again:
                typer.echo(
                    f"inspection {number}: {judged.reviewer} has said {judged.human_verdict} meanwhile"
                )
                return None
            image = pictures.by_inspection(settings.url, number)
            for line in _lines(image, judged, kinds[number], settings):
                typer.echo(line)
            if picture is not None and (trouble := _show(picture, image, settings)):
                typer.echo(trouble)
            return image.thresholds.defects

        def record(number: int, answer: one_by_one.Answer) -> None:
            if answer.verdict is not None:
                recorder.record([Review(number, reviewer, answer.verdict, answer.label)])

        typer.echo(one_by_one.HELP)
        answers = one_by_one.go_through(
            _waiting(settings, why, station, part, kinds),
            look=look,
            read_key=_read_key,
            say=typer.echo,
            record=record,
        )
    if not answers and not kinds:
        typer.echo("no image waits for a verdict")
    counts = Counter(str(answer.verdict or "left for later") for answer in answers.values())
    typer.echo(", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "no verdict")


def _waiting(
    settings: Settings, why: str | None, station: str | None, part: str | None, kinds: dict[int, str]
) -> Iterator[int]:
    """Yield the images of the queue, and note their kinds; those that come meanwhile follow."""
    from inspector.reports.query import Query, run

    while True:
        report = run(settings.url, Query("review_queue", station=station, part=part, zone=settings.zone))
        rows = [dict(zip(report.columns, row, strict=True)) for row in report.rows]
        new = {row["id"]: row["why"] for row in rows if why in (None, row["why"]) and row["id"] not in kinds}
        kinds |= new
        if not new:
            return
        yield from new


def _lines(image: InspectedImage, judged: Judged, kind: str, settings: Settings) -> Iterator[str]:
    """Yield what is known of an image: its place, what was said, each class with its key and threshold."""
    from inspector.reports.page.words import Words, instant, printable
    from inspector.times import iso

    words, limits = Words(), image.thresholds
    at = instant(iso(image.inspected_us, settings.zone) or "")
    yield ""
    yield " · ".join([kind, *image.place(words), printable(image.station), at])
    explanation = image.explanation(words)
    said = f"{image.verdict} {printable(image.label)} {image.confidence:.3f}"
    yield f"  {said}: {explanation}" if explanation else f"  {said}"
    if judged.reviewer is not None:
        yield f"  {printable(judged.reviewer)} has said {judged.human_verdict}"
    for name, share in image.probabilities.items():
        key = f"{limits.defects.index(name) + 1}" if name in limits.defects[:9] else " "
        threshold = f", threshold {limits.of_class[name]:.3f}" if name in limits.of_class else ""
        yield f"  {key}  {share:.3f}{threshold}  {printable(name)}"
    yield f"  {printable(image.archive_path)}"


def _show(picture: Window, image: InspectedImage, settings: Settings) -> str | None:
    """Show an image in the window, or why it cannot be shown; return what is wrong."""
    from inspector.reports.page import contact_sheet

    title, file = f"inspection {image.inspection}", picture.page.with_name("image.png")
    try:
        contact_sheet.draw_inspection(image, archive(settings), settings.zone, file)
        return picture.show(title, file.read_bytes())
    except StationError as error:
        picture.show(title, str(error))
        return f"  {error}"


def _read_key() -> str:
    """Wait for a key that is pressed from now on: one from before the image was shown is not about it."""
    import termios
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)  # forgets the keys that were pressed before
        typer.echo("> ", nl=False)
        key = os.read(terminal, 32)
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
    if key in (b"", _CONTROL_D):
        raise EOFError
    return key.decode(errors="replace")
