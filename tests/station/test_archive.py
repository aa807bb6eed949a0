"""The archive moves files whole to their recorded paths, and overwrites nothing."""

from __future__ import annotations

import ctypes
import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from taken_files import DAY, SHA, STAMP, dropped, grow, overwrite_in_secret, replace, stand_in, unopened

from inspector import folders
from inspector.imaging.source import TakenFile
from inspector.records import Arrival, Place, SourceFile
from inspector.station import renames
from inspector.station.archive import Archive, Moved

# --- paths ------------------------------------------------------------------------------------------


def test_paths_hold_day_verdict_name_and_hash(archive: Archive) -> None:
    """A path has the day, the verdict or reason, the stem, the first 8 of the hash, and the suffix."""
    for place in Place:
        path = archive.free_path(stand_in("weld 1.0.png"), place, f"{DAY}/PASS")
        assert path == f"{DAY}/PASS/weld 1.0.01234567.png"


def test_files_without_bytes_differ_by_inode(archive: Archive) -> None:
    """A FIFO or directory has no hash; its path has the inode's number instead."""
    fifo = stand_in("x.png", SourceFile(STAMP, None))
    path = archive.free_path(fifo, Place.QUARANTINE, f"{DAY}/not_a_file")
    assert path == f"{DAY}/not_a_file/x.00abcdef.png"


def test_a_subfolder_is_part_of_the_path(archive: Archive) -> None:
    """Files of the same name from two cameras have different paths."""
    source = SourceFile(STAMP, SHA)
    for folder in ("cam1", "cam2"):
        weld = Arrival(Path("drop", folder, "weld.png"), f"{folder}/weld.png", 0, 0.0)
        path = archive.free_path(TakenFile(weld, source, None), Place.ARCHIVE, f"{DAY}/PASS")
        assert path == f"{DAY}/PASS/{folder}/weld.01234567.png"
    long = Arrival(Path("drop"), f"{'%C3' * 85}/weld.png", 0, 0.0)  # 255 bytes, as the database has them
    path = archive.free_path(TakenFile(long, source, None), Place.ARCHIVE, f"{DAY}/PASS")
    assert all(len(part.encode()) <= 255 for part in path.split("/"))


def test_a_taken_or_promised_path_gets_a_counter(root: Path, archive: Archive) -> None:
    """Two files never get the same path, whether or not the first one has moved."""
    taken = root / "archive" / DAY / "PASS" / "weld.01234567.png"
    taken.parent.mkdir(parents=True)
    taken.touch()
    paths = [archive.free_path(stand_in("weld.png"), Place.ARCHIVE, f"{DAY}/PASS") for _ in range(2)]
    assert paths == [f"{DAY}/PASS/weld.01234567-1.png", f"{DAY}/PASS/weld.01234567-2.png"]


@given(
    st.binary(min_size=1, max_size=255).filter(
        lambda raw: not set(raw) & {0, ord("/")} and raw not in (b".", b"..")
    )
)
@example(b"n" * 251 + b".png")
@example(b"\xff" * 251 + b".png")
@example(("ü" * 127).encode())
@example(b"a." + b"x" * 250)
def test_any_name_gives_a_path_that_a_file_can_have(raw: bytes) -> None:
    """Names of 255 bytes, of any bytes, or with endless suffixes give a valid path in the right folder."""
    with tempfile.TemporaryDirectory() as folder:
        (root := Path(folder), (root / "drop").mkdir())
        archive = Archive(root / "drop", root / "archive", root / "quarantine")
        weld = dropped(root, os.fsdecode(raw))
        path = archive.free_path(weld, Place.ARCHIVE, f"{DAY}/REVIEW")
        assert path.encode()  # valid UTF-8, for the database
        assert PurePath(path).parent == PurePath(DAY, "REVIEW")
        assert archive.deliver(weld, Place.ARCHIVE, path) is Moved.MOVED
        assert (root / "archive" / path).read_bytes() == b"pixels"


# --- moves ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", Place)
def test_a_file_moves_unchanged(root: Path, archive: Archive, place: Place) -> None:
    """Bytes, inode and mtime stay; the file is at its recorded path, and no longer in the drop folder."""
    weld = dropped(root)
    assert archive.deliver(weld, place, f"{DAY}/X/weld.png") is Moved.MOVED
    target = root / place / DAY / "X" / "weld.png"
    status = target.stat()
    assert target.read_bytes() == b"pixels"
    assert (status.st_ino, status.st_mtime_ns) == (weld.source.stamp.inode, weld.source.stamp.mtime_ns)
    assert not list((root / "drop").iterdir())


def test_nothing_is_overwritten(root: Path, archive: Archive) -> None:
    """A file at the recorded path stays, and the new file stays in the drop folder as a new arrival."""
    weld = dropped(root)
    target = root / "archive" / "weld.png"
    target.write_bytes(b"another")
    assert archive.deliver(weld, Place.ARCHIVE, "weld.png") is Moved.TAKEN
    assert (target.read_bytes(), weld.path.read_bytes()) == (b"another", b"pixels")


def test_a_replay_ends_in_the_same_state(root: Path, archive: Archive) -> None:
    """A second move of the same file succeeds; a file that was taken away is reported as gone."""
    weld = dropped(root)
    for _ in range(2):
        assert archive.deliver(weld, Place.ARCHIVE, "weld.png") is Moved.MOVED
    (root / "archive" / "weld.png").unlink()
    assert archive.deliver(weld, Place.ARCHIVE, "weld.png") is Moved.GONE


