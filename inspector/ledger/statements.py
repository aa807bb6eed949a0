"""Rows of the ledger from the daemon's records, and the look-ups for the columns that depend on other rows.

Every look-up uses an index and reads a limited number of rows, also in a large table.

The module is long, because rows and look-ups of all tables are in it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from inspector.ledger.schema import (
    arrival,
    inspection,
    model,
    quarantine,
    review,
    seam_review,
    settings,
    signed,
    station,
    unique_keys,
)
from inspector.records import (
    Duplicate,
    InForce,
    Inspected,
    Judgement,
    Outcome,
    Quarantined,
    Rejudgement,
    Review,
    SeamReview,
    SignalNote,
    Verdict,
)

_MAX_ARRIVALS_PER_KEY = (
    16  # a file that is being moved is among the last; a camera may repeat a name for years
)

ARRIVAL_KEY = ("station_id", "path", "outcome", "recorded_us")  # columns that no two arrivals share

Key = tuple[str, str | None]  # source_name, sha256
Row = dict[str, Any]


def inspection_row(item: Inspected, *, station_id: int, in_force: InForce) -> Row:
    """Return the columns of ``inspection``, except those that :func:`inspection_insert` looks up."""
    name, judgement, timings = item.name, item.judgement, item.timings
    heat = None if judgement.verdict is Verdict.PASS else judgement.heat  # nobody looks at the many PASS
    camera_time = name.camera_time_us
    return {
        "station_id": station_id,
        "model_id": in_force.model_id,
        "settings_id": in_force.settings_id,
        "source_name": item.arrival.source_name,
        "sha256": item.source.sha256,
        "camera": name.camera or None,  # a group of the pattern may match an empty text
        "part": name.part or None,
        "seam": name.seam or None,
        "camera_time_us": camera_time,
        "seen_us": item.arrival.seen_us,
        "taken_us": item.arrival.seen_us if camera_time is None else camera_time,
        "inspected_us": item.inspected_us,
        "local_day": item.local_day,
        "shift": item.shift,
        "shift_day": item.shift_day,
        **_judged(judgement),
        "heat": None if heat is None else heat.tobytes(),
        "heat_height": None if heat is None else heat.shape[0],
        "heat_width": None if heat is None else heat.shape[1],
        "wait_ms": timings.wait_ms,
        "decode_ms": timings.decode_ms,
        "infer_ms": timings.infer_ms,
        "total_ms": timings.total_ms,
        "batch_size": timings.batch_size,
        "archive_path": item.final_path,
    }


def quarantine_row(item: Quarantined, *, station_id: int) -> Row:
    """Return the columns of ``quarantine``."""
    return {
        "station_id": station_id,
        "source_name": item.arrival.source_name,
        "sha256": item.source.sha256,
        "reason": clean(item.reason),
        "detail": clean(item.detail),
        "shift": item.shift,
        "shift_day": item.shift_day,
        "quarantined_us": item.recorded_us,
        "path": item.final_path,
    }


def arrival_row(
    item: Inspected | Duplicate | Quarantined, outcome: Outcome, reference: int, *, station_id: int
) -> Row:
    """Return the columns of ``arrival``; ``reference`` is the id of the inspection or quarantine row."""
    quarantined = outcome is Outcome.QUARANTINED
    stamp = item.source.stamp
    return {
        "station_id": station_id,
        "source_name": item.arrival.source_name,
        "sha256": item.source.sha256,
        "size_bytes": stamp.size,
        "inode": signed(stamp.inode),
        "mtime_us": stamp.mtime_ns // 1000,
        "seen_us": item.arrival.seen_us,
        "recorded_us": item.inspected_us if isinstance(item, Inspected) else item.recorded_us,
        "outcome": outcome.value,
        "inspection_id": None if quarantined else reference,
        "quarantine_id": reference if quarantined else None,
        "path": item.final_path,
    }


def review_row(item: Review | SeamReview) -> tuple[sa.Table, Row]:
    """Return the table of a person's verdict, and the columns of its row without the time."""
    row: Row = {
        "inspection_id": item.inspection,
        "reviewer": clean(item.reviewer),
        "verdict": item.verdict.value,
        "note": clean(item.note) if item.note else None,
    }
    # Columns without a value are left out: a reviewer's rights on PostgreSQL may be of an earlier roles.sql.
    if item.key is not None:
        row["request_key"] = item.key
    if isinstance(item, SeamReview):
        return seam_review, row
    if item.is_blind is not None:
        row["is_blind"] = item.is_blind
    return review, row | {"label": clean(item.label) if item.label else None}


