"""JPEGs with segments and copies that Pillow does not write."""

from __future__ import annotations

import struct


def with_segment(data: bytes, code: int, content: bytes) -> bytes:
    """Put a segment behind the start mark."""
    return data[:2] + struct.pack(">BBH", 0xFF, code, len(content) + 2) + content + data[2:]


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


def gain_map(data: bytes) -> bytes:
    """Let a JPEG say that it is the gain map of another one."""
    return with_segment(data, 0xE1, b'http://ns.adobe.com/xap/1.0/\0<x hdrgm:Version="1.0"/>')
