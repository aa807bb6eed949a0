"""Archived images judged again by another artifact: the same answers, once each, whatever interrupts it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest
from archives import assert_alike, full_archive, verdicts
from artifact_samples import compiled, student
from sqlalchemy.engine import URL
from stations import Station
from waiting import wait_for

from inspector import settings as settings_file
from inspector.errors import FolderError, SettingsError, UsageError
from inspector.ledger.store import Store
from inspector.records import Outcome, Verdict
from inspector.station import composition
from inspector.station.archive_places import ArchivePlace, place_of
from inspector.times import instants
from inspector.upkeep import chosen_images, rejudge_engines
from inspector.upkeep.chosen_images import Chosen
from inspector.upkeep.rejudge import Places, Rejudged, rejudge
from inspector.upkeep.rejudge_engines import local

EVER = instants(None, None, settings_file.Settings(station="s").zone)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another artifact than the station's, with the same classes."""
    path = tmp_path_factory.mktemp("other") / "other.pt"
    compiled(path, student(seed=1), version="2")
    return path


@pytest.fixture
def station(tmp_path: Path, tiny: Path, url: URL) -> Station:
    """A station that has judged eleven images in batches."""
    station = Station(tmp_path, tiny, url, batch_size=4)
    for number in range(11):
        station.put(f"{number}.png", number)
    assert station.once()["inspected"] == 11
    return station


def again(
    station: Station, artifact: Path, chosen: Chosen | None = None, archive: ArchivePlace | None = None
) -> Rejudged:
    """Judge again in this process; the thread of a pool ends with it."""
    settings = settings_file.load(station.config)
    opinion = composition.second_opinion(settings, artifact, batch_size=3, archive=archive)
    with Store.open(settings.url, settings.station, seam_gap_s=300) as store:
        places = Places("cell-1", station.drop, opinion.archive)
        engine = local(opinion, workers=2, batch_size=3, beside_daemon=lambda: False)
        return rejudge(
            store, settings.url, opinion.register(store), engine, chosen=chosen or Chosen(EVER), places=places
        )


def test_the_same_artifact_gives_the_same_answers(station: Station, tiny: Path) -> None:
    """Judged again, in batches of another size, each image has the daemon's answer to the last bit."""
    result = again(station, tiny)
    assert (result.judged, result.changed, result.failed, result.skipped.total()) == (11, 0, 0, 0)
    assert verdicts(station) == verdicts(station, "inspection", "id")


def test_another_artifact_is_recorded_beside_the_station(station: Station, tiny: Path, other: Path) -> None:
    """Its verdicts are rows of their own, with its name; 'changed' counts those that differ."""
    before = verdicts(station, "inspection", "id")
    result = again(station, other)
    assert verdicts(station, "inspection", "id") == before
    mine, theirs = verdicts(station), before
    changed = sum(one[1] != two[1] for one, two in zip(mine, theirs, strict=True))
    assert (result.judged, result.changed) == (11, changed)
    names = "SELECT DISTINCT model, model_version, substr(run, 1, 10) AS run FROM v_rejudgement"
    assert [tuple(row) for row in station.rows(names)] == [("tiny", "2", "rejudge 20")]
    assert again(station, other).done == 0, "a repetition adds nothing"
    assert again(station, tiny).judged == 11, "each artifact has its own rows"


