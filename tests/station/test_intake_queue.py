"""The intake hands out each file once and in order, any number of files, also those that cannot be moved."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from intakes import (
    GIVE_UP_S,
    OLD_S,
    SCAN_S,
    SETTLE_S,
    Clock,
    let_events_arrive,
    let_events_arrive_somehow,
    names,
    open_intake,
    take_after_events,
    take_all,
)

from inspector.errors import FolderError
from inspector.station import intake as module
from inspector.station.intake import Intake
from inspector.station.listing import waiting_files

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
