"""Novelty: small on known frames, large on others, with a threshold of a known rate."""

import pytest
import torch
from artifact_samples import TINY, compiled, frames, student

from inspector.network import artifact as artifacts
from inspector.network.classifier import Classifier
from inspector.network.metadata import Thresholds
from inspector.records import Verdict
from trainer.artifact.fitting import fit_ranges_and_novelty
from trainer.artifact.student import Student
from trainer.evaluation import novelty


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


def test_a_novel_frame_is_review(tmp_path):
    """In the station's classifier, known frames keep their verdict and a novel frame is REVIEW."""
    network = student()
    known = frames(40, TINY.height, TINY.width)
    fitted = fit_ranges_and_novelty(network, known[:30], known[30:])
    limit = fitted.novelty_threshold.value
    thresholds = Thresholds(
        accept=0.0, defect=1.0, novelty=limit
    )  # without novelty, every frame would be PASS
    compiled(tmp_path / "a.pt", network, novelty=fitted.novelty, thresholds=thresholds)
    opened = artifacts.open(tmp_path / "a.pt")
    stripes = (torch.arange(TINY.width) % 2 * 255).to(torch.uint8).expand(1, TINY.height, TINY.width)
    judged = Classifier(opened).judge([*known[:8], stripes], [None] * 9)
    assert [j.verdict for j in judged[:8]].count(Verdict.PASS) >= 7
    assert (judged[8].verdict, judged[8].reason) == (Verdict.REVIEW, "novel")
    assert judged[8].novelty > limit


def test_the_student_file_carries_ranges_and_novelty(tmp_path):
    """A student that was saved and loaded compiles to every scheme with the same novelty."""
    network = student()
    known = frames(12, TINY.height, TINY.width)
    fitted = fit_ranges_and_novelty(network, known[:8], known[8:])
    classes = compiled(tmp_path / "other.pt").classes
    golden = [torch.from_numpy(known[0, 0].numpy())]
    fields = {"ranges": fitted.ranges, "novelty": fitted.novelty}
    Student(network, list(classes), golden, {}, {"name": "tiny"}, None, **fields).save(
        tmp_path / "student.pt"
    )
    loaded = Student.load(tmp_path / "student.pt")
    assert loaded.ranges == fitted.ranges
    for scheme in ("dynamic", "static", "none"):
        loaded.compile(scheme, tmp_path / "a.pt")
        answers = artifacts.open(tmp_path / "a.pt").forward(known[:2])[2]
        expected = _distances(fitted.novelty, novelty.pooled_features(network, known[:2]))
        torch.testing.assert_close(answers, expected, rtol=0.2, atol=0.5)