def rejudgement_row(item: Rejudgement, *, run: str, in_force: InForce) -> Row:
    """Return the columns of ``rejudgement`` without the time."""
    nothing: Row = dict.fromkeys(("verdict", "label", "confidence", "probabilities", "novelty"))
    return {
        "inspection_id": item.inspection,
        "model_id": in_force.model_id,
        "settings_id": in_force.settings_id,
        "run": run,
        **(nothing | {"reason": item.reason} if item.judgement is None else _judged(item.judgement)),
    }


def _judged(judgement: Judgement) -> Row:
    return {
        "verdict": judgement.verdict.value,
        "label": judgement.label,
        "confidence": min(float(judgement.confidence), 1.0),  # a sum in float32 may be slightly above 1
        "probabilities": {label: float(share) for label, share in judgement.probabilities.items()},
        "novelty": float(judgement.novelty),
        "reason": judgement.reason,
    }


def signal_note_row(note: SignalNote) -> Row:
    """Return the columns of ``signal_note`` without the time."""
    return {
        "report": clean(note.report),
        "signal": clean(note.signal),
        "person": clean(note.person),
        "cause": clean(note.cause),
        "action": clean(note.action),
        "request_key": note.key,
    }


@functools.cache  # building the statement takes longer than running it
def inspection_insert(dialect: str, *, with_part: bool, with_seam: bool) -> Any:
    """Return an INSERT that looks up ``duplicate_of`` and ``pass_no``; it gives the new id, or no row.

    Its parameters are an :func:`inspection_row` and the :func:`look_up_keys` of that row.
    """
    c, key = inspection.c, sa.bindparam
    first = sa.select(c.id).where(
        c.station_id == key("of_station"), c.sha256 == key("of_sha256"), c.duplicate_of.is_(None)
    )
    looked_up: dict[str, Any] = {"duplicate_of": first.limit(1).scalar_subquery()}
    if with_part:
        looked_up["pass_no"] = _pass_no(c.seam == key("of_seam") if with_seam else c.seam.is_(None))
    return insert_new(dialect, inspection).values(looked_up).returning(c.id)


def look_up_keys(row: Row, seam_gap_us: int) -> Row:
    """Return the parameters of the look-ups in :func:`inspection_insert`."""
    keys = {"of_station": row["station_id"], "of_sha256": row["sha256"]}
    if row["part"] is not None:
        taken = row["taken_us"]
        keys |= {
            "of_part": row["part"],
            "taken": taken,
            "from": taken - seam_gap_us,
            "to": taken + seam_gap_us,
        }
        if row["seam"] is not None:
            keys["of_seam"] = row["seam"]
    return keys


