"""A TIFF is read rightly or refused: never wrong, whatever its layout is."""

from __future__ import annotations

import collections
import io
import itertools
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from inspector.errors import ImageError
from inspector.imaging import decoder

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
            Exception: tifffile does not write it.
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
        tifffile.imwrite(
            stream, pixels, photometric=self.photometric, compression=self.compression,
            predictor=self.predictor, byteorder=self.order, bigtiff=self.big, metadata=None, **options,
        )  # fmt: skip
        return stream.getvalue()

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
        page = file.pages.first
        pixels, bits, name = page.asarray(), page.bitspersample, page.photometric.name
        if page.samplesperpixel > 1 and page.planarconfig == 2:
            pixels = np.moveaxis(pixels, 0, -1)
        palette, is_jpeg = page.colormap, page.compression == 7
    values = pixels.astype(np.int64).reshape(HEIGHT, WIDTH, -1)
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


@pytest.mark.slow
def test_every_layout_is_read_as_tifffile_reads_it_or_is_refused() -> None:
    """Of thousands of layouts each gives tifffile's grey values, or `unsupported`; nothing else."""
    outcomes: collections.Counter[str] = collections.Counter()
    wrong: list[Any] = []
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    for layout in layouts():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                data = layout.file()
        except Exception:  # noqa: BLE001 - whatever tifffile does not write, it says so in many ways
            outcomes["not written"] += 1
            continue
        try:
            pixels = decoder.decode(data)
        except ImageError as error:
            outcomes[error.reason] += 1
            if error.reason != "unsupported" or error.retry:
                wrong.append((layout, str(error)))
            continue
        outcomes["read"] += 1
        expected = grey_by_tifffile(data)
        if np.abs(pixels - expected).max() > (4 if layout.compression == "jpeg" else 1):
            wrong.append((layout, np.abs(pixels - expected).max()))
    assert not wrong
    assert outcomes["read"] > 600
    assert outcomes["unsupported"] > 1500


