"""The daemon beside a database that is away or refuses rows, and with troubles of its own."""

from __future__ import annotations

import io
import resource
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from managers import is_empty, stop, wait_until, working
from PIL import Image
from servers import postgresql_server, postgresql_url
from sqlalchemy.engine import URL, make_url
from stations import Station, frame
from waiting import HANG_S

from inspector.errors import StationError, StoreRefused, StoreUnavailable
from inspector.ledger import database
from inspector.ledger.store import migrate

REFUSE_P13 = {
    "sqlite": [
        "CREATE TRIGGER theirs BEFORE INSERT ON inspection WHEN NEW.part = 'P13' "
        "BEGIN SELECT RAISE(ABORT, 'no_unlucky_parts'); END"
    ],
    "postgresql": ["ALTER TABLE inspection ADD CONSTRAINT no_unlucky_parts CHECK (part <> 'P13')"],
}
REFUSE_START = {  # for each back end
    "postgresql": ["ALTER TABLE event ADD CONSTRAINT no_starts CHECK (kind <> 'start')"],
    "sqlite": [
        "CREATE TRIGGER no_starts BEFORE INSERT ON event WHEN NEW.kind = 'start'"
        " BEGIN SELECT RAISE(ABORT, 'no_starts'); END"
    ],
}
REFUSE_QUARANTINE = {
    "sqlite": [
        "CREATE TRIGGER theirs BEFORE INSERT ON quarantine BEGIN SELECT RAISE(ABORT, 'closed_for_today'); END"
    ],
    "postgresql": ["ALTER TABLE quarantine ADD CONSTRAINT closed_for_today CHECK (false)"],
}
REFUSE_ALL = {  # every row of a table, until the second statement
    "sqlite": [
        "CREATE TRIGGER theirs BEFORE INSERT ON {} BEGIN SELECT RAISE(ABORT, 'closed_for_today'); END",
        "DROP TRIGGER theirs",
    ],
    "postgresql": [
        "ALTER TABLE {} ADD CONSTRAINT closed_for_today CHECK (false) NOT VALID",
        "ALTER TABLE {} DROP CONSTRAINT closed_for_today",
    ],
}


def administer(url: URL, statement: str) -> None:
    """Change the schema, as a shop's own administrator does."""
    engine = database.engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()


# --- outages --------------------------------------------------------------------------------------------


def test_a_database_that_comes_later_is_waited_for(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
):
    """While PostgreSQL is down the service is ready and images wait; then they are inspected."""
    with postgresql_server() as server, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        url = postgresql_url(server)
        migrate(url)
        server.stop()
        station = Station(tmp_path, tiny, url)
        for n in range(5):
            station.put(f"w{n}.png", seed=n)
        with pytest.raises(StoreUnavailable):  # a single pass does not wait
            station.once()
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(HANG_S)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with working(station.config) as daemon:
            assert manager.recv(4096) == b"READY=1"
            assert b"outage" in manager.recv(4096)
            assert len(station.files(station.drop)) == 5
            server.ensure_postgres_running()
            wait_until(lambda: is_empty(station.drop), daemon)
        assert len(station.rows("SELECT id FROM inspection")) == 5
        assert len(station.rows("SELECT id FROM event WHERE kind = 'outage'")) == 1


def test_a_stop_during_an_outage_leaves_the_images(tmp_path: Path, tiny: Path):
    """If it is stopped while the database is down, the service ends with status 0 and the images wait."""
    url = make_url("postgresql+psycopg://nobody@127.0.0.1:9/none")
    station = Station(tmp_path, tiny, url)
    station.put("w.png", seed=1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(HANG_S)
        daemon = station.start(NOTIFY_SOCKET=str(tmp_path / "notify"))
        assert manager.recv(4096) == b"READY=1"
        status, log = stop(daemon)
    assert status == 0, log
    assert station.files(station.drop) == {"w.png"}


# --- the station's own trouble --------------------------------------------------------------------------


def test_without_a_free_descriptor_files_wait_and_are_read_later(on_sqlite: Station):
    """Too many open files is the station's trouble: no file is quarantined, and an event reports it."""
    daemon = on_sqlite.start()
    wait_until(lambda: bool(on_sqlite.rows("SELECT id FROM event WHERE kind = 'start'")), daemon)
    before = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    for n in range(5):
        on_sqlite.put(f"w{n}.png", seed=n)
    assert daemon.stderr
    while "Too many open files" not in daemon.stderr.readline():
        assert daemon.poll() is None
    assert len(on_sqlite.files(on_sqlite.drop)) == 5
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, before)
    wait_until(on_sqlite.is_idle, daemon)
    status, log = stop(daemon)
    assert status == 0, log
    assert len(on_sqlite.rows("SELECT id FROM inspection")) == 5
    assert on_sqlite.reconcile()["unaccounted"] == 0


def test_a_journal_that_cannot_be_written_keeps_no_image_out(on_sqlite: Station):
    """If the crash journal cannot be written, images are inspected without it."""
    (on_sqlite.quarantine / ".decoding" / "in the way").mkdir(parents=True)
    for n in range(3):
        on_sqlite.put(f"w{n}.png", seed=n)
    assert on_sqlite.once()["inspected"] == 3


