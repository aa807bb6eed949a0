"""The reports about model, people and machine, computed a second time by hand on three seeded histories.

One file of more than 350 lines: all of these tests share the three histories, which take seconds to write.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from histories import BERLIN, CLASSES
from ledger_samples import SECOND_US, START_US, in_force, inspected, quarantined
from report_rows import by_column, images, latest, same, table
from shells import assert_prints
from sqlalchemy.engine import URL

from inspector.errors import UsageError
from inspector.ledger import database, schema
from inspector.ledger.store import Store
from inspector.records import Review, Verdict
from inspector.reports import definitions
from inspector.reports.query import Query, run
from inspector.reports.rendering import render
from inspector.times import instants, iso

HOUR_US = 3600 * SECOND_US
OURS = (
    "agreement",
    "calibration",
    "confidence",
    "confusion",
    "downtime",
    "drift",
    "escapes",
    "fleet",
    "gaps",
    "latency_by_batch",
    "latency_by_hour",
    "models",
    "quarantine",
    "review_queue",
    "shadow",
    "throughput",
)
# The third day of each history, so that the days before it are a reference.
SINCE = {1: "2026-01-07", 2: "2026-03-25", 3: "2026-10-22"}


def wilson(n: int, of_n: int) -> tuple[float, float]:
    """The bounds of Wilson's interval as the roots of the equation of the score test at 5%."""
    z2, p = 1.959963984540054**2, n / of_n
    low, high = sorted(np.roots([1 + z2 / of_n, -(2 * p + z2 / of_n), p * p]).real.tolist())
    return max(low, 0.0), min(high, 1.0)


def kappa(pairs: list[tuple[str, str]]) -> float | None:
    """Cohen's kappa from the confusion matrix."""
    words = sorted({word for pair in pairs for word in pair})
    matrix = np.zeros((len(words), len(words)))
    for one, other in pairs:
        matrix[words.index(one), words.index(other)] += 1
    matrix /= matrix.sum()
    expected = float(matrix.sum(0) @ matrix.sum(1))
    return None if math.isclose(expected, 1) else (float(np.trace(matrix)) - expected) / (1 - expected)


@pytest.mark.parametrize("name", OURS)
def test_both_back_ends_give_identical_rows(shop: tuple[int, URL, URL], name: str) -> None:
    """All time, a period, a station, a part with quotes in its name: both back ends give the same rows."""
    seed, sqlite, postgresql = shop
    selections: list[dict[str, str]] = [
        {},
        {"since": SINCE[seed], "station": "cell-1"},
        {"since": SINCE[seed], "until": f"{SINCE[seed]}T12:00", "station": "Cell-2"},
        {"since": "2090-01-01"},
    ]
    if name in ("confidence", "drift"):
        selections.append({"since": SINCE[seed], "reference_since": "2026-01-01"})
    if definitions.takes(name, "part"):
        selections.append({"part": 'O\'Brien "7"'})
    for selection in selections:
        one, other = (run(url, Query(name, **selection, zone=BERLIN)) for url in (sqlite, postgresql))
        assert one == other, selection
        for form in ("csv", "json"):
            assert render(one, form) == render(other, form), selection


_NO_PERIOD = {
    "since_us": f"{-(1 << 62)}",
    "until_us": f"{1 << 62}",
    "reference_since_us": "0",
    "reference_until_us": "1767900000000000",  # 2026-01-08T19:20Z
    "station": "''",  # a shell inserts the text as it is, so the quotes belong to it
    "part": "''",
}


def test_the_files_run_unchanged_in_the_shells_that_people_have(shop: tuple[int, URL, URL]) -> None:
    """sqlite3 and psql print the same rows from the file as the command."""
    for name in OURS:
        period = {"reference_since": "1970-01-01", "reference_until": "2026-01-08T19:20"}
        reference = period if definitions.takes(name, "reference_since_us") else {}
        for url in shop[1:]:
            assert_prints(url, name, _NO_PERIOD, run(url, Query(name, **reference)))


# --- people and the model --------------------------------------------------------------------------------


