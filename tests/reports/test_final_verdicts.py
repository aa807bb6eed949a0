"""Final verdicts: what a person says counts, in the views and in every report on production."""

from __future__ import annotations

import json
from typing import Any

import pytest
from catalogues import rows_of
from ledger_samples import SECOND_US, START_US, in_force, inspected
from sqlalchemy.engine import URL

from inspector.errors import UsageError
from inspector.ledger.store import Store
from inspector.records import Inspected, Outcome, Review, SeamReview, Verdict
from inspector.reports import definitions
from inspector.reports.query import Query, run
from inspector.reports.rendering import render

PASS, FAIL, REVIEW = Verdict.PASS, Verdict.FAIL, Verdict.REVIEW
ON_PRODUCTION = [
    *(
        "by_camera",
        "by_part",
        "by_seam",
        "first_pass_yield",
        "p_chart",
        "pareto",
        "seams",
        "signals",
        "summary",
    ),
    "trend",
]


def frames(verdicts: str, *, first: int = 0, label: str = "good") -> list[Inspected]:
    """Frames of one seam, one second apart; P, F and R are the station's verdicts."""
    words = {"P": PASS, "F": FAIL, "R": REVIEW}
    return [
        inspected(
            f"{number}.png",
            seen_us=START_US + number * SECOND_US,
            part="P",
            seam="S",
            verdict=words[letter],
            label=label,
        )
        for number, letter in enumerate(verdicts, first)
    ]


def cells(url: URL, name: str, *columns: str, **asked: Any) -> list[tuple[Any, ...]]:
    """Some columns of a report."""
    report = run(url, Query(name, **asked))
    places = [report.columns.index(column) for column in columns]
    return [tuple(row[place] for place in places) for row in report.rows]


def seam(url: URL, verdicts: str = "final") -> tuple[Any, ...]:
    """Verdict and reason of the one pass in the report, whose verdict is also that of the view."""
    [found] = cells(url, "seams", "verdict", "reason", verdicts=verdicts)
    column = {"final": "final_verdict", "station": "verdict"}[verdicts]
    assert [tuple(row) for row in rows_of(url, f"SELECT {column} FROM v_seam")] == [found[:1]]
    return found


def test_the_latest_person_counts(store: Store, url: URL) -> None:
    """Of two people who disagree the later one counts; an undecided one leaves the station's verdict."""
    ids = store.record(frames("RFPFRR"), in_force(store))
    said = [
        [(PASS, "ann")],
        [(PASS, "ann"), (FAIL, "bert")],
        [(FAIL, "ann"), (PASS, "bert"), (FAIL, "ann")],
        [(PASS, "ann"), (REVIEW, "bert")],
        [(REVIEW, "ann")],
        [],
    ]
    for inspection, people in zip(ids, said, strict=True):
        for verdict, reviewer in people:
            store.record_reviews([Review(inspection, reviewer, verdict)])
    found = rows_of(url, "SELECT verdict, final_verdict, human_verdict FROM v_inspection ORDER BY id")
    assert [tuple(row) for row in found] == [
        ("REVIEW", "PASS", "PASS"),
        ("FAIL", "FAIL", "FAIL"),
        ("PASS", "FAIL", "FAIL"),
        ("FAIL", "FAIL", "REVIEW"),
        ("REVIEW", "REVIEW", "REVIEW"),
        ("REVIEW", "REVIEW", None),
    ]
    counts = ("passed", "failed", "review")
    assert cells(url, "summary", *counts) == [(1, 3, 2)]
    assert cells(url, "first_pass_yield", *counts) == [(1, 3, 2)]
    assert cells(url, "summary", *counts, verdicts="station") == [(1, 2, 3)]


def test_a_verdict_on_a_pruned_image_counts(store: Store, url: URL) -> None:
    """A person may still decide an image whose file is gone, for example from a printed sheet."""
    [inspection] = store.record(frames("R"), in_force(store))
    store.record_removals([row.id for row in rows_of(url, "SELECT id FROM arrival")], Outcome.PRUNED)
    store.record_reviews([Review(inspection, "ann", PASS)])
    assert cells(url, "summary", "passed", "failed", "review") == [(1, 0, 0)]


def test_each_stations_seam_has_its_own_verdict(store: Store, url: URL) -> None:
    """A person's verdict on a pass is for that station, part, seam and pass, also if a name has no seam."""
    force, others = in_force(store), [("P", None), ("Q", "S")]
    ids = store.record(frames("RRRRR"), force)
    for number, (part, name) in enumerate(others):
        store.record([inspected(f"other-{number}.png", verdict=REVIEW, part=part, seam=name)], force)
    with Store.open(url, "cell-2", seam_gap_s=300) as other:
        other.record(frames("RRRRR"), in_force(other))
    store.record_reviews([SeamReview(ids[4], "ann", PASS)])
    expected = [("cell-1", "P", None, "REVIEW"), ("cell-1", "P", "S", "PASS")]
    expected += [("cell-1", "Q", "S", "REVIEW"), ("cell-2", "P", "S", "REVIEW")]
    found = cells(url, "seams", "station", "part", "seam", "verdict")
    assert sorted(found, key=str) == sorted(expected, key=str)
    view = rows_of(url, "SELECT station, part, seam, final_verdict FROM v_seam")
    assert sorted(map(tuple, view), key=str) == sorted(expected, key=str)


