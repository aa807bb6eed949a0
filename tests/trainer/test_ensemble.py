"""The mean and the focal ensemble against the paper's equation."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.network.ensemble import focal, mean, pseudo_label


def probabilities(networks: int, frames: int, classes: int, seed: int) -> torch.Tensor:
    """Random probabilities ``[N, B, C]``, some sure and some unsure."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(networks, frames, classes, generator=generator).mul(3).softmax(dim=2)


def test_focal_is_equation_2_by_hand() -> None:
    """Equation 2 is y = (1/N) (Σ yᵢᵏ)^(1/k), computed by hand for two networks and k = 2."""
    answers = torch.tensor([[[0.9, 0.1]], [[0.6, 0.4]]])
    wanted = [math.sqrt(0.81 + 0.36) / 2, math.sqrt(0.01 + 0.16) / 2]
    assert torch.allclose(focal(answers, 2), torch.tensor([wanted]))


def test_a_confident_network_counts_more() -> None:
    """One sure network outvotes two unsure ones in the focal ensemble, but not in the mean."""
    unsure = [[0.20, 0.62, 0.18]]  # with two classes and k = 2, both ensembles always agree
    answers = torch.tensor([[[0.90, 0.10, 0.00]], unsure, unsure])
    assert mean(answers).argmax() == 1
    assert focal(answers, 2).argmax() == 0


@given(st.integers(1, 5), st.integers(2, 6), st.integers(0, 100))
def test_k_of_one_is_the_mean(networks: int, classes: int, seed: int) -> None:
    """With k = 1, equation 2 is the mean ensemble."""
    answers = probabilities(networks, 3, classes, seed)
    assert torch.allclose(focal(answers, 1), mean(answers), atol=1e-6)


@given(st.integers(1, 5), st.integers(2, 6), st.integers(0, 100), st.sampled_from(["focal", "mean"]))
def test_pseudo_labels_are_probabilities(networks: int, classes: int, seed: int, kind: str) -> None:
    """A pseudo label sums to one and keeps the ensemble's order of classes."""
    answers = probabilities(networks, 4, classes, seed)
    label = pseudo_label(answers, kind, 2)  # type: ignore[arg-type]
    assert torch.allclose(label.sum(dim=1), torch.ones(4), atol=1e-5)
    combined = focal(answers, 2) if kind == "focal" else mean(answers)
    assert torch.equal(label.argmax(dim=1), combined.argmax(dim=1))


@pytest.mark.parametrize("k", [0.1, 0.5, 30.0, 100.0, 1000.0])
def test_any_exponent_gives_labels_of_unsure_networks(k: float) -> None:
    """A power of a small probability is no zero: networks that are unsure of forty classes give a label."""
    answers = torch.full((5, 2, 40), 1 / 40)
    answers[:, 1, 7] += 0.01
    label = pseudo_label(answers / answers.sum(dim=2, keepdim=True), "focal", k)
    assert torch.allclose(label.sum(dim=1), torch.ones(2), atol=1e-4)
    assert label[1].argmax() == 7


def test_a_class_that_no_network_names_has_no_share() -> None:
    """Probabilities of exactly 0 and 1 give a label of 0 and 1, also with a large exponent."""
    answers = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])
    for k in (0.1, 2.0, 1000.0):
        assert pseudo_label(answers, "focal", k).tolist() == [[1.0, 0.0]]


def test_equation_2_does_not_sum_to_one() -> None:
    """N networks that agree give a sum of 1/√N at k = 2, so pseudo labels must be normalised."""
    agreed = torch.tensor([[0.7, 0.3]]).expand(4, 1, 2)
    assert math.isclose(float(focal(agreed, 2).sum()), 1 / math.sqrt(4), rel_tol=1e-5)
