"""Dynamic int8: scales from each frame's own peaks, and right answers as a whole at any size."""

import io

import numpy as np
import pytest
import torch
from artifact_samples import TINY, frames, student, untrained
from hypothesis import given, settings
from hypothesis import strategies as st
from int8_samples import activation, relative_error
from torch.nn import functional as F

from trainer.int8.dynamic import DynamicDownBlock, DynamicStem, quantize_by_peak
from trainer.int8.folding import as_rows, fold_norm
from trainer.int8.linear import round_weight
from trainer.int8.schemes import compile_network
from trainer.network.weldnet import WeldBlock, WeldNet, WeldNetConfig


@given(peak=st.floats(1e-6, 1e6), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_levels_are_within_half_a_level(peak, seed):
    """Every value is at most half a level from its level times the scale, and the peak has the top level."""
    torch.manual_seed(seed)
    x = torch.rand(1, 3, 8, 9) * peak
    levels, scale = quantize_by_peak([x.clone()], overwrite=True)
    assert levels.dtype == torch.uint8
    assert int(levels.max()) == 127
    assert float((levels * scale - x).abs().max()) <= scale * 0.501


def test_quantizing_may_keep_the_activation():
    """An activation that must not be overwritten stays unchanged."""
    x = activation(1, 4, 5, 6)
    before = x.clone()
    quantize_by_peak([x], overwrite=False)
    assert torch.equal(x, before)


def test_a_blank_map_gives_zeros():
    """A map of zeros has level 0 everywhere, and no division by zero."""
    levels, scale = quantize_by_peak([torch.zeros(1, 2, 3, 3)], overwrite=True)
    assert int(levels.max()) == 0
    assert scale > 0


@pytest.mark.parametrize("balance", [0.5, 1.0, 3.0])
def test_a_merged_shortcut_is_the_block(balance):
    """The block's result is the float block's for any balance of the pool against the main path."""
    torch.manual_seed(6)
    block = untrained(WeldNetConfig(stem=8)).blocks[1]
    x = activation(1, 8, 15, 22)
    with torch.inference_mode():
        expected = block(x)
        ours = DynamicDownBlock(block.requires_grad_(False), (15, 22), balance)(x.clone())
    assert ours.shape == expected.shape
    assert relative_error(ours, expected) < 0.05


@pytest.mark.parametrize("scripted", [False, True])
@pytest.mark.parametrize(("height", "width"), [(64, 72), (67, 80), (66, 64)])
def test_a_stem_in_bfloat16_is_the_stem(scripted, height, width):
    """With bfloat16, each value is within its rounding (8 bits) of the float value."""
    network = WeldNet(WeldNetConfig(height=height, width=width)).eval().requires_grad_(False)
    stem = DynamicStem(network.stem, (height, width)).eval()
    frame = torch.randint(256, (1, 1, height, width), dtype=torch.uint8)
    pooled = (torch.jit.script(stem) if scripted else stem)(frame)
    stem.conv.has_bf16 = False
    exact = stem(frame)
    assert pooled.shape == exact.shape
    assert exact.max() > 0
    assert torch.all((pooled - exact).abs() <= exact / 256)


def _with_rounded_weights(network: WeldNet) -> WeldNet:
    """The float network with folded weights rounded to those of int8."""
    layers = [[(network.stem[0], network.stem[1])]]
    for block in network.blocks:
        assert isinstance(block, WeldBlock)
        layers += [[(block.main[0], block.main[1])], [(block.main[3], block.main[4])]]
        if list(block.shortcut.children()):
            layers[-1].append((block.shortcut[1], block.shortcut[2]))  # both are one layer
    for pairs in layers:
        folded = [fold_norm(conv, norm) for conv, norm in pairs]
        levels, scale = round_weight(torch.cat([weight for weight, _ in folded], dim=1))
        rounded = (levels * scale.view(-1, 1, 1, 1)).split([weight.shape[1] for weight, _ in folded], dim=1)
        for (conv, norm), (_, bias), weight in zip(pairs, folded, rounded, strict=True):
            conv.weight.copy_(weight)
            norm.weight.fill_(1), norm.bias.copy_(bias)
            norm.running_mean.fill_(0), norm.running_var.fill_(1 - norm.eps)
    levels, scale = round_weight(network.head.weight)
    network.head.weight.copy_(levels * scale[:, None])
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
            assert relative_error(features, as_rows(exact)) < 0.01
            assert relative_error(pooled, exact.mean((2, 3))) < 0.01
            assert relative_error(logits, rounded(frame / 255)) < 0.01


def _spots(count, seed):
    """Frames uint8[count, 1, 72, 72] with 0, 1 or 2 bright spots, and the number of spots in each."""
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
        frame_batch, labels = _spots(24, seed=step)
        loss = F.cross_entropy(network(frame_batch / 255), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    others, labels = _spots(100, seed=1000)
    int8 = compile_network(network.eval(), "dynamic")
    with torch.inference_mode():
        expected = network(others / 255)
        logits = torch.cat([int8(frame)[2] for frame in others.split(1)])
    assert (expected.argmax(1) == labels).float().mean() > 0.8  # it has learnt
    assert int((logits.argmax(1) == expected.argmax(1)).sum()) >= 99
    assert relative_error(logits, expected) < 0.03


@pytest.mark.parametrize(("height", "width"), [(64, 64), (65, 97), (101, 70)])
def test_any_size_from_64_up(height, width):
    """The int8 network takes odd and small frames, with the float network's answers."""
    network = untrained(WeldNetConfig(classes=3, stem=8))
    frame = frames(1, height, width)
    with torch.inference_mode():
        features, _, logits = compile_network(network, "dynamic")(frame)
        assert features.shape == as_rows(network.features(frame / 255)).shape
        assert relative_error(logits, network(frame / 255)) < 0.05


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
