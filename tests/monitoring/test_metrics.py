"""Metrics and health of a real daemon, scraped over HTTP; each fault is a real one."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from disks import mount, small_disk, unmount
from managers import Worker, wait_until, working
from ports import free_port
from prometheus_client.parser import text_string_to_metric_families
from servers import postgresql_server, postgresql_url
from sqlalchemy.engine import URL
from stations import Station
from waiting import HANG_S, wait_for

import inspector
from inspector.ledger import database
from inspector.ledger.store import migrate
from inspector.monitoring.metrics import QUARANTINE_REASONS, Metrics
from inspector.records import ArtifactInUse


class Page:
    """The answers of a daemon on its port."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"

    def health(self) -> tuple[int, dict[str, Any]]:
        """Status and content of /healthz; status 0 if there is no answer yet."""
        try:
            with urllib.request.urlopen(f"{self._base}/healthz", timeout=HANG_S) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:  # also of a busy page that took the connection and dropped it after 10 s
            return 0, {}

    def metrics(self) -> dict[str, float]:
        """Samples by ``name{label values}``; a busy page that dropped the connection is asked again."""
        texts: list[str] = []

        def is_answered() -> bool:
            with (
                contextlib.suppress(ConnectionError),
                urllib.request.urlopen(f"{self._base}/metrics", timeout=HANG_S) as answer,
            ):
                texts.append(answer.read().decode())
            return bool(texts)

        wait_for(is_answered)
        families = text_string_to_metric_families(texts[0])
        return {
            sample.name + "".join(f"{{{value}}}" for _, value in sorted(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }


@contextmanager
def station_with_page(
    folder: Path, artifact: Path, url: URL, **settings: Any
) -> Iterator[tuple[Station, Page, Worker]]:
    """A station at work whose page is green."""
    port = free_port()
    station = Station(folder, artifact, url, metrics_port=port, **({"min_free_gigabytes": 0} | settings))
    page = Page(port)
    with working(station.config) as daemon:
        wait_until(lambda: page.health()[0] == 200, daemon)
        # The page opens before the folders are looked at, and a folder that is missing then ends the daemon.
        wait_until(lambda: station.rows("SELECT id FROM event WHERE kind = 'start'"), daemon)
        yield station, page, daemon


def shows(page: Page, fault: str) -> bool:
    """Whether the page is red for this fault."""
    status, about = page.health()
    return status == 503 and fault in about["faults"] and page.metrics()[f"weldnet_fault{{{fault}}}"] == 1


def is_green(page: Page) -> bool:
    """Whether the page is green, and so are the gauges."""
    return page.health()[0] == 200 and not any(
        value for name, value in page.metrics().items() if name.startswith("weldnet_fault{")
    )


def test_the_metrics_agree_with_the_ledger(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]):
    """A real client reads the same verdicts, reasons, times and artifact as the database has."""
    with station_with_page(tmp_path, tiny, url_of("sqlite")) as (station, page, daemon):
        for n in range(12):
            station.put(f"w{n}.png", seed=n)
        station.deliver("bad.png", b"no picture")
        wait_until(station.is_idle, daemon)
        wait_until(lambda: page.metrics()["weldnet_pending_files"] == 0, daemon)
        scraped, about = page.metrics(), page.health()[1]
    for verdict, count in station.rows("SELECT verdict, count(*) FROM inspection GROUP BY verdict"):
        assert scraped[f"weldnet_inspected_total{{{verdict}}}"] == count
    assert scraped["weldnet_quarantined_total{not_an_image}"] == 1
    assert scraped["weldnet_batch_frames_sum"] == 12
    totals = [row.total_ms for row in station.rows("SELECT total_ms FROM inspection")]
    assert scraped["weldnet_stage_seconds_sum{total}"] == pytest.approx(sum(totals) / 1000)
    assert scraped["weldnet_stage_seconds_count{decode}"] == 12
    assert scraped["weldnet_oldest_pending_seconds"] == 0
    assert scraped["weldnet_disk_free_bytes{archive}"] > 0
    (sha256,) = station.rows("SELECT artifact_sha256 FROM model")
    assert scraped[f"weldnet_artifact_info{{tiny}}{{{sha256.artifact_sha256}}}{{1}}"] == 1
    assert about["artifact"] == f"tiny 1 ({sha256.artifact_sha256[:8]})"


def test_every_reason_of_the_quarantine_has_a_series_from_the_start() -> None:
    """A series that began at its first file would hide that file from every rate, and so from the alert."""
    source = "".join(file.read_text() for file in Path(inspector.__file__).parent.rglob("*.py"))
    raised = set(re.findall(r'ImageError\(\s*"(\w+)"', source)) - {"vanished"}  # it leaves nothing to move
    assert raised == set(QUARANTINE_REASONS)
    series = Metrics(ArtifactInUse("tiny", "1", "0" * 64)).registry
    for reason in QUARANTINE_REASONS:
        assert series.get_sample_value("weldnet_quarantined_total", {"reason": reason}) == 0


def test_no_port_is_open_unless_asked_for(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]):
    """By default the daemon listens on no TCP port."""
    station = Station(tmp_path, tiny, url_of("sqlite"))
    with working(station.config) as daemon:
        station.put("w.png", seed=1)
        wait_until(station.is_idle, daemon)
        assert not [c for c in psutil.Process().net_connections() if c.status == "LISTEN"]


