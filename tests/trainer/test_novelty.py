"""Novelty: small on known frames, large on others, with a threshold of a known rate."""

from pathlib import Path

import pytest
import torch
from artifact_samples import CLASSES, TINY, compiled, frames, student

from inspector.network import artifact as artifacts
from inspector.network.classifier import Classifier
from inspector.network.metadata import Thresholds
from inspector.records import Verdict
from trainer.artifact.fitting import compiled_answers, fit_ranges, fit_schemes
from trainer.artifact.student import Fit, Student
from trainer.data.datasets import Frame
from trainer.data.frames import FrameSet
from trainer.evaluation import novelty, training_verdict
from trainer.int8.schemes import compile_network
from trainer.recipe import Thresholds as Wishes


def _gaussian(count, seed, features=40):
    generator = torch.Generator().manual_seed(seed)
    spread = torch.linspace(1, 3, features)
    return torch.randn(count, features, generator=generator) * spread + 5


def _distances(fitted, pooled):
    return torch.tensor([fitted(frame) for frame in pooled])


def test_novelty_is_the_distance_in_standard_deviations():
    """For a Gaussian with few features and many frames, novelty is the Mahalanobis distance."""
    known = _gaussian(5000, 0, features=8)
    fitted = novelty.fit(known)
    expected = ((known - 5) / torch.linspace(1, 3, 8)).norm(dim=1)
    torch.testing.assert_close(_distances(fitted, known), expected, rtol=0.1, atol=0.2)


def test_fewer_frames_than_features_are_enough():
    """With fewer frames than features, known frames are still near and foreign frames far."""
    fitted = novelty.fit(_gaussian(20, 0))
    known = _distances(fitted, _gaussian(200, 1))
    foreign = _distances(fitted, _gaussian(200, 2) + 4)
    assert torch.isfinite(known).all()
    assert float(foreign.min()) > float(known.median())
    assert float((foreign > known.quantile(0.98)).float().mean()) > 0.9


def test_identical_frames_give_a_number():
    """After a fit to identical frames, every frame's novelty is a finite number."""
    fitted = novelty.fit(torch.ones(5, 10))
    assert torch.isfinite(_distances(fitted, torch.rand(3, 10))).all()


def test_without_a_fit_novelty_is_zero():
    """Without a fit, no frame is novel."""
    assert novelty.Novelty(6)(torch.rand(6)) == 0


@pytest.mark.parametrize(("n", "rank", "rate"), [(1, 1, 0.5), (60, 1, 0.0164), (500, 10, 0.02)])
def test_the_threshold_states_the_expected_rate(n, rank, rate):
    """The threshold is the j-th largest of n distances, and states the expected rate j/(n+1)."""
    held_out = torch.randperm(n).float()
    chosen = novelty.choose_threshold(held_out)
    assert chosen.value == n - rank
    assert chosen.metadata["n"] == n
    assert chosen.metadata["expected_false_alarms"] == pytest.approx(rate, abs=1e-4)


def fitted(network, known):
    """Ranges and the fit of each scheme, with the last frames held out."""
    count = 10 if len(known) > 20 else 4
    labels = torch.arange(count) % 3
    held_out = FrameSet(
        known[-count:], labels, [Frame(Path(f"{i}"), f"{i}", int(n)) for i, n in enumerate(labels)]
    )
    ranges = fit_ranges(network, known[:-count])
    wishes = Wishes(escape=0.01, review=0.1)
    return ranges, fit_schemes(network, ranges, known[:-count], held_out, classes=CLASSES, wishes=wishes)


def test_a_novel_frame_is_review(tmp_path):
    """In the station's classifier, known frames keep their verdict and a novel frame is REVIEW."""
    network = student()
    known = frames(40, TINY.height, TINY.width)
    _, fits = fitted(network, known)
    limit = fits["dynamic"].thresholds.novelty
    thresholds = Thresholds(
        accept=0.0, defect=1.0, novelty=limit
    )  # without novelty, every frame would be PASS
    compiled(tmp_path / "a.pt", network, novelty=fits["dynamic"].novelty, thresholds=thresholds)
    opened = artifacts.open(tmp_path / "a.pt")
    stripes = (torch.arange(TINY.width) % 2 * 255).to(torch.uint8).expand(1, TINY.height, TINY.width)
    judged = Classifier(opened).judge([*known[:8], stripes], [None] * 9)
    assert [j.verdict for j in judged[:8]].count(Verdict.PASS) >= 7
    assert (judged[8].verdict, judged[8].reason) == (Verdict.REVIEW, "novel")
    assert judged[8].novelty > limit


def test_the_student_file_carries_ranges_and_each_schemes_fit(tmp_path):
    """A student that was saved and loaded compiles to each scheme with the fit of its answers."""
    network = student()
    known = frames(12, TINY.height, TINY.width)
    ranges, fits = fitted(network, known)
    golden = [torch.from_numpy(known[0, 0].numpy())]
    each = {scheme: Fit.of(fit, training_verdict.Verdict([])) for scheme, fit in fits.items()}
    Student(network, CLASSES, golden, {"n": 4}, {"name": "tiny"}, None, ranges, each).save(
        tmp_path / "student.pt"
    )
    loaded = Student.load(tmp_path / "student.pt")
    assert loaded.ranges == ranges
    assert loaded.fits.keys() == {"dynamic", "static", "none"}
    limits = set()
    for scheme, fit in fits.items():
        metadata = loaded.compile(scheme, tmp_path / "a.pt")
        distances = artifacts.open(tmp_path / "a.pt").forward(known[-4:])[2]
        torch.testing.assert_close(
            distances.amax(), torch.tensor(metadata.thresholds.novelty), rtol=1e-4, atol=1e-4
        )
        assert metadata.thresholds == fit.thresholds
        assert metadata.metrics["n"] == 4
        assert metadata.metrics["accuracy"] == fit.metrics["accuracy"]
        assert metadata.metrics["agreement_with_fp32"] <= 1
        limits.add(metadata.thresholds.novelty)
    assert len(limits) == 3, "each scheme's answers differ a little, so a shared threshold would fit none"


def test_the_fit_is_of_the_answers_that_ship(tmp_path):
    """Each scheme's fitted answers are those of its artifact, opened as the station opens it."""
    network = student()
    known = frames(12, TINY.height, TINY.width)
    ranges = fit_ranges(network, known)
    for scheme in ("dynamic", "static", "none"):
        logits, _ = compiled_answers(compile_network(network, scheme, ranges), known)
        compiled(tmp_path / "a.pt", network, scheme=scheme, ranges=ranges, temperature=1.7)
        shipped = artifacts.open(tmp_path / "a.pt").forward(known)[0]
        torch.testing.assert_close(torch.softmax(logits / 1.7, 1), shipped, rtol=1e-3, atol=1e-4)
