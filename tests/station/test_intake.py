"""The intake hands out each file as soon as it is whole."""

from __future__ import annotations

import errno
import fcntl
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
    let_all_closes_arrive,
    let_events_arrive,
    names,
    take_after_events,
)
from waiting import HANG_S

from inspector.records import Arrival
from inspector.station.intake import Intake
from inspector.station.watch import Watch

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
