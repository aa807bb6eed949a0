"""Two artifacts on the images that people decided: which agrees more, and what is chance.

Both judge the same bytes from the archive, by the thresholds that the station's settings would give them. An
image that one of them learnt from says nothing about it, and is left out.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.errors import StationError
from inspector.imaging import decoder, flaws
from inspector.imaging.source import read_source
from inspector.ledger import database
from inspector.ledger.schema import inspection, review
from inspector.ledger.schema import station as stations
from inspector.network.artifact import Artifact
from inspector.network.classifier import Classifier
from inspector.records import Judgement, Verdict
from inspector.review.labels import run_of
from inspector.station.reading import Limits

_FRAMES_PER_BATCH: Final = 8  # the daemon's default

Track = Callable[[list["Decided"]], Iterable["Decided"]]


class Judge(NamedTuple):
    """A proved artifact, and its classifier with the station's thresholds."""

    artifact: Artifact
    classifier: Classifier


@dataclass(frozen=True, slots=True)
class Decided:
    """An image that a person passed or failed, at its path in the archive."""

    path: str
    sha256: str
    verdict: Verdict
    label: str | None  # the class, if the person named one
    seam: str  # frames of one pass over a seam are near-copies; without a part each image is alone


@dataclass(frozen=True, slots=True)
class Agreement:
    """How one artifact judges these images."""

    agrees: int  # of n: PASS or FAIL as the person said
    escapes: int  # of failed_by_person: PASS
    overkill: int  # of passed_by_person: FAIL
    review: int  # of n: left to a person
    named: int  # of labelled: the class that the person named


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both artifacts on the same images; p is the chance of such a difference between equally good ones."""

    n: int
    failed_by_person: int
    passed_by_person: int
    labelled: int
    old: Agreement
    new: Agreement
    only_old: int  # images on which only the old one agrees with the person
    only_new: int
    p: float  # McNemar's exact test, two-sided, each image for itself
    p_over_seams: float  # each pass over a seam is one observation
    learnt_from: int | None  # left out: one of the artifacts learnt from them; None: one does not record it
    left_out: int  # left out: pruned, changed, or not readable


def decided(url: URL | str, station: str, limit: int) -> list[Decided]:
    """Return a station's images whose latest human verdict is PASS or FAIL, the latest decision first.

    The same bytes come once, with the latest decision.

    Raises:
        SchemaError: the database lacks the schema.
        StoreUnavailable: the server does not answer.
    """
    newest = sa.select(sa.func.max(review.c.id)).group_by(review.c.inspection_id)
    query = (
        sa.select(inspection, review.c.verdict.label("human_verdict"), review.c.label.label("human_label"))
        .join(review, review.c.inspection_id == inspection.c.id)
        .join(stations, stations.c.id == inspection.c.station_id)
        .where(
            review.c.id.in_(newest),
            review.c.verdict != Verdict.REVIEW.value,
            stations.c.name == station,
        )
        .order_by(review.c.id.desc())
    )
    found: dict[str, Decided] = {}
    with database.reading(url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        with connection.execution_options(yield_per=1000).execute(query) as rows:
            for row in itertools.takewhile(lambda _: len(found) < limit, rows):
                found.setdefault(row.sha256, _decided(row))
    return list(found.values())


def _decided(row: Any) -> Decided:
    return Decided(
        path=row.archive_path,
        sha256=row.sha256,
        verdict=Verdict(row.human_verdict),
        label=row.human_label,
        seam=run_of(row) if row.part else f"image {row.id}",
    )


def compare(
    images: list[Decided], archive: Path, limits: Limits, old: Judge, new: Judge, *, track: Track
) -> Comparison | None:
    """Judge the images by both artifacts; None if no image is left.

    Args:
        images: see :func:`decided`.
        archive: the folder of their paths.
        limits: the files that are read at all.
        old: the artifact in force.
        new: the one that may replace it.
        track: shows the progress.
    """
    learnt = unread = 0
    judged: list[tuple[Decided, Judgement, Judgement]] = []
    batch: list[tuple[Decided, tuple[_Frame, _Frame]]] = []
    for image in track(images):
        try:
            frames = _frames(image, archive, limits, old, new)
        except (StationError, OSError, RuntimeError):  # RuntimeError: torch's own
            unread += 1
            continue
        if frames is None:
            learnt += 1
            continue
        batch.append((image, frames))
        if len(batch) == _FRAMES_PER_BATCH:
            judged += _judged(batch, old, new)
            batch = []
    judged += _judged(batch, old, new)
    is_known = all(judge.artifact.metadata.training_frames is not None for judge in (old, new))
    return _compared(judged, learnt if is_known else None, unread) if judged else None


class _Frame(NamedTuple):
    prepared: Any  # Tensor
    flaw: str | None


def _frames(
    image: Decided, archive: Path, limits: Limits, old: Judge, new: Judge
) -> tuple[_Frame, _Frame] | None:
    """Read one image for each of both artifacts; None if one of them learnt from it."""
    with read_source(archive / image.path, root=archive, max_bytes=limits.max_bytes) as source:
        if source.source.sha256 != image.sha256:
            raise StationError(f"{image.path}: its bytes differ from those that were judged")
        data = source.data
    frames = []
    for judge in (old, new):
        about = judge.artifact.metadata
        picture = decoder.decode_picture(
            data, formats=limits.formats, max_pixels=limits.max_pixels, bit_depth=about.bit_depth
        )
        if decoder.content_hash(picture.pixels) in (about.training_frames or ()):
            return None
        frames.append(_Frame(judge.classifier.prepare(picture.pixels), flaws.flaw_of(picture)))
    return frames[0], frames[1]


def _judged(
    batch: Sequence[tuple[Decided, tuple[_Frame, _Frame]]], old: Judge, new: Judge
) -> Iterator[tuple[Decided, Judgement, Judgement]]:
    if not batch:
        return
    images, pairs = zip(*batch, strict=True)
    answers = [
        judge.classifier.judge([frame.prepared for frame in frames], [frame.flaw for frame in frames])
        for judge, frames in zip((old, new), zip(*pairs, strict=True), strict=True)
    ]
    yield from zip(images, *answers, strict=True)


def _compared(
    judged: Sequence[tuple[Decided, Judgement, Judgement]], learnt_from: int | None, left_out: int
) -> Comparison:
    images = [image for image, *_ in judged]
    leads = [_agrees(image, after) - _agrees(image, before) for image, before, after in judged]
    over_seams = Counter[str]()
    for image, lead in zip(images, leads, strict=True):
        over_seams[image.seam] += lead
    failed = sum(image.verdict is Verdict.FAIL for image in images)
    return Comparison(
        n=len(images),
        failed_by_person=failed,
        passed_by_person=len(images) - failed,
        labelled=sum(image.label is not None for image in images),
        old=_agreement([(image, before) for image, before, _ in judged]),
        new=_agreement([(image, after) for image, _, after in judged]),
        only_old=leads.count(-1),
        only_new=leads.count(1),
        p=exact_p(leads),
        p_over_seams=exact_p(list(over_seams.values())),
        learnt_from=learnt_from,
        left_out=left_out,
    )


def _agrees(image: Decided, judgement: Judgement) -> bool:
    return judgement.verdict is image.verdict


def _agreement(judged: Sequence[tuple[Decided, Judgement]]) -> Agreement:
    said = Counter((image.verdict, judgement.verdict) for image, judgement in judged)
    return Agreement(
        agrees=said[Verdict.PASS, Verdict.PASS] + said[Verdict.FAIL, Verdict.FAIL],
        escapes=said[Verdict.FAIL, Verdict.PASS],
        overkill=said[Verdict.PASS, Verdict.FAIL],
        review=said[Verdict.PASS, Verdict.REVIEW] + said[Verdict.FAIL, Verdict.REVIEW],
        named=sum(image.label == judgement.label for image, judgement in judged),
    )


def exact_p(leads: Sequence[int]) -> float:
    """Two-sided exact p-value of a sum whose parts are each as likely to be negative as positive.

    If each part is 1 or -1, this is McNemar's exact test. All numbers are whole until the last division.
    """
    sizes, total = [abs(lead) for lead in leads if lead], abs(sum(leads))
    ways = {0: 1}  # of each sum
    if all(size == 1 for size in sizes):
        n = len(sizes)
        ways = {n - 2 * k: math.comb(n, k) for k in range(n + 1)}
    else:
        for size in sizes:
            more = Counter[int]()
            for reached, count in ways.items():
                more[reached + size] += count
                more[reached - size] += count
            ways = dict(more)
    as_far = sum(count for reached, count in ways.items() if abs(reached) >= total)
    return float(as_far / (1 << len(sizes)))
