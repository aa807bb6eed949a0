"""The command that lets another artifact judge archived images again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from inspector.commands.options import (
    AsJson,
    Config,
    Part,
    Since,
    Until,
    load,
    open_ledger,
    print_figures,
    verdict_of,
)
from inspector.errors import UsageError

_ENGINES = ("local",)


def rejudge(
    config: Config,
    artifact: Annotated[Path, typer.Option(help="the artifact that judges", metavar="NEW")],
    since: Since = None,
    until: Until = None,
    verdict: Annotated[
        str | None, typer.Option(help="only images with this verdict of the station: PASS, FAIL or REVIEW")
    ] = None,
    part: Part = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="so many images at most, the oldest first", metavar="N")
    ] = None,
    engine: Annotated[str, typer.Option(help="where to judge; there is 'local', this machine")] = "local",
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=256, help="threads; default: the setting 'threads'", metavar="N"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let another artifact judge archived images again; its verdicts are recorded beside the station's.

    An image that has a verdict of this artifact is passed over, so a run that was stopped goes on where it
    was. The station may work meanwhile.
    """
    from inspector.station import composition
    from inspector.times import instants
    from inspector.upkeep.rejudge import Chosen, Places
    from inspector.upkeep.rejudge import rejudge as work

    if engine not in _ENGINES:
        raise UsageError(f"--engine '{engine}': there is {', '.join(_ENGINES)}")
    settings = load(config)
    chosen = Chosen(
        instants(since, until, settings.zone), verdict_of(verdict) if verdict else None, part, limit
    )
    places = Places(
        settings.station, settings.drop_folder, settings.archive_folder, settings.quarantine_folder
    )
    opinion = composition.second_opinion(settings, artifact, batch_size=settings.batch_size)
    with open_ledger(settings) as store:
        result = work(
            store,
            settings.url,
            opinion,
            chosen,
            places,
            workers=workers or settings.threads or len(os.sched_getaffinity(0)),
            batch_size=settings.batch_size,
        )
    for reason, count in sorted(result.skipped.items()):
        typer.echo(f"skipped, {reason}: {count}", err=True)
    print_figures(
        {
            "judged": result.judged,
            "skipped": result.skipped.total(),
            "failed": result.failed,
            "changed": result.changed,
            "seconds": result.seconds,
            "images_per_second": result.images_per_second,
        },
        as_json,
    )
    if result.failed:
        raise typer.Exit(1)
