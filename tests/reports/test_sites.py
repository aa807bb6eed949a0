"""Reports of one site, and by site: a station's name may be a path such as ``north/cell-1``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import histories
import pytest
from catalogues import rows_of
from histories import BERLIN, PARTS, SUMMARIZED
from ledger_samples import SECOND_US, START_US, in_force, inspected, quarantined
from report_rows import by_column
from sqlalchemy.engine import URL

from inspector.errors import UsageError
from inspector.ledger.store import Store
from inspector.ledger.summaries import summarize
from inspector.records import Review, Verdict
from inspector.reports import definitions
from inspector.reports.page.period import Period
from inspector.reports.page.period_reports import PeriodReports, Source
from inspector.reports.query import GROUPINGS, Query, run, stations_and_sites
from inspector.review.selection import by_seam

NAMES = ("north/cell-1", "north/line-2/cell-2")
# Not of the site north, though LIKE 'north%', LIKE 'nort_/%' or a comparison without case would take them.
OTHERS = ("nort_", "nort_/cell-1", "north%", "north-east/cell-1", "NORTH/cell-1", "south/north/cell-1")
_LATE_US = 1 << 60
ASKED = [(name, by) for name in definitions.names() for by in GROUPINGS.get(name, (None,)) if name != "fleet"]


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each back end in turn."""
    return str(request.param)


@pytest.fixture(params=[1, SUMMARIZED], ids=["some-summaries", "all-summaries"])
def site(url_of: Callable[..., URL], backend: str, request: pytest.FixtureRequest) -> URL:
    """A database of the two stations of a site; :func:`others_come` makes it one of many."""
    url = url_of(backend)
    histories.write(url, request.param, NAMES)
    return url


def others_come(url: URL) -> None:
    """Let other stations judge images at the time of the site's."""
    [(first_us,)] = rows_of(url, "SELECT min(inspected_us) FROM inspection")
    for station in OTHERS:
        work(url, station, first_us)


def work(url: URL, station: str, first_us: int = START_US, n: int = 30) -> None:
    """Let a station judge so many images of one part, some of them hours later; a person decides on some."""
    with Store.open(url, station, seam_gap_s=300) as store:
        store.record_event("start", "")
        words = [Verdict(("PASS", "FAIL", "REVIEW")[number % 3]) for number in range(n)]
        items = [
            inspected(
                f"{number}.png",
                seen_us=first_us + number * 700 * SECOND_US,
                part=PARTS[0] if number % 2 else None,
                seam="S1" if number % 2 else None,
                verdict=verdict,
                label="porosity" if verdict is Verdict.FAIL else "good",
                milliseconds=(900.0, 901.0, 902.0, 2703.0),
            )
            for number, verdict in enumerate(words)
        ]
        ids = store.record([*items, quarantined(recorded_us=first_us)], in_force(store))
        store.record_reviews([Review(ids[1], "ann", Verdict.PASS), Review(ids[3], "ann", Verdict.FAIL)])


@pytest.mark.parametrize("name", definitions.names())
def test_reports_choose_stations_by_the_same_words(name: str) -> None:
    """Each report compares with the name of a station in one way, so that no step of it leaves a site out."""
    below = r"(\1\.\2 >= :station || '/' AND \1\.\2 < :station || '0')"
    words = rf":station = '' OR (\w)\.(name|station) = :station OR {_literal(below)}"
    rest, n = re.subn(words, "", definitions.sql(name))
    assert n > 0
    others = {line.strip() for line in rest.splitlines() if re.search(r":station\b", line)}
    assert not others or (
        name in ("latency", "latency_by_hour") and all("summarized" in one for one in others)
    )


def _literal(pattern: str) -> str:
    """The pattern with its brackets and bars as text."""
    return re.sub(r"[()|]", r"\\\g<0>", pattern)


def test_a_site_has_the_report_of_its_stations(site: URL) -> None:
    """Every report of a site has the rows of a database of its stations alone, with and without summaries."""
    selections: list[dict[str, Any]] = [
        {},
        {"part": PARTS[0]},
        {"since": "2026-01-05T10:10", "until": "2026-03-25T12:20"},
        {"verdicts": "station"},
    ]
    asked = [
        Query(name, by=by, zone=BERLIN, **selection)
        for name, by in ASKED
        for selection in selections
        if all(definitions.takes(name, key) for key in selection if key in ("part", "verdicts"))
    ]
    expected = [run(site, query).rows for query in asked]
    others_come(site)
    for _ in range(2):
        for query, rows in zip(asked, expected, strict=True):
            found = run(site, dataclasses.replace(query, station="north")).rows
            assert found == rows, f"{query.report} {query.by} {query.part} {query.since} {query.verdicts}"
        summarize(site, _LATE_US)
    assert rows_of(site, "SELECT id FROM summary_seal") != []


