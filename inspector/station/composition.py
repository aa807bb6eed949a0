"""Builds a station from its settings; the only module that gives settings to the stages.

The module is long, because it knows every stage.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from inspector import file_names, locks, permissions, times
from inspector import settings as settings_file
from inspector.errors import ArtifactError, SettingsError, StationError
from inspector.ledger.store import Store
from inspector.monitoring.endpoint import serving
from inspector.monitoring.health import FAULTS, DatabaseProbe, Health
from inspector.monitoring.metrics import Metrics
from inspector.monitoring.progress import Progress
from inspector.monitoring.totals import Totals
from inspector.monitoring.waiting_rows import ROWS_GAUGE, SECONDS_GAUGE, WaitingRows
from inspector.network import artifact
from inspector.network.classifier import Classifier
from inspector.records import ArtifactInUse, FileStamp, InForce, NameParts
from inspector.settings import CONSOLE_SETTINGS, SHADOW_SETTINGS, Settings
from inspector.station import open_files
from inspector.station.archive import Archive
from inspector.station.archive_places import ArchiveFolder, ArchivePlace
from inspector.station.crash_journal import CrashJournal
from inspector.station.daemon import Daemon
from inspector.station.events import Events
from inspector.station.intake import Intake
from inspector.station.outages import Outages
from inspector.station.reading import Limits
from inspector.station.recording import Recorder
from inspector.station.reload import Reload
from inspector.station.results import Results
from inspector.station.rules import InstalledFile, Pace, Rules
from inspector.station.second_opinion import SecondOpinion
from inspector.station.service import Notifier, ReloadFlag, StopFlag

log = logging.getLogger("weldnet")

FAULT_GAUGE = "weldnet_fault", "1 while this is wrong, as /healthz says", "fault"
DISK_FREE_GAUGE = "weldnet_disk_free_bytes", "Free space of the file system for this user", "folder"

# A reload changes how images are judged and named. Owners of a thread, a lock or a connection need a restart.
RELOADABLE_SETTINGS = frozenset(
    {
        "artifact",
        "artifact_sha256",
        "others_may_write",
        "accept_unfit_artifact",
        "thresholds",
        "batch_size",
        "batch_wait_ms",
        "drain_s",
        "formats",
        "max_megapixels",
        "max_megabytes",
        "timezone",
        "shifts",
        "name_pattern",
        *SHADOW_SETTINGS,
        "seam_k",  # from here on: the reports' own, which the daemon never reads
        "seam_n",
        "seam_min_frames",
        *CONSOLE_SETTINGS,  # the console's own
    }
)


def run(
    config: Path,
    settings: Settings,
    *,
    stop: StopFlag,
    reload: ReloadFlag,
    only_present: bool,
    wall_us: Callable[[], int] = times.now_us,
) -> Totals:
    """Build the station and let it work, with its results folder and its metrics port if they are set.

    ``wall_us`` is the clock that gives arrivals and verdicts their times and shifts; see :func:`daemon`.
    """
    permissions.require_protected_settings(config)
    recorded = threading.Event()
    station = daemon(
        config,
        settings,
        stop=stop,
        reload=reload,
        only_present=only_present,
        recorded=recorded.set,
        wall_us=wall_us,
    )
    with ExitStack() as open_while_it_works:
        open_while_it_works.enter_context(locks.daemon_lock(settings.quarantine_folder))
        results = None
        if folder := settings.results_folder:
            results = open_while_it_works.enter_context(_results(folder, settings, station, recorded))
            station.connect = partial(_connect_with_results, station.connect, results)
        if settings.metrics_port is not None and not only_present:
            waiting = _waiting_rows(settings, station.metrics)
            probe = DatabaseProbe(settings.url, also=waiting.look if waiting else None)
            open_while_it_works.enter_context(probe)
            about = _health(settings, station, probe, results.fault if results else lambda: None)
            open_while_it_works.enter_context(serving(settings.metrics_port, station.metrics.registry, about))
        totals = station.run()
    _record_last_events(station.events, settings)
    return totals


def _connect_with_results(connect: Callable[[], Store], results: Results) -> Store:
    """Open the ledger, and let the results note which rows were there before this run adds any."""
    store = connect()
    try:
        results.note_first_start()
    except BaseException:
        store.close()
        raise
    return store


def _record_last_events(events: Events, settings: Settings) -> None:
    """Write the events that came after the daemon's last round."""
    if events:
        with (
            suppress(StationError),
            Store.open(settings.url, settings.station, seam_gap_s=settings.seam_gap_s) as store,
        ):
            events.drain(store.record_event)


