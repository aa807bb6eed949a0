"""Thousands of ways to lay out a picture in a TIFF, and the grey values that another decoder gives."""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

HEIGHT, WIDTH = 40, 56
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
FRAME: NDArray[np.uint8] = ((ROWS * 3 + COLUMNS * 2) % 251).astype(np.uint8)
COLOURS = {"miniswhite": 1, "minisblack": 1, "palette": 1, "rgb": 3, "ycbcr": 3, "cielab": 3, "separated": 4}
PALETTE = np.random.default_rng(1).integers(0, 65_536, (3, 256)).astype(np.uint16)


@dataclass(frozen=True)
class Layout:
    """One way to lay out the samples of a picture in a TIFF."""

    photometric: str
    bits: int
    dtype: str
    extra: tuple[int, ...]
    planes: str
    compression: str | None
    predictor: bool
    order: str
    big: bool
    block: int | None  # rows of a strip; 0: tiles of 16×32

    def file(self) -> bytes:
        """Write a picture in this layout.

        Raises:
            Exception: tifffile does not write it, which it says in many ways.
        """
        samples = COLOURS[self.photometric] + len(self.extra)
        pixels = np.stack([self._plane(number) for number in range(samples)])
        if samples == 1:
            pixels = pixels[0]
        elif self.planes == "contig":
            pixels = np.moveaxis(pixels, 0, -1)
        options: dict[str, Any] = {"rowsperstrip": self.block} if self.block else {}
        if self.block == 0:
            options["tile"] = (16, 32)
        if self.bits not in (8, 16, 32, 64):
            options["bitspersample"] = self.bits
        if self.photometric == "palette":
            options["colormap"] = PALETTE[:, : 1 << self.bits]
        if self.photometric == "ycbcr":
            options["subsampling"] = (1, 1)
        if self.extra:
            options["extrasamples"] = self.extra
        if samples > 1:
            options["planarconfig"] = self.planes
        stream = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._write(stream, pixels, options)
        return stream.getvalue()

    def _write(self, stream: io.BytesIO, pixels: NDArray[Any], options: dict[str, Any]) -> None:
        tifffile.imwrite(
            stream, pixels, photometric=self.photometric, compression=self.compression,
            predictor=self.predictor, byteorder=self.order, bigtiff=self.big, metadata=None, **options,
        )  # fmt: skip

    def _plane(self, number: int) -> NDArray[Any]:
        """One sample of all pixels; it is another picture for each number, and uses the whole range."""
        share = ((ROWS * 2.3 + COLUMNS * 1.7 + 41 * number) % 230) / 229
        kind = np.dtype(self.dtype).kind
        if kind == "f":
            return share.astype(self.dtype)
        top = 65_535 if self.bits == 32 else (1 << (self.bits - (kind == "i"))) - 1  # 32 bits hold 16
        values = share * top if kind == "u" or self.bits == 32 else share * 2 * top - top
        return np.round(values).astype(self.dtype)


def layouts() -> Iterator[Layout]:
    """Thousands of layouts: the usual ones with every option, the odd ones with a few."""
    compressions = [(None, False), *itertools.product(("lzw", "zlib"), (False, True))]
    compressions += [("packbits", False), ("jpeg", False), ("zstd", False)]
    for photometric, (bits, dtype) in itertools.product(COLOURS, ((8, "u1"), (16, "u2"))):
        for extra, (compression, predictor), order, block in itertools.product(
            ((), (0,), (1,), (2,), (2, 0)), compressions, "<>", (None, 16, 0)
        ):
            for planes in ("contig", "separate") if COLOURS[photometric] + len(extra) > 1 else ("contig",):
                big = block == 16 and order == "<"
                yield Layout(
                    photometric, bits, dtype, extra, planes, compression, predictor, order, big, block
                )
    odd = [(bits, "u1") for bits in (1, 2, 4)] + [(bits, "u2") for bits in (9, 10, 12, 14)]
    odd += [(8, "i1"), (16, "i2"), (32, "i4"), (32, "u4"), (64, "u8"), (16, "f2"), (32, "f4"), (64, "f8")]
    for photometric, (bits, dtype) in itertools.product(COLOURS, odd):
        for extra, (compression, predictor), order, block in itertools.product(
            ((), (2,)), ((None, False), ("zlib", True)), "<>", (None, 0)
        ):
            yield Layout(
                photometric, bits, dtype, extra, "contig", compression, predictor, order, False, block
            )


def luma(red: Any, green: Any, blue: Any) -> Any:
    """Grey by ITU-R 601."""
    return (299 * red + 587 * green + 114 * blue) / 1000


def grey_by_tifffile(data: bytes) -> NDArray[np.float64]:
    """The grey values from 0 to 255 that tifffile's reading and the TIFF specification give."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = next((page for page in file.pages if not page.subfiletype & 5), file.pages.first)
        pixels, bits, name = page.asarray(), page.bitspersample, page.photometric.name
        if page.samplesperpixel > 1 and page.planarconfig == 2:
            pixels = np.moveaxis(pixels, 0, -1)
        palette, is_jpeg = page.colormap, page.compression == 7
    values = pixels.astype(np.int64).reshape(page.imagelength, page.imagewidth, -1)
    if name == "PALETTE":
        return np.asarray(
            luma(*(palette[colour][values[..., 0]].astype(np.int64) // 256 for colour in range(3))),
            np.float64,
        )
    samples = np.moveaxis(values, -1, 0)
    samples = (
        samples * 255 // ((1 << bits) - 1) if bits < 8 else samples >> ((16 if bits == 32 else bits) - 8)
    )
    grey = {
        "MINISWHITE": lambda: 255 - samples[0],
        "MINISBLACK": lambda: samples[0],
        "RGB": lambda: luma(*samples[:3]),
        "YCBCR": lambda: luma(*samples[:3]) if is_jpeg else samples[0],  # tifffile makes RGB of JPEG
        "SEPARATED": lambda: luma(*((255 - ink) * (255 - samples[3]) / 255 for ink in samples[:3])),
    }[name]()
    return np.asarray(grey, np.float64)
