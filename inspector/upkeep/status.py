"""The state of the running station on one screen, from the database, the folders and the health page."""

from __future__ import annotations

import http.client
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from socket import SHUT_RDWR, socket
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from inspector import filesystems, locks, resources
from inspector.errors import StationError
from inspector.ledger import database, forwarded, schema
from inspector.monitoring.endpoint import HOST
from inspector.reports import query as reports
from inspector.settings import STATION_NAME, STATION_NAME_LENGTH, Settings
from inspector.station import listing
from inspector.times import DAY_US

_MAX_ANSWER_S: Final = 5.0  # for the health page, which is on this machine
_MAX_ANSWER_BYTES: Final = 1 << 20  # the health page has some hundred; another program may send more
_MAX_EVENTS = 5  # the latest events; the screen has 24 lines


class Line(NamedTuple):
    """One line of the screen."""

    name: str
    text: str
    is_wrong: bool = False  # a person must fix this


def lines(settings: Settings, verdicts: str = reports.DEFAULT_VERDICTS) -> Iterator[Line]:
    """Yield the state of the station line by line; a failed question is a line with its reason.

    Args:
        settings: the station's.
        verdicts: the verdicts to count, one of :data:`inspector.reports.query.VERDICTS`.
    """
    yield Line("station", settings.station)
    yield Line("version", resources.version())
    yield from _daemon(settings)
    try:
        if settings.drop_folder.is_dir() and not os.access(settings.drop_folder, os.R_OK | os.X_OK):
            # Readers have no right to it, and the review console's account has none.
            yield Line("waiting", f"not known: this user may not read {settings.drop_folder}")
        else:
            yield Line("waiting", _waiting(settings))
        if filesystems.is_remote(kind := filesystems.file_system(settings.drop_folder)):
            yield Line(
                "polling",
                f"the drop folder is on {kind}: a scan every {settings.scan_s:g} s finds new files",
            )
        free = filesystems.free_gigabytes(settings.archive_folder)
        yield Line("disk", f"{free:.1f} GiB left for the archive")
    except StationError as error:
        yield Line("folders", str(error), is_wrong=True)
    try:
        with database.reading(settings.url) as engine, database.transaction(engine) as connection:
            yield from _from_database(connection, settings, verdicts)
    except StationError as error:
        yield Line("database", str(error), is_wrong=True)


def _daemon(settings: Settings) -> Iterator[Line]:
    about = None if settings.metrics_port is None else _ask(settings.metrics_port)
    is_ours = about is not None and about.get("station") == settings.station
    lock = settings.quarantine_folder / locks.DAEMON_LOCK
    if holder := locks.holder(lock):
        yield Line("daemon", f"running (process {holder})")
    elif is_ours:
        yield Line("daemon", "running")
    elif not os.access(lock.parent, os.X_OK) and lock.parent.is_dir():
        yield Line(
            "daemon", f"not known: this user may not read {lock.parent}; run this as the service's user"
        )
    else:
        yield Line("daemon", "not running: systemctl status weldnet-inspector", is_wrong=True)
    if settings.metrics_port is None:
        yield Line("health", "not asked: metrics_port is not set")
    elif about is None:
        yield Line("health", f"no answer on port {settings.metrics_port}", is_wrong=True)
    elif not is_ours:
        other = f"station {about['station']}" if isinstance(about.get("station"), str) else "another program"
        text = f"{other} answers on port {settings.metrics_port}; choose another metrics_port"
        yield Line("health", text, is_wrong=True)
    else:
        is_well = about["healthy"]
        yield Line("health", "all is well" if is_well else "something is wrong:", is_wrong=not is_well)
        for fault, text in about["faults"].items():
            yield Line(f"  {fault}", text, is_wrong=True)
        yield Line("artifact", about["artifact"])


