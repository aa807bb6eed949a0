"""The paper's networks, for one grey channel and any number of classes."""

from __future__ import annotations

import pytest
import torch

from trainer.network.architectures import build, parameter_count
from trainer.recipe import Network


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("weldnet", 2_971_750),
        ("resnet18", 11_173_318),
        ("mobilenet_v3_small", 1_523_718),
    ],
)
def test_parameters_are_the_papers_with_one_channel_and_six_classes(name: str, count: int) -> None:
    """Parameters are those that Table 2 rounds, except for MobileNetV3 small's, printed as 0.13."""
    assert parameter_count(build(Network(architecture=name), 6)) == count


@pytest.mark.parametrize(
    ("name", "printed"),
    [("mobilenet_v3_large", 0.42), ("resnet34", 2.13), ("resnet50", 2.35), ("inception_v3", 2.18)],
)
def test_large_networks_round_to_the_printed_size(name: str, printed: float) -> None:
    """Large networks have the size that Table 2 prints, in tens of millions."""
    with torch.device("meta"):
        count = parameter_count(build(Network(architecture=name), 6))
    assert count / 1e7 == pytest.approx(printed, abs=0.005)


def test_networks_take_grey_frames_and_give_logits() -> None:
    """A batch of one-channel frames gives one row of logits per frame."""
    for name in ("mobilenet_v3_small", "resnet18"):
        assert build(Network(architecture=name), 3).eval()(torch.rand(2, 1, 64, 64)).shape == (2, 3)