def test_a_seam_whose_frames_a_person_has_passed_passes(store: Store, url: URL) -> None:
    """Five frames in REVIEW make a REVIEW; after a person's PASS on each of them the seam is PASS."""
    ids = store.record(frames("RRRRR"), in_force(store))
    assert seam(url) == ("REVIEW", "review")
    store.record_reviews([Review(inspection, "ann", PASS) for inspection in ids[:4]])
    assert seam(url) == ("REVIEW", "review")
    store.record_reviews([Review(ids[4], "ann", PASS)])
    assert seam(url) == ("PASS", None)
    assert seam(url, "station") == ("REVIEW", "review")
    store.record_reviews([Review(inspection, "bert", FAIL) for inspection in ids[1:4]])
    assert seam(url) == ("FAIL", "stretch")


def test_a_persons_verdict_on_the_seam_counts_before_its_frames(store: Store, url: URL) -> None:
    """A person's PASS or FAIL on the pass itself decides, the latest of them; REVIEW gives it back."""
    ids = store.record(frames("PFFFP"), in_force(store))
    assert seam(url) == ("FAIL", "stretch")
    for verdict, expected in (
        (PASS, ("PASS", "person")),
        (FAIL, ("FAIL", "person")),
        (PASS, ("PASS", "person")),
        (REVIEW, ("FAIL", "stretch")),
    ):
        assert store.record_reviews([SeamReview(ids[4], "ann", verdict)]) == 1
        assert seam(url) == expected
    assert seam(url, "station") == ("FAIL", "stretch")
    assert store.record_reviews([SeamReview(ids[4], "ann", REVIEW)]) == 0, "nothing new"
    assert cells(url, "summary", "passed", "failed") == [(2, 3)], "images keep their own verdicts"


@pytest.mark.parametrize(
    ("late", "expected"),
    [("FFF", ("FAIL", "stretch")), ("P", ("PASS", None)), ("R", ("REVIEW", "review"))],
)
def test_a_persons_pass_does_not_cover_frames_that_come_later(
    store: Store, url: URL, late: str, expected: tuple[str, str | None]
) -> None:
    """After a PASS on a seam, a late frame makes its frames decide again; a FAIL of a person stays."""
    ids = store.record(frames("PPRP"), in_force(store))
    store.record_reviews([SeamReview(ids[3], "ann", PASS), Review(ids[2], "ann", PASS)])
    assert seam(url) == ("PASS", "person")
    twice = inspected("again.png", "0.png", seen_us=START_US + 5 * SECOND_US, part="P", seam="S")
    store.record([twice], in_force(store))
    assert seam(url) == ("PASS", "person"), "the same bytes again are no further frame"
    newest = store.record(frames(late, first=6), in_force(store))[-1]
    assert seam(url) == expected
    store.record_reviews([SeamReview(newest, "bert", FAIL)])
    store.record(frames("PP", first=9), in_force(store))
    assert seam(url) == ("FAIL", "person")


def test_a_seam_of_the_view_follows_the_settings_of_its_newest_frame(store: Store, url: URL) -> None:
    """The view takes seam_k, seam_n and seam_min_frames from the settings that were in force."""
    described = {"metadata": "{}", "artifact_sha256": "a" * 64, "name": "n", "version": "1"}
    rules = [{}, {"seam_k": 1, "seam_n": 1}, {"seam_k": 2, "seam_n": 2, "seam_min_frames": 9}]
    rules.append({"seam_k": 2, "seam_n": 3, "seam_min_frames": 1})
    found = []
    for first, rule in enumerate(rules):
        force = store.in_force(**described, settings_json=json.dumps(rule))
        store.record(frames("PFPFPP" if first == 0 else "P", first=5 * first + bool(first)), force)
        found += rows_of(url, "SELECT verdict FROM v_seam")
    assert [row.verdict for row in found] == ["PASS", "FAIL", "REVIEW", "FAIL"]


def test_the_pareto_names_the_persons_defect(store: Store, url: URL) -> None:
    """A person's class counts before the station's; without one an agreed FAIL keeps it, others have none."""
    ids = store.record(frames("FFFPRRP", label="pore"), in_force(store))
    said = [(FAIL, "crack"), (FAIL, None), (PASS, None), (FAIL, None), (FAIL, "crack"), (REVIEW, "pore")]
    for inspection, (verdict, label) in zip(ids, said, strict=False):
        store.record_reviews([Review(inspection, "ann", verdict, label)])
    assert cells(url, "pareto", "class", "n", "of_n") == [("crack", 2, 4), ("pore", 1, 4), (None, 1, 4)]
    assert cells(url, "pareto", "class", "n", "of_n", verdicts="station") == [("pore", 3, 3)]


def test_every_report_on_production_names_its_verdicts(store: Store, url: URL) -> None:
    """The reports on production take --verdicts and name it in the heading and in JSON; others refuse it."""
    store.record(frames("FP"), in_force(store))
    assert [name for name in definitions.names() if definitions.takes(name, "verdicts")] == ON_PRODUCTION
    for name in ON_PRODUCTION:
        if name == "signals":
            continue  # two images give no signal
        assert render(run(url, Query(name))).startswith(f"{name} (final verdicts)\n")
        by_station = run(url, Query(name, verdicts="station"))
        assert render(by_station).startswith(f"{name} (the station's verdicts)\n")
        assert json.loads(render(by_station, "json"))["verdicts"] == "station"
    assert json.loads(render(run(url, Query("latency")), "json"))["verdicts"] is None
    assert render(run(url, Query("latency"))).startswith("latency\n")
    with pytest.raises(UsageError, match="report 'latency' has no choice of verdicts; leave --verdicts out"):
        Query("latency", verdicts="final")
    with pytest.raises(UsageError, match="--verdicts 'human': there is final and station"):
        Query("summary", verdicts="human")
