"""Reconciliation: every file is accounted for, or reported."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from ledger_samples import SECOND_US, START_US, duplicate, in_force, inspected, quarantined
from sqlalchemy.engine import URL

from inspector.ledger import database, schema
from inspector.ledger.store import Store
from inspector.records import Inspected, Quarantined
from inspector.upkeep.reconcile import Reconciliation, reconcile


class Station:
    """A ledger with its three folders on a real disk."""

    def __init__(self, url: URL, root: Path, store: Store) -> None:
        self.url, self.store = url, store
        self.drop, self.archive, self.quarantine = (root / name for name in ("drop", "archive", "quarantine"))
        for folder in (self.drop, self.archive, self.quarantine):
            folder.mkdir()

    def put(self, item: Any) -> Path:
        """Return the path of a record's file."""
        root = self.quarantine if isinstance(item, Quarantined) else self.archive
        path = root / item.final_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    def record(self, *items: Any, moved: bool = True) -> list[int]:
        """Record a file, and move it unless a power cut comes in between."""
        ids = self.store.record(items, in_force(self.store))
        for item in items if moved else ():
            self.put(item)
        return ids

    def add_arrival(self, **values: Any) -> None:
        """Add a later row to the ledger, as retention and requeue do."""
        engine = database.immediate(database.engine(self.url))
        stamp = {"size_bytes": 1, "inode": 1, "mtime_us": 0, "seen_us": START_US, "recorded_us": START_US}
        with engine.begin() as connection:
            row = {"station_id": 1, "source_name": "x", **stamp, **values}
            connection.execute(sa.insert(schema.arrival), row)
        engine.dispose()

    def reconcile(self) -> Reconciliation:
        """Compare ledger and disk."""
        return reconcile(
            self.url,
            station="cell-1",
            drop_folder=self.drop,
            archive_folder=self.archive,
            quarantine_folder=self.quarantine,
            pending=sorted(self.drop.iterdir()),
        )


@pytest.fixture
def station(url: URL, store: Store, tmp_path: Path) -> Station:
    """Provide station cell-1 with empty folders."""
    return Station(url, tmp_path, store)


def test_a_station_in_order_has_nothing_unaccounted(station: Station) -> None:
    """Inspected, duplicate, quarantined and waiting files are counted, and seen is their sum."""
    first, *_ = station.record(inspected(), inspected("b.png"), quarantined())
    station.record(duplicate(first))
    for name in ("c.png", "d.png"):
        (station.drop / name).touch()
    result = station.reconcile()
    assert result == Reconciliation(
        seen=6, inspected=2, duplicates=1, quarantined=1, pending=2, unaccounted=0, details=()
    )


def test_an_empty_station_reconciles(station: Station) -> None:
    """Before the first file, and without the folders, all counts are 0."""
    zero = Reconciliation(
        seen=0, inspected=0, duplicates=0, quarantined=0, pending=0, unaccounted=0, details=()
    )
    assert station.reconcile() == zero
    station.archive.rmdir()
    assert station.reconcile() == zero


def test_a_file_without_a_row_is_named(station: Station) -> None:
    """Unknown files in archive and quarantine are unaccounted for, with any name and at any depth."""
    station.record(inspected(), quarantined())
    strange = [
        station.archive / "stray.png",
        station.archive / "2026-01-05" / "PASS" / "other.png",
        station.quarantine / "deep" / "er" / "x.png",
        station.archive / os.fsdecode(b"weld_\xe4.png"),
    ]
    for path in strange:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    result = station.reconcile()
    assert result.unaccounted == len(result.details) == 4
    text = "\n".join(result.details)
    assert all(name in text for name in ("stray.png", "PASS/other.png", "deep/er/x.png", "weld_%E4.png"))
    assert "a.png" not in text


