"""Int8 linear layers: rounded weights, negative results, sums with a residual, and levels."""

import torch
from int8_samples import random_levels, relative_error
from torch.nn import functional as F

from trainer.int8.dynamic import quantize_by_peak
from trainer.int8.linear import Int8Linear, round_weight


def test_weights_are_rounded_channel_by_channel():
    """A channel of small weights keeps its own precision, and one of zeros stays zero."""
    weight = torch.randn(3, 4, 3, 3) * torch.tensor([1.0, 1e-3, 0.0]).view(3, 1, 1, 1)
    levels, scale = round_weight(weight)
    restored = levels * scale.view(3, 1, 1, 1)
    assert float((restored - weight)[0].abs().max()) <= float(scale[0]) * 0.501
    assert float((restored - weight)[1].abs().max()) <= float(scale[1]) * 0.501
    assert int(levels[2].abs().max()) == 0


def test_negative_results_survive():
    """Negative results of a non-negative input are right; torch's own operator makes them zero."""
    torch.manual_seed(2)
    layer = Int8Linear(torch.randn(16, 32), torch.randn(16))
    x = torch.rand(50, 32)
    levels, scale = quantize_by_peak([x], overwrite=False)
    reference = F.linear(x, layer.weight * layer.scale[:, None], layer.bias)
    assert (reference < 0).float().mean() > 0.3
    assert relative_error(layer(levels, scale), reference) < 0.01
    assert relative_error(layer(levels, scale).clamp_max(0), reference.clamp_max(0)) < 0.01


def test_the_relu_of_add_relu_includes_the_residual():
    """add_relu adds the residual before the ReLU, so negative products lower positive residuals."""
    torch.manual_seed(3)
    layer = Int8Linear(torch.randn(16, 32), torch.randn(16))
    x, residual = torch.rand(50, 32), torch.rand(50, 16) * 5
    levels, scale = quantize_by_peak([x], overwrite=False)
    reference = (F.linear(x, layer.weight * layer.scale[:, None], layer.bias) + residual).relu()
    assert relative_error(layer.add_relu(levels, scale, residual.clone()), reference) < 0.01


def test_the_residual_is_added_before_levels_are_cut():
    """A shortcut's levels are added first, and the ReLU comes after."""
    torch.manual_seed(2)
    layer, levels = Int8Linear(torch.randn(16, 32) * 0.1, torch.randn(16)), random_levels(50, 32)
    residual = torch.randint(0, 256, (50, 16), dtype=torch.uint8)
    exact = F.linear(levels.float(), layer.weight * layer.scale[:, None], layer.bias) + residual * 0.3
    summed = layer.add_to_levels(levels, residual.clone(), 0.3)
    assert float(exact.max()) < 255
    assert float(exact.min()) < -1
    assert float((summed - exact.relu()).abs().max()) <= 0.51


def test_a_linear_layer_gives_the_nearest_level():
    """A linear layer's levels are the float result after its ReLU, rounded, up to 255."""
    torch.manual_seed(3)
    layer, levels = Int8Linear(torch.randn(16, 32) * 0.3, torch.randn(16)), random_levels(50, 32)
    exact = layer.relu(levels, 1.0)
    torch.testing.assert_close(exact, layer(levels, 1.0).relu())
    assert float(exact.max()) > 255
    assert float((layer.to_levels(levels) - exact.clamp_max(255)).abs().max()) <= 0.51
