"""A station with a full archive, made quickly, and what its ledger says of each image."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ledger_samples import in_force, inspected
from sqlalchemy.engine import URL
from stations import Station

from inspector.ledger.store import Store
from inspector.records import SourceFile

_DIFFERENT = 4  # images that the station judges itself
_PER_BATCH = 500


def full_archive(folder: Path, artifact: Path, url: URL, count: int) -> Station:
    """Return a station with this many archived images; most are links to the few that it has judged."""
    station = Station(folder, artifact, url, batch_size=4)
    for seed in range(_DIFFERENT):
        station.put(f"{seed}.png", seed)
    station.once()
    judged = station.rows("SELECT sha256, archive_path FROM inspection ORDER BY id")
    add_links(station, [(row.sha256, row.archive_path) for row in judged], count - _DIFFERENT)
    return station


def add_links(station: Station, files: Sequence[tuple[str, str]], count: int) -> None:
    """Archive links to some files, given as hash and path in the archive, with a row for each link."""
    (station.archive / "many").mkdir()
    with Store.open(station.url, "cell-1", seam_gap_s=300) as store:
        rules = in_force(store)
        for start in range(0, count, _PER_BATCH):
            many = []
            for number in range(start, min(start + _PER_BATCH, count)):
                (sha256, target), path = files[number % len(files)], f"many/{number}.png"
                (station.archive / path).hardlink_to(station.archive / target)
                image = inspected(path, path=path)
                many.append(dataclasses.replace(image, source=SourceFile(image.source.stamp, sha256)))
            store.record(many, rules)


def verdicts(
    station: Station, table: str = "rejudgement", key: str = "inspection_id"
) -> list[tuple[Any, ...]]:
    """Return the number of each image, and its answer in this table."""
    said = "verdict, label, confidence, CAST(probabilities AS TEXT) AS probabilities, novelty, reason"
    return [tuple(row) for row in station.rows(f"SELECT {key}, {said} FROM {table} ORDER BY {key}")]


def assert_alike(station: Station, found: Mapping[int, tuple[Any, ...]]) -> None:
    """The same bytes have the same answer."""
    sources = station.rows(
        "SELECT i.id, s.id AS first FROM inspection i JOIN inspection s"
        f" ON s.sha256 = i.sha256 AND s.id <= {_DIFFERENT}"
    )
    assert all(found[row.id] == found[row.first] for row in sources)
