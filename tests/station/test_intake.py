"""The intake hands out each file once, in order, as soon as it is whole."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import itertools
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from accounts import SERVICE, require_root, shared_folder
from disks import mount, small_disk, unmount
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import HANG_S
from watchdog.observers.inotify_c import InotifyFD

from inspector import filesystems
from inspector.errors import FolderError
from inspector.records import Arrival, FileStamp
from inspector.station import intake as module
from inspector.station.events import Events
from inspector.station.intake import Intake
from inspector.station.listing import waiting_files
from inspector.station.watch import Watch

SETTLE_S, GIVE_UP_S, SCAN_S = 0.5, 10.0, 2.0
OLD_S = 600.0  # a minute is enough, but real time passes as well before a test writes its file


class Clock:
    """Time that passes only in the test's own steps; the wall clock starts at the real time, as ctimes do."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.epoch_us = time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds."""
        return self.now

    def wall_us(self) -> int:
        """UTC epoch microseconds."""
        return self.epoch_us + round((self.now - 1000.0) * 1e6)


@pytest.fixture
def clock() -> Clock:
    """A clock at its start."""
    return Clock()


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """An empty drop folder."""
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


@pytest.fixture
def start(drop: Path, clock: Clock) -> Iterator[Callable[..., Intake]]:
    """A function that opens the intake, after the test has put its first files there."""
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(open_intake(drop, clock, **options))


def open_intake(
    drop: Path,
    clock: Clock,
    *,
    only_first_scan: bool = False,
    subfolders: bool = False,
    ignore: Sequence[str] = (),
) -> Intake:
    """An intake with the test's clock, not entered yet."""
    return Intake(
        drop,
        Events(),
        settle_s=SETTLE_S,
        give_up_s=GIVE_UP_S,
        scan_s=SCAN_S,
        only_first_scan=only_first_scan,
        subfolders=subfolders,
        ignore=ignore,
        monotonic=clock.monotonic,
        wall_us=clock.wall_us,
    )


def names(arrivals: list[Arrival]) -> list[str]:
    """Source names, in order."""
    return [arrival.source_name for arrival in arrivals]


def take_after_events(intake: Intake, count: int = 1) -> list[Arrival]:
    """Take files that become ready by inotify alone, while the intake's clock does not move."""
    taken: list[Arrival] = []
    deadline = time.monotonic() + HANG_S
    while len(taken) < count and time.monotonic() < deadline:
        intake.wait(0.02)
        taken += intake.take(count - len(taken))
    return taken


def let_events_arrive(intake: Intake, drop: Path) -> None:
    """Wait until all earlier events have been reported: a marker file comes last."""
    marker = drop / "marker.png"
    marker.write_bytes(b"x")
    [arrival] = take_after_events(intake)
    assert arrival.path == marker
    marker.unlink()
    intake.release(arrival)


# --- ready at once ----------------------------------------------------------------------------------


def test_a_closed_file_is_ready_at_once(drop: Path, start: Callable[..., Intake], clock: Clock) -> None:
    """A real inotify close needs no settling, and its instant is when the file was seen."""
    intake = start()
    clock.now += 1.5
    (drop / "weld.png").write_bytes(b"data")
    [arrival] = take_after_events(intake)
    assert (arrival.path, arrival.source_name) == (drop / "weld.png", "weld.png")
    assert (arrival.seen_monotonic, arrival.seen_us) == (clock.now, clock.wall_us())


@pytest.mark.parametrize("temporary", [".weld.png", "weld.png.tmp", "weld.PART"])
def test_a_file_renamed_from_a_temporary_name_is_ready_at_once(
    drop: Path, start: Callable[..., Intake], temporary: str
) -> None:
    """Hidden and temporary names are no intake; the rename makes the file whole."""
    intake = start()
    (drop / temporary).write_bytes(b"data")
    let_events_arrive(intake, drop)
    assert intake.pending() == 0
    (drop / temporary).rename(drop / "weld.png")
    assert names(take_after_events(intake)) == ["weld.png"]


def test_a_file_moved_in_from_outside_is_ready_at_once(
    tmp_path: Path, drop: Path, start: Callable[..., Intake]
) -> None:
    """A rename into the folder brings a whole file."""
    intake = start()
    (tmp_path / "weld.png").write_bytes(b"data")
    (tmp_path / "weld.png").rename(drop / "weld.png")
    assert names(take_after_events(intake)) == ["weld.png"]


def test_moves_out_of_the_folder_hold_nothing_up(
    tmp_path: Path, drop: Path, start: Callable[..., Intake]
) -> None:
    """A close after a move out of the folder is reported at once, without half a second of pairing."""
    (drop / "old.png").write_bytes(b"data")
    intake = start()
    longest_s = 0.25  # half of what pairing takes; one quick wait of many proves that there is none
    for number in range(200):
        (drop / "old.png").rename(tmp_path / "old.png")
        (drop / f"{number}.png").write_bytes(b"data")
        began = time.monotonic()
        assert names(take_after_events(intake)) == [f"{number}.png"]
        if time.monotonic() - began < longest_s:
            return
        (tmp_path / "old.png").rename(drop / ".old")
        (drop / ".old").rename(drop / "old.png")
        assert names(take_after_events(intake)) == ["old.png"]
        intake.release(Arrival(drop / "old.png", "old.png", 0, 0))
    pytest.fail("every close took as long as pairing moves does")


