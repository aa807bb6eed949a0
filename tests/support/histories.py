"""Seeded histories of a shop, written through the real ledger; the reports' tests count them again by hand.

Each holds two stations (one without parts), cameras, shifts, second passes, every verdict, redelivered files,
the same bytes under a new name, quarantined files, two or three artifacts with different classes, human
verdicts with a random sample of PASS images, events, a gap of 16 hours and names that would break bad SQL.

The module is long, because a history has all that a shop may write.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import sqlalchemy as sa
from ledger_samples import SECOND_US, arrival, sha, source
from sqlalchemy.engine import URL

from inspector.ledger import database, schema
from inspector.ledger.store import Store
from inspector.ledger.summaries import summarize
from inspector.records import (
    Duplicate,
    InForce,
    Inspected,
    Judgement,
    NameParts,
    Quarantined,
    Timings,
    Verdict,
)
from inspector.times import local_day_and_shift

BERLIN = ZoneInfo("Europe/Berlin")
SHIFTS = {"early": time(6), "late": time(14), "night": time(22)}
PARTS = ("P-0042", 'O\'Brien "7"', "two\nlines", "Träger; DROP TABLE review", "P-0043")
# The newer artifact knows classes that the older one does not; the last one has no accepted class.
CLASSES = (
    {"good": "accept", "porosity": "defect", "burn through": "defect"},
    {"good": "accept", "porosity": "defect", "lack of fusion": "defect", "crack's end": "defect"},
    {"porosity": "defect", "burn through": "defect"},
)


@dataclass(frozen=True, slots=True)
class History:
    """The differences of one history from the others."""

    seed: int
    begins: datetime
    days: int
    shifts_at: timedelta | None = None  # after this time the defect rate is high instead of low
    mad_clock: bool = False  # some rows are from 1970 and from future years

    @property
    def shifted(self) -> tuple[str, str] | None:
        """Return shift day and shift of the first subgroup with the high defect rate."""
        if self.shifts_at is None:
            return None
        at = _us(self.begins.astimezone(UTC) + self.shifts_at)
        _, shift, shift_day = local_day_and_shift(at, BERLIN, SHIFTS)
        return shift_day, shift


HISTORIES = {
    history.seed: history
    for history in (
        History(1, datetime(2026, 1, 5, 6, tzinfo=BERLIN), days=8),
        # Over the first night of summer time; the rate rises with the early shift of the eleventh day.
        History(2, datetime(2026, 3, 23, 6, tzinfo=BERLIN), days=12, shifts_at=timedelta(days=10, hours=-1)),
        # Over the last night of summer time.
        History(3, datetime(2026, 10, 20, 6, tzinfo=BERLIN), days=8, mad_clock=True),
    )
}
SUMMARIZED = 2  # seed of the history of which every hour has a summary; the others have some
_END_US = 1 << 60  # later than every image
LOW, HIGH = 0.06, 0.45  # defect share of frames


def write(url: URL | str, seed: int, stations: tuple[str, str] = ("cell-1", "Cell-2")) -> History:
    """Write one of :data:`HISTORIES` into a migrated database, with the same rows on either back end.

    Its images have parts at the first of the stations, and none at the second.
    """
    history = HISTORIES[seed]
    random = np.random.default_rng(seed)
    with Store.open(url, stations[0], seam_gap_s=300) as store:
        items = _with_parts(history, random)
        third = len(items) // 3
        for number, classes in enumerate(CLASSES[: 2 + history.mad_clock]):
            until = third * (number + 1) if number < 1 + history.mad_clock else None
            _record(store, _in_force(store, number), _judged(items[third * number : until], classes, random))
            if number == 0:  # later images make some of these summaries useless
                summarize(url, _END_US)
    with Store.open(url, stations[1], seam_gap_s=300) as store:
        bare = _without_parts(history, random)
        _record(store, _in_force(store, 1), _judged(bare, CLASSES[1], random))
    engine = database.engine(url)
    try:
        with database.transaction(database.immediate(engine)) as connection:
            _review(connection, random)
            _events(connection, history, stations[0])
            _review_seams(connection, random)
            _rejudge(connection, np.random.default_rng(seed + 100))
    finally:
        engine.dispose()
    if seed == SUMMARIZED:
        summarize(url, _END_US)
    return history


@dataclass(frozen=True, slots=True)
class _File:
    """A file before it is judged."""

    name: str
    content: str
    at: datetime
    parts: NameParts
    defect_share: float


def _us(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _with_parts(history: History, random: np.random.Generator) -> list[_File]:
    """Return part after part with two seams each; some seams are welded again 20 minutes later."""
    files: list[_File] = []
    at, number, rested = history.begins.astimezone(UTC), 0, False
    end = at + timedelta(days=history.days)
    while at < end:
        # Some names come again days later, which is also a further pass.
        part = f"P-{number:04}" if random.random() < 0.8 else str(random.choice(PARTS))
        camera = str(random.choice(["cam1", "cam'2"]))
        for seam in ["S1", "S2", *(["S1"] if random.random() < 0.15 else [])]:
            for _ in range(int(random.integers(2, 13))):
                files.append(_file(history, f"{camera}_{number}.png", at, NameParts(camera, part, seam)))
                at += timedelta(seconds=float(random.uniform(0.5, 20)))
                number += 1
            at += timedelta(minutes=10)
        if not rested and at - history.begins > timedelta(days=5):
            at += timedelta(hours=16)  # a break of the whole shop
            rested = True
        else:
            at += timedelta(minutes=float(random.uniform(20, 90)))
    return files


def _without_parts(history: History, random: np.random.Generator) -> list[_File]:
    """Return the files of a station without parts in its file names, one every two hours."""
    return [
        _file(history, f"{number}.png", history.begins + timedelta(hours=2 * number), NameParts())
        for number in range(int(random.integers(60, 70)))
    ]


def _file(history: History, name: str, at: datetime, parts: NameParts) -> _File:
    shifted = history.shifts_at is not None and at - history.begins >= history.shifts_at
    number = int(name.rpartition("_")[2].removesuffix(".png"))
    if history.mad_clock and number in (100, 101, 102):
        at = datetime(1970, 1, 1, 0, 0, number - 100, tzinfo=UTC)  # from before the clock was set
    if history.mad_clock and number == 200:
        at = datetime(2031, 1, 1, tzinfo=UTC)
    content = str(number - 1) if number % 97 == 96 else str(number)  # a few times the same bytes again
    return _File(name, content, at, parts, HIGH if shifted else LOW)


def _judged(
    files: list[_File], classes: dict[str, str], random: np.random.Generator
) -> list[Inspected | Quarantined]:
    return [
        _quarantined(file, random) if random.random() < 0.03 else _inspected(file, classes, random)
        for file in files
    ]


def _quarantined(file: _File, random: np.random.Generator) -> Quarantined:
    day, shift, shift_day = local_day_and_shift(_us(file.at), BERLIN, SHIFTS)
    reason = str(random.choice(["truncated", "not_an_image", "decoder_crash"]))
    return Quarantined(
        arrival=arrival(file.name, _us(file.at)),
        source=source(file.content),
        reason=reason,
        detail=f'{file.name}: it\'s "broken"',
        shift=shift,
        shift_day=shift_day,
        recorded_us=_us(file.at) + 10 * SECOND_US,
        final_path=f"{day}/{reason}/{file.name}",
    )


def _inspected(file: _File, classes: dict[str, str], random: np.random.Generator) -> Inspected:
    judgement = _judgement(file, classes, random)
    day, shift, shift_day = local_day_and_shift(_us(file.at), BERLIN, SHIFTS)
    wait, decode, infer = random.lognormal([1, 2, 3], 0.7).tolist()
    return Inspected(
        arrival=arrival(file.name, _us(file.at)),
        source=source(file.content),
        name=file.parts,
        judgement=judgement,
        timings=Timings(wait, decode, infer, wait + decode + infer, batch_size=int(random.integers(1, 9))),
        local_day=day,
        shift=shift,
        shift_day=shift_day,
        inspected_us=_us(file.at) + SECOND_US,
        final_path=f"{day}/{judgement.verdict.value}/{file.name}",
    )


def _judgement(file: _File, classes: dict[str, str], random: np.random.Generator) -> Judgement:
    accepted = [name for name, role in classes.items() if role == "accept"]
    defects = [name for name, role in classes.items() if role == "defect"]
    wrong = not accepted or random.random() < file.defect_share
    label = str(random.choice(defects)) if wrong else accepted[0]
    top = float(random.uniform(0.4, 0.99)) if wrong else float(random.beta(20, 1) * 0.6 + 0.4)
    rest = random.dirichlet(np.ones(len(classes) - 1)) * (1 - top)
    others = dict(zip([name for name in classes if name != label], rest.tolist(), strict=True))
    novelty = float(random.gamma(2, 0.2))
    verdict, reason = (Verdict.FAIL if wrong else Verdict.PASS), None
    if random.random() < 0.05:
        verdict, reason = Verdict.REVIEW, str(random.choice(["uncertain", "novel", "blank"]))
    return Judgement(
        verdict=verdict,
        label=label,
        confidence=top,
        probabilities={name: top if name == label else others[name] for name in classes},
        novelty=novelty,
        heat=None if verdict is Verdict.PASS else np.full((2, 3), 255, np.uint8),
        reason=reason,
    )


def _in_force(store: Store, number: int) -> InForce:
    """Return the rows of the artifact of :data:`CLASSES` with this number."""
    classes = [{"name": name, "role": role} for name, role in CLASSES[number].items()]
    metadata = {"schema": 1, "name": "weld'net", "version": str(number), "classes": classes}
    return store.in_force(
        metadata=json.dumps(metadata),
        artifact_sha256=sha(f"artifact {number}"),
        name="weld'net",
        version=str(number),
        settings_json=json.dumps({"batch_size": 8, "thresholds": {"accept": 0.5 + number / 10}}),
    )


def _record(store: Store, force: InForce, items: list[Inspected | Quarantined]) -> None:
    """Record the items in order; every fiftieth image is delivered again."""
    for start in range(0, len(items), 50):
        some = items[start : start + 50]
        ids = store.record(some, force)
        if isinstance(some[0], Inspected):
            again = Duplicate(
                arrival=some[0].arrival,
                source=some[0].source,
                inspection=ids[0],
                recorded_us=some[0].inspected_us + 5 * SECOND_US,
                final_path=f"{some[0].local_day}/duplicate/{some[0].arrival.source_name}",
            )
            store.record([again], force)


# --- people ----------------------------------------------------------------------------------------------


def _review(connection: sa.Connection, random: np.random.Generator) -> None:
    """Write reviews of most FAIL and REVIEW images, and of a random sample of the PASS images."""
    table = schema.inspection
    columns = (table.c.id, table.c.verdict, table.c.label, table.c.inspected_us)
    rows: list[dict[str, Any]] = []
    samples: list[dict[str, Any]] = []
    images = connection.execute(sa.select(*columns).order_by(table.c.id)).all()
    for image in images:
        sampled = image.verdict == "PASS" and random.random() < 0.15
        if not sampled and (image.verdict == "PASS" or random.random() < 0.3):
            continue
        if sampled:
            samples.append({"inspection_id": image.id, "seed": 1, "drawn_us": image.inspected_us})
            if random.random() < 0.2:
                continue  # not reviewed yet
        verdict = str(random.choice(["PASS", "FAIL", "REVIEW"], p=_HUMAN[image.verdict]))
        first = {
            "inspection_id": image.id,
            "reviewer": str(random.choice(["Ann O'Hara", "bert"])),
            "verdict": verdict,
            "label": "porosity" if verdict == "FAIL" else None,
            "note": 'said "hm"\nand went',
            "reviewed_us": image.inspected_us + 3600 * SECOND_US,
        }
        rows.append(first)
        if random.random() < 0.1:  # a second review: the later row counts
            second = {"reviewer": "chief", "verdict": "FAIL", "label": "porosity"}
            rows.append(first | second | {"reviewed_us": first["reviewed_us"] + SECOND_US})
    connection.execute(schema.review.insert(), rows)
    population = sum(image.verdict == "PASS" for image in images)
    connection.execute(schema.audit_sample.insert(), [row | {"population": population} for row in samples])


def _review_seams(connection: sa.Connection, random: np.random.Generator) -> None:
    """Write verdicts on some passes over a seam; some people disagree, some missed the last frame."""
    c = schema.inspection.c
    query = sa.select(c.id, c.station_id, c.part, c.seam, c.pass_no).where(c.part.is_not(None)).order_by(c.id)
    passes: dict[Any, list[int]] = {}
    for image in connection.execute(query):
        passes.setdefault(tuple(image)[1:], []).append(image.id)
    rows = [
        {
            "inspection_id": ids[-1 - int(random.random() < 0.3 and len(ids) > 1)],
            "reviewer": str(random.choice(["Ann O'Hara", "bert"])),
            "verdict": str(random.choice(["PASS", "FAIL", "REVIEW"], p=[0.6, 0.25, 0.15])),
            "reviewed_us": _us(datetime(2026, 12, 1, tzinfo=UTC)),
        }
        for ids in passes.values()
        for _ in range(int(random.choice([0, 1, 2], p=[0.7, 0.25, 0.05])))
    ]
    connection.execute(schema.seam_review.insert(), rows)


def _rejudge(connection: sa.Connection, random: np.random.Generator) -> None:
    """Write what other artifacts say: each of the two newer ones on some images, also on some of its own."""
    inspections, models = schema.inspection.c, schema.model.c
    query = sa.select(
        inspections.id, inspections.verdict, inspections.label, inspections.settings_id
    ).order_by(inspections.id)
    images = connection.execute(query).all()
    rows = [
        {
            "inspection_id": image.id,
            "model_id": number,
            "settings_id": image.settings_id,
            "run": f"shadow {number}",
            "judged_us": _us(datetime(2026, 12, 2, tzinfo=UTC)),
        }
        | _second_opinion(image, random)
        for number in connection.scalars(sa.select(models.id).order_by(models.id).offset(1))
        for image in images
        if random.random() < 0.6
    ]
    connection.execute(schema.rejudgement.insert(), rows)


def _second_opinion(image: Any, random: np.random.Generator) -> dict[str, Any]:
    if random.random() < 0.02:
        nothing = dict.fromkeys(("verdict", "label", "confidence", "probabilities", "novelty"))
        return nothing | {"reason": str(random.choice(["pruned", "altered"]))}
    verdict, label = image.verdict, image.label
    if random.random() < 0.2:
        verdict = str(random.choice(["PASS", "FAIL", "REVIEW"]))
        label = "good" if verdict == "PASS" else str(random.choice(["porosity", "crack's end"]))
    share = float(random.uniform(0.4, 1))
    return {
        "verdict": verdict,
        "label": label,
        "confidence": share,
        "probabilities": {label: share, "rest": 1 - share},
        "novelty": float(random.gamma(2, 0.2)),
        "reason": "uncertain" if verdict == "REVIEW" else None,
    }


_HUMAN = {"PASS": [0.9, 0.07, 0.03], "FAIL": [0.15, 0.82, 0.03], "REVIEW": [0.5, 0.4, 0.1]}


def _events(connection: sa.Connection, history: History, station: str) -> None:
    """Write a start and a stop each day, with an outage, an overflow and a reload in between."""
    table = schema.station
    station_id = connection.scalar(sa.select(table.c.id).where(table.c.name == station))
    rows = [
        {
            "station_id": station_id,
            "kind": kind,
            "detail": f"{kind}: it's so",
            "at_us": _us(history.begins + timedelta(days=day, hours=hours)),
        }
        for day in range(history.days)
        for kind, hours in (("start", 0), ("outage", 3), ("overflow", 5), ("reload", 9), ("stop", 15.5))
    ]
    connection.execute(schema.event.insert(), rows)
