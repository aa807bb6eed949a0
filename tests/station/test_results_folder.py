"""A results folder that is missing, full, away or hanging: no result is lost, and inspection never waits."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from deliveries import Delivery, now, read
from disks import filled, mount, small_disk, unmount
from ledger_samples import in_force, inspected, quarantined
from managers import wait_until, working
from shelves import killed
from sqlalchemy.engine import URL, make_url
from stations import Station
from waiting import HANG_S, wait_for

from inspector.ledger.store import migrate
from inspector.records import Verdict
from inspector.station import results

# --- a folder that takes no results -----------------------------------------------------------------


def test_a_link_in_the_results_folder_leads_nowhere(local_delivery: Delivery, tmp_path: Path) -> None:
    """An account that may write to the folder cannot have a file of the station overwritten by a link."""
    victim = tmp_path / "quality.db"
    victim.write_text("history")
    (local_delivery.folder / ".1.tmp").symlink_to(victim)
    with local_delivery.at_work() as (store, _):
        store.record([inspected(**now())], in_force(store))
        [result] = local_delivery.written(1)
    assert result["arrival"] == 1
    assert victim.read_text() == "history"
    assert not next(local_delivery.folder.iterdir()).is_symlink()


def test_a_missing_folder_costs_no_result(delivery: Delivery) -> None:
    """While the folder is away results wait in the database, and events say so; then all are written."""
    delivery.folder.rmdir()
    with delivery.at_work() as (store, writer):
        for n in range(120):
            store.record([inspected(f"{n}.png", **now())], in_force(store))
        wait_for(lambda: writer.fault() is not None)
        assert "No such file or directory; its results wait in the database" in str(writer.fault())
        assert not delivery.folder.exists()
        delivery.folder.mkdir()
        assert len(delivery.written(120)) == 120
        wait_for(lambda: writer.fault() is None)
    assert [event.kind for event in delivery.events] == ["results_failed", "results_back"]


def test_a_full_folder_leaves_no_half_file(local_delivery: Delivery, tmp_path: Path) -> None:
    """On a full disk no part of a result is left; when there is room, all are written."""
    with small_disk(tmp_path / "disk") as disk:
        local_delivery.folder = disk / "results"
        local_delivery.folder.mkdir()
        with local_delivery.at_work() as (store, writer):
            with filled(disk):
                store.record([inspected(f"{n}.png", **now()) for n in range(10)], in_force(store))
                wait_for(lambda: writer.fault() is not None)
                assert "No space left" in str(writer.fault())
                assert list(local_delivery.folder.iterdir()) == []
            assert len(local_delivery.written(10)) == 10


def test_the_empty_mount_point_below_is_not_taken_for_the_folder(
    local_delivery: Delivery, tmp_path: Path
) -> None:
    """A share that is no longer mounted is waited for, also after a restart."""
    with small_disk(tmp_path / "disk") as disk:
        local_delivery.folder = disk
        with local_delivery.at_work() as (store, _):
            store.record([inspected("a.png", **now())], in_force(store))
            local_delivery.written(1)
        unmount(disk)
        with local_delivery.at_work() as (store, writer):
            store.record([inspected("b.png", **now())], in_force(store))
            wait_for(lambda: writer.fault() is not None)
            assert "was a mount point and is none now" in str(writer.fault())
            assert list(disk.iterdir()) == []
            mount(disk)
            assert [result["name"] for result in local_delivery.written(1)] == ["b.png"]


def test_a_folder_that_hangs_does_not_hold_up_anything(
    local_delivery: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that does not answer is a fault, while commits go on; then the results are written."""
    monkeypatch.setattr(results, "_MAX_SILENCE_S", 0.05)
    answers, fsync = threading.Event(), os.fsync

    def hang(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().parent == local_delivery.folder:
            answers.wait(HANG_S)
        fsync(descriptor)

    with local_delivery.at_work() as (store, writer):
        store.record([inspected("a.png", **now())], in_force(store))
        local_delivery.written(1)
        monkeypatch.setattr(os, "fsync", hang)
        try:
            store.record([inspected("b.png", **now())], in_force(store))
            wait_for(lambda: "has not answered" in str(writer.fault()))
            store.record([inspected("c.png", **now())], in_force(store))
        finally:
            answers.set()
        assert [result["name"] for result in local_delivery.written(3)] == ["a.png", "b.png", "c.png"]


def test_another_database_starts_again_here(local_delivery: Delivery, tmp_path: Path) -> None:
    """If the database is replaced by a new one, results of its small row numbers are written."""
    with local_delivery.at_work() as (store, _):
        store.record([inspected(f"{n}.png", **now()) for n in range(5)], in_force(store))
    database = Path(str(make_url(local_delivery.url).database))
    for file in (*database.parent.glob(f"{database.name}*"), *local_delivery.folder.iterdir()):
        file.unlink()
    migrate(local_delivery.url)
    with local_delivery.at_work() as (store, _):
        store.record([inspected("new.png", **now())], in_force(store))
        assert [result["name"] for result in local_delivery.written(1)] == ["new.png"]


def test_a_restore_under_the_running_service_leaves_no_result_out(
    tmp_path: Path, url_of: Callable[[str], URL]
) -> None:
    """New images have results also if a restored ledger uses numbers again that had results before."""
    delivery = Delivery(tmp_path, url_of("postgresql"))
    delivery.folder.mkdir()
    name = str(delivery.url.database)
    server = sa.create_engine(
        delivery.url.set(database="postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )

    def administer(*statements: str) -> None:
        end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        with server.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(end)
                connection.exec_driver_sql(statement)

    with delivery.at_work() as (store, _):
        force = in_force(store)
        store.record([inspected(f"old{n}.png", **now()) for n in range(2)], force)
        delivery.written(2)
        administer(f"CREATE DATABASE {name}_backup TEMPLATE {name}")
        store.reconnect()
        store.record([inspected(f"gone{n}.png", **now()) for n in range(3)], force)
        delivery.written(5)
        administer(f"DROP DATABASE {name} WITH (FORCE)", f"ALTER DATABASE {name}_backup RENAME TO {name}")
        store.reconnect()
        store.record([inspected(f"new{n}.png", **now()) for n in range(4)], force)
        names = [result["name"] for result in delivery.written(9)]
    server.dispose()
    assert sorted(names) == sorted(
        [f"old{n}.png" for n in range(2)]
        + [f"gone{n}.png" for n in range(3)]
        + [f"new{n}.png" for n in range(4)]
    )
    assert [event.kind for event in delivery.events] == ["results_anew"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_mistake_of_ours_is_not_silent(local_delivery: Delivery, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the thread ends by an unexpected error, the fault says so."""
    with local_delivery.at_work() as (store, writer):
        monkeypatch.setattr(writer, "_describe", None)  # needed for a file without an inspection
        store.record([quarantined(recorded_us=time.time_ns() // 1000)], in_force(store))
        wait_for(lambda: "gets no more results: restart the service" in str(writer.fault()))


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
    with working(station.config) as daemon:
        for n in range(5):
            station.put(f"{n}.png", seed=n)
        wait_until(station.is_idle, daemon)
        events = "SELECT detail FROM event WHERE kind = 'results_failed'"
        wait_until(lambda: len(station.rows(events)) == 1, daemon)
        (tmp_path / "results").mkdir()
        wait_until(lambda: len(list((tmp_path / "results").glob("*.json"))) == 5, daemon)
    assert {result["verdict"] for result in read(tmp_path / "results")} <= set(Verdict)