def test_the_two_folders_are_not_mixed_up(station: Station) -> None:
    """A row with the same path in the quarantine does not account for a file in the archive."""
    station.record(quarantined(path="2026-01-05/x.png"))
    (station.archive / "2026-01-05").mkdir()
    (station.archive / "2026-01-05" / "x.png").touch()
    assert station.reconcile().unaccounted == 1


def test_a_row_whose_file_is_gone_is_named(station: Station) -> None:
    """Recorded files that were removed by hand are unaccounted for."""
    item, bad = inspected(), quarantined()
    station.record(item, bad, inspected("b.png"))
    (station.archive / item.final_path).unlink()
    (station.quarantine / bad.final_path).unlink()
    result = station.reconcile()
    assert (result.seen, result.unaccounted) == (3, 2)
    assert "PASS/a.png: a.png was recorded there" in result.details[0]
    assert "truncated/bad.png: bad.png was recorded there" in result.details[1]


def test_a_file_on_its_way_is_counted_once(station: Station) -> None:
    """A file that a crash left in the drop folder after its commit belongs to its row, and is not pending."""
    waiting = station.drop / "a.png"
    waiting.touch()
    station.record(inspected(inode=waiting.stat().st_ino), moved=False)
    result = station.reconcile()
    assert (result.seen, result.inspected, result.pending, result.unaccounted) == (1, 1, 0, 0)


def test_another_file_of_that_name_does_not_excuse_the_missing_one(station: Station) -> None:
    """A new file with the name of a lost one is pending; the lost one stays unaccounted for."""
    waiting = station.drop / "a.png"
    waiting.touch()
    station.record(inspected(inode=waiting.stat().st_ino + 1), moved=False)
    result = station.reconcile()
    assert (result.seen, result.pending, result.unaccounted) == (2, 1, 1)


def test_pruned_files_are_accounted_for(station: Station) -> None:
    """A file that retention removed is accounted for, and still counts as seen."""
    item: Inspected = inspected()
    [number] = station.record(item)
    (station.archive / item.final_path).unlink()
    station.add_arrival(outcome="pruned", inspection_id=number, path=item.final_path)
    result = station.reconcile()
    assert (result.seen, result.inspected, result.unaccounted) == (1, 1, 0)


def test_requeued_files_are_counted_once(station: Station) -> None:
    """A quarantined file that was put back is pending again, and no longer counts as quarantined."""
    bad = quarantined()
    [number] = station.record(bad)
    (station.quarantine / bad.final_path).rename(station.drop / "bad.png")
    later = START_US + SECOND_US
    station.add_arrival(outcome="requeued", quarantine_id=number, path=bad.final_path, recorded_us=later)
    result = station.reconcile()
    assert (result.seen, result.quarantined, result.pending, result.unaccounted) == (1, 0, 1, 0)


def test_a_quarantined_folder_is_one_arrival(station: Station) -> None:
    """The content of a folder that was quarantined as a whole needs no rows of its own."""
    station.record(quarantined("x.png", None, path="2026-01-05/folder/x.png"), moved=False)
    inside = station.quarantine / "2026-01-05" / "folder" / "x.png"
    inside.mkdir(parents=True)
    (inside / "anything.txt").touch()
    assert station.reconcile().unaccounted == 0


def test_other_stations_do_not_count(station: Station, url: URL) -> None:
    """Rows of another station in the same database do not count, and account for no file here."""
    with Store.open(url, "cell-2", seam_gap_s=300) as other:
        other.record([inspected("theirs.png")], in_force(other))
    station.put(inspected("theirs.png"))
    result = station.reconcile()
    assert (result.seen, result.unaccounted) == (0, 1)


def test_many_files_are_compared_in_parts(station: Station) -> None:
    """With more files in a folder than one query may bind, the one unknown file is found."""
    station.record(*(inspected(f"{n}.png") for n in range(1200)))
    (station.archive / "2026-01-05" / "PASS" / "600-1.png").touch()
    result = station.reconcile()
    assert (result.inspected, result.unaccounted) == (1200, 1)
