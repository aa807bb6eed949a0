"""Troubles with files and disks under a real daemon: nothing is lost or doubled, and they are reported."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from disks import filled, small_disk
from managers import Manager, Worker, manager, wait_until, working
from PIL import Image
from sqlalchemy.engine import URL, make_url
from stations import Station, frame
from typer.testing import CliRunner

from inspector.commands.cli import app
from inspector.errors import ImageError, StationError
from inspector.imaging.source import TakenFile, unread_source
from inspector.ledger import database
from inspector.ledger.store import Store, migrate
from inspector.records import Arrival, Quarantined
from inspector.station import daemon as daemon_module
from inspector.station import outages, renames
from inspector.station.intake import Intake
from inspector.station.reading import Frame, Unreadable, read


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """A manager that a daemon in this process reports to."""
    with manager(tmp_path) as it:
        monkeypatch.setenv("NOTIFY_SOCKET", str(it.path))
        yield it


def wait_until_started(station: Station, daemon: Worker) -> None:
    """Wait until the artifact is warm and the database open."""
    wait_until(lambda: bool(station.rows("SELECT id FROM event WHERE kind = 'start'")), daemon)


def overwrite(path: Path, content: bytes) -> None:
    """Write other bytes into the same file."""
    path.write_bytes(content)


def replace(path: Path, content: bytes) -> None:
    """Put another file under the same name."""
    new = path.with_name(".new")
    new.write_bytes(content)
    new.replace(path)


@pytest.mark.parametrize("change", [overwrite, replace])
def test_a_name_that_is_written_again_before_its_image_has_moved_loses_neither(
    on_sqlite: Station, change: Callable[[Path, bytes], None]
):
    """If the camera writes a name again between reading and move, both images are judged and archived."""
    first, second = (on_sqlite.put(f"w{n}.png", seed=n) for n in (1, 2))
    contents = [path.read_bytes() for path in (first, second)]
    for path in (first, second):
        path.unlink()
    with working(on_sqlite.config) as daemon:
        wait_until_started(on_sqlite, daemon)
        engine = database.immediate(database.engine(on_sqlite.url))
        with engine.begin():  # the write lock: nothing is recorded, and nothing moves
            on_sqlite.deliver("w.png", contents[0])
            journal = on_sqlite.quarantine / ".decoding"
            wait_until(lambda: "-w.png" in journal.read_text(), daemon)  # read and decoded
            change(on_sqlite.drop / "w.png", contents[1])
        engine.dispose()
        wait_until(lambda: len(on_sqlite.rows("SELECT id FROM inspection")) == 2, daemon)
        wait_until(on_sqlite.is_idle, daemon)
    paths = [row.archive_path for row in on_sqlite.rows("SELECT archive_path FROM inspection ORDER BY id")]
    assert [(on_sqlite.archive / path).read_bytes() for path in paths] == contents
    assert [row.kind for row in on_sqlite.rows("SELECT kind FROM event")].count("move_rescued") == 1
    assert on_sqlite.reconcile()["unaccounted"] == 0


def test_an_image_that_is_replaced_before_it_was_read_is_a_row_of_the_event_table(
    on_sqlite: Station, systemd: Manager, monkeypatch: pytest.MonkeyPatch
):
    """Of two images under one name that waits, one is inspected; the event names what is missing."""
    monkeypatch.setattr(outages, "_SLOW_ANSWER_S", 0.5)
    with working(on_sqlite.config) as daemon:
        systemd.expect("READY=1")
        engine = database.immediate(database.engine(on_sqlite.url))
        with engine.begin():  # the write lock: the station waits, and so do all later files
            on_sqlite.put("first.png", seed=1)
            systemd.expect("STATUS=slow")
            on_sqlite.put("w.png", seed=2)
            on_sqlite.put("w.png", seed=3)
        engine.dispose()
        wait_until(lambda: len(on_sqlite.rows("SELECT id FROM inspection")) == 2, daemon)
        wait_until(on_sqlite.is_idle, daemon)
    events = [tuple(row) for row in on_sqlite.rows("SELECT kind, detail FROM event")]
    [detail] = [detail for kind, detail in events if kind == "overwritten"]
    assert detail.startswith("w.png was written again before it was read")
    assert on_sqlite.reconcile()["unaccounted"] == 0


def test_two_cameras_with_a_folder_each(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]):
    """The same name and bytes from two sub-folders are two inspections, and the folder is the camera."""
    station = Station(tmp_path, tiny, url_of("sqlite"), subfolders=True)
    for camera in ("cam1", "cam2"):
        (station.drop / camera).mkdir()
        station.put(f"{camera}/w.png", seed=1)
    (station.drop / "cam1" / "bad.png").write_text("no picture")
    totals = station.once()
    assert (totals["inspected"], totals["quarantined"], totals["pending"]) == (2, 1, 0)
    rows = station.rows("SELECT source_name, camera, archive_path FROM inspection ORDER BY source_name")
    assert [(row.source_name, row.camera) for row in rows] == [("cam1/w.png", "cam1"), ("cam2/w.png", "cam2")]
    assert all((station.archive / row.archive_path).parent.name == row.camera for row in rows)
    shutil.move(station.archive / rows[0].archive_path, station.drop / "cam1" / "w.png")  # as after a crash
    figures = station.reconcile()
    assert (figures["pending"], figures["unaccounted"]) == (0, 0)
    station.once()
    assert (station.archive / rows[0].archive_path).exists()
    assert station.reconcile()["seen"] == 3


def test_an_archive_that_goes_away_is_waited_for(on_sqlite: Station, tmp_path: Path, systemd: Manager):
    """While the archive is gone images wait, the status says why, and an event reports the end."""
    with working(on_sqlite.config) as daemon:
        systemd.expect("READY=1")
        on_sqlite.archive.rename(tmp_path / "unmounted")
        on_sqlite.put("w.png", seed=1)
        status = systemd.expect("STATUS=outage")
        assert "1 images wait in the drop folder; no file moves from" in status
        assert status.endswith(f"{on_sqlite.archive}: No such file or directory")
        assert not on_sqlite.archive.exists()
        (tmp_path / "unmounted").rename(on_sqlite.archive)
        wait_until(on_sqlite.is_idle, daemon)
    events = on_sqlite.rows("SELECT detail FROM event WHERE kind = 'outage'")
    assert [str(on_sqlite.archive) in row.detail for row in events] == [True]
    assert on_sqlite.reconcile()["inspected"] == 1


def test_a_slow_database_is_reported(on_sqlite: Station, systemd: Manager, monkeypatch: pytest.MonkeyPatch):
    """While a commit takes long the status says why, and an event says how long it took."""
    monkeypatch.setattr(outages, "_SLOW_ANSWER_S", 0.5)  # 5 s at a station
    with working(on_sqlite.config) as daemon:
        systemd.expect("READY=1")
        engine = database.immediate(database.engine(on_sqlite.url))
        with engine.begin():  # the write lock
            on_sqlite.put("w.png", seed=1)
            assert "1 images wait in the drop folder" in systemd.expect("STATUS=slow")
        engine.dispose()
        wait_until(lambda: bool(on_sqlite.rows("SELECT id FROM event WHERE kind = 'outage'")), daemon)
    [row] = on_sqlite.rows("SELECT detail FROM event WHERE kind = 'outage'")
    assert row.detail.startswith("an answer took ")


def test_a_full_disk_is_waited_out_and_survives_a_restart(tmp_path: Path, tiny: Path, systemd: Manager):
    """Without a free block or inode nothing crashes or is lost, also at a start."""
    with small_disk(tmp_path / "disk", 8192) as disk:
        url = make_url(f"sqlite:///{disk / 'quality.db'}")
        migrate(url)
        station = Station(disk, tiny, url)
        station.archive.mkdir()
        station.quarantine.mkdir()
        for n in range(3):
            station.put(f"w{n}.png", seed=n)
        with filled(disk), working(station.config):
            assert "full" in systemd.expect("STATUS=outage")
        with working(station.config) as daemon:
            with filled(disk):
                systemd.expect("STATUS=outage")
            wait_until(station.is_idle, daemon)
        assert len(station.rows("SELECT id FROM inspection")) == 3
        assert station.rows("SELECT id FROM event WHERE kind = 'outage'")
        assert station.reconcile()["unaccounted"] == 0


def test_one_file_that_cannot_move_holds_nothing_up(on_sqlite: Station):
    """It is recorded and reported once, stays, and goes to its recorded path when that is free again."""
    on_sqlite.put("w.png", seed=1)
    on_sqlite.archive.mkdir()
    for day in (0, 86_400):  # the test may run across midnight
        (on_sqlite.archive / time.strftime("%Y-%m-%d", time.gmtime(time.time() + day))).touch()
    (on_sqlite.drop / "bad.png").write_text("no picture")
    with pytest.raises(StationError, match="1 files stay in the drop folder"):
        on_sqlite.once()
    [stop] = on_sqlite.rows("SELECT detail FROM event WHERE kind = 'stop'")
    assert (stop.detail[:12], stop.detail[-27:]) == ("1 inspected ", "s, 1 quarantined, 0 pending")
    assert not on_sqlite.is_idle()
    assert [row.kind for row in on_sqlite.rows("SELECT kind FROM event")].count("move_failed") == 1
    for path in on_sqlite.archive.iterdir():
        path.unlink()
    assert on_sqlite.once()["pending"] == 0
    assert len(on_sqlite.rows("SELECT id FROM inspection")) == 1
    assert on_sqlite.reconcile()["unaccounted"] == 0


def test_a_bitmap_whose_tail_is_still_zero_is_read_again(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]
):
    """A pre-allocated file decodes before it is whole: its judgement waits for the rest, or for give_up_s."""
    on_sqlite = Station(tmp_path, tiny, url_of("sqlite"), give_up_s=60)
    image = Image.fromarray(frame(1))
    image.save(on_sqlite.folder / "whole.bmp")
    whole = (on_sqlite.folder / "whole.bmp").read_bytes()
    with working(on_sqlite.config) as daemon:
        wait_until_started(on_sqlite, daemon)
        (on_sqlite.drop / "w.bmp").write_bytes(whole[:5000].ljust(len(whole), b"\0"))
        on_sqlite.put("other.png", seed=2)
        wait_until(lambda: len(on_sqlite.files(on_sqlite.drop)) == 1, daemon)
        (on_sqlite.drop / "w.bmp").write_bytes(whole)
        wait_until(on_sqlite.is_idle, daemon)
    [row] = on_sqlite.rows("SELECT archive_path, reason FROM inspection WHERE source_name = 'w.bmp'")
    assert (on_sqlite.archive / row.archive_path).read_bytes() == whole
    assert row.reason != "unfinished"


# --- counts of a single pass --------------------------------------------------------------------------------


@pytest.mark.parametrize("moves_at_last", [True, False])
def test_a_file_that_could_not_move_at_first_is_counted_once(
    on_sqlite: Station, monkeypatch: pytest.MonkeyPatch, moves_at_last: bool
):
    """It is inspected, and not pending as well; while it stays, the single pass ends with status 1."""
    out_of = renames.out_of

    def refuse(folder_fd: int, name: str, target: Path) -> None:
        if name == "w.png":
            if moves_at_last:
                monkeypatch.setattr(renames, "out_of", out_of)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        out_of(folder_fd, name, target)

    monkeypatch.setattr(renames, "out_of", refuse)
    if moves_at_last:  # the pause after a failure ends while another file is still being waited for
        monkeypatch.setattr(Intake, "exhausted", property(lambda intake: not intake.pending()))
    on_sqlite.put("w.png", seed=1)
    on_sqlite.put("v.png", seed=2)
    done = CliRunner().invoke(app, ["once", "--json", "--config", str(on_sqlite.config)])
    figures = json.loads(done.stdout)
    assert [figures[key] for key in ("seen", "inspected", "duplicates", "pending")] == [2, 2, 0, 0]
    if moves_at_last:
        assert (done.exit_code, on_sqlite.is_idle()) == (0, True)
    else:
        assert isinstance(done.exception, StationError)
        assert "1 files stay in the drop folder" in str(done.exception)
    monkeypatch.setattr(renames, "out_of", out_of)
    left = 0 if moves_at_last else 1
    figures = on_sqlite.once()
    assert [figures[key] for key in ("seen", "inspected", "duplicates", "pending")] == [left, left, 0, 0]


@pytest.mark.parametrize("fate", ["repaired", "taken away"])
def test_an_unreadable_file_that_changes_before_its_move_leaves_no_row_without_a_file(
    on_sqlite: Station, monkeypatch: pytest.MonkeyPatch, fate: str
):
    """A file that could not be opened, and is another one a moment later, is accounted for by its new row."""
    first = [True]

    def read_first_in_vain(arrival: Arrival, *words: Any) -> Frame | Unreadable:
        if first.pop() if first else False:
            return Unreadable(
                TakenFile(arrival, unread_source(arrival.path), None), ImageError("unreadable", "in vain")
            )
        return read(arrival, *words)

    record = Store.record

    def change_after_record(store: Store, rows: Any, in_force: Any) -> list[int]:
        numbers = record(store, rows, in_force)
        if any(isinstance(row, Quarantined) for row in rows):
            path = on_sqlite.drop / "w.png"
            os.utime(path, (1e9, 1e9)) if fate == "repaired" else path.unlink()
        return numbers

    monkeypatch.setattr(daemon_module, "read", read_first_in_vain)
    monkeypatch.setattr(Store, "record", change_after_record)
    on_sqlite.put("w.png", seed=1)
    totals = [on_sqlite.once(), on_sqlite.once()]
    inspected = fate == "repaired"
    assert sum(one["inspected"] for one in totals) == inspected
    assert sum(one["quarantined"] for one in totals) == 0
    found = on_sqlite.reconcile()
    assert (found["seen"], found["inspected"], found["quarantined"]) == (inspected, inspected, 0)
    assert found["unaccounted"] == 0
