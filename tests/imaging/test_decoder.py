"""The decoder turns a file into the right grey frame."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import FRAME, SMOOTH, encode, refusal, tiff
from PIL import Image

from inspector.errors import ImageError
from inspector.imaging import decoder


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "tiff_deflate"}),
        ("TIFF", {"big_tiff": True}),
    ],
)
def test_lossless_formats_give_the_same_pixels(form: str, options: dict[str, Any]) -> None:
    """A grey frame comes back bit for bit, as a writable array of its own."""
    pixels = decoder.decode(encode(FRAME, form, **options))
    assert np.array_equal(pixels, FRAME)
    assert pixels.dtype == np.uint8
    assert pixels.flags.writeable
    assert pixels.flags.owndata


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": b"Exif\0\0thumb\xff\xd8\xff\xd9"}])
def test_jpeg_is_decoded(options: dict[str, Any]) -> None:
    """Baseline, progressive and thumbnail-carrying JPEGs come close to the original."""
    assert (
        np.abs(decoder.decode(encode(SMOOTH, "JPEG", quality=95, **options)).astype(int) - SMOOTH).max() < 8
    )


@pytest.mark.parametrize(
    ("mode", "form"),
    [
        ("RGB", "PNG"),
        ("RGBA", "PNG"),
        ("LA", "PNG"),
        ("P", "PNG"),
        ("RGB", "BMP"),
        ("RGBA", "BMP"),
        ("RGB", "JPEG"),
        ("CMYK", "JPEG"),
        ("CMYK", "TIFF"),
        ("RGBA", "TIFF"),
        ("YCbCr", "TIFF"),
    ],
)
def test_grey_in_any_colour_mode_is_the_same_grey(mode: str, form: str) -> None:
    """RGB, RGBA, palette and CMYK files of a grey frame give that grey frame."""
    source = Image.fromarray(SMOOTH)
    image = source.convert("RGB").convert(mode) if mode != "P" else source.quantize(256)
    pixels = decoder.decode(encode(image, form))
    assert np.abs(pixels.astype(int) - SMOOTH).max() <= (8 if form == "JPEG" else 2)


def test_colour_becomes_itu_r_601_luma() -> None:
    """Red, green and blue weigh 0.299, 0.587 and 0.114."""
    colours = np.zeros((8, 24, 3), np.uint8)
    colours[:, :8, 0], colours[:, 8:16, 1], colours[:, 16:, 2] = 255, 255, 255
    assert decoder.decode(encode(colours))[0, ::8].tolist() == [76, 150, 29]


def test_alpha_is_dropped_and_the_colour_below_it_shows() -> None:
    """Full transparency changes nothing: a weld is never hidden by an alpha channel."""
    rgba = np.dstack([SMOOTH] * 3 + [np.zeros_like(SMOOTH)])
    assert np.array_equal(decoder.decode(encode(rgba)), SMOOTH)


def test_a_palette_with_transparency_is_expanded_without_a_warning() -> None:
    """Transparency bytes beside a palette are as harmless as an alpha channel."""
    image = Image.fromarray(SMOOTH).quantize(16)
    pixels = decoder.decode(encode(image, transparency=bytes([0, 128, 255])))
    assert np.array_equal(pixels, np.array(image.convert("L")))


def test_one_bit_images_become_black_and_white() -> None:
    """A 1-bit image has 0 and 255 only."""
    assert set(np.unique(decoder.decode(encode(Image.fromarray(FRAME).convert("1"))))) == {0, 255}


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize(("bit_depth", "shift"), [(8, 8), (10, 2), (12, 4), (16, 8)])
def test_sixteen_bit_words_are_scaled_by_the_stated_depth(form: str, bit_depth: int, shift: int) -> None:
    """The value is shifted, not clipped; with no depth stated all 16 bits count."""
    words = (FRAME.astype(np.uint16) << shift) + (1 << shift) - 1
    assert np.array_equal(decoder.decode(encode(words, form), bit_depth=bit_depth), FRAME)


def test_words_above_the_stated_depth_are_white() -> None:
    """A pixel brighter than its depth allows is clipped to 255 and never wraps round."""
    words = np.full((8, 8), 0x1000, np.uint16)  # 13 bits: shifted by four it is 256
    assert (decoder.decode(encode(words), bit_depth=12) == 255).all()


def test_big_endian_words_are_read_in_their_order() -> None:
    """A TIFF written with the other byte order gives the same frame."""
    words = (FRAME.astype(">u2") << 8).astype(">u2")
    image = Image.frombytes("I;16B", (40, 30), words.tobytes())
    assert np.array_equal(decoder.decode(encode(image, "TIFF")), FRAME)


def test_packed_twelve_bits_are_scaled_by_their_own_depth() -> None:
    """A TIFF that packs two pixels into three bytes says its depth itself."""
    words = (FRAME.astype(np.uint16) << 4).astype(">u2")
    bits = np.unpackbits(words.view(np.uint8).reshape(-1, 2), axis=1)[:, 4:]
    assert np.array_equal(decoder.decode(tiff(12, 1, np.packbits(bits).tobytes())), FRAME)


def test_sixteen_bits_with_white_as_zero_are_refused() -> None:
    """Pillow inverts 8-bit frames of that kind, and leaves 16-bit ones as negatives."""
    inverted = tiff(8, 0, (255 - FRAME).tobytes())
    assert np.array_equal(decoder.decode(inverted), FRAME)
    assert refusal(tiff(16, 0, bytes(FRAME.size * 2))).reason == "unsupported"


def test_thirty_two_bit_integers_are_taken_if_they_hold_sixteen() -> None:
    """32-bit files of 16-bit values are decoded; a larger value has no known scale."""
    values = FRAME.astype(np.int32) << 8
    assert np.array_equal(decoder.decode(encode(values, "TIFF")), FRAME)
    assert refusal(encode(values << 8, "TIFF")).reason == "unsupported"


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize(
    ("top", "bit_depth", "unused", "cure"),
    [
        (4095, 8, 4, "data.bit_depth=12"),
        (1023, 8, 6, "data.bit_depth=10"),
        (16_383, 8, 2, "data.bit_depth=14"),
        (255, 8, 8, "8-bit files"),
        (65_535, 8, 0, None),
        (40_000, 16, 0, None),
        (4095, 12, 0, None),
        (1023, 12, 2, "data.bit_depth=10"),
    ],
)
def test_bits_that_no_pixel_uses_are_reported(
    form: str, top: int, bit_depth: int, unused: int, cure: str | None
) -> None:
    """Frames in 16-bit words whose values stay low are named with the depth that suits them."""
    words = np.linspace(0, top, FRAME.size).astype(np.uint16).reshape(FRAME.shape)
    picture = decoder.decode_picture(encode(words, form), bit_depth=bit_depth)
    assert picture.unused_bits == unused
    warning = decoder.unused_bits_warning(picture.unused_bits, bit_depth)
    assert (warning is None) == (cure is None)
    assert cure is None or cure in str(warning)


def test_a_tiff_may_say_which_bits_are_unused() -> None:
    """MaxSampleValue counts even if the pixels alone prove nothing; frames of 8 bits have no such bits."""
    words = FRAME.astype("<u2") << 8
    data = tiff(16, 1, words.tobytes())
    assert decoder.decode_picture(data).unused_bits == 0
    count = int.from_bytes(data[8:10], "little")
    entry = struct.pack("<HHII", 281, 4, 1, 4095)
    moved = data[:8] + (count + 1).to_bytes(2, "little") + data[10 : 10 + 12 * count] + entry + bytes(4)
    at = moved.index(struct.pack("<HHI", 273, 4, 1)) + 8
    moved = moved[:at] + struct.pack("<I", len(moved)) + moved[at + 4 :] + words.tobytes()
    assert decoder.decode_picture(moved).unused_bits == 4
    assert decoder.decode_picture(encode(FRAME)).unused_bits is None
    assert decoder.decode_picture(encode(FRAME, "BMP")).unused_bits is None


def test_eight_bit_files_ignore_the_bit_depth() -> None:
    """A station set to 12 bits still takes an 8-bit frame as it is."""
    assert np.array_equal(decoder.decode(encode(FRAME), bit_depth=12), FRAME)


def test_the_content_decides_the_format(tmp_path: Path) -> None:
    """A PNG called .jpg is a PNG: wrongly named files are inspected rightly."""
    path = tmp_path / "wrong.jpg"
    path.write_bytes(encode(FRAME))
    assert np.array_equal(decoder.read_image(path), FRAME)


def test_padding_after_the_end_mark_is_allowed() -> None:
    """Zeros that a camera's writer left after the image do no harm."""
    for form in ("PNG", "JPEG", "BMP"):
        data = encode(SMOOTH, form)
        assert np.array_equal(decoder.decode(data + bytes(512)), decoder.decode(data))


# --- files of a data set -----------------------------------------------------------------------------


def test_an_unreadable_file_of_a_data_set_is_an_image_error(tmp_path: Path) -> None:
    """The trainer gets the same error type for a missing file as for a bad one, and may follow links."""
    with pytest.raises(ImageError, match="unreadable"):
        decoder.read_image(tmp_path / "gone.png")
    (tmp_path / "target").write_bytes(encode(FRAME))
    (tmp_path / "link.png").symlink_to("target")
    assert np.array_equal(decoder.read_image(tmp_path / "link.png"), FRAME)


def test_decoding_needs_no_torch() -> None:
    """A tool that only decodes starts without loading torch."""
    code = "import sys, inspector.imaging.decoder; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(decoder.__file__).parents[2], check=False)
    assert done.returncode == 0