@pytest.mark.parametrize("change", [grow, replace, overwrite_in_secret])
def test_a_file_that_changed_since_it_was_read_stays(
    root: Path, archive: Archive, change: Callable[[Path], None]
) -> None:
    """Bytes that were not judged do not get the verdict of others."""
    weld = dropped(root)
    change(weld.path)
    content = weld.path.read_bytes()
    assert archive.deliver(weld, Place.ARCHIVE, "weld.png") is Moved.CHANGED
    assert weld.path.read_bytes() == content
    assert not list((root / "archive").iterdir())


@pytest.mark.parametrize("change", [grow, replace])
@pytest.mark.parametrize("name_taken_again", [False, True])
def test_a_file_that_changed_at_the_last_moment_goes_back(
    root: Path,
    archive: Archive,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    name_taken_again: bool,
) -> None:
    """A change just before the rename is noticed after it; the file goes back, and overwrites nothing."""
    weld = dropped(root)
    rename = renames.out_of

    def rename_in_a_race(folder_fd: int, name: str, target: Path) -> None:
        monkeypatch.setattr(renames, "out_of", rename)
        change(weld.path)
        rename(folder_fd, name, target)
        if name_taken_again:
            weld.path.write_bytes(b"third")

    monkeypatch.setattr(renames, "out_of", rename_in_a_race)
    assert archive.deliver(weld, Place.ARCHIVE, "weld.png") is Moved.CHANGED
    changed = b"pixels!" if change is grow else b"PIXELS"
    contents = {path.read_bytes() for path in (root / "drop").iterdir()}
    assert contents == ({changed, b"third"} if name_taken_again else {changed})
    assert not list((root / "archive").iterdir())


@pytest.mark.parametrize(
    "make",
    [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")],
    ids=["directory", "fifo", "link"],
)
def test_an_entry_that_is_not_a_file_moves_too(
    root: Path, archive: Archive, make: Callable[[Path], None]
) -> None:
    """A directory, FIFO or link called x.png leaves the drop folder unchanged."""
    path = root / "drop" / "x.png"
    make(path)
    taken = unopened(path)
    relative = archive.free_path(taken, Place.QUARANTINE, f"{DAY}/not_a_file")
    assert archive.deliver(taken, Place.QUARANTINE, relative) is Moved.MOVED
    assert (root / "quarantine" / relative).lstat().st_ino == taken.source.stamp.inode


def test_a_directory_that_is_being_filled_moves(root: Path, archive: Archive) -> None:
    """A directory is known by its inode alone, since the files in it are not judged."""
    path = root / "drop" / "x.png"
    path.mkdir()
    taken = unopened(path)
    (path / "inside").write_bytes(b"data")
    assert archive.deliver(taken, Place.QUARANTINE, "x.png") is Moved.MOVED
    assert (root / "quarantine" / "x.png" / "inside").read_bytes() == b"data"


def test_a_refusing_file_system_leaves_the_file_where_it_is(
    root: Path, archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    """A move that fails is logged in one line, and nothing is lost."""
    weld = dropped(root)
    (root / "archive" / DAY).write_bytes(b"a file where the day's folder should be")
    assert archive.deliver(weld, Place.ARCHIVE, f"{DAY}/weld.png") is Moved.FAILED
    assert weld.path.read_bytes() == b"pixels"
    assert len(caplog.records) == 1


class OldKernel:
    """The C library on a kernel or file system without renameat2."""

    @staticmethod
    def renameat2(*_: object) -> int:
        """Refuse, as such a kernel does."""
        ctypes.set_errno(errno.EINVAL)
        return -1


def test_without_renameat2_moves_do_not_overwrite_either(
    root: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the flag (NFS and others) a check before the rename gives the same results."""
    monkeypatch.setattr(renames, "_libc", OldKernel)
    weld = dropped(root)
    assert archive.deliver(weld, Place.ARCHIVE, "weld.png") is Moved.MOVED
    weld = dropped(root, content=b"second")
    assert archive.deliver(weld, Place.ARCHIVE, "weld.png") is Moved.TAKEN
    assert (root / "archive" / "weld.png").read_bytes() == b"pixels"
    assert weld.path.read_bytes() == b"second"


@pytest.mark.parametrize("has_links", [True, False], ids=["links", "no links"])
def test_without_renameat2_nothing_that_a_camera_has_just_written_is_overwritten(
    root: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    """A file that appears at the last moment under the name of one that goes back keeps its bytes."""
    monkeypatch.setattr(renames, "_libc", OldKernel)
    link, waits = os.link, root / "drop" / "x.png"

    def late_link(*words: Any, **more: Any) -> None:
        if not waits.exists():
            waits.write_bytes(b"camera")
        if not has_links:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        link(*words, **more)

    monkeypatch.setattr(os, "link", late_link)
    (root / "quarantine" / "x.png").write_bytes(b"set aside")
    assert "File exists" in str(archive.give_back("x.png", waits))
    assert (waits.read_bytes(), (root / "quarantine" / "x.png").read_bytes()) == (b"camera", b"set aside")
    assert archive.give_back("x.png", root / "drop" / "y.png") is None
    assert (root / "drop" / "y.png").read_bytes() == b"set aside"
    assert not list((root / "quarantine").iterdir())
    (root / "archive" / "wrong.png").write_bytes(b"new")
    with folders.parent(waits, root / "drop") as folder_fd:
        renames.put_back(root / "archive" / "wrong.png", folder_fd, "x.png")
    assert (waits.read_bytes(), (root / "drop" / "x-1.png").read_bytes()) == (b"camera", b"new")
