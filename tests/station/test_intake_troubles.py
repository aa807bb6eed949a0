"""Troubles of the drop folder and of its watch: each file is still taken exactly once."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from disks import mount, small_disk, unmount
from hypothesis import given, settings
from hypothesis import strategies as st
from intakes import (
    SCAN_S,
    SETTLE_S,
    Clock,
    let_events_arrive_somehow,
    names,
    open_intake,
    take_after_events,
    take_all,
)
from waiting import HANG_S
from watchdog.observers.inotify_c import InotifyFD

from inspector.errors import FolderError
from inspector.station import intake as module
from inspector.station.intake import Intake


def test_a_second_daemon_is_refused_and_hears_who_was_first(drop: Path, clock: Clock) -> None:
    """A folder has one daemon, and is free again when that one has ended."""
    with open_intake(drop, clock), pytest.raises(FolderError, match=f"process {os.getpid()}"):
        open_intake(drop, clock).__enter__()
    with open_intake(drop, clock):
        assert not list(drop.iterdir())


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_bytes(b"")])
def test_a_missing_folder_is_a_mistake_and_is_not_created(
    tmp_path: Path, clock: Clock, make: Callable[[Path], None]
) -> None:
    """A wrong path, or a file in the folder's place, is one clear line."""
    make(tmp_path / "missing")
    with pytest.raises(FolderError, match="create it, or correct the setting"):
        open_intake(tmp_path / "missing", clock).__enter__()
    assert not (tmp_path / "missing").is_dir()


