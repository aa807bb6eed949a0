"""Inspected images for people: which ones to show, their pixels from the archive, and their heat maps."""

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
from PIL import Image, ImageFilter
from sqlalchemy.engine import URL

from inspector.errors import ImageError, UsageError
from inspector.imaging import decoder
from inspector.imaging.fitting import fitted
from inspector.imaging.source import read_source
from inspector.ledger import database, schema, sites
from inspector.records import Verdict
from inspector.reports.page.period_reports import PeriodReports
from inspector.reports.page.reasons import Thresholds, explained
from inspector.reports.page.words import Words, printable
from inspector.times import instants

# Frames of one weld are next to each other in the list, and one of them is shown.
_ROWS_PER_SHOWN_IMAGE = 50


class Choice(StrEnum):
    """The images of a period that a quality engineer wants to see first."""

    MOST_CERTAIN = "most_certain"  # among the FAIL images
    LEAST_CERTAIN = "least_certain"
    MOST_NOVEL = "most_novel"


class NotShown(StrEnum):
    """The reason why an image cannot be shown."""

    ELSEWHERE = "elsewhere"
    MISSING = "missing"
    CHANGED = "changed"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class LocalArchive:
    """The archive on this machine, and the station that it belongs to."""

    station: str
    folder: Path


@dataclass(frozen=True, slots=True)
class InspectedImage:
    """One inspection with its result; ``heat`` is uint8[h, w] for FAIL and REVIEW, else None."""

    inspection: int
    station: str
    source_name: str
    sha256: str
    part: str | None
    seam: str | None
    pass_no: int | None
    verdict: str
    label: str
    confidence: float
    reason: str | None  # of a REVIEW
    novelty: float
    probabilities: dict[str, float]
    inspected_us: int
    heat: NDArray[np.uint8] | None
    archive_path: str
    bit_depth: int
    thresholds: Thresholds
    reviewer: str | None = None  # of the latest verdict by a person
    human_verdict: str | None = None
    human_label: str | None = None

    def place(self, words: Words) -> list[str]:
        """Inspection, part, seam and pass, each with its word; without a part only the inspection."""
        given = {"inspection": self.inspection, "part": self.part, "seam": self.seam, "pass": self.pass_no}
        return [
            printable(words(f"picture.{name}", value=value))
            for name, value in given.items()
            if value is not None
        ]

    def said_by_person(self) -> str | None:
        """The latest verdict by a person, with the person's name and class; None if there is none."""
        if self.human_verdict is None:
            return None
        label = f" {self.human_label}" if self.human_label else ""
        return printable(f"{self.reviewer}: {self.human_verdict}{label}")

    def explanation(self, words: Words) -> str | None:
        """Why the image is REVIEW, in words; None if it is not, or if its row does not say."""
        if self.reason is None:
            return None
        return explained(self.reason, self.novelty, self.thresholds, words)


def choose(reports: PeriodReports, choice: Choice, count: int) -> list[InspectedImage]:
    """The first images of a choice, one per pass over a seam, because frames of one weld look alike."""
    c = schema.inspection.c
    conditions, order = {
        Choice.MOST_CERTAIN: ((c.verdict == Verdict.FAIL.value,), c.confidence.desc()),
        Choice.LEAST_CERTAIN: ((), c.confidence),
        Choice.MOST_NOVEL: ((c.novelty > 0,), c.novelty.desc()),  # 0 if the artifact has no novelty
    }[choice]
    query = _within(reports).where(*conditions).order_by(order, c.id).limit(count * _ROWS_PER_SHOWN_IMAGE)
    with database.reading(reports.source.url) as engine, database.transaction(engine) as connection:
        chosen: dict[Any, int] = {}
        for row in connection.execute(query):
            weld = (row.station_id, row.part, row.seam, row.pass_no) if row.part is not None else row.id
            chosen.setdefault(weld, row.id)
        return _images_of(connection, list(chosen.values())[:count])


