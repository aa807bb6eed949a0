"""The command ``init``: a station's folder that runs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from inspector.commands.options import load


def init(
    folder: Annotated[
        Path, typer.Argument(help="the folder to make; it must be new or empty", metavar="DIR")
    ],
    artifact: Annotated[
        Path | None,
        typer.Option(help="the network, made by weld-train; default: the demonstration's", metavar="F"),
    ] = None,
) -> None:
    """Make a station's folder that runs: settings with comments, folders, a network, a database, and a check.

    A folder that holds anything is refused, so no station is ever overwritten.
    """
    from inspector.ledger import store
    from inspector.upkeep import new_station
    from inspector.upkeep.check import Level, findings

    config = new_station.make(folder, artifact)
    settings = load(config)
    store.migrate(settings.url)
    wrong = 0
    for finding in findings(config, settings):
        wrong += finding.level is Level.WRONG
        typer.echo(f"{finding.level:<6} {finding.what:<12} {finding.detail}")
    if artifact is None:
        typer.echo("\nNo --artifact was given, so this station judges by the demonstration's network.")
        typer.echo("It knows synthetic frames only. Never judge a real weld with it.")
    if wrong:
        typer.echo(f"\nCorrect the lines with WRONG, then: weld-inspect check --config {_quoted(config)}")
        raise typer.Exit(2)
    typer.echo(f"\nStart it:       weld-inspect run --config {_quoted(config)}")
    typer.echo(f"Drop images in: {_quoted(settings.drop_folder)}")


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
