"""The report ``fleet`` beside plain Python, and stations that are behind, silent or unlike the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import fmean, pstdev
from typing import Any

import pytest
from catalogues import change
from ledger_samples import SECOND_US, START_US, in_force, inspected
from report_rows import by_column, same, table
from sqlalchemy.engine import URL

from inspector.ledger import schema
from inspector.ledger.store import Store
from inspector.records import Verdict
from inspector.reports.query import Query, run

_PERIOD = {"since": "2026-01-06", "until": "2026-01-07"}
_DAY_US = 86_400 * SECOND_US


@pytest.fixture
def fleet(url: URL) -> URL:
    """A centre of four stations, one of which has only just been added."""
    shares = {"cell-1": 0.1, "cell-2": 0.12, "cell-3": 0.5}  # of REVIEW in the period
    for number, (station, share) in enumerate(shares.items()):
        with Store.open(url, station, seam_gap_s=300) as store:
            for day in range(2):
                force = in_force(store, f"artifact {max(number, day)}")
                items = [_image(station, day, n, share * day) for n in range(50)]
                store.record(items, force)
    with Store.open(url, "cell-4", seam_gap_s=300) as store:
        store.record_event("start", "")
    ends = {1: START_US + 2 * _DAY_US, 2: START_US + 3 * _DAY_US}
    for station_id, at_us in ends.items():
        rows = [
            {
                "station_id": station_id,
                "positions": {},
                "returned": {},
                "sent": 5,
                "behind": n,
                "at_us": at_us - n,
            }
            for n in (70, 7 * station_id)
        ]
        change(url, lambda connection, rows=rows: connection.execute(schema.forwarded.insert(), rows))
    return url


def _image(station: str, day: int, n: int, share: float) -> Any:
    verdict = Verdict.REVIEW if n < share * 50 else Verdict.FAIL if n % 9 == 0 else Verdict.PASS
    seen_us = START_US + day * _DAY_US + n * SECOND_US
    confidence = 0.5 + (n * 7 % 50) / 120 - (day if station == "cell-3" else 0) * 0.05
    return inspected(f"{day}-{n}.png", seen_us=seen_us, verdict=verdict, confidence=confidence)


def expected(url: URL, since_us: int, until_us: int) -> Iterator[dict[str, Any]]:
    """The rows of the report, from the tables."""
    images, models = table(url, "inspection"), {row.id: row for row in table(url, "model")}
    shown = [row for row in images if since_us <= row.inspected_us < until_us]
    before = [row for row in images if since_us - 28 * _DAY_US <= row.inspected_us < since_us]
    batches = {row.station_id: row for row in table(url, "forwarded")}  # the latest one
    signs = {}
    for station in table(url, "station"):
        own = [row.inspected_us for row in images if row.station_id == station.id]
        own += [batches[station.id].at_us] if station.id in batches else []
        signs[station.id] = max(own, default=None)
    for station in sorted(table(url, "station"), key=lambda row: row.name):
        own = [row for row in images if row.station_id == station.id]
        last = max(own, key=lambda row: (row.inspected_us, row.id), default=None)
        model = models[last.model_id] if last else None
        now = [row for row in shown if row.station_id == station.id]
        others = [row for row in shown if row.station_id != station.id]
        reference = [row for row in before if row.station_id == station.id]
        batch, sign = batches.get(station.id), signs[station.id]
        row = {
            "station": station.name,
            "model": model and model.name,
            "version": model and model.version,
            "artifact": model and model.artifact_sha256[:12],
            "silent_s": None if sign is None else (max(filter(None, signs.values())) - sign) // SECOND_US,
            "behind": batch and batch.behind,
            "n": len(now),
            "fail_share": share(now, "FAIL"),
            "review_share": share(now, "REVIEW"),
            "others_review_share": share(others, "REVIEW") if now else None,
            "review_z": None,
            "reference_n": len(reference),
        }
        p = share(shown, "REVIEW")
        if now and others and p not in (0, 1):
            error = math.sqrt(p * (1 - p) * (1 / len(now) + 1 / len(others)))
            row["review_z"] = round((row["review_share"] - row["others_review_share"]) / error, 6)
        for name in ("novelty", "confidence"):
            values, was = [getattr(one, name) for one in now], [getattr(one, name) for one in reference]
            spread = pstdev(was) if was else 0
            row[f"{name}_shift"] = (
                round((fmean(values) - fmean(was)) / spread, 6) if values and spread else None
            )
        yield row


def share(rows: list[Any], verdict: str) -> float | None:
    """The share of a verdict; None of no image."""
    return sum(row.verdict == verdict for row in rows) / len(rows) if rows else None


def test_the_fleet_as_counted_by_hand(fleet: URL) -> None:
    """Each column is as plain Python counts it; the station with much REVIEW stands out, and has drifted."""
    found = by_column(run(fleet, Query("fleet", **_PERIOD)))
    first = START_US // _DAY_US * _DAY_US + _DAY_US
    wanted = list(expected(fleet, first, first + _DAY_US))
    assert [row["station"] for row in found] == ["cell-1", "cell-2", "cell-3", "cell-4"]
    for row, other in zip(found, wanted, strict=True):
        for column, value in other.items():
            same(row[column], value)
    assert [abs(row["review_z"]) > 3 for row in found[:3]] == [False, False, True]
    assert [row["confidence_shift"] < -0.3 for row in found[:3]] == [False, False, True]
    assert [row["behind"] for row in found] == [7, 14, None, None]
    assert found[1]["silent_s"] == 0
    assert found[3]["last_image"] is found[3]["last_batch"] is found[3]["silent_s"] is None
    only = by_column(run(fleet, Query("fleet", station="cell-3", **_PERIOD)))
    assert only == [found[2]], "others are still compared with"


def test_a_station_s_own_database_shows_it_alone(url_of: Callable[[str], URL]) -> None:
    """In the database of one station there is one row, without others to compare with."""
    url = url_of("sqlite")
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        store.record([inspected()], in_force(store))
    [row] = by_column(run(url, Query("fleet")))
    assert (row["station"], row["n"], row["others_review_share"], row["review_z"]) == (
        "cell-1",
        1,
        None,
        None,
    )
