"""Sound files of unusual kinds, each with what has to become of it and the grey values that it holds."""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import imagecodecs
import numpy as np
import rig  # noqa: F401 - lets the tests' parts be found
import tifffile
from jpeg_samples import gain_map, with_copies, with_segment
from numpy.typing import NDArray
from PIL import Image

GREY: Final[NDArray[np.uint8]] = np.add.outer(np.arange(120), np.arange(100)).astype(np.uint8)
OTHER: Final = np.ascontiguousarray(GREY[::-1])
WORDS: Final = GREY.astype(np.uint16) * 257
COLOUR: Final = np.dstack([GREY] * 3)
SMALL: Final = np.ascontiguousarray(GREY[::4, ::4])


class Unusual(NamedTuple):
    """A sound file.

    Attributes:
        name: its name in the drop folder; it also says what is unusual.
        content: its bytes.
        outcome: ``judged``, ``REVIEW`` for the reason ``padded``, or a reason of the quarantine.
        off: grey levels by which a judged image may differ from ``GREY``.
    """

    name: str
    content: bytes
    outcome: str
    off: int = 1


@functools.cache
def unusual() -> tuple[Unusual, ...]:
    """All of them."""
    return (*_tiffs(), *_jpegs(), *_pngs(), *_bmps(), *_of_two_formats(), *_of_other_formats())


def _tiffs() -> Iterator[Unusual]:
    read: dict[str, tuple[Any, dict[str, Any]]] = {
        "tiled": (GREY, {"tile": (32, 48)}),
        "strips": (GREY, {"rowsperstrip": 7, "compression": "lzw", "predictor": True}),
        "deflated": (WORDS, {"compression": "zlib", "predictor": True, "byteorder": ">"}),
        "packbits": (COLOUR, {"photometric": "rgb", "compression": "packbits"}),
        "planes8": (np.moveaxis(COLOUR, -1, 0), {"photometric": "rgb", "planarconfig": "separate"}),
        "colour16": (np.dstack([WORDS] * 3), {"photometric": "rgb"}),
        "bigtiff": (WORDS, {"bigtiff": True}),
        "packed12": (WORDS >> 4, {"bitspersample": 12}),
        "white": (255 - GREY, {"photometric": "miniswhite"}),
        "alpha": (np.dstack([GREY, OTHER]), {"extrasamples": [2], "planarconfig": "contig"}),
        "cmyk": (np.dstack([GREY * 0] * 3 + [255 - GREY]), {"photometric": "separated"}),
        "palette": (255 - GREY, {"photometric": "palette", "colormap": _inverted_palette()}),
        "words32": (WORDS.astype(np.int32), {}),
    }
    for name, (pixels, options) in read.items():
        yield Unusual(f"{name}.tif", _tiff(pixels, **options), "judged")
    yield Unusual("dim.tif", _tiff(WORDS >> 4, extratags=[(281, 3, 1, 4095, True)]), "judged", 256)
    lossy = {"photometric": "ycbcr", "subsampling": (2, 2)}
    for name, pixels, options in (
        ("jpeg", GREY, {}),
        ("jpegs", np.dstack([GREY, GREY * 0 + 128, GREY * 0 + 128]), lossy),
        ("jpegt", GREY, {"tile": (64, 64)}),
    ):
        content = _tiff(pixels, compression="jpeg", compressionargs={"level": 95}, **options)
        yield Unusual(f"{name}.tif", content, "judged", 8)
    yield Unusual("small_behind.tif", _pages((GREY, {}), (SMALL, {"subfiletype": 1})), "judged")
    yield Unusual("small_before.tif", _pages((SMALL, {"subfiletype": 1}), (GREY, {})), "judged")
    yield Unusual("small_below.tif", _pages((GREY, {"subifds": 1}), (SMALL, {"subfiletype": 1})), "judged")
    yield Unusual("two.tif", _pages((GREY, {}), (OTHER, {})), "multi_frame")
    yield Unusual("unlike.tif", _pages((GREY, {}), (SMALL, {})), "multi_frame")
    yield Unusual("stack.tif", _imagej_stack(), "multi_frame")
    yield from _refused_tiffs()


