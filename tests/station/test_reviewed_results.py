"""A person's verdict that changes a result: one more file for the PLC, at least once, and else none."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from deliveries import Delivery, now, read
from ledger_samples import in_force, inspected
from managers import wait_until, working
from shelves import killed, say
from sqlalchemy.engine import URL, make_url
from stations import Station
from waiting import wait_for

from inspector.ledger import database, schema
from inspector.ledger.store import Store
from inspector.records import Review, Verdict
from inspector.station import results

PASS, FAIL, REVIEW = Verdict.PASS, Verdict.FAIL, Verdict.REVIEW


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "_RETRY_S", 0.05)
    monkeypatch.setattr(results, "_LOOK_S", 0.05)


def judged(store: Store, *verdicts: Verdict) -> list[int]:
    """Record one image with each verdict; return their inspection numbers."""
    items = [inspected(f"{n}.png", verdict=verdict, **now()) for n, verdict in enumerate(verdicts)]
    return store.record(items, in_force(store))


def changes(delivery: Delivery) -> list[tuple[int, str, str]]:
    """The changed verdicts in the folder: inspection, old and new verdict, in the order of their numbers."""
    files = list(delivery.folder.glob("*.review-*.json"))
    found = sorted((json.loads(file.read_text()) for file in files), key=lambda result: int(result["review"]))
    assert {result["outcome"] for result in found} <= {"reviewed"}
    return [(result["inspection"], result["old_verdict"], result["verdict"]) for result in found]


def position(delivery: Delivery) -> dict[str, Any]:
    """The stored position."""
    content: dict[str, Any] = json.loads(delivery.position.read_text())
    return content


def test_a_changed_verdict_has_a_result_that_says_who_and_when(delivery: Delivery) -> None:
    """The new file has the image's fields, both verdicts, the person, the time, the class and the note."""
    with delivery.at_work() as (store, _):
        item = inspected("cam1_P7_S2.png", part="P7", seam="S2", verdict=REVIEW, **now())
        [number] = store.record([item], in_force(store))
        [first] = delivery.written(1)
        store.record_reviews([Review(number, "Jörg", FAIL, "burn through", "hole\nat the end")])
        _, second = delivery.written(2)
    same = ("schema", "arrival", "station", "name", "sha256", "camera", "part", "seam", "pass_no")
    same += ("camera_time", "seen", "recorded", "inspection", "quarantine", "path")
    assert list(first) == list(second)
    assert [second[name] for name in same] == [first[name] for name in same]
    assert [first[name] for name in ("review", "reviewer", "reviewed", "old_verdict")] == [None] * 4
    assert (second["outcome"], second["old_verdict"], second["verdict"]) == ("reviewed", "REVIEW", "FAIL")
    assert (second["class"], second["confidence"], second["reason"]) == ("burn through", None, None)
    assert (second["review"], second["reviewer"], second["detail"]) == (1, "Jörg", "hole at the end")
    [(reviewed_us,)] = rows(delivery, "SELECT reviewed_us FROM review")
    assert second["reviewed"] == results.result_file.iso(reviewed_us, delivery.zone)
    assert {file.name for file in delivery.folder.iterdir()} == {
        "cam1_P7_S2.1.json",
        "cam1_P7_S2.review-1.json",
    }


