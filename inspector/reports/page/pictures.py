"""Inspected images for people: which to show, their pixels from the archive, the heat painted in."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps
from sqlalchemy.engine import URL

from inspector.errors import ImageError, UsageError
from inspector.imaging import decoder
from inspector.imaging.source import read_source
from inspector.ledger import database
from inspector.ledger.schema import inspection, model
from inspector.ledger.schema import station as stations
from inspector.records import Verdict
from inspector.reports.page.facts import Facts
from inspector.times import instants

_ALIKE = 50  # frames of a weld that may stand together at the top of a list, of which one is shown


class Choice(StrEnum):
    """Which images of a period a quality engineer wants to see first."""

    MOST_CERTAIN = "most_certain"  # FAIL alone
    LEAST_CERTAIN = "least_certain"
    MOST_NOVEL = "most_novel"


class Gone(StrEnum):
    """Why an image cannot be shown."""

    ELSEWHERE = "elsewhere"
    MISSING = "missing"
    CHANGED = "changed"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Archived:
    """The one archive that this machine can look into."""

    station: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Shot:
    """One inspection; ``heat`` uint8[h, w] for FAIL and REVIEW, else None."""

    id: int
    station: str
    source_name: str
    sha256: str
    part: str | None
    seam: str | None
    verdict: str
    label: str
    confidence: float
    novelty: float
    probabilities: dict[str, float]
    inspected_us: int
    heat: NDArray[np.uint8] | None
    archive_path: str
    bit_depth: int


def choose(facts: Facts, choice: Choice, count: int) -> list[Shot]:
    """The first ``count`` of a choice, one for each pass over a seam: frames of a weld are alike."""
    c = inspection.c
    conditions, order = {
        Choice.MOST_CERTAIN: ((c.verdict == Verdict.FAIL.value,), c.confidence.desc()),
        Choice.LEAST_CERTAIN: ((), c.confidence),
        Choice.MOST_NOVEL: ((c.novelty > 0,), c.novelty.desc()),  # 0 where the artifact measures none
    }[choice]
    query = _within(facts).where(*conditions).order_by(order, c.id).limit(count * _ALIKE)
    with database.reading(facts.source.url) as engine, database.transaction(engine) as connection:
        chosen: dict[Any, int] = {}
        for row in connection.execute(query):
            weld = (row.station_id, row.part, row.seam, row.pass_no) if row.part is not None else row.id
            chosen.setdefault(weld, row.id)
        return _shots(connection, list(chosen.values())[:count])


def latest(facts: Facts, verdict: Verdict, count: int) -> list[Shot]:
    """The last ``count`` images of a verdict, in the order of time."""
    c = inspection.c
    query = _within(facts).where(c.verdict == verdict.value).order_by(c.inspected_us.desc(), c.id.desc())
    with database.reading(facts.source.url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        return _shots(connection, [row.id for row in connection.execute(query.limit(count))][::-1])


def one(url: URL | str, number: int) -> Shot:
    """The inspection with this number.

    Raises:
        UsageError: there is none.
    """
    with database.reading(url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        shots = _shots(connection, [number]) if abs(number) < 1 << 63 else []
    if not shots:
        raise UsageError(f"there is no inspection {number}; 'review next' and 'trace' tell the numbers")
    return shots[0]


def _within(facts: Facts) -> sa.Select[Any]:
    """What the reports of these facts count, as rows."""
    c, asked, period = inspection.c, facts.source, facts.period
    since = period.since.isoformat() if period.since else None
    first, last = instants(since, period.until.isoformat(), asked.zone)
    query = sa.select(c.id, c.station_id, c.part, c.seam, c.pass_no).where(
        c.inspected_us >= first, c.inspected_us < last
    )
    if asked.station:
        query = query.join(stations, stations.c.id == c.station_id).where(stations.c.name == asked.station)
    return query.where(c.part == asked.part) if asked.part else query


def _shots(connection: sa.Connection, ids: Sequence[int]) -> list[Shot]:
    query = (
        sa.select(inspection, stations.c.name.label("station"), model.c.metadata)
        .join(stations, stations.c.id == inspection.c.station_id)
        .join(model, model.c.id == inspection.c.model_id)
        .where(inspection.c.id.in_(ids))
    )
    by_id = {row.id: _shot(row) for row in connection.execute(query)}
    return [by_id[number] for number in ids if number in by_id]


def _shot(row: Any) -> Shot:
    heat = None
    if row.heat is not None:
        heat = np.frombuffer(row.heat, np.uint8).reshape(row.heat_height, row.heat_width)
    plain = ("id", "station", "source_name", "sha256", "part", "seam", "verdict", "label", "confidence")
    more = ("novelty", "probabilities", "inspected_us", "archive_path")
    depth = row.metadata.get("bit_depth", 8)
    return Shot(**{name: getattr(row, name) for name in (*plain, *more)}, heat=heat, bit_depth=depth)


# --- pixels ----------------------------------------------------------------------------------------------


def pixels(shot: Shot, archived: Archived) -> NDArray[np.uint8] | Gone:
    """The image as it was judged, uint8[h, w], or why it cannot be shown."""
    if shot.station != archived.station:
        return Gone.ELSEWHERE
    try:
        with read_source(archived.folder / shot.archive_path) as file:
            if file.source.sha256 != shot.sha256:
                return Gone.CHANGED
            return decoder.decode(file.data, bit_depth=shot.bit_depth)
    except ImageError as error:
        return Gone.MISSING if error.reason == "vanished" else Gone.UNREADABLE


def heated_only(frame: NDArray[np.uint8], heat: NDArray[np.uint8] | None, side: int) -> Image.Image:
    """The frame with its heat map where it has one, ``side`` pixels at most; RGB."""
    small = ImageOps.contain(Image.fromarray(frame).convert("RGB"), (side, side))
    return small if heat is None else heated(small, heat)


def beside_heat(frame: NDArray[np.uint8], heat: NDArray[np.uint8] | None, side: int) -> Image.Image:
    """The frame, and beside it the same with its heat map, each ``side`` pixels at most; RGB."""
    left = heated_only(frame, None, side)
    if heat is None:
        return left
    gap = max(2, side // 60)
    pair = Image.new("RGB", (2 * left.width + gap, left.height), "white")
    pair.paste(left, (0, 0))
    pair.paste(heated(left, heat), (left.width + gap, 0))
    return pair


def heated(frame: Image.Image, heat: NDArray[np.uint8]) -> Image.Image:
    """An RGB frame with its heat painted in: brighter is hotter, and a line at half of the highest heat.

    The line is what tells in black and white.
    """
    spread = Image.fromarray(heat).resize(frame.size, Image.Resampling.BICUBIC)
    share = np.asarray(spread, np.float32)[..., None] / 255
    colours = mpl.colormaps["inferno"](np.asarray(spread))[..., :3] * 255
    painted = Image.fromarray(np.uint8(np.asarray(frame) * (1 - 0.65 * share) + colours * 0.65 * share))
    hot = Image.fromarray(np.uint8(np.asarray(spread) >= max(1, int(heat.max()) / 2)) * 255)
    inner, outer = hot.filter(ImageFilter.MinFilter(3)), hot.filter(ImageFilter.MaxFilter(3))
    painted.paste("black", mask=_difference(outer, hot))
    painted.paste("white", mask=_difference(hot, inner))
    return painted


def _difference(larger: Image.Image, smaller: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(larger) - np.asarray(smaller))


def data_uri(picture: Image.Image) -> str:
    """A JPEG that a page can hold in itself."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
