"""A file's format is found by its bytes, and a second picture behind the first is not passed over."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inspector.errors import ImageError
from inspector.imaging import decoder

FRAME = np.add.outer(np.arange(64), np.arange(96)).astype(np.uint8)
OTHER = np.ascontiguousarray(FRAME[::-1])
FORMS = ("PNG", "JPEG", "BMP", "TIFF")


def encode(pixels: Any, form: str, **options: Any) -> bytes:
    """Encode one image file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return stream.getvalue()


def refusal(data: bytes) -> ImageError:
    """The error that decoding ends in."""
    with pytest.raises(ImageError) as caught:
        decoder.decode(data)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("second", FORMS)
@pytest.mark.parametrize("first", FORMS)
@pytest.mark.parametrize("between", [b"", bytes(512), b"\xff" * 3, b"\r\n", b"left by a buffer"])
def test_a_second_picture_behind_the_first_is_refused(first: str, second: str, between: bytes) -> None:
    """Two pictures in one file are refused, with or without padding between them."""
    error = refusal(encode(FRAME, first) + between + encode(OTHER, second))
    assert (error.reason, error.retry) == ("multi_frame", False)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "second",
    [
        encode(np.dstack([OTHER] * 3), "WEBP"),
        encode(OTHER, "GIF"),
        b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(300),
        bytes(128) + b"DICM" + bytes(300),
    ],
    ids=["WebP", "GIF", "JPEG 2000", "DICOM"],
)
def test_a_second_picture_of_a_format_that_is_not_read_is_refused_too(form: str, second: bytes) -> None:
    """What follows the first picture is a picture even if the station reads no such format."""
    assert refusal(encode(FRAME, form) + second).reason == "multi_frame"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_picture_that_was_sent_again_from_the_middle_is_never_judged(form: str, share: float) -> None:
    """A part of a picture with the whole picture behind it, as a resumed upload leaves it, is refused."""
    data = encode(FRAME, form)
    assert refusal(data[: int(share * len(data))] + data).reason in ("multi_frame", "truncated", "corrupt")


@pytest.mark.parametrize("form", FORMS)
def test_a_piece_that_was_sent_twice_is_never_passed(form: str) -> None:
    """An upload that resumes too early moves all pixels behind; the file is refused, or people look at it."""
    noise = np.random.default_rng(2).integers(0, 256, FRAME.shape, dtype=np.uint8)
    data = encode(noise, form)
    for resumed_at in (len(data) // 3, len(data) // 2, len(data) - 20):
        for size in (64, 100, 512, 1100):
            twice = data[:resumed_at] + data[resumed_at - size :]
            try:
                assert decoder.decode_picture(twice).flaw == "padded"
            except ImageError as error:
                assert error.reason in ("corrupt", "truncated", "multi_frame")


def test_a_piece_that_was_sent_twice_is_found_above_black_rows() -> None:
    """What is left over at the end looks like padding if the picture ends in black; the piece is found."""
    noise = np.random.default_rng(2).integers(0, 256, FRAME.shape, dtype=np.uint8)
    noise[:40] = 0  # a BMP stores its upper rows last
    data = encode(noise, "BMP")
    assert refusal(data[:2000] + data[1700:]).reason == "corrupt"
    assert np.array_equal(decoder.decode(data + bytes(300)), noise)


def test_a_footer_behind_the_pixels_is_allowed() -> None:
    """What a camera writes behind its picture, and what is in it twice by nature, is no second piece."""
    footer = bytes(range(200)) + b"exposure 1200 us, gain 3 dB"
    black = np.zeros_like(FRAME)
    black[20:40, 30:60] = 200
    for pixels in (FRAME, black, np.random.default_rng(2).integers(0, 256, FRAME.shape, dtype=np.uint8)):
        for form in ("BMP", "TIFF"):
            assert np.array_equal(decoder.decode(encode(pixels, form) + footer), pixels)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("padding", [bytes(1), bytes(4096), b"\xff" * 7, b"\r\n", b" " * 100, b"\0\xff" * 50])
def test_padding_behind_a_picture_is_allowed(form: str, padding: bytes) -> None:
    """What fills up a block behind a picture is no second picture."""
    data = encode(FRAME, form)
    assert np.array_equal(decoder.decode(data + padding), decoder.decode(data))


@pytest.mark.parametrize(
    ("data", "reason", "name"),
    [
        (bytes(128) + b"DICM" + bytes(500), "unsupported", "DICOM"),
        (b"ISO tape" * 16 + b"DICM" + bytes(500), "unsupported", "DICOM"),
        (b"\0\0\0\x1cftypheic" + bytes(500), "format_not_allowed", "HEIF"),
        (b"\0\0\0\x1cftypavif" + bytes(500), "format_not_allowed", "AVIF"),
        (b"RIFF\0\1\0\0AVI LIST" + bytes(500), "format_not_allowed", "AVI video"),
        (b"RIFF\0\1\0\0WEBPVP8 " + bytes(500), "format_not_allowed", "WebP"),
        (b"SIMPLE  =                    T" + bytes(500), "format_not_allowed", "FITS"),
    ],
)
def test_other_formats_are_called_by_their_name_at_once(data: bytes, reason: str, name: str) -> None:
    """A sound file of another format is refused without a retry, and the message says what it is."""
    error = refusal(data)
    assert (error.reason, error.retry) == (reason, False)
    assert name in str(error)
