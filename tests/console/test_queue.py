"""What the console keeps in memory: whose images are whose, and answers that serve everybody."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import pytest
from ledger_samples import in_force, inspected
from sqlalchemy.engine import URL

from inspector.console.kept import Kept
from inspector.console.queue import Holder, WaitingImages, Wish
from inspector.console.state import Console
from inspector.errors import StoreUnavailable
from inspector.ledger.store import Store
from inspector.records import Verdict


def queue_of(store: Store, url: URL, folder: Path, images: int) -> tuple[WaitingImages, list[int]]:
    """Return the queue of a console with so many FAIL images, and their numbers."""
    failed = [inspected(f"{n}.png", verdict=Verdict.FAIL, label="porosity") for n in range(images)]
    ids = store.record(failed, in_force(store))
    console = Console(
        url=url,
        station="cell-1",
        zone=UTC,
        drop_folder=folder,
        archive_folder=folder,
        quarantine_folder=folder,
        artifact=folder,
        seam_gap_s=300,
        seam_rule={},
        status=list,
        people=folder,
    )
    return WaitingImages(console), ids


def test_an_image_does_not_come_again_while_its_verdict_is_on_the_way(
    store: Store, url: URL, tmp_path: Path
) -> None:
    """A window gets no image twice, however many verdicts wait in it, until it gives the images back."""
    waiting, ids = queue_of(store, url, tmp_path, images=70)
    anna, got = Holder("anna", "1"), []
    for _ in range(70 // 6 + 2):
        got += [image.inspection for image in waiting.take(anna, Wish(), 6, (), ())[0]]
    assert got == ids
    waiting.give_back(anna)
    assert [image.inspection for image in waiting.take(anna, Wish(), 6, (), ())[0]] == ids[:6]


def test_a_window_cannot_keep_every_image_from_others(store: Store, url: URL, tmp_path: Path) -> None:
    """A window that says it holds every image keeps some from others, and the others get the rest."""
    waiting, ids = queue_of(store, url, tmp_path, images=70)
    assert waiting.take(Holder("anna", "1"), Wish(), 6, ids, ()) == ([], 70)
    free, _ = waiting.take(Holder("ben", "1"), Wish(), 20, (), ())
    assert [image.inspection for image in free] == ids[50:]


def test_an_outage_is_asked_for_once() -> None:
    """While the database is away, those who ask within a moment get the same error at once."""
    asked = []

    def ask() -> int:
        asked.append(1)
        raise StoreUnavailable("away")

    answer = Kept(ask, 60)
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            answer()
    assert len(asked) == 1


def test_an_answer_that_has_changed_is_asked_for_again() -> None:
    """An answer serves everybody until its time is over, or until the console itself changes it."""
    answers = iter(range(9))
    count = Kept(lambda: next(answers), 60)
    assert [count(), count()] == [0, 0]
    count.forget()
    assert [count(), count()] == [1, 1]
