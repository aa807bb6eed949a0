"""A station of a site, whose name has a slash, from its drop folder to the pages at the centre."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from catalogues import rows_of
from consoles import Client, RunningConsole, deliver, inspected_station, running_console
from managers import running, wait_until
from ports import free_port
from servers import postgresql_server, postgresql_url
from sqlalchemy.engine import URL
from stations import Station

from inspector.ledger.store import migrate
from inspector.reports import definitions

NAMES = {"north/cell-1": 8, "north/line-2/cell-1": 4, "north-east": 2}  # images of each


@pytest.fixture(scope="module")
def centre() -> Iterator[URL]:
    """A central database without rows."""
    with postgresql_server() as server:
        url = postgresql_url(server)
        migrate(url)
        yield url


@pytest.fixture(scope="module")
def stations(centre: URL, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Station]:
    """Three stations that have inspected images and sent their rows, by the real commands."""
    made = {}
    central_url = centre.render_as_string(hide_password=False)
    for number, (name, images) in enumerate(NAMES.items()):
        folder = tmp_path_factory.mktemp("station")
        (folder / "results").mkdir()
        settings: dict[str, Any] = {
            "station": name,
            "central_url": central_url,
            "results_folder": str(folder / "results"),
        }
        settings["metrics_port"] = free_port()
        station = inspected_station(folder, tiny, 0, **settings)
        deliver(station, range(number * 100, number * 100 + images))
        done = station.command("forward", "--once", "--json")
        assert json.loads(done.stdout)["behind"] == 0, done.stderr
        made[name] = station
    return made


@pytest.fixture(scope="module")
def office(
    stations: dict[str, Station], centre: URL, tmp_path_factory: pytest.TempPathFactory, tiny: Path
) -> Iterator[RunningConsole]:
    """A console at the central database, on a machine without a camera."""
    with running_console(
        Station(tmp_path_factory.mktemp("office"), tiny, centre, station="office")
    ) as running:
        yield running


def test_a_station_of_a_site_works_at_its_own_place(stations: dict[str, Station]) -> None:
    """Results name it whole; the daemon's health is its own; checks and a report of its site find it."""
    station = stations["north/line-2/cell-1"]
    results = [json.loads(file.read_text()) for file in sorted((station.folder / "results").iterdir())]
    assert [result["station"] for result in results] == ["north/line-2/cell-1"] * 4
    with running(station.start()) as daemon:
        wait_until(lambda: "health       all is well" in station.command("status").stdout, daemon)
    for words in (("check",), ("reconcile",), ("report", "summary", "--station", "north/line-2")):
        done = station.command(*words)
        assert done.returncode == 0, f"{words} {done.stdout}{done.stderr}"


def test_the_centre_compares_sites(stations: dict[str, Station], office: RunningConsole) -> None:
    """Reports at the centre choose a site and compare sites, as commands and as files of the console."""
    anna = Client(office)

    def counts(**asked: str) -> dict[str, int]:
        text = anna.ask("GET", f"/charts/first_pass_yield.csv?{urlencode(asked)}").text
        return {row["station"]: int(row["n"]) for row in csv.DictReader(text.splitlines())}

    assert counts(by="site") == {"north": 8, "north/line-2": 4, "north-east": 2}
    assert counts(by="site", station="north") == {"north": 8, "north/line-2": 4}
    assert counts(by="station", station="north/line-2") == {"north/line-2/cell-1": 4}
    page = anna.ask("GET", "/charts/first_pass_yield?station=north&by=site")
    for choice in (
        "<option selected>north</option>",
        "<option>north/line-2</option>",
        "<option>north-east</option>",
    ):
        assert choice in page.text
    assert '<option value="site" selected>site</option>' in page.text


@pytest.mark.parametrize("name", ["north", "north/cell-1"])
def test_pages_take_a_name_with_a_slash(office: RunningConsole, centre: URL, name: str) -> None:
    """Every page that takes a station's name takes a site's, and shows its images only."""
    anna, named = Client(office), urlencode({"station": name})
    for report in definitions.names():
        assert anna.ask("GET", f"/charts/{report}?{named}").status == 200, report
    assert anna.ask("GET", f"/signals?{named}").status == 200
    part, seam = rows_of(centre, "SELECT part, seam FROM inspection ORDER BY id")[0]
    weld = urlencode({"station": "north/cell-1", "part": part, "seam": seam, "pass": 1})
    assert "north/cell-1" in anna.ask("GET", f"/seam?{weld}").text
    grid = anna.ask("GET", f"/grid?{named}").text
    shown = {
        row.name
        for row in rows_of(centre, _SHOWN)
        if f'"/trace/{row.id}"' in grid or f"/image/{row.id}" in grid
    }
    assert shown == {station for station in NAMES if station == name or station.startswith(f"{name}/")}
    refused = anna.ask("GET", "/charts/summary?station=nort_")
    assert (refused.status, "there is no station" in refused.text) == (422, True)


_SHOWN = "SELECT i.id, s.name FROM inspection i JOIN station s ON s.id = i.station_id"