def _pass_no(same_seam: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    """Return SQL for the pass of the nearest frame within the gap, an earlier frame first; else a new pass.

    Frames may come late and out of order. The pass of a row never changes.
    """
    c, key = inspection.c, sa.bindparam
    same = (c.station_id == key("of_station"), c.part == key("of_part"), same_seam)
    before = sa.select(c.pass_no).where(*same, c.taken_us.between(key("from"), key("taken")))
    after = sa.select(c.pass_no).where(*same, c.taken_us.between(key("taken"), key("to")))
    latest = sa.select(c.pass_no + 1).where(*same)
    return sa.func.coalesce(
        before.order_by(c.taken_us.desc()).limit(1).scalar_subquery(),
        after.order_by(c.taken_us).limit(1).scalar_subquery(),
        latest.order_by(c.pass_no.desc()).limit(1).scalar_subquery(),
        1,
    )


@functools.cache
def same_ledger(*, with_rules: bool, with_arrival: bool) -> sa.Select[Any]:
    """Return a query that finds the station's row if the numbers in use still mean the same in the ledger.

    Its parameters are the :func:`ledger_keys`.
    """
    key = sa.bindparam
    query = sa.select(station.c.id).where(station.c.id == key("of_station"), station.c.name == key("of_name"))
    if with_rules:
        query = query.where(
            sa.exists().where(model.c.id == key("of_model"), model.c.artifact_sha256 == key("of_artifact")),
            sa.exists().where(settings.c.id == key("of_settings"), settings.c.sha256 == key("of_content")),
        )
    if with_arrival:
        query = query.where(sa.exists().where(*(arrival.c[name] == key(name) for name in ARRIVAL_KEY)))
    return query


def ledger_keys(station_id: int, name: str, in_force: InForce | None, latest: Row | None) -> Row:
    """Return the parameters of :func:`same_ledger`.

    Args:
        station_id: number of the station.
        name: name of the station.
        in_force: numbers of the artifact and the settings.
        latest: the last arrival that was written, by the columns that no two arrivals share.
    """
    rules = in_force and {
        "of_model": in_force.model_id,
        "of_artifact": in_force.artifact_sha256,
        "of_settings": in_force.settings_id,
        "of_content": in_force.settings_sha256,
    }
    return {"of_station": station_id, "of_name": name} | (rules or {}) | (latest or {})


def insert_new(dialect: str, table: sa.Table) -> Any:
    """Return an INSERT that passes over a row whose key is there.

    A conflict of the row's number alone is still an error: its row would be missing without a word. Numbers
    repeat if a database comes back without its sequences, as from a logical replica.
    """
    statement = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    [key] = unique_keys(table)
    return statement.on_conflict_do_nothing(index_elements=key)


@functools.cache  # building and compiling the query takes many times as long as running it
def latest_arrivals(count: int) -> sa.Select[Any]:
    """Return a query for the latest arrivals of ``count`` keys, the oldest first.

    Its parameters are the :func:`arrival_keys`. It reads only the last arrivals of a key. The keys are a
    UNION because SQLAlchemy would compile VALUES again for every batch.
    """
    key = sa.bindparam
    rows = (
        sa.select(
            key(f"name{i}", type_=sa.Text).label("source_name"),
            key(f"hash{i}", type_=sa.Text).label("sha256"),
        )
        for i in range(count)
    )
    wanted = sa.union_all(*rows).cte("wanted").c
    newer, a = arrival.alias("newer"), arrival.c
    oldest = sa.select(newer.c.id).where(
        newer.c.station_id == key("of_station"),
        newer.c.source_name == wanted.source_name,
        newer.c.sha256 == wanted.sha256,
    )
    oldest_id = (
        oldest.order_by(newer.c.id.desc()).limit(1).offset(_MAX_ARRIVALS_PER_KEY - 1).scalar_subquery()
    )
    return (
        sa.select(a.source_name, a.sha256, a.outcome, a.path, a.inspection_id)
        .where(
            a.station_id == key("of_station"),
            a.source_name == wanted.source_name,
            a.sha256 == wanted.sha256,
            a.id >= sa.func.coalesce(oldest_id, 0),
        )
        .order_by(a.id)
    )


def arrival_keys(station_id: int, keys: Sequence[Key]) -> Row:
    """Return the parameters of :func:`latest_arrivals`."""
    named = {f"name{i}": name for i, (name, _) in enumerate(keys)}
    return {"of_station": station_id} | named | {f"hash{i}": sha256 for i, (_, sha256) in enumerate(keys)}


def arrivals_without_bytes(station_id: int, names: Sequence[str]) -> sa.Select[Any]:
    """Return a query for the arrivals of FIFOs, folders and links with these names, the oldest first."""
    a = arrival.c
    return (
        sa.select(a.source_name, a.outcome, a.path, a.inspection_id)
        .where(a.station_id == station_id, a.source_name.in_(names), a.sha256.is_(None))
        .order_by(a.id)
    )


def removal_insert(arrivals: Sequence[int], outcome: Outcome, recorded_us: int) -> sa.Insert:
    """Return an INSERT of one more arrival for each file that leaves the archive or the quarantine.

    An arrival is passed over if its path has a later row or if it is a removal itself: the file has left.
    """
    new = {"recorded_us": recorded_us, "outcome": outcome.value}
    columns = [column for column in arrival.c if column.name != "id"]
    values = [sa.literal(new[c.name], c.type).label(c.name) if c.name in new else c for c in columns]
    is_no_removal = arrival.c.outcome.not_in([Outcome.PRUNED, Outcome.REQUEUED])
    leaving = sa.select(*values).where(arrival.c.id.in_(arrivals), is_no_removal, ~_has_later_row())
    return sa.insert(arrival).from_select([column.name for column in columns], leaving)


def requeued(name: str) -> sa.Select[Any]:
    """Return a query for a station's quarantined files whose latest row says that they go back."""
    return (
        sa.select(arrival.c.id, arrival.c.source_name, arrival.c.path)
        .join(
            quarantine, quarantine.c.id == arrival.c.quarantine_id
        )  # few rows: only the arrivals of these are read
        .join(station, station.c.id == quarantine.c.station_id)
        .where(station.c.name == name, arrival.c.outcome == Outcome.REQUEUED, ~_has_later_row())
        .order_by(arrival.c.id)
    )


def _has_later_row() -> sa.Exists:
    """Return a condition: the arrival's path, in the archive or in the quarantine, has a later row."""
    later = arrival.alias("later")
    return sa.exists().where(
        later.c.station_id == arrival.c.station_id,
        later.c.path == arrival.c.path,
        later.c.id > arrival.c.id,
        later.c.quarantine_id.is_(None) == arrival.c.quarantine_id.is_(None),
    )


def clean(text: str) -> str:
    """Return text that both back ends store: without surrogates and NUL, which PostgreSQL refuses."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
