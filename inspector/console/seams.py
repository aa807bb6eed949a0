"""A pass over a seam for people: its frames in order, and the verdict that follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.console import shown
from inspector.console.shown import Shown
from inspector.errors import UsageError
from inspector.ledger import database
from inspector.ledger.schema import inspection, seam_review
from inspector.ledger.schema import station as stations
from inspector.reports import query
from inspector.times import iso

MAX_FRAMES = 2000  # of one strip; a weld has some hundred


@dataclass(frozen=True, slots=True)
class Said:
    """A person's verdict on the pass itself."""

    reviewer: str
    verdict: str
    note: str | None
    at_us: int
    is_outdated: bool  # a PASS, and a further frame came later


@dataclass(frozen=True, slots=True)
class Pass:
    """The frames of a pass, oldest first, with the rows of the report ``seams`` for it.

    ``result`` counts final verdicts and ``by_station`` the station's; None if the report has no such pass,
    as if the clock went back. ``bad`` are the places of its bad stretch, counted from 1.
    """

    station: str
    part: str
    seam: str | None
    pass_no: int
    frames: Sequence[Shown]
    result: Mapping[str, Any] | None
    by_station: Mapping[str, Any] | None
    said: Sequence[Said]

    @property
    def is_blind(self) -> bool:
        """Whether a verdict on the pass would give away one that is hidden on a frame."""
        return any(frame.is_blind for frame in self.frames)

    @property
    def bad(self) -> range:
        """The places of the frames from the first to the last of the bad stretch, from 1; none if blind."""
        row = (not self.is_blind and self.result) or {}
        return range(row["from_frame"], row["to_frame"] + 1) if row.get("bad_n") else range(0)

    @property
    def newest(self) -> int:
        """The newest frame, by its inspection: a verdict on the seam holds up to it."""
        return max(frame.inspection for frame in self.frames)


def read(
    url: URL | str,
    *,
    station: str,
    part: str,
    seam: str | None,
    pass_no: int,
    person: str,
    seam_rule: Mapping[str, int] = query.SEAM_RULE,
    zone: tzinfo = UTC,
) -> Pass:
    """Return a pass over a seam, as a person may see it.

    Raises:
        UsageError: there is none such.
        SchemaError: the database lacks the schema.
        StoreUnavailable: the server does not answer.
    """
    c = inspection.c
    same_pass = [
        c.station_id.in_(sa.select(stations.c.id).where(stations.c.name == station)),
        c.part == part,
        c.seam.is_(None) if seam is None else c.seam == seam,
        c.pass_no == pass_no,
    ]
    frames = sa.select(c.id).where(*same_pass).order_by(c.taken_us, c.id).limit(MAX_FRAMES)
    words = seam_review.c
    verdicts = (
        sa.select(words.inspection_id, words.reviewer, words.verdict, words.note, words.reviewed_us)
        .join(inspection, c.id == words.inspection_id)
        .where(*same_pass)
        .order_by(words.id)
    )
    with database.reading(url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        numbers = list(connection.scalars(frames))
        rows = connection.execute(verdicts).all()
    if not numbers:
        name = f"part '{part}'" + (f", seam '{seam}'" if seam else "") + f", pass {pass_no}"
        raise UsageError(f"no data: station '{station}' has no image of {name}")
    found, newest = shown.by_number(url, numbers, person), max(numbers)
    said = [
        Said(
            row.reviewer,
            row.verdict,
            row.note,
            row.reviewed_us,
            row.verdict == "PASS" and row.inspection_id < newest,
        )
        for row in rows
    ]
    final, by_station = (_row(url, found, counted, seam_rule, zone) for counted in ("final", "station"))
    return Pass(station, part, seam, pass_no, found, final, by_station, said)


def _row(
    url: URL | str, frames: Sequence[Shown], verdicts: str, seam_rule: Mapping[str, int], zone: tzinfo
) -> dict[str, Any] | None:
    """Return the row of the report for the pass of these frames; the frames' times make it quick to find."""
    first = frames[0]
    times = [frame.inspected_us for frame in frames]
    asked = query.Query(
        "seams",
        since=iso(min(times), UTC, "microseconds"),
        until=iso(max(times) + 1, UTC, "microseconds"),
        station=first.station,
        part=first.part,
        verdicts=verdicts,
        seam_rule=seam_rule,
        zone=zone,
    )
    report = query.run(url, asked)
    rows = (dict(zip(report.columns, row, strict=True)) for row in report.rows)
    wanted = first.station, first.seam, first.pass_no  # there may be stations below this one
    return next((row for row in rows if (row["station"], row["seam"], row["pass_no"]) == wanted), None)
