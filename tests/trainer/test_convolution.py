"""Int8 convolutions: right sums on every processor, the pool as further channels, and packed weights."""

import os
import subprocess
import sys

import pytest
import torch
from int8_samples import activation, random_levels, relative_error
from torch.nn import functional as F

from trainer.int8.convolution import Int8Conv2d
from trainer.int8.dynamic import quantize_by_peak
from trainer.int8.linear import MAX_LEVEL
from trainer.int8.static import clamp_levels


@pytest.mark.parametrize(("c_in", "c_out", "kernel", "stride"), [(8, 16, 3, 1), (32, 64, 3, 2), (1, 8, 7, 2)])
def test_convolution_matches_float_with_the_same_weights(c_in, c_out, kernel, stride):
    """With the same rounded weights, the int8 convolution is within 1% of the float one."""
    torch.manual_seed(1)
    weight, bias = torch.randn(c_out, c_in, kernel, kernel), torch.randn(c_out)
    layer = Int8Conv2d(weight, bias, stride, kernel // 2, size=(33, 26))
    x = activation(1, c_in, 33, 26)
    levels, scale = quantize_by_peak([x], overwrite=False)
    rounded = layer.weight * layer.scale.view(-1, 1, 1, 1)
    reference = F.conv2d(x, rounded, bias, stride, kernel // 2).relu()
    assert relative_error(layer(levels, scale)[0], reference) < 0.01


@pytest.mark.parametrize("separate", [True, False])
@pytest.mark.parametrize("size", [(6, 2), (3, 1), (2, 6), (2, 2)])
def test_narrow_maps_have_right_sums(size, separate):
    """Maps of one or two columns, which frames of 64 pixels' width lead to, give a float layer's sums."""
    torch.manual_seed(2)
    layer = Int8Conv2d(torch.randn(512, 256, 3, 3) * 0.05, torch.randn(512), 2, 1, size=size, pool=1.0)
    layer.pack(separate)
    levels = random_levels(2, 256, *size)
    products = F.conv2d(levels.float(), layer.weight.float(), stride=2, padding=1)
    expected = (products * layer.scale.view(-1, 1, 1) + layer.bias.view(-1, 1, 1)).relu()
    for _ in range(4):
        full = [torch.full_like(expected, 1e6) for _ in range(20)]  # unset memory would show these values
        del full
        torch.testing.assert_close(torch.cat(layer(levels, 1.0), 1)[:, :512], expected)


def test_a_layer_gives_the_nearest_level():
    """A convolution's levels are its result after the ReLU, rounded, up to 255 until they are cut."""
    torch.manual_seed(1)
    layer = Int8Conv2d(torch.randn(16, 8, 3, 3) * 0.1, torch.randn(16), 1, 1, size=(21, 18))
    inputs = random_levels(1, 8, 21, 18)
    exact = layer(inputs, 1.0)[0]
    levels = layer.to_levels(inputs)
    assert levels.dtype == torch.uint8
    assert float(exact.max()) > MAX_LEVEL
    assert float((levels - exact.clamp_max(255)).abs().max()) <= 0.51
    assert torch.equal(clamp_levels(levels.clone()), levels.clamp(max=MAX_LEVEL))


@pytest.mark.parametrize("separate", [True, False])
@pytest.mark.parametrize(("stride", "factor"), [(1, 0.25), (2, 1.0), (2, 7.0)])
def test_the_average_pool_follows_the_convolutions_channels(stride, factor, separate):
    """The channels after the convolution's own are torch's average pool times the factor, separate or not."""
    torch.manual_seed(4)
    weight, bias = torch.randn(6, 5, 3, 3), torch.randn(6)
    levels, scale = quantize_by_peak([activation(1, 5, 13, 18)], overwrite=True)
    layer = Int8Conv2d(weight, bias, stride, 1, size=(13, 18), pool=factor)
    layer.pack(separate)
    maps = layer(levels, scale)
    assert len(maps) == 1 + separate
    y = torch.cat(maps, 1)
    assert torch.equal(y[:, :6], Int8Conv2d(weight, bias, stride, 1, size=(13, 18))(levels, scale)[0])
    torch.testing.assert_close(y[:, 6:], factor * F.avg_pool2d(levels * scale, 3, stride, 1))


def test_a_separate_pool_gives_the_same_levels():
    """The next layer gets the same levels, whether the pool is a separate product or not."""
    torch.manual_seed(5)
    layer = Int8Conv2d(torch.randn(6, 5, 3, 3) * 0.1, torch.randn(6), 2, 1, size=(13, 18), pool=5.0)
    levels, _ = quantize_by_peak([activation(1, 5, 13, 18)], overwrite=True)
    layer.pack(separate_pool=True)
    separate = layer.to_levels(levels)
    layer.pack(separate_pool=False)
    assert torch.equal(separate, layer.to_levels(levels))
    assert int(separate[:, 6:].max()) > 127  # some will be cut


PIXELS = """if True:
    import torch
    from trainer.int8.convolution import Int8Conv2d
    torch.manual_seed(7)
    layer = Int8Conv2d(torch.ones(32, 1, 7, 7), torch.randn(32), 2, 3, size=(40, 40), pixels=True)
    pixels = torch.randint(100, 256, (2, 1, 40, 40), dtype=torch.uint8)
    weight = layer.weight * layer.scale.view(-1, 1, 1, 1)
    exact = torch.conv2d(pixels.double(), weight.double(), layer.bias.double(), 2, 3).relu()
    torch.testing.assert_close(layer(pixels, 1.0)[0].double(), exact, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(layer.to_bfloat16(pixels, 1.0).double(), exact, rtol=1 / 256, atol=1e-3)
    dimmer = Int8Conv2d(torch.full((32, 1, 7, 7), 0.03), torch.zeros(32), 2, 3, size=(40, 40), pixels=True)
    levels = dimmer.to_levels(pixels)
    assert levels.dtype == torch.uint8
    assert int(levels.max()) == 255
    assert levels.is_contiguous(memory_format=torch.channels_last)
    assert (levels - dimmer(pixels, 1.0)[0].clamp(max=255)).abs().max() <= 0.51
    print(layer.whole)
"""


@pytest.mark.parametrize("isa", ["AVX2", "AVX512_CORE", "DEFAULT"])
def test_pixels_keep_all_levels(isa):
    """A stem's sums of bright pixels and large weights are exact on every processor, in each type it writes.

    It runs in a process of its own, because oneDNN reads its limit when it starts.
    """
    limited = os.environ | {"ONEDNN_MAX_CPU_ISA": isa}
    result = subprocess.run(
        [sys.executable, "-c", PIXELS], env=limited, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["False"] or isa == "DEFAULT"


def test_pixels_with_a_pool_are_refused():
    """A pool next to a convolution of pixels is refused, so that no processor drops it silently."""
    with pytest.raises(ValueError, match="cannot have a pool"):
        Int8Conv2d(torch.ones(2, 1, 3, 3), torch.zeros(2), 2, 1, size=(9, 9), pool=1.0, pixels=True)


def test_weights_are_packed_once():
    """A call finds its weights packed for the kernel: oneDNN reports the convolution and no reorder.

    The layer has 96 channels on VNNI, for which oneDNN guesses a wrong size of the maps if none is given. It
    runs in a process of its own, because oneDNN reads its level of reports when it starts.
    """
    program = """if True:
        import torch
        from trainer.int8.convolution import Int8Conv2d
        layer = Int8Conv2d(torch.randn(96, 32, 3, 3), torch.randn(96), 2, 1, size=(61, 50))
        for batch in (1, 8):
            inputs = torch.ones(batch, 32, 61, 50, dtype=torch.uint8)
            inputs = inputs.contiguous(memory_format=torch.channels_last)
            print("now", flush=True)
            layer(inputs, 1.0)
    """
    reports = {"ONEDNN_VERBOSE": "1", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}
    calls = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | reports, capture_output=True, text=True, check=True
    ).stdout.split("now\n")[1:]
    assert len(calls) == 2
    for call in calls:
        kinds = [line.split(",")[5] for line in call.splitlines() if ",exec," in line]
        assert kinds == ["convolution"]
