"""The shared resize: equal to Pillow's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainer.data.resizing import prepare


def _noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def _pillow(pixels, height, width):
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


@settings(max_examples=60, deadline=None)
@given(h=st.integers(1, 300), w=st.integers(1, 300), to=st.tuples(st.integers(1, 200), st.integers(1, 200)))
def test_near_pillow_at_any_size(h, w, to):
    """At any size, no pixel differs by more than one grey level from Pillow's resize."""
    pixels = _noise(h, w, seed=h * w)
    ours = prepare(torch.from_numpy(pixels)[None], *to)[0].numpy()
    assert ours.shape == to
    assert np.abs(ours.astype(int) - _pillow(pixels, *to)).max() <= 1


@pytest.mark.parametrize(("h", "w"), [(974, 800), (487, 400), (1948, 1600)])
def test_scripted_equals_pillow_on_camera_frames(h, w):
    """At the camera's size, the compiled form in the artifact equals Pillow's resize to the bit."""
    pixels = _noise(h, w)
    ours = torch.jit.script(prepare)(torch.from_numpy(pixels)[None], 487, 400)
    assert ours.dtype == torch.uint8
    np.testing.assert_array_equal(ours[0].numpy(), _pillow(pixels, 487, 400))


def test_wrong_frames_are_refused():
    """A float frame, or a frame without its channel dimension, is refused."""
    with pytest.raises(ValueError, match="uint8"):
        prepare(torch.rand(1, 9, 9), 4, 4)
    with pytest.raises(ValueError, match="uint8"):
        prepare(torch.zeros(9, 9, dtype=torch.uint8), 4, 4)
