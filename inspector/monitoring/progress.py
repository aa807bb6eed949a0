"""Whether the station gets on: what the watchdog is fed by, and what the health page shows."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable


class Progress:
    """The main loop's rounds, and the work that is under way in workers; readable from any thread.

    An idle station makes progress: its loop comes round and nothing is under way. So does one that waits for
    its database, for it tries again and again. A loop that hangs in one call, or one piece of work that does
    not end, stands still, whatever the other workers do.

    Args:
        monotonic: seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._round = monotonic()
        self._began: dict[Hashable, float] = {}

    def round(self) -> None:
        """The main loop has come round."""
        self._round = self._monotonic()

    def begin(self, work: Hashable) -> None:
        """A worker has been given this work."""
        self._began[work] = self._monotonic()

    def end(self, work: Hashable) -> None:
        """The work is done."""
        self._began.pop(work, None)

    @property
    def under_way(self) -> int:
        """Pieces of work that have been given out and are not done."""
        return len(self._began)

    def standstill_s(self) -> float:
        """Seconds since the last round or, if more, since the oldest unfinished work was given out."""
        # list() of a dictionary's values is one step for other threads; a loop over them would not be.
        return self._monotonic() - min([self._round, *list(self._began.values())])
