"""PNG pixels inflated by ISA-L instead of Pillow's zlib: Pillow must see the same picture."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from inspector.errors import ImageError
from inspector.imaging import decoder, png

RANDOM = np.random.default_rng(0)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(name: bytes, content: bytes) -> bytes:
    """One chunk with its checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of(rows: bytes, *, width: int, height: int, depth: int = 8, colour: int = 0, parts: int = 1) -> bytes:
    """A PNG with the given filtered rows, in as many pixel chunks as wanted."""
    packed = zlib.compress(rows)
    step = -(-len(packed) // parts)
    pixels = b"".join(chunk(b"IDAT", packed[start : start + step]) for start in range(0, len(packed), step))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def pixels_of(content: bytes) -> tuple[str, bytes]:
    """Pixels of a PNG, as Pillow decodes them."""
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        return image.mode, image.tobytes()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(40, 30), (9, 400), (1031, 97)])
def test_every_kind_of_pixel_survives(mode: str, size: tuple[int, int]) -> None:
    """A picture of any colour type is the same picture with stored pixels, palette included."""
    grey = Image.fromarray(RANDOM.integers(0, 256, size, dtype=np.uint8))
    if mode == "I;16":
        image = Image.fromarray(RANDOM.integers(0, 65536, size, dtype=np.uint16))
    else:
        image = grey.convert(mode)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    quick = png.with_stored_pixels(stream.getvalue())
    assert quick is not None
    assert pixels_of(quick) == pixels_of(stream.getvalue())
    png.check_sums(quick)


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(8, 300),
    height=st.integers(8, 300),
    kinds=st.lists(st.integers(0, 4), min_size=1, max_size=9),
    parts=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_filter_in_any_number_of_chunks(
    width: int, height: int, kinds: list[int], parts: int, seed: int
) -> None:
    """Rows of all five filters, in pixel chunks cut anywhere, equal those of Pillow alone."""
    rows = np.random.default_rng(seed).integers(0, 256, (height, width + 1), dtype=np.uint8)
    rows[:, 0] = np.resize(kinds, height)
    content = png_of(rows.tobytes(), width=width, height=height, parts=parts)
    quick = png.with_stored_pixels(content)
    assert quick is not None
    assert pixels_of(quick) == pixels_of(content)


def test_damaged_pixels_are_left_to_pillow() -> None:
    """Pixels that do not inflate are left to Pillow, which reports the fault."""
    whole = bytearray(png_of(bytes(RANDOM.integers(0, 256, 30 * 41, dtype=np.uint8)), width=40, height=30))
    whole[60:70] = bytes(10)
    assert png.with_stored_pixels(bytes(whole)) is None


def test_pixels_that_inflate_to_gigabytes_take_no_more_than_the_header_says() -> None:
    """Rows after the last one are never inflated."""
    bomb = png_of(bytes(100_000_000), width=40, height=30)
    quick = png.with_stored_pixels(bomb)
    assert quick is not None
    assert len(quick) < 2000
    assert pixels_of(quick) == ("L", bytes(40 * 30))


def test_a_large_picture_is_left_to_pillow() -> None:
    """A picture with many bytes per pixel is left to Pillow, which inflates it piece by piece."""
    rows = bytes(1800 * (1 + 2400 * 8))
    assert png.with_stored_pixels(png_of(rows, width=2400, height=1800, depth=16, colour=6)) is None
    few = rows[: 1200 * (1 + 2400 * 8)]
    assert png.with_stored_pixels(png_of(few, width=2400, height=1200, depth=16, colour=6))


# --- every kind of pixel ------------------------------------------------------------------------------


def _rows(samples: NDArray[np.int64], depth: int) -> bytes:
    """Rows of samples[h, w, channels], each behind its filter byte."""
    if depth == 16:
        packed = samples.astype(">u2").view(np.uint8).reshape(len(samples), -1)
    else:
        bits = np.unpackbits(samples.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
        packed = np.packbits(bits.reshape(len(samples), -1), axis=1)
    return b"".join(b"\0" + row.tobytes() for row in packed)


_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


@pytest.mark.parametrize("more", [[], [(b"gAMA", (45_455).to_bytes(4, "big"))], ["tRNS"]])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("colour", "depth"),
    [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (3, 1), (3, 2), (3, 4), (3, 8)]
    + [(colour, depth) for colour in (2, 4, 6) for depth in (8, 16)],
)
def test_every_kind_of_pixel_is_read_by_the_specification(
    colour: int, depth: int, interlaced: bool, more: list[object]
) -> None:
    """Each colour type and depth gives its grey; gamma and transparency change nothing."""
    height, width = 19, 27
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    samples = np.random.default_rng(colour * 16 + depth).integers(0, 1 << depth, (height, width, channels))
    palette = np.random.default_rng(1).integers(0, 256, (1 << depth, 3)) if colour == 3 else None
    pieces = [samples[y::dy, x::dx] for y, x, dy, dx in _PASSES] if interlaced else [samples]
    rows = b"".join(_rows(piece, depth) for piece in pieces if piece.size)
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    chunks: list[tuple[bytes, bytes]] = [(b"IHDR", head)]
    if palette is not None:
        chunks.append((b"PLTE", palette.astype(np.uint8).tobytes()))
    for extra in more:
        if extra != "tRNS":
            chunks.insert(1, extra)
        elif colour == 3:
            chunks.append((b"tRNS", bytes([0, 128])))
        elif colour in (0, 2):
            chunks.append((b"tRNS", samples[0, 0].astype(">u2").tobytes()))
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    data = SIGNATURE + b"".join(chunk(name, content) for name, content in chunks)
    if palette is not None:
        values = palette[samples[..., 0]]
    else:
        values = samples >> 8 if depth == 16 else samples * 255 // ((1 << depth) - 1)
    luma = values[..., :3] @ np.array([0.299, 0.587, 0.114]) if values.shape[2] > 2 else values[..., 0]
    assert np.abs(decoder.decode(data) - luma).max() <= 1


