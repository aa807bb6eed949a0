"""The comparison of two artifacts on decided images equals an independent computation, on both back ends."""

from __future__ import annotations

import io
import itertools
import random
from collections import defaultdict
from collections.abc import Callable
from operator import mul
from pathlib import Path

import pytest
from artifact_samples import compiled, described, picture, student
from PIL import Image
from shelves import figures, say
from sqlalchemy.engine import URL
from stations import Station

from inspector.imaging.decoder import content_hash
from inspector.ledger.store import Store
from inspector.network import artifact
from inspector.records import Review, Verdict
from inspector.upkeep.decided_images import exact_p
from trainer.evaluation.metrics import mcnemar, sign_flip

COUNT = 30
LEARNT, PRUNED, CHANGED, UNDECIDED, OPEN = 3, 4, 5, 6, 7  # frames that are left out, each for its reason
CLASSES = ["good weld", "burn through", "contamination"]


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another network, which has learnt from one of the frames."""
    folder = tmp_path_factory.mktemp("artifact")
    compiled(folder / "plain.pt", student(seed=1))
    metrics = {"training_frames": [content_hash(picture(LEARNT))]}
    (folder / "second.pt").write_bytes(described(folder / "plain.pt", version="2", metrics=metrics))
    return folder / "second.pt"


@pytest.fixture(scope="session")
def first(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact in force, which records that it has learnt from none of the frames."""
    path = tmp_path_factory.mktemp("artifact") / "first.pt"
    path.write_bytes(described(tiny, metrics={"training_frames": []}))
    return path


def inspected(folder: Path, first: Path, url: URL) -> Station:
    """A station with inspected frames of six seams."""
    station = Station(
        folder,
        first,
        url,
        name_pattern=r"(?P<part>P\d)_",
        thresholds={"accept": 0.4, "burn through": 0.45},
    )
    for number in range(COUNT):
        content = io.BytesIO()
        Image.fromarray(picture(number)).save(content, "PNG")
        station.deliver(f"P{number % 6}_{number}.png", content.getvalue())
    assert station.once()["inspected"] == COUNT
    return station


def decide(station: Station) -> dict[int, tuple[str, str | None]]:
    """Give human verdicts; the verdict and the class of each frame that counts."""
    rows = station.rows("SELECT id, source_name, archive_path FROM inspection")
    of_frame = {int(row.source_name.split("_")[1][:-4]): row for row in rows}
    randomly, said = random.Random(7), {}
    with Store.open(station.url, "cell-1", seam_gap_s=300) as store:
        for number in set(range(COUNT)) - {OPEN}:
            label = randomly.choice([None, *CLASSES])
            verdict = (
                "FAIL" if label in CLASSES[1:] else "PASS" if label else randomly.choice(["PASS", "FAIL"])
            )
            inspection = of_frame[number].id
            first = Review(inspection, "ann", randomly.choice(list(Verdict)))
            store.record_reviews([first, Review(inspection, "bob", Verdict(verdict), label)])
            said[number] = verdict, label
        store.record_reviews([Review(of_frame[UNDECIDED].id, "cy", Verdict.REVIEW)])
    (station.archive / of_frame[PRUNED].archive_path).unlink()
    (station.archive / of_frame[CHANGED].archive_path).write_bytes(b"other bytes")
    left_out = (LEARNT, PRUNED, CHANGED, UNDECIDED)
    return {number: answer for number, answer in said.items() if number not in left_out}


def judged(opened: artifact.Artifact, number: int) -> tuple[str, str]:
    """The verdict and label of one frame, by the rules of the page 'Operate a station'."""
    shares = opened.forward(opened.prepare(picture(number))[None])[0][0].tolist()
    good, burnt, dirty = shares
    least = opened.metadata.thresholds.defect
    failing = [name for name, over in zip(CLASSES[1:], (burnt >= 0.45, dirty >= least), strict=True) if over]
    if failing:
        return "FAIL", max(failing, key=lambda name: shares[CLASSES.index(name)])
    if good >= 0.4:
        return "PASS", CLASSES[0]
    return "REVIEW", CLASSES[shares.index(max(shares))]