def _refused_tiffs() -> Iterator[Unusual]:
    share = GREY.astype(np.float32) / 255
    refused: dict[str, tuple[Any, dict[str, Any]]] = {
        "planes16": (np.stack([WORDS] * 3), {"photometric": "rgb", "planarconfig": "separate"}),
        "signed": (GREY.astype(np.int8), {}),
        "signed16": (WORDS.astype(np.int16), {}),
        "packed10": (WORDS >> 6, {"bitspersample": 10}),
        "bigtiff_big_endian": (WORDS, {"bigtiff": True, "byteorder": ">"}),
        "white16": (65_535 - WORDS, {"photometric": "miniswhite"}),
        "alpha_multiplied": (np.dstack([GREY, OTHER]), {"extrasamples": [1], "planarconfig": "contig"}),
        "float": (share, {}),
        "float_predictor": (share, {"compression": "zlib", "predictor": 3}),
        "half": (share.astype(np.float16), {}),
        "zstd": (GREY, {"compression": "zstd"}),
        "webp": (COLOUR, {"photometric": "rgb", "compression": "webp"}),
        "lerc": (GREY, {"compression": "lerc"}),
        "jpeg2000": (GREY, {"compression": "jpeg2000"}),
        "lab": (COLOUR, {"photometric": "cielab"}),
        "palette16": (WORDS, {"photometric": "palette", "colormap": np.zeros((3, 65_536), np.uint16)}),
        "turned": (GREY, {"extratags": [(274, 3, 1, 6, True)]}),
    }
    for name, (pixels, options) in refused.items():
        yield Unusual(f"{name}.tif", _tiff(pixels, **options), "unsupported")
    plain = _tiff(GREY, extratags=[(65_000, 3, 1, 2, True)])
    reversed_bits = plain.replace((65_000).to_bytes(2, "little"), (266).to_bytes(2, "little"), 1)
    yield Unusual("bit_order.tif", reversed_bits, "unsupported")


def _jpegs() -> Iterator[Unusual]:
    plain, small = _by_pillow(GREY, "JPEG", quality=95), _by_pillow(SMALL, "JPEG", quality=95)
    other = _by_pillow(OTHER, "JPEG", quality=95)
    progressive = _by_pillow(COLOUR, "JPEG", quality=95, progressive=True)
    read = {
        "progressive": progressive,
        "restarts": _by_pillow(GREY, "JPEG", quality=95, restart_marker_rows=1),
        "subsampled": _by_pillow(COLOUR, "JPEG", quality=95, subsampling=2),
        "rgb": _by_pillow(COLOUR, "JPEG", quality=95, keep_rgb=True),
        "inks": _by_pillow(Image.fromarray(COLOUR).convert("CMYK"), "JPEG", quality=95),
        "filled": plain[:-2] + b"\xff" * 5 + plain[-2:],
        "blocks": plain + bytes(512),
        "exif_copy": with_segment(plain, 0xE1, b"Exif\0\0II*\0\x08\0\0\0\0\0" + small),
        "listed_copy": with_copies(plain, (0x10001, small)),
        "gain_map": with_copies(plain, (0, gain_map(other))),
    }
    for name, content in read.items():
        yield Unusual(f"{name}.jpg", content, "judged", 8)
    for count in (1, 2, 3, 8, 64):
        for value in (0x00, 0x55, 0xAA, 0x7F):
            padded = plain[:-2] + bytes([value]) * count + plain[-2:]
            yield Unusual(f"padded_{count}_{value:02x}.jpg", padded, "REVIEW", 8)
    yield Unusual("overfull.jpg", plain[:-2] + bytes(200) + plain[-2:], "corrupt")
    yield Unusual("no_end.jpg", plain[:-2], "truncated")
    second_scan = progressive.index(b"\xff\xda", progressive.index(b"\xff\xda") + 2)
    yield Unusual("one_scan.jpg", progressive[:second_scan] + b"\xff\xd9", "truncated")
    yield Unusual("two.jpg", plain + bytes(64) + other, "multi_frame")
    yield Unusual("two_listed.jpg", with_copies(plain, (0x20002, other)), "multi_frame")
    frame = plain.index(b"\xff\xc0")
    for name, content in {
        "12bit": imagecodecs.jpeg8_encode(WORDS >> 4, bitspersample=12),
        "lossless": imagecodecs.ljpeg_encode(GREY),
        "jpegls": imagecodecs.jpegls_encode(GREY),
        "arithmetic": plain[:frame] + b"\xff\xc9" + plain[frame + 2 :],
        "inks_unexplained": _without_segment(read["inks"], 0xEE),
    }.items():
        yield Unusual(f"{name}.jpg", content, "unsupported")


