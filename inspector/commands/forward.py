"""The command that sends a station's rows to a central database."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from inspector.commands.options import AsJson, Config, load, print_figures
from inspector.errors import SettingsError


def forward(
    config: Config,
    once: Annotated[
        bool, typer.Option("--once", help="end when nothing is left, and fail if the centre does not answer")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send the station's ledger to central_url until SIGTERM or Ctrl-C, and fetch verdicts from there.

    Small pictures are sent of those images that people open there.

    Only rows that are not there are added, so it can be stopped or killed at any moment. The station never
    waits for it.
    """
    from inspector.forwarding import forwarder
    from inspector.station.archive_places import ArchiveFolder
    from inspector.station.service import StopFlag, stop_on_signals

    settings, stop = load(config), StopFlag()
    if settings.central_url is None:
        raise SettingsError(f"{config}: 'central_url' is not set, so there is nowhere to forward to; set it")
    with stop_on_signals(stop):
        urls = settings.urls()
        sent = forwarder.forward(
            urls["database_url"],
            urls["central_url"],
            settings.station,
            ArchiveFolder(settings.archive_folder),
            once=once,
            stop=stop,
        )
    print_figures(dataclasses.asdict(sent), as_json)