def test_a_taken_port_is_refused(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]):
    """A port that another program has is one clear line and status 2."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        station = Station(tmp_path, tiny, url_of("sqlite"), metrics_port=port)
        done = station.command("run")
    assert done.returncode == 2
    assert done.stderr.endswith(f"metrics_port {port}: Address already in use; choose another\n")


def test_a_lost_folder_a_full_disk_and_a_hanging_commit_turn_the_page_red(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]
):
    """Each fault is shown by its name, and the page is green again after its end."""
    free = os.statvfs(tmp_path)
    room = free.f_bavail * free.f_frsize
    settings = {"min_free_gigabytes": (room - 2**29) / 2**30}
    with station_with_page(tmp_path, tiny, url_of("sqlite"), **settings) as (station, page, daemon):
        station.drop.rename(tmp_path / "elsewhere")
        wait_until(lambda: shows(page, "drop_folder"), daemon)
        (tmp_path / "elsewhere").rename(station.drop)
        wait_until(lambda: is_green(page), daemon)

        filler = tmp_path / "filler"
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 2**30)
        wait_until(lambda: shows(page, "disk"), daemon)
        filler.unlink()
        wait_until(lambda: is_green(page), daemon)

        engine = database.immediate(database.engine(station.url))
        with engine.begin():  # the write lock
            station.put("w.png", seed=1)
            wait_until(lambda: shows(page, "stuck"), daemon)
        engine.dispose()
        wait_until(lambda: is_green(page), daemon)
        wait_until(station.is_idle, daemon)


def test_an_idle_station_counts_from_its_start(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]):
    """Before the first image the age of the last one counts from the start, so that no alert fires on it."""
    before = time.time()
    with station_with_page(tmp_path, tiny, url_of("sqlite")) as (_, page, _):
        assert before <= page.metrics()["weldnet_last_inspection_timestamp_seconds"] <= time.time()


def test_a_drop_folder_that_comes_back_on_another_device_is_green(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]
):
    """The page is red while the empty mount point is there, and green once the daemon takes the remount."""
    places = ("drop", "archive", "quarantine")
    with small_disk(tmp_path / "disk") as disk:
        for place in places:
            (disk / place).mkdir()
        settings = {f"{place}_folder": str(disk / place) for place in places}
        with station_with_page(tmp_path, tiny, url_of("sqlite"), **settings) as (_, page, daemon):
            first = disk.stat().st_dev
            unmount(disk)
            (disk / "drop").mkdir()
            wait_until(lambda: shows(page, "drop_folder"), daemon)
            mount(disk)
            for place in places:
                (disk / place).mkdir()
            assert disk.stat().st_dev != first
            wait_until(lambda: is_green(page), daemon)


def test_a_database_that_is_down_turns_the_page_red_though_no_image_comes(tmp_path: Path, tiny: Path):
    """With PostgreSQL stopped an idle station's page is red, and green after its start."""
    with postgresql_server() as server:
        url = postgresql_url(server)
        migrate(url)
        with station_with_page(tmp_path, tiny, url) as (station, page, daemon):
            server.stop()
            wait_until(lambda: shows(page, "database"), daemon)
            station.put("w.png", seed=1)
            server.ensure_postgres_running()
            wait_until(lambda: is_green(page) and station.is_idle(), daemon)


def test_the_log_as_json_is_one_object_a_batch_and_a_problem_and_no_password(tmp_path: Path, tiny: Path):
    """Each log line is a JSON object: the first image, batches and bad files, without a password."""
    with postgresql_server() as server:
        url = postgresql_url(server).set(password="open-sesame")  # noqa: S106 - what must not be seen
        migrate(url)
        station = Station(tmp_path, tiny, url, log_format="json", batch_size=4)
        for n in range(4):
            station.put(f"w{n}.png", seed=n)
        (station.drop / "bad.png").write_text("no picture")
        done = station.command("once")
        server.stop()
        away = station.command("once")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert sum(line["frames"] for line in lines if line.get("event") == "batch") == 4
    assert [line["file"] for line in lines if line.get("event") == "quarantine"] == ["bad.png"]
    assert len([line for line in lines if line["message"].startswith("w")]) == 1, "only the first image"
    assert all(line["time"].endswith("+00:00") and line["level"] in ("INFO", "WARNING") for line in lines)
    assert away.returncode == 1
    assert "open-sesame" not in done.stderr + away.stderr