def daemon(
    config: Path,
    settings: Settings,
    *,
    stop: StopFlag,
    reload: ReloadFlag,
    only_present: bool,
    recorded: Callable[[], None] | None = None,
    wall_us: Callable[[], int] = times.now_us,
) -> Daemon:
    """Build the station that the settings describe, with its network verified and warm.

    Args:
        config: the settings file, which each reload reads again.
        settings: its present content.
        stop: set by signals.
        reload: set by a signal.
        only_present: a single pass over the present files, which waits for no database.
        recorded: called after each commit.
        wall_us: UTC epoch microseconds, for the times of files and verdicts. The demonstration sets it to the
            shifts of two weeks.

    Raises:
        UsageError: artifact, folders or thresholds are wrong.
    """
    archive = Archive(settings.drop_folder, settings.archive_folder, settings.quarantine_folder)
    if only_present:  # which has no idle time
        settings = settings.model_copy(update={"shadow_artifact": None})
    progress, events, first = Progress(), Events(), rules(settings, archive, wall_us)
    notifier = Notifier(progress)
    intake = Intake(
        settings.drop_folder,
        events,
        settle_s=settings.settle_s,
        give_up_s=settings.give_up_s,
        scan_s=settings.scan_s,
        subfolders=settings.subfolders,
        ignore=settings.ignore,
        only_first_scan=only_present,
        wall_us=wall_us,
    )
    return Daemon(
        intake=intake,
        rules=first,
        connect=lambda: Store.open(
            settings.url, settings.station, seam_gap_s=settings.seam_gap_s, recorded=recorded
        ),
        archive=archive,
        journal=CrashJournal(settings.quarantine_folder / ".decoding"),
        outages=Outages(
            wait=not only_present, stop=stop, notifier=notifier, pending=intake.pending, events=events
        ),
        stop=stop,
        reload=Reload(reload, _reload(config, settings, archive, wall_us), notifier),
        progress=progress,
        metrics=Metrics(first.artifact),
        events=events,
        notifier=notifier,
    )


def rules(settings: Settings, archive: Archive, wall_us: Callable[[], int]) -> Rules:
    """Open, verify and warm the artifact, and build all that a reload may change.

    Raises:
        UsageError: the artifact fails its golden frames, or the thresholds name no class of it.
    """
    threads = settings.threads or len(os.sched_getaffinity(0))
    open_files.require(settings.batch_size, threads)
    file = _installed_file(settings.artifact)  # before it is read, so that a later change is noticed
    opened = artifact.open(
        settings.artifact,
        sha256=settings.artifact_sha256,
        others_may_write=settings.others_may_write,
        accept_unfit=settings.accept_unfit_artifact,
    )
    if opened.metadata.is_unfit:
        log.warning(
            "%s is used because accept_unfit_artifact is true, although its training ended with '%s'",
            settings.artifact,
            opened.metadata.training_verdict,
        )
    opened.warm_up(settings.batch_size)
    about, classifier = opened.metadata, Classifier(opened, settings.thresholds)
    pattern = re.compile(settings.name_pattern) if settings.name_pattern else None
    shadow, shadow_trouble = _shadow(settings)
    return Rules(
        artifact=ArtifactInUse(about.name, about.version, opened.sha256),
        artifact_file=file,
        limits=_limits(settings, about.bit_depth),
        classifier=classifier,
        recorder=Recorder(
            describe=lambda name, seen_us: file_names.parse(name, pattern, settings.zone, seen_us),
            calendar=lambda instant_us: times.local_day_and_shift(instant_us, settings.zone, settings.shifts),
            archive=archive,
            zone=settings.zone,
            wall_us=wall_us,
        ),
        pace=Pace(
            batch_size=settings.batch_size,
            batch_wait_s=settings.batch_wait_ms / 1000,
            threads=threads,
            drain_s=settings.drain_s,
            shadow_every=settings.shadow_every,
        ),
        register=_registration(opened, classifier, settings),
        shadow=shadow,
        shadow_trouble=shadow_trouble,
    )


def _shadow(settings: Settings) -> tuple[SecondOpinion | None, str | None]:
    """Open the candidate, or say why it cannot judge: the station works without it."""
    if settings.shadow_artifact is None:
        return None, None
    try:
        return second_opinion(settings, settings.shadow_artifact, batch_size=1), None
    except (StationError, OSError, RuntimeError) as error:  # RuntimeError: torch's own
        return None, " ".join(str(error).split())


