"""How the running station does, on one screen; what the database and the health page tell anybody."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from inspector import filesystems, locks
from inspector.errors import StationError
from inspector.ledger import database, schema
from inspector.monitoring.endpoint import HOST
from inspector.settings import Settings
from inspector.station import listing
from inspector.times import DAY_US

_MAX_EVENTS = 5  # the latest ones, on a screen of 24 lines


def lines(settings: Settings) -> Iterator[tuple[str, str]]:
    """What to tell, as (name, text); what cannot be found out says why, and the rest goes on."""
    yield "station", settings.station
    holder = locks.holder(settings.quarantine_folder / locks.DAEMON_LOCK)
    yield (
        "daemon",
        f"running (process {holder})" if holder else "not running: systemctl status weldnet-inspector",
    )
    yield from _health(settings)
    try:
        yield "waiting", _waiting(settings)
        if filesystems.is_remote(kind := filesystems.file_system(settings.drop_folder)):
            yield (
                "polling",
                f"the drop folder is on {kind}: a scan every {settings.scan_s:g} s finds new files",
            )
        yield "disk", f"{filesystems.free_gigabytes(settings.archive_folder):.1f} GiB left for the archive"
    except StationError as error:
        yield "folders", str(error)
    try:
        with database.reading(settings.url) as engine, database.transaction(engine) as connection:
            yield from _from_database(connection, settings)
    except StationError as error:
        yield "database", str(error)


def _health(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.metrics_port is None:
        yield "health", "not asked: metrics_port is not set"
        return
    about = _ask(settings.metrics_port)
    if about is None:
        yield "health", f"nobody answers on port {settings.metrics_port}"
        return
    yield "health", "all is well" if about["healthy"] else "something is wrong:"
    for fault, text in about["faults"].items():
        yield f"  {fault}", text
    yield "artifact", about["artifact"]


def _ask(port: int) -> dict[str, Any] | None:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/healthz", timeout=5) as answer:
            health: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:  # 503: it says what is wrong
        health = json.load(error)
    except (OSError, ValueError):
        return None
    return health


def _waiting(settings: Settings) -> str:
    oldest, count = time.time(), 0
    for path in listing.waiting_files(
        settings.drop_folder, subfolders=settings.subfolders, ignore=settings.ignore
    ):
        try:
            oldest, count = min(oldest, path.lstat().st_ctime), count + 1
        except OSError:  # it has just been taken
            continue
    return f"{count} files, the oldest for {_ago(time.time() - oldest)}" if count else "nothing"


def _from_database(connection: sa.Connection, settings: Settings) -> Iterator[tuple[str, str]]:
    station = connection.scalar(
        sa.select(schema.station.c.id).where(schema.station.c.name == settings.station)
    )
    if station is None:
        yield "database", "the station has never opened it"
        return
    since = time.time_ns() // 1000 - DAY_US
    inspection, quarantine, event = schema.inspection.c, schema.quarantine.c, schema.event.c
    judged = connection.execute(
        sa.select(inspection.verdict, sa.func.count(), sa.func.max(inspection.inspected_us))
        .where(inspection.station_id == station, inspection.inspected_us >= since)
        .group_by(inspection.verdict)
        .order_by(inspection.verdict)
    ).all()
    counts = ", ".join(f"{count} {verdict}" for verdict, count, _ in judged)
    yield "last 24 h", counts or "no image"
    if judged:
        yield "last image", _instant(max(latest for *_, latest in judged), settings)
    bad = connection.execute(
        sa.select(quarantine.reason, sa.func.count())
        .where(quarantine.station_id == station, quarantine.quarantined_us >= since)
        .group_by(quarantine.reason)
        .order_by(quarantine.reason)
    ).all()
    yield "quarantined", ", ".join(f"{count} {reason}" for reason, count in bad) or "none in 24 h"
    latest = connection.execute(
        sa.select(event.at_us, event.kind, event.detail)
        .where(event.station_id == station)
        .order_by(event.at_us.desc(), schema.event.c.id.desc())
        .limit(_MAX_EVENTS)
    )
    for at_us, kind, detail in latest:
        yield "event", f"{_instant(at_us, settings)} {kind}: {detail}"


def _instant(us: int, settings: Settings) -> str:
    moment = datetime.fromtimestamp(us / 1e6, UTC).astimezone(settings.zone)
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
