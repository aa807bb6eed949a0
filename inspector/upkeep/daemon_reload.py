"""A reload of the running daemon, from its signal to its answer in the table of events."""

from __future__ import annotations

import os
import signal
import time
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector import locks
from inspector.errors import FolderError
from inspector.ledger import database, schema

# Loading takes seconds, after the files in work. It takes longer during an outage, or on a crowded machine.
_LONGEST_RELOAD_S: Final = 300.0
_POLL_S: Final = 0.1


class Answer(StrEnum):
    """The daemon's answer to a request to reload."""

    RELOADED = "reloaded"
    REFUSED = "refused"
    NOT_RUNNING = "not_running"
    NO_ANSWER = "no_answer"


class Reloaded(NamedTuple):
    """What came of a reload; ``detail`` is the daemon's reason if it refused."""

    answer: Answer
    detail: str = ""


def daemon(quarantine_folder: Path) -> int | None:
    """Return the process of the station's daemon, which holds its lock; None if none runs.

    Raises:
        FolderError: this account may not look for it.
    """
    if not os.access(quarantine_folder, os.X_OK) and quarantine_folder.is_dir():
        raise FolderError(
            f"{quarantine_folder}: this account may not look for the running daemon; run this as the "
            "service's user, or with sudo"
        )
    holder = locks.holder(quarantine_folder / locks.DAEMON_LOCK)
    return holder if holder and holder > 0 else None  # 0: of another container, which no signal reaches


def latest_event(url: URL | str, station: str) -> int:
    """Return the number of a station's latest event; 0 if it has none."""
    event = schema.event.c
    query = _of_station(sa.select(sa.func.max(event.id)), station)
    with database.reading(url) as engine, database.transaction(engine) as connection:
        return connection.scalar(query) or 0


def reload(
    url: URL | str,
    station: str,
    quarantine_folder: Path,
    artifact: str,
    *,
    longest_s: float = _LONGEST_RELOAD_S,
) -> Reloaded:
    """Let the running daemon read settings and artifact again, and wait for its answer.

    Args:
        url: the quality database.
        station: the daemon's.
        quarantine_folder: the folder with its lock.
        artifact: the new one, as the daemon's event names it; a reload of another one is no answer.
        longest_s: after so many seconds without an answer the wait ends.

    Raises:
        FolderError: this account may not signal the daemon.
        StoreUnavailable: the server does not answer.
    """
    seen = latest_event(url, station)
    process = daemon(quarantine_folder)
    if process is None:
        return Reloaded(Answer.NOT_RUNNING)
    try:
        os.kill(process, signal.SIGHUP)
    except ProcessLookupError:
        return Reloaded(Answer.NOT_RUNNING)
    except PermissionError:
        raise FolderError(
            f"process {process}: this account may not signal the daemon; run 'systemctl reload "
            "weldnet-inspector' as root"
        ) from None
    event, until = schema.event.c, time.monotonic() + longest_s
    query = sa.select(event.kind, event.detail).where(event.kind.in_(("reload", "reload_refused")))
    with database.reading(url) as engine:
        while time.monotonic() < until:
            with database.transaction(engine) as connection:
                rows = connection.execute(_of_station(query.where(event.id > seen), station)).all()
            for kind, detail in rows:
                if kind == "reload_refused":
                    return Reloaded(Answer.REFUSED, detail)
                if detail.startswith(artifact):
                    return Reloaded(Answer.RELOADED)
            if daemon(quarantine_folder) != process:
                return Reloaded(Answer.NOT_RUNNING)
            time.sleep(_POLL_S)
    return Reloaded(Answer.NO_ANSWER)


def _of_station(query: sa.Select[Any], station: str) -> sa.Select[Any]:
    named = sa.select(schema.station.c.id).where(schema.station.c.name == station).scalar_subquery()
    return query.where(schema.event.c.station_id == named)
