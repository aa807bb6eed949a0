"""Judges pictures with an artifact alone: ``inspector.load("weldnet.pt").judge("image.png")``.

- It decodes, prepares and judges as the daemon does, by the thresholds in the artifact.
- It knows no settings, no folder and no database, and it writes nothing.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from inspector.errors import ImageError
from inspector.imaging import decoder, flaws
from inspector.imaging.decoder import Picture
from inspector.imaging.source import read_source
from inspector.network import artifact as artifacts
from inspector.network.artifact import Artifact
from inspector.network.classifier import Classifier
from inspector.network.metadata import Metadata
from inspector.records import Judgement

ImageLike: TypeAlias = str | os.PathLike[str] | bytes | NDArray[np.uint8]
I = TypeVar("I", bound=ImageLike)  # noqa: E741 - an image

FRAMES_PER_BATCH: Final = 8  # the daemon's default; a frame's result does not depend on it


def load(artifact: str | os.PathLike[str]) -> Network:
    """Open an artifact and prove it on its golden frames.

    Args:
        artifact: the file, made by ``weld-train``. A network that its trainer says not to deploy is opened,
            too: see ``metadata.training_verdict``.

    Raises:
        ArtifactError: one line: what is wrong with the file, or with this machine, and how to fix it.
    """
    return Network(artifacts.open(Path(artifact)))


class Network:
    """A proved artifact with its own thresholds; safe for several threads."""

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact
        self._classifier = Classifier(artifact)

    @property
    def metadata(self) -> Metadata:
        """The facts that the artifact carries: classes, thresholds, metrics, recipe."""
        return self._artifact.metadata

    @property
    def thresholds(self) -> dict[str, Any]:
        """The thresholds in force: ``accept``, ``defects`` by class name, and ``novelty``."""
        return self._classifier.thresholds

    @overload
    def judge(self, image: list[I]) -> list[Judgement]: ...

    @overload
    def judge(self, image: ImageLike) -> Judgement: ...

    def judge(self, image: ImageLike | list[I]) -> Judgement | list[Judgement]:
        """Judge an image, or each image of a list.

        Args:
            image: a path, the bytes of an image file, or a grey array ``uint8[h, w]``. Files may be PNG,
                JPEG, BMP or TIFF.

        Returns:
            The verdict with its class, probabilities and heat map; for a list, one for each image in order.
            Each is the same as if the image were judged alone. With one thread (``torch.set_num_threads``) it
            is also that of the station's database, to the last bit.

        Raises:
            ImageError: the image, or the first bad one of a list, cannot be judged; its ``reason`` is one of
                those in :mod:`inspector.imaging.decoder`.
            TypeError: it is no path, bytes, array or list of these.
        """
        if not isinstance(image, list):
            return self.judge_pictures([self._read(image)])[0]
        pictures = (self._read(one, f"image[{number}]") for number, one in enumerate(image))
        return [judgement for some in _batches(pictures) for judgement in self.judge_pictures(some)]

    def read(self, image: ImageLike) -> Picture:
        """Decode one image in full to grey, without judging it; arguments and errors as in :meth:`judge`.

        The message of an ImageError does not name the image.
        """
        if isinstance(image, np.ndarray):
            return Picture(_checked(image))
        if isinstance(image, bytes):
            return self._decode(image)
        if isinstance(image, str | os.PathLike):
            return self._decode(_content(image))
        raise TypeError(f"an image is a path, bytes or a uint8 array, not {type(image).__name__}")

    def judge_pictures(self, pictures: Sequence[Picture]) -> list[Judgement]:
        """Judge pictures that were read, in one batch, at least one; one judgement for each, in order."""
        prepared = [self._classifier.prepare(picture.pixels) for picture in pictures]
        return self._classifier.judge(prepared, [flaws.flaw_of(picture) for picture in pictures])

    def _decode(self, data: bytes) -> Picture:
        return decoder.decode_picture(data, bit_depth=self.metadata.bit_depth)

    def _read(self, image: ImageLike, name: str | None = None) -> Picture:
        """Read an image; the message of an error names it by its path, or by its place in a list."""
        try:
            return self.read(image)
        except ImageError as error:
            name = os.fspath(image) if isinstance(image, str | os.PathLike) else name
            detail = f"{name}: {error.detail}" if name else error.detail
            raise ImageError(error.reason, detail, retry=error.retry) from None


def _batches(pictures: Iterable[Picture]) -> Iterator[list[Picture]]:
    """Yield lists of at most ``FRAMES_PER_BATCH``, so that a long list of files does not fill the memory."""
    several = iter(pictures)
    while some := list(itertools.islice(several, FRAMES_PER_BATCH)):
        yield some


def _content(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file; links to it are followed, unlike in a drop folder."""
    try:
        with read_source(Path(os.path.realpath(path, strict=True))) as file:
            return file.data
    except OSError as error:
        raise ImageError("unreadable", f"cannot be read: {error.strerror}") from None


def _checked(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a copy of a grey array that torch can use, within the decoder's limits."""
    if pixels.dtype != np.uint8 or pixels.ndim != 2:
        shape = ", ".join(map(str, pixels.shape))
        raise ImageError(
            "unsupported", f"an array must be grey uint8[h, w]; this one is {pixels.dtype}[{shape}]"
        )
    height, width = pixels.shape
    if min(height, width) < decoder.MIN_SIDE:
        raise ImageError("too_small", f"has {width}×{height} pixels; a side needs {decoder.MIN_SIDE}")
    if max(height, width) > decoder.MAX_SIDE or pixels.size > decoder.MAX_PIXELS:
        raise ImageError("too_large", f"has {width}×{height} pixels; {decoder.MAX_PIXELS} are allowed")
    return np.array(pixels, order="C")
