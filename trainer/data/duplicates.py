"""Copies of frames: one image under two labels, or in two parts of the data.

Bytes are hashed before the split, because copies have to stay in one part, and because a run that resumes has
to know that its frames are the same. Copies in another format or with other metadata have other bytes. They
are known by their pixels, as soon as frames are decoded.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from inspector.imaging.decoder import ImageError, content_hash, read_image
from trainer.data.datasets import Frame
from trainer.errors import Problem

log = logging.getLogger(__name__)

MAX_EXAMPLES = 10  # groups of copies that a warning names
_READERS = 8  # files that are read at the same time; SHA-256 releases the GIL


def with_hashes(frames: Sequence[Frame]) -> list[Frame]:
    """Return the frames with the SHA-256 of their files. A file that cannot be read stays without."""
    with ThreadPoolExecutor(_READERS) as pool:
        hashes = pool.map(lambda frame: frame.sha256 or _sha256(frame.path), frames)
        return [replace(frame, sha256=digest) for frame, digest in zip(frames, hashes, strict=True)]


def with_pixel_hashes(frames: Sequence[Frame], bit_depth: int) -> list[Frame]:
    """Return the frames with the hashes of their pixels. A frame that cannot be read stays without.

    Frames are decoded for this, so it takes as long as reading them.
    """

    def pixels(frame: Frame) -> str | None:
        try:
            return frame.pixels or content_hash(read_image(frame.path, bit_depth=bit_depth))
        except ImageError:
            return None

    with ThreadPoolExecutor(_READERS) as pool:
        hashes = pool.map(pixels, frames)
        return [replace(frame, pixels=digest) for frame, digest in zip(frames, hashes, strict=True)]


def under_two_labels(frames: Iterable[Frame], classes: Sequence[str]) -> list[Problem]:
    """Return a problem for each image that has two labels: a network would learn both."""
    return [
        Problem("one image under two labels", " = ".join(f"{f.name} ({classes[f.label]})" for f in copies))
        for copies in _copies(frames)
        if len({frame.label for frame in copies}) > 1
    ]


def with_equal_pixels(frames: Sequence[Frame], hashes: Sequence[str]) -> list[Frame]:
    """Return the frames that are copies with other bytes, by the hash of their pixels.

    Args:
        frames: with the hashes of their files.
        hashes: of their pixels (:func:`inspector.imaging.decoder.content_hash`), empty if not known.
    """
    groups: dict[str, list[Frame]] = defaultdict(list)
    for frame, digest in zip(frames, hashes, strict=True):
        if digest:
            groups[digest].append(replace(frame, sha256=digest))
    of_file = {frame.name: frame.sha256 for frame in frames}
    return [
        frame
        for group in groups.values()
        if len({of_file[frame.name] for frame in group}) > 1
        for frame in group
    ]


def warn_of_shared(frames: Iterable[Frame], same: str = "bytes") -> None:
    """Warn of images that are in two parts: results on frames that were learnt from are too good.

    Args:
        frames: with hashes.
        same: what the hashes are of.
    """
    shared = [copies for copies in _copies(frames) if len({frame.part for frame in copies}) > 1]
    if shared:
        names = [" = ".join(f"{f.name} ({f.part})" for f in copies) for copies in shared[:MAX_EXAMPLES]]
        more = ["…"] if len(shared) > MAX_EXAMPLES else []
        log.warning(
            "%d images are in two parts with the same %s, which flatters; remove one of each: %s",
            len(shared),
            same,
            "; ".join(names + more),
        )


def _copies(frames: Iterable[Frame]) -> list[list[Frame]]:
    """Return the groups of frames with the same bytes and different files."""
    groups: dict[str, dict[Path, Frame]] = defaultdict(dict)
    for frame in frames:
        if frame.sha256:
            groups[frame.sha256].setdefault(frame.path.resolve(), frame)
    return [list(group.values()) for group in groups.values() if len(group) > 1]


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None
