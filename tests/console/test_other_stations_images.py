"""Images of other stations in a console at a central database, which has none of their files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from catalogues import rows_of
from consoles import Client, RunningConsole, deliver, inspected_station, person_at, running_console
from forwarders import send
from PIL import Image
from playwright.sync_api import expect
from reviewers import on_screen, press, wait_until_sent
from servers import postgresql_server, postgresql_url
from sqlalchemy.engine import URL
from stations import Station
from waiting import wait_for

from inspector.ledger.store import migrate
from inspector.station.archive_places import ArchiveFolder

ALL_NEIGHBOURS = "[...document.querySelectorAll('#facts .strip img')].every((one) => one.naturalWidth > 0)"


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Station:
    """A station with six images, all of which wait for a person."""
    return inspected_station(tmp_path_factory.mktemp("cell-1"), tiny, 6, thresholds={"accept": 1.0})


@pytest.fixture(scope="module")
def centre(station: Station) -> Iterator[URL]:
    """A central database with the station's rows."""
    with postgresql_server() as server:
        url = postgresql_url(server)
        migrate(url)
        send(station.url, url)
        yield url


@pytest.fixture(scope="module")
def office(centre: URL, tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[RunningConsole]:
    """A console at the central database, on a machine without a camera."""
    at_centre = Station(tmp_path_factory.mktemp("office"), tiny, centre, station="office")
    with running_console(at_centre) as running:
        yield running


def deliver_pictures(station: Station, centre: URL) -> None:
    """Let the station's forwarder look at the requests once."""
    send(station.url, centre, "cell-1", ArchiveFolder(station.archive))


def test_a_picture_comes_from_its_station(office: RunningConsole, station: Station, centre: URL) -> None:
    """The first look asks the station; a later one gets its small picture, or why there is none."""
    anna = Client(office)
    shown, pruned = (row.id for row in rows_of(centre, "SELECT id FROM inspection ORDER BY id LIMIT 2"))
    for number in (shown, pruned, shown):
        answer = anna.ask("GET", f"/image/{number}")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert "small picture of it is on its way" in answer.text
    [path] = rows_of(centre, f"SELECT archive_path FROM inspection WHERE id = {pruned}")[0]
    (station.archive / path).unlink()
    deliver_pictures(station, centre)
    for address in (f"/image/{shown}", f"/image/{shown}?small=1"):
        answer = anna.ask("GET", address)
        assert (answer.status, answer.headers["content-type"]) == (200, "image/jpeg")
        with Image.open(io.BytesIO(answer.body)) as picture:
            assert max(picture.size) == 146, "of a frame of 130 × 146 pixels"
        again = anna.ask("GET", address, **{"If-None-Match": answer.headers["etag"]})
        assert again.status == 304
    answer = anna.ask("GET", f"/image/{pruned}")
    assert (answer.status, "not in the archive any more" in answer.text) == (410, True)
    assert anna.ask("GET", "/image/999").status == 404


def test_a_person_reviews_at_the_centre(browser, office: RunningConsole, station: Station, centre: URL):
    """Pages show pictures as they come, without a reload, and the verdict goes back to the station."""
    on_its_way = "A small picture of it is on its way"
    with person_at(browser, office, path="/grid") as page:
        waiting = page.locator(".tile .not-shown", has_text=on_its_way)
        waiting.first.wait_for()
        deliver_pictures(station, centre)
        expect(waiting).to_have_count(0)
        deliver(station, range(6, 8))
        send(station.url, centre)
        page.goto(f"{office.address}/review?inspection=7")
        page.get_by_text(on_its_way).wait_for()
        deliver_pictures(station, centre)
        assert on_screen(page) == 7
        page.get_by_text("Shown from a small picture").wait_for()
        expect(page.get_by_text(on_its_way)).to_be_hidden()

        def neighbours_have_come() -> bool:
            deliver_pictures(station, centre)  # again: the page may have asked for one of them only since
            return page.evaluate(ALL_NEIGHBOURS)

        wait_for(neighbours_have_come)
        assert press(page, "f") == 7
        wait_until_sent(page)
    send(station.url, centre)
    of_image = "FROM inspection i JOIN review r ON r.inspection_id = i.id"
    [said] = rows_of(station.url, f"SELECT i.source_name, r.reviewer, r.verdict {of_image}")
    [name] = rows_of(centre, "SELECT source_name FROM inspection WHERE id = 7")[0]
    assert tuple(said) == (name, "anna", "FAIL")
