"""Sound JPEGs of other processes are named, padded ones are flawed, and copies are no second picture."""

from __future__ import annotations

import io
import struct
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from inspector.errors import ImageError
from inspector.imaging import decoder

FRAME = np.add.outer(np.arange(64), np.arange(96)).astype(np.uint8)


def encode(image: Any = FRAME, **options: Any) -> bytes:
    """A JPEG by Pillow."""
    stream = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(stream, "JPEG", **{"quality": 95, **options})
    return stream.getvalue()


def refusal(data: bytes) -> ImageError:
    """The error that decoding ends in."""
    with pytest.raises(ImageError) as caught:
        decoder.decode(data)
    return caught.value


def with_segment(data: bytes, code: int, content: bytes) -> bytes:
    """Put a segment behind the start mark."""
    return data[:2] + struct.pack(">BBH", 0xFF, code, len(content) + 2) + content + data[2:]


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (imagecodecs.jpeg8_encode(FRAME.astype(np.uint16) << 4, bitspersample=12), "12-bit JPEG"),
        (imagecodecs.ljpeg_encode(FRAME), "lossless JPEG"),
        (imagecodecs.jpegls_encode(FRAME), "JPEG-LS"),
    ],
    ids=["12 bits", "lossless", "JPEG-LS"],
)
def test_a_sound_jpeg_of_another_process_is_unsupported_at_once(data: bytes, name: str) -> None:
    """A sound file that the decoder cannot read is not called corrupt, and its process is named."""
    error = refusal(data)
    assert (error.reason, error.retry) == ("unsupported", False)
    assert name in str(error)


# --- padding before the end mark --------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("padding", [b"\0", b"\x55", b"\x55\xaa", bytes(13), b"\xff", b"\xff\xff", bytes(60)])
def test_bytes_before_the_end_mark_make_a_frame_flawed(padding: bytes, options: dict[str, Any]) -> None:
    """A JPEG with a few bytes before its end mark has all its pixels, and people look at it."""
    data = encode(**options)
    picture = decoder.decode_picture(data[:-2] + padding + data[-2:])
    assert np.array_equal(picture.pixels, decoder.decode(data))
    # libjpeg does not see a byte that it had read ahead, and 0xff before a mark is a fill byte.
    assert picture.flaw in ("padded", None)
    assert picture.flaw == "padded" or len(padding) < 4


def test_a_jpeg_without_its_end_mark_is_truncated() -> None:
    """A JPEG without its end mark is truncated, with any bytes at its end: the last pixels may be missing."""
    data = encode()
    for cut in (data[:-2], data[:-2] + b"\0", data[:-1], data[:-2] + bytes(64)):
        error = refusal(cut)
        assert (error.reason, error.retry) == ("truncated", True)


def test_a_jpeg_with_many_bytes_left_over_is_corrupt() -> None:
    """A scan that leaves much behind was damaged: its pixels are not whole."""
    data = encode()
    assert refusal(data[:-2] + bytes(range(1, 200)) + data[-2:]).reason == "corrupt"


# --- colour -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"keep_rgb": True}, {"subsampling": 0}, {"subsampling": 2}])
def test_colour_is_read_as_luma_however_it_is_stored(options: dict[str, Any]) -> None:
    """RGB without a transform, and YCbCr of each subsampling, give the same grey."""
    colour = np.dstack([FRAME, FRAME // 2, 255 - FRAME])
    pixels = decoder.decode(encode(colour, **options)).astype(int)
    expected = (colour @ np.array([0.299, 0.587, 0.114])).round()
    assert np.abs(pixels - expected).max() <= 8


def test_cmyk_is_read_if_adobe_says_how_it_is_stored() -> None:
    """CMYK with Adobe's segment is decoded; without the segment its meaning is unknown, so it is refused."""
    image = Image.fromarray(FRAME).convert("RGB").convert("CMYK")
    data = encode(image)
    assert np.abs(decoder.decode(data).astype(int) - FRAME).max() <= 8
    at = data.index(b"\xff\xee")
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    error = refusal(data[:at] + data[at + 2 + length :])
    assert (error.reason, error.retry) == ("unsupported", False)


def test_half_a_scan_of_cmyk_is_no_frame() -> None:
    """CMYK that ends in the middle of its scan is refused like any other; Pillow fills it with grey."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 4), dtype=np.uint8)
    data = encode(Image.fromarray(noise, "CMYK"))
    error = refusal(data[: len(data) // 2] + b"\xff\xd9")
    assert (error.reason, error.retry) == ("truncated", True)


# --- copies behind the picture ----------------------------------------------------------------------


def with_copies(data: bytes, *copies: tuple[int, bytes], order: str = "<") -> bytes:
    """Put copies behind a JPEG, and the MPF segment that lists them with their types."""
    head = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8)
    tags = struct.pack(order + "HHHI4s", 2, 0xB000, 7, 4, b"0100")
    tags += struct.pack(order + "HHIII", 0xB002, 7, 16 * (1 + len(copies)), 8 + 2 + 24 + 4, 0)
    size = len(head) + len(tags) + 16 * (1 + len(copies))
    length = len(data) + 4 + 4 + size  # with the segment's mark, length and name
    rows, start = struct.pack(order + "IIIHH", 0x30000, length, 0, 0, 0), length
    for kind, copy in copies:
        rows += struct.pack(order + "IIIHH", kind, len(copy), start - 10, 0, 0)
        start += len(copy)
    listed = with_segment(data, 0xE2, b"MPF\0" + head + tags + rows)
    assert len(listed) == length
    return listed + b"".join(copy for _, copy in copies)


SMALL = encode(FRAME[::2, ::2].copy())
GAIN_MAP = with_segment(encode(255 - FRAME), 0xE1, b'http://ns.adobe.com/xap/1.0/\0<x hdrgm:Version="1.0"/>')


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    "copies",
    [[(0x10001, SMALL)], [(0x10001, SMALL), (0x10002, SMALL)], [(0, SMALL)], [(0, GAIN_MAP)]],
    ids=["a thumbnail", "two thumbnails", "a smaller copy", "a gain map"],
)
def test_copies_that_the_file_lists_are_no_second_picture(copies: list[Any], order: str) -> None:
    """A JPEG with thumbnails or a gain map behind it is judged by its main picture."""
    assert np.array_equal(
        decoder.decode(with_copies(encode(), *copies, order=order)), decoder.decode(encode())
    )


@pytest.mark.parametrize("kind", [0, 0x10001, 0x20001, 0x20002, 0x20003])
def test_another_view_of_full_size_is_a_second_picture(kind: int) -> None:
    """Panoramas, stereo pairs and other pictures as large as the first are refused, with any MPF type."""
    data = with_copies(encode(), (kind, encode(FRAME[::-1].copy())))
    assert refusal(data).reason == "multi_frame"


def test_a_picture_behind_the_listed_copies_is_refused() -> None:
    """A whole second file behind a picture with its thumbnail does not pass as another copy."""
    data = with_copies(encode(), (0x10001, SMALL))
    assert refusal(data + data).reason == "multi_frame"
    assert refusal(data + encode(FRAME[::-1].copy())).reason == "multi_frame"
