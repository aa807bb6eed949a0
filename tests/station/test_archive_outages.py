"""Outages of the archive, its replay after a crash, and its folders at the start."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import nullcontext
from pathlib import Path

import pytest
from disks import filled, small_disk
from taken_files import DAY, arrival, dropped, opened, read

from inspector.errors import ArchiveUnavailable, FolderError
from inspector.imaging.source import TakenFile
from inspector.records import Outcome, Place
from inspector.station.archive import Archive, Moved

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
