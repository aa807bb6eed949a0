"""The archive moves files whole to their recorded paths, and overwrites nothing."""

from __future__ import annotations

import ctypes
import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path, PurePath
from typing import Any

import pytest
from accounts import CAMERA, require_root
from disks import filled, small_disk
from hypothesis import example, given
from hypothesis import strategies as st

from inspector import folders
from inspector.errors import ArchiveUnavailable, FolderError, ImageError
from inspector.file_names import to_text
from inspector.imaging.source import TakenFile, read_source, unread_source
from inspector.records import Arrival, FileStamp, Outcome, Place, RecordedFile, SourceFile
from inspector.station import renames
from inspector.station.archive import Archive, Moved

DAY = "2026-01-05"
SHA = "0123456789abcdef" * 4
STAMP = FileStamp(device=1, inode=0xABCDEF, size=3, mtime_ns=0, ctime_ns=0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with an empty drop folder in it."""
    (tmp_path / "drop").mkdir()
    return tmp_path


@pytest.fixture
def archive(root: Path) -> Archive:
    """The archive and the quarantine beside the drop folder."""
    return Archive(root / "drop", root / "archive", root / "quarantine")


def arrival(path: Path) -> Arrival:
    """An arrival at the path."""
    return Arrival(path, to_text(PurePath(path.name)), 0, 0.0)


def stand_in(name: str, source: SourceFile | None = None) -> TakenFile:
    """A file of which only the name and the hash matter."""
    return TakenFile(arrival(Path("/drop") / name), source or SourceFile(STAMP, SHA), None)


def read(path: Path) -> SourceFile:
    """The file as the daemon reads it."""
    with read_source(path) as opened:
        return opened.source


def dropped(root: Path, name: str = "weld.png", content: bytes = b"pixels") -> TakenFile:
    """A file in the drop folder that was read and closed."""
    path = root / "drop" / name
    path.write_bytes(content)
    return TakenFile(arrival(path), read(path), None)


def unopened(path: Path) -> TakenFile:
    """A file that cannot be read, as the daemon takes it."""
    return TakenFile(arrival(path), unread_source(path), None)


@contextmanager
def opened(weld: TakenFile) -> Iterator[TakenFile]:
    """The file with an open descriptor, as the daemon keeps it until the move."""
    with read_source(weld.path) as file:
        yield TakenFile(weld.arrival, file.source, file)


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


def grow(path: Path) -> None:
    """Add a byte to the file."""
    with path.open("ab") as writer:
        writer.write(b"!")


def overwrite_in_secret(path: Path) -> None:
    """Write other bytes under the old size and mtime."""
    before = path.stat()
    path.write_bytes(b"PIXELS")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path) -> None:
    """Put a new file under the old name."""
    new = path.with_name(".new")
    new.write_bytes(b"PIXELS")
    new.replace(path)


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


# --- outages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["drop", "archive"])
def test_a_folder_that_is_gone_is_an_outage_and_is_not_created(
    root: Path, archive: Archive, name: str
) -> None:
    """An unmounted folder is an outage: the file stays where it was, and no folder is made."""
    weld = dropped(root)
    with opened(weld) as taken:
        (root / name).rename(root / "unmounted")
        for act in (
            lambda: archive.deliver(taken, Place.ARCHIVE, f"{DAY}/weld.png"),
            archive.require_moves,
        ):
            with pytest.raises(ArchiveUnavailable, match=f"{name}.*No such file or directory"):
                act()
        assert not (root / name).exists()
        (root / "unmounted").rename(root / name)
        assert archive.deliver(taken, Place.ARCHIVE, f"{DAY}/weld.png") is Moved.MOVED


def test_a_file_is_flushed_before_its_row(
    root: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is flushed, and the folder once; a file without a name or content does no harm."""
    flushed: list[tuple[int, int]] = []

    def fsync(descriptor: int) -> None:
        about = os.fstat(descriptor)
        flushed.append((about.st_dev, about.st_ino))

    monkeypatch.setattr(os, "fsync", fsync)
    places = [root / "drop" / name for name in ("a.png", "b.png")]
    for path in places:
        path.write_bytes(path.name.encode())
    expected = {(about.st_dev, about.st_ino) for about in map(os.stat, [*places, root / "drop"])}
    welds = [TakenFile(arrival(path), read(path), None) for path in places]
    with opened(welds[0]) as a, opened(welds[1]) as b:
        places[1].unlink()
        archive.flush([a, b, TakenFile(arrival(root / "drop" / "fifo.png"), a.source, None)])
    assert len(flushed) == 3
    assert set(flushed) == expected


@pytest.mark.parametrize(
    ("code", "is_outage"), [(errno.ENOSPC, True), (errno.EIO, True), (errno.ESTALE, False)]
)
def test_a_disk_that_takes_no_content_is_an_outage(
    root: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch, code: int, is_outage: bool
) -> None:
    """A failing disk is an outage; a file server that has forgotten one file is not."""

    def fsync(_: int) -> None:
        raise OSError(code, os.strerror(code))

    weld = dropped(root)
    monkeypatch.setattr(os, "fsync", fsync)
    expected = pytest.raises(ArchiveUnavailable, match="cannot be flushed") if is_outage else nullcontext()
    with opened(weld) as taken, expected:
        archive.flush([taken])


def test_a_drop_folder_that_is_gone_cannot_be_flushed(root: Path, archive: Archive) -> None:
    """A lost drop folder is an outage."""
    weld = dropped(root)
    with opened(weld) as taken:
        (root / "drop").rename(root / "unmounted")
        with pytest.raises(ArchiveUnavailable):
            archive.flush([taken])


def test_one_file_that_cannot_move_is_no_outage(root: Path, archive: Archive) -> None:
    """If other files move, the refusal of one file is no outage."""
    weld = dropped(root)
    (root / "archive" / DAY).write_bytes(b"a file where the day's folder should be")
    with opened(weld) as taken:
        assert archive.deliver(taken, Place.ARCHIVE, f"{DAY}/w.png") is Moved.FAILED


def test_a_full_disk_refuses_moves_and_not_the_start(tmp_path: Path) -> None:
    """A full disk is an outage with its reason; at a start it is no mistake in the settings."""
    with small_disk(tmp_path / "disk") as disk:
        (disk / "drop").mkdir()
        archive = Archive(disk / "drop", disk / "archive", disk / "quarantine")
        weld = dropped(disk)
        with filled(disk):
            with opened(weld) as taken, pytest.raises(ArchiveUnavailable, match="No space left"):
                archive.deliver(taken, Place.ARCHIVE, f"{DAY}/weld.png")
            again = Archive(disk / "drop", disk / "archive", disk / "quarantine")
        with opened(weld) as taken:
            assert again.deliver(taken, Place.ARCHIVE, f"{DAY}/w.png") is Moved.MOVED


# --- replay -----------------------------------------------------------------------------------------


def test_the_recorded_path_without_a_file_is_found(root: Path, archive: Archive) -> None:
    """After a crash between commit and move, the first recorded path without a file is found."""
    (root / "archive" / "there.png").touch()
    recorded = [
        (Outcome.QUARANTINED, "other-root.png"),
        (Outcome.INSPECTED, "there.png"),
        (Outcome.DUPLICATE, "missing.png"),
    ]
    assert archive.unfilled_path(Place.ARCHIVE, recorded) == "missing.png"
    assert archive.unfilled_path(Place.QUARANTINE, recorded) == "other-root.png"
    assert archive.unfilled_path(Place.ARCHIVE, recorded[1:2]) is None


def test_a_path_that_was_emptied_on_purpose_is_not_filled_again(archive: Archive) -> None:
    """A path that was pruned or requeued is no trace of a crash."""
    recorded = [
        (Outcome.INSPECTED, "a.png"),
        (Outcome.PRUNED, "a.png"),
        (Outcome.QUARANTINED, "b.png"),
        (Outcome.REQUEUED, "b.png"),
    ]
    assert archive.unfilled_path(Place.ARCHIVE, recorded) is None
    assert archive.unfilled_path(Place.QUARANTINE, recorded) is None


# --- the folders ------------------------------------------------------------------------------------


def test_missing_targets_are_created_and_the_trial_leaves_no_trace(root: Path, archive: Archive) -> None:
    """Archive and quarantine are created empty, and the drop folder stays as it was."""
    assert isinstance(archive, Archive)
    assert {path.name for path in root.rglob("*")} == {"drop", "archive", "quarantine"}


def test_a_missing_drop_folder_is_not_created(tmp_path: Path) -> None:
    """A wrong path does not become an empty folder that no camera writes to."""
    with pytest.raises(FolderError, match=r"drop_folder .*create it, or correct the setting"):
        Archive(tmp_path / "drop", tmp_path / "archive", tmp_path / "quarantine")
    assert not (tmp_path / "drop").exists()


def test_a_folder_that_cannot_be_made_is_named(root: Path) -> None:
    """The message names the wrong setting and the reason."""
    (root / "file").touch()
    with pytest.raises(FolderError, match=r"quarantine_folder .*file/quarantine: cannot be created"):
        Archive(root / "drop", root / "archive", root / "file" / "quarantine")


def test_another_file_system_is_refused_with_how_to_fix_it(root: Path) -> None:
    """Files move by rename, so an archive on another file system is refused, by a real rename."""
    shared = Path("/dev/shm")  # noqa: S108 - another device
    if not shared.is_dir() or shared.stat().st_dev == root.stat().st_dev or not os.access(shared, os.W_OK):
        pytest.skip("needs /dev/shm on a device of its own")
    with tempfile.TemporaryDirectory(dir=shared) as elsewhere:
        with pytest.raises(FolderError, match="same file system and mount as drop_folder"):
            Archive(root / "drop", Path(elsewhere), root / "quarantine")
        assert not list(Path(elsewhere).iterdir())
    assert not list((root / "drop").iterdir())


def test_a_drop_folder_that_takes_no_file_is_refused(root: Path) -> None:
    """A move needs write permission at both ends; sysfs gives it to no user."""
    with pytest.raises(FolderError, match=r"archive_folder .*give this user write permission to both"):
        Archive(Path("/sys"), root / "archive", root / "quarantine")
