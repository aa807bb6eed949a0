"""The results folder: one whole file for each image, none lost, and inspection never waits for it."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from disks import filled, mount, small_disk, unmount
from ledger_samples import duplicate, in_force, inspected, quarantined
from managers import running, wait_until
from shelves import killed
from sqlalchemy.engine import URL, make_url
from stations import Station
from waiting import HANG_S, wait_for

from inspector.file_names import parse
from inspector.ledger.store import Store, migrate
from inspector.records import Verdict
from inspector.station import results
from inspector.station.events import Events
from inspector.station.results import Results

PATTERN = re.compile(r"(?P<camera>cam\d)_(?P<part>P\d+)_(?P<seam>S\d)")


class Teller:
    """A ledger with a results folder; ``written`` waits until as many results are there."""

    def __init__(self, root: Path, url: URL) -> None:
        self.url = url
        self.folder = root / "results"
        self.position = root / "position"
        self.woken = threading.Event()
        self.events = Events()
        self.zone = ZoneInfo("Europe/Berlin")

    @contextmanager
    def at_work(self) -> Iterator[tuple[Store, Results]]:
        """A store that wakes the results, and the results at work."""
        teller = Results(
            self.folder,
            self.position,
            self.url,
            "cell-1",
            zone=lambda: self.zone,
            describe=lambda name, seen_us: parse(name, PATTERN, ZoneInfo("UTC"), seen_us),
            events=self.events,
            woken=self.woken,
        )
        with teller, Store.open(self.url, "cell-1", seam_gap_s=300, recorded=self.woken.set) as store:
            teller.note_first_start()
            yield store, teller

    def written(self, number: int) -> list[dict[str, Any]]:
        """The results in the order of their rows, as soon as there are so many, and no other file."""
        wait_for(lambda: len(list(self.folder.glob("*.json"))) >= number)
        return read(self.folder)


def read(folder: Path) -> list[dict[str, Any]]:
    """All results of a folder, which holds nothing else, in the order of their rows."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in folder.iterdir()]
    return sorted(found, key=lambda result: int(result["arrival"]))


