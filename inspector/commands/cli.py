"""The program ``weld-inspect``, and the commands that run a station."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inspector.commands import (
    console,
    export,
    files,
    forward,
    images,
    init,
    install,
    predict,
    rejudge,
    report,
    review,
    settings,
)
from inspector.commands.help import CARE, QUALITY, STATION, Headings, Version
from inspector.commands.options import AsJson, Config, VerdictsOption, load, print_figures
from inspector.errors import StationError

if TYPE_CHECKING:
    from inspector.monitoring.totals import Totals

app = typer.Typer(
    cls=Headings,
    no_args_is_help=True,
    rich_markup_mode=None,  # errors are plain lines, also in a log
    pretty_exceptions_enable=False,
    help="Inspect weld images that a camera drops into a folder, and report on them.",
)


def main() -> None:
    """Run a command; an expected error becomes one line on stderr and an exit status, without a traceback."""
    _use_utf8()
    try:
        app()
    except StationError as error:
        sys.stderr.write(f"weld-inspect: {error}\n")
        sys.exit(error.exit_status)


def _use_utf8() -> None:
    """Start again in Python's UTF-8 mode if the locale has another encoding.

    The ledger's paths are UTF-8. In a Latin-1 locale the same text would become other bytes on the disk. The
    process keeps its number, so a service manager notices nothing.
    """
    if sys.getfilesystemencoding() != "utf-8" and "utf8" not in sys._xoptions:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606


@app.callback()
def program(version: Version = False) -> None:
    """Read the options that stand before a command."""


def run(config: Config) -> None:
    """Watch the drop folder until SIGTERM or Ctrl-C; files that were taken are finished first.

    SIGHUP reads settings and artifact again, and keeps the old ones if the new ones are wrong.
    """
    _work(config, only_present=False)


def once(config: Config, as_json: AsJson = False) -> None:
    """Inspect the files that are in the drop folder now, each until ready or given up, and stop."""
    totals = _work(config, only_present=True)
    print_figures(
        {
            "seen": totals.seen,
            "inspected": totals.inspected,
            "duplicates": totals.duplicates,
            "quarantined": totals.quarantined,
            "pending": totals.pending,
            "seconds": totals.seconds,
            "images_per_second": totals.images_per_second,
        },
        as_json,
    )
    if totals.postponed:
        raise StationError(
            f"{totals.postponed} files stay in the drop folder, since the station could not read, record or "
            "move them; fix what the log names, and run it again"
        )


def check(
    config: Config,
    camera_user: Annotated[
        str | None, typer.Option(help="the account under which the camera software writes", metavar="NAME")
    ] = None,
) -> None:
    """Check settings, artifact, database and folders before the first shift, and say how to fix mistakes."""
    from inspector.upkeep.check import Level, findings

    settings = load(config)
    wrong = 0
    for finding in findings(config, settings, camera_user):
        wrong += finding.level is Level.WRONG
        typer.echo(f"{finding.level:<6} {finding.what:<12} {finding.detail}")
    if wrong:
        raise typer.Exit(2)


def status(config: Config, verdicts: VerdictsOption = None) -> None:
    """Show the state of the running station on one screen; it only needs the right to read.

    The exit status is 1 if the daemon does not run, the database does not answer, or a fault is shown.
    """
    from inspector.reports.query import DEFAULT_VERDICTS
    from inspector.upkeep.status import lines

    wrong = 0
    for line in lines(load(config), verdicts or DEFAULT_VERDICTS):
        wrong += line.is_wrong
        typer.echo(f"{line.name:<12} {line.text}")
    if wrong:
        raise typer.Exit(1)


def migrate(config: Config) -> None:
    """Create the schema of the quality database, or upgrade it to the revision of this program."""
    from inspector.ledger import database, store

    settings = load(config)
    store.migrate(settings.url)
    typer.echo(f"{database.display(settings.url)}: schema is up to date")


def bench(
    artifact: Annotated[Path, typer.Option(help="the artifact to measure", metavar="F")],
    directory: Annotated[
        Path | None, typer.Option("--dir", help="a folder of images to measure with", metavar="D")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the speed of an artifact on this machine."""
    from inspector.upkeep import bench as benchmark

    result = benchmark.bench(artifact, directory)
    typer.echo(json.dumps(result) if as_json else benchmark.table(result))


def _work(config: Path, *, only_present: bool) -> Totals:
    from inspector.station.service import ReloadFlag, StopFlag, reload_on_signal, stop_on_signals

    settings, stop, reload = load(config), StopFlag(), ReloadFlag()
    with stop_on_signals(stop), reload_on_signal(reload):  # a signal while torch loads must stop it too
        from inspector.station import composition

        return composition.run(config, settings, stop=stop, reload=reload, only_present=only_present)


_COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    STATION: (init.init, check, run, once, status, predict.predict, bench, install.install_artifact),
    QUALITY: (images.show, images.trace, export.export, rejudge.rejudge),
    CARE: (
        migrate,
        forward.forward,
        files.backup,
        files.reconcile,
        files.prune,
        files.requeue,
        files.summarize,
    ),
}
app.command(cls=report.ReportCommand, rich_help_panel=QUALITY)(report.report)
for heading, commands in _COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=heading)(command)
app.add_typer(review.review, name="review", rich_help_panel=QUALITY)
app.add_typer(console.console, name="console", rich_help_panel=QUALITY)
app.add_typer(settings.config, name="config", rich_help_panel=STATION)
