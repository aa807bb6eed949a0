"""A TIFF of any layout is read correctly or refused, and never read wrongly."""

from __future__ import annotations

import collections
import io
import logging
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from tiff_layouts import FRAME, HEIGHT, grey_by_tifffile, layouts

from inspector.errors import ImageError
from inspector.imaging import decoder


@pytest.mark.slow
def test_every_layout_is_read_as_tifffile_reads_it_or_is_refused() -> None:
    """Of thousands of layouts each gives tifffile's grey values, or `unsupported`; nothing else."""
    outcomes: collections.Counter[str] = collections.Counter()
    wrong: list[Any] = []
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    for layout in layouts():
        try:
            data = layout.file()
        except Exception:  # noqa: BLE001 - tifffile refuses layouts with many kinds of exceptions
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


def test_tiffs_of_pillow_are_read() -> None:
    """Grey, colour, palette and 16-bit frames by Pillow, in each of its lossless compressions, are read."""
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        for image in (Image.fromarray(FRAME), Image.fromarray(FRAME).convert("RGB")):
            stream = io.BytesIO()
            image.save(stream, "TIFF", compression=compression)
            assert np.abs(decoder.decode(stream.getvalue()).astype(int) - FRAME).max() <= 1


@pytest.mark.parametrize(("kind", "count"), [(13, 1), (8, 1), (5, 1), (3, 2), (4, 0)])
@pytest.mark.parametrize("tag", [256, 262, 277, 284, 317])
def test_a_number_in_an_unusual_form_is_refused(tag: int, kind: int, count: int) -> None:
    """A tag of the layout has one whole number: readers take other types and counts for different things."""
    colour = np.stack([FRAME] * 3)
    options = {"photometric": "rgb", "planarconfig": "separate", "compression": "zlib", "predictor": True}
    data = bytearray(written(colour, **options))
    assert decoder.decode(bytes(data)).shape == FRAME.shape
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        struct.pack_into("<HI", data, file.pages[0].tags[tag].offset + 2, kind, count)
    assert refusal(bytes(data))[0] in ("corrupt", "truncated")


