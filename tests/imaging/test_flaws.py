"""Flaws: frames that show no weld are named, usual frames are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from inspector.imaging.flaws import find_flaw

RANDOM = np.random.default_rng(0)
FRAME: NDArray[np.uint8] = RANDOM.integers(0, 256, (30, 40), dtype=np.uint8)
SMOOTH: NDArray[np.uint8] = np.add.outer(np.arange(64), np.arange(96)).astype(np.uint8)


@pytest.mark.parametrize(
    ("pixels", "flaw"),
    [
        (np.zeros((60, 80), np.uint8), "blank"),
        (np.full((60, 80), 255, np.uint8), "blank"),
        (RANDOM.integers(2, 9, (60, 80)).astype(np.uint8), "blank"),
        (np.where(RANDOM.random((60, 80)) < 0.6, 255, 90).astype(np.uint8), "saturated"),
        (np.vstack([FRAME, np.zeros((10, 40), np.uint8)]), "unfinished"),
        (np.vstack([np.zeros((10, 40), np.uint8), FRAME]), "unfinished"),
        (np.vstack([FRAME, np.zeros((9, 40), np.uint8)]), None),
        (np.where(RANDOM.random((60, 80)) < 0.2, 255, 90).astype(np.uint8), None),
        (SMOOTH, None),
        (FRAME, None),
    ],
)
def test_frames_without_a_weld_are_flawed(pixels: NDArray[np.uint8], flaw: str | None) -> None:
    """Lens cap, overexposure and a missing part are named; a usual frame with its arc is not."""
    assert find_flaw(pixels) == flaw


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 255))
def test_a_constant_frame_of_any_size_is_blank(height: int, width: int, value: int) -> None:
    """A constant frame is blank at any size, down to a single pixel."""
    assert find_flaw(np.full((height, width), value, np.uint8)) == "blank"
