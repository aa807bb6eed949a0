"""Verdicts of an artifact on labelled frames, counted by hand and as the station's classifier gives them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from artifact_samples import CLASSES, TINY, compiled, frames

from inspector.network import artifact as artifacts
from inspector.network.classifier import Classifier
from inspector.network.metadata import ArtifactFile, Metadata, Thresholds
from trainer.evaluation.judging import artifact_answers, open_network
from trainer.evaluation.verdicts import share, verdict_metrics


@pytest.fixture
def about(tmp_path: Path) -> Metadata:
    """Metadata with one class that is accepted and two defect classes, one of which fails at 0.3."""
    thresholds = Thresholds(accept=0.6, defect=0.5, per_class={"contamination": 0.3}, novelty=5.0)
    return compiled(tmp_path / "a.pt", thresholds=thresholds)


def test_shares_by_hand(about: Metadata) -> None:
    """Each of seven frames counts in the share that its verdict and its class decide."""
    probabilities = torch.tensor(
        [
            [0.9, 0.1, 0.0],  # good, PASS
            [0.65, 0.0, 0.35],  # good, FAIL by the class's own threshold
            [0.9, 0.1, 0.0],  # good, novel
            [0.55, 0.25, 0.2],  # good, REVIEW
            [0.7, 0.3, 0.0],  # burn through, PASS
            [0.1, 0.9, 0.0],  # burn through, FAIL
            [0.0, 0.1, 0.9],  # contamination, FAIL
        ]
    )
    novelty = torch.tensor([1.0, 1, 6, 1, 1, 1, 1])
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 2])
    found = verdict_metrics(probabilities, novelty, labels, about)
    counts = {name: (each["count"], each["n"]) for name, each in found.items() if name != "escapes_by_class"}
    assert counts == {
        "passed": (2, 7),
        "failed": (3, 7),
        "review": (2, 7),
        "novel": (1, 7),
        "escapes": (1, 3),
        "overkill": (1, 4),
    }
    by_class = {name: (each["count"], each["n"]) for name, each in found["escapes_by_class"].items()}
    assert by_class == {"burn through": (1, 2), "contamination": (0, 1)}
    assert found["overkill"]["interval"] == pytest.approx([1 - 0.975**0.25, 0.8059], abs=1e-4)
    assert (found["overkill"]["interval_over"], found["overkill"]["runs"]) == ("frames", None)


def test_intervals_are_over_runs_if_runs_are_known(about: Metadata) -> None:
    """Twenty right frames of two runs show less than twenty frames; a share of no frames has no interval."""
    good = torch.tensor([[0.9, 0.1, 0.0]] * 20)
    found = verdict_metrics(good, torch.zeros(20), torch.zeros(20, dtype=torch.int64), about, ["a", "b"] * 10)
    assert found["overkill"]["interval"] == pytest.approx([0, 1 - 0.025 ** (1 / 2)])
    assert (found["overkill"]["interval_over"], found["overkill"]["runs"]) == ("runs", 2)
    frames_alone = verdict_metrics(good, torch.zeros(20), torch.zeros(20, dtype=torch.int64), about)
    assert frames_alone["overkill"]["interval"] == pytest.approx([0, 1 - 0.025 ** (1 / 20)])
    nothing = {"share": None, "interval": None, "interval_over": None}
    assert found["escapes"] == {"count": 0, "n": 0, "runs": None} | nothing


def test_the_interval_over_runs_holds_the_true_share() -> None:
    """It holds the true share in 95% of 400 worlds of correlated runs; the one over frames does not."""
    random = np.random.default_rng(26)
    held, held_over_frames = 0, 0
    for _ in range(400):
        sizes = random.integers(5, 40, 12)
        shares = random.beta(0.3, 1.2, 12)  # of the frames of each run: 20% in the mean
        hits = torch.tensor(random.random(sizes.sum()) < shares.repeat(sizes))
        runs = [f"run {number}" for number, n in enumerate(sizes) for _ in range(n)]
        every = torch.ones(len(hits), dtype=torch.bool)
        (low, high), (narrow_low, narrow_high) = (share(hits, every, of)["interval"] for of in (runs, ()))
        held += low <= 0.2 <= high
        held_over_frames += narrow_low <= 0.2 <= narrow_high
    assert held >= 380
    assert held_over_frames < 280


def test_verdicts_are_those_of_the_station(about: Metadata, tmp_path: Path) -> None:
    """The station's classifier counts the same verdicts on the same frames."""
    known = frames(12, TINY.height, TINY.width)
    answers = artifact_answers(open_network(ArtifactFile.read(tmp_path / "a.pt")), known)
    found = verdict_metrics(*answers, torch.arange(12) % len(CLASSES), about)
    judged = Classifier(artifacts.open(tmp_path / "a.pt")).judge(list(known), [None] * 12)
    verdicts = [judgement.verdict.value for judgement in judged]
    counts = {name: found[name]["count"] for name in ("passed", "failed", "review")}
    assert counts == {
        "passed": verdicts.count("PASS"),
        "failed": verdicts.count("FAIL"),
        "review": verdicts.count("REVIEW"),
    }