def rows(delivery: Delivery, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query."""
    with database.reading(delivery.url) as engine, database.transaction(engine) as connection:
        return [tuple(row) for row in connection.execute(sa.text(sql))]


def test_only_a_change_has_a_result(delivery: Delivery) -> None:
    """A person who agrees or cannot decide changes nothing; each change back and forth has its file."""
    said = [
        (1, PASS, None),  # agrees
        (2, REVIEW, None),  # cannot decide: the station's FAIL remains
        (2, PASS, (2, "FAIL", "PASS")),
        (2, PASS, None),  # another person agrees with the first
        (2, REVIEW, (2, "PASS", "FAIL")),  # takes the PASS back
        (2, FAIL, None),
        (3, FAIL, (3, "REVIEW", "FAIL")),
        (1, FAIL, (1, "PASS", "FAIL")),
    ]
    with delivery.at_work() as (store, _):
        judged(store, PASS, FAIL, REVIEW)
        for n, (number, verdict, _) in enumerate(said):
            store.record_reviews([Review(number, f"person {n}", verdict)])
        wait_for(lambda: position(delivery)["reviewed"] == len(said))
        assert changes(delivery) == [change for _, _, change in said if change]


def test_many_changes_at_once_and_after_a_restart_are_all_written(local_delivery: Delivery) -> None:
    """A seam of more frames than one reading takes is complete; verdicts of a pause of the service follow."""
    with local_delivery.at_work() as (store, _):
        numbers = judged(store, *([REVIEW] * 250))
        store.record_reviews([Review(number, "ann", PASS) for number in numbers])
        wait_for(lambda: len(changes(local_delivery)) == 250)
    with Store.open(local_delivery.url, "cell-1", seam_gap_s=300) as store:
        store.record_reviews([Review(number, "bob", FAIL) for number in numbers[:3]])
    with local_delivery.at_work():
        wait_for(lambda: len(changes(local_delivery)) == 253)
    assert changes(local_delivery)[250:] == [(number, "PASS", "FAIL") for number in numbers[:3]]


def test_verdicts_from_before_the_first_start_are_left_out(delivery: Delivery) -> None:
    """A new results folder begins behind the verdicts that are there, but knows them as the old ones."""
    with Store.open(delivery.url, "cell-1", seam_gap_s=300) as store:
        judged(store, FAIL)
        store.record_reviews([Review(1, "ann", PASS)])
    with delivery.at_work() as (store, _):
        store.record_reviews([Review(1, "bob", FAIL)])
        wait_for(lambda: changes(delivery))
    assert changes(delivery) == [(1, "PASS", "FAIL")]


def test_a_position_of_an_older_version_begins_behind_the_verdicts_that_are_there(
    local_delivery: Delivery,
) -> None:
    """After an update the PLC gets new changes, and no flood of all that people ever said."""
    with local_delivery.at_work() as (store, _):
        judged(store, FAIL, FAIL)
        local_delivery.written(2)
    old = {name: value for name, value in position(local_delivery).items() if not name.startswith("reviewed")}
    local_delivery.position.write_text(json.dumps(old))
    with Store.open(local_delivery.url, "cell-1", seam_gap_s=300) as store:
        store.record_reviews([Review(1, "ann", PASS)])
    with local_delivery.at_work() as (store, _):
        wait_for(lambda: position(local_delivery).get("reviewed") == 1)
        store.record_reviews([Review(2, "ann", PASS)])
        wait_for(lambda: changes(local_delivery))
    assert changes(local_delivery) == [(2, "FAIL", "PASS")]


def test_another_stations_verdicts_are_left_out(local_delivery: Delivery) -> None:
    """In a database of many stations each one writes the changes of its own images."""
    with (
        local_delivery.at_work() as (store, _),
        Store.open(local_delivery.url, "cell-2", seam_gap_s=300) as other,
    ):
        judged(store, FAIL)
        judged(other, FAIL)
        store.record_reviews([Review(2, "ann", PASS), Review(1, "ann", PASS)])
        wait_for(lambda: changes(local_delivery))
    assert changes(local_delivery) == [(1, "FAIL", "PASS")]


def test_a_missing_folder_costs_no_change(local_delivery: Delivery) -> None:
    """While the folder is away changes wait in the database; then all are written."""
    with local_delivery.at_work() as (store, at_work):
        judged(store, FAIL)
        local_delivery.written(1)
        shutil.rmtree(local_delivery.folder)
        store.record_reviews([Review(1, "ann", PASS)])
        wait_for(lambda: at_work.fault() is not None)
        local_delivery.folder.mkdir()
        wait_for(lambda: changes(local_delivery))
        wait_for(lambda: at_work.fault() is None)
    assert changes(local_delivery) == [(1, "FAIL", "PASS")]


def test_an_older_backup_leaves_no_later_change_out(local_delivery: Delivery, tmp_path: Path) -> None:
    """A restored database uses numbers of verdicts again; changes after the last one are written."""
    file, backup = Path(str(make_url(local_delivery.url).database)), tmp_path / "backup.db"
    with local_delivery.at_work() as (store, _):
        judged(store, FAIL, FAIL)
        wait_for(lambda: position(local_delivery)["after"] == 2)
    with closing(sqlite3.connect(file)) as now_there, closing(sqlite3.connect(backup)) as copy:
        now_there.backup(copy)
    with local_delivery.at_work() as (store, _):
        store.record_reviews([Review(1, "ann", PASS)])
        wait_for(lambda: position(local_delivery)["reviewed"] == 1)
    for old in file.parent.glob(f"{file.name}*"):
        old.unlink()
    backup.rename(file)
    with local_delivery.at_work() as (store, _):
        store.record_reviews([Review(2, "ann", PASS)])
        wait_for(lambda: (2, "FAIL", "PASS") in changes(local_delivery))
    assert [event.kind for event in local_delivery.events] == ["results_anew"]


@contextmanager
def writing(url: URL, *said: dict[str, Any]) -> Iterator[sa.Connection]:
    """A transaction of somebody else's that has written verdicts and is still open."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(schema.review.insert(), list(said))
        yield connection


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_verdict_that_appears_after_a_later_one_is_not_lost(
    tmp_path: Path, url_of: Callable[[str], URL], end: str
) -> None:
    """On PostgreSQL a slow transaction may add a lower number last: others do not wait, and it is written."""
    delivery = Delivery(tmp_path, url_of("postgresql"))
    delivery.folder.mkdir()
    slow = {"inspection_id": 1, "reviewer": "slow", "verdict": "PASS", "reviewed_us": 1}
    with delivery.at_work() as (store, _):
        judged(store, FAIL, FAIL)
        delivery.written(2)
        with writing(delivery.url, slow) as connection:
            store.record_reviews([Review(2, "quick", PASS), Review(1, "quick", FAIL)])
            wait_for(lambda: changes(delivery) == [(2, "FAIL", "PASS")])
            getattr(connection, end)()
        wait_for(lambda: position(delivery)["reviewed"] == 3)
        late = [(1, "FAIL", "PASS")] if end == "commit" else []
        back = [(1, "PASS", "FAIL")] if end == "commit" else []
        assert changes(delivery) == [*late, (2, "FAIL", "PASS"), *back]


@pytest.mark.parametrize("point", ["_write", "_save_position"])
def test_a_kill_leaves_no_change_out(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL], point: str
) -> None:
    """After a kill -9 while a change is written or the position saved, the next start writes it."""
    station = Station(tmp_path, tiny, url_of("sqlite"), results_folder="results")
    (tmp_path / "results").mkdir()
    station.put("a.png", seed=1)
    station.once()
    [(verdict,)] = station.rows("SELECT verdict FROM inspection")
    new = "FAIL" if verdict == "PASS" else "PASS"
    assert say(station, "review", "set", "1", "--verdict", new).exit_code == 0
    owner = "inspector.station.results.Results"
    assert killed(station, f"{owner}.{point}", 0, "once") == -signal.SIGKILL
    station.once()
    [last] = [result for result in read(tmp_path / "results") if result["outcome"] == "reviewed"]
    assert (last["old_verdict"], last["verdict"]) == (verdict, new)


def test_the_running_service_writes_a_change(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]
) -> None:
    """A verdict by 'review set' beside the running service comes to the folder without a new image."""
    station = Station(tmp_path, tiny, url_of("sqlite"), results_folder="results")
    folder = tmp_path / "results"
    folder.mkdir()
    with working(station.config) as daemon:
        station.put("a.png", seed=1)
        wait_until(lambda: len(list(folder.glob("*.json"))) == 1, daemon)
        [first] = read(folder)
        new = "FAIL" if first["verdict"] == "PASS" else "PASS"
        assert say(station, "review", "set", "1", "--verdict", new, "--reviewer", "ann").exit_code == 0
        wait_until(lambda: len(list(folder.glob("*.json"))) == 2, daemon)
    last = read(folder)[1]
    assert (last["reviewer"], last["old_verdict"], last["verdict"]) == ("ann", first["verdict"], new)