def test_a_site_counts_what_its_stations_count(site: URL) -> None:
    """Counts of a site are sums over its stations; reports with a row for each station have their rows."""
    others_come(site)
    whole = by_column(run(site, Query("summary", station="north", zone=BERLIN)))
    each = [
        row for name in NAMES for row in by_column(run(site, Query("summary", station=name, zone=BERLIN)))
    ]
    assert whole == each
    for report, count in (("by_class", "n"), ("pareto", "n"), ("confidence", "n"), ("latency_by_batch", "n")):
        rows = by_column(run(site, Query(report, station="north", zone=BERLIN)))
        parts = [
            row for name in NAMES for row in by_column(run(site, Query(report, station=name, zone=BERLIN)))
        ]
        assert sum(row[count] for row in rows) == sum(row[count] for row in parts) > 0, report
    [total] = [
        row for row in by_column(run(site, Query("latency", station="north"))) if row["step"] == "total"
    ]
    assert total["n"] == sum(row["n"] for row in whole)
    fleet = [row[0] for row in run(site, Query("fleet", station="north")).rows]
    assert fleet == sorted(NAMES)


@pytest.mark.parametrize("name", ["north/line-2", "north/line-2/cell-2"])
def test_a_site_of_one_station_is_that_station(site: URL, name: str) -> None:
    """A site that has one station has its report, from its summaries where there are some."""
    others_come(site)
    for report in ("latency", "latency_by_hour", "summary", "throughput"):
        rows = run(site, Query(report, station=name, zone=BERLIN)).rows
        assert rows == run(site, Query(report, station="north/line-2/cell-2", zone=BERLIN)).rows != []


@pytest.fixture
def fleet(url: URL) -> URL:
    """Stations with 1, 2, 3, … images, of sites in sites and of no site."""
    for n, station in enumerate(("a/b/c", "a/b/d", "a/e", "a", "b", "Ä/ö", "a_b/c"), start=1):
        with Store.open(url, station, seam_gap_s=300) as store:
            images = [inspected(f"{i}.png", part=f"P-{station}", verdict=Verdict.FAIL) for i in range(n)]
            store.record(images, in_force(store))
    return url


def test_sites_are_compared(fleet: URL) -> None:
    """By site each site has a row, without those of its sites; a station without a site stands for itself."""

    def by_site(**selection: Any) -> dict[str, int]:
        rows = by_column(run(fleet, Query("first_pass_yield", by="site", **selection)))
        assert all(row["n"] == row["failed"] for row in rows)
        return {row["station"]: row["n"] for row in rows}

    assert by_site() == {"a": 3 + 4, "a/b": 1 + 2, "b": 5, "Ä": 6, "a_b": 7}
    assert by_site(station="a") == {"a": 3 + 4, "a/b": 1 + 2}
    assert by_site(station="a/b") == {"a/b": 1 + 2}
    assert sum(by_site().values()) == sum(n for _, n, *_ in run(fleet, Query("summary")).rows)
    with pytest.raises(UsageError, match="'trend' goes by day, hour, shift, week, not by 'site'"):
        run(fleet, Query("trend", by="site"))


def test_an_unknown_name_is_refused_with_the_known_ones(fleet: URL) -> None:
    """A name that no station or site has is one line with at most ten that there are, sites first."""
    known = (
        "there is no station 'a/' in this database; it has a (a site), a/b (a site), a_b (a site), "
        "Ä (a site), a, a/b/c, a/b/d, a/e, a_b/c, b and 1 more"
    )
    for name in ("a/", "A", "a/b/", "a%", "_", "b/c"):
        with pytest.raises(UsageError, match=f"^{re.escape(known.replace('a/', name, 1))}$") as refused:
            run(fleet, Query("summary", station=name))
        assert refused.value.exit_status == 2
    assert stations_and_sites(fleet, datetime(2100, 1, 1, tzinfo=UTC)) == [
        *("a", "a/b", "a/b/c", "a/b/d", "a/e", "a_b", "a_b/c", "b", "Ä", "Ä/ö")
    ]


def test_an_unknown_part_is_refused(fleet: URL) -> None:
    """A part that no station has judged is one line; a part of another station or time only has no rows."""
    with pytest.raises(UsageError, match="there is no part 'P-b ' in this database; 'report by_part' "):
        run(fleet, Query("summary", part="P-b "))
    assert run(fleet, Query("summary", part="P-b")).rows[0][:2] == ("b", 5)
    assert run(fleet, Query("summary", part="P-b", station="a")).rows == []
    assert run(fleet, Query("summary", part="P-b", since="2030-01-01")).rows == []


def test_people_choose_the_images_of_a_site(fleet: URL) -> None:
    """The images of a part are chosen by station or by site, for one verdict on all of them."""
    assert [image.station for image in by_seam(fleet, "P-a/b/d", station="a")] == ["a/b/d"] * 2
    with pytest.raises(UsageError, match="no data: no image of --part P-b --station a;"):
        by_seam(fleet, "P-b", station="a")


def test_the_silent_stations_of_a_site_are_named(fleet: URL) -> None:
    """The quality report of a site names each of its stations that judged nothing, and no other one."""
    period = Period(datetime(2100, 1, 1, tzinfo=UTC), datetime(2100, 1, 2, tzinfo=UTC))
    silent = {
        name: PeriodReports(Source(fleet, UTC, name), period).silent_stations() for name in ("a/b", "b")
    }
    assert silent == {"a/b": ["a/b/c", "a/b/d"], "b": ["b"]}
