"""The rows of a summary: an hour of a station's images counted and measured, as the reports do it.

:mod:`inspector.ledger.summaries` says when they are written and when they hold. All functions take images of
one hour: rows of :data:`COLUMNS`.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from inspector.ledger.schema import STEPS, hour_batch, hour_class, hour_count, hour_summary, hour_work
from inspector.ledger.statements import Row

HOUR_US = 3_600_000_000
_MINUTE_US = 60_000_000
_PERCENTS = (50, 95, 99)
_BINS = (0.99, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.0)  # lower ends, as in the report 'confidence'
# Images with the same values of these are one row of hour_count.
_KEY = (
    *("model_id", "camera", "part", "seam", "pass_no", "local_day", "shift", "shift_day", "verdict"),
    "reason",
)
COLUMNS = (
    *(*_KEY, "id", "station_id", "duplicate_of", "inspected_us", "seen_us", "taken_us", "label"),
    *("confidence", "batch_size", *(f"{step}_ms" for step in STEPS)),
)
Images = Sequence[sa.Row[Any]]


def durations(of_station: int, images: Images) -> Row:
    """Return the row of ``hour_latency`` without ``hour_us``: nearest ranks, as in the reports."""
    row: Row = {"of_station": of_station, "n": len(images)}
    for step in STEPS:
        sorted_ms = sorted(getattr(image, f"{step}_ms") for image in images)
        for percent in _PERCENTS:
            row[f"{step}_p{percent}_ms"] = sorted_ms[(len(images) * percent + 99) // 100 - 1]
        row[f"{step}_max_ms"] = sorted_ms[-1]
    return row


def _nothing(_hour_us: int, _images: Images) -> Row:
    return {}


def _counts(images: Images) -> list[Row]:
    groups = defaultdict(list)
    for image in images:
        key = (*image[: len(_KEY)], image.duplicate_of is not None, image.seen_us // HOUR_US * HOUR_US)
        groups[key].append(image)
    names = (*_KEY, "is_duplicate", "seen_hour_us")
    return [dict(zip(names, key, strict=True)) | _of_group(group) for key, group in groups.items()]


def _of_group(images: Images) -> Row:
    inspected_us = [image.inspected_us for image in images]
    taken_us = [image.taken_us for image in images]
    return {
        "n": len(images),
        "first_us": min(inspected_us),
        "last_us": max(inspected_us),
        "first_seen_us": min(image.seen_us for image in images),
        "first_taken_us": min(taken_us),
        "last_taken_us": max(taken_us),
        "newest_id": max(image.id for image in images),
    }


def _work(hour_us: int, images: Images) -> Row:
    at_us = sorted(image.inspected_us for image in images)
    minutes = Counter((at - hour_us) // _MINUTE_US for at in at_us)
    return {
        "first_us": at_us[0],
        "last_us": at_us[-1],
        "longest_pause_us": max((late - early for early, late in itertools.pairwise(at_us)), default=0),
        "busiest_minute": max(minutes.values()),
        "frames": sum(image.batch_size for image in images),
        "infer_ms": math.fsum(image.infer_ms for image in images),
    }


def _classes(images: Images) -> list[Row]:
    groups = defaultdict(list)
    for image in images:
        confidence_from = next(low for low in _BINS if image.confidence >= low)
        groups[image.label, image.verdict, confidence_from].append(image.confidence)
    names = ("label", "verdict", "confidence_from")
    return [
        dict(zip(names, key, strict=True)) | {"n": len(group), "confidence_min": min(group)}
        for key, group in groups.items()
    ]


def _batches(images: Images) -> list[Row]:
    groups = defaultdict(list)
    for image in images:
        groups[image.batch_size].append(image)
    return [
        {"batch_size": size, "n": len(group)}
        | {f"{step}_max_ms": max(getattr(image, f"{step}_ms") for image in group) for step in STEPS}
        for size, group in groups.items()
    ]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of summary: a row for each hour of a station, and the rows that belong to it.

    Attributes:
        table: one row for each station, hour and number of images.
        measured: from the start of the hour and its images to the other columns of that row.
        counted: tables that refer to the row, each with what makes its rows.
    """

    table: sa.Table
    measured: Callable[[int, Images], Row]
    counted: dict[sa.Table, Callable[[Images], list[Row]]]

    def reference(self, counted: sa.Table) -> str:
        """Return the column of a table in :attr:`counted` that refers to the row of the hour."""
        [key] = [key for key in counted.foreign_keys if key.column.table is self.table]
        return str(key.parent.name)

    def names(self, counted: sa.Table) -> list[str]:
        """Return the columns of a table in :attr:`counted` that say something about the images."""
        return [it.name for it in counted.c if it.name not in ("id", self.reference(counted))]


KINDS = (
    Kind(hour_summary, _nothing, {hour_count: _counts}),
    Kind(hour_work, _work, {hour_class: _classes, hour_batch: _batches}),
)
