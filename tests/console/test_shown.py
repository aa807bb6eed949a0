"""The images that the console's pages choose: a point of a chart opens exactly those that it counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from histories import BERLIN
from ledger_samples import in_force, inspected, quarantined, sha
from sqlalchemy.engine import URL

from inspector.console import charts, enough, seams, shown
from inspector.console.find import find
from inspector.console.shown import Choice
from inspector.errors import UsageError
from inspector.ledger.store import Store
from inspector.records import Review, SeamReview, Verdict
from inspector.reports.page.words import LANGUAGES, Words
from inspector.reports.query import GROUPINGS, Query, run

SINCE, UNTIL = "2026-03-27", "2026-04-02T12:00"
MANY = 10_000


@pytest.fixture(scope="module")
def history(history_url: Callable[..., URL]) -> str:
    """A shop of twelve days; tests only read it."""
    return str(history_url(2))


def opened(url: str, address: str | None) -> list[shown.Shown]:
    """The images that the grid shows for an address."""
    assert address is not None
    split = urlsplit(address)
    assert split.path == "/grid"
    choice = Choice.of(dict(parse_qsl(split.query)))
    assert Choice.of(choice.query()) == choice
    return shown.images(url, choice, "ann", zone=BERLIN, limit=MANY)


@pytest.mark.parametrize("verdicts", ["final", "station"])
@pytest.mark.parametrize("by", GROUPINGS["p_chart"])
def test_a_point_of_the_p_chart_opens_its_failed_images(history: str, by: str, verdicts: str) -> None:
    """Each point's link leads to as many images as the point counts, of its station, and all FAIL."""
    asked = Query("p_chart", since=SINCE, until=UNTIL, by=by, verdicts=verdicts, zone=BERLIN)
    rows = charts.rows_of(run(history, asked))
    assert len({row["station"] for row in rows}) == 2
    for row in rows:
        images = opened(history, charts.link_of(row, asked))
        assert len(images) == row["failed"]
        assert {image.station for image in images} <= {row["station"]}
        assert {image.final if verdicts == "final" else image.verdict for image in images} <= {"FAIL"}


@pytest.mark.parametrize("verdicts", ["final", "station"])
def test_a_bar_of_the_pareto_opens_its_images(history: str, verdicts: str) -> None:
    """Each bar's link leads to as many images as the bar counts, with and without a station and a part."""
    for place in ({}, {"station": "cell-1"}, {"station": "cell-1", "part": "P-0042"}):
        asked = Query("pareto", since=SINCE, until=UNTIL, verdicts=verdicts, zone=BERLIN, **place)
        for row in charts.rows_of(run(history, asked)):
            assert len(opened(history, charts.link_of(row, asked))) == row["n"]


def test_a_point_of_the_trend_opens_all_its_images(history: str) -> None:
    """Each point of the trend leads to all images of its day; a part of them follows after the first ones."""
    asked = Query("trend", since=SINCE, until=UNTIL, zone=BERLIN)
    for row in charts.rows_of(run(history, asked)):
        images = opened(history, charts.link_of(row, asked))
        assert len(images) == row["n"]
    choice = Choice(since=SINCE, until=UNTIL, by="day", day=row["day"])
    two = [shown.images(history, choice, "ann", zone=BERLIN, limit=5, skip=skip) for skip in (0, 5)]
    assert two[0] + two[1] == images[:10]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("report", ["p_chart", "trend", "pareto", "agreement", "latency_by_hour", "summary"])
def test_every_chart_is_drawn_in_every_language(history: str, report: str, language: str) -> None:
    """A chart has a mark for each row, with words for each and for the whole; a table has no chart."""
    result = run(history, Query(report, since=SINCE, until=UNTIL, zone=BERLIN))
    made = charts.drawings(result, Words(language))
    marks = sum(len(one.marks) for one in made)
    assert marks == {"summary": 0, "latency_by_hour": 0}.get(report, len(result.rows))
    assert all(one.alt and all(mark.text for mark in one.marks) for one in made)
    assert bool(made) == (report != "summary")


