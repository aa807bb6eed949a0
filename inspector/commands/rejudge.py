"""The command that lets another artifact judge archived images again."""

from __future__ import annotations

import os
from dataclasses import astuple, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from inspector.records import InForce
    from inspector.settings import Settings
    from inspector.station.archive_places import ArchivePlace
    from inspector.station.second_opinion import SecondOpinion
    from inspector.upkeep.rejudge import Rejudged
    from inspector.upkeep.rejudge_engines import Engine

_ENGINES = ("local", "ray")


@dataclass(frozen=True, slots=True)
class RayOptions:
    """Options of the engine that judges on Ray."""

    address: str | None
    images: str | None
    work: str | None


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
    engine: Annotated[
        str,
        typer.Option(help="who judges: 'local', the threads of this process, or 'ray', also on a cluster"),
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=256,
            help="threads, by default the setting 'threads'; with ray: processes, by default one a core",
            metavar="N",
        ),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="ray: the cluster's, as host:6379; default: Ray starts here")
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(help="ray: where each worker finds the archive: a mount or URL; default: its folder"),
    ] = None,
    work: Annotated[
        str | None,
        typer.Option(help="ray: folder or URL that each worker can write to; default: in quarantine_folder"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let another artifact judge archived images again; its verdicts are recorded beside the station's.

    An image that has a verdict of this artifact is passed over, so a run that was stopped goes on where it
    was. The station may work meanwhile.
    """
    from inspector.station import composition
    from inspector.times import instants
    from inspector.upkeep.chosen_images import Chosen
    from inspector.upkeep.rejudge import Places
    from inspector.upkeep.rejudge import rejudge as work_through

    ray_options = RayOptions(address, images, work)
    _require_engine(engine, ray_options)
    settings = load(config)
    chosen = Chosen(
        instants(since, until, settings.zone), verdict_of(verdict) if verdict else None, part, limit
    )
    opinion = composition.second_opinion(
        settings, artifact, batch_size=settings.batch_size, archive=_archive(images)
    )
    places = Places(settings.station, settings.drop_folder, opinion.archive)
    with open_ledger(settings) as store:
        in_force = opinion.register(store)
        judging = (
            _ray(settings, artifact, opinion, in_force, workers, ray_options)
            if engine == "ray"
            else _local(settings, opinion, workers)
        )
        result = work_through(store, settings.url, in_force, judging, chosen=chosen, places=places)
    _print(result, as_json)
    if result.failed:
        raise typer.Exit(1)


def _print(result: Rejudged, as_json: bool) -> None:
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


def _require_engine(engine: str, options: RayOptions) -> None:
    if engine not in _ENGINES:
        raise UsageError(f"--engine '{engine}': there is {' and '.join(_ENGINES)}")
    given = [field.name for field, value in zip(fields(options), astuple(options), strict=True) if value]
    if engine != "ray" and given:
        raise UsageError(f"--{given[0]} needs --engine ray")
    if engine == "ray" and (find_spec("ray") is None or find_spec("pyarrow") is None):
        raise UsageError("--engine ray needs Ray; install it: pip install 'weldnet-station[ray]'")
    if options.address and not options.work:
        raise UsageError("--address needs --work: a folder or URL that every worker can write to")


def _archive(images: str | None) -> ArchivePlace | None:
    from inspector.station.archive_places import place_of

    return place_of(images) if images else None


def _beside_daemon(settings: Settings) -> bool:
    from inspector import locks

    return locks.holder(settings.quarantine_folder / locks.DAEMON_LOCK) is not None


def _local(settings: Settings, opinion: SecondOpinion, workers: int | None) -> Engine:
    from inspector.upkeep import rejudge_engines

    return rejudge_engines.local(
        opinion,
        workers=workers or settings.threads or len(os.sched_getaffinity(0)),
        batch_size=settings.batch_size,
        beside_daemon=lambda: _beside_daemon(settings),
    )


def _ray(
    settings: Settings,
    artifact: Path,
    opinion: SecondOpinion,
    in_force: InForce,
    workers: int | None,
    options: RayOptions,
) -> Engine:
    from inspector.network.metadata import ArtifactFile
    from inspector.upkeep.answer_files import AnswerFiles
    from inspector.upkeep.rejudge_ray import Assignment, on_ray

    work = options.work or str(settings.quarantine_folder / ".rejudge")
    assignment = Assignment(
        file=ArtifactFile.read(artifact, others_may_write=settings.others_may_write),
        sha256=opinion.artifact.sha256,
        thresholds=settings.thresholds,
        limits=opinion.limits,
        archive=opinion.archive,
        batch_size=settings.batch_size,
        answers=AnswerFiles.of(work, in_force),
        in_idle_time=options.address is None and _beside_daemon(settings),
    )
    return on_ray(assignment, workers=workers, address=options.address)
