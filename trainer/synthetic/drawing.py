"""Tools for drawing with fields: float32 arrays with one number per pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

TILE = 512  # texels per side of a periodic texture: a power of two, so that a mask wraps positions
TEXEL = 0.08  # mm per texel: about one half-size pixel of a weld-pool picture

Field = NDArray[Any]  # always float32; numpy's stubs lose that in arithmetic with Python's floats
Texels = NDArray[np.int32]


def ramp(field: Field, width: float | Field) -> Field:
    """Rise from 0 to 1 over ``width`` around the field's zero: an edge without stairs."""
    risen = field / width
    risen += 0.5
    return np.clip(risen, 0, 1, out=risen)


def bell(field: Field, width: float) -> Field:
    """A bell curve: 1 at the field's zero, 1/e at ``width`` from it."""
    bent = field * (1 / width)
    bent *= -bent
    return np.exp(bent, out=bent)


def over(below: Field, above: Field, mask: Field) -> Field:
    """Lay ``above`` over ``below`` in proportion to the mask."""
    mixed = above - below
    mixed *= mask
    mixed += below
    return mixed


def length(across: Field, along: Field) -> Field:
    """Euclidean length, in a third of the time of ``hypot``, which also avoids overflows."""
    euclidean: Field = np.sqrt(across * across + along * along)
    return euclidean


def blur(field: Field) -> None:
    """Blur with a 1-2-1 filter down and across, in place."""
    field[1:-1] = (field[:-2] + 2 * field[1:-1] + field[2:]) * 0.25
    field[:, 1:-1] = (field[:, :-2] + 2 * field[:, 1:-1] + field[:, 2:]) * 0.25


def texture_positions(across: Texels, along: Texels) -> Texels:
    """Positions in a raveled texture of texel coordinates of any size."""
    return (along & (TILE - 1)) * TILE + (across & (TILE - 1))


def texel_coordinates(millimetres: Field) -> Texels:
    """Integer texel coordinates of lengths."""
    return np.floor(millimetres * (1 / TEXEL)).astype(np.int32)


def noise_texture(rng: np.random.Generator, wavelength: float, stretch: float = 1.0) -> Field:
    """Draw a periodic texture, float32[TILE, TILE], of unit variance around one wavelength (mm)."""
    white = rng.standard_normal((TILE, TILE // 2 + 1, 2), dtype=np.float32).view(np.complex64)[..., 0]
    # A stretch above 1 makes the texture longer from row to row
    row_frequency = np.fft.fftfreq(TILE, TEXEL).astype(np.float32)[:, None] * stretch
    column_frequency = np.fft.rfftfreq(TILE, TEXEL).astype(np.float32)
    octaves = np.log2(length(column_frequency, row_frequency) * wavelength + 1e-6)
    band = np.exp(-np.square(octaves / 0.8))
    tile: Field = np.fft.irfft2(white * band, s=(TILE, TILE))
    tile /= tile.std()
    return tile