def test_an_old_file_is_ready_at_the_start(drop: Path, start: Callable[..., Intake], clock: Clock) -> None:
    """A backlog that was not touched for a minute does not wait to settle."""
    (drop / "weld.png").write_bytes(b"data")
    clock.now += OLD_S
    assert names(start().take(9)) == ["weld.png"]


# --- ready when it does not change ------------------------------------------------------------------


def test_a_fresh_file_at_the_start_must_settle(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """A file whose close was not seen must not change for settle_s before it is ready."""
    (drop / "weld.png").write_bytes(b"data")
    intake = start()
    clock.now += SETTLE_S - 0.01
    assert not intake.take(9)
    clock.now += 0.01
    [arrival] = intake.take(9)
    assert arrival.seen_monotonic == 1000.0


def test_an_old_mtime_does_not_make_a_file_old(drop: Path, start: Callable[..., Intake]) -> None:
    """A copy keeps an mtime of years ago and still has to settle."""
    (drop / "weld.png").write_bytes(b"data")
    os.utime(drop / "weld.png", (1e9, 1e9))
    assert not start().take(9)


def test_a_slow_writer_is_waited_for_with_one_warning(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """A file that keeps growing is not ready until its close, and is reported once."""
    intake = start()
    with (drop / "slow.png").open("wb") as writer:
        for _ in range(100):
            writer.write(b"row")
            writer.flush()
            clock.now += SETTLE_S * 0.8
            assert not intake.take(9)
        assert intake.pending() == 1
    assert names(take_after_events(intake)) == ["slow.png"]
    assert [kind for kind, _ in intake.events] == ["slow_writer"]


def test_a_writer_that_restores_the_mtime_is_noticed(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """In a pre-allocated file that keeps its size and mtime, ctime shows that bytes still come."""
    intake = start()
    with (drop / "allocated.bmp").open("wb") as writer:
        os.posix_fallocate(writer.fileno(), 0, 4096)
        before = os.fstat(writer.fileno())
        clock.now += SCAN_S
        assert not intake.take(9)
        clock.now += 0.3
        os.pwrite(writer.fileno(), b"BM", 0)
        os.utime(writer.fileno(), ns=(before.st_atime_ns, before.st_mtime_ns))
        clock.now += 0.3
        assert not intake.take(9)
        clock.now += SETTLE_S
        assert names(intake.take(9)) == ["allocated.bmp"]


def test_a_linked_file_is_found_by_the_scan(
    tmp_path: Path, drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """A file that inotify does not report, as on a network file system, is found by the next scan."""
    intake = start()
    (tmp_path / "weld.png").write_bytes(b"data")
    (drop / "weld.png").hardlink_to(tmp_path / "weld.png")
    clock.now += SCAN_S
    assert not intake.take(9)
    clock.now += SETTLE_S
    assert names(intake.take(9)) == ["weld.png"]


# --- read too early ---------------------------------------------------------------------------------


def test_a_two_step_writer_is_read_again_at_its_second_close(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """Half a file that was closed waits; its next close makes it ready at once."""
    intake = start()
    (drop / "weld.png").write_bytes(b"half")
    [arrival] = take_after_events(intake)
    assert intake.retry(arrival)
    assert not intake.take(9)
    clock.now += GIVE_UP_S * 0.9
    with (drop / "weld.png").open("ab") as writer:
        writer.write(b"whole")
    [again] = take_after_events(intake)
    assert again.path == arrival.path
    assert again.seen_monotonic == clock.now


def test_a_close_while_the_file_is_taken_is_not_forgotten(drop: Path, start: Callable[..., Intake]) -> None:
    """A second half that comes while the first is being read makes the file ready again."""
    intake = start()
    (drop / "weld.png").write_bytes(b"half")
    [arrival] = take_after_events(intake)
    (drop / "weld.png").write_bytes(b"whole")
    let_events_arrive(intake, drop)
    assert intake.retry(arrival)
    assert names(intake.take(9)) == ["weld.png"]


def test_a_broken_file_is_given_up_in_time(drop: Path, start: Callable[..., Intake], clock: Clock) -> None:
    """An unreadable file is read a few times, and given up give_up_s after its last change."""
    intake = start()
    (drop / "broken.png").write_bytes(b"half")
    [arrival] = take_after_events(intake)
    seen, looks = clock.now, 1
    while intake.retry(arrival):
        while not (again := intake.take(9)):
            clock.now += 0.1
        [arrival] = again
        looks += 1
    assert clock.now - seen == pytest.approx(GIVE_UP_S, abs=0.5)
    assert looks <= 6
    assert intake.pending() == 1
    intake.release(arrival)
    assert intake.pending() == 0


def test_growth_starts_the_patience_again(drop: Path, start: Callable[..., Intake], clock: Clock) -> None:
    """A writer with long pauses is not given up while bytes still come."""
    intake = start()
    with (drop / "slow.png").open("wb") as writer:
        for _ in range(5):
            writer.write(b"row")
            writer.flush()
            clock.now += GIVE_UP_S * 0.8
            arrivals = intake.take(9)
            while not arrivals:
                clock.now += 0.1
                arrivals = intake.take(9)
            assert intake.retry(arrivals[0])


def test_an_old_broken_file_is_given_up_at_once(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """A file that has not changed for a minute has no writer any more."""
    (drop / "broken.png").write_bytes(b"half")
    clock.now += OLD_S
    intake = start()
    [arrival] = intake.take(9)
    assert not intake.retry(arrival)


@pytest.mark.parametrize("scanned_meanwhile", [False, True])
def test_a_file_taken_away_while_it_was_read_is_forgotten(
    drop: Path, start: Callable[..., Intake], clock: Clock, scanned_meanwhile: bool
) -> None:
    """A file that is gone is not quarantined."""
    intake = start()
    (drop / "weld.png").write_bytes(b"half")
    [arrival] = take_after_events(intake)
    arrival.path.unlink()
    clock.now += SCAN_S if scanned_meanwhile else 0
    assert not intake.take(9)
    assert intake.retry(arrival)
    assert intake.pending() == 0


# --- what is intake ---------------------------------------------------------------------------------


def test_hidden_and_temporary_names_are_no_intake(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """Names with a leading dot or ending in .tmp or .part stay where they are."""
    for name in (".hidden.png", "a.tmp", "b.png.part", "C.TMP"):
        (drop / name).write_bytes(b"data")
    clock.now += OLD_S
    intake = start()
    assert not intake.take(9)
    assert intake.pending() == 0


def test_directories_are_left_alone_unless_they_pose_as_images(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """A plain directory is reported once and stays; one called x.png is intake, for the quarantine."""
    (drop / "folder").mkdir()
    (drop / "x.PNG").mkdir()
    intake = start()
    clock.now += SCAN_S
    assert names(intake.take(9)) == ["x.PNG"]
    for _ in range(3):
        clock.now += SCAN_S
        intake.take(9)
    assert list(intake.events) == [("directory", "folder is left in the drop folder")]


def test_a_file_of_any_name_is_taken(drop: Path, start: Callable[..., Intake], clock: Clock) -> None:
    """FIFOs, dangling links and names of any bytes become arrivals whose path leads back to them."""
    os.mkfifo(drop / "fifo.png")
    (drop / "link.png").symlink_to("nowhere")
    for raw in (b"a b\n.png", b"weld_\xe4\xff.jpg", b"n" * 251 + b".png"):
        (drop / os.fsdecode(raw)).write_bytes(b"data")
    clock.now += OLD_S
    arrivals = start().take(9)
    assert {os.fsencode(arrival.path.name) for arrival in arrivals} == set(os.listdir(os.fsencode(drop)))  # noqa: PTH208
    assert {"weld_%E4%FF.jpg", "a b%0A.png"} < set(names(arrivals))


# --- the queue --------------------------------------------------------------------------------------


def test_the_oldest_come_first(drop: Path, start: Callable[..., Intake], clock: Clock) -> None:
    """A backlog comes in the order of its mtimes, and later arrivals behind it."""
    for number, mtime in enumerate((300, 100, 200)):
        (drop / f"{number}.png").write_bytes(b"data")
        os.utime(drop / f"{number}.png", (mtime, mtime))
    clock.now += OLD_S
    intake = start()
    clock.now += 0.1
    (drop / "late.png").write_bytes(b"data")
    os.utime(drop / "late.png", (50, 50))
    let_events_arrive_somehow(intake, 4)
    assert names(intake.take(9)) == ["1.png", "2.png", "0.png", "late.png"]


def test_a_taken_file_is_not_taken_again(drop: Path, start: Callable[..., Intake], clock: Clock) -> None:
    """At most limit files are handed out, and none twice before it is released."""
    for number in range(5):
        (drop / f"{number}.png").write_bytes(b"data")
    clock.now += OLD_S
    intake = start()
    first = intake.take(3)
    clock.now += SCAN_S
    second = intake.take(9)
    assert (len(first), len(second), len(intake.take(9))) == (3, 2, 0)
    assert intake.pending() == 5
    for arrival in (*first, *second):
        arrival.path.unlink()
        intake.release(arrival)
    assert intake.pending() == 0


def test_a_file_that_is_there_after_a_release_is_a_new_arrival(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """After a release, a file of the same name is a new arrival."""
    (drop / "weld.png").write_bytes(b"data")
    clock.now += OLD_S
    intake = start()
    [arrival] = intake.take(9)
    intake.release(arrival)
    clock.now += SCAN_S
    [again] = intake.take(9)
    assert again.seen_monotonic == clock.now


def test_a_replacement_that_came_while_its_name_was_taken_is_ready_at_the_release(
    drop: Path, start: Callable[..., Intake]
) -> None:
    """If the camera writes the same name again before the first file is archived, its close counts."""
    intake = start()
    (drop / "weld.png").write_bytes(b"first")
    [arrival] = take_after_events(intake)
    arrival.path.unlink()
    (drop / "weld.png").write_bytes(b"second")
    let_events_arrive(intake, drop)
    intake.release(arrival)
    assert names(intake.take(9)) == ["weld.png"]


def test_a_name_that_comes_again_is_not_handed_out_twice(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """A ready file that was removed and written again before it was taken is one arrival."""
    intake = start()
    for _ in range(2):
        (drop / "weld.png").write_bytes(b"data")
        let_events_arrive_somehow(intake, 1)
        (drop / "weld.png").unlink()
        clock.now += SCAN_S
        intake.take(0)
        assert intake.pending() == 0
    (drop / "weld.png").write_bytes(b"data")
    assert names(take_after_events(intake)) == ["weld.png"]
    assert not intake.take(9)


def test_a_file_that_goes_away_while_it_waits_is_forgotten(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """A file that was removed is forgotten at the next scan."""
    (drop / "weld.png").write_bytes(b"data")
    intake = start()
    (drop / "weld.png").unlink()
    clock.now += SCAN_S
    assert not intake.take(9)
    assert intake.pending() == 0


def test_the_first_scan_alone_can_be_asked_for(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """A single pass takes the present files, ignores later ones, and knows when it is done."""
    (drop / "first.png").write_bytes(b"data")
    intake = start(only_first_scan=True)
    (drop / "later.png").write_bytes(b"data")
    clock.now += SCAN_S
    assert not intake.exhausted
    [arrival] = intake.take(9)
    assert arrival.source_name == "first.png"
    assert not intake.exhausted
    arrival.path.unlink()
    intake.release(arrival)
    assert intake.exhausted


def test_a_single_pass_ends_although_somebody_still_writes(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """A single pass leaves the file of a slow writer where it is, and says so."""
    with (drop / "slow.png").open("wb") as writer:
        intake = start(only_first_scan=True)
        while not intake.exhausted:
            assert clock.now < 1000 + 2 * GIVE_UP_S
            writer.write(b"row")
            writer.flush()
            clock.now += SETTLE_S * 0.8
            assert not intake.take(9)
    assert clock.now >= 1000 + GIVE_UP_S
    assert [kind for kind, _ in intake.events] == ["slow_writer"]
    assert intake.pending() == 1


def test_waiting_files_are_reported_without_owning_the_folder(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """Commands count the same files as the running daemon."""
    for name in ("a.png", ".hidden", "b.tmp", "note.txt"):
        (drop / name).write_bytes(b"data")
    (drop / "x.png").mkdir()
    (drop / "folder").mkdir()
    intake = start()
    assert {path.name for path in waiting_files(drop)} == {"a.png", "note.txt", "x.png"}
    assert intake.pending() == 3
    with pytest.raises(FolderError, match="create it, or correct the setting"):
        list(waiting_files(drop / "missing"))


def test_a_scan_comes_no_sooner_than_twenty_times_its_cost(tmp_path: Path, drop: Path) -> None:
    """A folder that takes a second to scan is scanned every twenty seconds at most."""

    class SlowDisk(Clock):
        def wall_us(self) -> int:
            self.now += 1.0  # called once in a scan without new files
            return super().wall_us()

    clock = SlowDisk()
    with open_intake(drop, clock) as intake:
        (tmp_path / "weld.png").write_bytes(b"data")
        (drop / "weld.png").hardlink_to(tmp_path / "weld.png")
        clock.now += 19.5
        intake.take(9)
        assert intake.pending() == 0
        clock.now += 0.5
        intake.take(9)
        assert intake.pending() == 1


def test_wait_ends_at_a_wake_and_does_not_spin(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """Another thread can end a wait; overdue files, and files without room, do not end it."""
    (drop / "ready.png").write_bytes(b"data")
    clock.now += OLD_S
    intake = start()
    intake.take(0)
    clock.now += 100
    began = time.monotonic()
    intake.wait(0.1)
    assert time.monotonic() - began >= 0.1
    threading.Timer(0.05, intake.wake).start()
    intake.wait(3600)  # longer than pytest gives a test


# --- more files than are known by name --------------------------------------------------------------


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> int:
    """An intake that knows at most 40 files by name, 30 of them from scans."""
    monkeypatch.setattr(module, "_MAX_KNOWN_FILES", 40)
    monkeypatch.setattr(module, "_ROOM_FOR_HINTS", 10)
    return 40


def backlog(drop: Path, count: int) -> list[str]:
    """Names of new files, the one with the oldest mtime first."""
    made = [f"{number * 7919 % count}.png" for number in range(count)]
    for number, name in enumerate(made):
        (drop / name).write_bytes(b"data")
        os.utime(drop / name, (1e9 + number, 1e9 + number))
    return made


def take_all(intake: Intake, clock: Clock, most: int) -> list[str]:
    """Take, remove and release all files; at most ``most`` are known by name at any time."""
    taken = []
    for _ in range(10_000):
        assert len(intake._files) <= most
        arrivals = intake.take(7)
        if not arrivals and not intake.pending():
            return taken
        for arrival in arrivals:
            arrival.path.unlink()
            intake.release(arrival)
            taken.append(arrival.source_name)
        clock.now += 0.1
    raise AssertionError("it never ends")


def test_a_backlog_of_any_size_is_taken_in_bounded_memory(
    drop: Path, start: Callable[..., Intake], clock: Clock, narrow: int
) -> None:
    """Some files are known by name, all are counted, and each is taken once, the oldest first."""
    expected = backlog(drop, 250)
    clock.now += OLD_S
    intake = start()
    assert intake.pending() == 250
    assert take_all(intake, clock, narrow) == expected


def test_closes_beyond_the_known_files_are_counted_and_found_later(
    drop: Path, start: Callable[..., Intake], clock: Clock, narrow: int
) -> None:
    """A file that the watch reports while there is no room is taken later."""
    intake = start()
    expected = set(backlog(drop, 60))
    let_events_arrive_somehow(intake, 60)
    assert intake.pending() == 60
    assert set(take_all(intake, clock, narrow)) == expected


def let_events_arrive_somehow(intake: Intake, count: int) -> None:
    """Wait until so many files are counted, while the intake's clock does not move."""
    deadline = time.monotonic() + HANG_S
    while intake.pending() < count and time.monotonic() < deadline:
        intake.wait(0.02)
        intake.take(0)


def test_a_single_pass_takes_all_of_a_long_backlog_and_nothing_later(
    drop: Path, start: Callable[..., Intake], clock: Clock, narrow: int
) -> None:
    """A single pass takes the files past the known ones too, and no file that came after its start."""
    expected = backlog(drop, 100)
    clock.now += OLD_S
    intake = start(only_first_scan=True)
    clock.epoch_us = time.time_ns() // 1000 - round((clock.now - 1000) * 1e6)  # the start was now
    intake._opened_ns = clock.wall_us() * 1000
    time.sleep(0.02)  # longer than a file system's clock tick
    (drop / "later.png").write_bytes(b"data")
    taken: list[str] = []
    while not intake.exhausted:
        clock.now += SCAN_S
        for arrival in intake.take(9):
            arrival.path.unlink()
            intake.release(arrival)
            taken.append(arrival.source_name)
    assert taken == expected
    assert [path.name for path in drop.iterdir()] == ["later.png"]


# --- files that cannot be moved ---------------------------------------------------------------------


def test_a_postponed_file_is_handed_out_again_ever_later(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """The pauses grow to minutes, with some chance; the file is never given up."""
    (drop / "stuck.png").write_bytes(b"data")
    clock.now += OLD_S
    intake = start()
    pauses = []
    [arrival] = intake.take(9)
    for failure in range(1, 12):
        began = clock.now
        assert intake.postpone(arrival) == failure
        while not (again := intake.take(9)):
            clock.now += 0.1
        [arrival] = again
        pauses.append(clock.now - began)
    assert pauses[0] <= 2 * SCAN_S + 0.1
    assert 150 <= pauses[-1] <= 301
    assert all(later > pauses[0] for later in pauses[3:])
    assert intake.pending() == 1


def test_a_single_pass_ends_although_a_file_cannot_be_moved(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """A file that cannot be moved is left, and counted as pending."""
    (drop / "stuck.png").write_bytes(b"data")
    clock.now += OLD_S
    intake = start(only_first_scan=True)
    [arrival] = intake.take(9)
    assert not intake.exhausted
    intake.postpone(arrival)
    assert intake.exhausted
    assert intake.pending() == 1


# --- sub-folders ------------------------------------------------------------------------------------


def test_subfolders_are_intake_where_they_are_asked_for(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """A close in a camera's sub-folder is seen at once, and the name includes the folder."""
    (drop / "cam1").mkdir()
    intake = start(subfolders=True)
    (drop / "cam1" / "weld.png").write_bytes(b"data")
    (drop / "weld.png").write_bytes(b"data")
    taken = take_after_events(intake, 2)
    assert {(a.source_name, a.path) for a in taken} == {
        ("cam1/weld.png", drop / "cam1" / "weld.png"),
        ("weld.png", drop / "weld.png"),
    }
    for arrival in taken:
        arrival.path.unlink()
        intake.release(arrival)
    assert intake.pending() == 0
    assert not intake.events


def test_a_new_subfolder_is_found_and_watched(drop: Path, start: Callable[..., Intake], clock: Clock) -> None:
    """A camera that is installed later needs no restart; one that is removed does no harm."""
    intake = start(subfolders=True)
    (drop / "cam2").mkdir()
    (drop / "cam2" / "first.png").write_bytes(b"data")
    clock.now += SCAN_S
    intake.take(0)
    clock.now += SETTLE_S
    assert names(intake.take(9)) == ["cam2/first.png"]
    (drop / "cam2" / "second.png").write_bytes(b"data")
    assert names(take_after_events(intake)) == ["cam2/second.png"]
    shutil.rmtree(drop / "cam2")
    for _ in range(2):
        clock.now += SCAN_S
        assert not intake.take(9)
    (drop / "weld.png").write_bytes(b"data")
    assert names(take_after_events(intake)) == ["weld.png"]
    assert not intake.events


def test_a_folder_that_is_not_a_cameras_is_left_alone(
    tmp_path: Path, drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """Hidden, temporary and deeper folders are no intake; a link to a folder is, as a link."""
    for folder in (".hidden", "new.tmp", "cam1/deeper", "x.png"):
        (drop / folder).mkdir(parents=True)
        (drop / folder / "weld.png").write_bytes(b"data")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "weld.png").write_bytes(b"data")
    (drop / "link").symlink_to(outside)
    (drop / "cam1" / "weld.png.part").write_bytes(b"data")
    clock.now += OLD_S
    intake = start(subfolders=True)
    assert {path.relative_to(drop) for path in waiting_files(drop, subfolders=True)} == {
        Path("link"),
        Path("x.png"),
    }
    assert set(names(intake.take(9))) == {"link", "x.png"}
    details = {detail for kind, detail in intake.events if kind == "directory"}
    assert "cam1/deeper is left in the drop folder" in details


def test_a_camera_that_closes_its_folder_hides_no_other_from_the_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The files of the other cameras are still counted, and the closed folder is named."""
    require_root()
    with shared_folder() as drop:
        for name, mode in (("cam1", 0o755), ("cam2", 0)):
            (drop / name).mkdir()
            (drop / name / "weld.png").touch()
            (drop / name).chmod(mode)
        os.seteuid(SERVICE)
        try:
            found = list(waiting_files(drop, subfolders=True))
        finally:
            os.seteuid(0)
    assert found == [drop / "cam1" / "weld.png"]
    assert "cam2 cannot be listed" in caplog.text


# --- file systems that others write to --------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p", "virtiofs"])
def test_a_remote_folder_is_polled(
    tmp_path: Path, drop: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A network folder has no watch; scans find files, which must not change for 3 s; an event says so."""
    table = tmp_path / "mountinfo"
    table.write_text(
        f"27 1 254:0 / / rw - ext4 /dev/vda rw\n28 27 0:9 / {drop} rw - {kind} server:/share rw\n"
    )
    monkeypatch.setattr(filesystems, "_MOUNTS", table)
    with open_intake(drop, clock) as intake:
        assert not [thread for thread in threading.enumerate() if isinstance(thread, InotifyFD)]
        (drop / "weld.png").write_bytes(b"data")
        clock.now += SCAN_S
        assert not intake.take(9)
        clock.now += 2.9
        assert not intake.take(9)
        clock.now += 0.1
        assert names(intake.take(9)) == ["weld.png"]
        assert [event for event, _ in intake.events] == ["polling"]
        assert kind in intake.troubles[0]


# --- troubles ---------------------------------------------------------------------------------------


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


# --- names of uploaders, NAS boxes and companions -----------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("x.png.filepart", "x.png.8f3c2d1e.partial", "x.png.crdownload", "x.png.part", "x.png.tmp"),
        *(
            "x.png.download",
            "x.png.opdownload",
            "x.png.upload",
            "x.png.inprogress",
            "x.png.!ut",
            "x.png.aria2",
        ),
        *(
            "x.png.downloading",
            "x.png.crswap",
            "x.png.xltd",
            "x.png.ffs_tmp",
            ".in.x.png.",
            "x.png.ocTid9.part",
        ),
        *("x.png.FilePart", "x.png~", "~$x.png", ".x.png.Ab12Cd", "x.png.swp", "x.png_tmp", "x.png.gstmp"),
    ],
)
def test_an_uploaders_temporary_name_is_no_intake(
    drop: Path, start: Callable[..., Intake], clock: Clock, name: str
) -> None:
    """A file under a known temporary name is left alone, however old; its rename makes it one arrival."""
    intake = start()
    (drop / name).write_bytes(b"data")
    let_events_arrive(intake, drop)
    clock.now += OLD_S
    assert not intake.take(9)
    assert not list(waiting_files(drop))
    (drop / name).rename(drop / "x.png")
    assert names(take_after_events(intake)) == ["x.png"]


@pytest.mark.parametrize("name", ["x.png.8f3c2d1e", "x.png.sb-1a2b3c4d-Xy12", "frame0001", "x.png.uploadXY"])
def test_an_unknown_ending_is_taken_only_after_it_has_not_changed_for_long(
    drop: Path, start: Callable[..., Intake], clock: Clock, name: str
) -> None:
    """A close proves nothing for a name that is not an image's; `give_up_s` without a change does."""
    intake = start()
    (drop / name).write_bytes(b"data")
    let_events_arrive(intake, drop)
    clock.now += GIVE_UP_S - 0.1
    assert name not in names(intake.take(9))
    clock.now += 0.2
    assert name in names(intake.take(9))


@pytest.mark.parametrize("name", ["x.png", "X.JPEG", "x.tiff", "weld.dcm", "x.gif", "x.jp2"])
def test_the_name_of_an_image_is_taken_at_its_close(
    drop: Path, start: Callable[..., Intake], clock: Clock, name: str
) -> None:
    """A close is enough for a name that ends like an image, also one of a format that is refused."""
    intake = start()
    (drop / name).write_bytes(b"data")
    assert names(take_after_events(intake)) == [name]


def test_an_upload_that_is_renamed_is_taken_once(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """A file that is closed under an unknown temporary name arrives under its own name only."""
    intake = start()
    (drop / "x.png.8f3c2d1e").write_bytes(b"data")
    let_events_arrive(intake, drop)
    clock.now += SETTLE_S * 3
    assert not intake.take(9)
    (drop / "x.png.8f3c2d1e").rename(drop / "x.png")
    assert names(take_after_events(intake)) == ["x.png"]
    clock.now += SCAN_S + GIVE_UP_S
    assert not intake.take(9)


def test_ignored_names_stay_and_are_not_counted(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """Companions of images are neither taken nor waiting, in any case of letters and in sub-folders."""
    ignore = ["*.json", "Thumbs.db", "preview*"]
    for name in (
        "cam1/x.JSON",
        "cam1/thumbs.db",
        "cam1/x.png",
        "previews/y.png",
        "preview-x.png",
        "z.json.png",
    ):
        (drop / name).parent.mkdir(exist_ok=True)
        (drop / name).write_bytes(b"data")
    clock.now += OLD_S
    intake = start(subfolders=True, ignore=ignore)
    assert sorted(names(intake.take(9))) == ["cam1/x.png", "z.json.png"]
    assert intake.pending() == 2
    waiting = waiting_files(drop, subfolders=True, ignore=ignore)
    assert sorted(str(path.relative_to(drop)) for path in waiting) == ["cam1/x.png", "z.json.png"]


@pytest.mark.parametrize(
    "folder",
    [
        *(
            "#recycle",
            "@eaDir",
            "@Recycle",
            "@tmp",
            "$RECYCLE.BIN",
            "System Volume Information",
            "lost+found",
        ),
        *("trashbox", "_NAS_Recycle_RAID", "TheVolumeSettingsFolder", "DfsrPrivate", "_gsdata_", "FOUND.000"),
        *("#snapshot", "Network Trash Folder", ".@__thumb", ".Trash-1000", "RECYCLER", "__MACOSX"),
    ],
)
def test_a_folder_of_the_system_is_no_camera(
    drop: Path, start: Callable[..., Intake], clock: Clock, folder: str
) -> None:
    """Files that a share keeps in folders for deleted files or thumbnails are not judged."""
    (drop / folder).mkdir()
    (drop / "cam#1").mkdir()
    for place in (folder, "cam#1"):
        (drop / place / "weld.png").write_bytes(b"data")
    clock.now += OLD_S
    intake = start(subfolders=True)
    assert names(intake.take(9)) == ["cam#1/weld.png"]
    assert [path.parent.name for path in waiting_files(drop, subfolders=True)] == ["cam#1"]


# --- a writer that stalls ----------------------------------------------------------------------------


@pytest.mark.parametrize("is_there_before", [False, True])
def test_a_file_that_is_still_open_is_never_given_up(
    drop: Path, start: Callable[..., Intake], clock: Clock, is_there_before: bool
) -> None:
    """A half file whose writer stalls stays in the folder while it is open, with one warning."""
    intake = None if is_there_before else start()
    with (drop / "slow.png").open("wb") as writer:
        writer.write(b"half")
        writer.flush()
        intake = intake or start()
        clock.now += SCAN_S
        intake.take(0)
        for _ in range(5):
            clock.now += GIVE_UP_S + 1
            [arrival] = intake.take(9)
            assert intake.retry(arrival)
        writer.write(b"the rest")
    [arrival] = take_after_events(intake)
    assert arrival.path.read_bytes() == b"halfthe rest"
    assert [kind for kind, _ in intake.events] == ["slow_writer"]


def test_a_closed_file_that_stays_unreadable_is_given_up(
    drop: Path, start: Callable[..., Intake], clock: Clock
) -> None:
    """A half file that no program has open goes to quarantine after give_up_s."""
    intake = start()
    (drop / "half.png").write_bytes(b"half")
    [arrival] = take_after_events(intake)
    clock.now += GIVE_UP_S + 1
    assert not intake.retry(arrival)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_broken_file_that_came_by_a_link_is_given_up(
    tmp_path: Path,
    drop: Path,
    start: Callable[..., Intake],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    is_known: bool,
) -> None:
    """A hard link has no close: it is given up in time if the kernel knows of no writer, else in an hour."""
    intake = start()
    if not is_known:  # as for the file of another account
        real = fcntl.fcntl

        def refused(descriptor: int, command: int, *words: int) -> int:
            if command == fcntl.F_SETLEASE:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return real(descriptor, command, *words)

        monkeypatch.setattr(fcntl, "fcntl", refused)
    (tmp_path / "upload.part").write_bytes(b"half")
    os.link(tmp_path / "upload.part", drop / "linked.png")
    let_all_closes_arrive(intake, drop)
    clock.now += GIVE_UP_S + 1
    [arrival] = intake.take(9)
    assert intake.retry(arrival) is not is_known
    if not is_known:
        clock.now += 3600.0
        [arrival] = intake.take(9)
        assert not intake.retry(arrival)


def test_the_watch_knows_who_has_not_closed_yet(drop: Path) -> None:
    """A file is unclosed from its creation to its close; the watch needs no right on it for that."""
    woken = threading.Event()
    watch = Watch(woken.set, wall_us=lambda: 0, monotonic=lambda: 0.0)
    try:
        watch.add(drop, "")
        with (drop / "a.png").open("wb"):
            (drop / "marker").write_bytes(b"")  # its close comes after the other file's creation
            assert woken.wait(HANG_S)
            assert watch.is_unclosed("a.png")
            woken.clear()
        assert woken.wait(HANG_S)
        assert not watch.is_unclosed("a.png")
        assert not watch.is_unclosed("marker")
    finally:
        watch.close()


# --- a name that is written again before it was read --------------------------------------------------


def write_again(path: Path, content: bytes) -> None:
    """Overwrite a file in place, in one go."""
    path.write_bytes(content)


def rename_over(path: Path, content: bytes) -> None:
    """Replace a file by a rename from a hidden name."""
    hidden = path.with_name(f".{path.name}.tmp")
    hidden.write_bytes(content)
    hidden.rename(path)


def overwritten(intake: Intake, drop: Path) -> list[str]:
    """The names in the events about files that were replaced unread, after all closes have been reported."""
    let_all_closes_arrive(intake, drop)
    return [detail.split()[0] for kind, detail in intake.events if kind == "overwritten"]


_numbers = itertools.count()


def let_all_closes_arrive(intake: Intake, drop: Path) -> None:
    """Wait until a file that no one else knows has been reported, without a look at ready files."""
    name = f"last{next(_numbers)}.png"
    (drop / name).write_bytes(b"last")
    deadline = time.monotonic() + HANG_S
    while name not in intake._files and time.monotonic() < deadline:
        intake.wait(0.02)
        intake.take(0)
    (drop / name).unlink()
    intake._next_scan = 0.0  # which forgets the file
    intake.take(0)
    assert name not in intake._files


def is_last_close(intake: Intake, name: str) -> bool:
    """Whether the watch has reported a close last that the intake has not looked at yet."""
    watch = intake._drop._watch
    return watch is not None and bool(watch._closes) and watch._closes[-1].name == name


in_both_ways = pytest.mark.parametrize("write", [write_again, rename_over])


@in_both_ways
def test_a_waiting_image_that_is_replaced_is_an_event(
    drop: Path, start: Callable[..., Intake], write: Callable[[Path, bytes], None]
) -> None:
    """Of three pictures under one name that nobody read in between, two are missing, and an event says so."""
    intake = start()
    for number in range(3):
        write(drop / "weld.png", b"picture %d" % number)
        let_all_closes_arrive(intake, drop)
    assert overwritten(intake, drop) == ["weld.png", "weld.png"]
    assert names(intake.take(9)) == ["weld.png"]


@in_both_ways
def test_an_image_that_is_replaced_between_taking_and_reading_is_an_event(
    drop: Path, start: Callable[..., Intake], write: Callable[[Path, bytes], None]
) -> None:
    """A file that waits for a worker can be replaced unread as well; its successor is what was read."""
    intake = start()
    write(drop / "weld.png", b"one")
    [arrival] = take_after_events(intake)
    write(drop / "weld.png", b"another")
    let_all_closes_arrive(intake, drop)
    read = FileStamp.of(arrival.path.stat())
    arrival.path.unlink()
    intake.release(arrival, read)
    assert overwritten(intake, drop) == ["weld.png"]


@in_both_ways
def test_an_image_that_is_replaced_after_reading_is_no_event(
    drop: Path, start: Callable[..., Intake], write: Callable[[Path, bytes], None]
) -> None:
    """A name that comes again after its file was read loses nothing; two more after the reading lose one."""
    intake = start()
    write(drop / "weld.png", b"one")
    [arrival] = take_after_events(intake)
    read = FileStamp.of(arrival.path.stat())
    write(drop / "weld.png", b"two")
    let_all_closes_arrive(intake, drop)
    intake.release(arrival, read)
    assert not overwritten(intake, drop)
    [arrival] = intake.take(9)
    read = FileStamp.of(arrival.path.stat())
    for content in (b"three", b"four"):
        write(drop / "weld.png", content)
        let_all_closes_arrive(intake, drop)
    intake.release(arrival, read)
    assert overwritten(intake, drop) == ["weld.png"]


def test_a_writer_in_two_steps_that_was_read_in_between_is_no_event(
    drop: Path, start: Callable[..., Intake]
) -> None:
    """A half file that was read and put back is not missing when its writer closes the whole one."""
    intake = start()
    (drop / "weld.png").write_bytes(b"half")
    [arrival] = take_after_events(intake)
    assert intake.retry(arrival)
    rename_over(drop / "weld.png", b"whole")
    [arrival] = take_after_events(intake)
    read = FileStamp.of(arrival.path.stat())
    arrival.path.unlink()
    intake.release(arrival, read)
    assert not overwritten(intake, drop)


@pytest.mark.parametrize(("rest", "is_lost"), [(b"new", True), (b"other", True), (b"whole and more", False)])
def test_an_image_that_is_written_over_while_it_is_read_is_an_event(
    drop: Path, start: Callable[..., Intake], rest: bytes, is_lost: bool
) -> None:
    """A reading that meets a shorter or another file has lost the closed one; one that grows has not."""
    intake = start()
    (drop / "weld.png").write_bytes(b"whole")
    [arrival] = take_after_events(intake)
    with (drop / "weld.png").open("wb") as writer:
        writer.write(rest)
        writer.flush()
        assert intake.retry(arrival, FileStamp.of(arrival.path.stat()))
    assert overwritten(intake, drop) == ["weld.png"] * is_lost


def test_a_second_close_that_changes_nothing_after_the_reading_is_no_event(
    drop: Path, start: Callable[..., Intake]
) -> None:
    """A program that opens a file for writing and closes it unchanged has replaced nothing."""
    intake = start()
    (drop / "weld.png").write_bytes(b"data")
    [arrival] = take_after_events(intake)
    read = FileStamp.of(arrival.path.stat())
    with (drop / "weld.png").open("r+b"):
        pass
    let_all_closes_arrive(intake, drop)
    arrival.path.unlink()
    intake.release(arrival, read)
    assert not overwritten(intake, drop)


def test_a_slow_writer_and_an_empty_file_are_no_event(drop: Path, start: Callable[..., Intake]) -> None:
    """The first close of a file that a scan found, and that of a file that was empty, replace nothing."""
    intake = start()
    (drop / "empty.png").write_bytes(b"")
    with (drop / "slow.png").open("wb") as writer:
        writer.write(b"half")
        writer.flush()
        intake._next_scan = 0.0
        let_all_closes_arrive(intake, drop)
        writer.write(b"the rest")
    (drop / "empty.png").write_bytes(b"data")
    assert not overwritten(intake, drop)


@in_both_ways
def test_an_old_backlog_that_is_replaced_is_an_event(
    drop: Path, start: Callable[..., Intake], clock: Clock, write: Callable[[Path, bytes], None]
) -> None:
    """A file of before the start, whose close was not seen, was whole if it had not changed for a minute."""
    write(drop / "weld.png", b"yesterday")
    clock.now += OLD_S
    intake = start()
    write(drop / "weld.png", b"today")
    assert overwritten(intake, drop) == ["weld.png"]


def test_many_closes_of_one_name_are_one_event_with_their_number(
    drop: Path, start: Callable[..., Intake]
) -> None:
    """A program that writes one name again and again fills neither the log nor the event table."""
    intake = start()
    (drop / "weld.png").write_bytes(b"data")
    let_all_closes_arrive(intake, drop)
    for number in range(200):
        rename_over(drop / "weld.png", b"%d" % number)
    (drop / "end.png").write_bytes(b"data")
    deadline = time.monotonic() + HANG_S
    while not is_last_close(intake, "end.png") and time.monotonic() < deadline:
        time.sleep(0.01)
    intake.take(0)
    [detail] = [detail for kind, detail in intake.events if kind == "overwritten"]
    assert detail.startswith("weld.png was written again 200 times before it was read")
