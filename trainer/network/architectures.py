"""The networks that the paper compares, with one input channel and the data's number of classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import nn

from trainer.network.torchvision import models
from trainer.network.weldnet import WeldNet, WeldNetConfig
from trainer.recipe import Network

_BASELINES: dict[str, tuple[Callable[..., nn.Module], str]] = {  # maker, name of the first convolution
    "mobilenet_v3_small": (models.mobilenet_v3_small, "features.0.0"),
    "mobilenet_v3_large": (models.mobilenet_v3_large, "features.0.0"),
    "resnet18": (models.resnet18, "conv1"),
    "resnet34": (models.resnet34, "conv1"),
    "resnet50": (models.resnet50, "conv1"),
    # Without the auxiliary head it has the 2.18×10⁷ parameters that the paper prints
    "inception_v3": (
        lambda **options: models.inception_v3(**options, aux_logits=False, init_weights=True),
        "Conv2d_1a_3x3.conv",
    ),
}


def build(network: Network, classes: int) -> nn.Module:
    """Build the recipe's network, untrained: floats ``[N, 1, H, W]`` from 0 to 1 → logits ``[N, C]``."""
    if network.architecture == "weldnet":
        fields = {field.name for field in dataclasses.fields(WeldNetConfig)}
        return WeldNet(WeldNetConfig(classes=classes, **network.model_dump(include=fields)))
    make, first = _BASELINES[network.architecture]
    baseline = make(num_classes=classes)
    parent, _, name = first.rpartition(".")
    convolution = baseline.get_submodule(first)
    assert isinstance(convolution, nn.Conv2d)  # noqa: S101 - torchvision's, for the type checker
    grey = nn.Conv2d(
        1,
        convolution.out_channels,
        convolution.kernel_size,  # type: ignore[arg-type]
        stride=convolution.stride,  # type: ignore[arg-type]
        padding=convolution.padding,  # type: ignore[arg-type]
        bias=convolution.bias is not None,
    )
    nn.init.kaiming_normal_(grey.weight, mode="fan_out", nonlinearity="relu")  # as torchvision does
    setattr(baseline.get_submodule(parent), name, grey)
    return baseline


def parameter_count(network: nn.Module) -> int:
    """Count the trainable weights."""
    return sum(weight.numel() for weight in network.parameters())
