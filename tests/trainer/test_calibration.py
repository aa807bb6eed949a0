"""Calibration: a temperature corrects the confidence, or the reason against one is recorded."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainer.evaluation.calibration import MIN_FRAMES, at_temperature, calibrate, cross_fitted_entropy
from trainer.evaluation.metrics import calibration_error, reliability


def answers(n: int, scale: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Probabilities of three classes with logits ``scale`` times the calibrated ones, and true labels."""
    generator = torch.Generator().manual_seed(seed)
    logits = 1.5 * torch.randn(n, 3, generator=generator, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator).flatten()
    return (scale * logits).softmax(1), labels


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_the_temperature_is_the_scale_of_the_logits(scale: float) -> None:
    """The temperature of 4000 answers with scaled logits is that scale, and the calibration error falls."""
    probabilities, labels = answers(4000, scale)
    calibration = calibrate(probabilities, labels)
    assert calibration.calibrated
    assert calibration.temperature == pytest.approx(scale, rel=0.1)
    assert calibration.error_after is not None
    assert calibration.error_after < 0.4 * calibration.error_before
    assert calibration.error_before == pytest.approx(calibration_error(probabilities, labels))


def test_a_temperature_changes_no_top_class() -> None:
    """At any temperature probabilities sum to one and keep their top class; at 1 they stay the same."""
    probabilities, _ = answers(50, 1.0)
    for temperature in (0.2, 1.0, 5.0):
        warmed = at_temperature(probabilities, temperature)
        assert torch.equal(warmed.argmax(1), probabilities.argmax(1))
        assert torch.allclose(warmed.sum(1), torch.ones(50).double())
    assert torch.allclose(at_temperature(probabilities, 1.0), probabilities)


@pytest.mark.parametrize("scale", [0.5, 3.0])
def test_cross_fitted_entropy_ignores_the_scale_of_the_logits(scale: float) -> None:
    """The same answers, too sure or too unsure, have the same cross entropy; worse ones have more."""
    honest, labels = answers(4000, 1.0)
    scaled, _ = answers(4000, scale)
    wanted = torch.nn.functional.nll_loss(honest.log(), labels).item()
    assert cross_fitted_entropy(scaled, labels) == pytest.approx(wanted, rel=0.01)
    assert cross_fitted_entropy(scaled.roll(1, 0), labels) > 1.1 * wanted
    assert cross_fitted_entropy(torch.eye(3)[labels], labels) < 0.001, "as sure as 2,000 frames allow"


def test_cross_fitted_entropy_is_never_of_frames_that_fitted_it() -> None:
    """One run alone keeps its temperature; two runs that need opposite temperatures get the wrong ones."""
    sure, labels = answers(300, 3.0)
    plain = torch.nn.functional.nll_loss(sure.log(), labels).item()
    assert cross_fitted_entropy(sure, labels, ["monday"] * 300) == pytest.approx(plain)
    unsure, others = answers(300, 0.3, seed=1)
    both, truth = torch.cat([sure, unsure]), torch.cat([labels, others])
    swapped = cross_fitted_entropy(both, truth, ["monday"] * 300 + ["tuesday"] * 300)
    assert swapped > 1.2 * torch.nn.functional.nll_loss(both.log(), truth).item()


def test_too_few_frames_stay_uncalibrated() -> None:
    """With too few frames the temperature is 1, and the reason names both numbers."""
    calibration = calibrate(*answers(MIN_FRAMES - 1, 3.0))
    assert (calibration.temperature, calibration.calibrated, calibration.error_after) == (1.0, False, None)
    assert (
        f"{MIN_FRAMES - 1} held-out frames can be spared for it, {MIN_FRAMES} are needed" in calibration.why
    )


