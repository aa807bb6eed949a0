"""Decoded frames that wait for their batch, and the rule by which a batch leaves."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from inspector.station.reading import Frame
from inspector.station.rules import Pace


class WaitingFrames:
    """Frames in the order in which they were decoded.

    Args:
        monotonic: seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._frames: deque[tuple[float, Frame]] = deque()  # with the time since when each waits

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: Frame) -> None:
        """Let a frame wait for the next batch."""
        self._frames.append((self._monotonic(), frame))

    def next_batch(self, pace: Pace, judging: int) -> list[Frame]:
        """Take the batch that is due now; empty if none is.

        A batch leaves at once while the network is idle, and otherwise when it is full or its oldest frame
        has waited for ``batch_wait_s``. At most one batch for each thread is judged at a time.

        Args:
            pace: the batch size, the wait and the number of threads in force.
            judging: batches that are being judged.
        """
        due_in_s = self.due_in_s(pace, judging)
        if due_in_s is None or due_in_s > 0:
            return []
        return [self._frames.popleft()[1] for _ in range(min(pace.batch_size, len(self._frames)))]

    def due_in_s(self, pace: Pace, judging: int) -> float | None:
        """Seconds until the next batch leaves, at most 0 if it is due; None if other work must come first."""
        if not self._frames or judging >= pace.threads:
            return None
        if judging == 0 or len(self._frames) >= pace.batch_size:
            return 0.0
        return self._frames[0][0] + pace.batch_wait_s - self._monotonic()
