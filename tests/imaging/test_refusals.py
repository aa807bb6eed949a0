"""The decoder refuses a file that it cannot judge whole, with one named reason."""

from __future__ import annotations

import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pictures import FRAME, RANDOM, SMOOTH, encode, png_chunk, refusal, with_chunk
from PIL import Image

from inspector.errors import ImageError
from inspector.imaging import decoder, flaws


@pytest.mark.parametrize(
    ("data", "reason", "retry"),
    [
        (b"", "empty", True),
        (bytes(4096), "zero_filled", True),
        (b"\x89PN", "truncated", True),
        (b"\x89PNG\r\n\x1a\n" + bytes(1000), "truncated", True),
        (b"hello, this is a note about the weld", "not_an_image", False),
        (b"BM is how this note begins, oddly enough", "not_an_image", False),
        (encode(SMOOTH, "GIF"), "format_not_allowed", False),
        (encode(SMOOTH, "WEBP"), "format_not_allowed", False),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "format_not_allowed", False),
        (encode(np.zeros((1, 1), np.uint8)), "too_small", False),
        (encode(np.zeros((7, 900), np.uint8)), "too_small", False),
        (encode(SMOOTH.astype(np.float32), "TIFF"), "unsupported", False),
        (encode(Image.new("LAB", (16, 16)), "TIFF"), "unsupported", False),
    ],
)
def test_a_picture_that_cannot_be_judged_is_refused_by_name(data: bytes, reason: str, retry: bool) -> None:
    """Each kind of bad file has its reason; only those that a writer may still complete are retried."""
    error = refusal(data)
    assert (error.reason, error.retry) == (reason, retry)


def test_a_format_outside_the_list_is_refused() -> None:
    """A format that is not in the list is refused, even if the program could decode it."""
    error = refusal(encode(FRAME, "BMP"), formats=["PNG", "JPEG"])
    assert (error.reason, error.retry) == ("format_not_allowed", False)
    assert "PNG, JPEG" in error.detail


@pytest.mark.parametrize(
    ("form", "options"),
    [("PNG", {}), ("JPEG", {}), ("JPEG", {"progressive": True}), ("BMP", {}), ("TIFF", {})],
)
def test_every_truncation_is_retried(form: str, options: dict[str, Any]) -> None:
    """However early a file ends, its last two bytes included, it is refused and tried again."""
    data = encode(FRAME, form, **options)
    for length in [*range(0, len(data), 37), len(data) - 2, len(data) - 1]:
        error = refusal(data[:length])
        assert error.retry, (length, error)
        assert error.reason in ("empty", "truncated", "corrupt"), (length, error)


@pytest.mark.parametrize(
    ("form", "options"), [("PNG", {}), ("JPEG", {}), ("JPEG", {"exif": b"Exif\0\0thumb\xff\xd8\xff\xd9"})]
)
def test_half_a_file_of_full_length_is_no_frame(form: str, options: dict[str, Any]) -> None:
    """A pre-allocated file whose tail is still zero is refused if the format can show it, and tried again.

    The end mark of a thumbnail does not count as the image's.
    """
    data = encode(RANDOM.integers(0, 256, (100, 100), dtype=np.uint8), form, **options)
    error = refusal(data[: len(data) // 2].ljust(len(data), b"\0"))
    assert (error.reason, error.retry) == ("truncated", True)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 2}])
