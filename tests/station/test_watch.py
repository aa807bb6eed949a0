"""One inotify reader serves the drop folder and all of its sub-folders; without it, scans find all files."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from accounts import SERVICE, require_root, shared_folder
from waiting import HANG_S, wait_for
from watchdog.observers import inotify_c

from inspector.station.drop_folder import DropFolder
from inspector.station.events import Events
from inspector.station.watch import Watch, why_not

FOLDERS = 200  # more than the inotify instances of an account, which are 128


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """A drop folder with many sub-folders."""
    for number in range(FOLDERS):
        (tmp_path / "drop" / f"cam{number}").mkdir(parents=True)
    return tmp_path / "drop"


@pytest.fixture
def opened(drop: Path) -> Iterator[DropFolder]:
    """The open folder, scanned once."""
    folder = drop_folder(drop, Events())
    folder.open()
    scan(folder)
    yield folder
    folder.close()


def drop_folder(path: Path, events: Events) -> DropFolder:
    """A folder with sub-folders, not opened yet."""
    return DropFolder(path, events, subfolders=True, wake=lambda: None, wall_us=lambda: 0, monotonic=float)


def scan(folder: DropFolder) -> list[str]:
    """List the names as the intake does."""
    assert folder.is_there()
    return sorted(folder.names())


def kinds(folder: DropFolder) -> list[str]:
    """The kinds of the events so far."""
    return [kind for kind, _ in folder._events]


def wait_for_closes(folder: DropFolder, names: set[str]) -> None:
    """Wait until each of these names was in a hint, or in the scan that follows if some may be missing."""
    seen: set[str] = set()

    def are_there() -> bool:
        hints, missed_some = folder.closes()
        seen.update(close.name for close in hints)
        if missed_some:
            seen.update(scan(folder))
        return seen >= names

    wait_for(are_there)


def closes(folder: DropFolder, count: int) -> list[str]:
    """Wait for hints; return their names."""
    names: list[str] = []

    def are_there() -> bool:
        names.extend(close.name for close in folder.closes()[0])
        return len(names) >= count

    wait_for(are_there)
    return names


def readers() -> list[threading.Thread]:
    """The threads that read inotify."""
    return [thread for thread in threading.enumerate() if isinstance(thread, inotify_c.InotifyFD)]


def descriptors() -> int:
    """The number of this process's open inotify instances."""
    links = (entry.readlink() for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())
    return sum(str(link) == "anon_inode:inotify" for link in links)