def test_a_temperature_that_does_not_help_on_other_frames_is_not_used() -> None:
    """If each half of the frames needs another temperature, the result is uncalibrated."""
    confident, unsure = answers(200, 6.0, seed=1), answers(200, 0.2, seed=2)
    mixed, labels = (torch.cat(both) for both in zip(confident, unsure, strict=True))
    calibration = calibrate(mixed, labels, ["confident"] * 200 + ["unsure"] * 200)
    assert not calibration.calibrated
    assert "does not help" in calibration.why


def test_right_answers_alone_show_no_temperature() -> None:
    """A hundred unsure answers without a mistake stay unchanged: they do not show the right confidence."""
    labels = torch.arange(100) % 3
    unsure = 0.85 * torch.eye(3).double()[labels] + 0.05
    calibration = calibrate(unsure, labels)
    assert (calibration.temperature, calibration.calibrated) == (1.0, False)
    assert "no answer to 100 tuning frames is wrong" in calibration.why


def test_right_answers_that_are_too_sure_are_softened() -> None:
    """A certainty of 1 that a hundred right answers cannot show becomes 101 of 102 (Platt 1999)."""
    labels = torch.arange(100) % 3
    sure = (torch.eye(3).double()[labels] + 1e-9) / (1 + 3e-9)
    calibration = calibrate(sure, labels)
    assert calibration.calibrated
    softened = at_temperature(sure, calibration.temperature).amax(1)
    assert softened.mean().item() == pytest.approx(101 / 102, abs=0.002)


def test_the_mean_certainty_stays_within_what_the_frames_can_show() -> None:
    """With one unsure mistake among 150, the mean certainty is at most 151 of 152."""
    labels = torch.zeros(150, dtype=torch.int64)
    right = torch.linspace(0.75, 0.99, 149, dtype=torch.float64)
    certainty = torch.cat([torch.tensor([0.49]).double(), right])
    calibration = calibrate(torch.stack([certainty, 1 - certainty], 1), labels)
    judged = at_temperature(torch.stack([certainty, 1 - certainty], 1), calibration.temperature)
    assert judged.amax(1).mean().item() <= 151 / 152 + 0.002


def test_a_temperature_at_the_end_of_the_search_is_no_fit() -> None:
    """Sure answers of which two thirds are wrong want a temperature beyond 10, and get none."""
    labels = torch.arange(300) % 3
    answered = torch.eye(3).double()[torch.zeros(300, dtype=torch.int64)]
    calibration = calibrate((answered + 1e-11) / (1 + 3e-11), labels)
    assert (calibration.temperature, calibration.calibrated) == (1.0, False)
    assert "an end of the search, 10" in calibration.why


def test_frames_of_one_run_have_no_other_half() -> None:
    """Held-out frames of one run stay uncalibrated for that reason, and no figure is NaN."""
    probabilities, labels = answers(300, 3.0)
    calibration = calibrate(probabilities, labels, ["monday"] * 300)
    assert (calibration.temperature, calibration.calibrated, calibration.error_after) == (1.0, False, None)
    assert "of one run" in calibration.why
    assert calibrate(probabilities, labels, ["monday"] * 200 + ["tuesday"] * 100).calibrated


def test_answers_that_are_not_numbers_are_named() -> None:
    """A network that answers NaN is uncalibrated for that reason, not for too few frames."""
    probabilities, labels = answers(300, 3.0)
    probabilities[7] = torch.nan
    calibration = calibrate(probabilities, labels)
    assert (calibration.temperature, calibration.calibrated, calibration.error_before) == (1.0, False, None)
    assert "not numbers" in calibration.why


def test_reliability_bins_hold_every_frame() -> None:
    """The bins contain all frames, and their shares add up to the accuracy."""
    probabilities, labels = answers(500, 2.0)
    bins = reliability(probabilities, labels)
    assert sum(each["n"] for each in bins) == 500
    shares = sum(each["n"] * each["accuracy"] for each in bins) / 500
    assert shares == pytest.approx((probabilities.argmax(1) == labels).double().mean().item())
    assert all(0.3 < each["confidence"] <= 1 for each in bins)
