"""``weld-inspect``: the station's commands. Heavy imports stay inside them, so that ``--help`` is instant."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inspector import quality_cli
from inspector.errors import StationError
from inspector.options import AsJson, Config, load, print_figures

if TYPE_CHECKING:
    from inspector.daemon import Daemon, Totals
    from inspector.service import StopFlag
    from inspector.settings import Settings

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,  # errors stay plain lines that a log can hold
    pretty_exceptions_enable=False,
    help="Inspects weld images that a camera drops into a folder, and answers questions about them.",
)

for command in (quality_cli.report, quality_cli.reconcile):
    app.command()(command)


def main() -> None:
    """Entry point: an expected error is one line on stderr and its exit status, never a traceback."""
    try:
        app()
    except StationError as error:
        sys.stderr.write(f"weld-inspect: {error}\n")
        sys.exit(error.exit_status)


@app.command()
def run(config: Config) -> None:
    """Watch the drop folder until told to stop (SIGTERM or Ctrl-C); what was taken is finished first."""
    _work(load(config), only_present=False)


@app.command()
def once(config: Config, as_json: AsJson = False) -> None:
    """Inspect what is in the drop folder now, each file until ready or given up, and stop."""
    totals = _work(load(config), only_present=True)
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


@app.command()
def check(config: Config) -> None:
    """Find an installer's mistakes before the first shift: settings, artifact, database, folders."""
    from inspector.check import findings

    settings = load(config)
    typer.echo(f"ok     settings    {config}: station {settings.station}")
    wrong = 0
    for finding in findings(settings):
        wrong += not finding.ok
        typer.echo(f"{'ok    ' if finding.ok else 'WRONG '} {finding.what:<11} {finding.detail}")
    if wrong:
        raise typer.Exit(2)


@app.command()
def migrate(config: Config) -> None:
    """Create the quality database's schema, or upgrade it to this program's revision."""
    from inspector import store

    settings = load(config)
    store.migrate(settings.url)
    typer.echo(f"{settings.url}: schema is up to date")


@app.command()
def bench(
    artifact: Annotated[Path, typer.Option(help="the artifact to measure", metavar="F")],
    directory: Annotated[
        Path | None, typer.Option("--dir", help="images to measure with", metavar="D")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure this machine's speed with an artifact."""
    from inspector import bench as benchmark

    result = benchmark.bench(artifact, directory)
    typer.echo(json.dumps(result) if as_json else benchmark.table(result))


def _work(settings: Settings, *, only_present: bool) -> Totals:
    from inspector.service import StopFlag, stop_on_signals

    stop = StopFlag()
    with stop_on_signals(stop):  # from the first moment: a stop while the network loads is a stop, too
        return _daemon(settings, stop, only_present=only_present).run()


def _daemon(settings: Settings, stop: StopFlag, *, only_present: bool) -> Daemon:
    """Compose a station from its settings: the only place where settings meet stages."""
    from inspector import artifact, names, shifts
    from inspector.archive import Archive
    from inspector.bookkeeping import Bookkeeper
    from inspector.classifier import Classifier
    from inspector.daemon import Daemon, Pace
    from inspector.intake import Intake
    from inspector.reading import Limits
    from inspector.records import InForce
    from inspector.service import Notifier
    from inspector.store import Store

    opened = artifact.open(settings.artifact, sha256=settings.artifact_sha256)
    threads = settings.threads or len(os.sched_getaffinity(0))
    opened.warm_up(settings.batch_size)
    classifier = Classifier(opened, settings.thresholds)
    archive = Archive(settings.drop_folder, settings.archive_folder, settings.quarantine_folder)
    pattern = re.compile(settings.name_pattern) if settings.name_pattern else None

    def connect() -> tuple[Store, InForce]:
        store = Store.open(settings.url, settings.station, seam_gap_s=settings.seam_gap_s)
        in_force = store.in_force(
            metadata=opened.metadata.to_json(),
            artifact_sha256=opened.sha256,
            name=opened.metadata.name,
            version=opened.metadata.version,
            settings_json=_settings_in_force(settings, classifier.thresholds),
        )
        return store, in_force

    return Daemon(
        intake=Intake(
            settings.drop_folder,
            settle_s=settings.settle_s,
            give_up_s=settings.give_up_s,
            scan_s=settings.scan_s,
            only_first_scan=only_present,
        ),
        limits=Limits(
            formats=settings.formats,
            max_pixels=round(settings.max_megapixels * 1e6),
            max_bytes=round(settings.max_megabytes * 2**20),
            bit_depth=opened.metadata.bit_depth,
        ),
        classifier=classifier,
        connect=connect,
        bookkeeper=Bookkeeper(
            describe=lambda name: names.parse(name, pattern, settings.zone),
            calendar=lambda instant_us: shifts.local_day_and_shift(
                instant_us, settings.zone, settings.shifts
            ),
            archive=archive,
        ),
        archive=archive,
        pace=Pace(
            batch_size=settings.batch_size,
            batch_wait_s=settings.batch_wait_ms / 1000,
            threads=threads,
            drain_s=settings.drain_s,
        ),
        wait_out_outages=not only_present,
        stop=stop,
        notifier=Notifier(),
    )


def _settings_in_force(settings: Settings, thresholds: dict[str, Any]) -> str:
    """What judged, for the settings row: without the URL, which may hold a password."""
    plain = settings.model_dump(mode="json", exclude={"database_url"})
    return json.dumps(plain | {"thresholds": thresholds}, sort_keys=True)