def test_an_address_of_a_chart_says_all_that_it_asks() -> None:
    """The address of a chart leads to the same chart; another report gets only what it takes of it."""
    asked = charts.Asked.of(
        "p_chart", {"since": SINCE, "by": "day", "part": "P & 1", "verdicts": "station", "days": "3"}
    )
    again = dict(parse_qsl(urlsplit(asked.address()).query))
    assert charts.Asked.of("p_chart", again) == asked
    assert charts.Asked.of("downtime", again) == charts.Asked("downtime", since=SINCE, days=None)
    assert charts.Asked.of("pareto", {}).address() == "/charts/pareto"
    assert charts.Asked.of("pareto", {"days": "30"}).address() == "/charts/pareto?days=30"
    assert set(charts.names()) >= set(charts.FIRST)
    for days in ("0", "x", "99999", "²"):
        with pytest.raises(UsageError, match="not a number"):
            charts.Asked.of("pareto", {"days": days})


def test_two_readers_are_in_the_chart_of_agreement(store: Store, url: URL) -> None:
    """The share of two blind readers has a mark; their kappa is no share, and is in the table only."""
    ids = store.record([inspected(f"{n}.png") for n in range(4)], in_force(store))
    store.record_sample(ids, seed=1, population=4)
    for person in ("ann", "bert"):
        for place, number in enumerate(ids):
            said = Verdict.FAIL if place == 0 else Verdict.PASS
            store.record_reviews([Review(number, person, said, key=f"{person} {number}", is_blind=True)])
    report = run(url, Query("agreement"))
    rows = charts.rows_of(report)
    assert {"readers", "readers_kappa"} <= {row["measure"] for row in rows}
    [drawing] = charts.drawings(report, Words())
    assert len(drawing.marks) == sum(row["share"] is not None for row in rows)


@pytest.mark.parametrize(
    "address", [{"verdict": "MAYBE"}, {"verdicts": "mine"}, {"pass": "0"}, {"pass": "x"}]
)
def test_a_wrong_address_is_refused_with_its_value(address: dict[str, str]) -> None:
    """A value that nothing can be chosen by is named in one line."""
    with pytest.raises(UsageError, match=next(iter(address.values()))):
        Choice.of(address)


def test_a_pass_has_its_frames_in_order_and_its_result(store: Store, url: URL) -> None:
    """A pass shows its frames by time and its bad stretch; a PASS by a person ends with the next frame."""
    force, second = in_force(store), 1_000_000
    verdicts = ["PASS", "FAIL", "FAIL", "FAIL", "PASS", "PASS"]
    frames = [
        inspected(
            f"{n}.png", part="P1", seam="S1", verdict=Verdict(v), seen_us=1_767_600_000_000_000 + n * second
        )
        for n, v in enumerate(verdicts)
    ]
    ids = store.record([frames[n] for n in (3, 0, 1, 2, 5, 4)], force)
    found = seams.read(url, station="cell-1", part="P1", seam="S1", pass_no=1, person="ann")
    assert [frame.source_name for frame in found.frames] == [f"{n}.png" for n in range(6)]
    assert found.result is not None
    assert (found.result["verdict"], found.result["reason"], found.bad) == ("FAIL", "stretch", range(2, 5))
    store.record_reviews([SeamReview(ids[4], "ann", Verdict.PASS, "spatter")])
    found = seams.read(url, station="cell-1", part="P1", seam="S1", pass_no=1, person="ann")
    assert [said.is_outdated for said in found.said] == [True]
    store.record_reviews([SeamReview(found.newest, "ann", Verdict.PASS)])
    found = seams.read(url, station="cell-1", part="P1", seam="S1", pass_no=1, person="ann")
    assert [said.is_outdated for said in found.said] == [True, False]
    assert found.result is not None
    assert found.by_station is not None
    assert (found.result["verdict"], found.by_station["verdict"]) == ("PASS", "FAIL")
    for wrong in ({"part": "P2"}, {"seam": None}, {"pass_no": 2}, {"station": "cell-2"}):
        with pytest.raises(UsageError, match="has no image of"):
            seams.read(
                url,
                **({"station": "cell-1", "part": "P1", "seam": "S1", "pass_no": 1, "person": "ann"} | wrong),
            )


def test_a_pass_at_a_station_with_others_below_it_is_its_own(url: URL) -> None:
    """A station whose name is that of a site shows its own pass; as a choice of images it is the site."""
    for station, verdict in (("north/cell-1", Verdict.FAIL), ("north", Verdict.PASS)):
        with Store.open(url, station, seam_gap_s=300) as store:
            frames = [inspected(f"{n}.png", part="P1", seam="S1", verdict=verdict) for n in range(6)]
            store.record(frames, in_force(store))
    for station, verdict in (("north", "PASS"), ("north/cell-1", "FAIL")):
        found = seams.read(url, station=station, part="P1", seam="S1", pass_no=1, person="ann")
        assert (len(found.frames), found.result and found.result["verdict"]) == (6, verdict)
    chosen = {name: len(shown.images(url, Choice(station=name), "ann")) for name in ("north", "north/cell-1")}
    assert chosen == {"north": 12, "north/cell-1": 6}


