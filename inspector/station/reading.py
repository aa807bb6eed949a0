"""Reads one arrival: from its file to a frame for the network, or to the reason why there is none.

This runs in worker threads. Pillow, the resize and the hash release the GIL.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspector.errors import ImageError
from inspector.imaging import decoder, flaws
from inspector.imaging.source import OpenedFile, TakenFile, read_source, unread_source
from inspector.records import Arrival, FileStamp, SourceFile
from inspector.station.crash_journal import CrashJournal

if TYPE_CHECKING:
    from torch import Tensor


Prepare = Callable[[NDArray[np.uint8]], "Tensor"]

# Bytes of a file that are kept until it has moved, since a camera may overwrite it in place. A frame of the
# paper has 0.8 MB uncompressed; 34 files in flight (two threads, batches of 8) are 270 MB at most.
_MAX_KEPT_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """The files that are read at all."""

    formats: Sequence[str]  # Pillow's names
    max_pixels: int
    max_bytes: int
    bit_depth: int  # significant bits of 16-bit pixels: the artifact's


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded image for the network; its file stays open until it has been moved."""

    taken: TakenFile
    prepared: Tensor  # uint8[1, H, W]
    flaw: str | None
    wait_ms: float
    decode_ms: float
    unused_bits: int | None = None  # of a frame in 16-bit words; see inspector.imaging.decoder.Picture


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file without an image, and the reason."""

    taken: TakenFile
    error: ImageError


def read(arrival: Arrival, limits: Limits, prepare: Prepare, journal: CrashJournal) -> Frame | Unreadable:
    """Read, hash, decode and prepare one file; every fault of a file ends in :class:`Unreadable`.

    Args:
        arrival: a file that is ready.
        limits: the files that are read at all.
        prepare: turns uint8[h, w] of any size into the classifier's input.
        journal: notes that the decoder has the file open, in case it crashes.
    """
    started = time.monotonic()
    file: OpenedFile | None = None
    try:
        file = read_source(arrival.path, root=arrival.drop_folder, max_bytes=limits.max_bytes)
        with journal.decoding(arrival.source_name):
            decoded = decode(file.data, limits, prepare)
    except ImageError as error:
        return _unreadable(arrival, file, error)
    if len(file.data) > _MAX_KEPT_BYTES:
        file.data = b""  # read again if it is needed at all
    return Frame(
        taken=TakenFile(arrival, file.source, file),
        prepared=decoded.prepared,
        flaw=decoded.flaw,
        unused_bits=decoded.unused_bits,
        wait_ms=(started - arrival.seen_monotonic) * 1000,
        decode_ms=(time.monotonic() - started) * 1000,
    )


class Decoded(NamedTuple):
    """What a file's bytes give to a classifier."""

    prepared: Tensor  # uint8[1, H, W]
    flaw: str | None
    unused_bits: int | None  # see inspector.imaging.decoder.Picture


def decode(data: bytes, limits: Limits, prepare: Prepare) -> Decoded:
    """Decode and prepare the bytes of a file, for the station's verdict and for a second opinion alike.

    Raises:
        ImageError: the file holds no image that can be judged.
    """
    picture = decoder.decode_picture(
        data, formats=limits.formats, max_pixels=limits.max_pixels, bit_depth=limits.bit_depth
    )
    prepared = _prepared(picture.pixels, prepare)
    return Decoded(prepared, flaws.flaw_of(picture), picture.unused_bits)


def _prepared(pixels: NDArray[np.uint8], prepare: Prepare) -> Tensor:
    try:
        return prepare(pixels)
    except RuntimeError as error:  # torch's own, for instance out of memory
        said = " ".join(str(error).split())[-200:]
        raise ImageError("not_prepared", f"the artifact cannot resize it: {said}", retry=True) from None


def _unreadable(arrival: Arrival, file: OpenedFile | None, error: ImageError) -> Unreadable:
    try:
        source = file.source if file else unread_source(arrival.path, arrival.drop_folder)
    except ImageError as vanished:
        source, error = SourceFile(FileStamp(0, 0, 0, 0, 0), None), vanished
    return Unreadable(TakenFile(arrival, source, file), error)
