"""What remains of a small defect at the network's size, in one line of the log."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from trainer.data.datasets import Frame
from trainer.data.frames import median_size
from trainer.errors import DataError
from trainer.recipe import Network

log = logging.getLogger(__name__)

# Pixels of the network's frame that a defect should cover. The resize averages a smaller one with what is
# around it; with three there is a pixel that shows nothing else, wherever the defect lies.
MIN_DEFECT_PIXELS = 3
EXAMPLE_PIXELS = 10  # of the camera's frame
STRONG_REDUCTION = 4.0  # times; with it, a defect of 12 pixels in the camera's frame is the smallest


def report(network: Network, frames: Sequence[Frame], *, chosen: bool, bit_depth: int) -> None:
    """Log how large a defect is at the network's size; warn if frames are reduced much, and name the keys.

    Args:
        network: with the size of its frames.
        frames: of the training part.
        chosen: whether the data has decided the size.
        bit_depth: see :func:`inspector.imaging.decoder.decode`.
    """
    try:
        height, width = median_size(frames, bit_depth)
    except DataError:
        return  # reading the frames names all that cannot be read
    reduction = max(height / network.size[0], width / network.size[1])
    line = (
        f"frames of {width}×{height} become {network.size[1]}×{network.size[0]}: "
        f"a defect of {EXAMPLE_PIXELS} pixels becomes {EXAMPLE_PIXELS / reduction:.1f}; one has to be "
        f"at least {math.ceil(MIN_DEFECT_PIXELS * reduction)} pixels large in the camera's frame to cover "
        f"{MIN_DEFECT_PIXELS} in the network's"
    )
    if reduction < STRONG_REDUCTION:
        log.info("%s", line)
    else:
        log.warning("%s; for smaller ones set a larger %s, or cut the frames", line, _keys(network, chosen))


def _keys(network: Network, chosen: bool) -> str:
    if not chosen:
        return f"network.height and network.width ({network.size[0]} and {network.size[1]})"
    keys = [f"network.pixels ({network.pixels})"]
    if network.pixels_a_frame is not None:
        keys.insert(0, f"network.pixels_a_frame ({network.pixels_a_frame})")
    return " and ".join(keys)