@pytest.mark.parametrize("selection", [{}, {"part": 'O\'Brien "7"'}, {"station_id": 1}])
def test_agreement_is_that_of_numpy(shop: tuple[int, URL, URL], selection: dict[str, Any]) -> None:
    """Shares, Wilson's interval and kappa are those of the textbook; escapes are of the random sample."""
    _, url, _ = shop
    said, chosen = latest(url), images(url, **selection)
    sampled = {row.inspection_id for row in table(url, "audit_sample")}
    decided = [(i, said[i.id]) for i in chosen if i.id in said and said[i.id].verdict != "REVIEW"]
    audited = [r.verdict for i, r in decided if i.verdict == "PASS" and i.id in sampled]
    rejected = [r.verdict for i, r in decided if i.verdict == "FAIL"]
    verdicts = [(i.verdict, r.verdict) for i, r in decided if i.verdict != "REVIEW"]
    classes = [(i.label, r.label) for i, r in decided if r.label is not None]
    passed, failed = (sum(i.verdict == kind for i in chosen) for kind in ("PASS", "FAIL"))
    expected = {
        "escape": (audited.count("FAIL"), len(audited), passed, None),
        "overkill": (rejected.count("PASS"), len(rejected), failed, None),
        "verdict": (sum(a == b for a, b in verdicts), len(verdicts), None, verdicts),
        "class": (sum(a == b for a, b in classes), len(classes), None, classes),
    }
    option = {"station": "cell-1"} if "station_id" in selection else selection
    report = by_column(run(url, Query("agreement", **option)))
    assert [row["measure"] for row in report] == list(expected)
    for row in report:
        n, of_n, population, pairs = expected[row["measure"]]
        assert row["of_n"] == of_n
        assert row["population"] == population
        if not of_n:
            assert row["n"] is row["share"] is row["low_share"] is row["kappa"] is None
            continue
        low, high = wilson(n, of_n)
        assert row["n"] == n
        same(row["share"], n / of_n)
        same(row["low_share"], low)
        same(row["high_share"], high)
        if population is not None:
            same(row["estimated"], population * n / of_n)
            same(row["estimated_high"], population * high)
        same(row["kappa"], kappa(pairs) if pairs else None)


def test_a_review_outside_a_sample_does_not_count_for_escapes(store: Store, url: URL) -> None:
    """A PASS that a person picked and failed is no escape; one of the random sample is."""
    picked, drawn, calm = store.record(
        [inspected(f"{n}.png", verdict=Verdict.PASS) for n in range(3)], in_force(store)
    )
    store.record_reviews([Review(picked, "ann", Verdict.FAIL)])
    escape = by_column(run(url, Query("agreement")))[0]
    assert (escape["of_n"], escape["share"]) == (0, None), "no sample: no figure, rather than 0% or 100%"
    store.record_sample([drawn, calm], seed=1, population=3)
    store.record_reviews([Review(drawn, "ann", Verdict.FAIL), Review(calm, "ann", Verdict.PASS)])
    escape = by_column(run(url, Query("agreement")))[0]
    assert (escape["n"], escape["of_n"], escape["share"]) == (1, 2, 0.5)
    assert (escape["population"], escape["estimated"]) == (3, 1.5)


def test_all_of_one_kind_has_no_kappa(store: Store, url: URL) -> None:
    """If everybody says PASS, agreement is total and kappa is empty, without a division by zero."""
    ids = store.record([inspected(f"{n}.png") for n in range(5)], in_force(store))
    store.record_sample(ids, seed=1, population=5)
    store.record_reviews([Review(number, "ann", Verdict.PASS) for number in ids])
    escape, overkill, verdict, classes = by_column(run(url, Query("agreement")))
    assert (escape["n"], escape["low_share"]) == (0, 0.0)
    assert escape["high_share"] == pytest.approx(wilson(0, 5)[1])
    assert (verdict["share"], verdict["kappa"]) == (1.0, None)
    assert overkill["share"] is classes["share"] is None


