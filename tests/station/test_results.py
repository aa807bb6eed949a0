"""Results of images: one whole file for each, none lost, and none of the history before the first start."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import time
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from deliveries import Delivery, now, read
from ledger_samples import duplicate, in_force, inspected, quarantined
from sqlalchemy.engine import make_url
from waiting import wait_for

from inspector.ledger.store import Store, migrate
from inspector.records import Verdict
from inspector.station.result_position import Position


def test_a_new_time_zone_holds_from_the_next_result_on(local_delivery: Delivery) -> None:
    """After a reload of the time zone the times of results are in the new one, the same instants."""
    seen = datetime(2026, 1, 5, 8, tzinfo=UTC)
    with local_delivery.at_work() as (store, _):
        force = in_force(store)
        store.record([inspected("a.png", seen_us=int(seen.timestamp()) * 1_000_000, **now())], force)
        local_delivery.written(1)
        local_delivery.zone = ZoneInfo("America/Chicago")
        store.record([inspected("b.png", seen_us=int(seen.timestamp()) * 1_000_000, **now())], force)
        first, second = (result["seen"] for result in local_delivery.written(2))
    assert (first, second) == ("2026-01-05T09:00:00+01:00", "2026-01-05T02:00:00-06:00")


def test_each_outcome_has_a_result(delivery: Delivery) -> None:
    """Inspected and quarantined files have one result each, with names, verdict, times and rows."""
    with delivery.at_work() as (store, _):
        force = in_force(store)
        item = inspected(
            "cam1_P7_S2.png", part="P7", seam="S2", verdict=Verdict.FAIL, label="burn through", **now()
        )
        [number] = store.record([item], force)
        bad = quarantined("cam2_P8_S1.png", recorded_us=time.time_ns() // 1000)
        [row] = store.record([bad], force)
        first, last = delivery.written(2)
    assert list(first) == [
        *("schema", "arrival", "outcome", "station", "name", "sha256", "camera", "part", "seam", "pass_no"),
        *("verdict", "class", "confidence", "reason", "detail", "camera_time", "seen", "recorded"),
        *("inspection", "quarantine", "path", "review", "reviewer", "reviewed", "old_verdict"),
    ]
    assert (first["outcome"], first["verdict"]) == ("inspected", "FAIL")
    assert (first["class"], first["confidence"]) == ("burn through", 0.9)
    assert (first["name"], first["part"], first["seam"], first["pass_no"]) == (
        "cam1_P7_S2.png",
        "P7",
        "S2",
        1,
    )
    assert (first["seen"], first["camera_time"]) == ("2026-01-05T09:00:00+01:00", None)
    assert (first["inspection"], first["quarantine"], first["path"]) == (number, None, item.final_path)
    assert (last["outcome"], last["verdict"], last["class"]) == ("quarantined", None, None)
    assert (last["reason"], last["detail"]) == ("truncated", "ends after 12 of 20 rows")
    assert (last["camera"], last["part"], last["seam"], last["quarantine"]) == ("cam2", "P8", "S1", row)


def test_the_page_shows_what_the_program_writes(local_delivery: Delivery) -> None:
    """The example of docs/reference/result-files.md has a real result's fields, file name and times."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "result-files.md").read_text(encoding="utf-8")
    example = json.loads(page.partition("```json")[2].partition("```")[0])
    with local_delivery.at_work() as (store, _):
        item = inspected(
            example["name"], part=example["part"], seam=example["seam"], path=example["path"], **now()
        )
        store.record([item], in_force(store))
        [result] = local_delivery.written(1)
    [file] = local_delivery.folder.iterdir()
    assert list(example) == list(result)
    assert example["schema"] == result["schema"]
    assert f"`{file.name.replace('.1.json', '.1234.json')}`" in page
    for name in ("seen", "recorded"):
        assert re.sub(r"\d", "0", example[name]) == re.sub(r"\d", "0", result[name])


def test_a_duplicate_has_its_first_verdict(delivery: Delivery) -> None:
    """A file delivered again has a result of its own, with the verdict of its first judgement."""
    with delivery.at_work() as (store, _):
        [number] = store.record([inspected(verdict=Verdict.REVIEW, **now())], in_force(store))
        store.record([duplicate(number)], in_force(store))
        first, second = delivery.written(2)
    assert (first["outcome"], second["outcome"]) == ("inspected", "duplicate")
    assert (second["verdict"], second["inspection"], second["arrival"]) == (
        "REVIEW",
        number,
        first["arrival"] + 1,
    )


def test_rows_from_before_the_first_start_are_left_out(delivery: Delivery) -> None:
    """A new results folder gets results from then on; after a restart they go on."""
    with Store.open(delivery.url, "cell-1", seam_gap_s=300) as store:
        store.record([inspected("old.png")], in_force(store))
    with delivery.at_work() as (store, _):
        store.record([inspected("a.png", **now())], in_force(store))
    with Store.open(delivery.url, "cell-1", seam_gap_s=300) as store:  # while no results are written
        store.record([inspected("b.png", **now())], in_force(store))
    with delivery.at_work():
        assert [result["name"] for result in delivery.written(2)] == ["a.png", "b.png"]
    for file in delivery.folder.iterdir():
        file.unlink()
    with delivery.at_work() as (store, _):
        store.record([inspected("c.png", **now())], in_force(store))
    assert [result["name"] for result in read(delivery.folder)] == ["c.png"]


_TWO_YEARS_US = 2 * 365 * 86_400 * 1_000_000


