"""SIGHUP to a working station: new rules between two batches, or the old ones and the reason."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from artifact_samples import compiled, exchanged_golden, student
from managers import manager, running, wait_until, working
from sqlalchemy.engine import URL
from stations import Station, frame
from waiting import HANG_S

from inspector.ledger import database
from inspector.network import artifact


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another network with the same classes: version 2."""
    path = tmp_path_factory.mktemp("artifact") / "second.pt"
    compiled(path, student(seed=1), version="2")
    return path


@pytest.fixture
def station(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]) -> Station:
    """A station with an artifact file of its own, which a test may replace."""
    installed = tmp_path / "installed.pt"
    shutil.copy(tiny, installed)
    return Station(tmp_path, installed, url_of("sqlite"))


@pytest.fixture(scope="session")
def broken(tiny: Path, second: Path) -> bytes:
    """The first network with the second one's golden frames: whole, but with wrong answers."""
    return exchanged_golden(tiny, second)


def install(new: bytes, station: Station) -> None:
    """Put another artifact in place of the installed one, as the notes say: copy, then rename."""
    copy = station.folder / "new.pt"
    copy.write_bytes(new)
    copy.rename(station.folder / "installed.pt")


def reconfigure(station: Station, changes: dict[str, object]) -> None:
    """Change single settings."""
    station.config.write_text(yaml.safe_dump(yaml.safe_load(station.config.read_text()) | changes))


def events(station: Station, kind: str) -> list[str]:
    """Details of the events of one kind."""
    return [row.detail for row in station.rows(f"SELECT detail FROM event WHERE kind = '{kind}' ORDER BY id")]


def test_reloads_under_load_lose_nothing_and_each_row_names_its_judge(
    station: Station, tiny: Path, second: Path, broken: bytes
):
    """A good artifact takes over between batches, a broken one never; each row has its network's figures."""
    judges = {"1": artifact.open(tiny), "2": artifact.open(second)}
    sent = 0

    def send(count: int) -> None:
        nonlocal sent
        for _ in range(count):
            station.put(f"w{sent}.png", seed=sent)
            sent += 1

    with running(station.start()) as daemon:
        wait_until(lambda: bool(events(station, "start")), daemon)
        send(30)
        install(second.read_bytes(), station)
        daemon.send_signal(signal.SIGHUP)
        while not events(station, "reload"):
            send(5)
            assert daemon.poll() is None
        send(20)
        install(broken, station)
        daemon.send_signal(signal.SIGHUP)
        while not events(station, "reload_refused"):
            send(5)
            assert daemon.poll() is None
        send(20)
        wait_until(station.is_idle, daemon)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(HANG_S) == 0
    rows = station.rows(
        "SELECT source_name, version, label, confidence FROM inspection JOIN model ON model.id = model_id"
        " ORDER BY inspection.id"
    )
    assert len(rows) == sent
    versions = [row.version for row in rows]
    assert versions == sorted(versions)
    assert set(versions) == {"1", "2"}
    differing = 0
    for row in rows:
        probabilities = _alone(judges[row.version], int(row.source_name[1:-4]))
        other = _alone(judges["1" if row.version == "2" else "2"], int(row.source_name[1:-4]))
        assert row.confidence == pytest.approx(max(probabilities), abs=1e-5)
        differing += row.confidence != pytest.approx(max(other), abs=1e-5)
    assert differing > 0.9 * len(rows)
    assert "tiny 2" in events(station, "reload")[0]
    assert "does not answer as when it was made" in events(station, "reload_refused")[0]
    assert station.reconcile()["unaccounted"] == 0


def _alone(judge: artifact.Artifact, seed: int) -> list[float]:
    """Probabilities of one frame, judged alone."""
    return judge.forward(judge.prepare(frame(seed))[None])[0][0].tolist()


def test_wrong_and_unreloadable_settings_are_refused_and_right_ones_taken(station: Station):
    """A typo or another database is refused by name; new thresholds are in force from the next row on."""
    with working(station.config) as daemon:
        wait_until(lambda: bool(events(station, "start")), daemon)
        for count, (change, says) in enumerate(
            [
                ({"batch_sise": 4}, "did you mean 'batch_size'?"),
                ({"station": "cell-2"}, "station changed; restart the service"),
                ({"thresholds": {"crack": 0.5}}, "'crack' is neither"),
            ],
            start=1,
        ):
            before = station.config.read_text()
            reconfigure(station, change)
            daemon.reload()
            wait_until(lambda n=count: len(events(station, "reload_refused")) == n, daemon)
            assert says in events(station, "reload_refused")[-1]
            station.config.write_text(before)
        reconfigure(station, {"thresholds": {"accept": 0.0, "defect": 1.0}})
        daemon.reload()
        wait_until(lambda: bool(events(station, "reload")), daemon)
        station.put("w.png", seed=1)
        wait_until(station.is_idle, daemon)
    assert [row.verdict for row in station.rows("SELECT verdict FROM inspection")] == ["PASS"]


def test_rules_whose_row_the_database_refuses_are_not_put_in_force(station: Station, second: Path):
    """A shop's own constraint on the artifacts refuses a reload in its words; the old artifact judges on."""
    engine = database.engine(station.url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER theirs BEFORE INSERT ON model WHEN NEW.version = '2'"
            " BEGIN SELECT RAISE(ABORT, 'not_released'); END"
        )
    engine.dispose()
    with working(station.config) as daemon:
        wait_until(lambda: bool(events(station, "start")), daemon)
        install(second.read_bytes(), station)
        daemon.reload()
        wait_until(lambda: bool(events(station, "reload_refused")), daemon)
        station.put("w.png", seed=1)
        wait_until(station.is_idle, daemon)
    [said] = events(station, "reload_refused")
    assert "not_released" in said and "tiny 1" in said
    rows = station.rows("SELECT version FROM inspection JOIN model ON model.id = model_id")
    assert [row.version for row in rows] == ["1"]


def test_the_manager_hears_the_reload_begin_and_end(station: Station, tmp_path: Path):
    """The messages come in this order: READY, STATUS, WATCHDOG, RELOADING, READY again, STOPPING."""
    with (
        manager(tmp_path) as systemd,
        running(station.start(NOTIFY_SOCKET=str(systemd.path), WATCHDOG_USEC="400000")) as daemon,
    ):
        systemd.expect("READY=1")
        systemd.expect("STATUS=0 inspected")
        systemd.expect("WATCHDOG=1")
        before_s = float(Path("/proc/uptime").read_text().split()[0])
        daemon.send_signal(signal.SIGHUP)
        word, instant = systemd.expect("RELOADING=1").split("\n")
        assert word == "RELOADING=1"
        assert int(instant.removeprefix("MONOTONIC_USEC=")) / 1e6 == pytest.approx(before_s, abs=60)
        systemd.expect("READY=1")
        systemd.expect("WATCHDOG=1")
        daemon.send_signal(signal.SIGTERM)
        systemd.expect("STOPPING=1")
        assert daemon.wait(HANG_S) == 0
    assert [word for word in systemd.heard if word == "READY=1"] == ["READY=1"] * 2
