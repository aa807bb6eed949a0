"""Grey, distinct pictures of any tree of files, for ``feature_distillation.py`` to cut views from."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.progress import track

Pixels = NDArray[np.uint8]  # [h, w], grey

SUFFIXES: Final = {".jpg", ".jpeg", ".png", ".tga", ".webp"}
LEAST_SIDE, LONGEST_SIDE = 200, 1400  # pixels; icons are left out, and photographs made smaller
MOST_TRANSPARENT: Final = 0.3  # share of the pixels; more is a drawing that was cut out
LEAST_CONTRAST: Final = 0.03  # standard deviation of grey, from 0 to 1


def read(folder: Path) -> list[Pixels]:
    """Return the pictures below ``folder`` in the order of their paths, each of a hash once."""
    found: dict[bytes, Pixels] = {}
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file()]
    for path in track(paths, "read pictures"):
        grey = _grey(path)
        if grey is not None:
            found.setdefault(_difference_hash(grey), np.asarray(grey))
    return list(found.values())


def _grey(path: Path) -> Image.Image | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd metadata of other people's files
        try:
            picture = Image.open(path)
            if min(picture.size) < LEAST_SIDE:
                return None
            opaque = np.asarray(picture.convert("RGBA"))[..., 3] > 250
        except (OSError, ValueError):
            return None  # not a picture, or a damaged one: there are enough
        grey = picture.convert("L")
    grey.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    shown = opaque.mean() >= 1 - MOST_TRANSPARENT and np.asarray(grey).std() / 255 >= LEAST_CONTRAST
    return grey if shown else None


def _difference_hash(grey: Image.Image) -> bytes:
    """The same for copies of a picture in several sizes: which of two neighbours is brighter."""
    small = np.asarray(grey.resize((9, 8), Image.Resampling.BILINEAR), dtype=np.int16)
    return (np.diff(small, axis=1) > 0).tobytes()