def _pngs() -> Iterator[Unusual]:
    read = {
        "words": Image.fromarray(WORDS),
        "palette": Image.fromarray(GREY).convert("P"),
        "transparent": Image.merge("LA", (Image.fromarray(GREY), Image.fromarray(OTHER))),
        "alpha": Image.merge("RGBA", (*Image.fromarray(COLOUR).split(), Image.fromarray(OTHER))),
    }
    for name, image in read.items():
        yield Unusual(f"{name}.png", _by_pillow(image, "PNG"), "judged")
    yield Unusual("dim.png", _by_pillow(Image.fromarray(WORDS >> 4), "PNG"), "judged", 256)
    bits = Image.fromarray(GREY).convert("1")
    yield Unusual("one_bit.png", _by_pillow(bits, "PNG"), "judged", 256)
    yield Unusual("two.png", _by_pillow(GREY, "PNG") + _by_pillow(OTHER, "PNG"), "multi_frame")
    for with_default in (False, True):
        frames = [Image.fromarray(OTHER), Image.fromarray(GREY)]
        options = {"save_all": True, "append_images": frames, "default_image": with_default}
        name = f"animated_{with_default:d}.png"
        yield Unusual(name, _by_pillow(GREY, "PNG", **options), "multi_frame")


def _bmps() -> Iterator[Unusual]:
    grey, colour = Image.fromarray(GREY), Image.fromarray(COLOUR)
    plain = _by_pillow(grey, "BMP")
    yield Unusual("grey.bmp", plain, "judged")
    yield Unusual("colour.bmp", _by_pillow(colour, "BMP"), "judged")
    yield Unusual("palette.bmp", _by_pillow(grey.convert("P"), "BMP"), "judged")
    yield Unusual("one_bit.bmp", _by_pillow(grey.convert("1"), "BMP"), "judged", 256)
    yield Unusual("alpha.bmp", _by_pillow(colour.convert("RGBA"), "BMP"), "judged")
    height = struct.pack("<i", -120)
    rows = b"".join(row.tobytes() for row in GREY)  # 100 bytes each: a multiple of four
    yield Unusual("from_the_top.bmp", plain[:22] + height + plain[26 : -len(rows)] + rows, "judged")
    yield Unusual("runs.bmp", _with_runs(plain), "judged")
    yield Unusual("two.bmp", plain + _by_pillow(OTHER, "BMP"), "multi_frame")
    yield Unusual("again.bmp", plain[:3000] + plain, "multi_frame")
    odd = (0x3FF00000, 0xFFC00, 0x3FF)  # ten bits for each colour
    head = struct.pack("<IiiHHIIiiII3I", 40, 100, 120, 1, 32, 3, 48_000, 0, 0, 0, 0, *odd)
    body = ((GREY[::-1].astype("<u4") << 2) * 0x100401).tobytes()
    yield Unusual(
        "ten_bits.bmp", struct.pack("<2sIII", b"BM", 66 + 48_000, 0, 66) + head + body, "unsupported"
    )