def test_a_row_that_the_database_refuses_keeps_no_other_out(tmp_path: Path, tiny: Path, url: URL):
    """A shop's own constraint quarantines its image, in its words; the batch's others are recorded."""
    station = Station(tmp_path, tiny, url, name_pattern=r"(?P<part>P\d+)_\d+")
    engine = database.engine(url)
    with engine.begin() as connection:
        for statement in REFUSE_P13[url.get_backend_name()]:
            connection.exec_driver_sql(statement)
    engine.dispose()
    for n in range(5):
        station.put(f"P1{n}_0.png", seed=n)
    totals = station.once()
    assert (totals["inspected"], totals["quarantined"], totals["pending"]) == (4, 1, 0)
    [row] = station.rows("SELECT source_name, reason, detail FROM quarantine")
    assert (row.source_name, row.reason) == ("P13_0.png", "row_refused")
    assert "no_unlucky_parts" in row.detail
    assert station.reconcile()["unaccounted"] == 0


def test_an_event_that_the_database_refuses_stops_nothing(tmp_path: Path, tiny: Path, url: URL):
    """A shop's own constraint on the events leaves one out, with a log line; images are inspected."""
    station = Station(tmp_path, tiny, url)
    engine = database.engine(url)
    with engine.begin() as connection:
        for statement in REFUSE_START[url.get_backend_name()]:
            connection.exec_driver_sql(statement)
    engine.dispose()
    station.put("good.png", seed=1)
    assert station.once()["inspected"] == 1
    assert [row.kind for row in station.rows("SELECT kind FROM event")] == ["stop"]


@pytest.mark.parametrize("table", ["station", "model", "settings"])
def test_a_database_that_refuses_what_every_row_refers_to_is_an_outage(
    tmp_path: Path, tiny: Path, url: URL, table: str, caplog: pytest.LogCaptureFixture
):
    """A shop's own constraint on station, artifact or settings: the daemon starts, says so, images wait."""
    station = Station(tmp_path, tiny, url)
    administer(url, REFUSE_ALL[url.get_backend_name()][0].format(table))
    with pytest.raises(StoreRefused, match=r"closed_for_today.*change the constraint or trigger"):
        station.once()
    station.put("good.png", seed=1)
    caplog.clear()
    with working(station.config) as daemon:
        wait_until(lambda: "closed_for_today" in caplog.text, daemon)
        assert station.files(station.drop) == {"good.png"}
        administer(url, REFUSE_ALL[url.get_backend_name()][1].format(table))
        wait_until(station.is_idle, daemon)
    assert len(station.rows("SELECT id FROM inspection")) == 1
    assert station.reconcile()["unaccounted"] == 0


def test_a_file_whose_every_row_is_refused_stays_and_is_reported(tmp_path: Path, tiny: Path, url: URL):
    """If the quarantine row is refused too, the file waits, an event says so, and work goes on."""
    station = Station(tmp_path, tiny, url)
    engine = database.engine(url)
    with engine.begin() as connection:
        for statement in REFUSE_QUARANTINE[url.get_backend_name()]:
            connection.exec_driver_sql(statement)
    engine.dispose()
    (station.drop / "bad.png").write_text("no picture")
    station.put("good.png", seed=1)
    with pytest.raises(StationError, match="1 files stay in the drop folder"):
        station.once()
    assert station.files(station.drop) == {"bad.png"}
    assert len(station.rows("SELECT id FROM inspection")) == 1
    assert not station.rows("SELECT id FROM quarantine")
    [row] = station.rows("SELECT detail FROM event WHERE kind = 'row_refused'")
    assert row.detail.startswith("bad.png: ") and "closed_for_today" in row.detail


def test_frames_that_leave_their_upper_bits_unused_are_reported_once(on_sqlite: Station):
    """12-bit frames in 16-bit words are judged, with one event that names the cure."""
    for number in range(3):
        words = frame(number).astype(np.uint16) << 4
        stream = io.BytesIO()
        Image.fromarray(words).save(stream, "TIFF")
        on_sqlite.deliver(f"dim{number}.tif", stream.getvalue())
    assert on_sqlite.once()["inspected"] == 3
    [(detail,)] = on_sqlite.rows("SELECT detail FROM event WHERE kind = 'unused_bits'")
    assert "data.bit_depth=12" in detail


def test_a_locale_that_is_not_utf8_changes_no_path(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]):
    """In an ASCII locale each name keeps its bytes in the archive, and reconcile in UTF-8 finds all files."""
    station = Station(tmp_path, tiny, url_of("sqlite"))
    for n, name in enumerate(("Naht-ü.png", "焊缝.png")):
        station.put(name, seed=n)
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = station.command("once", **locale)
    assert done.returncode == 0, done.stderr
    assert {Path(name).name.split(".")[0] for name in station.files(station.archive)} == {"Naht-ü", "焊缝"}
    assert station.reconcile()["unaccounted"] == 0
    assert station.command("reconcile", **locale).returncode == 0
