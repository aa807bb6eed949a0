"""The ledger: every row once, with the columns that depend on other rows, alike on both back ends."""

from __future__ import annotations

import dataclasses
import itertools
import os
from pathlib import PurePath
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from catalogues import row_counts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_samples import (
    SECOND_US,
    START_US,
    arrival,
    duplicate,
    in_force,
    inspected,
    quarantined,
    sha,
)
from sqlalchemy.engine import URL

from inspector import file_names
from inspector.ledger import database, schema
from inspector.ledger.store import Store
from inspector.records import NameParts, Outcome, Place, RecordedFile, Verdict

# Each example of a property test uses names of its own, so one database serves all of them.
_NUMBERS = itertools.count()
many_examples = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def rows(url: URL, table: str | sa.Table, columns: str = "*") -> list[Any]:
    """Return all rows of a table, by id."""
    with database.reading(url) as engine, engine.begin() as connection:
        return list(connection.execute(sa.text(f"SELECT {columns} FROM {table} ORDER BY id")))


def test_an_inspection_is_stored_as_it_was_judged(store: Store, url: URL) -> None:
    """The row of a judged image holds every field, including the heat map and the order of the classes."""
    item = inspected("left/a.png", verdict=Verdict.FAIL, label="burn through", part="P1", seam="7")
    item = dataclasses.replace(item, name=dataclasses.replace(item.name, camera="left"))
    [number] = store.record([item], in_force(store))
    with database.reading(url) as engine, engine.begin() as connection:
        row = connection.execute(schema.inspection.select()).one()
    assert (row.id, row.station_id, row.model_id, row.settings_id) == (number, 1, 1, 1)
    assert (row.source_name, row.sha256, row.duplicate_of) == ("left/a.png", sha("left/a.png"), None)
    assert (row.camera, row.part, row.seam, row.pass_no) == ("left", "P1", "7", 1)
    assert (row.camera_time_us, row.seen_us, row.taken_us) == (None, START_US, START_US)
    assert (row.inspected_us, row.local_day, row.shift) == (START_US + SECOND_US, "2026-01-05", "early")
    assert (row.verdict, row.label, row.confidence, row.novelty) == ("FAIL", "burn through", 0.9, 0.25)
    assert list(row.probabilities) == ["burn through", "another class"]
    heat = np.frombuffer(row.heat, np.uint8).reshape(row.heat_height, row.heat_width)
    np.testing.assert_array_equal(heat, item.judgement.heat)
    assert (row.wait_ms, row.decode_ms, row.infer_ms, row.total_ms, row.batch_size) == (1.0, 2.0, 3.0, 6.5, 8)
    assert row.archive_path == item.final_path


def test_the_heat_map_of_a_pass_is_not_stored(store: Store, url: URL) -> None:
    """A PASS has no heat map in its row: nobody looks at it, and PASS images are the many."""
    store.record([inspected(verdict=Verdict.PASS)], in_force(store))
    assert [tuple(row) for row in rows(url, "inspection", "heat, heat_height, heat_width")] == [
        (None, None, None)
    ]


def test_a_path_tells_the_file_that_was_recorded_there(store: Store) -> None:
    """Name, hash and inode are found by place and path; the same path in the other folder is another."""
    good, bad = inspected("left/a.png"), quarantined()
    store.record([good, bad], in_force(store))
    found = store.recorded_at(Place.ARCHIVE, [good.final_path, bad.final_path, "unknown.png"])
    inode = good.source.stamp.inode
    assert found == {good.final_path: RecordedFile("left/a.png", good.source.sha256, inode)}
    found = store.recorded_at(Place.QUARANTINE, [good.final_path, bad.final_path])
    assert list(found) == [bad.final_path]
    assert store.recorded_at(Place.ARCHIVE, []) == {}


