"""Batch norms folded into convolutions, and the max pool."""

import torch
from artifact_samples import student
from hypothesis import given, settings
from hypothesis import strategies as st
from int8_samples import activation
from torch.nn import functional as F

from trainer.int8.folding import fold_norm, max_pool


def test_folded_convolution_does_both():
    """A convolution with the folded weights equals the convolution and its batch norm."""
    conv, norm = student().stem[0], student().stem[1]
    weight, bias = fold_norm(conv, norm)
    x = torch.rand(1, 1, 20, 20)
    torch.testing.assert_close(F.conv2d(x, weight, bias, 2, 3), norm(conv(x)), rtol=1e-4, atol=1e-5)


@given(
    height=st.integers(2, 17),
    width=st.integers(2, 17),
    dtype=st.sampled_from([torch.float32, torch.int16, torch.uint8]),
)
@settings(max_examples=60, deadline=None)
def test_max_pool_is_torchs(height, width, dtype):
    """The fast max pool equals torch's at any size and of any type, and leaves its input unchanged."""
    x = (activation(1, 3, height, width) * 60).to(dtype)
    before = x.clone()
    assert torch.equal(max_pool(x).float(), F.max_pool2d(x.float(), 3, 2, 1))
    assert torch.equal(x, before)
