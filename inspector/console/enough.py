"""Figures that say when it is enough: what the audits prove, and how many verdicts wait for a training."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.ledger import database, sites
from inspector.ledger.schema import audit_sample, inspection, model, review
from inspector.ledger.schema import station as stations
from inspector.reports import audit
from inspector.reports.page.words import Words
from inspector.reports.query import Query, run

TARGETS = (0.1, 0.01, 0.001)  # shares of escapes that people ask for


@dataclass(frozen=True, slots=True)
class Escapes:
    """What the audits of a period prove of the images that passed.

    ``words`` is the sentence of the report. ``needed`` has, for each of :data:`TARGETS`, the number of
    further clean audits that bring the bound below it.
    """

    words: str | None
    row: dict[str, Any]
    needed: dict[float, int]
    waiting: int  # images of samples that nobody has decided yet


@dataclass(frozen=True, slots=True)
class ForTraining:
    """The verdicts that the artifact in force could not learn from, because they are newer."""

    artifact: str | None  # name and version; None: no image was judged yet
    made: str | None  # ISO 8601
    decided: int  # images decided since then
    by_class: dict[str, int]
    command: str


def escapes(
    url: URL | str, words: Words, *, station: str | None = None, since: str | None = None, zone: tzinfo = UTC
) -> Escapes:
    """Return the live bound on escapes, and what would move it.

    Raises:
        UsageError: a date is none, or there is no such station.
        StoreUnavailable: the server does not answer.
    """
    report = run(url, Query("agreement", since=since, station=station, zone=zone))
    rows = [dict(zip(report.columns, row, strict=True)) for row in report.rows]
    row = next((row for row in rows if row["measure"] == "escape"), {"n": None, "of_n": 0, "population": 0})
    found, audited = row["n"] or 0, row["of_n"] or 0
    needed = {target: audit.clean_audits_needed(found, audited, target) for target in TARGETS}
    open_audits = (
        sa.select(sa.func.count())
        .select_from(audit_sample)
        .join(inspection, inspection.c.id == audit_sample.c.inspection_id)
        .join(stations, stations.c.id == inspection.c.station_id)
        .where(~sa.exists().where(review.c.inspection_id == audit_sample.c.inspection_id))
    )
    if station:
        open_audits = open_audits.where(sites.chosen(station))
    with database.reading(url) as engine, database.transaction(engine) as connection:
        waiting = connection.scalar(open_audits) or 0
    return Escapes(audit.in_words(rows, words), row, needed, waiting)


def for_training(url: URL | str, station: str, config: Path) -> ForTraining:
    """Return how many images people have decided since the artifact in force was made, and the next command.

    Raises:
        StoreUnavailable: the server does not answer.
    """
    command = f"weld-inspect export --config {shlex.quote(str(config))} --out reviewed --add"
    with database.reading(url) as engine, database.transaction(engine) as connection:
        in_force = connection.execute(_in_force(station)).first()
        if in_force is None:
            return ForTraining(None, None, 0, {}, command)
        made_us = _made_us(in_force.metadata) or in_force.first_used_us
        rows = connection.execute(_decided_since(made_us, station)).all()
    made = datetime.fromtimestamp(made_us / 1e6, UTC).isoformat(timespec="seconds")
    by_class = {str(row.label or ""): row.n for row in rows}
    name = f"{in_force.name} {in_force.version}"
    return ForTraining(name, made, sum(by_class.values()), by_class, command)


def artifact_in_force(url: URL | str, station: str) -> str | None:
    """Return the artifact that judged a station's newest image, for people; None if there is no image.

    Raises:
        StoreUnavailable: the server does not answer.
    """
    with database.reading(url) as engine, database.transaction(engine) as connection:
        row = connection.execute(_in_force(station)).first()
    return None if row is None else f"{row.name} {row.version} ({row.artifact_sha256[:8]})"


def _in_force(station: str) -> sa.Select[Any]:
    """Return a query for the ``model`` row of the artifact that judged a station's newest image."""
    c = inspection.c
    here = sa.select(stations.c.id).where(stations.c.name == station).scalar_subquery()
    newest = sa.select(c.model_id).where(c.station_id == here).order_by(c.inspected_us.desc(), c.id.desc())
    return sa.select(model).where(model.c.id == newest.limit(1).scalar_subquery())


def _decided_since(us: int, station: str) -> sa.Select[Any]:
    """Return a query for the images whose latest verdict is PASS or FAIL and newer, by the person's class."""
    later, c = review.alias("later"), inspection.c
    superseded = sa.exists().where(later.c.inspection_id == review.c.inspection_id, later.c.id > review.c.id)
    return (
        sa.select(review.c.label, sa.func.count().label("n"))
        .join(inspection, c.id == review.c.inspection_id)
        .join(stations, stations.c.id == c.station_id)
        .where(
            stations.c.name == station,
            review.c.reviewed_us > us,
            review.c.verdict.in_(("PASS", "FAIL")),
            ~superseded,
        )
        .group_by(review.c.label)
        .order_by(sa.func.count().desc(), review.c.label)
    )


def _made_us(metadata: dict[str, Any]) -> int | None:
    """Return when an artifact was made; None if its metadata do not say."""
    try:
        made = datetime.fromisoformat(str(metadata.get("created")))
    except ValueError:
        return None
    return round((made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp() * 1e6)
