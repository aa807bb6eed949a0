"""``weld-inspect install-artifact``: proved, exchanged under load, taken by the daemon, and taken back."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from artifact_samples import CLASSES, compiled, described, exchanged_golden, student
from managers import running, wait_until
from shelves import figures, killed, say
from sqlalchemy.engine import URL
from stations import Station, frame
from waiting import HANG_S

from inspector.errors import ArtifactError, FolderError, SettingsError, StationError, UsageError
from inspector.ledger import database
from inspector.network import artifact
from inspector.network.metadata import ArtifactFile
from inspector.upkeep import kept_artifacts


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another network with the same classes: version 2."""
    path = tmp_path_factory.mktemp("artifact") / "second.pt"
    compiled(path, student(seed=1), version="2")
    return path


@pytest.fixture
def station(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]) -> Station:
    """A station with an artifact file of its own."""
    installed = tmp_path / "installed.pt"
    shutil.copy(tiny, installed)
    return Station(tmp_path, installed, url_of("sqlite"))


def installed(station: Station) -> Path:
    """The path of the station's artifact."""
    return station.folder / "installed.pt"


def events(station: Station, *kinds: str) -> list[tuple[str, str]]:
    """Kind and detail of the events of some kinds."""
    rows = station.rows("SELECT kind, detail FROM event ORDER BY id")
    return [(row.kind, row.detail) for row in rows if row.kind in kinds]


def changes(station: Station) -> list[tuple[str, str]]:
    """The events of this command."""
    return events(station, "artifact_installed", "artifact_restored")


def sha256(path: Path) -> str:
    """The hash of a file."""
    return ArtifactFile(path, path.read_bytes()).sha256


def write(path: Path, content: bytes) -> Path:
    """Write a file, and return its path."""
    path.write_bytes(content)
    return path


def test_no_frame_is_lost_and_each_row_names_its_judge(station: Station, tiny: Path, second: Path):
    """While frames arrive a new artifact takes over, and the old one again; the rows after each name it."""
    judges = {"1": artifact.open(tiny), "2": artifact.open(second)}
    ended, sent = Event(), 0

    def feed() -> int:
        number = 0
        while not ended.is_set():
            if len(list(station.drop.iterdir())) < 20:  # a slow host gets no backlog
                station.put(f"w{number}.png", seed=number)
                number += 1
            ended.wait(0.005)
        return number

    with running(station.start()) as daemon, ThreadPoolExecutor(1) as pool:
        wait_until(lambda: bool(events(station, "start")), daemon)
        feeding = pool.submit(feed)
        try:
            wait_until(lambda: bool(station.rows("SELECT 1 FROM inspection")), daemon)
            done = say(station, "install-artifact", str(second), "--note", "new  seam\n7")
            assert done.exit_code == 0, done.output
            name = f"tiny 2 ({sha256(second)[:8]})"
            assert f"the daemon judges by it: each later row names {name}" in done.stdout
            before = station.rows("SELECT max(id) AS id FROM inspection")[0].id
            wait_until(lambda: station.rows("SELECT max(id) AS id FROM inspection")[0].id > before, daemon)
            assert figures(station, "install-artifact", "--back")["daemon"] == "reloaded"
        finally:
            ended.set()
            sent = feeding.result(HANG_S)
        wait_until(station.is_idle, daemon)  # threads decode, so a frame may overtake the one before it
        station.put("last.png", seed=sent)
        wait_until(station.is_idle, daemon)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(HANG_S) == 0
    rows = station.rows(
        "SELECT source_name, version, confidence FROM inspection JOIN model ON model.id = model_id"
        " ORDER BY inspection.id"
    )
    assert len(rows) == sent + 1
    assert re.fullmatch("1+2+1+", "".join(row.version for row in rows))
    assert rows[-1].source_name == "last.png"
    for row in rows[:-1]:
        judge = judges[row.version]
        shares = judge.forward(judge.prepare(frame(int(row.source_name[1:-4])))[None])[0][0]
        assert row.confidence == pytest.approx(max(shares.tolist()), abs=1e-5)
    assert station.reconcile()["unaccounted"] == 0
    old, new = (f"tiny {n} ({sha256(path)})" for n, path in (("1", tiny), ("2", second)))
    [first, back] = changes(station)
    assert first[0] == "artifact_installed"
    assert first[1].startswith(f"{new} instead of {old}; by ")
    assert first[1].endswith(": new seam 7")
    assert back[0] == "artifact_restored"
    assert back[1].startswith(f"{old} instead of {new}; by ")


