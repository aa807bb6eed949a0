"""Frames of any shape at the size at which people see them."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inspector.imaging.fitting import fitted

sides = st.integers(1, 3000)


@given(width=sides, height=sides, side=st.sampled_from([1, 160, 640]))
def test_a_strip_keeps_at_least_a_pixel(width: int, height: int, side: int) -> None:
    """The longer side has the wanted length, the shape stays to half a pixel, and a file can hold it."""
    small = fitted(Image.new("L", (width, height)), side)
    assert max(small.size) == side
    assert min(small.size) == pytest.approx(side * min(width, height) / max(width, height), abs=1)
    small.save(io.BytesIO(), "JPEG")