@pytest.mark.parametrize("with_default", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_an_animation_is_several_pictures(count: int, with_default: bool) -> None:
    """A PNG with frames behind its picture is refused, also if its list of frames comes late or is lost."""
    frames = [Image.fromarray(np.full((30, 40), 50 * n, np.uint8)) for n in range(1 + count)]
    stream = io.BytesIO()
    frames[0].save(stream, "PNG", save_all=True, append_images=frames[1:], default_image=with_default)
    whole = stream.getvalue()
    at = whole.index(b"acTL") - 4
    for data in (whole, whole[:at] + whole[at + 20 :]):
        with pytest.raises(ImageError) as caught:
            decoder.decode(data)
        assert (caught.value.reason, caught.value.retry) == ("multi_frame", False)


def refusal_of(content: bytes) -> tuple[str, bool]:
    """The reason of a refusal, and whether it is retried."""
    with pytest.raises(ImageError) as caught:
        decoder.decode(content)
    return caught.value.reason, caught.value.retry


@pytest.mark.parametrize("missing", [1, 41, 41 * 4])
def test_fewer_rows_than_the_header_says_are_no_frame(missing: int) -> None:
    """Pixels that end early, in a stream that is whole and has right checksums, are not filled with black."""
    assert refusal_of(png_of(bytes(30 * 41 - missing), width=40, height=30)) == ("truncated", True)


def test_fewer_rows_are_noticed_however_the_picture_is_stored() -> None:
    """Interlaced pictures, and those too large to be inflated at once, are counted as well."""
    image = Image.fromarray(RANDOM.integers(0, 256, (30, 40), dtype=np.uint8))
    head = struct.pack(">IIBBBBB", 40, 30, 8, 0, 0, 0, 1)
    passes = [np.asarray(image)[y::dy, x::dx] for y, x, dy, dx in _PASSES]
    rows = b"".join(_rows(piece[..., None].astype(np.int64), 8) for piece in passes)
    for count, reason in ((len(rows), None), (len(rows) - 21, "truncated")):
        chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows[:count])), (b"IEND", b""))
        content = SIGNATURE + b"".join(chunk(name, part) for name, part in chunks)
        if reason:
            assert refusal_of(content) == (reason, True)
        else:
            assert np.array_equal(decoder.decode(content), np.asarray(image))
    large = bytes(2400 * (1 + 2400 * 8))
    short = png_of(large[: -(1 + 2400 * 8)], width=2400, height=2400, depth=16, colour=6)
    assert refusal_of(short) == ("truncated", True)


def test_a_header_that_comes_twice_or_late_is_no_frame() -> None:
    """The header is the first chunk and the only one: Pillow would take the size from the last."""
    whole = png_of(bytes(30 * 41), width=40, height=30)
    other = chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 15, 8, 0, 0, 0, 0))
    text = chunk(b"tEXt", b"by\0a camera")
    for content in (whole[:33] + other + whole[33:], whole[:8] + text + whole[8:]):
        assert refusal_of(content) == ("corrupt", True)


def test_other_kinds_of_png_are_named_at_once() -> None:
    """Apple's own form and a frame that is smaller than its picture are unsupported; a whole one is read."""
    whole = png_of(bytes(30 * 41), width=40, height=30)
    assert refusal_of(whole[:8] + chunk(b"CgBI", b"P\0 \6") + whole[8:]) == ("unsupported", False)
    for height, is_read in ((30, True), (15, False)):
        about = chunk(b"acTL", struct.pack(">II", 1, 0))
        about += chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 40, height, 0, 0, 1, 1, 0, 0))
        content = whole[:33] + about + whole[33:]
        if is_read:
            assert decoder.decode(content).shape == (30, 40)
        else:
            assert refusal_of(content) == ("unsupported", False)