@pytest.fixture
def allow_watches(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that sets how many watches the kernel grants from now on; then it answers ENOSPC."""
    real, left = inotify_c.inotify_add_watch, [0]

    def limited(descriptor: int, path: bytes, mask: int) -> int:
        if left[0] == 0:
            ctypes.set_errno(errno.ENOSPC)
            return -1
        left[0] -= 1
        return real(descriptor, path, mask)

    monkeypatch.setattr(inotify_c, "inotify_add_watch", limited)

    def allow(count: int) -> None:
        left[0] = count

    return allow


def test_one_reader_serves_all_folders(drop: Path) -> None:
    """However many sub-folders there are, one thread and one inotify instance report the closes in all."""
    before = descriptors()  # another test's reader that died has left one open
    opened = drop_folder(drop, Events())
    opened.open()
    scan(opened)
    assert len(readers()) == descriptors() - before == 1
    for number in range(FOLDERS):
        (drop / f"cam{number}" / "weld.png").write_bytes(b"data")
    (drop / "weld.png").write_bytes(b"data")
    expected = sorted([*(f"cam{number}/weld.png" for number in range(FOLDERS)), "weld.png"])
    assert sorted(closes(opened, FOLDERS + 1)) == expected == scan(opened)
    assert not kinds(opened)
    opened.close()
    assert not readers()
    assert descriptors() == before


def test_a_removed_sub_folder_is_no_event_and_a_new_one_in_its_place_is_watched(
    drop: Path, opened: DropFolder
) -> None:
    """A camera may remove its folders; a folder under an old name is scanned at once and watched."""
    for number in range(FOLDERS):
        (drop / f"cam{number}").rmdir()
    (drop / "cam0").mkdir()
    (drop / "cam0" / "early.png").write_bytes(b"data")
    wait_for(lambda: opened.closes()[1])
    assert scan(opened) == ["cam0/early.png"]
    (drop / "cam0" / "weld.png").write_bytes(b"data")
    assert closes(opened, 1)[-1] == "cam0/weld.png"
    assert set(kinds(opened)) <= {"watch_lost"}
    assert all(detail.startswith("cam0/ ") for _, detail in opened._events)


def test_a_renamed_sub_folder_reports_under_its_new_name(drop: Path, opened: DropFolder) -> None:
    """After a rename and a scan, a close has the folder's new name only, and nothing has the old one."""
    (drop / "cam7").rename(drop / "left")
    scan(opened)
    (drop / "left" / "weld.png").write_bytes(b"data")
    assert "left/weld.png" in closes(opened, 1)
    (drop / "left" / "other.png").write_bytes(b"data")
    assert closes(opened, 1) == ["left/other.png"]


def test_folders_that_changed_places_report_under_their_present_names(drop: Path, opened: DropFolder) -> None:
    """Two sub-folders that have exchanged their names are distinguished, once all moves were seen."""
    (drop / "cam1").rename(drop / "between.tmp")
    (drop / "cam2").rename(drop / "cam1")
    (drop / "between.tmp").rename(drop / "cam2")
    wait_for(lambda: opened.closes()[1])
    scan(opened)
    (drop / "cam1" / "weld.png").write_bytes(b"data")
    (drop / "cam2" / "other.png").write_bytes(b"data")
    wait_for_closes(opened, {"cam1/weld.png", "cam2/other.png"})
    scan(opened)
    (drop / "cam1" / "last.png").write_bytes(b"data")
    wait_for_closes(opened, {"cam1/last.png"})


def test_used_up_watches_are_one_event_that_names_the_limit(
    drop: Path, allow_watches: Callable[[int], None]
) -> None:
    """Past the limit scans find the files; the event comes once, and the trouble ends with the limit."""
    allow_watches(50)
    folder = drop_folder(drop, Events())
    folder.open()
    try:
        for number in range(FOLDERS):
            (drop / f"cam{number}" / "weld.png").write_bytes(b"data")
        for _ in range(3):
            assert len(scan(folder)) == FOLDERS
        assert kinds(folder) == ["no_watch"]
        assert "fs.inotify.max_user_watches" in folder.troubles["no_watch"]
        assert "\n" not in folder.troubles["no_watch"]
        (drop / "cam199").rename(drop / "gone.tmp")  # frees a watch, or not: the trouble stays
        scan(folder)
        assert kinds(folder) == ["no_watch"]
        allow_watches(FOLDERS)
        scan(folder)
        assert not folder.troubles
        (drop / "cam198" / "late.png").write_bytes(b"data")
        wait_for_closes(folder, {"cam198/late.png"})
    finally:
        folder.close()


def test_used_up_instances_are_one_event_that_names_the_limit(
    drop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an inotify instance, scans find the files, and a later scan gets one."""

    def refused() -> int:
        ctypes.set_errno(errno.EMFILE)
        return -1

    folder = drop_folder(drop, Events())
    with monkeypatch.context() as patch:
        patch.setattr(inotify_c, "inotify_init", refused)
        folder.open()
        (drop / "cam5" / "weld.png").write_bytes(b"data")
        for _ in range(3):
            assert scan(folder) == ["cam5/weld.png"]
            assert folder.closes() == ([], False)
        assert kinds(folder) == ["no_watch"]
        assert "fs.inotify.max_user_instances" in folder.troubles["no_watch"]
    try:
        scan(folder)
        assert not folder.troubles
        (drop / "cam6" / "weld.png").write_bytes(b"data")
        assert closes(folder, 1) == ["cam6/weld.png"]
    finally:
        folder.close()


def test_the_limit_is_named_with_its_present_value() -> None:
    """The line says which sysctl to raise and what it is now; other errors are in the system's words."""
    value = Path("/proc/sys/fs/inotify/max_user_watches").read_text().strip()
    assert f"fs.inotify.max_user_watches ({value})" in why_not(OSError(errno.ENOSPC, "no space"))
    assert why_not(OSError(errno.EIO, os.strerror(errno.EIO))) == os.strerror(errno.EIO)


def test_an_unclosed_file_of_a_folder_that_was_replaced_is_forgotten(drop: Path) -> None:
    """A file that was open in a removed folder says nothing of the file of its name in a new folder."""
    woken = threading.Event()
    watch = Watch(woken.set, wall_us=lambda: 0, monotonic=lambda: 0.0)
    try:
        watch.add(drop / "cam1", "cam1/")
        with (drop / "cam1" / "weld.png").open("wb"):
            (drop / "cam1" / "marker").write_bytes(b"")
            assert woken.wait(HANG_S)
            assert watch.is_unclosed("cam1/weld.png")
            (drop / "cam1").rename(drop / "aside")
            wait_for(lambda: watch.lost() == ["cam1/"])
            (drop / "cam1").mkdir()
            watch.add(drop / "cam1", "cam1/")
            assert not watch.is_unclosed("cam1/weld.png")
    finally:
        watch.close()


# The program gives up root's rights after its imports, since no other account may reach the interpreter.
LIST_AS_THE_SERVICE = """
import json, os, sys
from pathlib import Path
from inspector.station.drop_folder import DropFolder
from inspector.station.events import Events
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
events = Events()
folder = DropFolder(
    Path(sys.argv[1]), events, subfolders=True, wake=lambda: None, wall_us=lambda: 0, monotonic=float
)
folder.open()
scans = [sorted(folder.names()) for _ in range(3) if folder.is_there()]
folder.close()
print(json.dumps({"scans": scans, "events": list(events)}))
"""


def test_a_sub_folder_that_its_camera_has_shut_hides_no_others() -> None:
    """A folder without rights for the service is named once; the files of all other folders are found."""
    require_root()
    with shared_folder() as base:
        for name in ("cam1", "cam2", "cam3"):
            (base / "drop" / name).mkdir(parents=True)
            (base / "drop" / name / "weld.png").write_bytes(b"data")
        (base / "drop" / "cam2").chmod(0o700)
        command = [sys.executable, "-c", LIST_AS_THE_SERVICE, str(base / "drop"), str(SERVICE)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANG_S)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["scans"] == [["cam1/weld.png", "cam3/weld.png"]] * 3
    [(kind, detail)] = result["events"]
    assert kind == "subfolder_unreadable"
    assert detail.startswith("cam2 cannot be listed")
