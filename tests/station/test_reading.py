"""Reading: every fault of a file ends as an Unreadable with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from stations import frame
from torch import Tensor

from inspector.imaging import decoder
from inspector.imaging.source import MAX_FILE_BYTES
from inspector.records import Arrival
from inspector.station.crash_journal import CrashJournal
from inspector.station.reading import Frame, Limits, Unreadable, read

LIMITS = Limits(decoder.FORMATS, decoder.MAX_PIXELS, MAX_FILE_BYTES, 8)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[CrashJournal]:
    """An open journal."""
    with CrashJournal(tmp_path / ".decoding") as it:
        yield it


@pytest.fixture
def arrival(tmp_path: Path) -> Arrival:
    """A good frame that is ready."""
    path = tmp_path / "w.png"
    Image.fromarray(frame(1)).save(path)
    return Arrival(path, "w.png", 0, 0.0)


def whole(pixels: NDArray[np.uint8]) -> Tensor:
    """A network that takes a frame as it is."""
    return torch.from_numpy(pixels)[None]


def test_a_good_file_becomes_a_frame_that_keeps_its_file_open(
    arrival: Arrival, journal: CrashJournal
) -> None:
    """Pixels, hash and timings are there, and the bytes are kept for a rescue."""
    result = read(arrival, LIMITS, whole, journal)
    assert isinstance(result, Frame)
    assert np.array_equal(result.prepared[0].numpy(), frame(1))
    assert (result.flaw, result.taken.key) == (None, ("w.png", result.taken.source.sha256))
    arrival.path.unlink()
    assert result.taken.opened is not None
    assert result.taken.opened.content() is not None
    result.taken.close()


def test_a_frame_that_cannot_be_resized_is_unreadable_and_stops_nothing(
    arrival: Arrival, journal: CrashJournal
) -> None:
    """An error of torch is the reason of one file, which is retried: memory may have been short."""

    def refuse(_: Any) -> Tensor:
        raise RuntimeError("DefaultCPUAllocator:\n can't allocate memory")

    result = read(arrival, LIMITS, refuse, journal)
    assert isinstance(result, Unreadable)
    assert (result.error.reason, result.error.retry) == ("not_prepared", True)
    assert "can't allocate memory" in result.error.detail
    assert result.taken.opened is not None
    result.taken.close()


def test_the_journal_covers_the_resize_too(arrival: Arrival, journal: CrashJournal, tmp_path: Path) -> None:
    """A file whose pixels kill the process after decoding is found in the journal too."""
    seen = []

    def look(pixels: NDArray[np.uint8]) -> Tensor:
        seen.append((tmp_path / ".decoding").read_text())
        return whole(pixels)

    result = read(arrival, LIMITS, look, journal)
    assert seen == ["+w.png\n"]
    assert isinstance(result, Frame)
    result.taken.close()


def test_a_large_file_is_not_kept_in_memory(
    arrival: Arrival, journal: CrashJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame that waits for its batch keeps at most 8 MiB of its file's bytes."""
    monkeypatch.setattr("inspector.station.reading._MAX_KEPT_BYTES", 1000)
    result = read(arrival, LIMITS, whole, journal)
    assert isinstance(result, Frame)
    assert result.taken.opened is not None
    assert result.taken.opened.data == b""
    assert result.taken.opened.content() == arrival.path.read_bytes()
    result.taken.close()