def test_each_file_that_leaves_has_one_arrival(store: Store, url: URL) -> None:
    """An inspected, a duplicate and a quarantined file each get an arrival that refers to their row."""
    first, bad = store.record([inspected(), quarantined()], in_force(store))
    assert store.record([duplicate(first)], in_force(store)) == [first]
    found = rows(
        url, "arrival", "source_name, outcome, inspection_id, quarantine_id, path, size_bytes, mtime_us"
    )
    assert [tuple(row) for row in found] == [
        ("a.png", "inspected", first, None, "2026-01-05/PASS/a.png", 5, START_US),
        ("bad.png", "quarantined", None, bad, "2026-01-05/truncated/bad.png", 3, START_US),
        ("a.png", "duplicate", first, None, "2026-01-05/duplicate/a.png-1", 5, START_US),
    ]


def test_a_batch_sent_again_adds_nothing(store: Store, url: URL) -> None:
    """If a batch is sent again after a lost answer, no table changes, and the ids are the same."""
    [first] = store.record([inspected("first.png")], in_force(store))
    batch = [inspected(), quarantined(), duplicate(first, "first.png"), inspected("b.png", part="P")]
    ids = store.record(batch, in_force(store))
    before = row_counts(url)
    assert store.record(batch, in_force(store)) == ids
    assert row_counts(url) == before == (3, 1, 5)


def test_known_bytes_under_the_known_name_are_no_new_inspection(store: Store, url: URL) -> None:
    """A file with a known key becomes a duplicate; the same file after a crash adds nothing."""
    [first] = store.record([inspected()], in_force(store))
    later = inspected(inspected_us=START_US + 9 * SECOND_US)
    assert store.record([later], in_force(store)) == [first]
    assert row_counts(url) == (1, 0, 1), "the same path: the same file, judged again after a crash"
    elsewhere = dataclasses.replace(later, final_path="2026-01-05/PASS/a-1.png")
    assert store.record([elsewhere], in_force(store)) == [first]
    assert rows(url, "arrival", "outcome, inspection_id")[1:] == [("duplicate", first)]


def test_the_same_key_twice_in_one_batch_is_one_inspection(store: Store, url: URL) -> None:
    """Two deliveries of one file in the same batch are one inspection and one duplicate."""
    ids = store.record([inspected(), inspected(path="2026-01-05/PASS/a-1.png")], in_force(store))
    assert len(set(ids)) == 1
    assert row_counts(url) == (1, 0, 2)


def test_the_same_bytes_under_a_new_name_point_to_their_first(store: Store, url: URL) -> None:
    """The same bytes under a new name refer to the first inspection; new bytes under the same name do not."""
    batch = [inspected("a.png", "x"), inspected("b.png", "x"), inspected("a.png", "y", path="p")]
    first, second, third = store.record(batch, in_force(store))
    [fourth] = store.record([inspected("c.png", "x")], in_force(store))
    marks = dict(rows(url, "inspection", "id, duplicate_of"))
    assert marks == {first: None, second: first, third: None, fourth: first}


def test_two_stations_share_a_database_without_mixing(store: Store, url: URL) -> None:
    """Files of another station with the same name and bytes are inspected there, as first ones, in pass 1."""
    item = inspected(part="P", seam="1")
    [mine] = store.record([item], in_force(store))
    with Store.open(url, "cell-2", seam_gap_s=300) as other:
        assert other.known([("a.png", sha("a.png"))]) == {}
        [theirs] = other.record([item], in_force(other))
        assert other.known([("a.png", sha("a.png"))])["a.png", sha("a.png")].inspection == theirs
    assert mine != theirs
    assert rows(url, "inspection", "duplicate_of, pass_no") == [(None, 1), (None, 1)]
    assert len(rows(url, "model")) == len(rows(url, "settings")) == 1


def test_artifact_and_settings_in_force_are_stored_once(store: Store, url: URL) -> None:
    """The same artifact and settings give the same rows, in any order of their keys; others give new rows."""

    def described(artifact: str, content: str) -> tuple[int, int]:
        force = store.in_force(
            metadata="{}", artifact_sha256=sha(artifact), name="n", version="1", settings_json=content
        )
        return force.model_id, force.settings_id

    first = described("one", '{"a": 1, "b": 2}')
    assert described("one", '{"b": 2, "a": 1}') == first
    assert described("two", '{"b": 2, "a": 1}')[0] != first[0]
    assert described("one", '{"b": 3, "a": 1}')[1] != first[1]
    assert len(rows(url, "model")) == len(rows(url, "settings")) == 2


