"""A candidate that judges beside the station: its rows are those of ``rejudge``, its faults its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest
import yaml
from artifact_samples import compiled, student
from catalogues import change
from managers import wait_until, working
from sqlalchemy.engine import URL
from stations import Station

from inspector import settings as settings_file
from inspector.ledger.store import Store
from inspector.monitoring.progress import Progress
from inspector.station import composition, shadow
from inspector.station.events import Events
from inspector.station.second_opinion import Archived
from inspector.station.shadow import Shadow
from inspector.station.workers import Workers
from inspector.upkeep.check import Level, findings


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another network with the same classes: version 2."""
    path = tmp_path_factory.mktemp("candidate") / "candidate.pt"
    compiled(path, student(seed=1), version="2")
    return path


def reconfigure(station: Station, **changes: Any) -> None:
    """Change single settings."""
    station.config.write_text(yaml.safe_dump(yaml.safe_load(station.config.read_text()) | changes))


def events(station: Station, kind: str) -> list[str]:
    """Details of the events of one kind."""
    return [row.detail for row in station.rows(f"SELECT detail FROM event WHERE kind = '{kind}' ORDER BY id")]


def shadowed(station: Station) -> list[int]:
    """The images that the candidate has judged."""
    query = "SELECT inspection_id FROM v_rejudgement WHERE run LIKE 'shadow 20%' ORDER BY inspection_id"
    return [row.inspection_id for row in station.rows(query)]


def test_the_shadow_says_the_same_as_a_rejudgement(
    tmp_path: Path, tiny: Path, candidate: Path, url_of: Callable[[str], URL]
) -> None:
    """Every second image has the candidate's verdict; they are those of 'rejudge'."""
    station = Station(tmp_path, tiny, url_of("sqlite"), shadow_artifact=str(candidate), shadow_every=2)
    with working(station.config) as daemon:
        for number in range(9):
            station.put(f"{number}.png", number)
        wait_until(lambda: len(shadowed(station)) == 4, daemon)
    assert shadowed(station) == [2, 4, 6, 8]
    settings = settings_file.load(station.config)
    opinion = composition.second_opinion(settings, candidate, batch_size=3)
    images = station.rows("SELECT id, sha256, archive_path FROM inspection ORDER BY id")
    rows, unread = opinion.on([Archived(*row) for row in images])
    assert not unread
    said = {row.inspection: row.judgement for row in rows}
    for row in station.rows("SELECT inspection_id, verdict, label, confidence FROM v_rejudgement"):
        judgement = said[row.inspection_id]
        assert judgement is not None
        assert (judgement.verdict.value, judgement.label, judgement.confidence) == tuple(row)[1:]
    models = station.rows("SELECT DISTINCT m.version FROM inspection i JOIN model m ON m.id = i.model_id")
    assert [row.version for row in models] == ["1"], "the station judges by its own artifact"
    assert station.reconcile()["unaccounted"] == 0


def test_a_candidate_that_does_not_work_leaves_the_station_alone(
    tmp_path: Path, tiny: Path, candidate: Path, url_of: Callable[[str], URL]
) -> None:
    """Without its file the station judges, and check says so; a reload with the file lets it begin."""
    absent = tmp_path / "absent.pt"
    station = Station(tmp_path, tiny, url_of("sqlite"), shadow_artifact=str(absent))
    found = {one.what: one for one in findings(station.config, settings_file.load(station.config))}
    assert found["shadow"].level is Level.WRONG
    assert "absent.pt" in found["shadow"].detail
    with working(station.config) as daemon:
        station.put("a.png", 1)
        wait_until(lambda: bool(events(station, "shadow_refused")) and station.is_idle(), daemon)
        absent.write_bytes(candidate.read_bytes())
        daemon.reload()
        wait_until(lambda: bool(events(station, "reload")), daemon)
        station.put("b.png", 2)
        wait_until(lambda: shadowed(station) == [2], daemon)
    found = {one.what: one for one in findings(station.config, settings_file.load(station.config))}
    assert found["shadow"].level is Level.OK
    assert "tiny 2" in found["shadow"].detail


def test_a_database_that_refuses_its_rows_refuses_nothing_else(
    tmp_path: Path, tiny: Path, candidate: Path, url_of: Callable[[str], URL]
) -> None:
    """A shop's constraint on the candidate's rows is one event; every image has its inspection."""
    url = url_of("sqlite")
    trigger = "CREATE TRIGGER t BEFORE INSERT ON rejudgement BEGIN SELECT RAISE(ABORT, 'not here'); END"
    change(url, lambda connection: connection.exec_driver_sql(trigger))
    station = Station(tmp_path, tiny, url, shadow_artifact=str(candidate))
    with working(station.config) as daemon:
        station.put("a.png", 1)
        wait_until(lambda: bool(events(station, "shadow_failed")), daemon)
        station.put("b.png", 2)
        wait_until(station.is_idle, daemon)
    assert "not here" in events(station, "shadow_failed")[0]
    assert len(events(station, "shadow_failed")) == 1
    assert len(station.rows("SELECT id FROM inspection")) == 2
    assert shadowed(station) == []