def test_confusion_counts_every_pair(shop: tuple[int, URL, URL]) -> None:
    """Each pair of labels by station and person has its images; they add up to the reviewed images."""
    _, url, _ = shop
    said = latest(url)
    expected = Counter(
        (i.verdict, i.label, said[i.id].verdict, said[i.id].label) for i in images(url) if i.id in said
    )
    found = by_column(run(url, Query("confusion")))
    words = ("verdict", "label", "human_verdict", "human_label")
    assert {tuple(row[word] for word in words): row["n"] for row in found} == expected
    assert {row["of_n"] for row in found} == {len(said)}
    assert sum(row["share"] for row in found) == pytest.approx(1)
    sampled = {row.inspection_id for row in table(url, "audit_sample")} & set(said)
    assert sum(row["sampled"] for row in found) == len(sampled)


def test_models_are_distinguished(shop: tuple[int, URL, URL]) -> None:
    """Each artifact has its own images, verdicts and review results, with older or newer classes."""
    seed, url, _ = shop
    said, sampled = latest(url), {row.inspection_id for row in table(url, "audit_sample")}
    found = by_column(run(url, Query("models")))
    assert len(found) == 2 + (seed == 3)
    for row in found:
        [model] = [m for m in table(url, "model") if m.artifact_sha256.startswith(row["artifact"])]
        own = [i for i in images(url) if i.model_id == model.id]
        assert (row["version"], row["n"]) == (model.version, len(own))
        same(row["pass_share"], sum(i.verdict == "PASS" for i in own) / len(own))
        same(row["review_share"], sum(i.verdict == "REVIEW" for i in own) / len(own))
        decided = [i for i in own if i.id in said and said[i.id].verdict != "REVIEW"]
        audited = [said[i.id].verdict for i in decided if i.verdict == "PASS" and i.id in sampled]
        rejected = [said[i.id].verdict for i in decided if i.verdict == "FAIL"]
        assert (row["reviewed"], row["audited"], row["fails_reviewed"]) == (
            len(decided),
            len(audited),
            len(rejected),
        )
        same(row["escape_share"], audited.count("FAIL") / len(audited) if audited else None)
        same(row["overkill_share"], rejected.count("PASS") / len(rejected))
        assert {i.label for i in own} <= set(CLASSES[int(model.version)])


def test_the_queue_holds_what_waits_and_nothing_else(shop: tuple[int, URL, URL]) -> None:
    """The queue has REVIEW, audit and FAIL images without a verdict and undecided ones, oldest first."""
    _, url, _ = shop
    said, sampled = latest(url), {row.inspection_id for row in table(url, "audit_sample")}
    waiting: dict[str, list[Any]] = defaultdict(list)
    for image in images(url):
        if image.id in said:
            if said[image.id].verdict == "REVIEW":
                waiting["undecided"].append(image)
        elif image.verdict == "PASS":
            if image.id in sampled:
                waiting["audit"].append(image)
        else:
            waiting[image.verdict.lower()].append(image)
    expected = []
    for why in ("review", "audit", "fail", "undecided"):
        rows = sorted(waiting[why], key=lambda image: (image.inspected_us, image.id))[:200]
        expected += [(why, len(waiting[why]), image.id) for image in rows]
    assert [row[:3] for row in run(url, Query("review_queue")).rows] == expected
    assert len(expected) > 20


# --- drift -----------------------------------------------------------------------------------------------


def psi(period: list[float], reference: list[float]) -> tuple[float, int]:
    """The population stability index over the reference's deciles, and the number of bins with images."""
    edges = np.percentile(reference, range(10, 100, 10), method="inverted_cdf")
    counts = [np.bincount(np.searchsorted(edges, values), minlength=10) for values in (period, reference)]
    return _psi(*counts)


def _psi(period: np.ndarray, reference: np.ndarray) -> tuple[float, int]:
    held = (period + reference) > 0
    p = np.maximum(period[held], 0.5) / period.sum()
    q = np.maximum(reference[held], 0.5) / reference.sum()
    return float(np.sum((p - q) * np.log(p / q))), int(held.sum())