@pytest.mark.parametrize("ahead_us", [_TWO_YEARS_US, -_TWO_YEARS_US])
def test_a_wrong_clock_at_the_first_start_leaves_out_what_was_before_and_nothing_else(
    delivery: Delivery, ahead_us: int
) -> None:
    """If the clock was ahead or behind at the first start and is right again, each new row has a result."""

    def at(offset_us: int) -> dict[str, int]:
        return {"inspected_us": time.time_ns() // 1000 + offset_us}

    with Store.open(delivery.url, "cell-1", seam_gap_s=300) as store:
        store.record([inspected("old.png", **at(-ahead_us))], in_force(store))
    with delivery.at_work() as (store, _):
        store.record([inspected("new.png", **at(-2 * ahead_us))], in_force(store))
        assert [result["name"] for result in delivery.written(1)] == ["new.png"]


def test_a_clock_that_was_ahead_before_the_first_image_leaves_none_out(local_delivery: Delivery) -> None:
    """On an empty ledger, too, images that a corrected clock dates before the first start have results."""
    local_delivery.folder.rmdir()
    with local_delivery.at_work() as (store, writer):
        past = time.time_ns() // 1000 - _TWO_YEARS_US
        store.record([inspected("a.png", inspected_us=past)], in_force(store))
        wait_for(lambda: writer.fault() is not None)
    local_delivery.folder.mkdir()
    with local_delivery.at_work():
        assert [result["name"] for result in local_delivery.written(1)] == ["a.png"]


def test_the_history_of_a_ledger_that_comes_after_the_first_start_is_left_out(
    local_delivery: Delivery, tmp_path: Path
) -> None:
    """An empty ledger is replaced by the station's old one: results go on with new images."""
    elsewhere = make_url(f"sqlite:///{tmp_path / 'old.db'}")
    migrate(elsewhere)
    with Store.open(elsewhere, "cell-1", seam_gap_s=300) as store:
        store.record([inspected("old.png")], in_force(store))
    with local_delivery.at_work():
        pass
    file = Path(str(make_url(local_delivery.url).database))
    (tmp_path / "old.db").replace(file)
    for leftover in ("-wal", "-shm"):  # they stay if a reader closes last
        file.with_name(f"{file.name}{leftover}").unlink(missing_ok=True)
    with local_delivery.at_work() as (store, _):
        judged = now()
        # The thread may recognize the ledger only after the first image was judged.
        wait_for(lambda: "results_anew" in [event.kind for event in local_delivery.events])
        store.record([inspected("new.png", **judged)], in_force(store))
        assert [result["name"] for result in local_delivery.written(1)] == ["new.png"]


def test_a_position_without_a_result_goes_on_from_the_start_of_the_run() -> None:
    """A ledger that is recognized late leaves out no image or verdict that came since the start."""
    begun = Position("results", "sqlite:///quality.db", since_us=0, opened_us=7).again(started_us=100)
    assert (begun.since_us, begun.reviewed_us) == (100, 100)


def test_the_position_moves_on_only_after_the_results_are_on_the_disk(
    local_delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result's bytes, its name, the position and its name are flushed in this order."""
    flushed: list[tuple[str, int, int]] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_relative_to(local_delivery.position.parent) and path.suffix not in (".db", ".db-wal"):
            results_there = len(list(local_delivery.folder.glob("*.json")))
            position = (
                json.loads(local_delivery.position.read_text()) if local_delivery.position.exists() else {}
            )
            name = "a result" if path.parent == local_delivery.folder else path.name
            flushed.append((name, results_there, position.get("after", -1)))
        fsync(descriptor)

    with local_delivery.at_work() as (store, _):
        monkeypatch.setattr(os, "fsync", note)
        store.record([inspected("a.png", **now())], in_force(store))
        local_delivery.written(1)
    root = local_delivery.position.parent.name
    assert flushed == [("a result", 0, 0), ("results", 1, 0), ("position.new", 1, 0), (root, 1, 1)]


def test_a_folder_that_cannot_be_flushed_takes_results(
    local_delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that flushes no folder gets its results all the same."""
    fsync = os.fsync

    def refuse_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    with local_delivery.at_work() as (store, writer):
        store.record([inspected(f"{n}.png", **now()) for n in range(2)], in_force(store))
        assert len(local_delivery.written(2)) == 2
        wait_for(lambda: '"after": 2' in local_delivery.position.read_text())
        assert writer.fault() is None


def test_another_stations_images_are_left_out(local_delivery: Delivery) -> None:
    """In a database of many stations each one writes its own results."""
    with (
        local_delivery.at_work() as (store, _),
        Store.open(local_delivery.url, "cell-2", seam_gap_s=300) as other,
    ):
        other.record([inspected("theirs.png", **now())], in_force(other))
        store.record([inspected("ours.png", **now())], in_force(store))
    assert [result["name"] for result in read(local_delivery.folder)] == ["ours.png"]


@pytest.mark.parametrize("name", ["a" * 240 + ".png", "ä" * 120 + ".png", 'x<>:"|?*\\ y.png', "a.png"])
def test_names_are_files_anywhere_and_never_collide(local_delivery: Delivery, name: str) -> None:
    """Names that are too long or forbidden on Windows become unique file names."""
    with local_delivery.at_work() as (store, _):
        for n in range(3):
            item = inspected(name, str(n), path=f"day{n}/PASS/{name}", **now())
            store.record([item], in_force(store))
        assert [result["name"] for result in local_delivery.written(3)] == [name] * 3
    for file in local_delivery.folder.iterdir():
        assert len(os.fsencode(file.name)) <= 255
        assert not set('<>:"|?*\\') & set(file.name)