def test_a_palette_of_eight_bit_colours_is_refused() -> None:
    """A palette whose colours go to 255 instead of 65,535 would be read as black."""
    ramp = np.stack([np.arange(256)] * 3).astype(np.uint16)
    assert refusal(written(photometric="palette", colormap=ramp)) == ("unsupported", False)
    assert np.array_equal(decoder.decode(written(photometric="palette", colormap=ramp * 257)), FRAME)


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
    """A page that is marked as a smaller copy is not a second picture, at any place in the file."""
    for data in (
        pages((FRAME, {}), THUMBNAIL, bigtiff=big),
        pages(THUMBNAIL, (FRAME, {}), bigtiff=big),
        pages((FRAME, {"subifds": 1}), THUMBNAIL, bigtiff=big),
        pages((FRAME, {}), (THUMBNAIL[0], {"subfiletype": 1, "compression": "jpeg"}), bigtiff=big),
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


def test_a_stack_of_metamorph_is_refused() -> None:
    """MetaMorph names the planes of a stack in a tag of its only page."""
    planes = [(33_629, 5, 2, (1, 1) * 2, True)]
    assert refusal(written(extratags=planes)) == ("multi_frame", False)


def test_a_picture_behind_a_page_below_a_page_is_refused() -> None:
    """A directory that only a thumbnail below the main page leads to is found."""
    data = bytearray(pages((FRAME, {"subifds": 1}), THUMBNAIL))
    other = written(FRAME[::-1].copy())
    below = struct.unpack_from("<I", data, data.index(struct.pack("<HHI", 330, 13, 1)) + 8)[0]
    (count,) = struct.unpack_from("<H", data, below)
    first = struct.unpack_from("<I", other, 4)[0] + len(data)
    struct.pack_into("<I", data, below + 2 + 12 * count, first)
    with pytest.raises(ImageError):
        decoder.decode(bytes(data) + other)


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
    """A strip whose stated bytes do not hold its rows is refused; Pillow would read the bytes behind it."""
    data = written(byteorder=order, rowsperstrip=HEIGHT)
    name = "little" if order == "<" else "big"
    at = data.index((279).to_bytes(2, name))  # StripByteCounts
    assert refusal(data[: at + 8] + (100).to_bytes(4, name) + data[at + 12 :]) == ("truncated", True)


# --- damage that libtiff passes over ------------------------------------------------------------------


NOISE = np.random.default_rng(3).integers(0, 256, (HEIGHT, 56), dtype=np.uint8)
JPEGS: list[dict[str, Any]] = [{}, {"rowsperstrip": 16}, {"tile": (32, 32)}]


@pytest.mark.parametrize("layout", JPEGS)
def test_a_damaged_jpeg_strip_is_no_frame(layout: dict[str, Any]) -> None:
    """A JPEG strip that lacks something, which libtiff fills with grey, is refused or sent to people."""
    data = written(NOISE, compression="jpeg", **layout)
    assert decoder.decode_picture(data).flaw is None
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        start, size = file.pages[0].dataoffsets[-1], file.pages[0].databytecounts[-1]
    middle = start + size - size // 3
    for damage in (b"\xff\xd9", bytes(40), b"\xff\xd3"):
        broken = data[:middle] + damage + data[middle + len(damage) :]
        try:
            assert decoder.decode_picture(broken).flaw == "padded"
        except ImageError as error:
            assert error.reason in ("truncated", "corrupt", "multi_frame")


def test_a_jpeg_strip_of_too_few_rows_is_no_frame() -> None:
    """A strip whose JPEG is smaller than the strip would leave rows black."""
    data = written(NOISE, compression="jpeg", rowsperstrip=HEIGHT)
    small = written(NOISE[:16], compression="jpeg", rowsperstrip=16)
    with tifffile.TiffFile(io.BytesIO(small)) as file:
        start, size = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at, room = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    strip = small[start : start + size].ljust(room, b"\0")
    assert refusal(data[:at] + strip + data[at + room :]) == ("truncated", True)


def test_a_padded_jpeg_strip_makes_a_frame_flawed() -> None:
    """Stray bytes before the end mark of a strip send the frame to people, as those of a JPEG do."""
    data = bytearray(written(NOISE, compression="jpeg", rowsperstrip=HEIGHT))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        start, size = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
        entry = file.pages[0].tags[279].offset
    strip = data[start : start + size - 2] + bytes(5) + b"\xff\xd9"
    struct.pack_into("<I", data, entry + 8, len(data))
    at = struct.unpack_from("<HHII", data, entry)
    assert at[0] == 279
    struct.pack_into("<I", data, entry + 8, len(strip))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        struct.pack_into("<I", data, file.pages[0].tags[273].offset + 8, len(data))
    picture = decoder.decode_picture(bytes(data + strip))
    assert picture.flaw == "padded"


@pytest.mark.parametrize("layout", [{}, {"rowsperstrip": 7}, {"tile": (32, 32)}, {"predictor": True}])
def test_a_deflated_strip_that_fails_its_checksum_is_no_frame(layout: dict[str, Any]) -> None:
    """Flipped bits in deflated pixels are noticed by their checksum, which libtiff does not read."""
    data = written(NOISE, compression="zlib", **layout)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        start, size = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    for at in (start + size - 1, start + size // 2, start + size - 9):
        broken = bytearray(data)
        broken[at] ^= 1
        assert refusal(bytes(broken)) == ("corrupt", True)


@pytest.mark.parametrize("compression", ["zlib", "packbits"])
def test_a_strip_that_unpacks_to_more_than_its_rows_is_no_frame(compression: str) -> None:
    """Bytes that damage adds move all pixels behind them, and libtiff drops those that are too many."""
    wide = written(np.hstack([NOISE, NOISE]), compression=compression, rowsperstrip=HEIGHT)
    assert decoder.decode(wide).shape == (HEIGHT, 112)
    data = bytearray(wide)
    with tifffile.TiffFile(io.BytesIO(wide)) as file:
        struct.pack_into("<H", data, file.pages[0].tags[256].offset + 8, 110)
    assert refusal(bytes(data)) == ("corrupt", True)
