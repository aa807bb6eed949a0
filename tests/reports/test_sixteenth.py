"""Percentiles of very many images: reports take them from the part of the images that an index holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from ledger_samples import SECOND_US, START_US, in_force, inspected
from report_rows import images
from sqlalchemy.engine import URL

from inspector.ledger import database
from inspector.ledger.schema import STEPS
from inspector.ledger.store import Store
from inspector.records import Verdict
from inspector.reports import definitions
from inspector.reports.query import Query

FEW = "320000"  # from so many images on, reports read a sixteenth
REPORTS = ("by_class", "drift", "latency", "latency_by_batch")
EVER: dict[str, Any] = {}
COMPARED = {"since": "2026-01-05T08:30", "reference_since": "2026-01-05T07:00"}


def fill(url: URL) -> None:
    """Record 1,200 images of two classes; every ninth one failed."""
    random = np.random.default_rng(3)
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        store.record(
            [
                inspected(
                    f"{number}.png",
                    seen_us=START_US + number * 2 * SECOND_US,
                    verdict=Verdict.FAIL if number % 9 == 0 else Verdict.PASS,
                    label="burn_through" if number % 9 == 0 else "good_weld",
                    confidence=float(random.random()),
                    milliseconds=(*map(float, random.integers(1, 1000, 4)),),
                )
                for number in range(1200)
            ],
            in_force(store),
        )


@pytest.fixture
def filled(url: URL) -> URL:
    """A database on each back end, with 1,200 images."""
    fill(url)
    return url


def rows(url: URL, name: str, period: dict[str, str]) -> list[Any]:
    """The rows of a report that takes every number of images for very many."""
    sql = definitions.sql(name)
    assert sql.count(f"< {FEW}") == sql.count(f">= {FEW}") == 1
    with database.reading(url) as engine, database.transaction(engine) as connection:
        text = sa.text(sql.replace(FEW, "1"))
        return list(connection.execute(text, Query(name, **period).parameters()).all())


def sixteenth(url: URL) -> list[Any]:
    """The images whose numbers Fibonacci hashing puts into the first sixteenth."""
    chosen = [image for image in images(url) if image.id * 2654435761 % 2**32 < 2**28]
    assert 60 < len(chosen) < 90
    return chosen


def percentile(values: list[float], percent: int) -> float:
    """The nearest rank."""
    return float(np.percentile(values, percent, method="inverted_cdf"))


def test_durations_are_those_of_a_sixteenth(filled: URL) -> None:
    """The percentiles are numpy's of the sixteenth; number and maximum are those of all images."""
    chosen, every = sixteenth(filled), images(filled)
    found = rows(filled, "latency", EVER)
    assert [row.step for row in found] == list(STEPS)
    assert rows(filled, "latency_by_batch", EVER) == [(every[0].batch_size, *row) for row in found]
    for row in found:
        of_chosen, of_all = ([getattr(it, f"{row.step}_ms") for it in some] for some in (chosen, every))
        assert (row.n, row.max_ms) == (1200, max(of_all))
        assert [row.p50_ms, row.p95_ms, row.p99_ms] == [percentile(of_chosen, at) for at in (50, 95, 99)]


def test_a_class_that_never_passes_keeps_its_exact_median(filled: URL) -> None:
    """A defect's median is that of all its images, an accepted class's that of a sixteenth."""
    of_class: dict[str, list[float]] = defaultdict(list)
    chosen = {image.id for image in sixteenth(filled)}
    for image in images(filled):
        if image.verdict == "FAIL" or image.id in chosen:
            of_class[image.label].append(image.confidence)
    found = {row[0]: row for row in rows(filled, "by_class", EVER)}
    assert {name: row.n for name, row in found.items()} == {"good_weld": 1066, "burn_through": 134}
    assert {name: row.confidence_p50 for name, row in found.items()} == {
        name: percentile(values, 50) for name, values in of_class.items()
    }


def test_drift_compares_sixteenths(filled: URL) -> None:
    """The index is of a sixteenth of each period, with its chance; the numbers are of all images."""
    found = {row[0]: row for row in rows(filled, "drift", COMPARED)}
    border_us = START_US + 1800 * SECOND_US
    every, chosen = images(filled), sixteenth(filled)
    later, earlier = ([it for it in chosen if (it.inspected_us >= border_us) is now] for now in (True, False))
    assert {row.n for row in found.values()} == {sum(it.inspected_us >= border_us for it in every)}
    assert found["class"].chance == pytest.approx(1 / len(later) + 1 / len(earlier))


@pytest.mark.parametrize("name", REPORTS)
def test_sqlite_reads_the_index_and_not_the_table(url_of: Callable[[str], URL], name: str) -> None:
    """The index holds all columns that the reports need; PostgreSQL decides by the size of the tables."""
    url = url_of("sqlite")
    fill(url)
    query = Query(name, **(COMPARED if name == "drift" else {}))
    with database.reading(url) as engine, database.transaction(engine) as connection:
        text = sa.text(f"EXPLAIN QUERY PLAN {definitions.sql(name)}")
        plan = [row.detail for row in connection.execute(text, query.parameters())]
    assert any("USING COVERING INDEX ix_inspection_sixteenth" in step for step in plan), plan
