"""Commands for upkeep: account for files, remove or inspect them again, summarize and back up the rows."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated

import typer

from inspector.commands.options import AsJson, Config, load, open_ledger, print_figures, tracked, verdict_of
from inspector.errors import UsageError


def reconcile(config: Config, as_json: AsJson = False) -> None:
    """Compare the database with the files on disk, and list every file that is unaccounted for."""
    from inspector.station import listing
    from inspector.upkeep import reconcile as ledger

    settings = load(config)
    result = ledger.reconcile(
        settings.url,
        station=settings.station,
        drop_folder=settings.drop_folder,
        archive_folder=settings.archive_folder,
        quarantine_folder=settings.quarantine_folder,
        pending=listing.waiting_files(
            settings.drop_folder, subfolders=settings.subfolders, ignore=settings.ignore
        ),
    )
    figures = dataclasses.asdict(result)
    for line in figures.pop("details"):
        typer.echo(f"unaccounted: {line}", err=True)
    print_figures(figures, as_json)
    if result.unaccounted:
        raise typer.Exit(1)


def prune(
    config: Config,
    older_than: Annotated[
        float,
        typer.Option(min=0, max=36_500, help="days since it was inspected or quarantined", metavar="DAYS"),
    ],
    verdict: Annotated[
        list[str] | None, typer.Option(help="PASS, FAIL or REVIEW; can be repeated; default: PASS")
    ] = None,
    unreviewed: Annotated[
        bool, typer.Option("--unreviewed", help="also images that wait for a human verdict")
    ] = False,
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="also files that could not be inspected")
    ] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="remove the images; without this option they are only counted")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only count the images, as without --delete")
    ] = False,
    trust_clock: Annotated[
        bool, typer.Option("--trust-clock", help="also if no file was recorded for more than 30 days")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove old images from the disk; their rows stay. Without --delete, only count them."""
    from inspector.locks import upkeep_lock
    from inspector.records import Place
    from inspector.times import DAY_US
    from inspector.upkeep.prune import REASONS_TO_KEEP, Policy, require_plausible_clock
    from inspector.upkeep.prune import prune as work

    if delete and dry_run:
        raise UsageError("--delete removes and --dry-run only counts: give one of them")
    settings = load(config)
    now_us = time.time_ns() // 1000
    policy = Policy(
        before_us=now_us - round(older_than * DAY_US),
        verdicts=frozenset(verdict_of(word.upper()) for word in verdict or ["PASS"]),
        unreviewed=unreviewed,
        places=(Place.ARCHIVE, Place.QUARANTINE) if quarantined else (Place.ARCHIVE,),
    )
    with upkeep_lock(settings.quarantine_folder), open_ledger(settings) as store:
        if older_than and not trust_clock:
            require_plausible_clock(settings.url, settings.station, policy, now_us)
        result = work(
            store,
            settings.url,
            policy,
            archive_folder=settings.archive_folder,
            quarantine_folder=settings.quarantine_folder,
            delete=delete,
            track=tracked("pruning" if delete else "looking"),
        )
        if delete and result.files:
            store.record_event("prune", f"{result.files} files, {result.size_bytes} bytes")
    figures = {"dry_run": not delete, "pruned": result.files, "bytes": result.size_bytes}
    print_figures(figures | {f"kept_{why}": result.kept[why] for why in REASONS_TO_KEEP}, as_json)
    if not delete:
        typer.echo("dry run: nothing was removed; --delete removes what 'pruned' counts", err=True)


def requeue(
    config: Config,
    row: Annotated[
        list[int] | None, typer.Option("--id", help="number of a quarantined file; can be repeated")
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="all files quarantined for this reason, such as truncated")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="start of the period of quarantine: ISO date or time in the station's time zone"),
    ] = None,
    until: Annotated[str | None, typer.Option(help="end of the period, exclusive")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only count the files that would go back")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Move quarantined files that match all options back into the drop folder, to be inspected again."""
    from inspector.locks import upkeep_lock
    from inspector.station.archive import Archive
    from inspector.times import instants
    from inspector.upkeep.requeue import Chosen
    from inspector.upkeep.requeue import requeue as work

    settings = load(config)
    if not (row or reason or since or until):
        raise UsageError(
            "say which files: --id, --reason, --since or --until ('report quarantine' lists them)"
        )
    chosen = Chosen(row, reason, instants(since, until, settings.zone))
    # This tries real renames, before anything is written to the database.
    archive = Archive(settings.drop_folder, settings.archive_folder, settings.quarantine_folder)
    with upkeep_lock(settings.quarantine_folder), open_ledger(settings) as store:
        result = work(
            store,
            settings.url,
            chosen,
            archive,
            drop_folder=settings.drop_folder,
            quarantine_folder=settings.quarantine_folder,
            move=not dry_run,
            track=tracked("putting back"),
        )
        if result.files and not dry_run:
            store.record_event("requeue", f"{result.files} files")
    for line in result.left:
        typer.echo(f"left: {line}", err=True)
    print_figures({"dry_run": dry_run, "requeued": result.files, "left": len(result.left)}, as_json)
    if result.left:
        raise typer.Exit(1)


def backup(
    file: Annotated[
        Path, typer.Argument(help="the copy, a new file; a good name has the date", metavar="FILE")
    ],
    config: Config,
) -> None:
    """Copy the quality database to a file while the station works; it is consistent and never half there.

    SQLite becomes a SQLite file. PostgreSQL becomes a dump for pg_restore, made by pg_dump.
    """
    from inspector.upkeep.backup import backup as copy

    copy(load(config).url, file)
    typer.echo(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


def summarize(
    config: Config,
    check: Annotated[
        bool, typer.Option("--check", help="make no summary, but prove that those that are there are right")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Summarize the hours that are over, so that reports over millions of images take seconds."""
    from inspector.ledger import summaries
    from inspector.times import iso

    settings = load(config)
    if not check:
        print_figures({"hours": summaries.summarize(settings.url)}, as_json)
        return
    hours = [iso(hour_us, settings.zone) for hour_us in summaries.false_hours(settings.url)]
    print_figures({"false": len(hours)}, as_json)
    for hour in hours:
        typer.echo(
            f"{hour}: the summary of this hour differs from its images, so reports on it are wrong; remove"
            " all summaries as the owner of the tables and make them again (docs/explanation/database.md)",
            err=True,
        )
    if hours:
        raise typer.Exit(1)
