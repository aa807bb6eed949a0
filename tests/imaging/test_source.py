"""A source file is read once, and later changes of it are noticed."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from inspector.errors import ImageError
from inspector.imaging.source import read_source, unread_source

WELD = bytes(range(256)) * 5  # the content of a file; it is not decoded here


def test_hash_and_pixels_come_from_the_same_bytes(tmp_path: Path) -> None:
    """The stamp, the hash and the data describe one reading of one file."""
    path = tmp_path / "weld.png"
    path.write_bytes(WELD)
    with read_source(path) as opened:
        assert opened.data == path.read_bytes()
        assert opened.source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (opened.source.stamp.inode, opened.source.stamp.size) == (path.stat().st_ino, len(opened.data))
        assert opened.stamp_now(path) == opened.source.stamp


def overwrite(path: Path) -> None:
    """Write other bytes into the same file."""
    path.write_bytes(bytes(path.stat().st_size))


def overwrite_with_old_mtime(path: Path) -> None:
    """Write other bytes, and restore the mtime."""
    before = path.stat()
    overwrite(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path) -> None:
    """Put another file with the same bytes in its place."""
    twin = path.with_name("twin")
    twin.write_bytes(path.read_bytes())
    twin.replace(path)


@pytest.mark.parametrize("change", [overwrite, overwrite_with_old_mtime, replace, Path.unlink])
def test_a_change_after_reading_is_noticed(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """The same size, mtime or bytes do not hide another file or a write."""
    path = tmp_path / "weld.png"
    path.write_bytes(WELD)
    with read_source(path) as opened:
        change(path)
        assert opened.stamp_now(path) is None


@pytest.mark.parametrize("change", [overwrite, replace, Path.unlink])
def test_bytes_that_were_read_outlive_their_file(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """The bytes that were read stay available when the file is overwritten, replaced or removed."""
    path = tmp_path / "weld.png"
    path.write_bytes(WELD)
    with read_source(path) as opened:
        change(path)
        assert opened.content() == WELD


def test_bytes_that_were_not_kept_are_read_again_from_the_open_file(tmp_path: Path) -> None:
    """A file that lost its name is read again; bytes that were overwritten are None."""
    path = tmp_path / "weld.png"
    path.write_bytes(WELD)
    with read_source(path) as opened:
        opened.data = b""
        path.unlink()
        assert opened.content() == WELD
    path.write_bytes(WELD)
    with read_source(path) as opened:
        opened.data = b""
        overwrite(path)
        assert opened.content() is None


def test_an_empty_file_has_its_content(tmp_path: Path) -> None:
    """An empty file has empty content, and is not read a second time."""
    path = tmp_path / "weld.png"
    path.touch()
    with read_source(path) as opened:
        path.write_bytes(b"late")
        assert opened.content() == b""


@pytest.mark.parametrize("touch", [lambda p: p.chmod(0o600), lambda p: os.utime(p, (1e9, 1e9))])
def test_a_change_of_mode_or_time_is_no_other_file(tmp_path: Path, touch: Callable[[Path], None]) -> None:
    """With the same bytes in the same file, only the stamp is new."""
    path = tmp_path / "weld.png"
    path.write_bytes(WELD)
    with read_source(path) as opened:
        touch(path)
        assert opened.stamp_now(path) == unread_source(path).stamp != opened.source.stamp


def make_fifo(path: Path) -> None:
    """Make a FIFO without a writer."""
    os.mkfifo(path)


def make_link(path: Path) -> None:
    """Make a link to a file."""
    target = path.with_name("target")
    target.write_bytes(WELD)
    path.symlink_to(target)


def make_socket(path: Path) -> None:
    """Make a Unix socket."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize("make", [Path.mkdir, make_fifo, make_link, make_socket])
def test_a_path_that_is_not_a_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A directory, FIFO, link or socket called x.png is refused at once, and has a stamp to record."""
    path = tmp_path / "x.png"
    make(path)
    with pytest.raises(ImageError) as caught:
        read_source(path)
    assert (caught.value.reason, caught.value.retry) == ("not_a_file", False)
    found = unread_source(path)
    assert (found.stamp.inode, found.sha256) == (path.lstat().st_ino, None)


def test_a_device_is_not_even_opened() -> None:
    """A device is refused without being opened, since that may have an effect, such as rewinding a tape."""
    with pytest.raises(ImageError, match="it is a device") as caught:
        read_source(Path("/dev/zero"))
    assert (caught.value.reason, caught.value.retry) == ("not_a_file", False)


def test_a_file_over_the_byte_limit_is_not_read(tmp_path: Path) -> None:
    """A sparse terabyte is refused by its size."""
    path = tmp_path / "huge.bmp"
    with path.open("wb") as stream:
        stream.truncate(10**12)
    with pytest.raises(ImageError) as caught:
        read_source(path, max_bytes=1_000_000)
    assert (caught.value.reason, caught.value.retry) == ("too_large", False)


def test_a_file_that_was_taken_away_is_vanished(tmp_path: Path) -> None:
    """A missing file is neither an image nor a bad image."""
    for reading in (read_source, unread_source):
        with pytest.raises(ImageError) as caught:
            reading(tmp_path / "gone.png")
        assert caught.value.reason == "vanished"


def test_a_growing_file_is_tried_again() -> None:
    """A file with more bytes than its status said is still being written."""
    with pytest.raises(ImageError) as caught:
        # Files of /proc have size 0 and yield bytes, like a file that grows while it is read.
        read_source(Path("/proc/self/status"))
    assert (caught.value.reason, caught.value.retry) == ("changing", True)


def test_a_name_of_any_bytes_is_read(tmp_path: Path) -> None:
    """Spaces, newlines, bytes that are not UTF-8 and 255-byte names are read like any other name."""
    for raw in (b"a b\n.png", b"weld_\xe4\xff.jpg", b"n" * 251 + b".png"):
        path = tmp_path / os.fsdecode(raw)
        path.write_bytes(WELD)
        with read_source(path) as opened:
            assert opened.data == WELD


def test_refused_files_leave_no_descriptor_open(tmp_path: Path) -> None:
    """Many bad files in a row do not use up the descriptors."""
    path = tmp_path / "huge.bmp"
    path.write_bytes(bytes(100))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counted, not walked
    for _ in range(20):
        with pytest.raises(ImageError):
            read_source(path, max_bytes=10)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