def test_a_jpeg_scan_that_ends_early_is_no_frame(options: dict[str, Any]) -> None:
    """A JPEG that lost part of its scan is refused, with or without an end mark; libjpeg would add grey."""
    data = encode(RANDOM.integers(0, 256, (100, 100), dtype=np.uint8), "JPEG", **options)
    error = refusal(data[: len(data) // 2] + b"\xff\xd9")
    assert (error.reason, error.retry) == ("truncated", True)
    hole = refusal(data[: len(data) // 2] + data[len(data) // 2 + 300 :])
    assert (hole.reason, hole.retry) in (("truncated", True), ("corrupt", True))


def test_a_png_that_fails_its_checksum_is_no_frame() -> None:
    """Pixels that inflate to enough rows, but fail their checksum, are refused."""
    good = encode(np.tile(np.arange(100, dtype=np.uint8), (100, 1)), "PNG")
    start, end = good.index(b"IDAT"), good.index(b"IEND") - 8
    inflated = bytearray(zlib.decompress(good[start + 4 : end]))
    inflated[50] ^= 1
    packed = b"IDAT" + zlib.compress(bytes(inflated) + bytes(200))  # more rows than are needed
    wrong = len(packed[4:]).to_bytes(4, "big") + packed + good[end : end + 4]
    error = refusal(good[: start - 4] + wrong + good[end + 4 :])
    assert (error.reason, error.retry) == ("corrupt", True)


def test_a_tiff_with_too_few_rows_is_no_frame() -> None:
    """A TIFF whose strips hold fewer rows than its header says is refused; Pillow would leave them black."""
    good = encode(RANDOM.integers(0, 256, (100, 100), dtype=np.uint8), "TIFF")
    at = good.index(b"\x01\x01\x04\x00\x01\x00\x00\x00")  # ImageLength, one LONG
    error = refusal(good[: at + 8] + (5000).to_bytes(4, "little") + good[at + 12 :])
    assert (error.reason, error.retry) == ("truncated", True)


def test_half_a_bitmap_of_full_length_is_flawed() -> None:
    """A BMP cannot show that its tail was never written; its black rows can, so people look at it."""
    data = encode(SMOOTH, "BMP")
    half = decoder.decode(data[: len(data) // 2].ljust(len(data), b"\0"))
    assert flaws.find_flaw(half) == "unfinished"


def test_a_frame_of_400_megapixels_is_refused_from_its_header() -> None:
    """20,000×20,000 pixels cost nothing, since the size is read before anything is decoded."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    )
    assert refusal(bomb).reason == "too_large"


def test_the_pixel_limit_binds_to_the_pixel() -> None:
    """A frame at the limit is taken; a frame with one more row is refused."""
    assert decoder.decode(encode(FRAME), max_pixels=30 * 40).shape == (30, 40)
    assert refusal(encode(FRAME), max_pixels=30 * 40 - 1).reason == "too_large"


def test_a_text_chunk_that_unpacks_to_gigabytes_is_refused() -> None:
    """A decompression bomb in the metadata is refused like one in the pixels."""
    chunk = png_chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(100_000_000)))
    assert refusal(with_chunk(encode(FRAME), chunk)).reason == "corrupt"


def test_a_thread_of_pixels_is_refused() -> None:
    """All allowed pixels in one column or row are refused, since resizing them would take gigabytes."""
    for size in ((8, 70_000), (70_000, 8)):
        error = refusal(encode(Image.new("L", size), "PNG"))
        assert (error.reason, error.retry) == ("too_large", False)
    assert decoder.decode(encode(Image.new("L", (8, 65_535)), "PNG")).shape == (65_535, 8)


def test_a_jpeg_of_a_thousand_scans_is_refused_before_it_is_decoded() -> None:
    """Each scan of a progressive JPEG costs as much as an image: 38 kB would take seconds, 200 MB days."""
    good = encode(SMOOTH, "JPEG", progressive=True)
    last = good.rindex(b"\xff\xda")
    scan = good[good.rindex(b"\xff\xc4", 0, last) : -2]
    assert decoder.decode(good[:-2] + scan * 50 + b"\xff\xd9").shape == SMOOTH.shape
    error = refusal(good[:-2] + scan * 1000 + b"\xff\xd9")
    assert (error.reason, error.retry) == ("too_large", False)


def test_a_png_of_endless_chunks_is_refused() -> None:
    """A PNG with more than a hundred thousand chunks is refused, since each of its chunks takes time."""
    chunk = bytes(4) + b"teXt" + zlib.crc32(b"teXt").to_bytes(4, "big")
    error = refusal(with_chunk(encode(FRAME), chunk * 100_000))
    assert (error.reason, error.retry) == ("too_large", False)


def test_several_pictures_in_one_file_are_refused() -> None:
    """A file with two pages is refused, since a verdict on the first would pass the second unseen."""
    pages = encode(Image.fromarray(FRAME), "TIFF", save_all=True, append_images=[Image.fromarray(FRAME)])
    assert refusal(pages).reason == "multi_frame"


def test_sixteen_bit_colour_of_twelve_bits_is_refused() -> None:
    """16-bit colour with 12 significant bits is refused, since the decoder would keep four of them."""
    header = struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + bytes(16 * 6) for _ in range(16))
    png = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows))
    png += png_chunk(b"IEND", b"")
    assert refusal(png, bit_depth=12).reason == "unsupported"
    assert decoder.decode(png, bit_depth=16).shape == (16, 16)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.sampled_from(
        [
            encode(FRAME),
            encode(FRAME, "JPEG"),
            encode(SMOOTH, "JPEG", progressive=True),
            encode(FRAME, "BMP"),
            encode(Image.fromarray(FRAME).quantize(8), "BMP"),
            encode(FRAME, "TIFF"),
            encode(FRAME.astype(np.uint16), "TIFF", big_tiff=True),
            encode(Image.fromarray(FRAME).convert("RGB"), "TIFF"),
            encode(Image.fromarray(FRAME).quantize(8), "PNG", transparency=b"\0\1"),
        ]
    ),
    changes=st.lists(
        st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8), st.integers(0, 30)),
        min_size=1,
        max_size=6,
    ),
    header=st.booleans(),
)
def test_nothing_but_image_error_escapes_from_mutated_files(
    data: bytes, changes: list[tuple[float, bytes, int]], header: bool
) -> None:
    """A file with any changes gives a frame or an ImageError."""
    mutant = bytearray(data)
    for place, content, cut in changes:
        at = int(place * min(len(mutant), 120 if header else 10**9))
        mutant[at : at + cut] = content
    try:
        pixels = decoder.decode(bytes(mutant), max_pixels=1_000_000)
    except ImageError as error:
        assert "\n" not in str(error)
    else:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 2
        assert flaws.find_flaw(pixels) in (None, "blank", "saturated", "unfinished")


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0"])
)
def test_nothing_but_image_error_escapes_from_random_bytes(data: bytes, head: bytes) -> None:
    """Noise after a valid signature is refused like any other noise."""
    assert refusal(head + data).reason


def test_odd_metadata_costs_no_warning() -> None:
    """Pillow's warnings about metadata neither reach the log nor refuse a good frame."""
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x0f\x01"
    with warnings.catch_warnings(record=True) as seen:
        assert decoder.decode(encode(SMOOTH, "JPEG", exif=exif)).shape == SMOOTH.shape
    assert not seen