def test_people_find_an_image_by_what_they_know_of_it(store: Store, url: URL) -> None:
    """A number, a name, a part, a seam and a hash each find the image, whole or by their beginning."""
    force = in_force(store)
    names = ["cam1_P-7_S1_001.png", "cam1_P-7_S2_002.png", "100%_done.png"]
    parts = [("P-7", "S1"), ("P-7", "S2"), (None, None)]
    ids = store.record(
        [inspected(name, part=part, seam=seam) for name, (part, seam) in zip(names, parts, strict=True)],
        force,
    )
    store.record([quarantined("broken_P-7.png", reason="truncated")], force)

    def numbers(text: str) -> list[int]:
        return [image.inspection for image in find(url, text, "ann").images]

    assert numbers(str(ids[1])) == [ids[1]]
    assert numbers(names[0]) == numbers("cam1_P-7_S1") == numbers("P-7/S1") == [ids[0]]
    assert numbers("P-7") == numbers("P-") == numbers("cam1") == [ids[1], ids[0]]
    assert numbers(sha(names[2])) == numbers(sha(names[2])[:8].upper()) == numbers("0%_d") == [ids[2]]
    assert numbers("s2_002") == [ids[1]]
    assert numbers("  ") == numbers("nothing\0") == numbers("9" * 30) == []
    [copy] = store.record([inspected("copy.png", names[2])], force)
    assert numbers(sha(names[2])) == [copy, ids[2]]
    assert [refused.source_name for refused in find(url, "P-7", "ann").refused] == ["broken_P-7.png"]


def test_a_choice_without_a_period_or_part_looks_at_the_newest_images(
    store: Store, url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rare verdict makes no page read the whole ledger; a part or a period finds older images."""
    items = [inspected(f"{n}.png", f"{n}", part="P1") for n in range(3)]
    store.record(items, in_force(store))
    monkeypatch.setattr(shown, "_MAX_SCANNED", 2)
    verdict = str(items[0].judgement.verdict)
    found = {
        name: len(shown.images(url, Choice(verdict=verdict, **{name: value}), "ann"))
        for name, value in {"station": "cell-1", "part": "P1", "since": "2000-01-01"}.items()
    }
    assert found == {"station": 2, "part": 3, "since": 3}


def test_audit_samples_are_blind_until_a_person_has_decided(store: Store, url: URL) -> None:
    """All verdicts on an image of a random sample stay hidden from a person until this person has decided."""
    ids = store.record([inspected(f"{n}.png") for n in range(2)], in_force(store))
    store.record_sample([ids[0]], seed=1, population=2)
    assert [image.is_blind for image in shown.by_number(url, ids, "ann")] == [True, False]
    store.record_reviews([Review(ids[0], "ann", Verdict.FAIL, "porosity")])
    assert shown.by_number(url, ids, "bert")[0].is_blind
    image, other = shown.by_number(url, ids, "ann")
    assert (image.is_blind, image.is_audited, image.final, other.final) == (False, True, "FAIL", "PASS")


def test_the_page_says_what_is_enough(store: Store, url: URL, tmp_path: Path) -> None:
    """Audits, those that wait, and verdicts since the artifact was made are counted, undecided ones not."""
    assert enough.for_training(url, "cell-1", tmp_path / "c.yaml").artifact is None
    ids = store.record([inspected(f"{n}.png") for n in range(30)], in_force(store))
    store.record_sample(ids[:20], seed=1, population=30)
    store.record_reviews([Review(number, "ann", Verdict.PASS) for number in ids[:15]])
    store.record_reviews([Review(ids[16], "ann", Verdict.FAIL, "porosity")])
    store.record_reviews([Review(ids[16], "ann", Verdict.REVIEW)])
    found = enough.escapes(url, Words(), station="cell-1")
    assert (found.row["n"], found.row["of_n"], found.waiting) == (0, 15, 4)
    assert found.needed[0.1] == 20
    assert "0 of 15 audited PASS images" in str(found.words)
    training = enough.for_training(url, "cell-1", tmp_path / "it's.yaml")
    assert training.by_class == {"": 15}
    assert training.decided == 15
    assert training.command.endswith("--out reviewed --add")