# --- known ----------------------------------------------------------------------------------------------


def test_known_returns_the_ledgers_entries(store: Store) -> None:
    """Inspected and quarantined files are known with their paths, the oldest first; others are left out."""
    [number] = store.record([inspected()], in_force(store))
    store.record([duplicate(number), quarantined()], in_force(store))
    good, bad, unknown = ("a.png", sha("a.png")), ("bad.png", sha("bad")), ("a.png", sha("other"))
    found = store.known([good, bad, unknown])
    assert set(found) == {good, bad}
    assert found[good].inspection == number
    assert found[good].paths == (
        (Outcome.INSPECTED, "2026-01-05/PASS/a.png"),
        (Outcome.DUPLICATE, "2026-01-05/duplicate/a.png-1"),
    )
    assert found[bad].inspection is None
    assert found[bad].paths == ((Outcome.QUARANTINED, "2026-01-05/truncated/bad.png"),)


def test_known_finds_what_has_no_bytes(store: Store) -> None:
    """A FIFO or folder in quarantine is known by its name, and is not mixed up with files of that name."""
    store.record([quarantined("x.png", None), quarantined("x.png", "bytes", path="other")], in_force(store))
    [(key, known)] = store.known([("x.png", None), ("y.png", None)]).items()
    assert key == ("x.png", None)
    assert known.paths == ((Outcome.QUARANTINED, "2026-01-05/truncated/x.png"),)


def test_known_takes_any_number_of_keys(store: Store) -> None:
    """No key at all, and more keys than one query may bind, get their answer."""
    assert store.known([]) == {}
    store.record([inspected(f"{n}.png") for n in range(3)], in_force(store))
    keys = [(f"{n}.png", sha(f"{n}.png")) for n in range(1200)]
    assert set(store.known(keys)) == set(keys[:3])


def test_known_reads_only_the_latest_arrivals_of_a_key(store: Store) -> None:
    """A file that a camera repeats for months costs 16 rows per look-up, and its judgement stays known."""
    [number] = store.record([inspected()], in_force(store))
    store.record([duplicate(number, number=n) for n in range(1, 31)], in_force(store))
    [known] = store.known([("a.png", sha("a.png"))]).values()
    assert known.inspection == number
    assert [path for _, path in known.paths] == [f"2026-01-05/duplicate/a.png-{n}" for n in range(15, 31)]


# --- passes ----------------------------------------------------------------------------------------------


@many_examples
@given(
    pauses=st.lists(st.integers(0, 700), min_size=1, max_size=8),
    seam=st.sampled_from([None, "1"]),
)
def test_a_pass_ends_with_a_gap(store: Store, url: URL, pauses: list[int], seam: str | None) -> None:
    """For frames in order, the pass number is one more than the number of earlier pauses above seam_gap_s."""
    part = f"part {next(_NUMBERS)}"
    times = START_US + np.cumsum(pauses) * SECOND_US
    batch = [
        inspected(f"{part} {n}.png", part=part, seam=seam, seen_us=int(time)) for n, time in enumerate(times)
    ]
    ids = store.record(batch, in_force(store))
    expected = 1 + np.concatenate([[0], np.cumsum(np.diff(times) > 300 * SECOND_US)])
    found = dict(rows(url, "inspection", "id, pass_no"))
    assert [found[number] for number in ids] == expected.tolist()


def test_passes_go_by_camera_time_and_stand_late_frames(store: Store, url: URL) -> None:
    """Passes go by camera time if it is known; a late frame joins the pass around it, or begins a new one."""
    seconds = [0, 1000, 100, 950, 400, 1100, 600, 5000]
    batch = [
        inspected(f"{n}.png", part="P", seam="1", camera_time_us=START_US + second * SECOND_US)
        for n, second in enumerate(seconds)
    ]
    store.record(batch, in_force(store))
    # 400 is within 300 s of 100, and 600 within 300 s of 400; earlier passes keep their numbers.
    assert [n for (n,) in rows(url, "inspection", "pass_no")] == [1, 2, 1, 2, 1, 2, 1, 3]
    assert rows(url, "inspection", "seen_us, taken_us")[1] == (START_US, START_US + 1000 * SECOND_US)


