"""Checks for mistakes of an installation before the first shift; each finding says how to fix it.

The checks run in the order in which the daemon needs their subjects. They leave nothing behind except the
folders of archive and quarantine, and the station's name in the database.

The module is long, because the checks are read one after the other.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from inspector import file_names, filesystems, locks, permissions
from inspector.errors import (
    FolderError,
    ImageError,
    SettingsError,
    StationError,
    StoreRefused,
    StoreUnavailable,
    UsageError,
)
from inspector.forwarding.centre import Centre
from inspector.imaging import decoder
from inspector.ledger import database, schema, views
from inspector.ledger.store import Store
from inspector.network import artifact, metadata
from inspector.network.classifier import Classifier
from inspector.settings import Settings
from inspector.station import composition, listing, open_files, watch
from inspector.station.archive import Archive
from inspector.upkeep import clock, people, rehearsal

_SAMPLE: Final = 8  # images of each folder to decode, which takes half a second


class Level(StrEnum):
    """The result of a check."""

    OK = "ok"
    NOTE = "note"  # the station works, but a person should know this
    WRONG = "WRONG"  # the station does not work, or will not for long


@dataclass(frozen=True, slots=True)
class Finding:
    """One check with its result."""

    what: str
    level: Level
    detail: str


class _Note(Exception):
    """The check passed, but a person should know this."""


def findings(config: Path, settings: Settings, camera_user: str | None = None) -> Iterator[Finding]:
    """Run every check.

    Args:
        config: the settings file.
        settings: its content.
        camera_user: the account of the camera software, if it is another one.
    """
    if user := permissions.owner_to_run_as(settings.quarantine_folder):
        advice = (
            f"the station's folders belong to {user}, and this is another user; run it as the service does: "
        )
        yield Finding(
            "user", Level.WRONG, f"{advice}runuser -u {user} -- weld-inspect check --config {config}"
        )
        return  # the other checks could have other results as the service's user
    trials: dict[str, Callable[[], str]] = {
        "settings": lambda: _settings(config, settings),
        "folders": lambda: _folders(settings),
        "file system": lambda: _file_system(settings),
        "camera": lambda: _camera(config, settings, camera_user),
        "disk": lambda: _disk(settings),
        "open files": lambda: _open_files(settings),
        "watch": lambda: _watch(settings),
        "artifact": lambda: _artifact(settings),
        "shadow": lambda: _shadow(settings),
        "clock": lambda: _clock(settings),
        "database": lambda: _database(settings),
        "names": lambda: _names(settings),
        "pixels": lambda: _pixels(settings),
        "results": lambda: _results(settings),
        "people": lambda: _people(config, settings),
        "centre": lambda: _centre(settings),
    }
    for what, trial in trials.items():
        try:
            yield Finding(what, Level.OK, trial())
        except _Note as note:
            yield Finding(what, Level.NOTE, str(note))
        except StationError as error:
            yield Finding(what, Level.WRONG, str(error))


def _settings(config: Path, settings: Settings) -> str:
    permissions.require_protected_settings(config)
    return f"{config}: station {settings.station}"


def _folders(settings: Settings) -> str:
    Archive(settings.drop_folder, settings.archive_folder, settings.quarantine_folder)
    return f"files move from {settings.drop_folder} to archive and quarantine by rename"


def _file_system(settings: Settings) -> str:
    kind = filesystems.file_system(settings.drop_folder)
    if filesystems.is_remote(kind):
        raise _Note(
            f"{settings.drop_folder} is on {kind}, which does not report new files, so a scan every "
            f"{settings.scan_s:g} s (scan_s) finds them; better share a local folder of this machine"
        )
    if kind in filesystems.FOREIGN:
        raise _Note(f"{settings.drop_folder} is on {kind}, which has no file owners; use ext4 or XFS")
    if filesystems.file_system(settings.archive_folder) in filesystems.VOLATILE:
        raise _Note(f"{settings.archive_folder} is in memory (tmpfs) and lost without power; use a disk")
    return f"{kind}, on this machine"


def _camera(config: Path, settings: Settings, user: str | None) -> str:
    drop = settings.drop_folder
    permissions.may_move_from(drop)
    if user is None:
        raise _Note(f"not checked: --camera-user NAME checks that the camera's account can write to {drop}")
    permissions.may_deliver(user, drop)
    database_file = settings.url.database if settings.url.drivername == "sqlite" else None
    permissions.may_not_change(
        user,
        (settings.archive_folder, settings.quarantine_folder),
        (config, settings.artifact, *([Path(database_file)] if database_file else [])),
    )
    return f"{user} can write to {drop}, and this user can read and move the files"


def _disk(settings: Settings) -> str:
    free = filesystems.free_gigabytes(settings.archive_folder)
    if free < settings.min_free_gigabytes:
        raise FolderError(
            f"{settings.archive_folder}: {free:.1f} GiB left, min_free_gigabytes is "
            f"{settings.min_free_gigabytes:g}; prune, or use a larger disk"
        )
    return f"{free:.0f} GiB left for {settings.archive_folder}"


def _open_files(settings: Settings) -> str:
    threads = settings.threads or len(os.sched_getaffinity(0))
    return f"{open_files.require(settings.batch_size, threads)} are enough, and this user may open as many"


def _watch(settings: Settings) -> str:
    """Watch every folder of the cameras for a moment, as the daemon does all the time."""
    drop = settings.drop_folder
    if filesystems.is_remote(filesystems.file_system(drop)):
        return "none on this file system: scans find new files"
    if locks.holder(settings.quarantine_folder / locks.DAEMON_LOCK):
        return "not tried, because the daemon is running; its event no_watch says if watches are missing"
    folders = [drop, *(listing.subfolders(drop) if settings.subfolders else ())]
    try:
        watch.try_folders(folders)
    except OSError as error:
        raise _Note(
            f"not enough for {len(folders)} folders, so in some of them only a scan every "
            f"{settings.scan_s:g} s (scan_s) finds new files: {watch.why_not(error)}"
        ) from None
    return f"{len(folders)} folder{'s' * (len(folders) != 1)} can be watched"


def _artifact(settings: Settings) -> str:
    opened = artifact.open(
        settings.artifact,
        sha256=settings.artifact_sha256,
        others_may_write=settings.others_may_write,
        accept_unfit=settings.accept_unfit_artifact,
    )
    Classifier(opened, settings.thresholds)
    about = opened.metadata
    notes = []
    if caution := about.caution:
        notes.append(caution + ("; accept_unfit_artifact lets it judge all the same" * about.is_unfit))
    if about.promise and settings.thresholds:
        notes.append("the setting thresholds replaces those that its promise about escapes is about")
    elif about.promise and not about.keeps_wish:
        notes.append(about.promise)
    if notes:
        raise _Note(f"{settings.artifact}: {'. '.join(notes)}")
    said = {"verdict": about.training_verdict, "promise": about.promise}
    return (
        f"{settings.artifact}: {about.name} {about.version}, {len(about.classes)} classes, "
        f"{about.width}×{about.height}, golden frames agree"
        + "".join(f", {name}: {words}" for name, words in said.items() if words)
    )


def _shadow(settings: Settings) -> str:
    if settings.shadow_artifact is None:
        return "shadow_artifact is not set: no candidate judges beside the artifact"
    opinion = composition.second_opinion(settings, settings.shadow_artifact, batch_size=1)
    return (
        f"{opinion.artifact} judges every {settings.shadow_every}. image, too; golden frames agree, and its "
        "verdicts decide nothing"
    )


def _clock(settings: Settings) -> str:
    clock.is_not_before(settings.artifact)
    notes = []
    if not clock.clock_is_synchronized():
        notes.append(
            "no time source: times in rows will drift; 'timedatectl set-ntp true', or install chrony"
        )
    if (here := clock.other_zone(settings.zone)) is not None:
        notes.append(
            f"timezone is {settings.timezone}, but this machine's clock shows {here}; correct timezone "
            "before the first image if the shop uses another one, because day and shift in rows never change"
        )
    if notes:
        raise _Note("; ".join(notes))
    return f"synchronized; the calendar is {settings.timezone}"


def _database(settings: Settings) -> str:
    where = database.display(settings.url)
    on_sqlite = settings.url.drivername == "sqlite"
    with Store.open(settings.url, settings.station, seam_gap_s=settings.seam_gap_s) as store:
        if on_sqlite:
            with database.reading(settings.url) as engine, database.transaction(engine) as connection:
                damage = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            if damage != "ok":
                text = " ".join(str(damage).split())
                raise UsageError(f"{where} is damaged ({text}); stop the service and restore a backup")
        rehearsal.rehearse(store, settings, next(_waiting_names(settings), "check.png"))
    with database.reading(settings.url) as engine, database.transaction(engine) as connection:
        if missing := views.missing_triggers(connection):
            raise _Note(
                f"{where}: history can be changed: triggers are missing or off ({', '.join(missing)}); "
                f"make them again as sql/schema.{connection.dialect.name}.sql has them"
            )
        if on_sqlite:
            return f"{where} is sound and can be written, schema is up to date"
        owner = _rights(connection, where, shadow=settings.shadow_artifact is not None)
        public = bool(connection.scalar(sa.select(sa.func.has_schema_privilege("public", "CREATE"))))
    if owner:
        raise _Note(
            f"{where}: this user owns the tables, so it can change history; "
            "give the service a user of role weldnet_daemon (roles.sql)"
        )
    if public:
        raise _Note(
            f"{where}: this user may create objects in the schema public, as PostgreSQL 14 and older let "
            "everybody; run roles.sql as the schema's owner (postgres)"
        )
    return f"{where} answers, schema is up to date, this user can add rows and change none"


def _rights(connection: sa.Connection, where: str, *, shadow: bool) -> bool:
    """Refuse a user without the right to read and add rows; return whether it may also change them."""

    def may(table: str, right: str) -> bool:
        return bool(connection.scalar(sa.select(sa.func.has_table_privilege(table, right))))

    tables = ["station", "model", "settings", "inspection", "quarantine", "arrival", "event"]
    tables += ["rejudgement"] if shadow else []
    missing = [
        f"{right} on {table}" for table in tables for right in ("SELECT", "INSERT") if not may(table, right)
    ]
    if missing:
        raise UsageError(f"{where}: this user lacks {', '.join(missing)}; run roles.sql as the tables' owner")
    return may(schema.inspection.name, "UPDATE")


def _centre(settings: Settings) -> str:
    url = settings.urls().get("central_url")
    if url is None:
        return "central_url is not set: no rows are forwarded"
    where = database.display(url)
    centre = Centre(url, settings.station)
    try:
        centre.open()
        if missing := centre.missing_rights():
            raise UsageError(
                f"{where}: this user may not add rows to {', '.join(missing)}; give it the role "
                "weldnet_forwarder (roles.sql)"
            )
    except StoreRefused:
        raise
    except StoreUnavailable as error:
        raise _Note(
            f"{error}; 'weld-inspect forward' tries again, and the station inspects meanwhile"
        ) from None
    finally:
        centre.close()
    return f"{where} answers, its schema fits, and this user can add rows there"


def _names(settings: Settings) -> str:
    names = list(_waiting_names(settings))
    if settings.name_pattern is None:
        raise _Note(
            "name_pattern is not set: rows have no part, seam or camera, and the reports on those are empty; "
            "set it before the first image, because rows are never changed"
        )
    pattern = re.compile(settings.name_pattern)
    if not names:
        raise _Note("the drop folder has no file to try name_pattern on; check again after the first image")
    unread = [name for name in names if pattern.search(name) is None]
    if len(unread) == len(names):
        raise SettingsError(
            f"name_pattern matches none of {len(names)} names, such as {names[0]}; correct it"
        )
    if unread:
        raise _Note(f"name_pattern does not match {len(unread)} of {len(names)} names, such as {unread[0]}")
    timeless = [
        name
        for name in names
        if "time" in pattern.groupindex
        and file_names.parse(name, pattern, settings.zone).camera_time_us is None
    ]
    if timeless:
        raise _Note(f"the group 'time' reads no time in {len(timeless)} of {len(names)} names: {timeless[0]}")
    return f"name_pattern reads all {len(names)} names, such as {names[0]}"


def _waiting_names(settings: Settings) -> Iterator[str]:
    drop = settings.drop_folder
    for path in listing.waiting_files(drop, subfolders=settings.subfolders, ignore=settings.ignore):
        yield file_names.to_text(path.relative_to(drop))


def _pixels(settings: Settings) -> str:
    """Decode some waiting images and some of the latest day in the archive."""
    try:
        bit_depth = metadata.read(settings.artifact).bit_depth
    except StationError:
        return "not checked, because the artifact's metadata cannot be read"
    waiting = listing.waiting_files(
        settings.drop_folder, subfolders=settings.subfolders, ignore=settings.ignore
    )
    days = sorted((day for day in settings.archive_folder.glob("*-*-*") if day.is_dir()), reverse=True)
    judged = (path for day in days[:1] for path in day.rglob("*") if listing.is_image_name(path.name))
    unused: list[int | None] = []
    for path in itertools.chain(itertools.islice(waiting, _SAMPLE), itertools.islice(judged, _SAMPLE)):
        with contextlib.suppress(ImageError, OSError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_size <= settings.max_megabytes * 2**20:
                unused.append(decoder.read_picture(path, bit_depth=bit_depth).unused_bits)
    wide = [bits for bits in unused if bits is not None]
    if warning := decoder.unused_bits_warning(min(wide, default=None), bit_depth):
        raise _Note(warning)
    return f"{len(unused)} images of drop folder and archive checked, {len(wide)} of them in 16-bit words"


def _results(settings: Settings) -> str:
    folder = settings.results_folder
    if folder is None:
        return "results_folder is not set: no results for a PLC or MES"
    probe = folder / f".{os.getpid()}.tmp"
    try:
        os.close(
            os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        )  # follows no link
        probe.unlink()
    except OSError as error:
        raise FolderError(
            f"results_folder {folder}: {error.strerror}; mount or create it, or correct the setting"
        ) from None
    return f"results can be written to {folder}"


def _people(config: Path, settings: Settings) -> str:
    file = Path(settings.url.database or "") if settings.url.drivername == "sqlite" else None
    readers = people.may_look(settings.archive_folder, [config, *([file] if file else [])])
    text = f"may read: {', '.join(readers) or 'this account only'}"
    if file is not None:
        return f"{text}; may add verdicts: {', '.join(people.review_service(file)) or 'this account only'}"
    if missing := people.missing_in_roles(settings.url):
        raise _Note(
            f"{', '.join(missing)} missing, so a person who reviews needs the station's own rights; "
            "run roles.sql as the tables' owner"
        )
    return f"{text}; users of the role weldnet_reviewer may add verdicts"
