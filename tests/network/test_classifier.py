"""Verdicts: a frame that is flawed, novel or not a number never passes."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from inspector.errors import SettingsError
from inspector.network.artifact import Artifact
from inspector.network.classifier import Classifier
from inspector.network.metadata import Metadata, Thresholds, WeldClass
from inspector.records import Verdict

CLASSES = [
    WeldClass(name="good", role="accept"),
    WeldClass(name="fair", role="accept"),
    WeldClass(name="crack", role="defect"),
    WeldClass(name="pore", role="defect"),
]


class Scripted(nn.Module):
    """A network that gives the same answers for all frames."""

    def __init__(self, probabilities: Tensor, novelty: Tensor, heat: Tensor) -> None:
        super().__init__()
        self.probabilities, self.novelty, self.heat = probabilities, novelty, heat

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.probabilities, self.heat, self.novelty

    @torch.jit.export
    def prepare(self, image: Tensor) -> Tensor:
        return image


def _classifier(rows, *, novelty=None, heat=0.5, thresholds=None, overrides=None, classes=None):
    """A classifier whose network answers ``rows``."""
    metadata = Metadata(
        name="scripted",
        version="1",
        classes=classes or CLASSES,
        height=64,
        width=64,
        thresholds=thresholds or Thresholds(),
        quantization="none",
        network={},
        metrics={},
        recipe={},
        git_commit=None,
        torch_version="2.13",
        created="2026-01-05T00:00:00+00:00",
    )
    network = torch.jit.script(
        Scripted(
            torch.tensor(rows, dtype=torch.float32),
            torch.tensor(novelty or [0.0] * len(rows)),
            torch.full([len(rows), 2, 3], heat),
        ).eval()
    )
    return Classifier(Artifact(Path("scripted.pt"), "0" * 64, metadata, network), overrides)


def _judge(rows, *, flaws=None, **arguments):
    frames = [torch.zeros(1, 64, 64, dtype=torch.uint8)] * len(rows)
    return _classifier(rows, **arguments).judge(frames, flaws or [None] * len(rows))


@pytest.mark.parametrize(
    ("row", "verdict", "reason", "label"),
    [
        ([0.9, 0.02, 0.04, 0.04], Verdict.PASS, None, "good"),
        ([0.3, 0.3, 0.2, 0.2], Verdict.PASS, None, "good"),
        ([0.1, 0.1, 0.7, 0.1], Verdict.FAIL, None, "crack"),
        ([0.2, 0.2, 0.3, 0.3], Verdict.REVIEW, "uncertain", "crack"),
    ],
)
def test_thresholds_make_the_verdict(row, verdict, reason, label):
    """Accept classes pass by their sum, a defect class fails by itself, all else is reviewed."""
    [judgement] = _judge([row])
    assert (judgement.verdict, judgement.reason, judgement.label) == (verdict, reason, label)
    assert judgement.confidence == pytest.approx(max(row))
    assert list(judgement.probabilities) == ["good", "fair", "crack", "pore"]
    assert list(judgement.probabilities.values()) == pytest.approx(row)


def test_a_defect_fails_even_beside_an_accepted_sum():
    """If both thresholds are met the frame fails, since an escape costs more than a review."""
    [judgement] = _judge([[0.7, 0, 0.3, 0]], overrides={"crack": 0.2})
    assert judgement.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("row", "overrides", "verdict", "label", "confidence"),
    [
        ([0.75, 0, 0.25, 0], {"crack": 0.2}, Verdict.FAIL, "crack", 0.25),
        ([0, 0, 0.625, 0.375], {"crack": 0.7, "pore": 0.3}, Verdict.FAIL, "pore", 0.375),
        ([0, 0.5, 0.25, 0.25], {"defect": 0.2}, Verdict.FAIL, "crack", 0.25),
        ([0.25, 0.3125, 0.4375, 0], {"accept": 0.5}, Verdict.PASS, "fair", 0.3125),
        ([0.25, 0.25, 0.5, 0], {"accept": 0.75, "crack": 0.75}, Verdict.REVIEW, "crack", 0.5),
    ],
)
def test_the_class_that_decided_is_recorded(row, overrides, verdict, label, confidence):
    """FAIL names the likeliest defect above its threshold, PASS an accepted class, REVIEW the likeliest."""
    [judgement] = _judge([row], overrides=overrides)
    assert (judgement.verdict, judgement.label, judgement.confidence) == (verdict, label, confidence)


@pytest.mark.parametrize("flaw", ["blank", "saturated", "unfinished"])
def test_a_flawed_frame_is_reviewed(flaw):
    """A frame that shows no weld is reviewed, however sure the network is."""
    for row in ([1.0, 0, 0, 0], [0, 0, 1.0, 0]):
        [judgement] = _judge([row], flaws=[flaw])
        assert (judgement.verdict, judgement.reason) == (Verdict.REVIEW, flaw)


def test_a_novel_frame_is_reviewed():
    """Novelty above its threshold is REVIEW; at or below it, or without one, it has no effect."""
    rows, novelty = [[1.0, 0, 0, 0]] * 2, [3.0, 3.5]
    fitted = _judge(rows, novelty=novelty, thresholds=Thresholds(novelty=3.0))
    assert [j.verdict for j in fitted] == [Verdict.PASS, Verdict.REVIEW]
    assert fitted[1].reason == "novel"
    assert [j.verdict for j in _judge(rows, novelty=novelty)] == [Verdict.PASS, Verdict.PASS]


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_an_answer_that_is_not_a_number_is_reviewed(wrong):
    """An answer that is not a number gives no label, no confidence and never a PASS."""
    for judgement in (
        _judge([[wrong, 0.5, 0.5, 0]])[0],
        _judge([[1.0, 0, 0, 0]], novelty=[wrong])[0],
    ):
        assert (judgement.verdict, judgement.reason) == (Verdict.REVIEW, "not_finite")
        assert (judgement.label, judgement.confidence) == ("unknown", 0.0)
        assert all(math.isfinite(p) for p in judgement.probabilities.values())
        assert math.isfinite(judgement.novelty)


def test_one_bad_frame_does_not_harm_its_batch():
    """Judgements come in order, each from its own frame's numbers."""
    rows = [[1.0, 0, 0, 0], [math.nan] * 4, [0, 0, 1.0, 0], [1.0, 0, 0, 0]]
    verdicts = [j.verdict for j in _judge(rows, flaws=[None, None, None, "blank"])]
    assert verdicts == [Verdict.PASS, Verdict.REVIEW, Verdict.FAIL, Verdict.REVIEW]