def test_drift_is_that_of_numpy(shop: tuple[int, URL, URL]) -> None:
    """PSI of confidence, novelty and class against the 28 days before, with band and chance."""
    seed, url, _ = shop
    since_us = instants(SINCE[seed], None, BERLIN)[0]
    now = images(url, since_us=since_us)
    before = images(url, since_us=since_us - 28 * 24 * HOUR_US, until_us=since_us)
    labels = sorted({i.label for i in now + before})
    counts = [np.array([sum(i.label == name for i in rows) for name in labels]) for rows in (now, before)]
    expected = {"class": _psi(*counts)}
    for measure in ("confidence", "novelty"):
        expected[measure] = psi(*([getattr(i, measure) for i in rows] for rows in (now, before)))
    found = by_column(run(url, Query("drift", since=SINCE[seed], zone=BERLIN)))
    assert [row["measure"] for row in found] == list(expected)
    for row in found:
        index, bins = expected[row["measure"]]
        assert row["psi"] == pytest.approx(index, abs=1e-6)
        assert (row["n"], row["reference_n"], row["bins"]) == (len(now), len(before), bins)
        same(row["chance"], (bins - 1) * (1 / len(now) + 1 / len(before)))
        bands = {"stable": index < 0.1, "watch": 0.1 <= index < 0.25, "shifted": index >= 0.25}
        assert bands[row["band"]]


def test_drift_has_its_bands(store: Store, url: URL) -> None:
    """Equal images are stable, different ones shifted, few too few; without earlier ones: no reference."""
    sure = [inspected(f"a{n}.png", confidence=0.90 + n / 10_000, seen_us=START_US + n) for n in range(400)]
    again = [
        inspected(f"b{n}.png", confidence=0.90 + n / 10_000, seen_us=START_US + HOUR_US + n)
        for n in range(400)
    ]
    unsure = [
        inspected(f"c{n}.png", confidence=0.5 + n / 10_000, seen_us=START_US + 2 * HOUR_US + n)
        for n in range(400)
    ]
    store.record(sure + again + unsure, in_force(store))

    def bands(**period: str) -> dict[str, Any]:
        return {row["measure"]: row["band"] for row in by_column(run(url, Query("drift", **period)))}

    assert bands(since="2026-01-05T09:00", until="2026-01-05T10:00") == {
        "class": "stable",
        "confidence": "stable",
        "novelty": "stable",  # every image has the same novelty: one bin
    }
    assert bands(since="2026-01-05T10:00")["confidence"] == "shifted"
    assert bands(since="2026-01-05T10:00", reference_since="2026-01-05T10:00", reference_until="2026-01-06")[
        "confidence"
    ] == ("stable")
    few = bands(since="2026-01-05T10:00:01", until="2026-01-05T10:00:01.000010")
    assert few["confidence"] == "too few"
    assert set(bands().values()) == {"no reference"}
    assert bands(since="2026-02-01") == {}, "no image in the period: no data"


def test_confidence_is_a_histogram(shop: tuple[int, URL, URL]) -> None:
    """Each bin has numpy's count for the period and for the reference, with the shares of each."""
    seed, url, _ = shop
    since_us = instants(SINCE[seed], None, BERLIN)[0]
    now = images(url, since_us=since_us)
    before = images(url, since_us=since_us - 28 * 24 * HOUR_US, until_us=since_us)
    edges = [0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1]
    counts, reference = (np.histogram([i.confidence for i in rows], edges)[0] for rows in (now, before))
    found = by_column(run(url, Query("confidence", since=SINCE[seed], zone=BERLIN)))
    assert [row["n"] for row in found] == counts.tolist()
    assert [row["reference_n"] for row in found] == reference.tolist()
    for row, count, other in zip(found, counts, reference, strict=True):
        same(row["share"], float(count / len(now)))
        same(row["reference_share"], float(other / len(before)))
        assert row["passed"] + row["failed"] + row["review"] == row["n"]
    alone = by_column(run(url, Query("confidence")))
    assert {row["reference_share"] for row in alone} == {None}