def test_passes_are_counted_for_each_part_and_seam(store: Store, url: URL) -> None:
    """Each seam counts apart, also a missing one; an image whose part is missing or empty has no pass."""
    later = START_US + 1000 * SECOND_US
    named = [
        ("P", "1", START_US),
        ("P", "2", later),
        ("P", None, later),
        ("Q", "1", later),
        ("P", "1", later),
    ]
    batch = [
        inspected(f"{n}.png", part=part, seam=seam, seen_us=seen)
        for n, (part, seam, seen) in enumerate(named)
    ]
    batch += [inspected("none.png"), inspected("empty.png", part="", seam="1")]
    store.record(batch, in_force(store))
    assert [n for (n,) in rows(url, "inspection", "pass_no")] == [1, 1, 1, 1, 2, None, None]


# --- hostile input -------------------------------------------------------------------------------------


@many_examples
@given(raw=st.binary(min_size=1, max_size=255).filter(lambda name: not {b"/"[0], 0} & set(name)))
def test_any_file_name_goes_in_and_is_found_again(store: Store, raw: bytes) -> None:
    """A file name of any bytes is stored and found in its text form on both back ends."""
    name = file_names.to_text(PurePath(os.fsdecode(raw)))
    store.record([inspected(name)], in_force(store))
    assert store.known([(name, sha(name))])[name, sha(name)].paths == (
        (Outcome.INSPECTED, f"2026-01-05/PASS/{name}"),
    )


@pytest.mark.parametrize(
    "name",
    [
        'it\'s "quoted"; DROP TABLE arrival; --',
        "a%0Ab.png",
        "焊缝 ö 🔥.png",
        "x" * 255,
        ":station %(x)s ?.png",
    ],
)
def test_hostile_names_are_only_text(store: Store, url: URL, name: str) -> None:
    """Quotes, SQL, placeholders, other scripts and 255 bytes are stored as they are, in every column."""
    item = dataclasses.replace(inspected(name), name=NameParts(camera=name, part=name, seam=name))
    store.record([item], in_force(store))
    assert rows(url, "inspection", "source_name, camera, part, seam") == [(name,) * 4]


def test_details_are_made_storable(store: Store, url: URL) -> None:
    """Surrogates and NUL, which PostgreSQL refuses, are escaped in details and events."""
    store.record([quarantined(detail="cannot open 'weld_\udce4\0.jpg'")], in_force(store))
    store.record_event("outage", "lost \udcff")
    assert rows(url, "quarantine", "detail") == [("cannot open 'weld_\\udce4\\x00.jpg'",)]
    assert rows(url, "event", "kind, detail") == [("outage", "lost \\udcff")]


def test_an_inode_of_64_bits_is_stored(store: Store, url: URL) -> None:
    """The largest inode of a network file system is stored."""
    store.record([inspected(inode=2**64 - 1)], in_force(store))
    assert rows(url, "arrival", "inode") == [(-1,)]


def test_an_event_is_a_row(store: Store, url: URL) -> None:
    """Events such as start and stop are stored with station and time."""
    store.record_event("start", "2 threads")
    [row] = rows(url, "v_event", "id, station, kind, detail")
    assert tuple(row) == (1, "cell-1", "start", "2 threads")
    assert rows(url, "event", "at_us")[0].at_us > START_US - 365 * 86400 * SECOND_US


def test_arrival_times_are_kept_apart(store: Store, url: URL) -> None:
    """The time when a file was seen and the time when its row was made are two columns."""
    store.record(
        [dataclasses.replace(inspected(), arrival=arrival("a.png", 5), inspected_us=9)], in_force(store)
    )
    assert rows(url, "arrival", "seen_us, recorded_us") == [(5, 9)]
