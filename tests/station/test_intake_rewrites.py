"""A name that is written again before it was read: the lost images are counted and reported."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from intakes import (
    OLD_S,
    Clock,
    let_all_closes_arrive,
    names,
    take_after_events,
)
from waiting import HANG_S

from inspector.records import FileStamp
from inspector.station.intake import Intake


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


def is_last_close(intake: Intake, name: str) -> bool:
    """Whether the watch has reported a close last that the intake has not looked at yet."""
    watch = intake._drop._watch
    return watch is not None and bool(watch._closes) and watch._closes[-1].name == name


in_both_ways = pytest.mark.parametrize("write", [write_again, rename_over])


@in_both_ways
def test_a_waiting_image_that_is_replaced_is_an_event(
    drop: Path, start: Callable[..., Intake], write: Callable[[Path, bytes], None]
) -> None:
    """If three pictures come under one name before one is read, an event reports each of the two lost."""
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