def test_a_folder_that_goes_away_is_waited_for(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """A lost folder is not created, each change is reported once, and the folder that returns is used."""
    intake = start()
    (drop / "lost.png").write_bytes(b"data")
    shutil.rmtree(drop)
    for _ in range(3):
        clock.now += SCAN_S
        assert not intake.take(9)
    assert not drop.exists()
    assert intake.pending() == 0
    drop.mkdir()
    clock.now += SCAN_S
    intake.take(9)
    clock.now += SCAN_S
    (drop / "weld.png").write_bytes(b"data")
    assert names(take_after_events(intake)) == ["weld.png"]
    kinds = [kind for kind, _ in intake.events]
    assert kinds.count("folder_lost") == kinds.count("folder_back") == 1
    with pytest.raises(FolderError):
        open_intake(drop, clock).__enter__()


def test_a_folder_that_is_replaced_is_used_and_reported(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """Another folder under the path is locked, watched and scanned; the old one's files are forgotten."""
    intake = start()
    (drop / "old.png").write_bytes(b"data")
    clock.now += SCAN_S
    drop.rename(drop.with_name("aside"))
    drop.mkdir()
    (drop / "new.png").write_bytes(b"data")
    clock.now += SCAN_S
    assert not intake.take(9)
    clock.now += SETTLE_S
    assert names(intake.take(9)) == ["new.png"]
    assert "folder_replaced" in [kind for kind, _ in intake.events]
    assert intake.pending() == 1


def test_a_folder_on_another_file_system_is_left_alone(tmp_path: Path, drop: Path, clock: Clock) -> None:
    """A path that leads to another file system is most likely wrong: the right folder is waited for."""
    elsewhere = Path("/dev/shm")  # noqa: S108 - another device, read only
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == drop.stat().st_dev:
        pytest.skip("needs /dev/shm on a device of its own")
    with open_intake(drop, clock) as intake:
        drop.rename(drop.with_name("unmounted"))
        drop.symlink_to(elsewhere)
        clock.now += SCAN_S
        assert not intake.take(9)
        drop.unlink()
        drop.with_name("unmounted").rename(drop)
        (drop / "weld.png").write_bytes(b"data")
        clock.now += SCAN_S
        intake.take(0)
        assert intake.pending() == 1
        assert [kind for kind, _ in intake.events if "folder" in kind] == ["folder_lost", "folder_back"]


@pytest.mark.parametrize("is_remounted", ["the same", "another instance"])
def test_an_unmounted_folder_is_waited_for(tmp_path: Path, clock: Clock, is_remounted: str) -> None:
    """The empty mount point is not used; the folder may come back with another device number."""
    with small_disk(tmp_path / "disk") as disk:
        drop = disk / "drop"
        drop.mkdir()
        with open_intake(drop, clock) as intake:
            aside = tmp_path / "aside"
            aside.mkdir()
            if is_remounted == "the same":
                subprocess.run(["mount", "--bind", disk, aside], check=True)
            unmount(disk)
            drop.mkdir()  # a folder below the mount point
            (drop / "decoy.png").write_bytes(b"data")
            for _ in range(3):
                clock.now += SCAN_S
                assert not intake.take(9)
                assert intake.pending() == 0
            if is_remounted == "the same":
                subprocess.run(["mount", "--bind", aside, disk], check=True)
                unmount(aside)
            else:
                mount(disk)
                drop.mkdir()
            (drop / "weld.png").write_bytes(b"data")
            clock.now += SCAN_S
            taken = intake.take(9)  # at once if it is the same folder, which is still watched
            clock.now += SETTLE_S
            assert names(taken + intake.take(9)) == ["weld.png"]
            assert [kind for kind, _ in intake.events if "folder" in kind] == ["folder_lost", "folder_back"]


def stop_thread(reader: InotifyFD) -> None:
    """End a thread in order."""
    reader.stop()


def kill_thread(reader: InotifyFD) -> None:
    """End a thread as a bug would, by an exception at its next step."""
    ident = ctypes.c_ulong(reader.ident or 0)
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(SystemExit)) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("end", [stop_thread, kill_thread])
def test_a_dead_watcher_is_replaced(
    drop: Path, start: Callable[..., Intake], clock: Clock, end: Callable[[InotifyFD], None]
) -> None:
    """When the reader thread dies, a scan finds what it missed, and a new one reports the next close."""
    intake = start()
    [reader] = [thread for thread in threading.enumerate() if isinstance(thread, InotifyFD)]
    end(reader)
    (drop / "missed.png").write_bytes(b"data")
    reader.join(HANG_S)
    intake.take(0)
    assert intake.pending() == 1
    clock.now += SETTLE_S
    (drop / "weld.png").write_bytes(b"data")
    assert set(names(take_after_events(intake, 2))) == {"missed.png", "weld.png"}
    assert [kind for kind, _ in intake.events] == ["watch_lost"]


def test_an_overflow_loses_nothing(drop: Path, start: Callable[..., Intake], clock: Clock) -> None:
    """More closes than the kernel's queue holds lead to a scan."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if limit > 50_000:
        pytest.skip("the kernel's queue is too long to fill quickly")
    intake = start()
    count = limit + 500
    # PyDLL keeps the interpreter's lock, so that the reader thread waits as during a long C call.
    command = f"cd '{drop}' && seq -f '%g.png' {count} | xargs touch"
    assert ctypes.PyDLL(None).system(command.encode()) == 0
    let_events_arrive_somehow(intake, count)
    clock.now += SETTLE_S
    assert len(take_all(intake, clock, module._MAX_KNOWN_FILES)) == count
    assert [kind for kind, _ in intake.events] == ["watch_overflow"]


WAYS = ("write", "move", "link", "two steps")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(WAYS), st.sampled_from(["a.png", "b.png", "ä\udcff.jpg"])),
            st.tuples(st.just("pass"), st.floats(0.01, 0.35)),
            st.tuples(st.just("take"), st.integers(0, 3)),
        ),
        max_size=25,
    )
)
def test_every_file_is_taken_exactly_once(steps: list[tuple[str, object]]) -> None:
    """However files come, each is handed out whole and only once.

    The pauses add up to less than give_up_s, so that no writer is given up.
    """
    clock, numbers, taken = Clock(), itertools.count(), []

    def work(limit: int) -> None:
        for arrival in intake.take(limit):
            if (content := arrival.path.read_text()).endswith("."):
                arrival.path.unlink()
                taken.append(content)
                intake.release(arrival)
            elif not intake.retry(arrival):
                pytest.fail("gave up on a file that a writer still has open")

    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as writers:
        drop, outside = Path(folder, "drop"), Path(folder, "outside")
        drop.mkdir()
        with open_intake(drop, clock) as intake:
            for way, value in steps:
                if way == "pass":
                    clock.now += float(str(value))
                elif way == "take":
                    work(int(str(value)))
                elif not os.path.lexists(path := drop / str(value)):
                    writer = _deliver(path, outside, way, f"{next(numbers)}")
                    if writer:
                        writers.callback(writer)
            writers.close()
            for _ in range(20):
                clock.now += SETTLE_S
                work(9)
            assert intake.pending() == 0
            assert not list(drop.iterdir())
    assert sorted(taken) == sorted(f"{number}." for number in range(next(numbers)))


def _deliver(path: Path, outside: Path, way: str, content: str) -> Callable[[], None] | None:
    """Put one file into the folder; return what finishes it later, if anything."""
    if way == "two steps":
        stream = path.open("w")
        stream.write(content)
        stream.flush()
        return lambda: (stream.write("."), stream.close())[1]
    if way == "write":
        path.write_text(f"{content}.")
        return None
    outside.write_text(f"{content}.")
    if way == "link":
        path.hardlink_to(outside)
        outside.unlink()
    else:
        outside.rename(path)
    return None
