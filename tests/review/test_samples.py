"""Random samples of PASS images: each image once, with the same chance, and the same images from a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.engine import URL
from verdict_samples import drawn, fill, rows

from inspector.errors import UsageError
from inspector.ledger.store import Store
from inspector.review.verdicts import draw


def test_the_same_seed_draws_the_same_images_everywhere(url_of: Callable[[str], URL]) -> None:
    """The same seed draws the same images on either back end; another seed draws others."""
    chosen = []
    for backend, seed in (("sqlite", 5), ("postgresql", 5), ("sqlite", 6)):
        url = url_of(backend)
        with Store.open(url, "cell-1", seam_gap_s=300) as store:
            fill(store, 300)
            assert draw(store, url, 20, seed=seed).population == 100
        chosen.append(drawn(url))
        assert rows(url, "SELECT DISTINCT seed, population FROM audit_sample") == [(seed, 100)]
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(set(chosen[0])) == 20


def test_draws_meet_every_pass_image_once_and_nothing_else(store: Store, url: URL) -> None:
    """Repeated draws put each PASS image of this station into one sample; after the last one draw refuses."""
    fill(store, 30)
    with Store.open(url, "cell-2", seam_gap_s=300) as other:
        fill(other, 9)
    sizes = [draw(store, url, 4, seed=seed).drawn for seed in range(3)]
    assert sizes == [4, 4, 2]
    assert sorted(drawn(url)) == [
        row[0]
        for row in rows(
            url, "SELECT id FROM inspection WHERE verdict = 'PASS' AND station_id = 1 ORDER BY id"
        )
    ]
    with pytest.raises(UsageError, match="no data: there is no PASS image outside the earlier samples"):
        draw(store, url, 4, seed=9)


def test_every_image_has_the_same_chance(store: Store, url: URL) -> None:
    """Over many seeds every PASS image is drawn about equally often."""
    fill(store, 90)  # 30 PASS images
    counts = dict.fromkeys(
        (row[0] for row in rows(url, "SELECT id FROM inspection WHERE verdict = 'PASS'")), 0
    )

    class Noting(Store):
        """A ledger that counts the drawn images and records none, so that each draw is the first."""

        def record_sample(self, chosen: Any, *, seed: int, population: int) -> None:
            for number in chosen:
                counts[number] += 1

    with Noting.open(url, "cell-1", seam_gap_s=300) as noting:
        for seed in range(200):
            draw(noting, url, 6, seed=seed)
    # 200 draws of 6 of 30: 40 each, standard deviation 5.7; five of them is one in a million.
    assert sum(counts.values()) == 1200
    assert all(12 < count < 68 for count in counts.values())