def test_a_reference_is_for_reports_that_compare(url: URL) -> None:
    """A report without a reference refuses one, and a report with a reference refuses a reversed one."""
    with pytest.raises(UsageError, match="report 'agreement' compares with no reference"):
        run(url, Query("agreement", reference_since="2026-01-01"))
    with pytest.raises(UsageError, match="--reference-since 2026-02-01 is not before --reference-until 2026"):
        run(url, Query("drift", reference_since="2026-02-01", reference_until="2026-01-01"))
    with pytest.raises(UsageError, match="--reference-until 'x' is not a date"):
        run(url, Query("drift", reference_until="x"))


# --- the machine -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "column"), [("latency_by_hour", "hour"), ("latency_by_batch", "batch_size")]
)
def test_latency_by_group_is_that_of_numpy(shop: tuple[int, URL, URL], name: str, column: str) -> None:
    """p50, p95, p99 and max are numpy's nearest-rank percentiles of each step and hour or batch size."""
    _, url, _ = shop
    groups: dict[Any, list[Any]] = defaultdict(list)
    for image in images(url):
        hour = iso(int(image.inspected_us / HOUR_US) * HOUR_US, BERLIN)
        groups[hour if column == "hour" else image.batch_size].append(image)
    found = by_column(run(url, Query(name, zone=BERLIN)))
    assert len(found) == 4 * len(groups)
    for row in found:
        times = [getattr(image, f"{row['step']}_ms") for image in groups[row[column]]]
        ranks = np.percentile(times, [50, 95, 99, 100], method="inverted_cdf").tolist()
        assert row["n"] == len(times)
        assert [row[key] for key in ("p50_ms", "p95_ms", "p99_ms", "max_ms")] == ranks


