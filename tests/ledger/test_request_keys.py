"""Keys of requests: however often a person's verdict is sent, it is one row, alike on both back ends."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from catalogues import rows_of
from ledger_samples import in_force, inspected
from sqlalchemy.engine import URL

from inspector.errors import RowRefused
from inspector.ledger.store import Store
from inspector.records import Review, SeamReview, SignalNote, Verdict

PASS, FAIL = Verdict.PASS, Verdict.FAIL
SAID = "SELECT verdict, request_key, is_blind FROM review ORDER BY id"


def said(url: URL) -> list[tuple[Any, ...]]:
    """Return the verdicts on images, the oldest first."""
    return [tuple(row) for row in rows_of(url, SAID)]


@pytest.fixture
def image(store: Store) -> int:
    """Provide the number of an image."""
    [number] = store.record([inspected(part="P")], in_force(store))
    return number


def test_a_key_is_one_row(store: Store, url: URL, image: int) -> None:
    """A repeated key adds no row: in one batch, in a later one, and after the person said something else."""
    first = Review(image, "ann", PASS, key="1", is_blind=True)
    second = Review(image, "ann", FAIL, key="2", is_blind=False)
    seam = SeamReview(image, "ann", FAIL, key="1")
    assert store.record_reviews([first, first, seam]) == 2
    assert store.record_reviews([second, first, seam]) == 1
    assert store.record_reviews([first]) == 0
    assert said(url) == [("PASS", "1", True), ("FAIL", "2", False)]
    assert [row.request_key for row in rows_of(url, "SELECT request_key FROM seam_review")] == ["1"]


def test_a_new_key_is_a_new_row(store: Store, url: URL, image: int) -> None:
    """With a key of its own the same verdict is a row; without a key it is none, and the first key counts."""
    assert store.record_reviews([Review(image, "ann", PASS, key="1")]) == 1
    assert store.record_reviews([Review(image, "ann", PASS)]) == 0
    assert store.record_reviews([Review(image, "ann", PASS, key="2"), Review(image, "bob", PASS)]) == 2
    assert store.record_reviews([Review(image, "eve", FAIL, key="2")]) == 0
    assert said(url) == [("PASS", "1", None), ("PASS", "2", None), ("PASS", None, None)]


def test_a_batch_that_broke_off_is_sent_again(store: Store, url: URL, image: int) -> None:
    """If a batch fails, none of its keys is taken; sent again, each of its verdicts is there once."""
    batch = [Review(image, "ann", PASS, key=str(n)) for n in range(3)]
    with pytest.raises(RowRefused):
        store.record_reviews([*batch, Review(999, "ann", PASS, key="no such image")])
    assert said(url) == []
    assert store.record_reviews(batch[:2]) == 2
    assert store.record_reviews(batch) == 1
    assert [key for _, key, _ in said(url)] == ["0", "1", "2"]


def test_keys_that_arrive_at_once_are_one_row_each(store: Store, url: URL, image: int) -> None:
    """If two requests with the same keys arrive at once, neither fails, and each key is one row."""
    with Store.open(url, "cell-1", seam_gap_s=300) as other, ThreadPoolExecutor(4) as workers:
        batches = [[Review(image, "ann", PASS, key=f"{n}") for n in range(20)] for _ in range(4)]
        stores = [store, other, store, other]
        added = list(workers.map(Store.record_reviews, stores, batches))
    assert sum(added) == 20
    assert sorted(int(key) for _, key, _ in said(url)) == list(range(20))


def test_a_signal_note_is_one_row(store: Store, url: URL) -> None:
    """A note on a signal is stored as it was said, and once; a later note is a row beside it."""
    note = SignalNote("p_chart", "2026-01-05 early", "ann", "gas\nempty", "new bottle", key="1")
    assert store.record_signal_note(note) == 1
    assert store.record_signal_note(note) == 0
    assert store.record_signal_note(SignalNote("p_chart", note.signal, "bob", "nozzle", "", key="2")) == 1
    columns = "report, signal, person, cause, action"
    assert [tuple(row) for row in rows_of(url, f"SELECT {columns} FROM v_signal_note ORDER BY id")] == [
        ("p_chart", "2026-01-05 early", "ann", "gas\nempty", "new bottle"),
        ("p_chart", "2026-01-05 early", "bob", "nozzle", ""),
    ]
