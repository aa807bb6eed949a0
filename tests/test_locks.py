"""Locks refuse a second daemon and a second upkeep command; other accounts' processes stop neither."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from accounts import CAMERA, SERVICE, require_root, shared_folder, start_as
from programs import program
from waiting import HANG_S, wait_for

from inspector import locks
from inspector.errors import FolderError, StationError
from inspector.station.drop_folder import DropFolder
from inspector.station.events import Events


@pytest.fixture
def locked_drop() -> Iterator[tuple[Path, int]]:
    """A drop folder that a process of the camera's account has locked, and that process."""
    require_root()
    with shared_folder() as folder:
        drop = folder / "drop"
        drop.mkdir()
        os.chown(drop, CAMERA, CAMERA)
        with start_as(CAMERA, program("flock"), "--no-fork", str(drop), "sleep", str(HANG_S)) as camera:
            try:
                wait_for(lambda: locks.holder(drop))
                yield drop, camera.pid
            finally:
                camera.kill()


def opened(drop: Path, events: Events) -> DropFolder:
    """Return a drop folder that is open."""
    folder = DropFolder(
        drop, events, subfolders=False, wake=lambda: None, wall_us=lambda: 0, monotonic=lambda: 0.0
    )
    folder.open()
    return folder


def test_a_lock_of_another_account_keeps_no_daemon_from_its_folder(locked_drop: tuple[Path, int]) -> None:
    """The daemon opens the folder, and an event names the process."""
    drop, process = locked_drop
    events = Events()
    folder = opened(drop, events)
    folder.close()
    [(kind, detail)] = list(events)
    assert kind == "foreign_lock"
    assert f"process {process} of another account" in detail
    assert folder.troubles == {"foreign_lock": detail}


def test_only_the_owner_can_open_the_lock_files(tmp_path: Path) -> None:
    """A lock file that root's command made belongs to the folder's owner, and only the owner may open it."""
    require_root()
    os.chown(tmp_path, SERVICE, SERVICE)
    for lock in (locks.daemon_lock, locks.upkeep_lock):
        with lock(tmp_path):
            pass
    for name in (locks.DAEMON_LOCK, locks.UPKEEP_LOCK):
        about = (tmp_path / name).stat()
        assert (about.st_uid, about.st_gid, stat.S_IMODE(about.st_mode)) == (SERVICE, SERVICE, 0o600)


def test_a_second_daemon_of_the_same_folders_is_refused_with_the_first_ones_number(tmp_path: Path) -> None:
    """The second one gets an error of the settings; when the first one has ended, the folders are free."""
    with locks.daemon_lock(tmp_path):
        assert locks.holder(tmp_path / locks.DAEMON_LOCK) == os.getpid()
        second = rf"another daemon \(process {os.getpid()}\)"
        with pytest.raises(FolderError, match=second), locks.daemon_lock(tmp_path):
            pass
        another = pytest.raises(StationError, match="another prune or requeue")
        with locks.upkeep_lock(tmp_path), another, locks.upkeep_lock(tmp_path):
            pass
    with locks.daemon_lock(tmp_path):
        pass
    assert locks.holder(tmp_path / locks.DAEMON_LOCK) is None


def test_a_link_in_the_place_of_a_lock_file_is_refused(tmp_path: Path) -> None:
    """A lock file is never opened through a link, so no other file is locked or made."""
    (tmp_path / locks.DAEMON_LOCK).symlink_to(tmp_path / "made")
    with pytest.raises(FolderError), locks.daemon_lock(tmp_path):
        pass
    assert not (tmp_path / "made").exists()