def test_an_unfit_artifact_is_refused(
    station: Station, tiny: Path, second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Each reason is one line with its fix; file, kept files and events stay as they are."""
    before = installed(station).read_bytes()

    def refused(words: tuple[object, ...], kind: type[StationError], says: str) -> None:
        with pytest.raises(kind, match=says) as caught:
            say(station, "install-artifact", *map(str, words))
        assert caught.value.exit_status == 2
        assert "\n" not in str(caught.value)

    broken = write(tmp_path / "broken.pt", exchanged_golden(tiny, second))
    refused((broken,), ArtifactError, "does not answer as when it was made")
    verdict = "do not deploy: worse than a linear model (53% against 71%)"
    poor = write(tmp_path / "poor.pt", described(second, metrics={"training_verdict": verdict}))
    refused((poor,), ArtifactError, "its training ended with 'do not deploy: worse than a linear model")
    refused((tmp_path / "none.pt",), ArtifactError, "no such file")
    refused((write(tmp_path / "text.pt", b"text"),), ArtifactError, "is not an artifact")
    refused((), UsageError, "name the new artifact, or give --back")
    refused((second, "--back"), UsageError, "name the new artifact, or give --back")
    refused(("--back",), UsageError, "no earlier artifact is kept beside it")
    monkeypatch.setenv("WELD_ARTIFACT_SHA256", sha256(tiny))
    refused((second,), ArtifactError, f"set artifact_sha256: {sha256(second)} in .*config.yaml, then run")
    monkeypatch.delenv("WELD_ARTIFACT_SHA256")
    monkeypatch.setenv("WELD_THRESHOLDS", '{"contamination": 0.4}')
    others = [dict(each) for each in CLASSES[:2]] + [{"name": "crack", "role": "defect"}]
    renamed = write(tmp_path / "renamed.pt", described(second, classes=others))
    refused((renamed,), SettingsError, "'contamination' is neither.*; correct 'thresholds' in .*config.yaml")
    assert installed(station).read_bytes() == before
    assert kept_artifacts.kept(installed(station)) == []
    assert station.rows("SELECT 1 FROM event") == []


def test_a_failed_proof_is_one_line_and_exit_status_2(
    station: Station, tiny: Path, second: Path, tmp_path: Path
):
    """The program itself prints one line, without a traceback."""
    broken = write(tmp_path / "broken.pt", exchanged_golden(tiny, second))
    done = station.command("install-artifact", str(broken))
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith(f"weld-inspect: {broken}: does not answer as when it was made")


def test_without_a_daemon_the_next_start_takes_it(station: Station, second: Path):
    """Nothing has to be reloaded: the command says so, and the next row names the new artifact."""
    done = say(station, "install-artifact", str(second))
    assert f"from its next start on, each row names tiny 2 ({sha256(second)[:8]})" in done.stdout
    station.put("a.png", seed=1)
    assert station.once()["inspected"] == 1
    rows = station.rows("SELECT version FROM inspection JOIN model ON model.id = model_id")
    assert [row.version for row in rows] == ["2"]
    again = figures(station, "install-artifact", str(second))
    assert again["before_sha256"] == again["artifact"]["sha256"]
    assert len(changes(station)) == 1


def test_three_are_kept_and_going_back_proves_each(station: Station, tiny: Path, tmp_path: Path):
    """After four changes the first one is gone; a damaged kept file is refused by its hash, and named."""
    for version in "2345":
        new = write(tmp_path / f"{version}.pt", described(tiny, version=version))
        figures(station, "install-artifact", str(new))
    place = installed(station)

    def versions() -> list[str]:
        return [ArtifactFile.read(each.path).metadata().version for each in kept_artifacts.kept(place)]

    assert versions() == ["2", "3", "4"]
    assert figures(station, "install-artifact", "--back")["artifact"]["version"] == "4"
    assert figures(station, "install-artifact", "--back", "--dry-run")["artifact"]["version"] == "3"
    third = next(
        each.path for each in kept_artifacts.kept(place) if sha256(each.path) == sha256(tmp_path / "3.pt")
    )
    content = third.read_bytes()
    third.write_bytes(content[:-1])
    with pytest.raises(
        ArtifactError, match=r"is damaged: its SHA-256 begins with.*--back takes the one before"
    ):
        say(station, "install-artifact", "--back")
    third.unlink()
    assert figures(station, "install-artifact", "--back")["artifact"]["version"] == "2"
    assert ArtifactFile.read(place).metadata().version == "2"
    assert [kind for kind, _ in changes(station)] == ["artifact_installed"] * 4 + ["artifact_restored"] * 2


def test_the_old_file_returns_if_the_daemon_refuses(station: Station, tiny: Path, second: Path):
    """A constraint of the shop's own refuses the new artifact: file and events say that the old one stays."""
    engine = database.engine(station.url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER theirs BEFORE INSERT ON model WHEN NEW.version = '2'"
            " BEGIN SELECT RAISE(ABORT, 'not_released'); END"
        )
    engine.dispose()
    with running(station.start()) as daemon:
        wait_until(lambda: bool(events(station, "start")), daemon)
        with pytest.raises(
            StationError, match=r"the old file is in its place again: .*not_released"
        ) as caught:
            say(station, "install-artifact", str(second))
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(HANG_S) == 0
    assert caught.value.exit_status == 1
    assert sha256(installed(station)) == sha256(tiny)
    assert [kind for kind, _ in changes(station)] == ["artifact_installed", "artifact_restored"]
    assert "the daemon refused" in changes(station)[1][1]


def test_after_a_kill_the_same_command_finishes(station: Station, tiny: Path, second: Path):
    """Killed after its event and before the exchange, the old file is whole; run again, the new one is."""
    point = "inspector.upkeep.kept_artifacts.Path.replace"
    assert killed(station, point, 1, "install-artifact", str(second)) == -signal.SIGKILL
    assert sha256(installed(station)) == sha256(tiny)
    figures(station, "install-artifact", str(second))
    assert sha256(installed(station)) == sha256(second)
    assert figures(station, "install-artifact", "--back")["artifact"]["version"] == "1"


def test_a_damaged_artifact_in_force_can_be_replaced(station: Station, second: Path):
    """The command also repairs a station: the damaged file is kept, and the event names it by its hash."""
    installed(station).write_bytes(b"damaged")
    figures(station, "install-artifact", str(second))
    assert sha256(installed(station)) == sha256(second)
    assert "instead of a file without metadata" in changes(station)[0][1]


def test_other_classes_are_named(station: Station, second: Path, tmp_path: Path):
    """A class that is new, gone, or has another role is a line before the exchange."""
    others: list[dict[str, Any]] = [
        {"name": "good weld", "role": "accept"},
        {"name": "burn through", "role": "accept"},
        {"name": "crack", "role": "defect"},
    ]
    other = write(tmp_path / "other.pt", described(second, classes=others))
    assert figures(station, "install-artifact", str(other), "--dry-run")["differences"] == [
        "new class 'crack' (defect)",
        "no class 'contamination' (defect) any more",
        "'burn through' is accept now, not defect",
    ]


def test_another_account_is_told_whom_to_run_it_as(station: Station, second: Path):
    """A file of another account is left alone: one line names the account and the command."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it gives a file to another account")
    os.chown(installed(station), 61_233, 61_233)
    with pytest.raises(
        FolderError, match=r"belongs to user 61233.*runuser -u user 61233 -- weld-inspect install"
    ):
        say(station, "install-artifact", str(second))