def test_once_has_no_shadow(
    tmp_path: Path, tiny: Path, candidate: Path, url_of: Callable[[str], URL]
) -> None:
    """A single pass has no idle time."""
    station = Station(tmp_path, tiny, url_of("sqlite"), shadow_artifact=str(candidate))
    station.put("a.png", 1)
    assert station.once()["inspected"] == 1
    assert shadowed(station) == []


def test_the_settings_of_the_shadow_are_in_no_inspection(tmp_path: Path) -> None:
    """No inspection depends on the candidate, so the recorded settings do not name it; paths are anchored."""
    config = tmp_path / "config.yaml"
    config.write_text("station: a\nshadow_artifact: new.pt\n")
    settings = settings_file.load(config)
    assert settings.shadow_artifact == tmp_path / "new.pt"
    assert not any(key.startswith("shadow") for key in settings.of_an_inspection())


# --- the queue, with a clock that the test moves ---------------------------------------------------------


class Bench:
    """A shadow with a real candidate, three archived images, one worker and a ledger."""

    def __init__(self, station: Station, candidate: Path, store: Store, workers: Workers) -> None:
        self.station, self.store, self.workers = station, store, workers
        self.counts: Counter[str] = Counter()
        self.events = Events()
        self.now = 0.0
        self.shadow = Shadow(self.events, self._count, lambda: self.now)
        settings = settings_file.load(station.config)
        self.shadow.put_in_force(composition.second_opinion(settings, candidate, batch_size=1), 1)
        found = station.rows("SELECT id, sha256, archive_path FROM inspection ORDER BY id")
        self.images = [Archived(*row) for row in found]

    def _count(self, result: str, images: int) -> None:
        self.counts[result] += images

    def go_on(self, times: int = 20, *, is_idle: bool = True) -> None:
        """Let the main loop come round so many times, each after the end of the worker's task."""
        for _ in range(times):
            self.shadow.go_on(self.workers, self.store, is_idle=is_idle)
            if self.shadow._working is not None:
                wait([self.shadow._working])


@pytest.fixture
def bench(tmp_path: Path, tiny: Path, candidate: Path, url_of: Callable[[str], URL]) -> Iterator[Bench]:
    """The shadow of a station that has judged three images."""
    station = Station(tmp_path, tiny, url_of("sqlite"))
    for number in range(3):
        station.put(f"{number}.png", number)
    assert station.once()["inspected"] == 3
    with (
        Store.open(station.url, "cell-1", seam_gap_s=300) as store,
        Workers(1, Progress(), lambda: None) as workers,
    ):
        yield Bench(station, candidate, store, workers)


def test_a_busy_station_is_left_alone_and_the_queue_is_bounded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is judged while the station works; what does not fit into the queue is counted."""
    monkeypatch.setattr(shadow, "MAX_WAITING", 2)
    bench.shadow.offer(bench.images)
    assert bench.counts == {"left_out": 1}
    bench.go_on(is_idle=False)
    assert shadowed(bench.station) == []
    bench.go_on()
    assert shadowed(bench.station) == [1, 2]
    assert bench.counts == {"left_out": 1, "judged": 2, "failed": 0}


def test_rows_wait_out_an_outage(bench: Bench) -> None:
    """While the database is away, a judged image keeps its row, and no other is judged for 30 s."""
    database = Path(str(bench.station.url.database))
    bench.shadow.offer(bench.images[:1])
    database.rename(database.with_suffix(".away"))
    bench.go_on()
    assert [event.kind for event in bench.events] == ["shadow_failed"]
    bench.shadow.offer(bench.images[1:])
    database.with_suffix(".away").rename(database)
    bench.go_on()
    assert shadowed(bench.station) == []
    bench.now += 30
    bench.go_on()
    assert shadowed(bench.station) == [1, 2, 3]
    assert (bench.counts["judged"], bench.counts["failed"]) == (3, 0)


def test_after_an_outage_of_the_station_no_image_keeps_its_number(bench: Bench) -> None:
    """A restored ledger may give the numbers to others, so images that wait are left out, and counted."""
    bench.shadow.offer(bench.images)
    bench.shadow.forget()
    bench.go_on()
    assert shadowed(bench.station) == []
    assert bench.counts["left_out"] == 3


def test_an_image_that_is_gone_is_counted(bench: Bench) -> None:
    """An image that was pruned before its turn has no row; the others have."""
    (bench.station.archive / bench.images[1].path).unlink()
    bench.shadow.offer(bench.images)
    bench.go_on()
    assert shadowed(bench.station) == [1, 3]
    assert (bench.counts["judged"], bench.counts["failed"]) == (2, 1)


def test_the_end_records_what_was_judged(bench: Bench) -> None:
    """At a stop the image at work is finished and recorded; those that wait are for 'rejudge'."""
    bench.shadow.offer(bench.images)
    bench.shadow.go_on(bench.workers, bench.store, is_idle=True)
    bench.shadow.finish(bench.store)
    assert shadowed(bench.station) == [1]
