"""Static int8: calibrated levels between layers, right numbers, and no level above 127."""

import pytest
import torch
from artifact_samples import TINY, compiled, frames, student, untrained
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from inspector.errors import ArtifactError
from inspector.network import artifact as artifacts
from trainer.int8.convolution import Int8Conv2d
from trainer.int8.folding import as_rows
from trainer.int8.linear import MAX_LEVEL, Int8Linear, round_weight
from trainer.int8.ranges import calibrate
from trainer.int8.schemes import compile_network
from trainer.int8.static import StaticStem
from trainer.network.weldnet import WeldNetConfig


@pytest.mark.parametrize(
    ("kind", "call"), [(Int8Conv2d, "to_levels"), (Int8Linear, "to_levels"), (Int8Linear, "add_to_levels")]
)
def test_no_layer_takes_a_level_above_127(monkeypatch, kind, call):
    """On frames twice as bright as the calibration frames, every layer's input is cut at 127."""
    network, batch = student(), frames(4, TINY.height, TINY.width)
    static = compile_network(network, "static", calibrate(network, batch // 2))
    peaks, original = [], getattr(kind, call)

    def note(layer, levels, *rest):
        if layer is not static.stem.conv:  # its input is pixels
            peaks.append(int(levels.max()))
        return original(layer, levels, *rest)

    monkeypatch.setattr(kind, call, note)
    with torch.inference_mode():
        static(batch)
    assert max(peaks) == MAX_LEVEL


def test_static_is_nearly_as_close_to_float_as_dynamic():
    """On frames it was not calibrated on, static is at most three times as far from float as dynamic."""
    network = student()
    batch = frames(24, TINY.height, TINY.width)
    static = compile_network(network, "static", calibrate(network, batch[:12]))
    dynamic = compile_network(network, "dynamic")
    with torch.inference_mode():
        for frame in batch[12:].split(1):
            expected = as_rows(network.features(frame / 255))
            ours = static(frame)[0] * static.out
            theirs = dynamic(frame)[0]
            assert (ours - expected).norm() < 3 * (theirs - expected).norm()


@pytest.mark.parametrize(("height", "width"), [(82, 148), (64, 82), (67, 70)])
def test_static_takes_any_size(height, width):
    """A batch of frames is judged even if the stem's map has an odd number of rows or columns."""
    network = untrained(WeldNetConfig(height=height, width=width, stem=8))
    batch = frames(3, height, width)
    static = compile_network(network, "static", calibrate(network, batch))
    with torch.inference_mode():
        expected = network.features(batch / 255).mean((2, 3))
        assert (static(batch)[1] - expected).norm() < 0.1 * expected.norm()


@given(height=st.integers(64, 81), width=st.integers(64, 81))
@settings(max_examples=20, deadline=None)
def test_the_stems_pool_is_torchs(height, width):
    """At any size the stem gives torch's max pool of its convolution's levels, cut at 127."""
    network = untrained(WeldNetConfig(height=height, width=width, stem=8))
    stem = StaticStem(network.stem, (height, width), output_scale=0.01)
    batch = frames(2, height, width)
    with torch.inference_mode():
        pooled = F.max_pool2d(stem.conv.to_levels(batch).float(), 3, 2, 1)
        assert torch.equal(stem(batch).float(), as_rows(pooled.clamp_max(MAX_LEVEL)))


def test_logits_follow_from_the_features():
    """Each frame's logits are the last layer of the mean of the features that the heat map is made of."""
    network = student()
    batch = frames(4, TINY.height, TINY.width)
    head, scale = round_weight(network.head.weight.detach())
    with torch.inference_mode():
        static = compile_network(network, "static", calibrate(network, batch))
        features, pooled, logits = static(batch)
        torch.testing.assert_close(pooled, features.mean((1, 2)) * static.out)
        torch.testing.assert_close(logits, F.linear(pooled, head * scale[:, None], network.head.bias))


def test_a_static_artifact_opens_and_reports_its_scheme(tmp_path):
    """A static artifact opens, its metadata has the scheme, and an answer does not depend on the batch."""
    network = student()
    batch = frames(4, TINY.height, TINY.width)
    metadata = compiled(tmp_path / "a.pt", network, scheme="static", ranges=calibrate(network, batch))
    assert metadata.quantization == "static"
    opened = artifacts.open(tmp_path / "a.pt")
    together = opened.forward(batch)
    for i, frame in enumerate(batch.split(1)):
        for answer, alone in zip(together, opened.forward(frame), strict=True):
            assert torch.equal(answer[i], alone[0])


def test_static_without_ranges_is_refused(tmp_path):
    """A student without ranges is refused in one line that names the other scheme, and nothing is written."""
    with pytest.raises(ArtifactError, match=r"has no ranges.*--scheme dynamic"):
        compiled(tmp_path / "a.pt", scheme="static")
    assert not list(tmp_path.iterdir())
