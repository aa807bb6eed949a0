"""Batches leave at once while the network is idle, and wait for more frames only while it is busy."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from clocks import Clock

from inspector.imaging.source import TakenFile
from inspector.records import Arrival, FileStamp, SourceFile
from inspector.station.batches import WaitingFrames
from inspector.station.reading import Frame
from inspector.station.rules import Pace

PACE = Pace(batch_size=4, batch_wait_s=0.05, threads=2, drain_s=1, shadow_every=1)


@pytest.fixture
def clock() -> Clock:
    """A clock."""
    return Clock()


def frame(number: int) -> Frame:
    """A frame of which only the name matters."""
    arrival = Arrival(Path(f"{number}.png"), f"{number}.png", 0, 0.0)
    taken = TakenFile(arrival, SourceFile(FileStamp(0, 0, 0, 0, 0), None), None)
    return Frame(taken, torch.empty(0), None, 0.0, 0.0)


def waiting(clock: Clock, count: int) -> WaitingFrames:
    """Waiting frames, as many as asked for."""
    frames = WaitingFrames(clock)
    for number in range(count):
        frames.add(frame(number))
    return frames


def names(batch: list[Frame]) -> list[str]:
    """The frames' names."""
    return [frame.taken.arrival.source_name for frame in batch]


def test_a_batch_leaves_at_once_while_the_network_is_idle(clock: Clock) -> None:
    """A single frame does not wait for others while nothing is being judged."""
    frames = waiting(clock, 1)
    assert names(frames.next_batch(PACE, judging=0)) == ["0.png"]
    assert frames.next_batch(PACE, judging=0) == []
    assert frames.due_in_s(PACE, judging=0) is None


def test_a_frame_waits_for_company_while_the_network_is_busy(clock: Clock) -> None:
    """While a batch is judged, the next one leaves batch_wait_s after its oldest frame came."""
    frames = waiting(clock, 2)
    assert frames.next_batch(PACE, judging=1) == []
    assert frames.due_in_s(PACE, judging=1) == pytest.approx(0.05)
    clock.now += 0.06
    assert names(frames.next_batch(PACE, judging=1)) == ["0.png", "1.png"]


def test_a_full_batch_does_not_wait(clock: Clock) -> None:
    """Frames leave in order, as soon as a batch is full."""
    frames = waiting(clock, 6)
    assert names(frames.next_batch(PACE, judging=1)) == ["0.png", "1.png", "2.png", "3.png"]
    assert frames.next_batch(PACE, judging=1) == []
    assert len(frames) == 2


def test_no_more_batches_than_threads_are_judged_at_once(clock: Clock) -> None:
    """If every thread judges a batch, even a full batch waits."""
    frames = waiting(clock, 4)
    assert frames.next_batch(PACE, judging=2) == []
    assert frames.due_in_s(PACE, judging=2) is None
