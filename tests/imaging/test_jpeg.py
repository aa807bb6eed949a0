"""Sound JPEGs of other processes are named, padded ones are flawed, and copies are no second picture."""

from __future__ import annotations

import io
import struct
from typing import Any

import imagecodecs
import numpy as np
import pytest
from jpeg_samples import gain_map, with_copies, with_segment
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


OPTIONS: list[dict[str, Any]] = [
    *({}, {"progressive": True}, {"restart_marker_rows": 1}, {"optimize": True}, {"keep_rgb": True}),
    *({"subsampling": 0}, {"subsampling": 2}, {"subsampling": 2, "progressive": True}, {"quality": 40}),
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("value", [0x00, 0x55, 0x7F, 0xAA, 0xFE])
def test_bytes_before_the_end_mark_make_a_frame_flawed(value: int, options: dict[str, Any]) -> None:
    """A JPEG with a few bytes before its end mark, even one, has all its pixels, and people look at it."""
    frame = np.dstack([FRAME, FRAME // 2, 255 - FRAME]) if "quality" not in options else FRAME
    data = encode(frame, **options)
    for count in (1, 2, 3, 4, 7, 8, 9, 10, 64):
        picture = decoder.decode_picture(data[:-2] + bytes([value]) * count + data[-2:])
        assert picture.flaw == "padded", count
        assert np.array_equal(picture.pixels, decoder.decode(data))


def test_a_sound_jpeg_is_never_called_padded() -> None:
    """Frames of many sizes, qualities and kinds, each of which ends at another bit, have no flaw."""
    chance = np.random.default_rng(5)
    for number in range(400):
        height, width = chance.integers(8, 70, 2)
        noise = chance.integers(0, 256, (height, width)) if number % 2 else np.zeros((height, width))
        grey = ((np.add.outer(np.arange(height), np.arange(width)) + noise) % 256).astype(np.uint8)
        options = {"quality": int(chance.integers(30, 100)), **OPTIONS[number % 8]}
        data = encode(grey if number % 3 else np.dstack([grey] * 3), **options)
        assert decoder.decode_picture(data).flaw is None


@pytest.mark.parametrize("tail", [b"\xff", b"\xff\xff", b"\xff\0", b"\xff\xd0", b"\xff\0\xff\xff"])
def test_what_encoders_may_leave_before_the_end_mark_is_no_padding(tail: bytes) -> None:
    """Fill bytes, a byte of ones and a last restart mark are no flaw: the standard or encoders have them."""
    data = encode()
    assert decoder.decode_picture(data[:-2] + tail + data[-2:]).flaw is None


@pytest.mark.parametrize("frame", [FRAME, np.dstack([FRAME, FRAME // 2, 255 - FRAME])])
@pytest.mark.parametrize("options", [{}, {"keep_rgb": True}])
def test_a_progressive_jpeg_needs_all_of_its_scans(frame: Any, options: dict[str, Any]) -> None:
    """An end mark between two scans leaves a blurred picture, of which libjpeg says nothing."""
    data = encode(frame, progressive=True, **options)
    marks = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    assert len(marks) > 3
    for mark in marks[1:]:
        error = refusal(data[:mark] + b"\xff\xd9")
        assert (error.reason, error.retry) == ("truncated", True)


def in_three_scans(*planes: Any, sampling: Any = (0x11,) * 3) -> list[bytes]:
    """The head and the three scans of a colour JPEG that stores its components one after another."""
    parts = [encode(plane) for plane in planes]
    frame, scan = parts[0].index(b"\xff\xc0"), parts[0].index(b"\xff\xda")
    components = b"".join(bytes([number, factors, 0]) for number, factors in enumerate(sampling, 1))
    head = parts[0][:frame] + b"\xff\xc0\0\x11\x08" + struct.pack(">HH", *FRAME.shape) + b"\3" + components
    head += parts[0][frame + 13 : scan]
    scans = [b"\xff\xda\0\x08\1" + bytes([n, 0]) + b"\0\x3f\0" for n in (1, 2, 3)]
    bodies = [part[part.index(b"\xff\xda") + 10 : -2] for part in parts]
    return [head] + [mark + body for mark, body in zip(scans, bodies, strict=True)]


def test_an_unusual_sampling_is_unsupported_at_once() -> None:
    """Colours sampled in a way that libjpeg's binding does not read are no damage."""
    quarter = np.ascontiguousarray(FRAME[::2, ::4])
    data = b"".join([*in_three_scans(FRAME, quarter, quarter, sampling=(0x42, 0x11, 0x11)), b"\xff\xd9"])
    error = refusal(data)
    assert (error.reason, error.retry) == ("unsupported", False)


def test_each_component_needs_its_scan() -> None:
    """Colours stored one after another are read; without the last of them the file is not whole."""
    head, *scans = in_three_scans(FRAME, FRAME // 2 + 60, 255 - FRAME)
    whole = b"".join([head, *scans, b"\xff\xd9"])
    assert decoder.decode_picture(whole).flaw is None
    assert np.abs(decoder.decode(whole).astype(int) - FRAME).max() <= 8
    for count in (0, 1, 2):
        assert refusal(b"".join([head, *scans[:count], b"\xff\xd9"])).reason == "truncated"


@pytest.mark.parametrize("odd", ["Adobe transform", "scan"])
def test_a_warning_of_odd_metadata_hides_no_missing_pixels(odd: str) -> None:
    """Libjpeg reports only its first warning: a warning about the header does not prove a sound scan."""
    data = bytearray(encode(np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)))
    if odd == "Adobe transform":
        data = bytearray(with_segment(bytes(data), 0xEE, b"Adobe\0\x64\0\0\0\0\7"))
    else:
        data[data.index(b"\xff\xda") + 12] = 0  # the last coefficient: 0 instead of 63
    assert decoder.decode_picture(bytes(data)).flaw is None
    assert decoder.decode_picture(bytes(data[:-2]) + bytes(3) + b"\xff\xd9").flaw == "padded"
    assert refusal(bytes(data[: len(data) // 2]) + b"\xff\xd9").reason == "truncated"
    hole = bytes(data[: len(data) // 2] + data[len(data) // 2 + 300 :])
    assert refusal(hole).reason in ("truncated", "corrupt")


def test_a_height_behind_the_scan_is_unsupported() -> None:
    """A JPEG whose header leaves the height open (DNL) is called by its name."""
    data = bytearray(encode())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 2] = bytes(2)
    error = refusal(bytes(data))
    assert (error.reason, error.retry) == ("unsupported", False)


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


SMALL = encode(FRAME[::2, ::2].copy())
GAIN_MAP = gain_map(encode(255 - FRAME))


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


def test_a_listed_copy_hides_no_picture_behind_it() -> None:
    """A list that gives a thumbnail more bytes than it has does not cover the picture behind."""
    data = with_copies(encode(), (0x10001, SMALL + encode(FRAME[::-1].copy())))
    assert refusal(data).reason == "multi_frame"
