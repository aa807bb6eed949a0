"""The reports escapes and calibration: each figure a second time by NumPy and SciPy, on both back ends."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from histories import BERLIN
from ledger_samples import in_force, inspected, sha
from report_rows import by_column, images, latest, same, table
from scipy.stats import binomtest
from sqlalchemy.engine import URL

from inspector.ledger.store import Store
from inspector.records import InForce, Review, Verdict
from inspector.reports.page.words import LANGUAGES, Words
from inspector.reports.query import Query, run
from inspector.reports.rendering import render


def artifact(store: Store, name: str, **metadata: Any) -> InForce:
    """An artifact that accepts two classes, one of them with a name that breaks a JSON path."""
    roles = {"good": "accept", 'so-so "B".1': "accept", "crack's": "defect"}
    about = {"classes": [{"name": each, "role": role} for each, role in roles.items()]} | metadata
    return store.in_force(
        metadata=json.dumps(about), artifact_sha256=sha(name), name=name, version="1", settings_json="{}"
    )


def accepted(image: Any, models: dict[int, Any]) -> float:
    """The probability of all classes that the artifact of an image accepts."""
    classes = models[image.model_id].metadata["classes"]
    return math.fsum(image.probabilities[c["name"]] for c in classes if c["role"] == "accept")


def interval(chances: np.ndarray) -> tuple[int, int]:
    """The interval of a number of independent events with these chances, in whole numbers."""
    mean, sigma = chances.sum(), math.sqrt((chances * (1 - chances)).sum())
    return max(0, math.floor(mean - 1.96 * sigma)), min(len(chances), math.ceil(mean + 1.96 * sigma))


# --- escapes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("selection", [{}, {"part": 'O\'Brien "7"'}])
def test_escapes_are_those_of_numpy_and_scipy(shop: tuple[int, URL, URL], selection: dict[str, Any]) -> None:
    """Each artifact has SciPy's exact interval of its audits, and NumPy's sum over its PASS images."""
    _, url, _ = shop
    said, models = latest(url), {row.id: row for row in table(url, "model")}
    sampled = {row.inspection_id for row in table(url, "audit_sample")}
    passed = defaultdict(list)
    for image in images(url, **selection):
        if image.verdict == "PASS":
            passed[image.model_id].append(image)
    found = by_column(run(url, Query("escapes", **selection)))
    assert [row["artifact"] for row in found] == [models[i].artifact_sha256[:12] for i in sorted(passed)]
    for row, model in zip(found, sorted(passed), strict=True):
        own = passed[model]
        verdicts = [said[i.id].verdict for i in own if i.id in sampled and i.id in said]
        audits = [verdict for verdict in verdicts if verdict != "REVIEW"]
        escaped = audits.count("FAIL")
        assert (row["passed"], row["audited"], row["escapes"]) == (len(own), len(audits), escaped)
        low, high = binomtest(escaped, len(audits)).proportion_ci() if audits else (0, 1)
        assert (row["low_share"], row["high_share"]) == pytest.approx((low, high), abs=2e-9)
        chances = np.array([1 - accepted(image, models) for image in own])
        assert row["expected"] == pytest.approx(chances.sum(), abs=1e-6)
        ends = interval(chances)
        assert (row["expected_low"], row["expected_high"]) == ends
        for end, count in zip(("_low", "_high", ""), (*ends, row["expected"]), strict=True):
            same(row[f"expected{end}_share"], count / len(own))
        above, below = low > ends[1] / len(own), high < ends[0] / len(own)
        assert row["alarm"] == (None if not audits else "more" if above else "fewer" if below else "none")


AUDITS = ((0, 1), (1, 1), (0, 300), (5, 300), (3, 7), (28, 90), (89, 90))


def test_the_interval_of_the_audits_is_exact(store: Store, url: URL) -> None:
    """From none to all, both ends are Clopper's and Pearson's; without audits they are 0 and 1."""
    for k, n in AUDITS:
        name = f"{k} of {n}"
        ids = store.record([inspected(f"{name} {i}.png") for i in range(n)], artifact(store, name))
        store.record_sample(ids, seed=1, population=n)
        said = [Verdict.FAIL] * k + [Verdict.PASS] * (n - k)
        store.record_reviews([Review(i, "ann", verdict) for i, verdict in zip(ids, said, strict=True)])
    store.record([inspected("alone.png")], artifact(store, "no audit"))
    *found, alone = by_column(run(url, Query("escapes")))
    for row, (k, n) in zip(found, AUDITS, strict=True):
        ends = binomtest(k, n).proportion_ci()
        assert (row["low_share"], row["high_share"]) == pytest.approx((ends.low, ends.high), abs=2e-9)
    assert [alone[name] for name in ("share", "low_share", "high_share", "alarm")] == [None, 0, 1, None]


def test_every_accepted_class_counts(store: Store, url: URL) -> None:
    """All accepted classes are added, in rows of older versions too; one alone is the confidence."""
    shares = [(0.5, 0.4, 0.1), (0.3, 0.65, 0.05), (0.25, 0.35, 0.4)]
    items = []
    for number, (good, fair, bad) in enumerate(shares):
        item = inspected(
            f"{number}.png", label="crack's" if bad == 0.4 else "good", confidence=max(good, bad)
        )
        item.judgement.probabilities.clear()
        item.judgement.probabilities.update({"good": good, 'so-so "B".1': fair, "crack's": bad})
        items.append(item)
    store.record(items, artifact(store, "several"))
    one = {"classes": [{"name": "good", "role": "accept"}, {"name": "another class", "role": "defect"}]}
    store.record([inspected("one.png", confidence=0.8)], artifact(store, "one", **one))
    store.record([inspected("unknown.png", confidence=0.7)], in_force(store, "says no classes"))
    several, alone, unknown = by_column(run(url, Query("escapes")))
    assert several["expected"] == pytest.approx(0.1 + 0.05 + 0.4)
    assert (alone["expected"], unknown["expected"]) == pytest.approx((0.2, 0.3))


def test_the_interval_of_the_expectation_holds() -> None:
    """It has the number of independent events with 95% or more, from 0.001 to 60 expected ones."""
    random = np.random.default_rng(1)
    for mean in (0.001, 0.05, 0.1, 0.3, 0.7, 1, 1.5, 2, 3, 5, 9, 20, 40, 60):
        for shape in (0.3, 3, 300):
            chances = random.beta(shape, 10 * shape, 400)
            chances *= mean / chances.sum()
            if chances.max() > 1:
                continue
            exact = np.ones(1)  # of 0, 1, … events
            for chance in chances:
                exact = np.convolve(exact, [1 - chance, chance])
            low, high = interval(chances)
            assert exact[low : high + 1].sum() >= 0.95


def test_the_alarm_is_in_words(store: Store, url: URL) -> None:
    """More escapes, fewer, neither, no audit: each has its words, below the table and in the JSON."""
    wanted = {
        "more": (0.999, 9, 0),
        "fewer": (0.3, 0, 0),
        "none": (0.95, 1, 1),
        "unaudited": (0.9, None, None),
    }
    for name, (confidence, escaped, calibrated) in wanted.items():
        about = {} if calibrated is None else {"calibrated": bool(calibrated)}
        force = artifact(store, name, **about, classes=[{"name": "good", "role": "accept"}])
        items = [inspected(f"{name} {i}.png", confidence=confidence) for i in range(40)]
        ids = store.record(items, force)
        if escaped is None:
            continue
        store.record_sample(ids, seed=1, population=40)
        said = [Verdict.FAIL] * escaped + [Verdict.PASS] * (40 - escaped)
        store.record_reviews([Review(i, "ann", verdict) for i, verdict in zip(ids, said, strict=True)])
    report = run(url, Query("escapes"))
    rows = by_column(report)
    assert [row["alarm"] for row in rows] == ["more", "fewer", "none", None]
    assert [row["calibrated"] for row in rows] == [0, 0, 1, None]
    words = json.loads(render(report, "json"))["words"]
    assert render(report).endswith(f"\n\n{words}")
    more, fewer, none, unaudited = (part for part in words.split("By the confidences of ")[1:])
    assert more.startswith(
        f"more 1 ({sha('more')[:12]}), with 95% confidence 0 to 1 of its 40 PASS images are defects; "
        "by the audits (9 of 40 were defects) 4 to 16. ALARM: the two do not overlap. More defects escape"
    )
    assert "ALARM: the two do not overlap. Fewer defects escape" in fewer
    assert all("were never calibrated" in text for text in (more, fewer))
    assert "never calibrated" not in none + unaudited
    assert "do not speak against the confidences" in none
    assert "no audit has checked that yet" in unaudited


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_words_are_in_every_language(language: str) -> None:
    """Each language has a sentence for each case."""
    from inspector.reports.escapes import alarms, in_words

    row = {"model": "m", "version": "1", "artifact": "0a", "calibrated": 0, "passed": 9000, "audited": 300}
    row |= {"escapes": 2, "low_share": 0.001, "high_share": 0.024, "expected_low": 900, "expected_high": 1000}
    rows = [row | {"alarm": alarm} for alarm in ("more", "fewer", "none", None)]
    texts = [in_words([each], Words(language)) for each in rows]
    assert len({*texts}) == 4
    assert all("m 1 (0a)" in str(text) for text in texts)
    assert len(alarms(rows, Words(language))) == 2
    assert ("1.000" if language == "de" else "1,000") in str(texts[0])


# --- calibration -----------------------------------------------------------------------------------------


def test_calibration_is_that_of_numpy(shop: tuple[int, URL, URL]) -> None:
    """By month, artifact and verdict: confidence, share right, its interval and the calibration error."""
    _, url, _ = shop
    said, models = latest(url), {row.id: row for row in table(url, "model")}
    sampled = {row.inspection_id for row in table(url, "audit_sample")}
    groups: dict[Any, list[tuple[float, bool]]] = defaultdict(list)
    for image in images(url):
        if image.id not in said or said[image.id].verdict == "REVIEW":
            continue
        if image.verdict == "PASS" and image.id not in sampled:
            continue
        p = accepted(image, models)
        side = image.verdict if image.verdict != "REVIEW" else "PASS" if p >= 0.5 else "FAIL"
        claim = (p if side == "PASS" else 1 - p, side == said[image.id].verdict)
        groups[image.local_day[:7], image.model_id, image.verdict].append(claim)
    found = by_column(run(url, Query("calibration", zone=BERLIN)))
    assert len(found) == len(groups) > 5
    for row, ((month, model, verdict), claims) in zip(found, sorted(groups.items()), strict=True):
        n, (c, right) = len(claims), np.array(claims).T
        assert (row["month"], row["artifact"]) == (month, models[model].artifact_sha256[:12])
        assert (row["verdict"], row["n"], row["right"]) == (verdict, n, right.sum())
        assert row["confidence_share"] == pytest.approx(c.mean(), abs=1e-8)
        low, high = interval(c)
        for name, count in (("right", right.sum()), ("low", low), ("high", high)):
            same(row[f"{name}_share"], float(count / n))
        bins = np.digitize(c, [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
        error = sum(abs((c - right)[bins == number].sum()) for number in range(8)) / n
        assert row["calibration_error"] == pytest.approx(error, abs=1e-8)
        fit = "too sure" if right.sum() < low else "too unsure" if right.sum() > high else "fits"
        assert row["fit"] == fit


def test_calibration_leaves_out_what_has_no_confidence(store: Store, url: URL) -> None:
    """PASS images that people chose, answers that are no number and unknown classes do not count."""
    force = artifact(store, "known")
    items = [
        inspected("a.png"),
        inspected("b.png"),
        inspected("c.png", verdict=Verdict.REVIEW, confidence=0.0),
    ]
    for item in items:
        item.judgement.probabilities["crack's"] = 1 - item.judgement.confidence
    ids = store.record(items, force)
    unknown = store.record([inspected("d.png", verdict=Verdict.REVIEW)], in_force(store))
    store.record_sample(ids[:1], seed=1, population=2)
    store.record_reviews([Review(i, "ann", Verdict.PASS) for i in ids + unknown])
    [row] = by_column(run(url, Query("calibration")))
    assert (row["model"], row["verdict"], row["n"]) == ("known", "PASS", 1)
