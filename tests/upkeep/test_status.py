"""``weld-inspect status``: one screen about a real station, running or not."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ledger_samples import in_force, inspected
from managers import running, wait_until
from ports import free_port
from sqlalchemy.engine import URL
from stations import Station

from inspector import filesystems
from inspector.ledger.store import Store
from inspector.records import Review, Verdict
from inspector.settings import load
from inspector.upkeep import status


def screen(station: Station) -> dict[str, str]:
    """Return the lines by name; of several events the oldest."""
    return {line.name: line.text for line in status.lines(load(station.config))}


def test_a_running_station_on_one_screen(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]):
    """The screen shows process, health, artifact, waiting files, verdicts, quarantine and last events."""
    station = Station(tmp_path, tiny, url_of("sqlite"), metrics_port=free_port(), min_free_gigabytes=0)
    with running(station.start()) as daemon:
        for n in range(3):
            station.put(f"w{n}.png", seed=n)
        station.deliver("bad.png", b"no picture")
        wait_until(lambda: station.is_idle() and screen(station)["health"] == "all is well", daemon)
        (station.drop / "half.png.part").touch()
        state = screen(station)
        shown = station.command("status", http_proxy="http://127.0.0.1:9", no_proxy="")
    assert state["daemon"] == f"running (process {daemon.pid})"
    assert state["artifact"].startswith("tiny 1 (")
    assert state["waiting"] == "nothing"
    assert sum(int(part.split()[0]) for part in state["last 24 h"].split(", ")) == 3
    assert state["quarantined"] == "1 not_an_image"
    assert "start: tiny 1" in state["event"]
    assert shown.returncode == 0, shown
    assert "all is well" in shown.stdout
    assert len(shown.stdout.splitlines()) <= 24
    waiting = sum(
        row.n for row in station.rows("SELECT count(*) AS n FROM inspection WHERE verdict <> 'PASS'")
    )
    in_line = (
        sum(int(part.split()[0]) for part in state["review"].split(", ")) if waiting else state["review"]
    )
    assert in_line == (waiting or "none")


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_the_last_day_is_counted_by_final_verdicts(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL], backend: str
):
    """The screen counts a person's verdicts before the station's, and with --verdicts station only those."""
    station = Station(tmp_path, tiny, url_of(backend))
    now_us = time.time_ns() // 1000
    with Store.open(station.url, "cell-1", seam_gap_s=300) as store:
        verdicts = (Verdict.PASS, Verdict.FAIL, Verdict.REVIEW, Verdict.REVIEW)
        images = [
            inspected(f"{n}.png", verdict=verdict, inspected_us=now_us) for n, verdict in enumerate(verdicts)
        ]
        ids = store.record(images, in_force(store))
        store.record_reviews([Review(ids[2], "ann", Verdict.FAIL), Review(ids[3], "ann", Verdict.REVIEW)])
    assert screen(station)["last 24 h"] == "2 FAIL, 1 PASS, 1 REVIEW (final verdicts)"
    shown = station.command("status", "--verdicts", "station").stdout
    assert "1 FAIL, 1 PASS, 2 REVIEW (the station's verdicts)\n" in shown


def test_a_polled_folder_is_reported(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL], monkeypatch: pytest.MonkeyPatch
):
    """On a network file system the screen says that scans find new files, and how often."""
    station = Station(tmp_path, tiny, url_of("sqlite"))
    assert "polling" not in screen(station)
    table = tmp_path / "mountinfo"
    table.write_text(
        f"27 1 254:0 / / rw - ext4 /dev/vda rw\n28 27 0:9 / {station.drop} rw - nfs4 server:/share rw\n"
    )
    monkeypatch.setattr(filesystems, "_MOUNTS", table)
    assert screen(station)["polling"] == "the drop folder is on nfs4: a scan every 0.5 s finds new files"


def test_a_stopped_station_and_a_missing_database_are_reported(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]
):
    """Without a daemon the screen shows the age of waiting files, and a missing database in one line."""
    station = Station(tmp_path, tiny, url_of("sqlite"), metrics_port=free_port())
    assert screen(station)["database"] == "the station has never opened it"
    station.put("w.png", seed=1)
    Path(str(station.url.database)).unlink()
    state = screen(station)
    assert state["daemon"].startswith("not running")
    assert state["health"].startswith("no answer on port")
    assert state["waiting"].startswith("1 files, the oldest for ")
    assert "there is no database yet" in state["database"]
    done = station.command("status")
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n[1, 2]", "another program answers on port"),
        (b"HTTP/1.0 404 Not Found\r\n\r\n<html>no</html>", "another program answers on port"),
        (b'HTTP/1.0 200 OK\r\n\r\n{"healthy": true}', "another program answers on port"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "another program answers on port"),
        (b"", "another program answers on port"),
        (b"HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\n{", "another program answers on port"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "another program answers on port"),
        (b"HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:9/healthz\r\n\r\n", "another program answers"),
        (b"HTTP/1.0 302 Found\r\nLocation: ://[\r\n\r\n", "another program answers on port"),
        (b"HTTP/1.0 200 OK\r\n\r\n" + b"[" * 200_000, "another program answers on port"),
        (b"HTTP/1.0 200 OK\r\n\r\n\xff\xfe{}", "another program answers on port"),
        (
            b'HTTP/1.0 200 OK\r\n\r\n{"healthy": true, "faults": {}, "artifact": "a", "station": "\\u001b["}',
            "another program answers on port",
        ),
        (
            b'HTTP/1.0 200 OK\r\n\r\n{"healthy": true, "faults": {}, "artifact": "a", "station": "cell-9"}',
            "station cell-9 answers on port",
        ),
    ],
)
def test_another_program_on_the_port_is_reported(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL], answer: bytes, says: str
):
    """Any other program that answers on the port is named in one line, and the screen goes on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        station = Station(tmp_path, tiny, url_of("sqlite"), metrics_port=server.getsockname()[1])

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        state = screen(station)
        thread.join()
    assert state["health"].startswith(says)
    assert state["daemon"].startswith("not running")
    assert state["waiting"] == "nothing"


def test_a_program_that_never_ends_its_answer_keeps_no_screen_waiting(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL], monkeypatch: pytest.MonkeyPatch
):
    """One that sends a byte now and then is cut off, although each byte comes in time."""
    monkeypatch.setattr(status, "_MAX_ANSWER_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        station = Station(tmp_path, tiny, url_of("sqlite"), metrics_port=server.getsockname()[1])

        def serve() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n[")
                while True:  # until the other side is gone
                    connection.sendall(b" ")
                    time.sleep(0.01)

        thread = threading.Thread(target=serve)
        thread.start()
        state = screen(station)
        thread.join()
    assert state["health"].startswith("no answer on port")
