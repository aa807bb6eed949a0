"""Files and folders that a camera's account changes between reading and move: no bytes are mixed up."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from accounts import CAMERA, require_root
from taken_files import DAY, arrival, dropped, grow, opened, overwrite_in_secret, read, replace, unopened

from inspector.errors import ArchiveUnavailable, ImageError
from inspector.imaging.source import TakenFile, read_source, unread_source
from inspector.records import Arrival, Place, RecordedFile
from inspector.station import renames
from inspector.station.archive import Archive, Moved

# --- a camera's account that puts a link in the place of its folder ---------------------------------


def swap(folder: Path, aim: Path) -> None:
    """Put a link in the folder's place, as its owner may."""
    folder.rename(folder.with_name("was"))
    folder.symlink_to(aim)


@pytest.fixture
def foreign(root: Path) -> Path:
    """A file of the station's own, of the name of a file that the camera delivers in its sub-folder."""
    (root / "drop" / "cam1").mkdir()
    (root / "drop" / "cam1" / "weld.png").write_bytes(b"pixels")
    (root / "own").mkdir()
    path = root / "own" / "weld.png"
    path.write_bytes(b"own file")
    return path


def in_subfolder(root: Path) -> Arrival:
    """The file that the camera delivers."""
    return Arrival(root / "drop" / "cam1" / "weld.png", "cam1/weld.png", 0, 0.0)


def test_a_swapped_folder_leads_no_reading_elsewhere(root: Path, foreign: Path) -> None:
    """A file is gone, and not another one, if a link has taken the place of its folder."""
    arrived = in_subfolder(root)
    swap(root / "drop" / "cam1", foreign.parent)
    for reading in (read_source, unread_source):
        with pytest.raises(ImageError, match="taken away"):
            reading(arrived.path, root=arrived.drop_folder)


@pytest.mark.parametrize("is_opened", [True, False])
def test_a_swapped_folder_leads_no_move_elsewhere(
    root: Path, archive: Archive, foreign: Path, is_opened: bool
) -> None:
    """The file that the link leads to stays, even if it is the very inode that was taken."""
    arrived, is_same = in_subfolder(root), not is_opened
    if is_same:
        arrived.path.unlink()
        arrived.path.hardlink_to(foreign)
    with read_source(arrived.path, root=arrived.drop_folder) as file:
        swap(root / "drop" / "cam1", foreign.parent)
        taken = TakenFile(arrived, file.source, file if is_opened else None)
        moved = archive.deliver(taken, Place.ARCHIVE, "weld.png")
    assert foreign.read_bytes() == b"own file"
    assert moved is (Moved.RESCUED if is_opened else Moved.GONE)
    if is_opened:
        assert (root / "archive" / "weld.png").read_bytes() == b"pixels"


