"""The decoder turns a file into the right grey frame or into one named reason."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from inspector.errors import ImageError
from inspector.imaging import decoder, flaws

RANDOM = np.random.default_rng(0)
FRAME: NDArray[np.uint8] = RANDOM.integers(0, 256, (30, 40), dtype=np.uint8)
# A slow gradient: lossy formats and palettes come close to it.
SMOOTH: NDArray[np.uint8] = np.add.outer(np.arange(64), np.arange(96)).astype(np.uint8)


def encode(pixels: NDArray[Any] | Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """Encode one image file."""
    stream = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(stream, form, **options)
    return stream.getvalue()


def refusal(data: bytes, **limits: Any) -> ImageError:
    """Return the error that decoding ends in."""
    with pytest.raises(ImageError) as caught:
        decoder.decode(data, **limits)
    assert "\n" not in str(caught.value)
    return caught.value


def png_chunk(name: bytes, content: bytes) -> bytes:
    """One PNG chunk with its checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def tiff(bits: int, photometric: int, pixels: bytes) -> bytes:
    """A grey TIFF of FRAME's size whose one strip holds ``pixels``; Pillow does not write these kinds."""
    height, width = FRAME.shape
    fields = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 278: height, 279: len(pixels)}
    fields[273] = 8 + 2 + 12 * (len(fields) + 1) + 4  # where the strip begins: right behind the directory
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, fields[tag]) for tag in sorted(fields))
    return b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + bytes(4) + pixels


def with_chunk(png: bytes, chunk: bytes) -> bytes:
    """Put a chunk right after the PNG's header chunk."""
    return png[:33] + chunk + png[33:]


# --- what is decoded --------------------------------------------------------------------------------


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


# --- what is refused --------------------------------------------------------------------------------


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