def test_the_figures_equal_an_independent_computation(tmp_path: Path, first: Path, second: Path, url: URL):
    """Agreement, escapes, overkill, discordant pairs and both p are those of a count by hand."""
    station = inspected(tmp_path, first, url)
    said = decide(station)
    found = figures(station, "install-artifact", str(second), "--dry-run")["comparison"]
    judges = {"old": artifact.open(first), "new": artifact.open(second)}
    sides = {side: {n: judged(judge, n) for n in said} for side, judge in judges.items()}
    failed = [n for n, (verdict, _) in said.items() if verdict == "FAIL"]
    passed = [n for n in said if n not in failed]
    assert (found["n"], found["failed_by_person"], found["passed_by_person"]) == (
        COUNT - 5,
        len(failed),
        len(passed),
    )
    assert (found["learnt_from"], found["left_out"]) == (1, 2)
    assert found["labelled"] == sum(label is not None for _, label in said.values())
    for side, answers in sides.items():
        assert found[side] == {
            "agrees": sum(answers[n][0] == said[n][0] for n in said),
            "escapes": sum(answers[n][0] == "PASS" for n in failed),
            "overkill": sum(answers[n][0] == "FAIL" for n in passed),
            "review": sum(answers[n][0] == "REVIEW" for n in said),
            "named": sum(answers[n][1] == said[n][1] for n in said),
        }
    right = {side: {n for n in said if answers[n][0] == said[n][0]} for side, answers in sides.items()}
    only_old, only_new = right["old"] - right["new"], right["new"] - right["old"]
    assert only_old and only_new, "these frames tell the networks apart"
    assert (found["only_old"], found["only_new"]) == (len(only_old), len(only_new))
    assert found["p"] == pytest.approx(mcnemar(len(only_old), len(only_new)))
    seams: dict[int, int] = defaultdict(int)
    for n in said:
        seams[n % 6] += (n in only_new) - (n in only_old)
    leads = [lead for lead in seams.values() if lead]
    signs = list(itertools.product((-1, 1), repeat=len(leads)))
    as_far = sum(abs(sum(map(mul, each, leads))) >= abs(sum(leads)) for each in signs)
    assert found["p_over_seams"] == pytest.approx(as_far / len(signs))
    text = say(station, "install-artifact", str(second), "--dry-run").stdout
    assert f"McNemar's exact p = {found['p']:.3f} over images" in text
    assert "left out: 1 that one of them learnt from, 2 that are pruned, changed or unreadable" in text


def test_only_the_latest_decisions_are_compared(
    tmp_path: Path, first: Path, tiny: Path, url_of: Callable[[str], URL]
):
    """--images bounds the work, 0 leaves it out; and an artifact that hides its training frames is named."""
    station = inspected(tmp_path, first, url_of("sqlite"))
    new = tmp_path / "new.pt"
    new.write_bytes(described(tiny, version="2"))
    words = ("install-artifact", str(new), "--dry-run")
    assert figures(station, *words)["comparison"] is None
    decide(station)
    assert figures(station, *words, "--images", "0")["comparison"] is None
    found = figures(station, *words, "--images", "9")["comparison"]
    assert found["n"] + found["left_out"] == 9
    assert found["learnt_from"] is None
    assert "does not record the frames that it learnt from" in say(station, *words, "--images", "9").stdout


def test_the_exact_p_is_that_of_the_trainer():
    """For single images it is McNemar's, and for larger leads that of flipped signs."""
    for worse, better in itertools.product(range(7), repeat=2):
        assert exact_p([-1] * worse + [1] * better + [0] * 3) == pytest.approx(mcnemar(worse, better))
    for leads in ([], [3, -1], [2, 2, -1, 4], [5], [1, -2, 3, -4, 5, 6]):
        expected = sign_flip([abs(lead) for lead in leads], sum(leads)) if leads else 1.0
        assert exact_p(leads) == pytest.approx(expected)