def test_a_folder_that_is_swapped_within_the_move_leads_it_nowhere(
    root: Path, archive: Archive, foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the last look and the rename, the descriptor of the folder decides."""
    arrived, rename = in_subfolder(root), renames.out_of

    def rename_in_a_race(folder_fd: int, name: str, target: Path) -> None:
        swap(root / "drop" / "cam1", foreign.parent)
        rename(folder_fd, name, target)

    monkeypatch.setattr(renames, "out_of", rename_in_a_race)
    with read_source(arrived.path, root=arrived.drop_folder) as file:
        assert archive.deliver(TakenFile(arrived, file.source, file), Place.ARCHIVE, "w.png") is Moved.MOVED
    assert (root / "archive" / "w.png").read_bytes() == b"pixels"
    assert foreign.read_bytes() == b"own file"


def test_nothing_goes_back_through_a_link(root: Path, archive: Archive, foreign: Path) -> None:
    """A quarantined file stays if a link has taken the place of the folder that it goes back to."""
    (root / "quarantine" / "new.png").write_bytes(b"set aside")
    swap(root / "drop" / "cam1", foreign.parent)
    assert archive.give_back("new.png", root / "drop" / "cam1" / "new.png") is not None
    assert [path.name for path in foreign.parent.iterdir()] == ["weld.png"]
    assert (root / "quarantine" / "new.png").exists()


def test_the_trial_rename_touches_no_file_in_the_drop_folder(root: Path) -> None:
    """A link that the camera's account puts there in advance leads to no other file."""
    names: list[str] = []
    token_hex = renames.secrets.token_hex
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(renames.secrets, "token_hex", lambda size: names.append(token_hex(size)) or "known")
        (root / "drop" / ".weldnet-known-probe").symlink_to(root / "made")
        refused = renames.try_rename(root, root / "drop")
    assert isinstance(refused, FileExistsError)
    assert len(names[0]) == 16
    assert not (root / "made").exists()


# --- changes between reading and move ---------------------------------------------------------------


@pytest.mark.parametrize("change", [grow, replace, overwrite_in_secret, Path.unlink])
@pytest.mark.parametrize("place", Place)
def test_a_judged_file_is_not_lost_to_the_next_one_of_its_name(
    root: Path, archive: Archive, change: Callable[[Path], None], place: Place
) -> None:
    """The judged bytes get to their recorded path, and later bytes of the camera stay in the drop folder."""
    path = root / "drop" / "weld.png"
    path.write_bytes(b"pixels")
    relative = f"{DAY}/PASS/weld.png"
    with read_source(path) as file:
        change(path)
        left = path.read_bytes() if path.exists() else None
        moved = archive.deliver(TakenFile(arrival(path), file.source, file), place, relative)
    assert moved is Moved.RESCUED
    target = root / place
    assert (target / relative).read_bytes() == b"pixels"
    assert (target / relative).stat().st_mtime_ns == file.source.stamp.mtime_ns
    assert (path.read_bytes() if path.exists() else None) == left
    assert [p.name for p in target.rglob("*") if p.is_file()] == ["weld.png"]


@pytest.mark.parametrize("touch", [lambda p: p.chmod(0o600), lambda p: os.utime(p, (1e9, 1e9))])
def test_a_touched_file_moves_all_the_same(
    root: Path, archive: Archive, touch: Callable[[Path], None]
) -> None:
    """A file with another mode or mtime is moved, and not copied."""
    weld = dropped(root)
    with opened(weld) as taken:
        touch(weld.path)
        assert archive.deliver(taken, Place.ARCHIVE, "weld.png") is Moved.MOVED
    assert (root / "archive" / "weld.png").stat().st_ino == weld.source.stamp.inode
    assert not list((root / "drop").iterdir())


def test_a_rescue_overwrites_nothing(root: Path, archive: Archive) -> None:
    """A file at the recorded path stays, also when bytes are rescued."""
    weld = dropped(root)
    (root / "archive" / "weld.png").write_bytes(b"another")
    with opened(weld) as taken:
        replace(weld.path)
        assert archive.deliver(taken, Place.ARCHIVE, "weld.png") is Moved.TAKEN
    assert (root / "archive" / "weld.png").read_bytes() == b"another"


def test_a_rescued_copy_and_its_name_are_flushed(
    root: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut the camera's file is another one, so nothing could make the copy again."""
    flushed: list[tuple[Path, bool]] = []
    target = root / "archive" / DAY / "weld.png"

    def fsync(descriptor: int) -> None:
        flushed.append((Path(f"/proc/self/fd/{descriptor}").readlink(), target.exists()))

    weld = dropped(root)
    with opened(weld) as taken:
        replace(weld.path)
        monkeypatch.setattr(os, "fsync", fsync)
        assert archive.deliver(taken, Place.ARCHIVE, f"{DAY}/weld.png") is Moved.RESCUED
    assert flushed == [(root / "archive" / ".rescue", False), (target.parent, True)]


def test_a_file_that_was_never_opened_can_only_be_moved(root: Path, archive: Archive) -> None:
    """A FIFO that was taken away has no bytes to rescue."""
    path = root / "drop" / "x.png"
    os.mkfifo(path)
    taken = unopened(path)
    path.unlink()
    assert archive.deliver(taken, Place.QUARANTINE, "x.png") is Moved.GONE


# --- files of another account -----------------------------------------------------------------------


@pytest.fixture
def foreign_weld(root: Path) -> Iterator[TakenFile]:
    """A file of another account in the drop folder, as the daemon has it open."""
    require_root()
    weld = dropped(root)
    os.chown(weld.path, CAMERA, CAMERA)
    with opened(TakenFile(weld.arrival, read(weld.path), None)) as taken:
        yield taken


def recorded(weld: TakenFile) -> RecordedFile:
    """What the ledger says of the path that a file is about to get."""
    return RecordedFile(weld.arrival.source_name, weld.source.sha256, weld.source.stamp.inode)


@pytest.mark.parametrize("place", Place)
def test_what_another_account_keeps_open_is_no_part_of_the_archive(
    root: Path, archive: Archive, foreign_weld: TakenFile, place: Place
) -> None:
    """A writer with an open handle or another name of its file cannot change the judged image."""
    path = f"{DAY}/PASS/weld.png"
    os.link(foreign_weld.path, root / "drop" / ".kept")
    with foreign_weld.path.open("r+b") as handle:
        archive.prepare([(foreign_weld, place, path)])
        assert archive.deliver(foreign_weld, place, path) is Moved.MOVED
        handle.write(b"forged")
    (root / "drop" / ".kept").write_bytes(b"forged, too")
    target = root / place / path
    assert target.read_bytes() == b"pixels"
    assert target.stat().st_uid == os.geteuid()
    assert target.stat().st_mtime_ns == foreign_weld.source.stamp.mtime_ns
    assert not foreign_weld.path.exists()
    assert archive.copies_left() == []


@pytest.mark.parametrize("change", [grow, replace, overwrite_in_secret, Path.unlink])
def test_a_file_that_its_camera_changes_after_the_commit_is_in_the_archive(
    root: Path, archive: Archive, foreign_weld: TakenFile, change: Callable[[Path], None]
) -> None:
    """The copy fills the recorded path, and other bytes of the camera stay in the drop folder."""
    archive.prepare([(foreign_weld, Place.ARCHIVE, "weld.png")])
    change(foreign_weld.path)
    left = foreign_weld.path.read_bytes() if foreign_weld.path.exists() else None
    assert archive.deliver(foreign_weld, Place.ARCHIVE, "weld.png") is Moved.RESCUED
    assert (root / "archive" / "weld.png").read_bytes() == b"pixels"
    assert (foreign_weld.path.read_bytes() if foreign_weld.path.exists() else None) == left
    assert archive.copies_left() == []


def test_a_move_that_a_crash_interrupted_is_finished_in_spite_of_the_camera(
    root: Path, archive: Archive, foreign_weld: TakenFile
) -> None:
    """While the recorded file is in the drop folder its replay moves it; when it is gone, the copy does."""
    archive.prepare([(foreign_weld, Place.ARCHIVE, "weld.png")])
    again = Archive(root / "drop", root / "archive", root / "quarantine")
    assert again.copies_left() == [(Place.ARCHIVE, "weld.png")]
    assert again.finish(Place.ARCHIVE, "weld.png", recorded(foreign_weld)) is Moved.FAILED
    foreign_weld.path.unlink()
    assert again.finish(Place.ARCHIVE, "weld.png", recorded(foreign_weld)) is Moved.MOVED
    assert (root / "archive" / "weld.png").read_bytes() == b"pixels"
    assert again.copies_left() == []


def test_a_crash_within_a_move_leaves_neither_the_cameras_file_nor_a_wrong_one(
    root: Path, archive: Archive, foreign_weld: TakenFile
) -> None:
    """The copy takes the place of the moved file; another file that got there goes back first."""
    target, path = root / "archive" / "weld.png", foreign_weld.path
    archive.prepare([(foreign_weld, Place.ARCHIVE, "weld.png")])
    path.rename(target)
    assert archive.finish(Place.ARCHIVE, "weld.png", recorded(foreign_weld)) is Moved.MOVED
    assert target.stat().st_uid == os.geteuid()
    archive.prepare([(foreign_weld, Place.ARCHIVE, "other.png")])
    path.write_bytes(b"the next weld")
    path.rename(root / "archive" / "other.png")
    assert archive.finish(Place.ARCHIVE, "other.png", recorded(foreign_weld)) is Moved.MOVED
    assert (root / "archive" / "other.png").read_bytes() == b"pixels"
    assert path.read_bytes() == b"the next weld"


def test_a_copy_without_a_row_or_its_bytes_is_removed(
    root: Path, archive: Archive, foreign_weld: TakenFile
) -> None:
    """A crash before the commit, or a power cut, leaves a copy that is of no use."""
    archive.prepare([(foreign_weld, Place.ARCHIVE, "weld.png")])
    assert archive.finish(Place.ARCHIVE, "weld.png", None) is Moved.MOVED
    assert archive.copies_left() == []
    torn = root / "archive" / ".own" / "weld.png"
    torn.parent.mkdir(exist_ok=True)
    torn.write_bytes(b"pix")
    foreign_weld.path.unlink()
    assert archive.finish(Place.ARCHIVE, "weld.png", recorded(foreign_weld)) is Moved.MOVED
    assert not torn.exists()
    assert not (root / "archive" / "weld.png").exists()


def test_a_disk_that_takes_no_copy_is_an_outage(
    root: Path, archive: Archive, foreign_weld: TakenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without room for a copy nothing is recorded, and no part of a copy stays."""

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(ArchiveUnavailable, match="takes no copy"):
        archive.prepare([(foreign_weld, Place.ARCHIVE, "weld.png")])
    assert archive.copies_left() == []


def test_a_thing_without_bytes_that_was_taken_away_before_its_move_is_gone(
    root: Path, archive: Archive
) -> None:
    """While a link waits, its move can be tried again; when it is gone, nothing can ever be at its path."""
    path = root / "drop" / "x.png"
    path.symlink_to("nowhere")
    link = unopened(path)
    assert archive.finish(Place.QUARANTINE, "x.png", recorded(link)) is Moved.FAILED
    path.unlink()
    assert archive.finish(Place.QUARANTINE, "x.png", recorded(link)) is Moved.GONE
    (root / "quarantine" / "x.png").symlink_to("nowhere")
    assert archive.finish(Place.QUARANTINE, "x.png", recorded(link)) is Moved.MOVED