@given(
    row=st.lists(st.floats(0, 1, width=32) | st.just(math.nan), min_size=4, max_size=4),
    novelty=st.floats(width=32),
    flaw=st.sampled_from([None, "blank"]),
    accept=st.floats(0, 1),
)
def test_pass_is_never_given_in_doubt(row, novelty, flaw, accept):
    """Every PASS is finite, not flawed, not novel, accepted, and without a defect."""
    [judgement] = _judge(
        [row],
        novelty=[novelty],
        flaws=[flaw],
        thresholds=Thresholds(novelty=1.0),
        overrides={"accept": accept},
    )
    if judgement.verdict is Verdict.PASS:
        assert flaw is None
        assert all(map(math.isfinite, [*row, novelty]))
        assert novelty <= 1.0
        assert row[0] + row[1] >= accept - 1e-6
        assert max(row[2:]) < 0.5
        assert judgement.label in ("good", "fair")
    if judgement.verdict is Verdict.FAIL:
        assert judgement.label in ("crack", "pore")
    assert (judgement.verdict is Verdict.REVIEW) == (judgement.reason is not None)


def test_every_verdict_has_a_heat_map():
    """PASS, FAIL and REVIEW have a small uint8 map."""
    for judgement in _judge([[1.0, 0, 0, 0], [0, 0, 1.0, 0], [0.4, 0, 0.4, 0.2]], heat=0.5):
        assert judgement.heat.dtype == np.uint8
        assert judgement.heat.shape == (2, 3)
        assert set(judgement.heat.ravel()) == {128}


def test_overrides_win_over_the_artifact():
    """A class by its name wins over 'defect', which wins over the artifact's defect thresholds."""
    thresholds = Thresholds(accept=0.6, defect=0.4, per_class={"pore": 0.1})

    def in_force(overrides):
        return _classifier([[1, 0, 0, 0]], thresholds=thresholds, overrides=overrides).thresholds

    assert in_force({}) == {"accept": 0.6, "defects": {"crack": 0.4, "pore": 0.1}, "novelty": None}
    assert in_force({"defect": 0.3})["defects"] == {"crack": 0.3, "pore": 0.3}
    assert in_force({"defect": 0.3, "pore": 0.2})["defects"] == {"crack": 0.3, "pore": 0.2}
    assert in_force({"accept": 0.9})["accept"] == 0.9


@pytest.mark.parametrize("key", ["crak", "good", "Accept", ""])
def test_an_override_that_names_nothing_is_refused(key):
    """An override for anything but 'accept', 'defect' or a defect class is one line with the names."""
    with pytest.raises(SettingsError, match="crack, pore") as caught:
        _classifier([[1, 0, 0, 0]], overrides={key: 0.5})
    assert "\n" not in str(caught.value)


def test_without_an_accept_class_nothing_passes():
    """An artifact with only defect classes never passes a frame, even at threshold 0."""
    classes = [WeldClass(name=name, role="defect") for name in ("crack", "pore")]
    [judgement] = _judge([[0.5, 0.5]], classes=classes, overrides={"accept": 0.0, "defect": 0.9})
    assert (judgement.verdict, judgement.reason) == (Verdict.REVIEW, "uncertain")
