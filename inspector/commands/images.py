"""Commands about one image: draw it, or trace its whole life."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from inspector.commands.options import AsJson, Config, archive, load


def show(
    config: Config,
    inspection: Annotated[
        int, typer.Argument(help="number of the image, from 'review next' or 'trace'", metavar="INSPECTION")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="the PNG to write; default: inspection-INSPECTION.png in this folder", metavar="FILE.png"
        ),
    ] = None,
) -> None:
    """Draw one image with its heat map and the probability of each class."""
    from inspector.reports.page import contact_sheet, pictures

    settings = load(config)
    out = Path(f"inspection-{inspection}.png") if out is None else out
    image = pictures.by_inspection(settings.url, inspection)
    contact_sheet.draw_inspection(image, archive(settings), settings.zone, out)
    typer.echo(f"{out}")


def trace(
    config: Config,
    file: Annotated[Path | None, typer.Argument(help="an image file, in any folder")] = None,
    part: Annotated[str | None, typer.Option(help="all images of this part")] = None,
    inspection: Annotated[
        int | None, typer.Option("--id", help="number of the image", metavar="INSPECTION")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the whole life of an image: file, times, artifact, settings, verdicts, and its present place."""
    from inspector.upkeep import trace as tracing

    settings = load(config)
    folders = tracing.Folders(
        station=settings.station,
        drop=settings.drop_folder,
        archive=settings.archive_folder,
        quarantine=settings.quarantine_folder,
        zone=settings.zone,
    )
    lives = tracing.trace(settings.url, folders, file=file, part=part, inspection=inspection)
    typer.echo(json.dumps({"lives": lives}, ensure_ascii=False) if as_json else tracing.render(lives))