def now(**others: Any) -> dict[str, Any]:
    """Times of records that are made now."""
    return {"inspected_us": time.time_ns() // 1000, **others}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "_RETRY_S", 0.05)


@pytest.fixture
def teller(tmp_path: Path, url: URL) -> Teller:
    """A ledger with a results folder, on each back end in turn."""
    made = Teller(tmp_path, url)
    made.folder.mkdir()
    return made


@pytest.fixture
def on_sqlite(tmp_path: Path, url_of: Callable[[str], URL]) -> Teller:
    """The same on SQLite, for tests in which the back end makes no difference."""
    made = Teller(tmp_path, url_of("sqlite"))
    made.folder.mkdir()
    return made


def test_a_new_time_zone_holds_from_the_next_result_on(on_sqlite: Teller) -> None:
    """After a reload of the time zone the times of results are in the new one, the same instants."""
    seen = datetime(2026, 1, 5, 8, tzinfo=UTC)
    with on_sqlite.at_work() as (store, _):
        force = in_force(store)
        store.record([inspected("a.png", seen_us=int(seen.timestamp()) * 1_000_000, **now())], force)
        on_sqlite.written(1)
        on_sqlite.zone = ZoneInfo("America/Chicago")
        store.record([inspected("b.png", seen_us=int(seen.timestamp()) * 1_000_000, **now())], force)
        first, second = (result["seen"] for result in on_sqlite.written(2))
    assert (first, second) == ("2026-01-05T09:00:00+01:00", "2026-01-05T02:00:00-06:00")


def test_each_outcome_has_a_result(teller: Teller) -> None:
    """Inspected and quarantined files have one result each, with names, verdict, times and rows."""
    with teller.at_work() as (store, _):
        force = in_force(store)
        item = inspected(
            "cam1_P7_S2.png", part="P7", seam="S2", verdict=Verdict.FAIL, label="burn through", **now()
        )
        [number] = store.record([item], force)
        bad = quarantined("cam2_P8_S1.png", recorded_us=time.time_ns() // 1000)
        [row] = store.record([bad], force)
        first, last = teller.written(2)
    assert list(first) == [
        *("schema", "arrival", "outcome", "station", "name", "sha256", "camera", "part", "seam", "pass_no"),
        *("verdict", "class", "confidence", "reason", "detail", "camera_time", "seen", "recorded"),
        *("inspection", "quarantine", "path"),
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


def test_the_page_shows_what_the_program_writes(on_sqlite: Teller) -> None:
    """The example of docs/reference/result-files.md has a real result's fields, file name and times."""
    page = (Path(__file__).parents[2] / "docs" / "reference" / "result-files.md").read_text(encoding="utf-8")
    example = json.loads(page.partition("```json")[2].partition("```")[0])
    with on_sqlite.at_work() as (store, _):
        item = inspected(
            example["name"], part=example["part"], seam=example["seam"], path=example["path"], **now()
        )
        store.record([item], in_force(store))
        [result] = on_sqlite.written(1)
    [file] = on_sqlite.folder.iterdir()
    assert list(example) == list(result)
    assert example["schema"] == result["schema"]
    assert f"`{file.name.replace('.1.json', '.1234.json')}`" in page
    for name in ("seen", "recorded"):
        assert re.sub(r"\d", "0", example[name]) == re.sub(r"\d", "0", result[name])


def test_a_duplicate_has_its_first_verdict(teller: Teller) -> None:
    """A file delivered again has a result of its own, with the verdict of its first judgement."""
    with teller.at_work() as (store, _):
        [number] = store.record([inspected(verdict=Verdict.REVIEW, **now())], in_force(store))
        store.record([duplicate(number)], in_force(store))
        first, second = teller.written(2)
    assert (first["outcome"], second["outcome"]) == ("inspected", "duplicate")
    assert (second["verdict"], second["inspection"], second["arrival"]) == (
        "REVIEW",
        number,
        first["arrival"] + 1,
    )


def test_rows_from_before_the_first_start_are_left_out(teller: Teller) -> None:
    """A new results folder gets results from then on; after a restart they go on."""
    with Store.open(teller.url, "cell-1", seam_gap_s=300) as store:
        store.record([inspected("old.png")], in_force(store))
    with teller.at_work() as (store, _):
        store.record([inspected("a.png", **now())], in_force(store))
    with Store.open(teller.url, "cell-1", seam_gap_s=300) as store:  # while no results are written
        store.record([inspected("b.png", **now())], in_force(store))
    with teller.at_work():
        assert [result["name"] for result in teller.written(2)] == ["a.png", "b.png"]
    for file in teller.folder.iterdir():
        file.unlink()
    with teller.at_work() as (store, _):
        store.record([inspected("c.png", **now())], in_force(store))
    assert [result["name"] for result in read(teller.folder)] == ["c.png"]


_TWO_YEARS_US = 2 * 365 * 86_400 * 1_000_000


@pytest.mark.parametrize("ahead_us", [_TWO_YEARS_US, -_TWO_YEARS_US])
def test_a_wrong_clock_at_the_first_start_leaves_out_what_was_before_and_nothing_else(
    teller: Teller, ahead_us: int
) -> None:
    """If the clock was ahead or behind at the first start and is right again, each new row has a result."""

    def at(offset_us: int) -> dict[str, int]:
        return {"inspected_us": time.time_ns() // 1000 + offset_us}

    with Store.open(teller.url, "cell-1", seam_gap_s=300) as store:
        store.record([inspected("old.png", **at(-ahead_us))], in_force(store))
    with teller.at_work() as (store, _):
        store.record([inspected("new.png", **at(-2 * ahead_us))], in_force(store))
        assert [result["name"] for result in teller.written(1)] == ["new.png"]


def test_a_clock_that_was_ahead_before_the_first_image_leaves_none_out(on_sqlite: Teller) -> None:
    """On an empty ledger, too, images that a corrected clock dates before the first start have results."""
    on_sqlite.folder.rmdir()
    with on_sqlite.at_work() as (store, at_work):
        past = time.time_ns() // 1000 - _TWO_YEARS_US
        store.record([inspected("a.png", inspected_us=past)], in_force(store))
        wait_for(lambda: at_work.fault() is not None)
    on_sqlite.folder.mkdir()
    with on_sqlite.at_work():
        assert [result["name"] for result in on_sqlite.written(1)] == ["a.png"]


def test_the_history_of_a_ledger_that_comes_after_the_first_start_is_left_out(
    on_sqlite: Teller, tmp_path: Path
) -> None:
    """An empty ledger is replaced by the station's old one: results go on with new images."""
    elsewhere = make_url(f"sqlite:///{tmp_path / 'old.db'}")
    migrate(elsewhere)
    with Store.open(elsewhere, "cell-1", seam_gap_s=300) as store:
        store.record([inspected("old.png")], in_force(store))
    with on_sqlite.at_work():
        pass
    (tmp_path / "old.db").replace(str(make_url(on_sqlite.url).database))
    with on_sqlite.at_work() as (store, _):
        store.record([inspected("new.png", **now())], in_force(store))
        assert [result["name"] for result in on_sqlite.written(1)] == ["new.png"]


def test_the_position_moves_on_only_after_the_results_are_on_the_disk(
    on_sqlite: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result's bytes, its name, the position and its name are flushed in this order."""
    flushed: list[tuple[str, int, int]] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_relative_to(on_sqlite.position.parent) and path.suffix not in (".db", ".db-wal"):
            results_there = len(list(on_sqlite.folder.glob("*.json")))
            position = json.loads(on_sqlite.position.read_text()) if on_sqlite.position.exists() else {}
            name = "a result" if path.parent == on_sqlite.folder else path.name
            flushed.append((name, results_there, position.get("after", -1)))
        fsync(descriptor)

    with on_sqlite.at_work() as (store, _):
        monkeypatch.setattr(os, "fsync", note)
        store.record([inspected("a.png", **now())], in_force(store))
        on_sqlite.written(1)
    root = on_sqlite.position.parent.name
    assert flushed == [("a result", 0, 0), ("results", 1, 0), ("position.new", 1, 0), (root, 1, 1)]


def test_a_folder_that_cannot_be_flushed_takes_results(
    on_sqlite: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that flushes no folder gets its results all the same."""
    fsync = os.fsync

    def refuse_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    with on_sqlite.at_work() as (store, at_work):
        store.record([inspected(f"{n}.png", **now()) for n in range(2)], in_force(store))
        assert len(on_sqlite.written(2)) == 2
        wait_for(lambda: '"after": 2' in on_sqlite.position.read_text())
        assert at_work.fault() is None


def test_another_stations_images_are_left_out(on_sqlite: Teller) -> None:
    """In a database of many stations each one writes its own results."""
    with on_sqlite.at_work() as (store, _), Store.open(on_sqlite.url, "cell-2", seam_gap_s=300) as other:
        other.record([inspected("theirs.png", **now())], in_force(other))
        store.record([inspected("ours.png", **now())], in_force(store))
    assert [result["name"] for result in read(on_sqlite.folder)] == ["ours.png"]


@pytest.mark.parametrize("name", ["a" * 240 + ".png", "ä" * 120 + ".png", 'x<>:"|?*\\ y.png', "a.png"])
def test_names_are_files_anywhere_and_never_collide(on_sqlite: Teller, name: str) -> None:
    """Names that are too long or forbidden on Windows become unique file names."""
    with on_sqlite.at_work() as (store, _):
        for n in range(3):
            item = inspected(name, str(n), path=f"day{n}/PASS/{name}", **now())
            store.record([item], in_force(store))
        assert [result["name"] for result in on_sqlite.written(3)] == [name] * 3
    for file in on_sqlite.folder.iterdir():
        assert len(os.fsencode(file.name)) <= 255
        assert not set('<>:"|?*\\') & set(file.name)


# --- a folder that takes no results -----------------------------------------------------------------


def test_a_link_in_the_results_folder_leads_nowhere(on_sqlite: Teller, tmp_path: Path) -> None:
    """An account that may write to the folder cannot have a file of the station overwritten by a link."""
    victim = tmp_path / "quality.db"
    victim.write_text("history")
    (on_sqlite.folder / ".1.tmp").symlink_to(victim)
    with on_sqlite.at_work() as (store, _):
        store.record([inspected(**now())], in_force(store))
        [result] = on_sqlite.written(1)
    assert result["arrival"] == 1
    assert victim.read_text() == "history"
    assert not next(on_sqlite.folder.iterdir()).is_symlink()


def test_a_missing_folder_costs_no_result(teller: Teller) -> None:
    """While the folder is away results wait in the database, and events say so; then all are written."""
    teller.folder.rmdir()
    with teller.at_work() as (store, at_work):
        for n in range(120):
            store.record([inspected(f"{n}.png", **now())], in_force(store))
        wait_for(lambda: at_work.fault() is not None)
        assert "No such file or directory; its results wait in the database" in str(at_work.fault())
        assert not teller.folder.exists()
        teller.folder.mkdir()
        assert len(teller.written(120)) == 120
        wait_for(lambda: at_work.fault() is None)
    assert [event.kind for event in teller.events] == ["results_failed", "results_back"]


def test_a_full_folder_leaves_no_half_file(on_sqlite: Teller, tmp_path: Path) -> None:
    """On a full disk no part of a result is left; when there is room, all are written."""
    with small_disk(tmp_path / "disk") as disk:
        on_sqlite.folder = disk / "results"
        on_sqlite.folder.mkdir()
        with on_sqlite.at_work() as (store, at_work):
            with filled(disk):
                store.record([inspected(f"{n}.png", **now()) for n in range(10)], in_force(store))
                wait_for(lambda: at_work.fault() is not None)
                assert "No space left" in str(at_work.fault())
                assert list(on_sqlite.folder.iterdir()) == []
            assert len(on_sqlite.written(10)) == 10


def test_the_empty_mount_point_below_is_not_taken_for_the_folder(on_sqlite: Teller, tmp_path: Path) -> None:
    """A share that is no longer mounted is waited for, also after a restart."""
    with small_disk(tmp_path / "disk") as disk:
        on_sqlite.folder = disk
        with on_sqlite.at_work() as (store, _):
            store.record([inspected("a.png", **now())], in_force(store))
            on_sqlite.written(1)
        unmount(disk)
        with on_sqlite.at_work() as (store, at_work):
            store.record([inspected("b.png", **now())], in_force(store))
            wait_for(lambda: at_work.fault() is not None)
            assert "was a mount point and is none now" in str(at_work.fault())
            assert list(disk.iterdir()) == []
            mount(disk)
            assert [result["name"] for result in on_sqlite.written(1)] == ["b.png"]


def test_a_folder_that_hangs_does_not_hold_up_anything(
    on_sqlite: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that does not answer is a fault, while commits go on; then the results are written."""
    monkeypatch.setattr(results, "_MAX_SILENCE_S", 0.05)
    with on_sqlite.at_work() as (store, at_work):
        [_] = store.record([inspected("a.png", **now())], in_force(store))
        row = on_sqlite.written(1)[0]["arrival"] + 1
        answers, flush = threading.Event(), os.fsync

        def hang(fd: int) -> None:  # as a file server that does not answer; only for this one result
            if Path(f"/proc/self/fd/{fd}").readlink().name == f".{row}.tmp":
                answers.wait(HANG_S)
            flush(fd)

        monkeypatch.setattr(os, "fsync", hang)
        store.record([inspected("b.png", **now())], in_force(store))
        wait_for(lambda: "has not answered" in str(at_work.fault()))
        store.record([inspected("c.png", **now())], in_force(store))
        answers.set()
        assert [result["name"] for result in on_sqlite.written(3)] == ["a.png", "b.png", "c.png"]


def test_another_database_starts_again_here(on_sqlite: Teller, tmp_path: Path) -> None:
    """If the database is replaced by a new one, results of its small row numbers are written."""
    with on_sqlite.at_work() as (store, _):
        store.record([inspected(f"{n}.png", **now()) for n in range(5)], in_force(store))
    database = Path(str(make_url(on_sqlite.url).database))
    for file in (*database.parent.glob(f"{database.name}*"), *on_sqlite.folder.iterdir()):
        file.unlink()
    migrate(on_sqlite.url)
    with on_sqlite.at_work() as (store, _):
        store.record([inspected("new.png", **now())], in_force(store))
        assert [result["name"] for result in on_sqlite.written(1)] == ["new.png"]


def test_a_restore_under_the_running_service_leaves_no_result_out(
    tmp_path: Path, url_of: Callable[[str], URL]
) -> None:
    """New images have results also if a restored ledger uses numbers again that had results before."""
    teller = Teller(tmp_path, url_of("postgresql"))
    teller.folder.mkdir()
    name = str(teller.url.database)
    server = sa.create_engine(
        teller.url.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )

    def administer(*statements: str) -> None:
        end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        with server.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(end)
                connection.exec_driver_sql(statement)

    with teller.at_work() as (store, _):
        force = in_force(store)
        store.record([inspected(f"old{n}.png", **now()) for n in range(2)], force)
        teller.written(2)
        administer(f"CREATE DATABASE {name}_backup TEMPLATE {name}")
        store.reconnect()
        store.record([inspected(f"gone{n}.png", **now()) for n in range(3)], force)
        teller.written(5)
        administer(f"DROP DATABASE {name} WITH (FORCE)", f"ALTER DATABASE {name}_backup RENAME TO {name}")
        store.reconnect()
        store.record([inspected(f"new{n}.png", **now()) for n in range(4)], force)
        names = [result["name"] for result in teller.written(9)]
    server.dispose()
    assert sorted(names) == sorted(
        [f"old{n}.png" for n in range(2)]
        + [f"gone{n}.png" for n in range(3)]
        + [f"new{n}.png" for n in range(4)]
    )
    assert [event.kind for event in teller.events] == ["results_anew"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_of_ours_is_not_silent(on_sqlite: Teller, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the thread ends by an unexpected error, the fault says so."""
    with on_sqlite.at_work() as (store, at_work):
        monkeypatch.setattr(at_work, "_describe", None)  # needed for a file without an inspection
        store.record([quarantined(recorded_us=time.time_ns() // 1000)], in_force(store))
        wait_for(lambda: "gets no more results: restart the service" in str(at_work.fault()))


# --- the whole station ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "point", ["inspector.station.results.Results._write", "inspector.station.results.Results._save_position"]
)
def test_a_kill_leaves_no_result_out_and_none_in_half(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL], point: str
) -> None:
    """After a kill -9 during writing or saving, the next start writes the missing results."""
    station = Station(tmp_path, tiny, url_of("sqlite"), results_folder="results")
    (tmp_path / "results").mkdir()
    (station.drop / "broken.png").write_bytes(b"no image at all")
    for n in range(12):
        station.put(f"{n}.png", seed=n)
    assert killed(station, point, 3 if point.endswith("_write") else 1, "once") == -signal.SIGKILL
    station.once()
    written = read(tmp_path / "results")
    arrivals = [row.id for row in station.rows("SELECT id FROM arrival ORDER BY id")]
    assert [result["arrival"] for result in written] == arrivals
    assert len(arrivals) == 13
    assert station.reconcile()["unaccounted"] == 0


def test_the_daemon_inspects_on_without_its_results_folder(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]
) -> None:
    """Without the folder the service inspects and says so; once it exists the results are written."""
    station = Station(tmp_path, tiny, url_of("sqlite"), results_folder="results")
    with running(station.start()) as daemon:
        for n in range(5):
            station.put(f"{n}.png", seed=n)
        wait_until(station.is_idle, daemon)
        events = "SELECT detail FROM event WHERE kind = 'results_failed'"
        wait_until(lambda: len(station.rows(events)) == 1, daemon)
        (tmp_path / "results").mkdir()
        wait_until(lambda: len(list((tmp_path / "results").glob("*.json"))) == 5, daemon)
        daemon.terminate()
        assert daemon.wait(HANG_S) == 0
    assert {result["verdict"] for result in read(tmp_path / "results")} <= set(Verdict)