def _ask(port: int) -> dict[str, Any] | None:
    """Return the health page; empty if it is not a station's page, None without an answer.

    No proxy of the environment and no redirection is followed: they lead to another machine or program.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=_MAX_ANSWER_S)
    try:
        connection.connect()
    except OSError:
        return None
    with closing(connection), _cut_off(connection.sock, _MAX_ANSWER_S) as is_cut:
        try:
            connection.request("GET", "/healthz")
            page = json.loads(connection.getresponse().read(_MAX_ANSWER_BYTES))
        except (http.client.HTTPException, OSError, ValueError, RecursionError) as error:
            is_silent = is_cut() or isinstance(error, TimeoutError)
            return None if is_silent else {}  # it does not speak HTTP or JSON
    return page if isinstance(page, dict) and _is_station_page(page) else {}


@contextmanager
def _cut_off(connected: socket, after_s: float) -> Iterator[Callable[[], bool]]:
    """End a connection after so many seconds, however slowly the other side goes on sending.

    Yields whether the time was over.
    """
    over = threading.Event()

    def cut() -> None:
        over.set()
        with suppress(OSError):
            connected.shutdown(SHUT_RDWR)

    timer = threading.Timer(after_s, cut)
    timer.start()
    try:
        yield over.is_set
    finally:
        timer.cancel()
        timer.join()


def _is_station_page(page: dict[str, Any]) -> bool:
    kinds = {"station": str, "healthy": bool, "faults": dict, "artifact": str}
    is_page = all(isinstance(page.get(key), kind) for key, kind in kinds.items())
    if not is_page or len(page["station"]) > STATION_NAME_LENGTH:
        return False
    return bool(re.fullmatch(STATION_NAME, page["station"]))


def _review_backlog(settings: Settings) -> str:
    """Return how many images wait for a person, by kind, from the report ``review_queue``."""
    report = reports.run(settings.url, reports.Query("review_queue", station=settings.station))
    why, waiting = (report.columns.index(name) for name in ("why", "waiting"))
    counts = {row[why]: row[waiting] for row in report.rows}
    return ", ".join(f"{n} {kind}" for kind, n in counts.items()) + " wait for a person" if counts else "none"


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


def _from_database(connection: sa.Connection, settings: Settings, verdicts: str) -> Iterator[Line]:
    station = connection.scalar(
        sa.select(schema.station.c.id).where(schema.station.c.name == settings.station)
    )
    if station is None:
        yield Line("database", "the station has never opened it", is_wrong=True)
        return
    since = time.time_ns() // 1000 - DAY_US
    inspection, quarantine, event = schema.inspection.c, schema.quarantine.c, schema.event.c
    decided = sa.table("v_decision", sa.column("inspection_id"), sa.column("verdict"))
    counted = (
        inspection.verdict
        if verdicts == "station"
        else sa.func.coalesce(decided.c.verdict, inspection.verdict)
    )
    judged = connection.execute(
        sa.select(counted, sa.func.count(), sa.func.max(inspection.inspected_us))
        .select_from(schema.inspection.outerjoin(decided, decided.c.inspection_id == inspection.id))
        .where(inspection.station_id == station, inspection.inspected_us >= since)
        .group_by(counted)
        .order_by(counted)
    ).all()
    counts = ", ".join(f"{count} {verdict}" for verdict, count, _ in judged)
    yield Line("last 24 h", f"{counts} ({reports.VERDICTS[verdicts]})" if counts else "no image")
    if judged:
        yield Line("last image", _instant(max(latest for *_, latest in judged), settings))
    bad = connection.execute(
        sa.select(quarantine.reason, sa.func.count())
        .where(quarantine.station_id == station, quarantine.quarantined_us >= since)
        .group_by(quarantine.reason)
        .order_by(quarantine.reason)
    ).all()
    yield Line("quarantined", ", ".join(f"{count} {reason}" for reason, count in bad) or "none in 24 h")
    yield Line("review", _review_backlog(settings))
    if settings.central_url is not None:
        yield Line("centre", _to_the_centre(connection, station, settings))
    latest = connection.execute(
        sa.select(event.at_us, event.kind, event.detail)
        .where(event.station_id == station)
        .order_by(event.at_us.desc(), schema.event.c.id.desc())
        .limit(_MAX_EVENTS)
    )
    for at_us, kind, detail in latest:
        yield Line("event", f"{_instant(at_us, settings)} {kind}: {detail}")


def _to_the_centre(connection: sa.Connection, station: int, settings: Settings) -> str:
    latest = forwarded.latest(connection, station)
    rows, oldest_us = forwarded.waiting(connection, station, latest.positions)
    heard = _instant(latest.at_us, settings) if latest.at_us else "never"
    since = f" since {_instant(oldest_us, settings)}" if oldest_us else ""
    return f"{rows} rows wait{since}; last batch: {heard}"


def _instant(us: int, settings: Settings) -> str:
    moment = datetime.fromtimestamp(us / 1e6, UTC).astimezone(settings.zone)
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