def second_opinion(
    settings: Settings, path: Path, *, batch_size: int, archive: ArchivePlace | None = None
) -> SecondOpinion:
    """Open, verify and warm another artifact, to judge archived images by the station's settings.

    The archive is the station's folder if no other place is given. The artifact's training verdict does not
    matter, since it decides nothing.

    Raises:
        UsageError: the artifact fails its golden frames, or the thresholds name no class of it.
    """
    opened = artifact.open(path, others_may_write=settings.others_may_write)
    try:
        classifier = Classifier(opened, settings.thresholds)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}; it can be tried once 'thresholds' fit it, too") from None
    opened.warm_up(batch_size)
    about = opened.metadata
    judged_by = settings.model_copy(update={"artifact": path, "artifact_sha256": None})
    return SecondOpinion(
        artifact=ArtifactInUse(about.name, about.version, opened.sha256),
        classifier=classifier,
        limits=_limits(settings, about.bit_depth),
        archive=archive or ArchiveFolder(settings.archive_folder),
        register=_registration(opened, classifier, judged_by),
    )


def _limits(settings: Settings, bit_depth: int) -> Limits:
    return Limits(
        formats=settings.formats,
        max_pixels=round(settings.max_megapixels * 1e6),
        max_bytes=round(settings.max_megabytes * 2**20),
        bit_depth=bit_depth,
    )


def _registration(
    opened: artifact.Artifact, classifier: Classifier, settings: Settings
) -> Callable[[Store], InForce]:
    """Return what writes the rows of an artifact and of the settings that it judges by."""
    about = opened.metadata
    recorded = settings.of_an_inspection() | {"thresholds": classifier.thresholds}
    settings_json = json.dumps(recorded, sort_keys=True)

    def register(store: Store) -> InForce:
        return store.in_force(
            metadata=about.to_json(),
            artifact_sha256=opened.sha256,
            name=about.name,
            version=about.version,
            settings_json=settings_json,
        )

    return register


def _installed_file(path: Path) -> InstalledFile:
    try:
        return InstalledFile(path, FileStamp.of(path.stat()))
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}; copy it there, or correct the setting") from None


def _reload(
    config: Path, first: Settings, archive: Archive, wall_us: Callable[[], int]
) -> Callable[[], Rules]:
    """Return what loads new rules: it reads the file again, and refuses changes that need a restart."""

    def load() -> Rules:
        permissions.require_protected_settings(config)
        settings = settings_file.load(config)
        changed = sorted(
            key
            for key in Settings.model_fields
            if key not in RELOADABLE_SETTINGS and getattr(settings, key) != getattr(first, key)
        )
        if changed:
            raise SettingsError(f"{config}: {', '.join(changed)} changed; restart the service for that")
        return rules(settings, archive, wall_us)

    return load


def _results(folder: Path, settings: Settings, station: Daemon, recorded: threading.Event) -> Results:
    """Build the writer of result files; its position is kept beside the crash journal."""

    def describe(name: str, seen_us: int) -> NameParts:
        return station.rules.recorder.describe(
            name, seen_us
        )  # looked up each time, since a reload changes it

    return Results(
        folder,
        settings.quarantine_folder / ".results",
        settings.url,
        settings.station,
        zone=lambda: station.rules.recorder.zone,
        describe=describe,
        events=station.events,
        woken=recorded,
    )


def _health(
    settings: Settings, station: Daemon, probe: DatabaseProbe, results: Callable[[], str | None]
) -> Callable[[], dict[str, Any]]:
    """Return the source of ``/healthz``, and add gauges for its faults and for the free space."""
    health = Health(
        probe=probe,
        outage=lambda: station.outages.current,
        progress=station.progress,
        drop_folder=settings.drop_folder,
        drop_device=lambda: station.intake.device,
        archive_folder=settings.archive_folder,
        min_free_bytes=settings.min_free_gigabytes * 2**30,
        results=results,
    )
    metrics = station.metrics
    metrics.gauge(*FAULT_GAUGE, {name: partial(_is_faulty, health, name) for name in FAULTS})
    metrics.gauge(*DISK_FREE_GAUGE, {"archive": health.free_bytes})

    def about() -> dict[str, Any]:
        faults = health.faults()
        return {
            "healthy": not faults,
            "faults": faults,
            "station": settings.station,
            "artifact": str(station.rules.artifact),
            "pending": metrics.pending,
            "oldest_pending_s": round(metrics.oldest_pending_s(), 1),
        }

    return about


def _waiting_rows(settings: Settings, metrics: Metrics) -> WaitingRows | None:
    """Add gauges for the rows that wait for the forwarder, if there is a central database."""
    if settings.central_url is None:
        return None
    waiting = WaitingRows(settings.station)
    metrics.gauge(*ROWS_GAUGE, {"centre": waiting.rows})
    metrics.gauge(*SECONDS_GAUGE, {"centre": waiting.seconds})
    return waiting


def _is_faulty(health: Health, fault: str) -> float:
    return float(fault in health.faults())