def test_throughput_counts_hours_and_minutes(shop: tuple[int, URL, URL]) -> None:
    """Each hour and station has its images, busiest minute and share of time with the network at work."""
    _, url, _ = shop
    names = {row.id: row.name for row in table(url, "station")}
    groups: dict[Any, list[Any]] = defaultdict(list)
    for image in images(url, since_us=0):
        hour = image.inspected_us // HOUR_US * HOUR_US
        groups[iso(hour, BERLIN), names[image.station_id]].append(image)
    found = by_column(run(url, Query("throughput", zone=BERLIN)))
    assert len(found) == len(groups)
    for row in found:
        own = groups[row["hour"], row["station"]]
        minutes = Counter(image.inspected_us // (60 * SECOND_US) for image in own)
        assert (row["n"], row["busiest_minute"]) == (len(own), max(minutes.values()))
        same(row["batches_of"], float(np.mean([image.batch_size for image in own])))
        share = sum(image.infer_ms for image in own) / 3_600_000
        assert row["infer_share"] == pytest.approx(share, abs=1e-6)


def test_quarantine_by_reason(shop: tuple[int, URL, URL]) -> None:
    """Each station's reasons are counted, most frequent first, with the name of the latest file."""
    _, url, _ = shop
    names = {row.id: row.name for row in table(url, "station")}
    files = table(url, "quarantine")
    counts = Counter((names[row.station_id], row.reason) for row in files)
    totals = Counter(names[row.station_id] for row in files)
    found = by_column(run(url, Query("quarantine")))
    assert {(row["station"], row["reason"]): row["n"] for row in found} == counts
    for row in found:
        own = [f for f in files if (names[f.station_id], f.reason) == (row["station"], row["reason"])]
        assert row["last_file"] == max(own, key=lambda f: (f.quarantined_us, f.id)).source_name
        same(row["share"], row["n"] / totals[row["station"]])


def test_gaps_are_the_pauses_between_images(shop: tuple[int, URL, URL]) -> None:
    """Every pause of 15 minutes or more is listed with its events; one lasts 16 hours."""
    _, url, _ = shop
    events = table(url, "event")
    expected = []
    for station in table(url, "station"):
        times = sorted(i.inspected_us for i in images(url, station_id=station.id))
        for one, other in pairwise(times):
            if other - one >= 900 * SECOND_US:
                kinds = Counter(
                    e.kind for e in events if e.station_id == station.id and one <= e.at_us <= other
                )
                expected.append((one, station.name, other, kinds["start"], kinds["stop"], kinds["outage"]))
    expected.sort()
    found = by_column(run(url, Query("gaps")))
    assert [
        (row["from"], row["station"], row["until"], row["starts"], row["stops"], row["outages"])
        for row in found
    ] == [(iso(e[0], UTC), e[1], iso(e[2], UTC), *e[3:]) for e in expected]
    assert any(16 <= row["hours"] < 18 for row in found)


def test_a_gap_over_the_periods_beginning_counts(store: Store, url: URL) -> None:
    """A pause that began before the period and ended in it is listed, as on the morning after a night."""
    late, early = (
        inspected("a.png", seen_us=START_US),
        inspected("b.png", seen_us=START_US + 16 * HOUR_US),
    )
    store.record([late, early], in_force(store))
    [row] = by_column(run(url, Query("gaps", since="2026-01-06")))
    assert row["hours"] == 16
    assert run(url, Query("gaps", until="2026-01-06")).rows == []


def write_events(url: URL, *events: tuple[str, float]) -> None:
    """Write events of the first station, given as kinds and hours since the start."""
    engine = database.immediate(database.engine(url))
    rows = [
        {"station_id": 1, "kind": kind, "detail": "", "at_us": START_US + round(hours * HOUR_US)}
        for kind, hours in events
    ]
    with database.transaction(engine) as connection:
        connection.execute(schema.event.insert(), rows)
    engine.dispose()


def test_downtime_of_a_week_written_by_hand(store: Store, url: URL) -> None:
    """Runs of 8 and 6 hours and a crash after 2 have a mean of 16/3 hours; an open run is left out."""
    times = [0.1, 4, 7.9, 10.1, 12, 20.5]  # hours
    store.record(
        [inspected(f"{t}.png", inspected_us=START_US + round(t * HOUR_US)) for t in times], in_force(store)
    )
    write_events(
        url,
        ("start", 0),
        ("outage", 2),
        ("stop", 8),
        ("start", 10),  # crashed: its last image is at 12
        ("start", 14),
        ("overflow", 15),
        ("stop", 20),
        ("start", 20.4),
    )
    [row] = by_column(run(url, Query("downtime")))
    assert (row["starts"], row["stops"], row["crashes"], row["outages"], row["others"]) == (4, 2, 1, 1, 1)
    same(row["run_hours"], 16 / 3)
    same(row["hours"], 20.4)
    assert row["gaps"] == 5
    same(row["gap_hours"], 20.4)
    same(row["longest_hours"], 8.5)


def test_downtime_of_every_history(shop: tuple[int, URL, URL]) -> None:
    """The mean time between stops is a day's run of 15.5 hours; gaps are those that 'gaps' lists."""
    seed, url, _ = shop
    found = {row["station"]: row for row in by_column(run(url, Query("downtime")))}
    days = 12 if seed == 2 else 8
    cell = found["cell-1"]
    assert (cell["starts"], cell["stops"], cell["crashes"], cell["outages"]) == (days, days, 0, days)
    assert cell["others"] == 2 * days
    same(cell["run_hours"], 15.5)
    listed = Counter(row["station"] for row in by_column(run(url, Query("gaps"))))
    assert {name: row["gaps"] for name, row in found.items()} == listed
    assert found["Cell-2"]["run_hours"] is None


# --- nothing, one, and odd -------------------------------------------------------------------------------


def test_an_empty_database_is_no_data(url: URL) -> None:
    """Without any row, every report is one line."""
    for name in OURS:
        assert render(run(url, Query(name))) == f"no data for {name}"


def test_one_row_and_an_unreadable_file(url_of: Callable[[str], URL]) -> None:
    """With one PASS image, one quarantined file and no review, every report is equal on both back ends."""
    urls = [url_of("sqlite"), url_of("postgresql")]
    for url in urls:
        with Store.open(url, "cell-1", seam_gap_s=300) as store:
            store.record([inspected(), quarantined()], in_force(store))
    for name in OURS:
        one, other = (run(url, Query(name, since="2026-01-05")) for url in urls)
        assert one == other
        # Nothing was reviewed, waits, or paused.
        assert bool(one.rows) == (name not in ("calibration", "confusion", "gaps", "review_queue", "shadow"))
        if name == "agreement":
            assert {row["share"] for row in by_column(one)} == {None}
