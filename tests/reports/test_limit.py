"""Reports of more rows than anybody reads: which stay, and the line that says so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ledger_samples import SECOND_US, START_US, in_force, inspected
from sqlalchemy.engine import URL

from inspector.ledger.store import Store
from inspector.reports.query import Query, run
from inspector.reports.rendering import render


@pytest.mark.parametrize(
    ("name", "which"), [("seams", "newest"), ("throughput", "newest"), ("by_part", "first")]
)
def test_a_limit_keeps_the_rows_that_matter_most(store: Store, url: URL, name: str, which: str) -> None:
    """By time the newest rows stay, of other reports the first; a line says that there are more."""
    hour_us = 3600 * SECOND_US
    for number, part in enumerate(["P3", "P1", "P5", "P2"]):
        image = inspected(f"{part}.png", seen_us=START_US + number * hour_us, part=part)
        store.record([image], in_force(store))
    rows = run(url, Query(name)).rows
    assert len(rows) == 4
    for limit in (1, 3, 4, 5):
        report = run(url, Query(name, limit=limit))
        assert report.rows == (rows[-limit:] if which == "newest" else rows[:limit])
        assert report.is_cut is (limit < 4)
        assert (f"These are the {which} {limit:,} rows." in render(report)) is (limit < 4)


def test_a_limit_keeps_the_newest_points_of_every_station(url: URL) -> None:
    """A p-chart has one station after the other, and a limit takes the oldest points from each."""
    day_us = 24 * 3600 * SECOND_US
    for station in ("cell-1", "cell-2"):
        with Store.open(url, station, seam_gap_s=300) as store:
            for day in range(3):
                image = inspected(f"{day}.png", seen_us=START_US + day * day_us)
                store.record([replace(image, local_day=f"2026-01-{5 + day:02}")], in_force(store))
    query = Query("p_chart", by="day", limit=4)
    assert [(row[0], row[2]) for row in run(url, query).rows] == [
        ("cell-1", "2026-01-06"),
        ("cell-1", "2026-01-07"),
        ("cell-2", "2026-01-06"),
        ("cell-2", "2026-01-07"),
    ]
