"""The reason of a REVIEW in words, the thresholds on the bars, and a caption that says which weld it is."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from ledger_samples import in_force, inspected
from PIL import Image
from sqlalchemy.engine import URL
from stations import frame

from inspector.imaging import flaws
from inspector.ledger import database, schema
from inspector.ledger.store import Store
from inspector.records import Review, Verdict
from inspector.reports.page import contact_sheet, pictures
from inspector.reports.page.pictures import InspectedImage, LocalArchive
from inspector.reports.page.reasons import Thresholds, explained
from inspector.reports.page.words import LANGUAGES, Words

CLASSES = [
    {"name": "good", "role": "accept"},
    {"name": "fair", "role": "accept"},
    {"name": "pore", "role": "defect"},
]
IN_FORCE = {"thresholds": {"accept": 0.9, "defects": {"pore": 0.6}, "novelty": 1.25}}


def image(**others: Any) -> InspectedImage:
    """An image of a part that the station could not decide."""
    known: dict[str, Any] = {
        "inspection": 12,
        "station": "cell-1",
        "source_name": "a.png",
        "sha256": "0" * 64,
        "part": "P-7",
        "seam": "3",
        "pass_no": 2,
        "verdict": "REVIEW",
        "label": "pore",
        "confidence": 0.5,
        "reason": "uncertain",
        "novelty": 0.5,
        "probabilities": {"good": 0.3, "fair": 0.2, "pore": 0.5},
        "inspected_us": 1_767_600_000_000_000,
        "heat": np.full((4, 3), 200, np.uint8),
        "archive_path": "2026-01-05/REVIEW/a.png",
        "bit_depth": 8,
        "thresholds": Thresholds.of(IN_FORCE, {"classes": CLASSES}),
    }
    return InspectedImage(**(known | others))


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "unlike all training frames: novelty 1.831, limit 1.250"),
        ("de", "anders als alle Trainingsbilder: Neuheit 1,831, Grenze 1,250"),
        ("zh", "与所有训练图像不同：新奇度 1.831，上限 1.250"),
    ],
)
def test_an_image_unlike_the_training_frames_has_both_numbers(language: str, said: str) -> None:
    """The novelty stands beside its limit, in the marks of the language."""
    assert image(reason="novel", novelty=1.8312).explanation(Words(language)) == said


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_reason_has_its_words(language: str) -> None:
    """Every reason of a flaw and of the classifier is explained, each in another way."""
    reasons = ["uncertain", "novel", "padded", "not_finite"]
    reasons += [name for name in ("blank", "saturated", "unfinished") if name in str(flaws.find_flaw.__doc__)]
    texts = {explained(reason, 1.0, Thresholds(novelty=0.5), Words(language)) for reason in reasons}
    assert len(texts) == 7
    assert not texts & set(reasons)


def test_a_reason_without_words_and_rows_of_older_versions_are_shown_as_they_are() -> None:
    """An unknown reason is its own word; without a limit only the novelty is named; a PASS has no reason."""
    words, none = Words(), Thresholds.of({"batch_size": 8}, {"classes": ["good"]})
    assert explained("odd\nreason", 1.0, none, words) == "odd\ufffdreason"
    assert explained("novel", 1.0, none, words) == "unlike all training frames: novelty 1.000"
    assert image(verdict="PASS", reason=None).explanation(words) is None
    assert none == Thresholds()


def test_thresholds_belong_to_classes() -> None:
    """A defect has its own threshold, and each accepted class that of their sum."""
    assert image().thresholds.of_class == {"good": 0.9, "fair": 0.9, "pore": 0.6}
    assert image().thresholds.accepted == ("good", "fair")
    assert image().thresholds.defects == ("pore",)


def drawn(tmp_path: Path, shown: InspectedImage) -> Any:
    """The pixels that ``show`` draws of an image, uint8[h, w, 3]."""
    archive = LocalArchive("cell-1", tmp_path)
    path = tmp_path / shown.archive_path
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(frame(1)).save(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    contact_sheet.draw_inspection(
        dataclasses.replace(shown, sha256=digest), archive, UTC, tmp_path / "out.png"
    )
    with Image.open(tmp_path / "out.png") as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_the_threshold_is_drawn_on_the_bar(tmp_path: Path) -> None:
    """A line crosses the bar of a class at its threshold, and moves with it."""
    plain = image(probabilities={"pore": 0.0}, thresholds=Thresholds())
    without = drawn(tmp_path, plain)
    places = []
    for threshold in (0.25, 0.75):
        pixels = drawn(tmp_path, dataclasses.replace(plain, thresholds=Thresholds({"pore": threshold})))
        left = np.abs(pixels - without).sum(axis=2)[:, : round(pixels.shape[1] * 0.8)]
        columns = np.flatnonzero((left > 150).sum(axis=0) > 10)
        assert 1 <= np.ptp(columns) + 1 <= 5
        places.append(columns.mean())
    width = without.shape[1]
    assert places[1] - places[0] == pytest.approx((width - 380) / 2, abs=3)


def test_every_caption_says_which_weld_it_is() -> None:
    """Inspection, part, seam and pass are in each caption; without a part only the inspection is."""
    words = Words()
    assert image().place(words) == ["inspection 12", "part P-7", "seam 3", "pass 2"]
    assert image(part=None, seam=None, pass_no=None).place(words) == ["inspection 12"]
    lines = contact_sheet._caption(image(), UTC, words)
    assert lines == [
        "REVIEW pore 0.500",
        "uncertain: no class reaches its threshold",
        "inspection 12 · part P-7 · seam 3 · pass 2",
        "cell-1 · 2026-01-05 08:00",
    ]
    decided = image(reviewer="ann", human_verdict="FAIL", human_label="pore")
    assert contact_sheet._caption(decided, UTC, words)[2] == "ann: FAIL pore"
    long = contact_sheet._wrapped(["part " + "P" * 70 + " · seam 3"], 304)
    assert "".join(long).replace(" ", "") == "part" + "P" * 70 + "·seam3"


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_a_history_knows_its_reasons_and_thresholds(history_url: Callable[..., URL], backend: str) -> None:
    """From either back end an image comes with its reason, pass and the thresholds that were in force."""
    url = history_url(1, backend)
    c = schema.inspection.c
    with database.reading(url) as engine, database.transaction(engine) as connection:
        rows = connection.execute(
            sa.select(c.id, c.reason, c.pass_no).where(c.reason.is_not(None)).limit(20)
        ).all()
    for row in rows:
        found = pictures.by_inspection(url, row.id)
        assert (found.reason, found.pass_no) == (row.reason, row.pass_no)
        assert found.thresholds.of_class["good"] in (0.5, 0.6)
        assert found.explanation(Words())


def test_an_image_comes_with_the_latest_verdict_of_a_person(url: URL) -> None:
    """Of two people who disagree the later one is shown; an image that nobody reviewed shows nobody."""
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        first, second = store.record([inspected("a.png"), inspected("b.png")], in_force(store))
        store.record_reviews([Review(first, "ann", Verdict.FAIL, "pore"), Review(first, "bob", Verdict.PASS)])
    assert pictures.by_inspection(url, first).said_by_person() == "bob: PASS"
    assert pictures.by_inspection(url, second).said_by_person() is None