def _of_two_formats() -> Iterator[Unusual]:
    """Each format behind each other one, as an upload that resumes by appending leaves them."""
    forms = {"png": "PNG", "jpg": "JPEG", "bmp": "BMP", "tif": "TIFF"}
    for first, form in forms.items():
        for second in ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP"):
            if second != form:
                content = _by_pillow(GREY, form) + bytes(16) + _by_pillow(OTHER, second)
                yield Unusual(f"and_{second.lower()}.{first}", content, "multi_frame")
    yield Unusual("twice.tif", _by_pillow(GREY, "TIFF") + _by_pillow(OTHER, "TIFF"), "multi_frame")


def _of_other_formats() -> Iterator[Unusual]:
    animated = {"save_all": True, "append_images": [Image.fromarray(OTHER)]}
    for name, content in {
        "still.gif": _by_pillow(GREY, "GIF"),
        "animated.gif": _by_pillow(GREY, "GIF", **animated),
        "still.webp": _by_pillow(COLOUR, "WEBP"),
        "animated.webp": _by_pillow(COLOUR, "WEBP", **animated),
        "still.jp2": imagecodecs.jpeg2k_encode(GREY),
        "still.jxl": imagecodecs.jpegxl_encode(GREY),
        "still.avif": imagecodecs.avif_encode(COLOUR),
        "still.pgm": _by_pillow(GREY, "PPM"),
    }.items():
        yield Unusual(name, content, "format_not_allowed")
    yield Unusual("film.dcm", _dicom(), "unsupported")
    yield Unusual("film_as.png", _dicom(), "unsupported")


# --- how they are made --------------------------------------------------------------------------------------


def _by_pillow(image: Any, form: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(stream, form, **options)
    return stream.getvalue()


def _tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, pixels, **{"photometric": "minisblack", "metadata": None, **options})
    return stream.getvalue()


def _pages(*pages: tuple[NDArray[Any], dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        for pixels, options in pages:
            writer.write(pixels, photometric="minisblack", metadata=None, **options)
    return stream.getvalue()


def _imagej_stack() -> bytes:
    """A stack whose only page names its first picture."""
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.stack([GREY, OTHER]), photometric="minisblack", imagej=True, truncate=True)
    return stream.getvalue()


def _inverted_palette() -> NDArray[np.uint16]:
    return np.stack([np.arange(255, -1, -1) * 257] * 3).astype(np.uint16)


def _without_segment(jpeg: bytes, code: int) -> bytes:
    start = jpeg.index(bytes([0xFF, code]))
    return jpeg[:start] + jpeg[start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big") :]


def _with_runs(plain: bytes) -> bytes:
    """Pack the rows of an 8-bit BMP by RLE8, each as one run of literal bytes."""
    (start,) = struct.unpack_from("<I", plain, 10)
    packed = b"".join(b"\0\x64" + row.tobytes() + b"\0\0" for row in GREY[::-1]) + b"\0\1"
    head = bytearray(plain[:start])
    struct.pack_into("<I", head, 2, start + len(packed))
    struct.pack_into("<II", head, 30, 1, len(packed))
    return bytes(head) + packed


def _dicom() -> bytes:
    """One uncompressed frame of 16-bit words, as radiography of welds stores it (DICONDE)."""

    def element(group: int, number: int, kind: bytes, value: bytes) -> bytes:
        long = kind in (b"OB", b"OW")
        size = struct.pack("<HI", 0, len(value)) if long else struct.pack("<H", len(value))
        return struct.pack("<HH", group, number) + kind + size + value

    syntax = element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1\0")
    words = {0x02: 1, 0x10: 120, 0x11: 100, 0x100: 16, 0x101: 16, 0x102: 15, 0x103: 0}
    about = b"".join(
        element(0x28, number, b"US", struct.pack("<H", value)) for number, value in words.items()
    )
    pixels = element(0x7FE0, 0x10, b"OW", WORDS.tobytes())
    length = element(2, 0, b"UL", struct.pack("<I", len(syntax)))
    return bytes(128) + b"DICM" + length + syntax + about + pixels