def latest(reports: PeriodReports, verdict: Verdict, count: int) -> list[InspectedImage]:
    """The latest ``count`` images with a verdict, oldest first."""
    c = schema.inspection.c
    query = _within(reports).where(c.verdict == verdict.value).order_by(c.inspected_us.desc(), c.id.desc())
    with database.reading(reports.source.url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        return _images_of(connection, [row.id for row in connection.execute(query.limit(count))][::-1])


def by_inspection(url: URL | str, inspection: int) -> InspectedImage:
    """The image of the inspection with this number.

    Raises:
        UsageError: there is no such inspection.
    """
    with database.reading(url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        images = _images_of(connection, [inspection]) if abs(inspection) < 1 << 63 else []
    if not images:
        raise UsageError(f"there is no inspection {inspection}; 'review next' and 'trace' show the numbers")
    return images[0]


def _within(reports: PeriodReports) -> sa.Select[Any]:
    """Select the inspections that these reports count."""
    c, asked, period = schema.inspection.c, reports.source, reports.period
    since = period.since.isoformat() if period.since else None
    first, last = instants(since, period.until.isoformat(), asked.zone)
    query = sa.select(c.id, c.station_id, c.part, c.seam, c.pass_no).where(
        c.inspected_us >= first, c.inspected_us < last
    )
    if asked.station:
        station = schema.station.c
        query = query.join(schema.station, station.id == c.station_id).where(sites.chosen(asked.station))
    return query.where(c.part == asked.part) if asked.part else query


def _images_of(connection: sa.Connection, ids: Sequence[int]) -> list[InspectedImage]:
    table, said = schema.inspection, schema.review
    newest = sa.select(sa.func.max(said.c.id)).where(said.c.inspection_id == table.c.id).correlate(table)
    query = (
        sa.select(
            table,
            said.c.reviewer,
            said.c.verdict.label("human_verdict"),
            said.c.label.label("human_label"),
            schema.station.c.name.label("station"),
            schema.model.c.metadata,
            schema.settings.c.content.label("in_force"),
        )
        .join(schema.station, schema.station.c.id == table.c.station_id)
        .join(schema.model, schema.model.c.id == table.c.model_id)
        .join(schema.settings, schema.settings.c.id == table.c.settings_id)
        .outerjoin(said, said.c.id == newest.scalar_subquery())
        .where(table.c.id.in_(ids))
    )
    by_id = {row.id: _image_of(row) for row in connection.execute(query)}
    return [by_id[number] for number in ids if number in by_id]


def _image_of(row: Any) -> InspectedImage:
    heat = None
    if row.heat is not None:
        heat = np.frombuffer(row.heat, np.uint8).reshape(row.heat_height, row.heat_width)
    columns = ("station", "source_name", "sha256", "part", "seam", "pass_no", "verdict", "label")
    more = ("confidence", "reason", "novelty", "probabilities", "inspected_us", "archive_path")
    human = ("reviewer", "human_verdict", "human_label")
    values = {name: getattr(row, name) for name in (*columns, *more, *human)}
    return InspectedImage(
        **values,
        inspection=row.id,
        heat=heat,
        bit_depth=row.metadata.get("bit_depth", 8),
        thresholds=Thresholds.of(row.in_force, row.metadata),
    )


# --- pixels ----------------------------------------------------------------------------------------------


def pixels(image: InspectedImage, archive: LocalArchive) -> NDArray[np.uint8] | NotShown:
    """The pixels that were judged, uint8[h, w], or the reason why they cannot be shown."""
    if image.station != archive.station:
        return NotShown.ELSEWHERE
    try:
        with read_source(archive.folder / image.archive_path) as file:
            if file.source.sha256 != image.sha256:
                return NotShown.CHANGED
            return decoder.decode(file.data, bit_depth=image.bit_depth)
    except ImageError as error:
        return NotShown.MISSING if error.reason == "vanished" else NotShown.UNREADABLE


def with_heat(frame: NDArray[np.uint8], heat: NDArray[np.uint8] | None, side: int) -> Image.Image:
    """The frame with its heat map, if it has one; RGB, at most ``side`` pixels wide and high."""
    small = fitted(Image.fromarray(frame).convert("RGB"), side)
    return small if heat is None else paint_heat(small, heat)


def side_by_side(frame: NDArray[np.uint8], heat: NDArray[np.uint8] | None, side: int) -> Image.Image:
    """The frame and, beside it, the frame with its heat map; RGB, each at most ``side`` pixels."""
    left = with_heat(frame, None, side)
    if heat is None:
        return left
    gap = max(2, side // 60)
    pair = Image.new("RGB", (2 * left.width + gap, left.height), "white")
    pair.paste(left, (0, 0))
    pair.paste(paint_heat(left, heat), (left.width + gap, 0))
    return pair


def paint_heat(frame: Image.Image, heat: NDArray[np.uint8]) -> Image.Image:
    """Paint a heat map into an RGB frame: brighter is hotter, and a line marks half of the highest heat.

    The line keeps the picture readable in black and white.
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
    """The picture as a JPEG in a ``data:`` address, which a page can contain."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
