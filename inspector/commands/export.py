"""The command that makes a data set of inspected images, for the next artifact."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from inspector.commands.options import AsJson, Config, Part, Since, Until, load, print_figures

MAX_LINES = 20  # of details; the figures have their number


class Labels(StrEnum):
    """Whose verdicts give the images their classes."""

    PERSON = "person"
    FINAL = "final"


def export(
    config: Config,
    out: Annotated[Path, typer.Option(help="the folder to create, or to add to", metavar="DIR")],
    add: Annotated[
        bool, typer.Option("--add", help="add new images to an earlier export, and update its labels")
    ] = False,
    verdicts: Annotated[
        Labels, typer.Option(help="person: images that people decided; final: the others with the station's")
    ] = Labels.PERSON,
    per_seam: Annotated[
        int | None,
        typer.Option(min=1, help="most images of one class from one pass over a seam; they are near-copies"),
    ] = None,
    per_class: Annotated[int | None, typer.Option(min=1, help="most images of one class")] = None,
    since: Since = None,
    until: Until = None,
    part: Part = None,
    as_json: AsJson = False,
) -> None:
    """Copy reviewed images to a data set for 'weld-train --data DIR'; the archive is not changed."""
    from inspector.review import export as dataset

    settings = load(config)
    wanted = dataset.Selection(
        settings.station,
        since,
        until,
        part,
        settings.zone,
        final=verdicts is Labels.FINAL,
        per_seam=per_seam,
        per_class=per_class,
    )
    result = dataset.export(settings.url, out, wanted, archive_folder=settings.archive_folder, add=add)
    figures = dataclasses.asdict(result)
    details = figures.pop("details")
    for line in details[:MAX_LINES]:
        typer.echo(line, err=True)
    if len(details) > MAX_LINES:
        typer.echo(f"… and {len(details) - MAX_LINES} more lines like these", err=True)
    print_figures(figures, as_json)
