"""A network that its trainer says not to deploy: refused by every command that would judge by it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from artifact_samples import described
from managers import running, wait_until
from sqlalchemy.engine import URL
from stations import Station
from waiting import HANG_S

from inspector.settings import load
from inspector.upkeep.check import Finding, Level, findings

VERDICT = "do not deploy: worse than a linear model (53% against 71%); label 20 more of 'crack'"


@pytest.fixture
def station(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]) -> Station:
    """A station with an artifact whose training ended badly."""
    return with_verdict(tmp_path, tiny, url_of("sqlite"), VERDICT)


def with_verdict(folder: Path, artifact: Path, url: URL, verdict: str, **metrics: object) -> Station:
    """A station with an artifact of this verdict."""
    installed = folder / "installed.pt"
    installed.write_bytes(described(artifact, metrics={"training_verdict": verdict} | metrics))
    return Station(folder, installed, url)


def reconfigure(station: Station, **changes: object) -> None:
    """Change single settings."""
    station.config.write_text(yaml.safe_dump(yaml.safe_load(station.config.read_text()) | changes))


def finding(station: Station) -> Finding:
    """What ``check`` finds about the artifact."""
    return next(each for each in findings(station.config, load(station.config)) if each.what == "artifact")


def test_the_station_does_not_start(station: Station):
    """``run`` ends with status 2 and one line that holds the verdict; the image stays where it is."""
    station.put("a.png", seed=1)
    done = station.command("run")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert f"installed.pt: its training ended with '{VERDICT}'; train it again" in line
    assert not station.is_idle()
    assert station.rows("SELECT 1 FROM inspection") == []


def test_check_finds_it(station: Station):
    """``check`` calls it wrong; once the settings accept it, it is a note with the same words."""
    wrong = finding(station)
    assert wrong.level is Level.WRONG
    assert VERDICT in wrong.detail
    reconfigure(station, accept_unfit_artifact=True)
    note = finding(station)
    assert note.level is Level.NOTE
    assert VERDICT in note.detail


@pytest.mark.parametrize(
    ("verdict", "level"), [("ready", Level.OK), ("usable with review: 34% are reviewed", Level.NOTE)]
)
def test_check_repeats_a_better_verdict(
    verdict: str, level: Level, tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]
):
    """*ready* is part of the good news, *usable with review* is a note."""
    found = finding(with_verdict(tmp_path, tiny, url_of("sqlite"), verdict))
    assert found.level is level
    assert verdict in found.detail


@pytest.mark.parametrize(("kept", "level"), [(True, Level.OK), (False, Level.NOTE)])
def test_check_repeats_the_promise(
    kept: bool, level: Level, tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]
):
    """A promise that keeps the wish is good news, a lesser one a note; other thresholds void it."""
    promise = {"kept": kept, "words": "at most 1.0% of the frames of each defect class PASS"}
    station = with_verdict(tmp_path, tiny, url_of("sqlite"), "ready", promise=promise)
    found = finding(station)
    assert found.level is level
    assert promise["words"] in found.detail
    reconfigure(station, thresholds={"accept": 0.9})
    found = finding(station)
    assert found.level is Level.NOTE
    assert "the setting thresholds replaces those that its promise about escapes is about" in found.detail


def test_the_setting_accepts_it_and_a_reload_without_the_setting_is_refused(station: Station):
    """With ``accept_unfit_artifact`` it judges; a reload that takes the setting away changes nothing."""
    reconfigure(station, accept_unfit_artifact=True)
    with running(station.start()) as daemon:
        wait_until(lambda: bool(station.rows("SELECT 1 FROM event WHERE kind = 'start'")), daemon)
        reconfigure(station, accept_unfit_artifact=False)
        daemon.send_signal(signal.SIGHUP)
        refused = "SELECT detail FROM event WHERE kind = 'reload_refused'"
        wait_until(lambda: bool(station.rows(refused)), daemon)
        station.put("a.png", seed=1)
        wait_until(station.is_idle, daemon)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(HANG_S) == 0
    assert VERDICT in station.rows(refused)[0].detail
    assert len(station.rows("SELECT 1 FROM inspection")) == 1