def test_a_run_goes_on_where_it_was(
    station: Station, other: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Pages, a limit and a later run add up to the rows of one run; the log estimates what is left."""
    monkeypatch.setattr(chosen_images, "_IMAGES_PER_PAGE", 2)
    monkeypatch.setattr(chosen_images, "_NUMBERS_PER_QUERY", 3)
    with caplog.at_level(logging.INFO):
        assert again(station, other, Chosen(EVER, limit=5)).judged == 5
    assert "rejudge: 2 of 5 images" in caplog.text
    assert [row[0] for row in verdicts(station)] == [1, 2, 3, 4, 5]
    assert again(station, other).judged == 6
    assert [row[0] for row in verdicts(station)] == list(range(1, 12))


def test_images_are_chosen_by_verdict_part_and_period(tmp_path: Path, tiny: Path, url: URL) -> None:
    """Only images with this verdict of the station, of this part, and judged in this period are judged."""
    station = Station(tmp_path, tiny, url, name_pattern=r"(?P<part>P\d)-")
    for number in range(6):
        station.put(f"P{number % 2}-{number}.png", number)
    station.once()
    said = {row.verdict for row in station.rows("SELECT verdict FROM inspection")}
    for verdict in said:
        again(station, tiny, Chosen(EVER, verdict=Verdict(verdict), part="P1"))
        wanted = f"SELECT id FROM inspection WHERE verdict = '{verdict}' AND part = 'P1' ORDER BY id"
        found = f"SELECT inspection_id FROM rejudgement WHERE verdict = '{verdict}' ORDER BY inspection_id"
        assert [row[0] for row in station.rows(found)] == [row[0] for row in station.rows(wanted)]
    [third] = station.rows("SELECT inspected_us FROM inspection WHERE id = 3")
    assert again(station, tiny, Chosen((0, third[0]))).done == len(
        station.rows(f"SELECT id FROM inspection WHERE inspected_us < {third[0]} AND part = 'P0'")
    )


def test_images_that_cannot_be_judged_are_rows_with_the_reason(station: Station, other: Path) -> None:
    """Pruned, missing and altered images are skipped and recorded; one on its way is tried again later."""
    [(first, *_), *others] = station.rows("SELECT archive_path, source_name FROM inspection ORDER BY id")
    paths = [station.archive / row.archive_path for row in others[:3]]
    with Store.open(station.url, "cell-1", seam_gap_s=300) as store:
        [arrival] = station.rows(f"SELECT id FROM arrival WHERE path = '{first}'")
        store.record_removals([arrival.id], Outcome.PRUNED)
    (station.archive / first).unlink()
    paths[0].unlink()
    paths[1].write_bytes(b"another image")
    waiting = station.drop / others[2].source_name
    paths[2].rename(waiting)
    result = again(station, other)
    assert (result.judged, result.failed, dict(result.skipped)) == (
        7,
        1,
        {"pruned": 1, "missing": 1, "altered": 1},
    )
    empty = "SELECT inspection_id, reason FROM rejudgement WHERE verdict IS NULL ORDER BY inspection_id"
    assert [tuple(row) for row in station.rows(empty)] == [(1, "pruned"), (2, "missing"), (3, "altered")]
    waiting.rename(paths[2])
    assert again(station, other).judged == 1
    assert again(station, other).done == 0, "what is gone for good is not looked for again"


def test_an_archive_that_is_not_there_is_no_missing_image(station: Station, other: Path) -> None:
    """If the whole archive is empty or gone, as without its disk, one line says so and no row is written."""
    shutil.move(station.archive, station.folder / "elsewhere")
    for match in ("No such file", "is empty, and the database has images in it"):
        with pytest.raises(FolderError, match=match):
            again(station, other)
        station.archive.mkdir(exist_ok=True)
    assert verdicts(station) == []


def test_the_archive_may_be_a_mount_or_a_url(station: Station, tiny: Path, other: Path) -> None:
    """A copy of the archive elsewhere gives the same answers; its missing and altered files are noticed."""
    mounted = station.folder / "mount"
    shutil.copytree(station.archive, mounted)
    before = verdicts(station, "inspection", "id")
    assert again(station, tiny, archive=place_of(str(mounted))).judged == 11
    assert verdicts(station) == before
    name = station.folder.name  # files in memory outlive a test
    url = place_of(f"memory://{name}/")
    with pytest.raises(FolderError, match=f"memory://{name}: .*correct --images"):
        again(station, other, archive=url)
    files = fsspec.filesystem("memory")
    paths = [row[0] for row in station.rows("SELECT archive_path FROM inspection ORDER BY id")]
    for path in paths[2:]:
        files.pipe(f"/{name}/{path}", (station.archive / path).read_bytes())
    files.pipe(f"/{name}/{paths[1]}", b"another image")
    result = again(station, other, archive=url)
    assert (result.judged, dict(result.skipped)) == (9, {"missing": 1, "altered": 1})
    with pytest.raises(UsageError, match="nowhere://archive: "):
        place_of("nowhere://archive")


def test_a_damaged_image_has_the_decoders_reason(station: Station, other: Path) -> None:
    """An image that no longer decodes, as by stricter limits, is a row with the decoder's reason."""
    settings = settings_file.load(station.config)
    station.config.write_text(f"{station.config.read_text()}max_megapixels: 0.001\n")
    assert settings.max_megapixels > 0.001
    assert dict(again(station, other).skipped) == {"too_large": 11}


def test_beside_a_daemon_only_idle_time_is_used(station: Station, other: Path) -> None:
    """A thread that judges beside a daemon has the lowest priority; the one that writes keeps its own."""
    opinion = composition.second_opinion(settings_file.load(station.config), other, batch_size=1)
    with ThreadPoolExecutor(1) as pool:
        for beside_daemon, policy in ((False, os.SCHED_OTHER), (True, os.SCHED_IDLE)):
            pool.submit(rejudge_engines._judge, opinion, beside_daemon, []).result()
            assert pool.submit(os.sched_getscheduler, 0).result() == policy
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def command(station: Station, artifact: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a program."""
    return station.command("rejudge", "--artifact", str(artifact), *words)


def test_the_command_prints_one_object(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]) -> None:
    """With --json stdout is one object with the fields of the design; wrong usage is one clear line."""
    station = Station(tmp_path, tiny, url_of("sqlite"))
    station.put("a.png", 1)
    station.once()
    done = command(station, tiny, "--json", "--workers", "2", "--verdict", "fail", "--verdict", "REVIEW")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert list(figures) == ["judged", "skipped", "failed", "changed", "seconds", "images_per_second"]
    for words, line in {
        ("--engine", "spark"): "--engine 'spark': there is local and ray",
        ("--work", "w"): "--work needs --engine ray",
        ("--verdict", "good"): "--verdict 'good' is not a verdict; use PASS, FAIL or REVIEW",
        ("--since", "yesterday"): "--since 'yesterday' is not a date",
    }.items():
        done = command(station, tiny, *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert line in done.stderr
        assert "Traceback" not in done.stderr
    done = command(station, station.config)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_thresholds_that_fit_only_the_station_are_refused(station: Station, tmp_path: Path) -> None:
    """A threshold for a class that the other artifact lacks is one line with both names."""
    from inspector.network.metadata import WeldClass

    path = tmp_path / "fewer.pt"
    classes = [
        WeldClass(name=name, role=role) for name, role in (("ok", "accept"), ("a", "defect"), ("b", "defect"))
    ]
    compiled(path, classes=classes)
    station.config.write_text(f"{station.config.read_text()}thresholds: {{contamination: 0.9}}\n")
    with pytest.raises(SettingsError, match=r"fewer\.pt: thresholds: 'contamination'"):
        again(station, path)


def test_killed_runs_add_up_to_the_rows_of_one_run(tmp_path: Path, tiny: Path, other: Path, url: URL) -> None:
    """Kill -9 after any page loses nothing and repeats nothing: the next run goes on with the rest."""
    station = full_archive(tmp_path, tiny, url, 1304)
    program = [*station._program(), "rejudge", "--artifact", str(other)]
    for recorded in (0, 1, 501):  # before the first page, within the second, within the third
        with subprocess.Popen([*program, "--config", str(station.config)], stderr=subprocess.DEVNULL) as run:
            wait_for(lambda n=recorded, run=run: run.poll() is not None or len(verdicts(station)) >= n)
            run.kill()
    done = command(station, other, "--json")
    assert done.returncode == 0, done.stderr
    found = {row[0]: row[1:] for row in verdicts(station)}
    assert list(found) == list(range(1, 1305))
    assert [row.n for row in station.rows("SELECT count(*) AS n FROM rejudgement")] == [1304]
    assert_alike(station, found)