def written(pixels: Any = FRAME, **options: Any) -> bytes:
    """A TIFF by tifffile."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **{"metadata": None, "photometric": "minisblack", **options})
    return stream.getvalue()


def refusal(data: bytes) -> tuple[str, bool]:
    """The reason of a refusal, and whether it is retried."""
    with pytest.raises(ImageError) as caught:
        decoder.decode(data)
    assert "\n" not in str(caught.value)
    return caught.value.reason, caught.value.retry


@pytest.mark.parametrize(
    ("tag", "kind", "value"),
    [(266, 3, 2), (274, 3, 3), (274, 3, 6), (32997, 4, 2), (50706, 1, b"\1\4\0\0")],
    ids=["bit order", "turned round", "turned", "a volume", "DNG"],
)
def test_a_tag_that_changes_the_picture_is_refused(tag: int, kind: int, value: int | bytes) -> None:
    """A TIFF with its bits reversed, turned, in a volume or of raw values is refused at once."""
    count = len(value) if isinstance(value, bytes) else 1
    data = written(
        extratags=[(65_000, kind, count, value, True)]
    )  # tifffile itself does not write all of these
    data = data.replace((65_000).to_bytes(2, "little"), tag.to_bytes(2, "little"), 1)
    assert refusal(data) == ("unsupported", False)


@pytest.mark.parametrize("order", "<>")
def test_subsampled_colour_is_read_from_jpeg_only(order: str) -> None:
    """Subsampled YCbCr by JPEG is decoded; without JPEG, whose pixels Pillow mixes up, it is refused."""
    colour = np.dstack([FRAME, np.full_like(FRAME, 128), np.full_like(FRAME, 128)])
    options = {"photometric": "ycbcr", "subsampling": (2, 2), "byteorder": order}
    by_jpeg = written(np.dstack([FRAME] * 3), compression="jpeg", compressionargs={"level": 95}, **options)
    assert np.abs(decoder.decode(by_jpeg).astype(int) - grey_by_tifffile(by_jpeg)).max() <= 4
    plain = written(colour, photometric="ycbcr", subsampling=(1, 1), byteorder=order)
    assert np.array_equal(decoder.decode(plain), FRAME)
    at = plain.index((530).to_bytes(2, "little" if order == "<" else "big"))
    two = (2).to_bytes(2, "little" if order == "<" else "big")
    assert refusal(plain[: at + 8] + two + two + plain[at + 12 :]) == ("unsupported", False)


def test_what_pillow_writes_is_read() -> None:
    """Grey, colour, palette and 16-bit frames by Pillow, in each of its lossless compressions, are read."""
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        for image in (Image.fromarray(FRAME), Image.fromarray(FRAME).convert("RGB")):
            stream = io.BytesIO()
            image.save(stream, "TIFF", compression=compression)
            assert np.abs(decoder.decode(stream.getvalue()).astype(int) - FRAME).max() <= 1


# --- several pictures in one file -------------------------------------------------------------------


def pages(*parts: tuple[Any, dict[str, Any]], **options: Any) -> bytes:
    """A TIFF with a page for each part."""
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, **options) as writer:
        for pixels, about in parts:
            writer.write(pixels, photometric="minisblack", metadata=None, **about)
    return stream.getvalue()


THUMBNAIL = (FRAME[::4, ::4].copy(), {"subfiletype": 1})


@pytest.mark.parametrize("big", [False, True])
def test_the_main_picture_is_read_whether_its_thumbnail_comes_before_or_after(big: bool) -> None:
    """A page that says it is a smaller copy is no second picture, wherever it is in the file."""
    for data in (
        pages((FRAME, {}), THUMBNAIL, bigtiff=big),
        pages(THUMBNAIL, (FRAME, {}), bigtiff=big),
        pages((FRAME, {"subifds": 1}), THUMBNAIL, bigtiff=big),
    ):
        assert np.array_equal(decoder.decode(data), FRAME)


@pytest.mark.parametrize(
    "data",
    [
        pages((FRAME, {}), (FRAME, {})),
        pages((FRAME, {}), THUMBNAIL, (FRAME[::-1].copy(), {})),
        pages((FRAME, {}), (FRAME[::-1].copy(), {"subfiletype": 1})),  # as large as the picture: no thumbnail
        pages((FRAME, {"subifds": 1}), (FRAME[::-1].copy(), {})),
        pages(THUMBNAIL, THUMBNAIL),
    ],
    ids=["two pages", "three pages", "a copy of full size", "a page below a page", "thumbnails only"],
)
def test_a_second_picture_is_refused(data: bytes) -> None:
    """A file with a second picture is refused, since a verdict on the first would pass the second unseen."""
    assert refusal(data) == ("multi_frame", False)


def test_a_stack_behind_one_page_is_refused() -> None:
    """Stacks that name only their first picture in a page (ImageJ, tifffile) are several pictures too."""
    stack = np.stack([FRAME, FRAME[::-1], FRAME[:, ::-1]])
    stream = io.BytesIO()
    tifffile.imwrite(stream, stack, photometric="minisblack", truncate=True)
    assert refusal(stream.getvalue()) == ("multi_frame", False)
    stream = io.BytesIO()
    tifffile.imwrite(stream, stack, photometric="minisblack", imagej=True, truncate=True)
    assert refusal(stream.getvalue()) == ("multi_frame", False)


# --- files that are not whole -----------------------------------------------------------------------


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits", "jpeg"])
def test_every_truncation_is_tried_again(compression: str | None, big: bool) -> None:
    """However early a file ends, it is refused and tried again."""
    data = written(compression=compression, bigtiff=big, rowsperstrip=16)
    for length in range(4, len(data), 29):
        assert refusal(data[:length])[1], length
    assert refusal(data[:-1])[1]


@pytest.mark.parametrize("order", "<>")
def test_a_strip_that_is_shorter_than_its_rows_is_not_read(order: str) -> None:
    """A strip whose stated bytes do not hold its rows is refused; Pillow would read what lies behind it."""
    data = written(byteorder=order, rowsperstrip=HEIGHT)
    name = "little" if order == "<" else "big"
    at = data.index((279).to_bytes(2, name))  # StripByteCounts
    assert refusal(data[: at + 8] + (100).to_bytes(4, name) + data[at + 12 :]) == ("truncated", True)
