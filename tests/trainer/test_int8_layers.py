"""Dynamic int8: right numbers, layer by layer and as a whole, whatever the sizes."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from artifact_samples import TINY, frames, student, untrained
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from trainer.int8.convolution import Int8Conv2d
from trainer.int8.dynamic import DynamicDownBlock, DynamicStem, quantize_by_peak
from trainer.int8.folding import as_rows, fold_norm, max_pool
from trainer.int8.linear import Int8Linear, round_weight
from trainer.int8.schemes import compile_network
from trainer.network.weldnet import WeldBlock, WeldNet, WeldNetConfig


def _activation(*shape, seed=0):
    """Behind a ReLU: half zeros, in channels-last memory."""
    torch.manual_seed(seed)
    return torch.randn(shape).relu().contiguous(memory_format=torch.channels_last)


def _error(ours, reference):
    return float((ours - reference).norm() / reference.norm())


@given(peak=st.floats(1e-6, 1e6), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_levels_are_within_half_a_level(peak, seed):
    """Every value is at most half a level from what its level is worth, and the peak has the top level."""
    torch.manual_seed(seed)
    x = torch.rand(1, 3, 8, 9) * peak
    levels, scale = quantize_by_peak([x.clone()], overwrite=True)
    assert levels.dtype == torch.uint8
    assert int(levels.max()) == 127
    assert float((levels * scale - x).abs().max()) <= scale * 0.501


def test_an_activation_that_is_needed_again_is_kept():
    """Without leave to spend it, the activation is as it was."""
    x = _activation(1, 4, 5, 6)
    before = x.clone()
    quantize_by_peak([x], overwrite=False)
    assert torch.equal(x, before)


def test_a_blank_map_gives_zeros():
    """A map of zeros has level 0 everywhere, and no division by zero."""
    levels, scale = quantize_by_peak([torch.zeros(1, 2, 3, 3)], overwrite=True)
    assert int(levels.max()) == 0
    assert scale > 0


def test_weights_are_rounded_channel_by_channel():
    """A channel of small weights keeps its own precision, and one of zeros stays zero."""
    weight = torch.randn(3, 4, 3, 3) * torch.tensor([1.0, 1e-3, 0.0]).view(3, 1, 1, 1)
    q, scale = round_weight(weight)
    restored = q * scale.view(3, 1, 1, 1)
    assert float((restored - weight)[0].abs().max()) <= float(scale[0]) * 0.501
    assert float((restored - weight)[1].abs().max()) <= float(scale[1]) * 0.501
    assert int(q[2].abs().max()) == 0


@pytest.mark.parametrize(("c_in", "c_out", "kernel", "stride"), [(8, 16, 3, 1), (32, 64, 3, 2), (1, 8, 7, 2)])
def test_convolution_matches_float_with_the_same_weights(c_in, c_out, kernel, stride):
    """With the same rounded weights, the int8 convolution is within 1% of the float one."""
    torch.manual_seed(1)
    weight, bias = torch.randn(c_out, c_in, kernel, kernel), torch.randn(c_out)
    layer = Int8Conv2d(weight, bias, stride, kernel // 2, size=(33, 26))
    x = _activation(1, c_in, 33, 26)
    levels, scale = quantize_by_peak([x], overwrite=False)
    rounded = layer.weight * layer.scale.view(-1, 1, 1, 1)
    reference = F.conv2d(x, rounded, bias, stride, kernel // 2).relu()
    assert _error(layer(levels, scale)[0], reference) < 0.01


def test_negative_results_survive():
    """Of a non-negative input's results, the negative ones are right: torch's own op makes them zero."""
    torch.manual_seed(2)
    layer = Int8Linear(torch.randn(16, 32), torch.randn(16))
    x = torch.rand(50, 32)
    levels, scale = quantize_by_peak([x], overwrite=False)
    reference = F.linear(x, layer.weight * layer.scale[:, None], layer.bias)
    assert (reference < 0).float().mean() > 0.3
    assert _error(layer(levels, scale), reference) < 0.01
    assert _error(layer(levels, scale).clamp_max(0), reference.clamp_max(0)) < 0.01


def test_residual_sum_comes_before_the_relu():
    """add_relu is the ReLU of residual plus product, so negative products lower positive residuals."""
    torch.manual_seed(3)
    layer = Int8Linear(torch.randn(16, 32), torch.randn(16))
    x, residual = torch.rand(50, 32), torch.rand(50, 16) * 5
    levels, scale = quantize_by_peak([x], overwrite=False)
    reference = (F.linear(x, layer.weight * layer.scale[:, None], layer.bias) + residual).relu()
    assert _error(layer.add_relu(levels, scale, residual.clone()), reference) < 0.01


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize(("stride", "factor"), [(1, 0.25), (2, 1.0), (2, 7.0)])
def test_the_average_pool_stands_beside_the_convolution(stride, factor, apart):
    """The channels after the convolution's own are torch's average pool, times the factor, either way."""
    torch.manual_seed(4)
    weight, bias = torch.randn(6, 5, 3, 3), torch.randn(6)
    levels, scale = quantize_by_peak([_activation(1, 5, 13, 18)], overwrite=True)
    layer = Int8Conv2d(weight, bias, stride, 1, size=(13, 18), pool=factor)
    layer.pack(apart)
    maps = layer(levels, scale)
    assert len(maps) == 1 + apart
    y = torch.cat(maps, 1)
    assert torch.equal(y[:, :6], Int8Conv2d(weight, bias, stride, 1, size=(13, 18))(levels, scale)[0])
    torch.testing.assert_close(y[:, 6:], factor * F.avg_pool2d(levels * scale, 3, stride, 1))


def test_a_pool_apart_has_the_levels_of_a_pool_within():
    """Whichever way this processor takes, the next layer gets the same levels."""
    torch.manual_seed(5)
    layer = Int8Conv2d(torch.randn(6, 5, 3, 3) * 0.1, torch.randn(6), 2, 1, size=(13, 18), pool=5.0)
    levels, _ = quantize_by_peak([_activation(1, 5, 13, 18)], overwrite=True)
    layer.pack(separate_pool=True)
    apart = layer.to_levels(levels)
    layer.pack(separate_pool=False)
    assert torch.equal(apart, layer.to_levels(levels))
    assert int(apart[:, 6:].max()) > 127  # some are to be cut


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
def test_pixels_are_summed_whole(isa):
    """A stem's sums of bright pixels and large weights are exact on every processor, in each type it writes.

    In a process of its own, for oneDNN reads its limit when it starts.
    """
    limited = os.environ | {"ONEDNN_MAX_CPU_ISA": isa}
    told = subprocess.run(
        [sys.executable, "-c", PIXELS], env=limited, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.split() == ["False"] or isa == "DEFAULT"


def test_pixels_with_a_pool_are_refused():
    """No processor is left to drop the pool in silence because it sums pixels as floats."""
    with pytest.raises(ValueError, match="no pool beside it"):
        Int8Conv2d(torch.ones(2, 1, 3, 3), torch.zeros(2), 2, 1, size=(9, 9), pool=1.0, pixels=True)


def test_weights_are_laid_out_once():
    """A call finds its weights as the kernel wants them: oneDNN reports no reorder beside the convolution.

    With 96 channels on VNNI, where what it guesses of the maps' size, if it is not told, is wrong. In a
    process of its own, for oneDNN reads what it shall report when it starts.
    """
    program = """if True:
        import torch
        from trainer.int8.convolution import Int8Conv2d
        layer = Int8Conv2d(torch.randn(96, 32, 3, 3), torch.randn(96), 2, 1, size=(61, 50))
        for batch in (1, 8):
            q = torch.ones(batch, 32, 61, 50, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
            print("now", flush=True)
            layer(q, 1.0)
    """
    reports = {"ONEDNN_VERBOSE": "1", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}
    told = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | reports, capture_output=True, text=True, check=True
    ).stdout.split("now\n")[1:]
    assert len(told) == 2
    for call in told:
        kinds = [line.split(",")[5] for line in call.splitlines() if ",exec," in line]
        assert kinds == ["convolution"]


@pytest.mark.parametrize("balance", [0.5, 1.0, 3.0])
def test_a_merged_shortcut_is_the_block(balance):
    """However the pool is weighed against the main path, the block's result is the float block's."""
    torch.manual_seed(6)
    block = untrained(WeldNetConfig(stem=8)).blocks[1]
    x = _activation(1, 8, 15, 22)
    with torch.inference_mode():
        expected = block(x)
        ours = DynamicDownBlock(block.requires_grad_(False), (15, 22), balance)(x.clone())
    assert ours.shape == expected.shape
    assert _error(ours, expected) < 0.05


@given(
    height=st.integers(2, 17),
    width=st.integers(2, 17),
    dtype=st.sampled_from([torch.float32, torch.int16, torch.uint8]),
)
@settings(max_examples=60, deadline=None)
def test_max_pool_is_torchs(height, width, dtype):
    """At any size, odd ones too, and of any type, the quick max pool equals torch's, and spares its input."""
    x = (_activation(1, 3, height, width) * 60).to(dtype)
    before = x.clone()
    assert torch.equal(max_pool(x).float(), F.max_pool2d(x.float(), 3, 2, 1))
    assert torch.equal(x, before)


@pytest.mark.parametrize("scripted", [False, True])
@pytest.mark.parametrize(("height", "width"), [(64, 72), (67, 80), (66, 64)])
def test_a_stem_in_bfloat16_is_the_stem(scripted, height, width):
    """Where the processor writes bfloat16 each value is within its rounding (8 bits) of the float one."""
    network = WeldNet(WeldNetConfig(height=height, width=width)).eval().requires_grad_(False)
    stem = DynamicStem(network.stem, (height, width)).eval()
    frame = torch.randint(256, (1, 1, height, width), dtype=torch.uint8)
    told = (torch.jit.script(stem) if scripted else stem)(frame)
    stem.conv.has_bf16 = False
    exact = stem(frame)
    assert told.shape == exact.shape
    assert exact.max() > 0
    assert torch.all((told - exact).abs() <= exact / 256)


def test_folded_convolution_does_both():
    """One convolution with the folded weights is the convolution with its batch norm."""
    conv, norm = student().stem[0], student().stem[1]
    weight, bias = fold_norm(conv, norm)
    x = torch.rand(1, 1, 20, 20)
    torch.testing.assert_close(F.conv2d(x, weight, bias, 2, 3), norm(conv(x)), rtol=1e-4, atol=1e-5)


def _with_rounded_weights(network: WeldNet) -> WeldNet:
    """The float network whose folded weights are the ones that int8 can hold."""
    layers = [[(network.stem[0], network.stem[1])]]
    for block in network.blocks:
        assert isinstance(block, WeldBlock)
        layers += [[(block.main[0], block.main[1])], [(block.main[3], block.main[4])]]
        if list(block.shortcut.children()):
            layers[-1].append((block.shortcut[1], block.shortcut[2]))  # both are one layer
    for pairs in layers:
        folded = [fold_norm(conv, norm) for conv, norm in pairs]
        q, scale = round_weight(torch.cat([weight for weight, _ in folded], dim=1))
        rounded = (q * scale.view(-1, 1, 1, 1)).split([weight.shape[1] for weight, _ in folded], dim=1)
        for (conv, norm), (_, bias), weight in zip(pairs, folded, rounded, strict=True):
            conv.weight.copy_(weight)
            norm.weight.fill_(1), norm.bias.copy_(bias)
            norm.running_mean.fill_(0), norm.running_var.fill_(1 - norm.eps)
    q, scale = round_weight(network.head.weight)
    network.head.weight.copy_(q * scale[:, None])
    return network


def test_activations_cost_at_most_one_percent():
    """On the paper's network, int8 activations move features and logits by at most 1%."""
    network = untrained(WeldNetConfig())
    ours = compile_network(network, "dynamic")
    rounded = _with_rounded_weights(network)
    with torch.inference_mode():
        for frame in frames(2, 487, 400).split(1):
            features, pooled, logits = ours(frame)
            exact = rounded.features(frame / 255)
            assert _error(features, as_rows(exact)) < 0.01
            assert _error(pooled, exact.mean((2, 3))) < 0.01
            assert _error(logits, rounded(frame / 255)) < 0.01


def _spots(count, seed):
    """Frames uint8[count, 1, 72, 72] with 0, 1 or 2 bright spots, and how many those are."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:72, 0:72]
    labels = random.integers(0, 3, count)
    pixels = random.normal(60, 5, (count, 72, 72))
    for i, label in enumerate(labels):
        for top, left in random.uniform(12, 60, (label, 2)):
            pixels[i] += 120 * np.exp(-((y - top) ** 2 + (x - left) ** 2) / 60)
    return torch.from_numpy(np.clip(pixels, 0, 255).astype(np.uint8)[:, None]), torch.from_numpy(labels)


def test_top_class_agrees_with_float():
    """A network that has learnt to count spots counts the same in int8."""
    torch.manual_seed(0)
    network = WeldNet(
        WeldNetConfig(classes=3, stem=8, plan=((1, 1), (2, 2), (1, 1), (2, 2)), height=72, width=72)
    )
    optimizer = torch.optim.AdamW(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=80)
    for step in range(80):
        seen, labels = _spots(24, seed=step)
        loss = F.cross_entropy(network(seen / 255), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    unseen, labels = _spots(100, seed=1000)
    int8 = compile_network(network.eval(), "dynamic")
    with torch.inference_mode():
        expected = network(unseen / 255)
        logits = torch.cat([int8(frame)[2] for frame in unseen.split(1)])
    assert (expected.argmax(1) == labels).float().mean() > 0.8  # it has learnt
    assert int((logits.argmax(1) == expected.argmax(1)).sum()) >= 99
    assert _error(logits, expected) < 0.03


@pytest.mark.parametrize(("height", "width"), [(64, 64), (65, 97), (101, 70)])
def test_any_size_from_64_up(height, width):
    """Odd and small frames go through the int8 network as through the float one."""
    network = untrained(WeldNetConfig(classes=3, stem=8))
    frame = frames(1, height, width)
    with torch.inference_mode():
        features, _, logits = compile_network(network, "dynamic")(frame)
        assert features.shape == as_rows(network.features(frame / 255)).shape
        assert _error(logits, network(frame / 255)) < 0.05


def test_packed_weights_survive_saving():
    """A scripted network that was saved, loaded and frozen gives the same bits."""
    ours = torch.jit.script(compile_network(student(), "dynamic"))
    buffer = io.BytesIO()
    torch.jit.save(ours, buffer)
    buffer.seek(0)
    loaded = torch.jit.freeze(torch.jit.load(buffer).eval())
    frame = frames(1, TINY.height, TINY.width)
    with torch.inference_mode():
        for expected, answer in zip(ours(frame), loaded(frame), strict=True):
            assert torch.equal(expected, answer)


def test_none_is_the_student_itself():
    """Without quantization the network gives the student's own features and logits."""
    network = student()
    frame = frames(1, TINY.height, TINY.width)
    with torch.inference_mode():
        features, pooled, logits = compile_network(network, "none")(frame)
        exact = network.features(frame / 255)
        torch.testing.assert_close(features, as_rows(exact), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(pooled, exact.mean((2, 3)), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(logits, network(frame / 255), rtol=1e-4, atol=1e-5)


def test_the_student_stays_as_it_is():
    """Compiling changes neither the student's weights nor its mode."""
    network = student().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    compile_network(network, "dynamic")
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
